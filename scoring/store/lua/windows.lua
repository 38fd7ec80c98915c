-- One window update: the first of its transaction or not, and the sliding windows of every entity that it names.
--
-- The meaning of every number is written in contract/windows.py; this file is how they stay cheap. Its constants (WINDOW_1..4,
-- TILE_A/B, TILES_A/B, DISTINCT_1..3) are written in from that module by scoring/store/scripts.py. The main part is one long
-- loop because closures and their upvalues cost a sixth of a call.
--
-- KEYS: 1 first-sight record, 2 sequence, 3 marks, then one per named entity, then one per alias. All in one hash slot.
-- Two kinds of keys are reached without being named, in the same slot by construction: the state a link points to, and the
-- index of a state's links.
-- ARGV: 1 event (time, amount, digest, 8-byte hash per entity, then position and hash per alias), 2 what a whole batch
-- shares (wall clock, lifetimes, bounds, versions), 3 layout (which entities, their places, whether they have habits, and where each
-- finds its counterparts).
--
-- An entity's state is one string; its last byte says which form it has:
--   1 single: the only event so far. <time 6><amount 6><touched 4><hash 8 per counterpart met><which counterparts 1>
--   2 full:   <closed tiles of A><closed tiles of B><events><counterpart lists><header><3 bytes per list>
--   3 link:   a newer token of another state. <touched 4><hash 8><key of that state>
-- Events are 10 bytes (time modulo 2^32, amount) and list entries 14 (hash, greatest time), both ordered by (time, applied_seq);
-- a closed tile is 13 (index modulo 256, count, sum). The header keeps for every exact window how many of the newest events it
-- holds, the time of the oldest of them and their sum, so that an event costs what expires and not what is held.
-- The header stands at the end: event, lists and header are one SETRANGE over the old lists and header.
-- Everything is computed before the first write, so an error leaves nothing half done.
--
-- What schema v2 adds (contract/risk.py) stands alongside, in one more string per entity that has any, under side/<place><hash>:
--   <unusual events 1><newest counted tile 4, 0: counting has not begun><unusual events><tiles of the risk>
-- An unusual event is 14 bytes (time, amount, ratio), ordered by (time, applied_seq); a tile is 12 (index, transactions, frauds, plain
-- frauds), ascending. So workers of both versions share the windows, and the first of version 2 finds them as they are.
--
-- A first-sight record is what is returned: <1 first, 0 again, 2 conflict><digest 8><applied_seq 8><mask of entities 1><mask of
-- those with risk 1><mask of those in doubles 1><1: with what v2 adds 1><length of model version><of rules version><number of
-- pairs of bytes of marks><these three><numbers of every entity><habits of those that have any><risk of those that have any>. Where the length of the
-- model version is 0, the transaction was loaded from a file and nobody judged it yet: whoever does so first pins versions and content.

local call, pack, unpack_at = redis.call, struct.pack, struct.unpack
local sub, byte, char, find, floor = string.sub, string.byte, string.char, string.find, math.floor

local t, amount, digest = unpack_at('<I6I6c8', ARGV[1])
local record = call('GET', KEYS[1])
if record then
  if byte(record, 22) == 0 and byte(ARGV[2], 16) > 0 then
    record = '1' .. digest .. sub(record, 10, 21) .. sub(ARGV[2], 16, 17) .. sub(record, 24, 24) .. sub(ARGV[2], 24) .. sub(record, 25)
    call('SET', KEYS[1], record, 'EX', (unpack_at('<I4', ARGV[2], 9)))
  end
  return (sub(record, 2, 9) == digest and '0' or '2') .. sub(record, 2)
end

local now_s, idle_s, sight_s, max_events, max_counterparts, model_length, rules_length, delay_s, horizon = unpack_at('<I4I4I4I2BBBI4I2', ARGV[2])
local idle_ms = floor(idle_s * 33 / 32) * 1000 -- touched once per 1/32 of the lifetime, so it is never shorter
local M32 = 4294967296
local NONE = M32 - 1
local HEADER = '<I6I2I4dI2I4dI2I4dI2I4dI4dI4dBI4dI4dBI6I6I4'
local keep = max_events - 1
local stale_s = idle_s / 32
local t_low = t % M32
local tile_a, tile_b = t - t % TILE_A, t - t % TILE_B -- where the event's own tiles begin
local t_bytes = pack('<I6', t)
local event = pack('<I4I6', t_low, amount)

