"""The webhook's side of the change log, in Lua: who is waiting, the next batch, what became of the last one.

    script       guards                                  a repeat
    DUE          the target is open to one               reads the same
    NEXT         lease, position, attempt of the batch   settles nothing twice, and returns the same batch again
    REDELIVER    epoch, what is kept                     sets the same position

NEXT in one step settles what became of a batch (`h.settled`) and takes the one behind it, so that n batches cost n + 1
requests. A batch is a range of the log that stays what it is until it is delivered or given up: `until` is stored when
it is taken first. The position is the webhook's own, kept apart from the sync's cursor, and is a reader's in `readers`,
under a name that no reader of /mailbox/changes can have. As a reader it was last seen when a batch was delivered: one
that does not answer holds up no backfill for longer than a day.

    the log's epoch is another                  begins at its start
    the log was trimmed past the position       goes on with what is left; a resync with content is asked for, once, and
                                                an alert is raised; cleared when that snapshot's end is delivered
    `delivery` was lost                         comes again from the start of the log. That the alert is raised is kept
                                                with the account, as epoch:place

As in redis_scripts.py, all keys are in KEYS, and times are in ARGV but for the TTLs.
"""

from shared.core import change

READER = "@webhook"
DEAD_LETTERS_MAX = 1000
ALERT = "webhook_behind"
RAISED = change.entry(
    "alert.raised", {"alert": ALERT, "detail": "the log no longer holds what the webhook has not got"}
)
CLEARED = change.entry("alert.cleared", {"alert": ALERT, "detail": None})

# KEYS undelivered target open; ARGV now_ms, how many; accounts whose time has come, one where a probe is to be made
DUE = """
if redis.call('HGET', KEYS[2], 'gone') or redis.call('EXISTS', KEYS[3]) == 1 then return {} end
local many = ARGV[2]
if redis.call('HGET', KEYS[2], 'opened') then many = 1 end
return redis.call('ZRANGE', KEYS[1], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, many)
"""

