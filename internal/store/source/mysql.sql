-- What an operator asks of a source, for MySQL and MariaDB; db.Load gives each statement to the field of its name.
-- Durations are microseconds by the database's clock, times RFC 3339.

-- name: Lease
SELECT source, source_id, owner, epoch, DATE_FORMAT(expires_at, '%Y-%m-%dT%H:%i:%s.%fZ'),
	TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), expires_at), mode, JSON_UNQUOTE(JSON_EXTRACT(hints, '$.halted')),
	CAST(JSON_VALUE(hints, '$.ttl_us') AS SIGNED), JSON_VALUE(hints, '$.blind'), JSON_EXTRACT(hints, '$.outage')
FROM {outbox_leases} WHERE id = 1

-- name: Oldest
SELECT id, event_id, topic, DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%fZ'),
	TIMESTAMPDIFF(MICROSECOND, created_at, UTC_TIMESTAMP(6))
FROM {outbox_events} ORDER BY id LIMIT 1

-- name: CountEvents
-- One more than is counted: then there are more.
SELECT count(*) FROM (SELECT 1 FROM {outbox_events} LIMIT {limit}) AS counted

-- name: EstimateEvents
SELECT table_rows FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?

-- name: CountParked
SELECT state, count(*) FROM (SELECT state FROM {outbox_parked} LIMIT {limit}) AS counted GROUP BY state

-- name: Relays
SELECT relay_id, host, owned, TIMESTAMPDIFF(MICROSECOND, seen_at, UTC_TIMESTAMP(6)) FROM {outbox_relays} ORDER BY host, relay_id

-- name: Name
SELECT source FROM {outbox_leases} WHERE id = 1

-- name: Lock
-- The lease row stays locked, so that no claim comes in between. It is free by the length of the last claim alone:
-- how long others would hold it does not matter (see the relay's Claim).
SELECT source, owner, (owner IS NULL OR expires_at IS NULL OR expires_at < UTC_TIMESTAMP(6)
  OR expires_at > UTC_TIMESTAMP(6) + INTERVAL 2 * GREATEST(0, COALESCE(CAST(JSON_VALUE(hints, '$.ttl_us') AS SIGNED), 0)) MICROSECOND) FROM {outbox_leases} WHERE id = 1 FOR UPDATE

-- name: Rename
UPDATE {outbox_leases} SET source = ? WHERE id = 1

-- name: Identity
SELECT source_id FROM {outbox_leases} WHERE id = 1

-- name: SetIdentity
-- What the sink knows of the position is about the identity before.
UPDATE {outbox_leases} SET source_id = ?, hints = JSON_REMOVE(hints, '$.position', '$.halted') WHERE id = 1

-- name: Scheduled
SELECT seq, event_id, topic, event_key, event_type, COALESCE(octet_length(payload), -1), TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), deliver_at), DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%fZ'), DATE_FORMAT(deliver_at, '%Y-%m-%dT%H:%i:%s.%fZ') FROM {outbox_scheduled} ORDER BY deliver_at, seq LIMIT {limit}

-- name: ScheduledOfTopic
SELECT seq, event_id, topic, event_key, event_type, COALESCE(octet_length(payload), -1), TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), deliver_at), DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%fZ'), DATE_FORMAT(deliver_at, '%Y-%m-%dT%H:%i:%s.%fZ') FROM {outbox_scheduled} WHERE topic = ? ORDER BY deliver_at, seq LIMIT {limit}

-- name: TraceScheduled
-- The five statements that look for an event, in the order in which events move through the tables.
SELECT topic, event_key, event_type, DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%fZ'), DATE_FORMAT(deliver_at, '%Y-%m-%dT%H:%i:%s.%fZ')
FROM {outbox_scheduled} WHERE event_id = ? ORDER BY seq

-- name: TraceWaiting
-- outbox_events has no index on event ids: it is searched from end to end.
SELECT id, topic, event_key, event_type, DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%fZ') FROM {outbox_events} WHERE event_id = ? ORDER BY id

-- name: TraceParked
SELECT id, topic, event_key, event_type, DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%fZ'), DATE_FORMAT(parked_at, '%Y-%m-%dT%H:%i:%s.%fZ'), state, attempts, overtaken, error
FROM {outbox_parked} WHERE event_id = ? ORDER BY seq

-- name: TraceArchive
SELECT id, topic, event_key, event_type, DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%fZ'), DATE_FORMAT(delivered_at, '%Y-%m-%dT%H:%i:%s.%fZ'), kafka_partition, kafka_offset
FROM {outbox_archive} WHERE event_id = ? ORDER BY seq

-- name: TraceDrops
SELECT id, topic, event_key, DATE_FORMAT(dropped_at, '%Y-%m-%dT%H:%i:%s.%fZ'), error FROM {outbox_drops} WHERE event_id = ? ORDER BY seq

-- name: CountAhead
SELECT COUNT(*) FROM (SELECT 1 FROM {outbox_events} WHERE id < ? LIMIT {limit}) AS counted

-- name: CountBehind
SELECT COUNT(*) FROM (SELECT 1 FROM {outbox_parked} WHERE topic = ? AND event_key = ? LIMIT {limit}) AS counted

-- name: ArchivedSince
SELECT DATE_FORMAT(delivered_at, '%Y-%m-%dT%H:%i:%s.%fZ') FROM {outbox_archive} ORDER BY delivered_at LIMIT 1
