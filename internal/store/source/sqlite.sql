-- What an operator asks of a source, for SQLite; db.Load gives each statement to the field of its name.
-- Durations are microseconds by the database's clock, times RFC 3339.

-- name: Lease
SELECT source, source_id, owner, epoch, strftime('%Y-%m-%dT%H:%M:%fZ', expires_at),
	CAST((julianday(expires_at) - julianday('now')) * 86400000000 AS INTEGER), mode, json_extract(hints, '$.halted'), json_extract(hints, '$.ttl_us'), json_extract(hints, '$.blind'), json_extract(hints, '$.outage')
FROM {outbox_leases} WHERE id = 1

-- name: Oldest
SELECT id, event_id, topic, strftime('%Y-%m-%dT%H:%M:%fZ', created_at),
	CAST((julianday('now') - julianday(created_at)) * 86400000000 AS INTEGER)
FROM {outbox_events} ORDER BY id LIMIT 1

-- name: CountEvents
-- One more than is counted: then there are more.
SELECT count(*) FROM (SELECT 1 FROM {outbox_events} LIMIT {limit}) AS counted

-- name: EstimateEvents
-- SQLite keeps no estimate. Ids are given out in order and delivered ones are deleted from the front, so the span comes close.
SELECT max(id) - min(id) + 1 FROM {outbox_events} WHERE ? IS NOT NULL

-- name: CountParked
SELECT state, count(*) FROM (SELECT state FROM {outbox_parked} LIMIT {limit}) AS counted GROUP BY state

-- name: Relays
SELECT relay_id, host, owned, CAST((julianday('now') - julianday(seen_at)) * 86400000000 AS INTEGER) FROM {outbox_relays} ORDER BY host, relay_id

-- name: Name
SELECT source FROM {outbox_leases} WHERE id = 1

-- name: Lock
-- The lease row stays locked, so that no claim comes in between. It is free by the length of the last claim alone:
-- how long others would hold it does not matter (see the relay's Claim).
SELECT source, owner, (owner IS NULL OR expires_at IS NULL OR expires_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', ((0) / 1000.0) || ' seconds') || '000Z'
  OR expires_at > strftime('%Y-%m-%dT%H:%M:%f', 'now', ((2 * max(0, coalesce(json_extract(hints, '$.ttl_us'), 0) / 1000)) / 1000.0) || ' seconds') || '000Z') FROM {outbox_leases} WHERE id = 1

-- name: Rename
UPDATE {outbox_leases} SET source = ? WHERE id = 1

-- name: Identity
SELECT source_id FROM {outbox_leases} WHERE id = 1

-- name: SetIdentity
-- What the sink knows of the position is about the identity before.
UPDATE {outbox_leases} SET source_id = ?, hints = json_remove(hints, '$.position', '$.halted') WHERE id = 1

-- name: Scheduled
SELECT seq, event_id, topic, event_key, event_type, COALESCE(length(CAST(payload AS BLOB)), -1), CAST((julianday(deliver_at) - julianday('now')) * 86400000000 AS INTEGER), '' || created_at, '' || deliver_at FROM {outbox_scheduled} ORDER BY deliver_at, seq LIMIT {limit}

-- name: ScheduledOfTopic
SELECT seq, event_id, topic, event_key, event_type, COALESCE(length(CAST(payload AS BLOB)), -1), CAST((julianday(deliver_at) - julianday('now')) * 86400000000 AS INTEGER), '' || created_at, '' || deliver_at FROM {outbox_scheduled} WHERE topic = ? ORDER BY deliver_at, seq LIMIT {limit}

-- name: BeginWriting
-- A connection may begin deferred: a first write takes the lock before anything is read, or the later upgrade fails
-- with SQLITE_BUSY.
UPDATE {outbox_leases} SET epoch = epoch WHERE id = 1

-- name: TraceScheduled
-- The five statements that look for an event, in the order in which events move through the tables.
SELECT topic, event_key, event_type, '' || created_at, '' || deliver_at
FROM {outbox_scheduled} WHERE event_id = ? ORDER BY seq

-- name: TraceWaiting
-- outbox_events has no index on event ids: it is searched from end to end.
SELECT id, topic, event_key, event_type, '' || created_at FROM {outbox_events} WHERE event_id = ? ORDER BY id

-- name: TraceParked
SELECT id, topic, event_key, event_type, '' || created_at, '' || parked_at, state, attempts, overtaken, error
FROM {outbox_parked} WHERE event_id = ? ORDER BY seq

-- name: TraceArchive
SELECT id, topic, event_key, event_type, '' || created_at, '' || delivered_at, kafka_partition, kafka_offset
FROM {outbox_archive} WHERE event_id = ? ORDER BY seq

-- name: TraceDrops
SELECT id, topic, event_key, '' || dropped_at, error FROM {outbox_drops} WHERE event_id = ? ORDER BY seq

-- name: CountAhead
SELECT COUNT(*) FROM (SELECT 1 FROM {outbox_events} WHERE id < ? LIMIT {limit}) AS counted

-- name: CountBehind
SELECT COUNT(*) FROM (SELECT 1 FROM {outbox_parked} WHERE topic = ? AND event_key = ? LIMIT {limit}) AS counted

-- name: ArchivedSince
SELECT '' || delivered_at FROM {outbox_archive} ORDER BY delivered_at LIMIT 1
