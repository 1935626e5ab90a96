"""Tidemark's architecture: mailbox changes, read from the provider's change stream, appended to a log.

**Push is a hint, the cursor is the state, the log is the product.** Whatever wakes a function, one thing happens: the
provider's changes are read from the stored cursor, step by step, and each step's changes are appended to the account's
log in the same atomic script that advances the cursor.

    functions/*.py ─ edge ─ wiring ─┐
                                    v
    Redis ── BEGIN: lease, fence, cursor ──> sync.run ── next_task(cursor) ──> protocol ── Request ──> provider
      ^                                        │  ^                               │
      │                                        │  └── Step: facts, next cursor ── receive(cursor, answer) < Response
      │                                        v
      └── APPEND: events + index + cache + cursor, one script <── sync.step: facts against the index; sync.hydrate reads

The log is read page by page (/mailbox/changes), or pushed: a delivery has its own position, lease and back-off, so that
a receiver that is down costs no sync anything (sync.deliver, core.delivery).

Rings, the inner ones first; an outer one may import an inner one, never the reverse (import-linter, `make check`):

    core       values and pure decisions: change, message, errors, lease, backoff, quota
    protocol   the providers' change streams as pure functions over a cursor (sans-I/O): gmail, graph
    sync       use cases over ports: run, step, hydrate, calls, parked, connect, sweep, deliver, warm
    config     every setting, from the environment into one value; log: JSON lines without a secret
    adapters   all I/O: Redis scripts, the HTTP client, OAuth, sealing
    edge       HTTP in: bodies, keys, problems
    wiring     puts the parts together

The invariants, and who keeps them:

 1. Append and advance are one step; a repeat of it returns what the first returned.          adapters.redis_scripts
 2. A cursor comes only from `receive`, together with the changes it accounts for; a first
    one is pinned before anything is listed.                                       protocol.*.stream, sync.connect
 3. One instance works on a mailbox at a time: a lease with a fencing token that guards every
    write. A hint that comes meanwhile is a counter, and is looked for before the release.     core.lease, sync.run
 4. Every loop has a bound; what is left is resumed by the next invocation.                    sync.run, sync.calls
 5. Absence is not deletion: `deleted` is said only after a read of that id.            sync.step, protocol.*.stream
 6. A failed part is retried alone; what still fails is parked, and the rest goes on.      sync.hydrate, sync.parked
 7. A notification carries no data: losing one costs latency only, a sweep finds it.                      sync.sweep
 8. No token, secret, address or message content in a log, an error, a key or a URL.           log, adapters.sealing
 9. Rate limits, cool-downs and dead grants are outcomes, stored; TTLs are counted by the store.          sync.calls
10. The index says what was last emitted of each message; an event is the difference between
    it and the provider's answer. State that is missing is lost, never "empty".            sync.step, redis_scripts
"""
