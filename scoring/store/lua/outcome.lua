-- One outcome of a transaction, for the risk of every entity that it named; forms as in windows.lua, words in contract/risk.py.
--
-- KEYS: 1 what is known of the transaction, then the side string of each entity. All in one hash slot.
-- ARGV: 1 tile of the transaction, 2 outcome (g genuine, f fraud, p plain fraud), 3 lifetime of what is known (s), 4 of a side string (ms),
-- 5 tiles that a risk spans. Returns 1 where the outcome is new, 0 where it was known.
local call, pack, unpack_at, sub, byte = redis.call, struct.pack, struct.unpack, string.sub, string.byte

local tile, outcome, horizon = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[5])
local known = call('GET', KEYS[1]) or 'g'
if known == outcome then
  return 0
end
local frauds = (outcome == 'g' and 0 or 1) - (known == 'g' and 0 or 1)
local plain = (outcome == 'p' and 1 or 0) - (known == 'p' and 1 or 0)

local function bounded(value)
  return value < 0 and 0 or value > 65535 and 65535 or value
end

-- The tiles with this outcome in its tile; none where no fraud is left.
local function changed(tiles)
  local at = #tiles + 1
  while at > 1 and unpack_at('<I4', tiles, at - 12) > tile do
    at = at - 12
  end
  local seen, f, p, rest = 0, 0, 0, at
  if at > 1 and unpack_at('<I4', tiles, at - 12) == tile then
    at = at - 12
    seen, f, p = unpack_at('<I4I2I2', tiles, at + 4)
  end
  f, p = bounded(f + frauds), bounded(p + plain)
  local own = (seen > 0 or f > 0 or p > 0) and pack('<I4I4I2I2', tile, seen, f, p) or ''
  tiles = sub(tiles, 1, at - 1) .. own .. sub(tiles, rest)
  for i = 1, #tiles, 12 do
    if unpack_at('<I2', tiles, i + 8) > 0 then return tiles end
  end
  return ''
end

for i = 2, #KEYS do
  local side = call('GET', KEYS[i]) or '\0\0\0\0\0'
  local newest, risk_at = unpack_at('<I4', side, 2), 6 + 14 * byte(side)
  if newest == 0 or tile > newest - horizon then
    local tiles = changed(sub(side, risk_at))
    side = sub(side, 1, 1) .. pack('<I4', tiles == '' and 0 or newest) .. sub(side, 6, risk_at - 1) .. tiles
    if #side > 5 then
      call('SET', KEYS[i], side, 'PX', ARGV[4])
    else
      call('DEL', KEYS[i])
    end
  end
end
call('SET', KEYS[1], outcome, 'EX', ARGV[3])
return 1
