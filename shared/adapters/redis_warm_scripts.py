"""Warming in Lua: preferences.

    script     guards            a repeat
    PREFER     -                 stores the same again

As in redis_scripts.py, all keys are in KEYS, and times are in ARGV.
"""

# KEYS preferences; ARGV text ('' deletes), then the user's names, the newest first
PREFER = """
for i = 2, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
if ARGV[1] ~= '' then redis.call('HSET', KEYS[1], ARGV[2], ARGV[1]) end
return 'ok'
"""
