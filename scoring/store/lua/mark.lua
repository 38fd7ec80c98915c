-- Changes an entity's record of marks: takes the lines away that match a pattern or are over, and adds one where one is given.
--
-- A record is lines of text. The list that the entity is on comes first: <a, d or w><until, ms, or nothing><JSON>. Then one line per rule
-- that is snoozed for it: s<until, ms> <rule><JSON>.
-- KEYS: 1 marks. ARGV: 1 field, 2 pattern or '', 3 new line or '', 4 wall clock, ms, 5 most snoozes of a record.
-- Returns how many lines matched, or -1 where there is no room for the new one; then nothing was changed.
local kept, matched, snoozes, now_ms = {}, 0, 0, tonumber(ARGV[4])
for line in string.gmatch(redis.call('HGET', KEYS[1], ARGV[1]) or '', '[^\n]+') do
  local until_ms = tonumber(string.match(line, '^%a(%d+)'))
  if ARGV[2] ~= '' and string.find(line, ARGV[2]) then
    matched = matched + 1
  elseif not until_ms or until_ms > now_ms then
    kept[#kept + 1] = line
    snoozes = snoozes + (string.sub(line, 1, 1) == 's' and 1 or 0)
  end
end
if ARGV[3] ~= '' then
  local is_snooze = string.sub(ARGV[3], 1, 1) == 's'
  if is_snooze and snoozes >= tonumber(ARGV[5]) then
    return -1
  end
  table.insert(kept, is_snooze and #kept + 1 or 1, ARGV[3])
end
if #kept > 0 then
  redis.call('HSET', KEYS[1], ARGV[1], table.concat(kept, '\n'))
else
  redis.call('HDEL', KEYS[1], ARGV[1])
end
return matched
