-- The statements of services that write events, for SQLite; db.Load gives each to the field of its name.

-- name: InsertEvents
-- The rows follow.
INSERT INTO {outbox_events} (event_id, topic, event_key, event_type, payload, headers) VALUES

-- name: InsertScheduled
-- The rows follow.
INSERT INTO {outbox_scheduled} (event_id, topic, event_key, event_type, payload, headers, deliver_at) VALUES

-- name: CancelScheduled
DELETE FROM {outbox_scheduled} WHERE event_id IN ('{ids}')

-- name: ReadEvents
SELECT event_id, topic, event_key, event_type, payload, payload IS NULL, headers, NULL FROM {outbox_events} ORDER BY id

-- name: ReadScheduled
SELECT event_id, topic, event_key, event_type, payload, payload IS NULL, headers, '' || deliver_at FROM {outbox_scheduled} ORDER BY deliver_at, seq

-- name: OpenRun
-- An expression: SQLite's drivers make a time of a column.
SELECT run_id, position, chunks, sent, topics, '' || started_at FROM {outbox_backfills} WHERE name = ? AND running = 1

-- name: NewestRun
SELECT run_id FROM {outbox_backfills} ORDER BY run_id DESC LIMIT 1

-- name: RestartRun
UPDATE {outbox_backfills} SET run_id = ?, position = NULL, started_at = {{Now}} WHERE name = ? AND running = 1 AND chunks = 0

-- name: StartRun
INSERT INTO {outbox_backfills} (run_id, name, running, topics) VALUES (?, ?, 1, '{}')

-- name: HoldRun
UPDATE {outbox_backfills} SET chunks = chunks + 1 WHERE run_id = ? AND chunks = ? AND running = 1

-- name: AdvanceRun
UPDATE {outbox_backfills} SET position = ?, sent = ?, topics = ? WHERE run_id = ?

-- name: FinishRun
UPDATE {outbox_backfills} SET running = NULL, finished_at = {{Now}} WHERE run_id = ? AND running = 1

-- part: Now
-- The database's clock.
strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'
