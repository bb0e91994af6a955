-- What an operator asks of a source, for PostgreSQL; db.Load gives each statement to the field of its name.
-- Durations are microseconds by the database's clock, times RFC 3339.

-- name: Lease
SELECT source, source_id::text, owner, epoch,
	to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
	(extract(epoch FROM expires_at - clock_timestamp()) * 1000000)::bigint, mode, hints->>'halted', (hints->>'ttl_us')::bigint, hints->>'blind', hints->>'outage'
FROM {outbox_leases} WHERE id = 1

-- name: Oldest
SELECT id, event_id::text, topic, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
	(extract(epoch FROM clock_timestamp() - created_at) * 1000000)::bigint
FROM {outbox_events} ORDER BY id LIMIT 1

-- name: CountEvents
-- One more than is counted: then there are more.
SELECT count(*) FROM (SELECT 1 FROM {outbox_events} LIMIT {limit}) AS counted

-- name: EstimateEvents
SELECT reltuples::bigint FROM pg_catalog.pg_class WHERE oid = to_regclass($1::text)

-- name: CountParked
SELECT state, count(*) FROM (SELECT state FROM {outbox_parked} LIMIT {limit}) AS counted GROUP BY state

-- name: Relays
SELECT relay_id::text, host, owned, (extract(epoch FROM clock_timestamp() - seen_at) * 1000000)::bigint FROM {outbox_relays} ORDER BY host, relay_id

-- name: Name
SELECT source FROM {outbox_leases} WHERE id = 1

-- name: Lock
-- The lease row stays locked, so that no claim comes in between. It is free by the length of the last claim alone:
-- how long others would hold it does not matter (see the relay's Claim).
SELECT source, owner, (owner IS NULL OR expires_at IS NULL OR expires_at < clock_timestamp()
  OR expires_at > clock_timestamp() + 2 * greatest(0::bigint, coalesce((hints->>'ttl_us')::bigint, 0)) * interval '1 microsecond') FROM {outbox_leases} WHERE id = 1 FOR UPDATE

-- name: Rename
UPDATE {outbox_leases} SET source = $1 WHERE id = 1

-- name: Identity
SELECT source_id FROM {outbox_leases} WHERE id = 1

-- name: SetIdentity
-- What the sink knows of the position is about the identity before.
UPDATE {outbox_leases} SET source_id = $1, hints = hints - 'position' - 'halted' WHERE id = 1

-- name: Scheduled
SELECT seq, event_id, topic, event_key, event_type, COALESCE(octet_length(payload), -1), (extract(epoch FROM deliver_at - statement_timestamp()) * 1000000)::bigint, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), to_char(deliver_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM {outbox_scheduled} ORDER BY deliver_at, seq LIMIT {limit}

-- name: ScheduledOfTopic
SELECT seq, event_id, topic, event_key, event_type, COALESCE(octet_length(payload), -1), (extract(epoch FROM deliver_at - statement_timestamp()) * 1000000)::bigint, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), to_char(deliver_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM {outbox_scheduled} WHERE topic = $1 ORDER BY deliver_at, seq LIMIT {limit}

-- name: TraceScheduled
-- The five statements that look for an event, in the order in which events move through the tables.
SELECT topic, event_key, event_type, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), to_char(deliver_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
FROM {outbox_scheduled} WHERE event_id = $1::text::uuid ORDER BY seq

-- name: TraceWaiting
-- outbox_events has no index on event ids: it is searched from end to end.
SELECT id, topic, event_key, event_type, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM {outbox_events} WHERE event_id = $1::text::uuid ORDER BY id

-- name: TraceParked
SELECT id, topic, event_key, event_type, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), to_char(parked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), state, attempts, overtaken, error
FROM {outbox_parked} WHERE event_id = $1::text::uuid ORDER BY seq

-- name: TraceArchive
SELECT id, topic, event_key, event_type, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), to_char(delivered_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), kafka_partition, kafka_offset
FROM {outbox_archive} WHERE event_id = $1::text::uuid ORDER BY seq

-- name: TraceDrops
SELECT id, topic, event_key, to_char(dropped_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), error FROM {outbox_drops} WHERE event_id = $1::text::uuid ORDER BY seq

-- name: CountAhead
SELECT COUNT(*) FROM (SELECT 1 FROM {outbox_events} WHERE id < $1 LIMIT {limit}) AS counted

-- name: CountBehind
SELECT COUNT(*) FROM (SELECT 1 FROM {outbox_parked} WHERE topic = $1 AND event_key = $2 LIMIT {limit}) AS counted

-- name: ArchivedSince
SELECT to_char(delivered_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM {outbox_archive} ORDER BY delivered_at LIMIT 1
