-- Returns what the cache would answer: for each value that no floor is above, the key, and each entity with its version.
-- KEYS: the values. ARGV: the prefix of floors, and the one of values that the naive way stored, without a look at floors.
local answers = {}
for _, key in ipairs(KEYS) do
	local fields, fresh, found = redis.call('HGETALL', key), true, {}
	for i = 1, #fields, 2 do
		if fields[i] ~= 'body' then
			local floor = redis.call('GET', ARGV[1] .. fields[i])
			local naive = string.sub(key, 1, #ARGV[2]) == ARGV[2]
			if not naive and floor and tonumber(floor) > tonumber(fields[i + 1]) then fresh = false end
			for _, part in ipairs({key, fields[i], fields[i + 1]}) do table.insert(found, part) end
		end
	end
	if fresh then
		for _, part in ipairs(found) do table.insert(answers, part) end
	end
end
return answers
