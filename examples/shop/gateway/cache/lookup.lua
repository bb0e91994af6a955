-- Returns a value that no floor is above, or a ticket for filling it in.
-- KEYS: the value, the generation. ARGV: the prefix of floors, a name for a new generation.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local fields = redis.call('HGETALL', KEYS[1])
local fresh, answer = #fields > 0, {1}
for i = 1, #fields, 2 do
	local entity, version = fields[i], fields[i + 1]
	if entity ~= 'body' then
		local floor = redis.call('GET', ARGV[1] .. entity)
		if floor and tonumber(floor) > tonumber(version) then fresh = false end
	end
	table.insert(answer, entity)
	table.insert(answer, version)
end
if fresh then return answer end
-- A Redis that has lost its data has no generation. It gets a new one, with the time of its birth.
redis.call('SET', KEYS[2], ARGV[2] .. '@' .. string.format('%.0f', now), 'NX')
return {0, redis.call('GET', KEYS[2]), string.format('%.0f', now)}
