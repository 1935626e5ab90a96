"""Hints stored by one script a request: counted, and who has to be woken told.

    an account's push                                   then
    not active, unknown                                 nothing
    Gmail's history id not above what was read          counted: what came in the second after it was not pushed
                                                        (sync/looks.py); nothing where nothing was ever read
    otherwise                                           counted, and one hint more; the highest history id is kept
       a sync runs, or one has been called for          nobody is woken: it will see the push
       nobody does                                      wake it; for CALLED_MS nobody else is told to

`called` is deleted by BEGIN, so what comes after a sync has begun and ended wakes the next one. A caller that died is
forgotten by the TTL; until then, and where no push comes any more, the cron ping finds the hint.

A repeat after a lost reply counts once more (harmless: one look more) and wakes whom the first would have woken:
`called` holds the request's own random name, so that what it has set itself does not look like another's.

Gmail's pushes name an address, not an account, so that script reads one key to learn the name of the next: it cannot
name its keys in advance, and goes without Upstash's key-locking flag (the database is locked for its few microseconds).
History ids are compared as text: Lua's numbers end at 2^53.

Source: https://upstash.com/docs/redis/overall/llms-txt (Lua: key locking)
"""

import os
from collections.abc import Sequence

import orjson

from shared.adapters import redis_keys as keys
from shared.adapters.light_http import LightHttp
from shared.core.errors import ProviderDown, StoreDown

CALLED_MS = 10_000
TIMEOUT_S = 1.0
ATTEMPTS = 2  # with the time-out: Graph wants its answer within three seconds
ANSWER_BYTES_MAX = 1024 * 1024

_NOTE = """
local function above(a, b)
  if not b or b == '' then return true end
  if #a ~= #b then return #a > #b end
  return a > b
end
local function note(by, due, account, lease, called, name, history_id, ask, subscription)
  local was = redis.call('HMGET', account,
    'state', 'reached', 'hint_history', 'hint_given_up', 'looked_s', 'watch_id', 'watch_ask')
  if was[1] ~= 'active' then return false end
  local news = history_id == '' or (above(history_id, was[2]) and history_id ~= was[4])
  if not news and not was[5] then return false end
  if news then
    if history_id ~= '' and above(history_id, was[3]) then redis.call('HSET', account, 'hint_history', history_id) end
    redis.call('HINCRBY', account, 'hints', 1)
    redis.call('ZADD', due, 0, name)
  end
  if ask ~= '' and was[7] ~= 'recreate' and (ask ~= 'recreate' or subscription == was[6]) then
    redis.call('HSET', account, 'watch_ask', ask)
  end
  redis.call('HINCRBY', account, 'pushes', 1)
  if redis.call('EXISTS', lease) == 1 then return false end
  return redis.call('SET', called, by, 'NX', 'PX', CALLED_MS) ~= false or redis.call('GET', called) == by
end
""".replace("CALLED_MS", str(CALLED_MS))

# KEYS addresses due; ARGV by, history id or '', then the address as it may be found, newest key first
GMAIL = (
    _NOTE
    + """
for i = 3, #ARGV do
  local name = redis.call('HGET', KEYS[1], ARGV[i])
  if name then
    local of = 'td:' .. name .. ':'
    local woken = note(ARGV[1], KEYS[2], of .. 'account', of .. 'lease', of .. 'called', name, ARGV[2], '', '')
    return woken and {name} or {}
  end
end
return {}
"""
)

# KEYS due, then account lease called of each; ARGV by, then account, ask, subscription of each
OUTLOOK = (
    _NOTE
    + """
local woken = {}
for i = 2, #ARGV, 3 do
  if note(ARGV[1], KEYS[1], KEYS[i], KEYS[i + 1], KEYS[i + 2], ARGV[i], '', ARGV[i + 1], ARGV[i + 2]) then
    woken[#woken + 1] = ARGV[i]
  end
end
return woken
"""
)
assert keys.of("a", "account") == "td:a:account"


class RedisHints:
    """push-webhook's store: Upstash's REST without its client (facts/platform.md §2: 67 ms)."""

    def __init__(self, http: LightHttp, url: str, token: str) -> None:
        self._http, self._url = http, url
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}

    async def gmail(self, lookups: Sequence[str], history_id: int | None) -> list[str]:
        """The accounts to be woken, none or one. Raises StoreDown."""
        names = [f"gmail|{lookup}" for lookup in lookups]
        return await self._run(GMAIL, [keys.ADDRESSES, keys.due("gmail")], [str(history_id or ""), *names])

    async def outlook(self, hints: Sequence[tuple[str, str, str]]) -> list[str]:
        """Of (account, ask, subscription): the accounts to be woken. Raises StoreDown."""
        of = [keys.of(account_id, name) for account_id, _, _ in hints for name in ("account", "lease", "called")]
        return await self._run(OUTLOOK, [keys.due("outlook"), *of], [part for hint in hints for part in hint])

    async def _run(self, script: str, names: Sequence[str], args: Sequence[str]) -> list[str]:
        command = orjson.dumps(["EVAL", script, len(names), *names, os.urandom(8).hex(), *args])
        for attempt in range(ATTEMPTS):
            try:
                answer = await self._http.send(
                    "POST", self._url, self._headers, command, timeout_s=TIMEOUT_S, body_bytes_max=ANSWER_BYTES_MAX
                )
                value = orjson.loads(answer.body)
                found = value.get("result") if answer.status == 200 and isinstance(value, dict) else None
                if isinstance(found, list):
                    return [str(each) for each in found]
            except (ProviderDown, orjson.JSONDecodeError) as error:
                if attempt + 1 == ATTEMPTS:
                    raise StoreDown(f"Redis did not answer as Redis does ({type(error).__name__})") from error
        raise StoreDown("Redis answered something else than a script's result")
