"""The scripts' twins in Python, one for each, by the script's own text: a script without a twin can't be simulated.

They are written from what a script promises (the tables in redis_scripts.py and redis_account_scripts.py), and tried by
the same contract suite as the scripts themselves (tests/adapters/stored.py): what differs there is a fault of one.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson

from shared.adapters import redis_account_scripts as accounts
from shared.adapters import redis_hints as hints
from shared.adapters import redis_scripts as syncs

if TYPE_CHECKING:
    from tests.simulation.memory import Memory

PAGE = 500  # known ids on one page
PAGES_LOOKED_AT = 20
Twin = Callable[["Memory", list[str], list[str]], Any]


def begin(r: "Memory", keys: list[str], args: list[str]) -> Any:
    account, lease, hold, index, log, failures, opened, probe, called = keys
    owner, ttl_ms, provider, as_hint, epoch = args
    fields = r.hash(account)
    if "state" not in fields or fields.get("provider") != provider:
        return ["unknown"]
    if as_hint == "1":
        r.hincrby(account, "hints")
    if fields["state"] != "active":
        return [fields["state"], fields.get("reason", "")]
    held = r.get(lease)
    if held is not None and held != owner:
        if as_hint != "1":
            r.hincrby(account, "hints")
        return ["lease_held", r.pttl(lease)]
    if (left := r.pttl(hold)) > 0:
        return ["cooling_down", left]
    if (left := r.pttl(opened)) > 0:
        return ["breaker_open", left]
    probing = "opened" in r.hash(failures)
    if probing and not r.put_new(probe, owner, float(ttl_ms)) and r.get(probe) != owner:
        return ["breaker_open", r.pttl(probe)]
    lost = ""
    if "cursor" not in fields:
        lost = "cursor"
    if int(fields.get("seq", "0")) > 0 and r.get(log) is None:
        lost = "log"
    if int(fields.get("index_n", "0")) > 0 and r.get(index) is None:
        lost = "index"
    if lost in ("index", "log"):
        r.hset(account, epoch=epoch, seq=0, log_bytes=0)
        r.delete(log)
        if lost == "index":
            r.hset(account, index_n=0)
    if lost:
        r.hset(account, lost=lost)
    r.hincrby(account, "fence")
    r.put(lease, owner, float(ttl_ms))
    flat = [part for pair in r.hash(account).items() for part in pair]
    return ["ok", "1" if probing else "0", flat, r.delete(called)]


def renew(r: "Memory", keys: list[str], args: list[str]) -> Any:
    fields = r.hash(keys[0])
    if fields.get("fence") != args[0]:
        return ["late"]
    r.put(keys[1], args[1], float(args[2]))
    return ["ok", fields["hints"], fields.get("hint_history", "0"), fields.get("pushes", "0")]


class _Arguments:
    """ARGV behind the header, taken from its front."""

    def __init__(self, args: list[str]) -> None:
        self._args, self._at = args, 1

    def take(self, count: int) -> list[str]:
        self._at += count
        return self._args[self._at - count : self._at]

    def pairs(self, count: int) -> dict[str, str]:
        flat = self.take(count)
        return dict(zip(flat[::2], flat[1::2], strict=True))


def append(r: "Memory", keys: list[str], args: list[str]) -> Any:
    account, lease, hold, index, log, pages, readers, perf, due, failures, opened, probe, *cached = keys
    h = orjson.loads(args[0])
    was = dict(r.hash(account))
    if "fence" not in was:
        return ["gone"]
    pushes = int(was.get("pushes", "0"))
    if was["step"] == h["step"]:
        return ["ok", int(was["version"]), int(was["hints"]), int(was["step_released"]), pushes]
    if was["fence"] != h["fence"] or int(was["version"]) != h["version"] or was["state"] != "active":
        return ["late"]
    if (int(was["index_n"]) > 0 and r.get(index) is None) or (int(was["seq"]) > 0 and r.get(log) is None):
        r.delete(lease)
        return ["lost"]
    given = _Arguments(args)
    entries = given.take(h["events"])
    seq, size = int(was["seq"]), int(was["log_bytes"])
    if entries:
        added = sum(len(entry.encode()) + h["entry_overhead"] for entry in entries)
        freed = _trim(r, log, readers, h, seq, size + added - h["bytes_max"])
        if freed is None:
            return ["log_full"]
        size += added - freed
        for entry in entries:
            seq += 1
            r.xadd(log, seq, h["now"], entry)
    for packed in given.take(h["index_del"]):
        r.hdel(index, packed)
    r.hset_all(index, given.pairs(h["index_set"]))
    r.hset_all(account, given.pairs(h["fields"]))
    for name, value in h["taken"].items():
        if r.hash(account).get(name) == value:
            r.hdel(account, name)
    if h["clear"]:
        r.delete(pages)
    r.hset_all(pages, given.pairs(h["pages"]))
    if h["note_known"]:
        _note_known(r, pages, index)
    for key, text in zip(cached, given.take(h["cache"]), strict=True):
        if text:
            r.put(key, text, h["cache_ms"])
        else:
            r.delete(key)
    if given.take(h["perf"]):
        r.put(perf, [*(r.get(perf) or ()), (0, 0, "")][-1000:])
    if h["spent_ms"] > 0:
        full_ms = float(was.get("full_at_ms", "0"))
        r.hset(account, full_at_ms=f"{max(full_ms, h['now']) + h['spent_ms']:.0f}")
    if h["hold_ms"] > 0:
        r.put(hold, "1", h["hold_ms"])
    broken = "opened" in r.hash(failures) and r.get(probe) != h["owner"]
    if h["healthy"] and r.get(opened) is None and not broken:
        r.delete(failures, probe)
    if h["due_ms"] is not None:
        r.zadd(due, h["due_ms"], h["account"])
    if h["served"]:
        r.hset(account, served=h["hints"])
    released = bool(h["let_go"] or (h["release"] and int(was["hints"]) == h["hints"] and pushes == h["pushes"]))
    if not released:
        r.put(lease, h["owner"], h["ttl_ms"])
    elif r.get(lease) == h["owner"]:
        r.delete(lease)
    r.hset(account, version=h["version"] + 1, step=h["step"], step_released=int(released))
    r.hset(account, seq=seq, log_bytes=size, index_n=len(r.hash(index)))
    return ["ok", h["version"] + 1, int(was["hints"]), int(released), pushes]


def _trim(r: "Memory", log: str, readers: str, h: dict[str, Any], seq: int, excess: int) -> int | None:
    """Bytes freed by what is too old or too much; None, and nothing done, where a reader has not passed it."""
    floor = seq
    for place in r.hash(readers).values():
        position, seen_ms = place.split(",")
        if int(seen_ms) >= h["now"] - h["reader_ms"]:
            floor = min(floor, int(position))
    rows = r.get(log) or []
    freed = count = 0
    for number, at_ms, entry in rows:
        if freed >= excess and at_ms >= h["now"] - h["age_ms"]:
            break
        if h["pausable"] and number > floor:
            return None
        freed += len(entry.encode()) + h["entry_overhead"]
        count += 1
    del rows[:count]
    return freed


def _note_known(r: "Memory", pages: str, index: str) -> None:
    known = list(r.hash(index))
    for n in range(max(1, -(-len(known) // PAGE))):
        r.hset_all(pages, {f"known/{n}": ",".join(known[n * PAGE : (n + 1) * PAGE])})


def read(r: "Memory", keys: list[str], args: list[str]) -> Any:
    entries = r.hash(keys[0])
    return [[entries.get(packed) for packed in args], [r.get(key) for key in keys[1:]]]


def walk(r: "Memory", keys: list[str], args: list[str]) -> Any:
    table, page, offset, unknown, limit = args[0], int(args[1]), int(args[2]), args[3] == "1", int(args[4])
    pages, index = r.hash(keys[0]), r.hash(keys[1])
    if f"{table}/0" not in pages:
        return [[], page, offset, 2]
    found: list[str] = []
    looked = 0
    while len(found) < limit and looked < PAGES_LOOKED_AT:
        stored = pages.get(f"{table}/{page}")
        if stored is None:
            return [found, page, offset, 1]
        ids = [packed for packed in stored.split(",") if packed]
        for packed in ids[offset:]:
            offset += 1
            if not unknown or packed not in index:
                found.append(packed)
            if len(found) == limit:
                break
        if len(found) < limit:
            page, offset, looked = page + 1, 0, looked + 1
    return [found, page, offset, int(f"{table}/{page}" not in pages)]


def scan(r: "Memory", keys: list[str], args: list[str]) -> Any:
    def flat(of: dict[str, str]) -> list[str]:
        return [part for pair in of.items() for part in pair]

    return [flat(r.hash(keys[0])), "0", flat(r.hash(keys[1]))]


def failed(r: "Memory", keys: list[str], args: list[str]) -> Any:
    failures, opened, due, probe = keys
    account, threshold, cooldown_ms = args
    if (left := r.pttl(opened)) > 0:
        return left
    count = r.hincrby(failures, "failures")
    r.hset_all(failures, {f"of:{account}": "1"})
    mailboxes = sum(name.startswith("of:") for name in r.hash(failures))
    several = len(r.get(due) or ()) > 1
    if "opened" in r.hash(failures) or (count >= int(threshold) and (mailboxes > 1 or not several)):
        r.hset(failures, opened=1)
        r.put(opened, "1", float(cooldown_ms))
        r.delete(probe)
        return int(cooldown_ms)
    return 0


def save_access(r: "Memory", keys: list[str], args: list[str]) -> Any:
    account, refreshing = keys
    grant, access, until_s, refresh = args
    if r.hash(account).get("grant") != grant:
        return "late"
    r.hset(account, access=access, access_until_s=until_s, **({"refresh": refresh} if refresh else {}))
    r.delete(refreshing)
    return "ok"


def free_refresh(r: "Memory", keys: list[str], args: list[str]) -> Any:
    if r.get(keys[0]) == args[0]:
        r.delete(keys[0])
    return "ok"


def take_refresh(r: "Memory", keys: list[str], args: list[str]) -> Any:
    account, refreshing = keys
    owner, ttl_ms, refused = args
    fields = r.hash(account)
    if "state" not in fields:
        return ["gone"]
    if "access" in fields and fields["access"] != refused:
        return ["fresh", fields["access"], fields["access_until_s"]]
    if not r.put_new(refreshing, owner, float(ttl_ms)) and r.get(refreshing) != owner:
        return ["wait"]
    return ["yours", fields["grant"], fields["refresh"]]


def _say(r: "Memory", account: str, log: str, now_ms: str, event: str) -> None:
    """One entry more, outside of a step."""
    fields = r.hash(account)
    seq = int(fields["seq"]) + 1
    r.xadd(log, seq, int(now_ms), event)
    r.hset(account, seq=seq, log_bytes=int(fields["log_bytes"]) + len(event.encode()) + 32)


def lose(r: "Memory", keys: list[str], args: list[str]) -> Any:
    account, log, due, lease = keys
    grant, reason, now_ms, event, name, owner = args
    fields = r.hash(account)
    if "state" not in fields:
        return "gone"
    if fields["grant"] != grant:
        return "late"
    if fields["state"] == "reauth_required":
        return "ok"
    if fields["state"] != "active":
        return "late"
    _say(r, account, log, now_ms, event)
    r.hset(account, state="reauth_required", reason=reason)
    r.hdel(account, "access")
    (r.get(due) or {}).pop(name, None)
    if r.get(lease) == owner:
        r.delete(lease)
    return "ok"


def connect(r: "Memory", keys: list[str], args: list[str]) -> Any:
    account, log, due, everyone, addresses, hold, *others = keys
    now_ms, name, entry_new, entry_revived, address, expected, count, *flat = args
    fresh = dict(zip(flat[: 2 * int(count) : 2], flat[1 : 2 * int(count) : 2], strict=True))
    renewed = flat[2 * int(count) :]
    if r.hash(addresses).get(address, "") != expected:
        return "moved"
    fields = r.hash(account)
    state = fields.get("state")
    if state == "deleting":
        return "deleting"
    if state is not None and fields.get("address") != address and expected != name:
        return "taken"
    if state is None:
        r.hset_all(account, fresh)
        r.delete(log, *others, hold)
        r.xadd(log, 1, int(now_ms), entry_new)
        r.hset(account, seq=1, log_bytes=len(entry_new.encode()) + 32)
        r.sadd(everyone, name)
    else:
        r.hset_all(account, dict(zip(renewed[::2], renewed[1::2], strict=True)))
        r.hincrby(account, "grant")
        r.hincrby(account, "hints")
        r.delete(hold)
        if state != "active":
            _say(r, account, log, now_ms, entry_revived)
            r.hset(account, state="active", reason="")
    r.zadd(due, float(now_ms), name)
    r.hset_all(addresses, {address: name})
    return "new" if state is None else "known"


def mark_deleted(r: "Memory", keys: list[str], args: list[str]) -> Any:
    account, due, lease = keys
    if r.get(account) is None:
        return "unknown"
    r.hset(account, state="deleting")
    r.hincrby(account, "fence")
    r.delete(lease)
    r.zadd(due, 0, args[0])
    return "ok"


def forget(r: "Memory", keys: list[str], args: list[str]) -> Any:
    account, due, everyone, addresses, *others = keys
    name, address = args
    if r.hash(account).get("state") != "deleting":
        return "late"
    r.delete(*others)
    if r.hash(addresses).get(address) == name:
        r.hdel(addresses, address)
    (r.get(due) or {}).pop(name, None)
    (r.get(everyone) or set()).discard(name)
    r.delete(account)
    return "ok"


def changes(r: "Memory", keys: list[str], args: list[str]) -> Any:
    account, readers, log = keys
    reader, now_ms, epoch, place, limit, start = args
    fields = r.hash(account)
    if "epoch" not in fields or fields.get("state") == "deleting":
        return ["unknown"]
    rows = r.get(log)
    if rows is None:
        return ["expired"]
    seq, position = int(fields["seq"]), int(place)
    oldest = rows[0][0] if rows else seq + 1
    if start == "earliest":
        position = oldest - 1
    if start == "after" and epoch != fields["epoch"]:
        return ["expired"]
    if position > seq or position < oldest - 1:
        return ["expired"]
    r.hset_all(readers, {reader: f"{position},{now_ms}"})
    found = [[f"{number}-{at_ms}", entry] for number, at_ms, entry in rows if number > position][: int(limit)]
    return ["ok", fields["epoch"], seq, fields["provider"], fields["user_id"], position, found]


def ask_resync(r: "Memory", keys: list[str], args: list[str]) -> Any:
    account, due = keys
    kind, now_ms, name = args
    fields = r.hash(account)
    if "state" not in fields or fields["state"] == "deleting":
        return "unknown"
    if not fields.get("asked", "").startswith("content"):
        r.hset(account, asked=f"{kind}:{now_ms}")
    r.hincrby(account, "hints")
    r.zadd(due, float(now_ms), name)
    return "ok"


def fields_of(r: "Memory", keys: list[str], args: list[str]) -> Any:
    return [[part for pair in r.hash(key).items() for part in pair] for key in keys]


def _note(r: "Memory", due: str, names: list[str], name: str, history_id: str, ask: str, subscription: str) -> bool:
    """One push; whether somebody has to wake the account."""
    account, lease, called = names
    fields = r.hash(account)
    if fields.get("state") != "active":
        return False
    told = int(history_id or "0")
    news = not told or (told > int(fields.get("reached") or "0") and history_id != fields.get("hint_given_up"))
    if not news and "looked_s" not in fields:
        return False
    if news:
        if told and told > int(fields.get("hint_history") or "0"):
            r.hset(account, hint_history=history_id)
        r.hincrby(account, "hints")
        r.zadd(due, 0, name)
    if ask and fields.get("watch_ask") != "recreate" and (ask != "recreate" or subscription == fields.get("watch_id")):
        r.hset(account, watch_ask=ask)
    r.hincrby(account, "pushes")
    return r.get(lease) is None and r.put_new(called, "1", hints.CALLED_MS)


def hint_gmail(r: "Memory", keys: list[str], args: list[str]) -> Any:
    addresses, due = keys
    for lookup in args[1:]:
        name = r.hash(addresses).get(lookup)
        if name is not None:
            of = [f"td:{name}:{what}" for what in ("account", "lease", "called")]
            return [name] if _note(r, due, of, name, args[0], "", "") else []
    return []


def hint_outlook(r: "Memory", keys: list[str], args: list[str]) -> Any:
    due, *names = keys
    return [
        args[i]
        for i in range(0, len(args), 3)
        if _note(r, due, names[i : i + 3], args[i], "", args[i + 1], args[i + 2])
    ]


TWINS: dict[str, Twin] = {
    syncs.BEGIN: begin,
    syncs.RENEW: renew,
    syncs.APPEND: append,
    syncs.READ: read,
    syncs.WALK: walk,
    syncs.SCAN: scan,
    syncs.FAILED: failed,
    syncs.SAVE_ACCESS: save_access,
    syncs.FREE_REFRESH: free_refresh,
    syncs.TAKE_REFRESH: take_refresh,
    syncs.LOSE: lose,
    accounts.CONNECT: connect,
    accounts.MARK_DELETED: mark_deleted,
    accounts.FORGET: forget,
    accounts.CHANGES: changes,
    accounts.ASK_RESYNC: ask_resync,
    accounts.FIELDS: fields_of,
    hints.GMAIL: hint_gmail,
    hints.OUTLOOK: hint_outlook,
}
