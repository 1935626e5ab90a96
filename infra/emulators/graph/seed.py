"""A mailbox that looks lived in: mail spread over folders, mostly read, some flagged, newest last.

    mostly inbox; then Sent Items, Archive, Deleted Items, Junk Email, and user folders, one of them nested
    a draft

The same mail and seed give the same mailbox. Times of arrival are the Date headers where they are sane and past.
"""

import random

from infra.emulators.graph.emulator import GraphEmulator

USER_FOLDERS = (("Projects", None), ("2026", "Projects"), ("Newsletters", None))
SHARES = (
    ("inbox", 55),
    ("sentitems", 10),
    ("archive", 12),
    ("deleteditems", 6),
    ("junkemail", 5),
    ("Projects", 4),
    ("Projects/2026", 4),
    ("Newsletters", 4),
)
EARLIEST_S = 631_152_000.0  # 1990


def fill(
    emulator: GraphEmulator, address: str, mail: list[bytes], seed: int = 0, user_folders: bool = True
) -> list[str]:
    """The immutable ids, in the order of `mail`. Makes the mailbox if there is none."""
    rng = random.Random(f"{seed}-seed")  # the same for every mailbox: twins are filled alike
    emulator.add_mailbox(address)
    if user_folders:
        for name, parent in USER_FOLDERS:
            emulator.add_folder(address, name, parent)
    shares = SHARES if user_folders else SHARES[:5]
    places = rng.choices([place for place, _ in shares], [share for _, share in shares], k=len(mail))
    now = emulator.clock.now_s()
    ids = []
    for number, (raw, place) in enumerate(zip(mail, places, strict=True)):
        date_s = emulator.date_s(raw)
        fallback_s = now - (len(mail) - number) * 60
        arrived_s = date_s if date_s is not None and EARLIEST_S < date_s <= now else fallback_s
        is_read = place in ("sentitems", "archive", "deleteditems") or rng.random() < 0.8
        ids.append(emulator.deliver(address, raw, place, is_read, received_at_s=arrived_s))
        if rng.random() < 0.04:
            emulator.update(address, ids[-1], flag="flagged")
        if rng.random() < 0.04:
            emulator.update(address, ids[-1], categories=[rng.choice(("Blue category", "Red category"))])
    return ids
