-- Stores the next revision of a case once per cause; returns the verdict that this cause stored, or nothing on a conflict.
-- The first verdict stays next to it, for whoever delivers the transaction again.
-- KEYS: 1 case, 2 holds. ARGV: revision, verdict, hold's end in ms or '', lifetime in ms, transaction id, expected revision, cause.
local cause = 'cause:' .. ARGV[7]
local stored = redis.call('HGET', KEYS[1], cause)
if stored then
  return stored
end
local revision, verdict = unpack(redis.call('HMGET', KEYS[1], 'revision', 'verdict'))
if revision ~= ARGV[6] then
  return false
end
if revision == '1' then
  redis.call('HSETNX', KEYS[1], 'first', verdict)
end
redis.call('HSET', KEYS[1], 'revision', ARGV[1], 'verdict', ARGV[2], 'open_until', ARGV[3], cause, ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
if ARGV[3] == '' then
  redis.call('ZREM', KEYS[2], ARGV[5])
else
  redis.call('ZADD', KEYS[2], ARGV[3], ARGV[5])
end
return ARGV[2]
