"""Every state transition of a sync as a Lua script: atomic, and idempotent under a lost reply.

    script     guards                         a repeat
    BEGIN      state, hold, lease, breaker    by the same owner begins again with a higher fence; that it was called
                                              for by a push is kept with the owner, since `called` is gone by then
    APPEND     fence, version, index, log     of the last step id returns what that step returned
    RENEW      fence                          renews again
    FAILED     -                              counts one failure more (harmless: it opens the breaker sooner)
    LOSE       grant number                   changes nothing, the grant is lost already

A lost log stays lost until BEGIN says so: what appends outside of a step makes none anew (NOMKSTREAM). All keys are in
KEYS, all times in ARGV but the TTLs, which the store counts. `redis_store.py` adds Upstash's key-locking flag where it
talks to Upstash; plain Redis refuses it.

Source: https://upstash.com/docs/redis/overall/llms-txt (Lua: key locking); https://redis.io/docs/latest/develop/programmability/eval-intro/
"""

from shared.adapters.redis_account_scripts import SLOWEST_READER

# KEYS account lease hold index log failures open probe called readers
# ARGV owner, ttl_ms, provider, as_hint, new epoch, readers seen before this are forgotten (ms)
BEGIN = (
    SLOWEST_READER
    + """
local account = KEYS[1]
local state = redis.call('HGET', account, 'state')
if not state or redis.call('HGET', account, 'provider') ~= ARGV[3] then return {'unknown'} end
if ARGV[4] == '1' then redis.call('HINCRBY', account, 'hints', 1) end
if state ~= 'active' then return {state, redis.call('HGET', account, 'reason') or ''} end
local owner = redis.call('GET', KEYS[2])
if owner and owner ~= ARGV[1] then
  if ARGV[4] ~= '1' then redis.call('HINCRBY', account, 'hints', 1) end
  return {'lease_held', redis.call('PTTL', KEYS[2])}
end
local hold = redis.call('PTTL', KEYS[3])
if hold > 0 then return {'cooling_down', hold} end
local open = redis.call('PTTL', KEYS[7])
if open > 0 then return {'breaker_open', open} end
local probe = '0'
if redis.call('HGET', KEYS[6], 'opened') then
  if not redis.call('SET', KEYS[8], ARGV[1], 'NX', 'PX', ARGV[2]) and redis.call('GET', KEYS[8]) ~= ARGV[1] then
    return {'breaker_open', redis.call('PTTL', KEYS[8])}
  end
  probe = '1'
end
local lost = ''
local had = redis.call('HMGET', account, 'index_n', 'seq', 'cursor')
if not had[3] then lost = 'cursor' end
if tonumber(had[2] or '0') > 0 and redis.call('EXISTS', KEYS[5]) == 0 then lost = 'log' end
if tonumber(had[1] or '0') > 0 and redis.call('EXISTS', KEYS[4]) == 0 then lost = 'index' end
if lost == 'index' or lost == 'log' then
  redis.call('HSET', account, 'epoch', ARGV[5], 'seq', 0, 'log_bytes', 0)
  redis.call('DEL', KEYS[5])
  if lost == 'index' then redis.call('HSET', account, 'index_n', 0) end
end
if lost ~= '' then redis.call('HSET', account, 'lost', lost) end
local waits = tonumber(redis.call('HGET', account, 'log_waits') or '0')
if waits > 0 and (lost ~= '' or slowest_reader(KEYS[10], KEYS[5], tonumber(ARGV[6]), waits) >= waits) then
  redis.call('HDEL', account, 'log_waits')
end
redis.call('HINCRBY', account, 'fence', 1)
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
if redis.call('DEL', KEYS[9]) == 1 then redis.call('HSET', account, 'woken', ARGV[1]) end
return {'ok', probe, redis.call('HGETALL', account), redis.call('HGET', account, 'woken') == ARGV[1] and 1 or 0}
"""
)

