-- Raises the floors of entities. A floor never sinks, so that a late event changes nothing.
-- KEYS: the floors. ARGV: their time to live in ms, then the version of each.
for i, key in ipairs(KEYS) do
	local floor = redis.call('GET', key)
	if not floor or tonumber(floor) < tonumber(ARGV[i + 1]) then
		redis.call('SET', key, ARGV[i + 1], 'PX', ARGV[1])
	end
end
return #KEYS
