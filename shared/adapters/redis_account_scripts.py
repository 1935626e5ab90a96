"""Accounts as records, in Lua: connected, deleted, followed by readers.

    script        guards                          a repeat
    CONNECT       the address and its account     finds the account that the first one made
    MARK_DELETED  account exists                  marks it again
    FORGET        state deleting                  changes nothing, the account is gone
    WATCHED       account active                  changes nothing: the event is said once a watch
    CHANGES       epoch, what is kept             reads the same, and notes the same position; a reader that is refused
                                                  stands before what is left, so that its snapshot waits for it
    ASK_RESYNC    account exists                  asks again: taken up once
    FIELDS        -                               reads the same
    STANDINGS     -                               reads the same

As in redis_scripts.py, all keys are in KEYS, and times are in ARGV.
"""

# How far the slowest reader is, of those seen since `since_ms`; `most` where nobody reads. One that the log has left
# behind has nothing to lose any more: it will be refused, and counts again from then on.
SLOWEST_READER = """
local function slowest_reader(key, log, since_ms, most)
  local first, readers = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1], redis.call('HGETALL', key)
  local least = first and tonumber(string.match(first[1], '^(%d+)-')) - 1 or 0
  for i = 2, #readers, 2 do
    local position, seen = string.match(readers[i], '^(%d+),(%d+)$')
    if position and tonumber(seen) >= since_ms and tonumber(position) >= least then
      most = math.min(most, tonumber(position))
    end
  end
  return most
end
"""

# KEYS account log due accounts addresses hold undelivered, then the account's other keys, of which a new one has none
# ARGV now_ms, account, entry when new, entry when revived, address field, its expected account ('' = none), count of
# field pairs for a new account, those pairs, then field pairs for a known one
CONNECT = """
local account = KEYS[1]
if (redis.call('HGET', KEYS[5], ARGV[5]) or '') ~= ARGV[6] then return 'moved' end
local fresh = tonumber(ARGV[7])
local known = redis.call('HMGET', account, 'state', 'seq', 'log_bytes', 'address')
if known[1] == 'deleting' then return 'deleting' end
if known[1] and known[4] ~= ARGV[5] and ARGV[6] ~= ARGV[2] then return 'taken' end
if not known[1] then
  for i = 8, 7 + 2 * fresh, 2 do redis.call('HSET', account, ARGV[i], ARGV[i + 1]) end
  redis.call('DEL', KEYS[2])
  for i = 8, #KEYS do redis.call('DEL', KEYS[i]) end
  redis.call('XADD', KEYS[2], '1-' .. ARGV[1], 'e', ARGV[3])
  redis.call('HSET', account, 'seq', 1, 'log_bytes', #ARGV[3] + 32)
  redis.call('SADD', KEYS[4], ARGV[2])
else
  for i = 8 + 2 * fresh, #ARGV, 2 do redis.call('HSET', account, ARGV[i], ARGV[i + 1]) end
  redis.call('HINCRBY', account, 'grant', 1)
  redis.call('HINCRBY', account, 'hints', 1)
  redis.call('DEL', KEYS[6])
  if known[1] ~= 'active' then
    local seq = tonumber(known[2]) + 1
    redis.call('XADD', KEYS[2], 'NOMKSTREAM', string.format('%.0f-%s', seq, ARGV[1]), 'e', ARGV[4])
    redis.call('HSET', account, 'state', 'active', 'reason', '', 'seq', string.format('%.0f', seq),
      'log_bytes', tonumber(known[3]) + #ARGV[4] + 32)
  end
end
redis.call('ZADD', KEYS[3], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[7], 'NX', ARGV[1], ARGV[2])
redis.call('HSET', KEYS[5], ARGV[5], ARGV[2])
return known[1] and 'known' or 'new'
"""

