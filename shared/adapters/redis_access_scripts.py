"""Access tokens in Lua: refreshed by one instance at a time, saved where the grant is still the one that was used.

    script         guards            a repeat
    TAKE_REFRESH   account exists    by the same owner takes it again
    SAVE_ACCESS    grant number      saves the same again
    FREE_REFRESH   owner             frees nothing more
    REKEY          old values        finds the new ones and leaves them

As in redis_scripts.py, all keys are in KEYS; the TTL is counted by the store.
"""

# KEYS account refreshing; ARGV grant, access (sealed), expires_at_s, refresh (sealed, or "")
SAVE_ACCESS = """
if redis.call('HGET', KEYS[1], 'grant') ~= ARGV[1] then return 'late' end
redis.call('HSET', KEYS[1], 'access', ARGV[2], 'access_until_s', ARGV[3])
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'refresh', ARGV[4]) end
redis.call('DEL', KEYS[2])
return 'ok'
"""

# KEYS refreshing; ARGV owner
FREE_REFRESH = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 'ok'
"""

# KEYS account refreshing; ARGV owner, ttl_ms, the sealed access token that was refused
TAKE_REFRESH = """
local was = redis.call('HMGET', KEYS[1], 'state', 'grant', 'refresh', 'access', 'access_until_s')
if not was[1] then return {'gone'} end
if was[4] and was[4] ~= ARGV[3] then return {'fresh', was[4], was[5]} end
if not redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) and redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return {'wait'}
end
return {'yours', was[2], was[3]}
"""

# KEYS account addresses; ARGV account, its address field, the new one, then of each field: its name, old and new value
REKEY = """
if redis.call('HGET', KEYS[1], 'state') ~= 'active' then return 'late' end
for i = 4, #ARGV, 3 do
  local was = redis.call('HGET', KEYS[1], ARGV[i]) or ''
  if was == ARGV[i + 1] then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2]) end
end
if ARGV[2] ~= ARGV[3] and redis.call('HGET', KEYS[2], ARGV[2]) == ARGV[1] then
  redis.call('HSET', KEYS[2], ARGV[3], ARGV[1])
  redis.call('HDEL', KEYS[2], ARGV[2])
end
return 'ok'
"""
