-- The statements of services that write events, for MySQL and MariaDB; db.Load gives each to the field of its name.

-- name: InsertEvents
-- The rows follow.
INSERT INTO {outbox_events} (event_id, topic, event_key, event_type, payload, headers) VALUES

-- name: InsertScheduled
-- The rows follow.
INSERT INTO {outbox_scheduled} (event_id, topic, event_key, event_type, payload, headers, deliver_at) VALUES

-- name: CancelScheduled
-- Rows are locked by way of the index of event_id. FORCE INDEX and a join, whose lookups are for one row
-- each: a small table would be scanned, and a range, even one of IN, looks at the row behind it; both wait
-- for rows that somebody else has locked.
DELETE s FROM JSON_TABLE('["{ids}"]', '$[*]' COLUMNS (event_id CHAR(36) PATH '$')) AS named
STRAIGHT_JOIN {outbox_scheduled} AS s FORCE INDEX ({outbox_scheduled_event_id_key})
  ON s.event_id = CONVERT(named.event_id USING ascii) COLLATE ascii_bin

-- name: LockKeys
-- Rows of the small lock table; InnoDB keeps their locks until the transaction ends. IN over the primary
-- key, in its order, locks in its order.
SELECT slot FROM {outbox_key_locks} WHERE slot IN ({slots}) ORDER BY slot FOR UPDATE

-- name: NextEvent
-- A locking read stops at every locked row that it passes, of whatever topic:
-- at those of writers that have not committed, and at those of other topics'
-- readers. So the search reads without locks, and only its result is locked;
-- when that was deleted meanwhile, the answer is empty and the caller asks again.
SELECT id, event_id, topic, event_key, event_type, payload, headers,
	DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%fZ')
FROM {outbox_events} WHERE id = (SELECT oldest FROM (SELECT MIN(id) AS oldest FROM {outbox_events} WHERE topic = ?) AS found) FOR UPDATE

-- name: TakenEvent
DELETE FROM {outbox_events} WHERE id = ? AND event_id = ?

-- name: ReadEvents
SELECT event_id, topic, event_key, event_type, payload, payload IS NULL, headers, NULL FROM {outbox_events} ORDER BY id

-- name: ReadScheduled
SELECT event_id, topic, event_key, event_type, payload, payload IS NULL, headers, DATE_FORMAT(deliver_at, '%Y-%m-%dT%H:%i:%s.%fZ') FROM {outbox_scheduled} ORDER BY deliver_at, seq

-- name: OpenRun
SELECT run_id, position, chunks, sent, topics, DATE_FORMAT(started_at, '%Y-%m-%dT%H:%i:%s.%fZ') FROM {outbox_backfills} WHERE name = ? AND running = 1

-- name: NewestRun
SELECT run_id FROM {outbox_backfills} ORDER BY run_id DESC LIMIT 1

-- name: RestartRun
UPDATE {outbox_backfills} SET run_id = ?, position = NULL, started_at = utc_timestamp(6) WHERE name = ? AND running = 1 AND chunks = 0

-- name: StartRun
INSERT INTO {outbox_backfills} (run_id, name, running, topics) VALUES (?, ?, 1, '{}')

-- name: HoldRun
UPDATE {outbox_backfills} SET chunks = chunks + 1 WHERE run_id = ? AND chunks = ? AND running = 1

-- name: AdvanceRun
UPDATE {outbox_backfills} SET position = ?, sent = ?, topics = ? WHERE run_id = ?

-- name: FinishRun
UPDATE {outbox_backfills} SET running = NULL, finished_at = utc_timestamp(6) WHERE run_id = ? AND running = 1