# KEYS account lease; ARGV fence, owner, ttl_ms
RENEW = """
local was = redis.call('HMGET', KEYS[1], 'fence', 'hints', 'hint_history', 'pushes')
if was[1] ~= ARGV[1] then return {'late'} end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return {'ok', was[2], was[3] or '0', was[4] or '0'}
"""

# KEYS account lease hold index log pages readers perf due failures open probe undelivered, then one per cached message
# (what is cached for readers is richer, and stays), then a thread for each new message
# Trimmed is what is too old or too much. What a reader has not passed makes a pausable step wait, until `log_waits` is
# passed; a quarter of the room is for live changes alone, which push out no more of it than they bring.
# ARGV header (JSON), then events, index deletions, index pairs, field pairs, page pairs, texts, message ids, perf pairs
APPEND = (
    SLOWEST_READER
    + """
local h = cjson.decode(ARGV[1])
local account = KEYS[1]
local was = redis.call('HMGET', account,
  'fence', 'version', 'step', 'step_released', 'hints', 'seq', 'log_bytes', 'state', 'pushes', 'index_n')
local pushes = tonumber(was[9] or '0')
if not was[1] then return {'gone'} end
if was[3] == h.step then return {'ok', tonumber(was[2]), tonumber(was[5]), tonumber(was[4]), pushes} end
if was[1] ~= h.fence or tonumber(was[2]) ~= h.version or was[8] ~= 'active' then return {'late'} end
-- Lost under a running sync, whose step was made without it: nothing is written, and the next begin says what is lost.
if (tonumber(was[10]) > 0 and redis.call('EXISTS', KEYS[4]) == 0) or
  (tonumber(was[6]) > 0 and redis.call('EXISTS', KEYS[5]) == 0) then
  redis.call('DEL', KEYS[2])
  return {'lost'}
end
local seq, bytes, at = tonumber(was[6]), tonumber(was[7]), 2
local added = 0
for i = 1, h.events do added = added + #ARGV[1 + i] + h.entry_overhead end
local trim_to = nil
if h.events > 0 then
  local excess = bytes + added - h.bytes_max * (h.pausable and 0.75 or 1)
  if h.webhook and redis.call('HSETNX', KEYS[7], '@webhook', string.format('0,%.0f', h.now)) == 1 then
    redis.call('ZADD', KEYS[13], 'NX', string.format('%.0f', h.now), h.account) -- its place is set by who delivers
  end
  local floor = slowest_reader(KEYS[7], KEYS[5], h.now - h.reader_ms, seq)
  local from, freed, unread, waits = '-', 0, 0, nil
  while true do
    local rows = redis.call('XRANGE', KEYS[5], from, '+', 'COUNT', 64)
    local stop = #rows == 0
    for _, row in ipairs(rows) do
      local n, ms = string.match(row[1], '^(%d+)-(%d+)$')
      local old, size = tonumber(ms) < h.now - h.age_ms, #row[2][2] + h.entry_overhead
      if freed >= excess and not old then stop = true break end
      if tonumber(n) > floor then
        if h.pausable then waits = n
        elseif not old and unread >= added then stop = true break end
        unread = unread + size
      end
      freed = freed + size
      trim_to = tonumber(n) + 1
      from = '(' .. row[1]
    end
    if stop then break end
  end
  if waits then
    redis.call('HSET', account, 'log_waits', waits)
    return {'log_full'}
  end
  if trim_to then redis.call('XTRIM', KEYS[5], 'MINID', trim_to .. '-0') end
  bytes = bytes + added - freed
  redis.call('ZADD', KEYS[13], 'NX', string.format('%.0f', h.now), h.account)
  for i = 1, h.events do
    seq = seq + 1
    redis.call('XADD', KEYS[5], string.format('%.0f-%.0f', seq, h.now), 'e', ARGV[at])
    at = at + 1
  end
end
for i = 1, h.index_del do redis.call('HDEL', KEYS[4], ARGV[at]) at = at + 1 end
for i = 1, h.index_set / 2 do redis.call('HSET', KEYS[4], ARGV[at], ARGV[at + 1]) at = at + 2 end
for i = 1, h.fields / 2 do redis.call('HSET', account, ARGV[at], ARGV[at + 1]) at = at + 2 end
for field, value in pairs(h.taken) do
  local now = redis.call('HGET', account, field) or ''
  if now == value then
    redis.call('HDEL', account, field)
  elseif string.sub(now, 1, #value) == value then
    redis.call('HSET', account, field, string.sub(now, #value + 1))
  end
end
if h.clear then redis.call('DEL', KEYS[6]) end
for i = 1, h.pages / 2 do redis.call('HSET', KEYS[6], ARGV[at], ARGV[at + 1]) at = at + 2 end
if h.note_known then
  local page, n, known = {}, 0, redis.call('HKEYS', KEYS[4])
  for i, id in ipairs(known) do
    page[#page + 1] = id
    if #page == 500 or i == #known then
      redis.call('HSET', KEYS[6], 'known/' .. n, table.concat(page, ','))
      page, n = {}, n + 1
    end
  end
  if #known == 0 then redis.call('HSET', KEYS[6], 'known/0', '') end
end
for i = 1, h.cache do
  local key = KEYS[13 + i]
  if ARGV[at] == '' then
    redis.call('DEL', key)
  elseif redis.call('GETRANGE', key, 0, 0) ~= 'r' then
    redis.call('SET', key, ARGV[at], 'PX', h.cache_ms)
  end
  at = at + 1
end
for i = 14 + h.cache, #KEYS do
  local members, id = redis.call('GET', KEYS[i]), ARGV[at]
  if members and not string.find(',' .. members .. ',', ',' .. id .. ',', 1, true) then
    redis.call('APPEND', KEYS[i], ',' .. id)
  end
  at = at + 1
end
if h.spent_ms > 0 then
  local full = tonumber(redis.call('HGET', account, 'full_at_ms') or '0')
  redis.call('HSET', account, 'full_at_ms', string.format('%.0f', math.max(full, h.now) + h.spent_ms))
end
if h.hold_ms > 0 then redis.call('SET', KEYS[3], '1', 'PX', h.hold_ms) end
if h.healthy and redis.call('EXISTS', KEYS[11]) == 0 and
  (not redis.call('HGET', KEYS[10], 'opened') or redis.call('GET', KEYS[12]) == h.owner) then
  redis.call('DEL', KEYS[10], KEYS[12])
end
if h.due_ms ~= cjson.null then redis.call('ZADD', KEYS[9], h.due_ms, h.account) end
if h.served then redis.call('HSET', account, 'served', h.hints) end
local hints, released = tonumber(was[5]), 0
if h.let_go or (h.release and hints == h.hints and pushes == h.pushes) then
  if redis.call('GET', KEYS[2]) == h.owner then redis.call('DEL', KEYS[2]) end
  released = 1
else
  redis.call('SET', KEYS[2], h.owner, 'PX', h.ttl_ms)
end
if h.perf > 0 and released == 1 then
  redis.call('XADD', KEYS[8], 'MAXLEN', '~', 1000, '*', unpack(ARGV, at, at + h.perf - 1))
  redis.call('HINCRBY', account, 'sum:syncs', 1)
  for i = at, at + h.perf - 2, 2 do
    if h.summed[ARGV[i]] then redis.call('HINCRBYFLOAT', account, 'sum:' .. ARGV[i], ARGV[i + 1]) end
  end
end
redis.call('HSET', account, 'version', h.version + 1, 'step', h.step, 'step_released', released,
  'seq', string.format('%.0f', seq), 'log_bytes', string.format('%.0f', bytes), 'index_n', redis.call('HLEN', KEYS[4]))
local deliver = 0
if h.webhook and h.events > 0 and tonumber(redis.call('ZSCORE', KEYS[13], h.account)) <= h.now then deliver = 1 end
return {'ok', h.version + 1, hints, released, pushes, deliver}
"""
)

