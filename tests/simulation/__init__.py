"""Deterministic simulation: the real sync over hostile worlds in memory, one seed deciding everything.

    plan      a seed as a list of happenings: mail, faults, invocations, pauses, kills, losses     plan.py
    loop      virtual time: whoever waits is woken in the order of the time that his wait ends     loop.py
    worlds    Gmail and Graph in memory, answering the protocol's own requests               gmail.py, graph*.py
    memory    Redis in memory, under its own scripts: tried by the store's contract suite   memory.py, lua.py, rest.py
    hook      what pushes the log to an app, and the app: down, slow, forgetful, poisoned        hook.py, receiver.py
    watches   the provider's promise to push, begun and renewed by pings                       watches.py
    witness   what must hold at every append, call and answer, whatever fails                    witness.py
    run       one seed: first safety under faults, then faults stop and liveness                     run.py
    shrink    a failing plan made small                                                              shrink.py

What is simulated is the product itself: `Wiring.sync`, `woken`, `answer_sync`, `redeliver` and `import_account` with
everything below them but sockets. Its Redis client and its HTTP client are replaced where they would send, and the loop
looks names up; nothing else is.

    make simulate SEEDS=10000 [PROVIDER=gmail|outlook] [SEED=n]
"""
