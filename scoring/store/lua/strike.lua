-- Takes one counterpart's hash out of the lists of many entities of one kind; forms as in windows.lua.
-- KEYS: states. ARGV: hash, which list, how many lists an entity of this kind has. Returns how many held it.
local hash, which, lists = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local sub, byte, char = string.sub, string.byte, string.char

local function from_single(state)
  local mask, at = byte(state, -2), 17
  local bits = mask
  for _ = 1, which - 1 do
    at, bits = at + 8 * (bits % 2), math.floor(bits / 2)
  end
  if bits % 2 == 0 or sub(state, at, at + 7) ~= hash then
    return nil
  end
  return sub(state, 1, at - 1) .. sub(state, at + 8, -3) .. char(mask - 2 ^ (which - 1), 1)
end

local function from_full(state)
  local counts = #state - 3 * lists
  local at = counts - 128
  for i = lists, which, -1 do
    at = at - 14 * byte(state, counts + 3 * (i - 1))
  end
  local count_at = counts + 3 * (which - 1)
  local m, b1, b2 = byte(state, count_at, count_at + 2)
  for i = 0, m - 1 do
    local entry = at + 14 * i
    if sub(state, entry, entry + 7) == hash then
      b1, b2 = i < b1 and b1 - 1 or b1, i < b2 and b2 - 1 or b2
      return sub(state, 1, entry - 1) .. sub(state, entry + 14, count_at - 1) .. char(m - 1, b1, b2) .. sub(state, count_at + 3)
    end
  end
  return nil
end

local struck = 0
for _, key in ipairs(KEYS) do
  local state = redis.call('GET', key)
  local form = state and byte(state, -1)
  local without = form == 1 and from_single(state) or form == 2 and from_full(state)
  if without then
    redis.call('SET', key, without, 'KEEPTTL')
    struck = struck + 1
  end
end
return struck