# KEYS account log delivery lease readers dead undelivered target open probe; ARGV header (JSON), alert raised, cleared
NEXT = """
local h = cjson.decode(ARGV[1])
local account, log, delivery, lease, readers, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local undelivered, target, open, probe = KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local function whole(number) return string.format('%.0f', number) end
local was = redis.call('HMGET', account, 'state', 'epoch', 'seq', 'provider', 'user_id', 'log_bytes', 'asked',
  'webhook_behind')
local epoch, seq, bytes = was[2], tonumber(was[3] or '0'), tonumber(was[6] or '0')
local held = redis.call('GET', lease)
local function leave(answer, at)
  if redis.call('GET', lease) == h.owner then redis.call('DEL', lease) end
  if redis.call('GET', probe) == h.owner then redis.call('DEL', probe) end
  if not at then redis.call('ZREM', undelivered, h.account)
  else redis.call('ZADD', undelivered, 'XX', whole(at), h.account) end
  return answer
end
if not was[1] or was[1] == 'deleting' then return leave({'gone'}) end
local d = redis.call('HMGET', delivery, 'epoch', 'position', 'until', 'attempts', 'since', 'next')
local position, last, attempts = tonumber(d[2] or '0'), tonumber(d[3] or '0'), tonumber(d[4] or '0')
local since, next_at = tonumber(d[5] or '0'), tonumber(d[6] or '0')
local told_in, told_at = string.match(was[8] or ':0', '^(.*):(%d+)$')
local behind = (told_in == epoch or not was[8]) and tonumber(told_at) or 1
local function say(entry)
  seq, bytes = seq + 1, bytes + #entry + h.entry_overhead
  redis.call('XADD', log, whole(seq) .. '-' .. whole(h.now), 'e', entry)
  redis.call('HSET', account, 'seq', whole(seq), 'log_bytes', whole(bytes))
end
local function passed(to)
  position, last, attempts, since, next_at = to, 0, 0, 0, 0
  redis.call('HSET', delivery, 'epoch', epoch, 'position', whole(to), 'until', 0, 'attempts', 0, 'since', 0, 'next', 0)
end
local function reads(at)
  at = at or string.match(redis.call('HGET', readers, h.reader) or ',0', ',(%d+)$')
  redis.call('HSET', readers, h.reader, whole(position) .. ',' .. at)
end

local s = h.settled
if s then
  if held and held ~= h.owner then return {'held'} end
  if d[1] == s.epoch and epoch == s.epoch and position == s.first - 1 and last == s.last and attempts == s.attempts then
    if s.verdict ~= 'down' then
      redis.call('HDEL', target, 'failures', 'opened')
      redis.call('DEL', open, probe)
    else
      local failures = redis.call('HINCRBY', target, 'failures', 1)
      if redis.call('HGET', target, 'opened') or failures >= h.threshold then
        redis.call('HSET', target, 'opened', 1)
        redis.call('SET', open, '1', 'PX', h.cooldown_ms)
        redis.call('DEL', probe)
      end
    end
    redis.call('HSET', target, 'said', s.said)
    if s.verdict == 'delivered' then
      if behind > 0 and s.ended > behind and redis.call('EXISTS', log) == 1 then
        say(ARGV[3])
        redis.call('HDEL', account, 'webhook_behind')
        behind = 0
      end
      passed(s.last)
      reads(whole(h.now))
    elseif s.verdict == 'gone' then
      redis.call('HSET', target, 'gone', whole(h.now))
    elseif s.dead then
      redis.call('XADD', dead, 'MAXLEN', h.dead_max, '*', 'epoch', epoch, 'first', whole(s.first), 'last',
        whole(s.last), 'attempts', attempts + 1, 'said', s.said)
      redis.call('HSET', delivery, 'dead', redis.call('XLEN', dead))
      passed(s.last)
      reads()
    else
      attempts, since, next_at = attempts + 1, since > 0 and since or h.now, s.next
      redis.call('HSET', delivery, 'attempts', attempts, 'since', whole(since), 'next', whole(next_at), 'said', s.said)
    end
  end
end

if d[1] ~= epoch then
  passed(0)
  reads(whole(h.now))
end
local first = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
if not first or position >= seq then
  if first then reads() end
  return leave({'idle'})
end
if redis.call('HGET', target, 'gone') then return leave({'paused'}, h.now + h.paused_ms) end
if next_at > h.now then return leave({'waiting'}, next_at) end
local closed = redis.call('PTTL', open)
if closed > 0 then return leave({'open'}, h.now + closed) end
if held and held ~= h.owner then return leave({'held'}, h.now + redis.call('PTTL', lease)) end
if not h.take then return leave({'more'}, h.now) end
if redis.call('HGET', target, 'opened') and not redis.call('SET', probe, h.owner, 'NX', 'PX', h.ttl_ms) and
  redis.call('GET', probe) ~= h.owner then
  return leave({'open'}, h.now + redis.call('PTTL', probe))
end
local oldest = tonumber(string.match(first[1], '^(%d+)-'))
if oldest > position + 1 then
  passed(oldest - 1)
  reads()
  if behind == 0 then
    say(ARGV[2])
    redis.call('HSET', account, 'webhook_behind', epoch .. ':' .. whole(seq))
  end
  if string.sub(was[7] or '', 1, 7) ~= 'content' then
    redis.call('HSET', account, 'asked', 'content:' .. whole(h.now))
    redis.call('HINCRBY', account, 'hints', 1)
  end
end
local rows, size, out = nil, 0, {}
if last > position then
  rows = redis.call('XRANGE', log, whole(position + 1), whole(last))
else
  rows = redis.call('XRANGE', log, whole(position + 1), '+', 'COUNT', h.events_max)
end
for i, row in ipairs(rows) do
  size = size + #row[2][2]
  if last <= position and i > 1 and size > h.bytes_max then break end
  out[i] = {row[1], row[2][2]}
end
if #out == 0 then return leave({'idle'}) end
last = tonumber(string.match(out[#out][1], '^(%d+)-'))
redis.call('HSET', delivery, 'until', whole(last))
redis.call('SET', lease, h.owner, 'PX', h.ttl_ms)
redis.call('ZADD', undelivered, 'NX', whole(h.now), h.account)
return {'batch', epoch, was[4], was[5], attempts, whole(since), out}
"""

# KEYS target open; ARGV none
TARGET = """
return {redis.call('HGETALL', KEYS[1]), redis.call('EXISTS', KEYS[2])}
"""

# KEYS account log delivery readers dead undelivered target open probe
# ARGV account, now_ms, epoch of the cursor ('' = replay the dead letters), place
REDELIVER = """
local was = redis.call('HMGET', KEYS[1], 'state', 'epoch', 'seq')
if not was[1] or was[1] == 'deleting' then return 'unknown' end
local at = redis.call('HMGET', KEYS[3], 'epoch', 'position')
local position = at[1] == was[2] and tonumber(at[2]) or 0
if ARGV[3] ~= '' then
  local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)
  if ARGV[3] ~= was[2] or not first[1] then return 'expired' end
  local place = tonumber(ARGV[4])
  if place > tonumber(was[3]) or place < tonumber(string.match(first[1][1], '^(%d+)-')) - 1 then return 'expired' end
  position = math.min(position, place)
else
  for _, row in ipairs(redis.call('XRANGE', KEYS[5], '-', '+')) do
    local letter = row[2]
    if letter[2] == was[2] then position = math.min(position, tonumber(letter[4]) - 1) end
  end
  redis.call('DEL', KEYS[5])
  redis.call('HDEL', KEYS[3], 'dead')
end
position = string.format('%.0f', position)
redis.call('HSET', KEYS[3], 'epoch', was[2], 'position', position, 'until', 0, 'attempts', 0, 'since', 0, 'next', 0)
redis.call('HSET', KEYS[4], '@webhook', position .. ',' .. ARGV[2])
redis.call('DEL', KEYS[7], KEYS[8], KEYS[9])
redis.call('ZADD', KEYS[6], ARGV[2], ARGV[1])
return 'ok'
"""
assert f"'{READER}'" in REDELIVER