-- Reads states, follows links, makes new ones.
local layout = ARGV[3]
local named, mask = unpack_at('<BI2', layout)
local keys, states, hashes, write = {}, {}, {}, {}
local put_key, put_at, put_value = {}, {}, {} -- states to write: whole, or from an offset on
local aliased = #KEYS - 3 - named
for j = 1, named do
  local key = KEYS[3 + j]
  keys[j] = key
  states[j] = call('GET', key)
  hashes[j] = sub(ARGV[1], 13 + 8 * j, 20 + 8 * j)
end

local function alias_index(key)
  local prefix = sub(KEYS[2], 1, -4)
  return prefix .. 'aliases/' .. sub(key, #prefix + 1)
end

local function follow(j, link, own)
  local touched
  touched, hashes[j] = unpack_at('<I4c8', link)
  keys[j] = sub(link, 13, -2)
  states[j] = call('GET', keys[j])
  if now_s - touched > stale_s or touched - now_s > stale_s then
    write[#write + 1] = { 'SET', own, pack('<I4', now_s) .. sub(link, 5), 'PX', idle_ms }
    write[#write + 1] = { 'PEXPIRE', alias_index(keys[j]), idle_ms }
  end
end

if aliased > 0 then
  for i = 1, aliased do
    local at = 21 + 8 * named + 9 * (i - 1)
    local j = byte(ARGV[1], at)
    local own = keys[j]
    if not states[j] then
      local old = KEYS[3 + named + i]
      local state = call('GET', old)
      keys[j], hashes[j], states[j] = old, sub(ARGV[1], at + 1, at + 8), state
      if state and byte(state, -1) == 3 then
        follow(j, state, old)
      end
      write[#write + 1] = { 'SET', own, pack('<I4', now_s) .. hashes[j] .. keys[j] .. '\3', 'PX', idle_ms }
      write[#write + 1] = { 'SADD', alias_index(keys[j]), own }
      write[#write + 1] = { 'PEXPIRE', alias_index(keys[j]), idle_ms }
    end
  end
end
for j = 1, named do
  local state = states[j]
  if state and byte(state, -1) == 3 then
    follow(j, state, keys[j])
  end
end

-- What stands next to the windows, under the canonical token's hash.
local side_keys, sides, side_put = {}, {}, {}
local habits, risks, risky, side_bit = '', '', 0, 1
local own_tile, known_tile = floor(t / TILE), floor((t - delay_s * 1000) / TILE)
if named > 0 then
  local prefix = sub(KEYS[2], 1, -4) .. 'side/'
  for j = 1, named do
    side_keys[j] = prefix .. char(48 + byte(layout, 3 + j) % 128) .. hashes[j]
  end
  sides = call('MGET', unpack(side_keys))
end

-- Reads the numbers of a risk, from the newest tile to the oldest.
local function read_risk(tiles)
  local f1, p1, c1, f2, p2, c2, f3, p3, c3, early = 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
  local fraud_at, plain_at, first_at, genuine, since_fraud, since_plain = -1, -1, -1, 0, 0, 0
  for i = #tiles - 11, 1, -12 do
    local tile, seen, frauds, plain = unpack_at('<I4I4I2I2', tiles, i)
    if tile <= own_tile then
      if frauds > 0 and fraud_at < 0 then
        fraud_at, since_fraud = tile, genuine > 0 and genuine or 0
      end
      if plain > 0 then
        if plain_at < 0 then
          plain_at, since_plain = tile, genuine > 0 and genuine or 0
        end
        if tile > known_tile - RISK_3 then first_at = tile end
      end
      if tile > known_tile then
        early = early + frauds
      else
        genuine = genuine + seen - frauds
        if tile > known_tile - RISK_3 then
          f3, p3, c3 = f3 + frauds, p3 + plain, c3 + seen
          if tile > known_tile - RISK_2 then
            f2, p2, c2 = f2 + frauds, p2 + plain, c2 + seen
            if tile > known_tile - RISK_1 then
              f1, p1, c1 = f1 + frauds, p1 + plain, c1 + seen
            end
          end
        end
      end
    end
  end
  return pack('<I4I4I4I4I4I4I4I4I4I4dddI4I4', f1, p1, c1, f2, p2, c2, f3, p3, c3, early,
    fraud_at < 0 and -1 or t - fraud_at * TILE, plain_at < 0 and -1 or t - plain_at * TILE,
    first_at < 0 and -1 or t - first_at * TILE, since_fraud, since_plain)
end

-- Counting begins: the windows' tiles join those of the known frauds. Returns the tiles and the newest counted one.
local function take_over(tiles, state, before, closed_a, closed_b, na_now, nb_now)
  local counts, order, known = {}, {}, {}
  for i = 1, #tiles, 12 do
    local tile, _, frauds, plain = unpack_at('<I4I4I2I2', tiles, i)
    known[tile] = { frauds, plain }
  end
  local now_a, now_b = floor(before / TILE_A), floor(before / TILE_B)
  for i = 1, 13 * closed_a, 13 do
    local tile, n = unpack_at('<BI4', state, i)
    counts[now_a - (now_a - tile) % 256] = n
  end
  counts[now_a] = na_now
  for i = 13 * closed_a + 1, 13 * (closed_a + closed_b + 1), 13 do
    local day, n = now_b, nb_now
    if i <= 13 * (closed_a + closed_b) then
      day, n = unpack_at('<BI4', state, i)
      day = now_b - (now_b - day) % 256
    end
    local place = day * TILES_PER_DAY + TILES_PER_DAY - 1
    local with_fraud = nil
    for tile = place - TILES_PER_DAY + 1, place do
      n = n - (counts[tile] or 0)
      if known[tile] and known[tile][1] > 0 then with_fraud = tile end
    end
    place = with_fraud or place
    if n > 0 then counts[place] = (counts[place] or 0) + n end
  end
  for tile in pairs(known) do counts[tile] = counts[tile] or 0 end
  for tile in pairs(counts) do order[#order + 1] = tile end
  table.sort(order)
  for i = 1, #order do
    local tile = order[i]
    local both = known[tile]
    order[i] = pack('<I4I4I2I2', tile, counts[tile], both and both[1] or 0, both and both[2] or 0)
  end
  return table.concat(order), now_a
end

-- Adds the event to its tile, forgets what is too old; the new tiles and newest counted tile, none where no fraud is left.
local function count(tiles, newest)
  newest = newest > own_tile and newest or own_tile
  local from, at = 1, #tiles + 1
  while from <= #tiles and unpack_at('<I4', tiles, from) <= newest - horizon do
    from = from + 12
  end
  if own_tile > newest - horizon then
    while at > from and unpack_at('<I4', tiles, at - 12) > own_tile do
      at = at - 12
    end
    local seen, frauds, plain, rest = 0, 0, 0, at
    if at > from and unpack_at('<I4', tiles, at - 12) == own_tile then
      at = at - 12
      seen, frauds, plain = unpack_at('<I4I2I2', tiles, at + 4)
    end
    tiles = sub(tiles, from, at - 1) .. pack('<I4I4I2I2', own_tile, seen + 1, frauds, plain) .. sub(tiles, rest)
  else
    tiles = sub(tiles, from)
  end
  for i = #tiles - 11, 1, -12 do
    if unpack_at('<I2', tiles, i + 8) > 0 then return tiles, newest end
  end
  return '', 0
end

-- The habit's numbers from the unusual events, and these events with this one where it is unusual (else nil).
local function read_habit(unusual, clock, n30, s30)
  local day, oldest = floor(t / TILE_B), floor(clock / TILE_B) - TILES_B
  local n, sum, u1, u2, u3, u4, excess, newest = n30 - 1, s30 - amount, 0, 0, 0, 0, 0, -1
  for i = 1, #unusual, 14 do
    local at, a, ratio = unpack_at('<I6I6I2', unusual, i)
    local its = floor(at / TILE_B)
    if its > oldest then
      if its > day - TILES_B and its <= day then n, sum = n - 1, sum - a end
      local age = t - at
      if age >= 0 and age < UNUSUAL_4 then
        u4, excess, newest = u4 + 1, excess + ratio, at
        if age < UNUSUAL_3 then u3 = u3 + 1 end
        if age < UNUSUAL_2 then u2 = u2 + 1 end
        if age < UNUSUAL_1 then u1 = u1 + 1 end
      end
    end
  end
  habits = habits .. pack('<I4dBBBBI4I4', n, sum, u1, u2, u3, u4, excess, newest < 0 and NONE or t - newest)
  if n < USUAL_MIN or sum <= 0 or amount * n * 2 <= sum * UNUSUAL_TWICE or day <= oldest then return nil end
  local ratio = amount * n / sum
  ratio = ratio < EXCESS_MAX / 1000 and floor(ratio * 1000) or EXCESS_MAX
  local from, at = 1, #unusual + 1
  while from <= #unusual and floor(unpack_at('<I6', unusual, from) / TILE_B) <= oldest do from = from + 14 end
  while at > from and unpack_at('<I6', unusual, at - 14) > t do at = at - 14 end
  unusual = sub(unusual, from, at - 1) .. pack('<I6I6I2', t, amount, ratio) .. sub(unusual, at)
  return #unusual > 14 * MAX_UNUSUAL and sub(unusual, 15) or unusual
end

-- Everything of one entity beyond its windows; n30 and s30 are its tiled 30 days, this event counted.
local function add_side(j, side, habit, clock, n30, s30, tiles, newest)
  local unusual = side and sub(side, 6, 5 + 14 * byte(side)) or ''
  local more = habit and read_habit(unusual, clock, n30, s30)
  if tiles then
    risks, risky = risks .. read_risk(tiles), risky + side_bit
    tiles, newest = count(tiles, newest)
  elseif not more then
    return
  end
  more = more or unusual
  side_put[#side_put + 1] = side_keys[j]
  side_put[#side_put + 1] = char(#more / 14) .. pack('<I4', newest or 0) .. more .. (tiles or '')
end

-- Marks stand under the canonical token; one set on a newer token before it was linked counts too.
-- A snooze is <place 1>s<length of the rule's id 1><id>, filled up to pairs of bytes: so it is counted as marks are. Snoozes leave room
-- for a list of every entity.
local marks, marked = '', 0
if named > 0 then
  local found = call('HMGET', KEYS[3], unpack(keys))
  local now_ms = nil
  for j = 1, named do
    local mark = found[j]
    if not mark and keys[j] ~= KEYS[3 + j] then
      mark = call('HGET', KEYS[3], KEYS[3 + j])
    end
    if mark then
      for line in string.gmatch(mark, '[^\n]+') do
        local letter, expires, rule = string.match(line, '^(%a)(%d*) ?([%l%d-]*)')
        if expires ~= '' and not now_ms then
          local now = call('TIME')
          now_ms = now[1] * 1000 + now[2] / 1000
        end
        if expires == '' or tonumber(expires) > now_ms then
          local text = char(j) .. letter
          if letter == 's' then
            text = text .. char(#rule) .. rule .. (#rule % 2 == 0 and '\0' or '')
          end
          if letter ~= 's' or marked + #text / 2 <= 247 then
            marks = marks .. text
            marked = marked + #text / 2
          end
        end
      end
    end
  end
end

-- The numbers of one entity as 13 32-bit integers, or as doubles where one does not fit.
local wide, bit_of = 0, 1
local function numbers(n1, s1, n2, s2, n3, s3, n4, s4, na, sa, nb, sb, since)
  if s4 < NONE and sa < NONE and sb < NONE and since < NONE then
    return pack('<I4I4I4I4I4I4I4I4I4I4I4I4I4', n1, s1, n2, s2, n3, s3, n4, s4, na, sa, nb, sb, since < 0 and NONE or since)
  end
  wide = wide + bit_of
  return pack('<ddddddddddddd', n1, s1, n2, s2, n3, s3, n4, s4, na, sa, nb, sb, since)
end

-- The oldest events leave a window: by the clock, or by the bound (then `pushed` is the newest of those).
local function pop(state, stop, length, clock, n, low, sum, pushed)
  local age = (clock - low) % M32
  while n > 0 and (age >= length or n > keep) do
    if age < length and clock - age > pushed then
      pushed = clock - age
    end
    local at = stop - 10 * n
    if n > 1 then
      local gone
      gone, low = unpack_at('<I6I4', state, at + 4)
      sum = sum - gone
      age = (clock - low) % M32
    else
      sum = 0
    end
    n = n - 1
  end
  return n, low, sum, pushed
end

-- A new tile begins: the current one joins the closed ones, and those that left the window are taken off the totals.
local function roll(tiles, n, sum, n_now, sum_now, before, now, span)
  if now - before >= span then
    return '', 0, 0
  end
  tiles = tiles .. pack('<BI4d', before % 256, n_now, sum_now)
  local from = 1
  while from < #tiles do
    local tile, gone_n, gone_sum = unpack_at('<BI4d', tiles, from)
    if (now - tile) % 256 < span then
      break
    end
    n, sum, from = n - gone_n, sum - gone_sum, from + 13
  end
  return sub(tiles, from), n, sum
end

-- A late event joins a closed tile: the new list, and count and sum of the closed tiles up to and with its own.
local function join(tiles, now, tile)
  local from, age, n_seen, sum_seen = 1, now - tile, 1, amount
  while from < #tiles do
    local other, n, sum = unpack_at('<BI4d', tiles, from)
    local other_age = (now - other) % 256
    if other_age < age then
      break
    end
    n_seen, sum_seen = n_seen + n, sum_seen + sum
    if other_age == age then
      return sub(tiles, 1, from - 1) .. pack('<BI4d', other, n + 1, sum + amount) .. sub(tiles, from + 13), n_seen, sum_seen
    end
    from = from + 13
  end
  return sub(tiles, 1, from - 1) .. pack('<BI4d', tile % 256, 1, amount) .. sub(tiles, from), n_seen, sum_seen
end

-- The second event of an entity: its single form as a full one.
local function expand(state, pairs_of)
  local first, a, touched = unpack_at('<I6I6I4', state)
  local low, which, lists, counts, at = first % M32, byte(state, -2), '', '', 17
  for i = 1, pairs_of do
    local met = which % 2
    which = (which - met) / 2
    if met == 1 then
      lists = lists .. sub(state, at, at + 7) .. sub(state, 1, 6)
      at = at + 8
    end
    counts = counts .. char(met, 0, 0)
  end
  return pack('<I4I6', low, a) .. lists
    .. pack(HEADER, first, 1, low, a, 1, low, a, 1, low, a, 1, low, a, 1, a, 1, a, 0, 1, a, 1, a, 0, 0, 0, touched)
    .. counts .. '\2'
end

-- Count and sum of a late event's exact window, from those of the clock's window: n and sum hold the newest n events.
local function reach(state, stop, clock, limit, n, sum, retained)
  while n < retained do
    local at = stop - 10 * (n + 1)
    local low, a = unpack_at('<I4I6', state, at)
    if (clock - low) % M32 >= limit then
      break
    end
    n, sum = n + 1, sum + a
  end
  return n, sum
end

local answers, at = {}, 4 + named -- `at`: where the entity's part of the layout begins
for j = 1, named do
  local key, state, pairs_of = keys[j], states[j], byte(layout, at)
  local side, habit = sides[j], byte(layout, 3 + j) > 127
  local risk_tiles, risk_newest = nil, 0
  if side and #side > 5 + 14 * byte(side) then
    risk_newest, risk_tiles = unpack_at('<I4', side, 2), sub(side, 6 + 14 * byte(side))
  end
  if not state then
    local which, met, distinct = 0, '', ''
    for i = 1, pairs_of do
      local position = byte(layout, at + i)
      if position > 0 then
        which = which + 2 ^ (i - 1)
        met = met .. hashes[position]
        distinct = distinct .. pack('<I4I4I4I4', 1, 1, 1, NONE)
      else
        distinct = distinct .. pack('<I4I4I4I4', 0, 0, 0, NONE)
      end
    end
    local state = t_bytes .. pack('<I6I4', amount, now_s) .. met .. char(which, 1)
    put_key[#put_key + 1], put_at[#put_key + 1], put_value[#put_key + 1] = key, false, state
    answers[j] = numbers(1, amount, 1, amount, 1, amount, 1, amount, 1, amount, 1, amount, -1) .. distinct .. '\0\0\0\0'
    if habit or risk_tiles then
      add_side(j, side, habit, t, 1, amount, risk_tiles, risk_newest)
    end
  else
    local fresh = byte(state, -1) == 1
    if fresh then
      state = expand(state, pairs_of)
    end
    local head = #state - 128 - 3 * pairs_of
    local clock, n1, l1, s1, n2, l2, s2, n3, l3, s3, n4, l4, s4,
      na, sa, na_now, sa_now, closed_a, nb, sb, nb_now, sb_now, closed_b, pushed, pushed_met, touched = unpack_at(HEADER, state, head)
    local lists_at = head
    for i = 1, pairs_of do
      lists_at = lists_at - 14 * byte(state, head + 125 + 3 * i)
    end
    local before, stop, gap = clock, lists_at, 0 -- `stop`: one past the last event
    local events_at = 13 * (closed_a + closed_b) + 1
    local tiles = nil -- set when the closed tiles changed
    local later, answer = 0, nil -- events after this one
    local n30, s30
    if risk_tiles and risk_newest == 0 then
      risk_tiles, risk_newest = take_over(risk_tiles, state, before, closed_a, closed_b, na_now, nb_now)
    end

    if t >= before then
      clock = t
      gap = t - before
      if n4 > keep then
        n1, l1, s1 = pop(state, stop, WINDOW_1, t, n1, l1, s1, 0)
        n2, l2, s2 = pop(state, stop, WINDOW_2, t, n2, l2, s2, 0)
        n3, l3, s3 = pop(state, stop, WINDOW_3, t, n3, l3, s3, 0)
        if gap < WINDOW_4 then
          n4, l4, s4, pushed = pop(state, stop, WINDOW_4, t, n4, l4, s4, pushed)
        end
      end
      -- Where the clock moved less than the window, its newest event stays, so each loop ends with n >= 1.
      local gone
      if gap >= WINDOW_1 then
        n1, s1 = 0, 0
      else
        while (t_low - l1) % M32 >= WINDOW_1 do
          gone, l1 = unpack_at('<I6I4', state, stop - 10 * n1 + 4)
          n1, s1 = n1 - 1, s1 - gone
        end
      end
      if gap >= WINDOW_2 then
        n2, s2 = 0, 0
      else
        while (t_low - l2) % M32 >= WINDOW_2 do
          gone, l2 = unpack_at('<I6I4', state, stop - 10 * n2 + 4)
          n2, s2 = n2 - 1, s2 - gone
        end
      end
      if gap >= WINDOW_3 then
        n3, s3 = 0, 0
      else
        while (t_low - l3) % M32 >= WINDOW_3 do
          gone, l3 = unpack_at('<I6I4', state, stop - 10 * n3 + 4)
          n3, s3 = n3 - 1, s3 - gone
        end
      end
      if gap >= WINDOW_4 then
        n4, s4 = 0, 0
      else
        while (t_low - l4) % M32 >= WINDOW_4 do
          gone, l4 = unpack_at('<I6I4', state, stop - 10 * n4 + 4)
          n4, s4 = n4 - 1, s4 - gone
        end
      end
      if n1 == 0 then l1 = t_low end
      if n2 == 0 then l2 = t_low end
      if n3 == 0 then l3 = t_low end
      if n4 == 0 then l4 = t_low end
      n1, s1, n2, s2, n3, s3, n4, s4 = n1 + 1, s1 + amount, n2 + 1, s2 + amount, n3 + 1, s3 + amount, n4 + 1, s4 + amount

      if before < tile_a or before < tile_b then
        local tiles_a, tiles_b = sub(state, 1, 13 * closed_a), sub(state, 13 * closed_a + 1, events_at - 1)
        if before < tile_a then
          tiles_a, na, sa = roll(tiles_a, na, sa, na_now, sa_now, floor(before / TILE_A), tile_a / TILE_A, TILES_A)
          na_now, sa_now = 0, 0
        end
        if before < tile_b then
          tiles_b, nb, sb = roll(tiles_b, nb, sb, nb_now, sb_now, floor(before / TILE_B), tile_b / TILE_B, TILES_B)
          nb_now, sb_now = 0, 0
        end
        tiles, closed_a, closed_b = tiles_a .. tiles_b, #tiles_a / 13, #tiles_b / 13
      end
      na, sa, na_now, sa_now = na + 1, sa + amount, na_now + 1, sa_now + amount
      nb, sb, nb_now, sb_now = nb + 1, sb + amount, nb_now + 1, sb_now + amount
      answer, n30, s30 = numbers(n1, s1, n2, s2, n3, s3, n4, s4, na, sa, nb, sb, gap), nb, sb
    else
      -- Late: the clock stands; what is newer than t is taken off, what is older than the clock's windows is added.
      local behind = clock - t
      n1, l1, s1 = pop(state, stop, WINDOW_1, clock, n1, l1, s1, 0)
      n2, l2, s2 = pop(state, stop, WINDOW_2, clock, n2, l2, s2, 0)
      n3, l3, s3 = pop(state, stop, WINDOW_3, clock, n3, l3, s3, 0)
      n4, l4, s4, pushed = pop(state, stop, WINDOW_4, clock, n4, l4, s4, pushed)
      local c1, c2, c3, c4, r1, r2, r3, r4, since = 1, 1, 1, 1, amount, amount, amount, amount, -1
      if behind < WINDOW_4 then
        local newer
        later, newer = reach(state, stop, clock, behind, 0, 0, n4)
        if later < n4 then
          since = (clock - unpack_at('<I4', state, stop - 10 * (later + 1))) % M32 - behind
        end
        local n, sum = reach(state, stop, clock, behind + WINDOW_1, n1, s1, n4)
        c1, r1 = n - later + 1, sum - newer + amount
        if n2 > n then n, sum = n2, s2 end
        n, sum = reach(state, stop, clock, behind + WINDOW_2, n, sum, n4)
        c2, r2 = n - later + 1, sum - newer + amount
        if n3 > n then n, sum = n3, s3 end
        n, sum = reach(state, stop, clock, behind + WINDOW_3, n, sum, n4)
        c3, r3 = n - later + 1, sum - newer + amount
        c4, r4 = n4 - later + 1, s4 - newer + amount
        if behind < WINDOW_1 then if later == n1 then l1 = t_low end n1, s1 = n1 + 1, s1 + amount end
        if behind < WINDOW_2 then if later == n2 then l2 = t_low end n2, s2 = n2 + 1, s2 + amount end
        if behind < WINDOW_3 then if later == n3 then l3 = t_low end n3, s3 = n3 + 1, s3 + amount end
        if later == n4 then l4 = t_low end
        n4, s4 = n4 + 1, s4 + amount
      end
      local own_a, own_b = tile_a / TILE_A, tile_b / TILE_B
      local now_a, now_b = floor(clock / TILE_A), floor(clock / TILE_B)
      local tiles_a, tiles_b = sub(state, 1, 13 * closed_a), sub(state, 13 * closed_a + 1, events_at - 1)
      local seen_na, seen_sa, seen_nb, seen_sb = 1, amount, 1, amount
      if own_a > now_a - TILES_A then
        na, sa = na + 1, sa + amount
        if own_a == now_a then
          na_now, sa_now, seen_na, seen_sa = na_now + 1, sa_now + amount, na, sa
        else
          tiles_a, seen_na, seen_sa = join(tiles_a, now_a, own_a)
        end
      end
      if own_b > now_b - TILES_B then
        nb, sb = nb + 1, sb + amount
        if own_b == now_b then
          nb_now, sb_now, seen_nb, seen_sb = nb_now + 1, sb_now + amount, nb, sb
        else
          tiles_b, seen_nb, seen_sb = join(tiles_b, now_b, own_b)
        end
      end
      if own_a ~= now_a or own_b ~= now_b then
        tiles, closed_a, closed_b = tiles_a .. tiles_b, #tiles_a / 13, #tiles_b / 13
      end
      answer, n30, s30 = numbers(c1, r1, c2, r2, c3, r3, c4, r4, seen_na, seen_sa, seen_nb, seen_sb, since), seen_nb, seen_sb
    end

    local lists, counts, at_list = '', '', lists_at
    for i = 1, pairs_of do
      local hash = hashes[byte(layout, at + i)]
      local m, b1, b2 = byte(state, head + 125 + 3 * i, head + 127 + 3 * i)
      local from, list_end = at_list, at_list + 14 * m
      if b2 > 0 or gap > DISTINCT_3 - DISTINCT_2 then -- else nothing can have left the longest window
        while from < list_end and clock - unpack_at('<I6', state, from + 8) >= DISTINCT_3 do
          from = from + 14
          m, b1, b2 = m - 1, b1 > 0 and b1 - 1 or 0, b2 > 0 and b2 - 1 or 0
        end
      end
      local since, list = NONE, nil
      if hash and clock - t < DISTINCT_3 then
        local found = m > 0 and find(state, hash, from, true)
        while found and found < list_end and (found - from) % 14 ~= 0 do
          found = find(state, hash, found + 1, true)
        end
        if found and found < list_end then
          local met = unpack_at('<I6', state, found + 8)
          if met <= t then
            since = t - met
            local index = (found - from) / 14
            m, b1, b2 = m - 1, index < b1 and b1 - 1 or b1, index < b2 and b2 - 1 or b2
            if t < clock then
              list = sub(state, from, found - 1) .. sub(state, found + 14, list_end - 1)
            elseif index == m then
              list = sub(state, from, found + 7) .. t_bytes
            elseif index == 0 then
              list = sub(state, found + 14, list_end - 1) .. hash .. t_bytes
            else
              list = sub(state, from, found - 1) .. sub(state, found + 14, list_end - 1) .. hash .. t_bytes
            end
          end
        elseif t < clock then
          list = sub(state, from, list_end - 1)
        else
          list = sub(state, from, list_end - 1) .. hash .. t_bytes
        end
        if list then
          if t < clock then
            local cut = m
            while cut > 0 and unpack_at('<I6', list, 14 * cut - 5) > t do
              cut = cut - 1
            end
            list = sub(list, 1, 14 * cut) .. hash .. t_bytes .. sub(list, 14 * cut + 1)
          end
          m = m + 1
          while m > max_counterparts do
            local gone = unpack_at('<I6', list, 9)
            pushed_met = gone > pushed_met and gone or pushed_met
            list = sub(list, 15)
            m, b1, b2 = m - 1, b1 > 0 and b1 - 1 or 0, b2 > 0 and b2 - 1 or 0
          end
        end
      end
      list = list or sub(state, from, list_end - 1)
      local sure = t == clock and hash and m - 1 or m -- the event's own entry is the newest
      while b1 < sure and clock - unpack_at('<I6', list, 14 * b1 + 9) >= DISTINCT_1 do
        b1 = b1 + 1
      end
      while b2 < b1 and clock - unpack_at('<I6', list, 14 * b2 + 9) >= DISTINCT_2 do
        b2 = b2 + 1
      end
      local x1, x2 = b1, b2
      if t < clock then
        while x1 > 0 and t - unpack_at('<I6', list, 14 * x1 - 5) < DISTINCT_1 do
          x1 = x1 - 1
        end
        while x2 > 0 and t - unpack_at('<I6', list, 14 * x2 - 5) < DISTINCT_2 do
          x2 = x2 - 1
        end
      end
      counts = counts .. char(m, b1, b2)
      answer = answer .. pack('<I4I4I4I4', m - x1, m - x2, m, since)
      lists = lists .. list
      at_list = list_end
    end

    -- The tail is one SETRANGE, unless the string would have to shrink, or its front changed or holds too much of the past.
    local kept = clock - t < WINDOW_4 and 10 or 0
    local tail_at = stop - 10 * later
    local held = (stop - events_at + kept) / 10
    local whole = fresh or tiles or #lists + kept < head - lists_at or held > n4 + 32 + n4 / 4
    local middle = kept > 0 and event or ''
    if later > 0 then
      middle = middle .. sub(state, tail_at, stop - 1)
    end
    if whole then
      middle = (tiles or sub(state, 1, events_at - 1)) .. sub(state, stop + kept - 10 * n4, tail_at - 1) .. middle
    end
    if now_s - touched > stale_s or touched - now_s > stale_s then
      touched = now_s
      write[#write + 1] = { 'PEXPIRE', key, idle_ms }
    end
    local value = middle .. lists .. pack(HEADER, clock, n1, l1, s1, n2, l2, s2, n3, l3, s3, n4, l4, s4,
      na, sa, na_now, sa_now, closed_a, nb, sb, nb_now, sb_now, closed_b, pushed, pushed_met, touched) .. counts .. '\2'
    put_key[#put_key + 1], put_at[#put_key + 1], put_value[#put_key + 1] = key, whole and 'KEEPTTL' or tail_at - 1, value
    local saturated = pushed > 0 and clock - pushed < WINDOW_4 or pushed_met > 0 and clock - pushed_met < DISTINCT_3
    answers[j] = answer .. (saturated and '\1\0\0\0' or '\0\0\0\0')
    if habit or risk_tiles then
      add_side(j, side, habit, clock, n30, s30, risk_tiles, risk_newest)
    end
  end
  at, bit_of, side_bit = at + 1 + pairs_of, bit_of * 2, side_bit * 2
end

local applied_seq = call('INCR', KEYS[2])
for i = 1, #put_key do
  if put_at[i] == 'KEEPTTL' then
    call('SET', put_key[i], put_value[i], 'KEEPTTL')
  elseif put_at[i] then
    call('SETRANGE', put_key[i], put_at[i], put_value[i])
  else
    call('SET', put_key[i], put_value[i], 'PX', idle_ms)
  end
end
for i = 1, #write do
  call(unpack(write[i]))
end
local side_ms = horizon * TILE > idle_ms and horizon * TILE or idle_ms
for i = 1, #side_put, 2 do
  if #side_put[i + 1] > 5 then
    call('SET', side_put[i], side_put[i + 1], 'PX', side_ms)
  else
    call('DEL', side_put[i])
  end
end
record = '1' .. digest .. pack('<I8BBBBBBB', applied_seq, mask, risky, wide, 1, model_length, rules_length, marked)
  .. sub(ARGV[2], 24) .. marks .. table.concat(answers) .. habits .. risks
call('SET', KEYS[1], record, 'EX', sight_s)
return record
