"""Warming in Lua: preferences, what was read and what is new, what is taken.

    script     guards                           a repeat
    PREFER     -                                stores the same again
    LOOK       account active                   reads the same
    TAKE       account active, the model's      by the same token charges nothing and gives the same
               number; lease, hold, breaker

As in redis_scripts.py, all keys are in KEYS, and times are in ARGV but the TTLs.
"""

# KEYS preferences; ARGV text ('' deletes), then the user's names, the newest first
PREFER = """
for i = 2, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
if ARGV[1] ~= '' then redis.call('HSET', KEYS[1], ARGV[2], ARGV[1]) end
return 'ok'
"""

# KEYS account interest reads log; ARGV now_ms, most entries, most bytes of them, and of the views
LOOK = """
local was = redis.call('HMGET', KEYS[1], 'state', 'epoch', 'seq')
if was[1] ~= 'active' then return {'gone'} end
redis.call('HSET', KEYS[1], 'warmed_ms', ARGV[1])
local model = redis.call('HMGET', KEYS[2], 'number', 'model', 'epoch', 'seq')
local seq, most, entries, bytes = tonumber(was[3]), tonumber(ARGV[2]), {}, 0
local from = math.max(0, seq - most)
if model[3] == was[2] then from = math.max(from, tonumber(model[4])) end
for _, row in ipairs(redis.call('XREVRANGE', KEYS[4], '+', string.format('%.0f-0', from + 1), 'COUNT', most)) do
  bytes = bytes + #row[2][2]
  if bytes > tonumber(ARGV[3]) then break end
  table.insert(entries, 1, row[2][2])
end
local views = {}
bytes = 0
for _, row in ipairs(redis.call('XRANGE', KEYS[3], '-', '+')) do
  bytes = bytes + #row[2][2]
  if bytes > tonumber(ARGV[3]) then break end
  views[#views + 1] = row
end
return {'ok', model[1] or '0', model[2] or '', views, entries, was[2], was[3]}
"""

# KEYS account interest reads lease hold open, then for each likely message its key and its thread's
# ARGV token, number, model, its ttl_ms, epoch, seq, id of the last read, now_ms, tag, cache ttl_ms, worth (one 1 or 0
# each), then in ms of each bucket what a message costs and the most in use: warming's, the mailbox's
TAKE = """
local account, interest = KEYS[1], KEYS[2]
local was = redis.call('HMGET', account, 'state', 'warm_full_ms', 'full_at_ms')
if was[1] ~= 'active' then return {'gone'} end
local had = redis.call('HMGET', interest, 'number', 'token', 'taken')
local again = had[2] == ARGV[1]
if not again and (had[1] or '0') ~= ARGV[2] then return {'late'} end
local wanted = {}
for i = 1, #ARGV[11] do
  local message, thread = KEYS[5 + 2 * i], KEYS[6 + 2 * i]
  redis.call('PEXPIRE', thread, ARGV[10])
  if redis.call('GETRANGE', message, 0, #ARGV[9] - 1) == ARGV[9] then
    redis.call('PEXPIRE', message, ARGV[10])
  elseif string.sub(ARGV[11], i, i) == '1' then
    wanted[#wanted + 1] = i
  end
end
local now, taken = tonumber(ARGV[8]), 0
if again then
  taken = tonumber(had[3])
else
  local warm, live = math.max(now, tonumber(was[2] or '0')), math.max(now, tonumber(was[3] or '0'))
  local warm_each, warm_most = tonumber(ARGV[12]), tonumber(ARGV[13])
  local live_each, live_most = tonumber(ARGV[14]), tonumber(ARGV[15])
  local free = redis.call('EXISTS', KEYS[4], KEYS[5], KEYS[6]) == 0
  while free and taken < #wanted and warm + warm_each - now <= warm_most and live + live_each - now <= live_most do
    taken, warm, live = taken + 1, warm + warm_each, live + live_each
  end
  if taken > 0 then redis.call('HSET', account, 'warm_full_ms', string.format('%.0f', warm)) end
  redis.call('HSET', interest, 'number', tonumber(had[1] or '0') + 1, 'model', ARGV[3], 'epoch', ARGV[5],
    'seq', ARGV[6], 'token', ARGV[1], 'taken', taken)
  redis.call('PEXPIRE', interest, ARGV[4])
  if ARGV[7] ~= '' then redis.call('XTRIM', KEYS[3], 'MINID', ARGV[7]) redis.call('XDEL', KEYS[3], ARGV[7]) end
end
while #wanted > taken do table.remove(wanted) end
return {'ok', wanted}
"""
