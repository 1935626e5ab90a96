"""A stand-in for Gmail, its authorization server and its Pub/Sub pushes: strict, slow and hostile as the real ones.

    from infra.emulators.gmail import GmailEmulator, Settings
    gmail = GmailEmulator(Settings(quota="2026"), Clock(rate=60))
    gmail.add_mailbox("robin@example.com")
    with Server(gmail.app) as server: …

    app       HTTP as it comes: connection faults, gzip, batches      routes    every method, who may call it with what
    batch     multipart bytes, in and out                             *_api     the handlers
    engine    admit all, wait, run each                               mailbox   messages, threads, labels, drafts
    quota     units and slots                                         history   records, window, current id
    faults    what fails on order                                     watch     who is told, how often
    admin     everything above by HTTP, below /_admin/                emulator  the same by direct call

Source: facts/gmail.md (b); https://developers.google.com/workspace/gmail/api/reference/rest
"""

from infra.emulators.gmail.emulator import GmailEmulator
from infra.emulators.gmail.settings import Settings

__all__ = ["GmailEmulator", "Settings"]
