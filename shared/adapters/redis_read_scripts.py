"""The read side in Lua: what is cached, whether the provider may be asked, what is kept of its answer.

    script   guards                    a repeat
    LOOK     account active            reads the same; the view is noted once, by its token
    THREAD   account active            reads the same
    ADMIT    account active, hold,     by the same owner is admitted again
             breaker, permit
    KEEP     account active            keeps the same again; spends, and notes the view, once, by its token
    LABELS   account active            reads the same, or keeps the same again

Between the provider's answer and KEEP a sync may have said that a message is deleted: what the index has is kept, what
it has not only if no step of a sync came between. A thread's ids likewise, for a message may have joined it.

As in redis_scripts.py, all keys are in KEYS, and times are in ARGV but the TTLs.
"""

# The answer to be given where the account can't be read from.
_GUARD = """
if not was[1] or was[1] == 'deleting' then return {'unknown'} end
if was[1] ~= 'active' then return {was[1]} end
"""

# A view, once: it lies behind the last one, whatever the clocks say.
_NOTE = """
local function note(account, reads, token, now, ids)
  if redis.call('HGET', account, 'read_token') == token then return false end
  redis.call('HSET', account, 'read_token', token)
  if ids == '' then return true end
  redis.call('HSET', account, 'read_ms', string.format('%.0f', now))
  local ms, n, last = tonumber(now), 0, redis.call('XREVRANGE', reads, '+', '-', 'COUNT', 1)[1]
  if last then
    local last_ms, last_n = string.match(last[1], '^(%d+)-(%d+)$')
    if tonumber(last_ms) >= ms then ms, n = tonumber(last_ms), tonumber(last_n) + 1 end
  end
  local added = redis.pcall('XADD', reads, 'MAXLEN', 256, string.format('%.0f-%.0f', ms, n), 'r', ids)
  if type(added) == 'table' then redis.call('XADD', reads, 'MAXLEN', 256, '*', 'r', ids) end
  return true
end
"""

_FIELDS = "'state', 'reason', 'provider', 'user_id', 'labels', 'folders', 'ids', 'window'"

# KEYS account index reads, then one per message; ARGV token, now_ms, ids
LOOK = f"""
{_NOTE}
local was = redis.call('HMGET', KEYS[1], {_FIELDS})
{_GUARD}
local texts, entries = {{}}, {{}}
for i = 4, #KEYS do
  local text = redis.call('GET', KEYS[i])
  local packed = text and string.match(text, '^[^:]*:[^:]*:([^:]*):')
  texts[i - 3] = text
  entries[i - 3] = packed and redis.call('HGET', KEYS[2], packed) or false
end
note(KEYS[1], KEYS[3], ARGV[1], ARGV[2], ARGV[3])
return {{'ok', was, texts, entries}}
"""

# KEYS account thread
THREAD = f"""
local was = redis.call('HMGET', KEYS[1], {_FIELDS})
{_GUARD}
return {{'ok', was, redis.call('GET', KEYS[2])}}
"""

# KEYS account lease hold failures open reading; ARGV owner, permit ttl_ms or 0
ADMIT = f"""
local was = redis.call('HMGET', KEYS[1], 'state', 'access', 'access_until_s', 'full_at_ms', 'version')
{_GUARD}
local hold = redis.call('PTTL', KEYS[3])
if hold > 0 then return {{'cooling_down', hold}} end
local open = redis.call('PTTL', KEYS[5])
if open > 0 then return {{'breaker_open', open}} end
-- Half open: the one probe is a sync's.
if redis.call('HGET', KEYS[4], 'opened') then return {{'breaker_open', 1000}} end
if ARGV[2] ~= '0' and not redis.call('SET', KEYS[6], ARGV[1], 'NX', 'PX', ARGV[2])
  and redis.call('GET', KEYS[6]) ~= ARGV[1] then
  return {{'busy', redis.call('PTTL', KEYS[6])}}
end
return {{'ok', was, redis.call('EXISTS', KEYS[2])}}
"""

# KEYS account index hold reading reads thread, then one per message
# ARGV header (JSON), then for each message: its id, packed id, text ('' deletes it, '-' keeps nothing), unnamed
KEEP = f"""
{_NOTE}
local h = cjson.decode(ARGV[1])
if redis.call('GET', KEYS[4]) == h.owner then redis.call('DEL', KEYS[4]) end
local account = KEYS[1]
local was = redis.call('HMGET', account, 'state', 'version', 'unnamed', 'full_at_ms')
if was[1] ~= 'active' then return 'gone' end
if note(account, KEYS[5], h.token, h.now, h.view) and h.spent_ms > 0 then
  local full = math.max(tonumber(was[4] or '0'), h.now) + h.spent_ms
  redis.call('HSET', account, 'full_at_ms', string.format('%.0f', full))
end
if h.hold_ms > 0 then redis.call('SET', KEYS[3], '1', 'PX', h.hold_ms) end
local untouched, unnamed, at = tonumber(was[2]) == h.version, was[3] or '', 2
for i = 7, #KEYS do
  local id, packed, text = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local known = packed ~= '' and redis.call('HEXISTS', KEYS[2], packed) == 1
  if text == '' then
    redis.call('DEL', KEYS[i])
  elseif text ~= '-' and (known or untouched) then
    redis.call('SET', KEYS[i], text, 'PX', h.cache_ms)
  end
  if ARGV[at + 3] == '1' and not known and #unnamed + #id < h.unnamed_max
    and not string.find(' ' .. unnamed, ' ' .. id .. ' ', 1, true) then
    unnamed = unnamed .. id .. ' '
  end
  at = at + 4
end
if unnamed ~= (was[3] or '') then redis.call('HSET', account, 'unnamed', unnamed) end
if h.thread ~= '' and untouched then redis.call('SET', KEYS[6], h.thread, 'PX', h.cache_ms) end
return 'ok'
"""

# KEYS account folders; ARGV text to be kept or '', ttl_ms
LABELS = f"""
local was = redis.call('HMGET', KEYS[1], {_FIELDS})
{_GUARD}
if ARGV[1] ~= '' then redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2]) end
return {{'ok', was, redis.call('GET', KEYS[2])}}
"""