# KEYS account due lease; ARGV account, now_ms: from here on every late write is refused
MARK_DELETED = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 'unknown' end
redis.call('HSET', KEYS[1], 'state', 'deleting')
redis.call('HSETNX', KEYS[1], 'deleted_ms', ARGV[2])
redis.call('HINCRBY', KEYS[1], 'fence', 1)
redis.call('DEL', KEYS[3])
redis.call('ZADD', KEYS[2], 0, ARGV[1])
return 'ok'
"""

# KEYS account due accounts addresses undelivered, then the account's other keys; ARGV account, address field
FORGET = """
if redis.call('HGET', KEYS[1], 'state') ~= 'deleting' then return 'late' end
for i = 6, #KEYS do redis.call('DEL', KEYS[i]) end
redis.call('ZREM', KEYS[5], ARGV[1])
if redis.call('HGET', KEYS[4], ARGV[2]) == ARGV[1] then redis.call('HDEL', KEYS[4], ARGV[2]) end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('SREM', KEYS[3], ARGV[1])
redis.call('DEL', KEYS[1])
return 'ok'
"""

# KEYS account log undelivered; ARGV now_ms, what was asked for, event or '', account, field pairs
WATCHED = """
local was = redis.call('HMGET', KEYS[1], 'state', 'seq', 'log_bytes', 'watch_ask', 'watch_lapsing')
if was[1] ~= 'active' then return 'late' end
for i = 5, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
if ARGV[2] ~= '' and was[4] == ARGV[2] then redis.call('HDEL', KEYS[1], 'watch_ask') end
if ARGV[3] ~= '' and was[5] ~= '1' then
  local seq = tonumber(was[2]) + 1
  redis.call('XADD', KEYS[2], 'NOMKSTREAM', string.format('%.0f-%s', seq, ARGV[1]), 'e', ARGV[3])
  redis.call('HSET', KEYS[1], 'seq', string.format('%.0f', seq), 'log_bytes', tonumber(was[3]) + #ARGV[3] + 32)
  redis.call('ZADD', KEYS[3], 'NX', ARGV[1], ARGV[4])
end
return 'ok'
"""

# KEYS account readers log
# ARGV reader, now_ms, epoch of the cursor ('' = none), position, limit, from ('start', 'earliest', 'after')
CHANGES = """
local was = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'provider', 'user_id', 'state')
if not was[1] or was[5] == 'deleting' then return {'unknown'} end
local seq, position = tonumber(was[2]), tonumber(ARGV[4])
if redis.call('EXISTS', KEYS[3]) == 0 then return {'expired'} end
local first = redis.call('XRANGE', KEYS[3], '-', '+', 'COUNT', 1)
local oldest = seq + 1
if first[1] then oldest = tonumber(string.match(first[1][1], '^(%d+)-')) end
if ARGV[6] == 'earliest' then position = oldest - 1 end
if ARGV[6] == 'after' and ARGV[3] ~= was[1] then position = -1 end
if position > seq or position < oldest - 1 then
  redis.call('HSET', KEYS[2], ARGV[1], string.format('%.0f,%s', oldest - 1, ARGV[2]))
  return {'expired'}
end
redis.call('HSET', KEYS[2], ARGV[1], string.format('%.0f,%s', position, ARGV[2]))
local from = string.format('(%.0f-18446744073709551615', position)
local rows = redis.call('XRANGE', KEYS[3], from, '+', 'COUNT', tonumber(ARGV[5]))
local out = {}
for i, row in ipairs(rows) do out[i] = {row[1], row[2][2]} end
return {'ok', was[1], seq, was[3], was[4], position, out}
"""

# KEYS account due; ARGV plain or content, now_ms, account; a resync asked for: taken up by the next invocation
ASK_RESYNC = """
local was = redis.call('HMGET', KEYS[1], 'state', 'asked')
if not was[1] or was[1] == 'deleting' then return 'unknown' end
if string.sub(was[2] or '', 1, 7) ~= 'content' then redis.call('HSET', KEYS[1], 'asked', ARGV[1] .. ':' .. ARGV[2]) end
redis.call('HINCRBY', KEYS[1], 'hints', 1)
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[3])
return 'ok'
"""

# KEYS one account each; their fields, flat
FIELDS = """
local found = {}
for i, key in ipairs(KEYS) do found[i] = redis.call('HGETALL', key) end
return found
"""

# KEYS failures, open, sync_perf of each provider; ARGV how many of its last syncs
STANDINGS = """
local found = {}
for i = 1, #KEYS, 3 do
  local breaker, syncs = 'closed', {}
  if redis.call('EXISTS', KEYS[i + 1]) == 1 then breaker = 'open'
  elseif redis.call('HEXISTS', KEYS[i], 'opened') == 1 then breaker = 'half_open' end
  for n, row in ipairs(redis.call('XREVRANGE', KEYS[i + 2], '+', '-', 'COUNT', ARGV[1])) do syncs[n] = row[2] end
  found[#found + 1] = {breaker, syncs}
end
return found
"""
