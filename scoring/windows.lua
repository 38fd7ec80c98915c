-- One sighting of a transaction: first sight or not, and the sliding windows of every entity that it names.
--
-- The meaning of every number is written in contract/windows.py; this file is how they stay cheap. Its constants (WINDOW_1..4,
-- TILE_A/B, TILES_A/B, DISTINCT_1..3) are written in from that module by scoring/redis_scripts.py. The main part is one long
-- loop because closures and their upvalues cost a sixth of a call.
--
-- KEYS: 1 first-sight record, 2 sequence, 3 marks, then one per named entity, then one per alias. All in one hash slot.
-- Two kinds of keys are reached without being named, in the same slot by construction: the state a link points to, and the
-- index of a state's links.
-- ARGV: 1 event (time, amount, digest, 8-byte hash per entity, then position and hash per alias), 2 what a whole batch
-- shares (wall clock, lifetimes, bounds, versions), 3 layout (which entities, and where each finds its counterparts).
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
-- A first-sight record is what is returned: <1 first, 0 again, 2 conflict><digest 8><applied_seq 8><mask of entities 2><mask of
-- those in doubles 2><length of model version><of rules version><number of marks><these three><numbers of every entity>.

local call, pack, unpack_at = redis.call, struct.pack, struct.unpack
local sub, byte, char, find, floor = string.sub, string.byte, string.char, string.find, math.floor

local t, amount, digest = unpack_at('<I6I6c8', ARGV[1])
local record = call('GET', KEYS[1])
if record then
  return (sub(record, 2, 9) == digest and '0' or '2') .. sub(record, 2)
end

local now_s, idle_s, sight_s, max_events, max_counterparts, model_length, rules_length = unpack_at('<I4I4I4I2BBB', ARGV[2])
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

-- Marks stand under the canonical token; one set on a newer token before it was linked counts too.
local marks, marked = '', 0
if named > 0 then
  local found = call('HMGET', KEYS[3], unpack(keys))
  for j = 1, named do
    local mark = found[j]
    if not mark and keys[j] ~= KEYS[3 + j] then
      mark = call('HGET', KEYS[3], KEYS[3 + j])
    end
    if mark then
      local expires_ms = tonumber(string.match(mark, '^%a(%d*)'))
      local now = expires_ms and call('TIME')
      if not now or expires_ms > now[1] * 1000 + now[2] / 1000 then
        marks = marks .. char(j) .. sub(mark, 1, 1)
        marked = marked + 1
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

local answers, at = {}, 4 -- `at`: where the entity's part of the layout begins
for j = 1, named do
  local key, state, pairs_of = keys[j], states[j], byte(layout, at)
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
      answer = numbers(n1, s1, n2, s2, n3, s3, n4, s4, na, sa, nb, sb, gap)
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
      answer = numbers(c1, r1, c2, r2, c3, r3, c4, r4, seen_na, seen_sa, seen_nb, seen_sb, since)
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
  end
  at, bit_of = at + 1 + pairs_of, bit_of * 2
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
record = '1' .. digest .. pack('<I8I2I2BBB', applied_seq, mask, wide, model_length, rules_length, marked)
  .. sub(ARGV[2], 18) .. marks .. table.concat(answers)
call('SET', KEYS[1], record, 'EX', sight_s)
return record
