-- Stores the next revision of a case once per cause; returns the verdict that this cause stored, or nothing on a conflict.
-- KEYS: 1 case, 2 holds. ARGV: as open_case.lua, then expected revision, cause.
local cause = 'cause:' .. ARGV[7]
local stored = redis.call('HGET', KEYS[1], cause)
if stored then
  return stored
end
if redis.call('HGET', KEYS[1], 'revision') ~= ARGV[6] then
  return false
end
redis.call('HSET', KEYS[1], 'revision', ARGV[1], 'verdict', ARGV[2], 'open_until', ARGV[3], cause, ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
if ARGV[3] == '' then
  redis.call('ZREM', KEYS[2], ARGV[5])
else
  redis.call('ZADD', KEYS[2], ARGV[3], ARGV[5])
end
return ARGV[2]
