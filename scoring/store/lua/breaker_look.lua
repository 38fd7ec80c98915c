-- Closes the breaker where it has been quiet for long enough; says whether it is open, and what one worker is to tell now.
-- KEYS: 1 state, 2 occurrences. ARGV: ms for which nobody else is to tell the same, now in ms or ''.
-- Returns 1 or 0 for open, then the occurrences: none while another worker is telling them.
local now = now_of(ARGV[2])
local found = { close_when_quiet(KEYS[1], KEYS[2], now) and 1 or 0 }
local untold = call('LRANGE', KEYS[2], 0, -1)
local lease = call('HGET', KEYS[1], 'lease')
if #untold > 0 and not (lease and now < tonumber(lease)) then
  call('HSET', KEYS[1], 'lease', text(now + ARGV[1]))
  call('PEXPIRE', KEYS[1], KEPT_MS)
  for i = 1, #untold do
    found[i + 1] = untold[i]
  end
end
return found
