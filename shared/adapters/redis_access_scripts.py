"""One refresh of a mailbox's access token at a time, in Lua; as in redis_scripts.py, idempotent under a lost reply.

script        guards                       a repeat
TAKE_REFRESH  the token that was refused   by the same owner is its again; a fresher token is given instead
SAVE_ACCESS   grant number                 saves the same again
FREE_REFRESH  owner                        changes nothing
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
