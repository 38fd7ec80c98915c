-- Removes an entity's state under every token it has, the links between them, and its marks.
-- KEYS: 1 marks, 2 state or link, 3 prefix of the key space. Returns the hash that stands for it in others' lists, where a
-- link knew it, and how many keys went.
local key, hash = KEYS[2], ''
local state = redis.call('GET', key)
if state and string.byte(state, -1) == 3 then
  key, hash = string.sub(state, 13, -2), string.sub(state, 5, 12)
end
local index = KEYS[3] .. 'aliases/' .. string.sub(key, #KEYS[3] + 1)
local removed = redis.call('DEL', key, KEYS[2])
redis.call('HDEL', KEYS[1], key, KEYS[2])
for _, link in ipairs(redis.call('SMEMBERS', index)) do
  removed = removed + redis.call('DEL', link)
  redis.call('HDEL', KEYS[1], link)
end
redis.call('DEL', index)
return { hash, removed }
