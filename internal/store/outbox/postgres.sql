-- The statements of services that write events, for PostgreSQL; db.Load gives each to the field of its name.

-- name: InsertEvents
-- The rows follow.
INSERT INTO {outbox_events} (event_id, topic, event_key, event_type, payload, headers) VALUES

-- name: InsertScheduled
-- The rows follow.
INSERT INTO {outbox_scheduled} (event_id, topic, event_key, event_type, payload, headers, deliver_at) VALUES

-- name: CancelScheduled
DELETE FROM {outbox_scheduled} WHERE event_id IN ('{ids}')

-- name: LockKeys
-- Advisory locks of the transaction end with it, so a pooler between us and the server does no harm.
-- One statement, one parameter and one text for any number of keys: one round trip, and one entry in a
-- driver's cache of prepared statements. The numbers travel as text because every driver can send that.
-- The subquery has an ORDER BY, so the planner may not merge it into the outer query, which then calls
-- the function row by row in that order; a test watches it do so.
SELECT pg_advisory_xact_lock(number)
FROM (SELECT unnest(string_to_array($1::text, ',')::bigint[]) AS number ORDER BY 1 OFFSET 0) AS numbers

-- name: NextEvent
-- The lock is above the limit in the plan: when the row that it waited for was
-- deleted meanwhile, it goes on to the one after.
SELECT id, event_id::text, topic, event_key, event_type, payload, headers::text,
	to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
FROM {outbox_events} WHERE topic = $1 ORDER BY id LIMIT 1 FOR UPDATE

-- name: TakenEvent
DELETE FROM {outbox_events} WHERE id = $1 AND event_id = $2::text::uuid

-- name: ReadEvents
SELECT event_id, topic, event_key, event_type, payload, payload IS NULL, headers, NULL FROM {outbox_events} ORDER BY id

-- name: ReadScheduled
SELECT event_id, topic, event_key, event_type, payload, payload IS NULL, headers, to_char(deliver_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM {outbox_scheduled} ORDER BY deliver_at, seq

-- name: OpenRun
SELECT run_id, position, chunks, sent, topics, to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM {outbox_backfills} WHERE name = $1 AND running = 1

-- name: NewestRun
SELECT run_id FROM {outbox_backfills} ORDER BY run_id DESC LIMIT 1

-- name: RestartRun
UPDATE {outbox_backfills} SET run_id = $1, position = NULL, started_at = clock_timestamp() WHERE name = $2 AND running = 1 AND chunks = 0

-- name: StartRun
INSERT INTO {outbox_backfills} (run_id, name, running, topics) VALUES ($1, $2, 1, '{}')

-- name: HoldRun
UPDATE {outbox_backfills} SET chunks = chunks + 1 WHERE run_id = $1 AND chunks = $2 AND running = 1

-- name: AdvanceRun
UPDATE {outbox_backfills} SET position = $1, sent = $2, topics = $3 WHERE run_id = $4

-- name: FinishRun
UPDATE {outbox_backfills} SET running = NULL, finished_at = clock_timestamp() WHERE run_id = $1 AND running = 1
