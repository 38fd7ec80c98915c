-- The breaker's counts, in front of the scripts that use them; scoring/decision/breaker.py says the same in Python.
--
-- State, a hash: `p:<step>:<ms of a step>` transactions and `s:<step>:<ms of a step>` granted stops of the share's window; while
-- open: `since`, `last` (refused), `limit`, `refused`; `lease`: until when a worker is telling. Steps carry their length, so that
-- workers with other settings during a restart do no harm. Next to it a list of the times of granted stops, newest first, as many
-- as a minute may hold, and a list of occurrences that nobody has told yet.
local call = redis.call
local KEPT_MS = 86400000

local function now_of(given)
  if given ~= '' then
    return tonumber(given)
  end
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function text(number)
  return string.format('%.0f', number)
end

local function in_window(state, now, window)
  local stops, passed, gone = 0, 0, {}
  local fields = call('HGETALL', state)
  for i = 1, #fields, 2 do
    local kind, step, width = string.match(fields[i], '^([ps]):(%d+):(%d+)$')
    if kind then
      if (step + 1) * width <= now - window then
        gone[#gone + 1] = fields[i]
      elseif kind == 's' then
        stops = stops + fields[i + 1]
      else
        passed = passed + fields[i + 1]
      end
    end
  end
  if #gone > 0 then
    call('HDEL', state, unpack(gone))
  end
  return stops, passed
end

local function count(state, kind, now, width, amount)
  call('HINCRBY', state, kind .. ':' .. text(math.floor(now / width)) .. ':' .. width, amount)
  call('PEXPIRE', state, KEPT_MS)
end

local function tell(alarms, ...)
  call('RPUSH', alarms, table.concat({ ... }, ' '))
  call('LTRIM', alarms, -ALARMS_MAX, -1)
  call('PEXPIRE', alarms, KEPT_MS)
end

local function close_when_quiet(state, alarms, now)
  local since, last, limit, refused = unpack(call('HMGET', state, 'since', 'last', 'limit', 'refused'))
  if since and now - last >= CLOSES_AFTER then
    tell(alarms, 'closed', since, text(now), limit, refused, '0')
    call('HDEL', state, 'since', 'last', 'limit', 'refused')
    since = false
  end
  return since
end

local function refuse(state, alarms, now, limit, stops, passed)
  if not close_when_quiet(state, alarms, now) then
    call('HSET', state, 'since', text(now), 'limit', limit, 'refused', '0')
    tell(alarms, 'open', text(now), text(now), limit, stops, passed)
  end
  call('HSET', state, 'last', text(now))
  call('HINCRBY', state, 'refused', 1)
  call('PEXPIRE', state, KEPT_MS)
  return false
end

local function admits(state, recent, alarms, now, per_minute_max, share_max, window, width, minimum)
  if per_minute_max ~= '' then
    local most = tonumber(per_minute_max)
    local oldest = most > 0 and call('LINDEX', recent, most - 1)
    if most == 0 or oldest and now - oldest < MINUTE then
      return refuse(state, alarms, now, 'per_minute', per_minute_max, '0')
    end
  end
  if share_max ~= '' then
    local stops, passed = in_window(state, now, window)
    if passed >= tonumber(minimum) and stops + 1 > share_max * passed then
      return refuse(state, alarms, now, 'share', text(stops), text(passed))
    end
    count(state, 's', now, width, 1)
  end
  if per_minute_max ~= '' then
    call('LPUSH', recent, text(now))
    call('LTRIM', recent, 0, per_minute_max - 1)
    call('PEXPIRE', recent, KEPT_MS)
  end
  return true
end
