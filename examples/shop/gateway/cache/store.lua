-- Stores a value, unless it may be old. Returns 'stored', or why not.
-- KEYS: the value, the generation. ARGV: the prefix of floors, the ticket's generation and time, the longest time for a
-- fill, the time until a generation is settled, the value's time to live (all in ms), the body, then each entity with
-- its version.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- The floors are not those of the time when the ticket was given.
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return 'redis was emptied' end
-- A floor may have come and have expired since.
if now - tonumber(ARGV[3]) > tonumber(ARGV[4]) then return 'the fill took too long' end
-- A floor of a transaction that is not committed yet may have been lost.
if now - tonumber(string.match(ARGV[2], '@(%d+)$')) < tonumber(ARGV[5]) then return 'redis is settling' end
for i = 8, #ARGV, 2 do
	local version = tonumber(ARGV[i + 1])
	local floor = redis.call('GET', ARGV[1] .. ARGV[i])
	if floor and tonumber(floor) > version then return 'below the floor' end
	local stored = redis.call('HGET', KEYS[1], ARGV[i])
	if stored and tonumber(stored) > version then return 'a newer one is there' end
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'body', ARGV[7])
for i = 8, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', KEYS[1], ARGV[6])
return 'stored'