# KEYS index, then one per message id; ARGV packed ids
READ = """
local cached = {}
for i = 2, #KEYS do cached[i - 1] = redis.call('GET', KEYS[i]) end
return {redis.call('HMGET', KEYS[1], unpack(ARGV)), cached}
"""

# KEYS pages index; ARGV table, page, offset, unknown, limit
WALK = """
local page, offset, limit = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[5])
local found, looked = {}, 0
-- Each table has a page 0: without it pages were lost, all of them or those before others that were stored since.
if redis.call('HEXISTS', KEYS[1], ARGV[1] .. '/0') == 0 then return {found, page, offset, 2} end
while #found < limit and looked < 20 do
  local stored = redis.call('HGET', KEYS[1], ARGV[1] .. '/' .. page)
  if not stored then return {found, page, offset, 1} end
  local n = 0
  for id in string.gmatch(stored, '[^,]+') do
    n = n + 1
    if n > offset then
      offset = n
      if ARGV[4] ~= '1' or redis.call('HEXISTS', KEYS[2], id) == 0 then found[#found + 1] = id end
      if #found == limit then break end
    end
  end
  if #found < limit then page, offset, looked = page + 1, 0, looked + 1 end
end
local ended = 0
if redis.call('HEXISTS', KEYS[1], ARGV[1] .. '/' .. page) == 0 then ended = 1 end
return {found, page, offset, ended}
"""

