-- Remembers a verdict that may be resolved, unless it is known by an equal or higher revision.
-- KEYS: 1 case, 2 holds. ARGV: revision, verdict, hold's end in ms or '', lifetime in ms, transaction id.
local known = redis.call('HGET', KEYS[1], 'revision')
if known and tonumber(known) >= tonumber(ARGV[1]) then
  return 0
end
redis.call('HSET', KEYS[1], 'revision', ARGV[1], 'verdict', ARGV[2], 'open_until', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
if ARGV[3] == '' then
  redis.call('ZREM', KEYS[2], ARGV[5])
else
  redis.call('ZADD', KEYS[2], ARGV[3], ARGV[5])
end
return 1
