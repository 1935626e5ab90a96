"""Scripts as Upstash runs them: with `#!lua flags=allow-key-locking`, a script may touch only the keys named in KEYS.

Valkey refuses the flag, so it is taken out before the script is sent, and a prologue keeps what it promises:
`redis.call` and `redis.pcall` ask the server which arguments are keys (COMMAND GETKEYS) and end the script at the first
one that is not in KEYS, and at any command that needs the whole database. A script without the flag is sent as it is.
The prologue is put in front of the second line, so line numbers stay the author's; but an error of `redis.call` itself
names line 2, where the wrapper is.

The digest a client computes is that of its own text: EVALSHA, SCRIPT LOAD and SCRIPT EXISTS are translated both ways.
Rejected: a table of key positions, which would be our own opinion of two hundred commands.

Source: https://upstash.com/docs/redis/features/key-locking
"""

import hashlib
from collections.abc import Sequence

from infra.emulators.resp import Reply

FLAG = b"allow-key-locking"
SCRIPTS_MAX = 500  # what Valkey itself keeps of scripts sent by EVAL
WHOLE_DATABASE = ("DBSIZE", "FLUSHALL", "FLUSHDB", "KEYS", "RANDOMKEY", "SCAN", "SWAPDB")

_PROLOGUE = """
local redis = (function()
  local real, declared, whole = redis, {}, {%s}
  for _, key in ipairs(KEYS) do declared[key] = true end
  local function check(name, ...)
    if whole[string.upper(tostring(name))] then
      error({err = "ERR Script attempted to run '" .. name .. "', which is not allowed with allow-key-locking"})
    end
    local keys = real.pcall("COMMAND", "GETKEYS", name, ...)
    if keys.err then return end
    for _, key in ipairs(keys) do
      if not declared[key] then
        error({err = "ERR Script attempted to access a non local key '" .. key
          .. "', which is not in KEYS, with allow-key-locking"})
      end
    end
  end
  return setmetatable({
    call = function(...) check(...) return real.call(...) end,
    pcall = function(...) check(...) return real.pcall(...) end,
  }, {__index = real})
end)()
local server = redis
"""
PROLOGUE = (" ".join((_PROLOGUE % ", ".join(f"{name} = true" for name in WHOLE_DATABASE)).split()) + " ").encode()


def rewrite(script: bytes) -> bytes:
    """The script as Valkey accepts it; the same text if the flag is not set."""
    first, newline, rest = script.partition(b"\n")
    if not first.startswith(b"#!") or FLAG not in first:
        return script
    words, locked = [], False
    for word in first.split():
        if word.startswith(b"flags="):
            flags = word[len(b"flags=") :].split(b",")
            locked = locked or FLAG in flags
            kept = [flag for flag in flags if flag != FLAG]
            if kept:
                words.append(b"flags=" + b",".join(kept))
        else:
            words.append(word)
    return b" ".join(words) + newline + PROLOGUE + rest if locked else script


def digest(script: bytes) -> bytes:
    return hashlib.sha1(script, usedforsecurity=False).hexdigest().encode()


class Scripts:
    """Remembers which digest a rewritten script has at the server."""

    def __init__(self) -> None:
        self._rewritten: dict[bytes, bytes] = {}
        self._digests: dict[bytes, bytes] = {}

    def outgoing(self, command: Sequence[bytes]) -> Sequence[bytes]:
        """The command as the server must see it."""
        name, second = command[0].upper(), command[1].upper() if len(command) > 1 else b""
        if name in (b"EVAL", b"EVAL_RO") and second:
            return [command[0], self._rewrite(command[1]), *command[2:]]
        if name in (b"EVALSHA", b"EVALSHA_RO") and second:
            return [command[0], self._digest(command[1]), *command[2:]]
        if name == b"SCRIPT" and second == b"LOAD" and len(command) == 3:
            return [*command[:2], self._rewrite(command[2])]
        if name == b"SCRIPT" and second == b"EXISTS":
            return [*command[:2], *map(self._digest, command[2:])]
        return command

    def incoming(self, command: Sequence[bytes], reply: Reply) -> Reply:
        """The reply as the client must see it; `command` is the client's own."""
        if isinstance(reply, bytes) and command[0].upper() == b"SCRIPT" and command[1].upper() == b"LOAD":
            return digest(command[2])
        return reply

    def _digest(self, wanted: bytes) -> bytes:
        return self._digests.get(wanted.lower(), wanted)

    def _rewrite(self, script: bytes) -> bytes:
        known = self._rewritten.get(script)
        if known is None:
            known = rewrite(script)
            if len(self._rewritten) >= SCRIPTS_MAX:
                self._rewritten.pop(next(iter(self._rewritten)))
            self._rewritten[script] = known
            if known is not script:
                self._digests[digest(script)] = digest(known)
        return known