# KEYS pages index; ARGV scan cursor
SCAN = """
local pages = {}
if ARGV[1] == '0' then pages = redis.call('HGETALL', KEYS[1]) end
local part = redis.call('HSCAN', KEYS[2], ARGV[1], 'COUNT', 5000)
return {pages, part[1], part[2]}
"""

# KEYS failures open due probe; ARGV account, threshold, cooldown_ms
FAILED = """
local open = redis.call('PTTL', KEYS[2])
if open > 0 then return open end
local failures = redis.call('HINCRBY', KEYS[1], 'failures', 1)
redis.call('HSET', KEYS[1], 'of:' .. ARGV[1], 1)
local mailboxes = 0
for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(name, 1, 3) == 'of:' then mailboxes = mailboxes + 1 end
end
local opened = redis.call('HGET', KEYS[1], 'opened')
local several = redis.call('ZCARD', KEYS[3]) > 1
if opened or (failures >= tonumber(ARGV[2]) and (mailboxes > 1 or not several)) then
  redis.call('HSET', KEYS[1], 'opened', 1)
  redis.call('SET', KEYS[2], '1', 'PX', ARGV[3])
  redis.call('DEL', KEYS[4])
  return tonumber(ARGV[3])
end
return 0
"""

# KEYS account log due lease undelivered; ARGV grant, reason, now_ms, event, account, owner
LOSE = """
local was = redis.call('HMGET', KEYS[1], 'state', 'grant', 'seq', 'log_bytes')
if not was[1] then return 'gone' end
if was[2] ~= ARGV[1] then return 'late' end
if was[1] == 'reauth_required' then return 'ok' end
if was[1] ~= 'active' then return 'late' end
local seq = tonumber(was[3]) + 1
redis.call('XADD', KEYS[2], 'NOMKSTREAM', string.format('%.0f-%s', seq, ARGV[3]), 'e', ARGV[4])
redis.call('HSET', KEYS[1], 'state', 'reauth_required', 'reason', ARGV[2], 'seq', string.format('%.0f', seq),
  'log_bytes', tonumber(was[4]) + #ARGV[4] + 32)
redis.call('HDEL', KEYS[1], 'access')
redis.call('ZREM', KEYS[3], ARGV[5])
redis.call('ZADD', KEYS[5], 'NX', ARGV[3], ARGV[5])
if redis.call('GET', KEYS[4]) == ARGV[6] then redis.call('DEL', KEYS[4]) end
return 'ok'
"""
