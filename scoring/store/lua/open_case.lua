-- Remembers a verdict that may be resolved, unless it is known by an equal or higher revision.
-- KEYS: 1 case, 2 holds, 3 breaker's state, 4 its granted stops, 5 its occurrences.
-- ARGV: revision, verdict, hold's end in ms or '', lifetime in ms, transaction id, the verdict in its place or '' where the breaker has
-- no say, then the breaker's limits: stops a minute or '', share or '', window in ms, ms of a step, least transactions; now in ms or ''.
-- Returns 1 where the verdict was stored, 2 where the one in its place was, the verdict of this revision where one was known.
-- A transaction asks the breaker once: what it was told is stored by the same script that asked.
local known, stands, first = unpack(call('HMGET', KEYS[1], 'revision', 'verdict', 'first'))
if known and tonumber(known) >= tonumber(ARGV[1]) then
  return known == ARGV[1] and stands or first
end
local verdict, hold_until, stored = ARGV[2], ARGV[3], 1
if ARGV[6] ~= '' and not admits(KEYS[3], KEYS[4], KEYS[5], now_of(ARGV[12]), unpack(ARGV, 7, 11)) then
  verdict, hold_until, stored = ARGV[6], '', 2
end
call('HSET', KEYS[1], 'revision', ARGV[1], 'verdict', verdict, 'open_until', hold_until)
call('PEXPIRE', KEYS[1], ARGV[4])
if hold_until == '' then
  call('ZREM', KEYS[2], ARGV[5])
else
  call('ZADD', KEYS[2], hold_until, ARGV[5])
end
return stored
