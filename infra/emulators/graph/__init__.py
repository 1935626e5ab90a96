"""A strict stand-in for Microsoft Graph's mail: delta chains that rot, ids that move, limits that refuse.

    ring          modules                                  knows
    wire          asgi, odata, errors                      HTTP, OData spelling, Graph's error shapes
    mailbox       ids, convert, mailbox, view              what Exchange stores and how a message looks
    chains        changes, delta                           rounds, generations, opaque links
    operations    messages, folders, batch, route          what each path answers
    limits        throttle, faults, knobs, record          what refuses, what breaks, what is written down
    push          subscriptions, notifier, lifecycle, rich who is told, how late, how often
    outside       emulator (the façade), admin, seed, __main__

Entry points: `infra.emulators.graph.emulator.GraphEmulator` and `python -m infra.emulators.graph`.
Requirements: checklist B of the Graph fact sheet; where sources conflict, its section K says what is the default here.
Source: https://learn.microsoft.com/en-us/graph/api/resources/mail-api-overview
"""
