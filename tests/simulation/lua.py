"""Redis' own scripts, run as they are over the memory: the text that production sends is what is simulated.

lupa is Lua 5.1 in the process, which is what Redis runs. Values cross as Redis has them cross:

    reply of a command     None -> false, list -> table, int -> number, str -> string
    argument of a command  a whole number without a fraction, any other as %.17g
    result of a script     number -> int (cut off), true -> 1, false and nil -> None, table -> list up to the first nil

Source: https://redis.io/docs/latest/develop/programmability/lua-api/#data-type-conversion
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import orjson
from lupa.lua51 import LuaRuntime, lua_type

Call = Callable[..., Any]
PRELUDE = """
return function(python_call, python_decode, null)
  local redis = {}
  function redis.call(...)
    local reply = python_call(...)
    if reply == nil then return false end
    return reply
  end
  function redis.pcall(...)
    local fine, reply = pcall(redis.call, ...)
    return fine and reply or (not fine and {err = tostring(reply)} or false)
  end
  local cjson = {decode = python_decode, null = null}
  return function(text)
    local chunk = assert(loadstring('local redis, cjson, KEYS, ARGV = ...\\n' .. text))
    return function(KEYS, ARGV) return chunk(redis, cjson, KEYS, ARGV) end
  end
end
"""


class Scripts:
    """One runtime for the process; `call` is pointed at the server whose script is running."""

    def __init__(self) -> None:
        self._lua = LuaRuntime(unpack_returned_tuples=True)
        null = self._lua.table()
        self._compile = self._lua.execute(PRELUDE)(self._called, self._decoded, null)
        self._null = null
        self._call: Call | None = None
        self.compiled = lru_cache(maxsize=None)(self._compile)

    def run(self, script: str, keys: Sequence[str], args: Sequence[str], call: Call) -> Any:
        outer, self._call = self._call, call
        try:
            return _result(self.compiled(script)(self._lua.table_from(keys), self._lua.table_from(args)))
        finally:
            self._call = outer

    def _called(self, *command: Any) -> Any:
        assert self._call is not None
        return self._reply(self._call(*[part if isinstance(part, str) else _argument(part) for part in command]))

    def _reply(self, value: Any) -> Any:
        if isinstance(value, list):
            plain = [each if isinstance(each, str) else False if each is None else self._reply(each) for each in value]
            return self._lua.table_from(plain)
        return value

    def _decoded(self, text: str) -> Any:
        return self._table(orjson.loads(text))

    def _table(self, value: Any) -> Any:
        if isinstance(value, dict):
            return self._lua.table_from({name: self._table(each) for name, each in value.items()})
        if isinstance(value, list):
            return self._lua.table_from([self._table(each) for each in value])
        return self._null if value is None else value


def _argument(value: Any) -> str:
    return str(int(value)) if float(value).is_integer() else f"{value:.17g}"


def _result(value: Any) -> Any:
    if value is None or value is False:
        return None
    if value is True:
        return 1
    if isinstance(value, int | float):
        return int(value)
    if lua_type(value) != "table":
        return value
    found = []
    for n in range(1, len(value) + 1):
        each = value[n]
        if each is None:
            break
        found.append(each if isinstance(each, str) else _result(each))
    return found
