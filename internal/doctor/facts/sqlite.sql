-- What relay doctor asks SQLite. Each block is a statement that db.Load gives to the field of its name.

-- name: TableExists
SELECT count(*) FROM sqlite_master WHERE type IN ('table', 'view') AND name = ?

-- name: CountEvents
-- One row more than db.CountLimit.
SELECT count(*) FROM (SELECT 1 FROM {outbox_events} LIMIT 200001) AS counted

-- name: Scheduled
SELECT count(*), CAST((julianday('now') - julianday(min(deliver_at))) * 86400000000 AS INTEGER) FROM
	(SELECT deliver_at FROM {outbox_scheduled} WHERE deliver_at < strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z' ORDER BY deliver_at LIMIT 10000)

-- name: ParkedCounts
SELECT COALESCE(SUM(CASE state WHEN 'failed' THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE state WHEN 'blocked' THEN 1 ELSE 0 END), 0),
	COALESCE(SUM(CASE WHEN state IN ('retry', 'drop') THEN 1 ELSE 0 END), 0), CAST((julianday('now') - julianday(min(parked_at))) * 86400000000 AS INTEGER) FROM {{Counted}}

-- name: ParkedKeys
SELECT count(*) FROM (SELECT DISTINCT topic, event_key FROM {{Counted}} WHERE event_key IS NOT NULL) AS waiting

-- part: Counted
-- One row more than parkedLimit.
(SELECT topic, event_key, state, parked_at FROM {outbox_parked} ORDER BY seq LIMIT 100001) AS counted

-- name: ParkedFirst
SELECT id, event_id, topic, error FROM {outbox_parked} WHERE state = 'failed' ORDER BY seq LIMIT 1

-- name: TopicsOldest
-- 2,000 rows at each end of a table: no index leads to the topics, and a payload's length may have to be read.
-- The length is taken inside: MySQL would copy the payloads into a temporary table.
SELECT topic, count(*), max(size) FROM (SELECT topic, {{Size}} AS size FROM {outbox_events} ORDER BY id LIMIT 2000) AS sample GROUP BY topic

-- name: TopicsLatest
SELECT topic, count(*), max(size) FROM (SELECT topic, {{Size}} AS size FROM {outbox_events} ORDER BY id DESC LIMIT 2000) AS sample GROUP BY topic

-- name: TopicsParked
SELECT topic, count(*), max(size) FROM (SELECT topic, {{Size}} AS size FROM {outbox_parked} ORDER BY seq LIMIT 2000) AS sample GROUP BY topic

-- name: TopicsArchived
SELECT topic, count(*), max(size) FROM (SELECT topic, 0 AS size FROM {outbox_archive} ORDER BY seq DESC LIMIT 2000) AS sample GROUP BY topic

-- name: TopicsScheduled
SELECT topic, count(*), max(size) FROM (SELECT topic, 0 AS size FROM {outbox_scheduled} ORDER BY seq LIMIT 2000) AS sample GROUP BY topic

-- part: Size
coalesce(length(CAST(payload AS BLOB)), 0) + coalesce(length(CAST(event_key AS BLOB)), 0) + length(CAST(headers AS BLOB))

-- name: HighestEvent
SELECT max(id) FROM {outbox_events}

-- name: HighestParked
-- The table has no index on id: the rows written last are enough, for ids that go back do so for all.
SELECT max(id) FROM (SELECT id FROM {outbox_parked} ORDER BY seq DESC LIMIT 1000) AS latest

-- name: HighestArchived
SELECT max(id) FROM (SELECT id FROM {outbox_archive} ORDER BY seq DESC LIMIT 1000) AS latest

-- name: HighestDropped
SELECT max(id) FROM (SELECT id FROM {outbox_drops} ORDER BY seq DESC LIMIT 1000) AS latest

-- name: IdsBelow
-- Up to db.CountLimit.
SELECT count(*), min(id) FROM (SELECT id FROM {outbox_events} WHERE id < 1 ORDER BY id LIMIT 200000) AS below

-- name: TableText
SELECT upper(sql) FROM sqlite_master WHERE type = 'table' AND name = ?

-- name: LastID
-- NULL before the first row.
SELECT max(seq) FROM sqlite_sequence WHERE name = ?

-- name: EmptyKeys
SELECT b.consumer, b.topic, b.event_key, 0, false FROM {inbox_blocked} AS b
WHERE NOT EXISTS (SELECT 1 FROM {inbox_parked} AS p WHERE p.consumer = b.consumer AND p.topic = b.topic AND p.event_key = b.event_key) LIMIT 20

-- name: WaitingMessages
SELECT p.consumer, p.topic, p.event_key, min(p.seq), false FROM {inbox_parked} AS p
WHERE p.state = 'blocked' AND NOT EXISTS (SELECT 1 FROM {inbox_blocked} AS b WHERE p.consumer = b.consumer AND p.topic = b.topic AND p.event_key = b.event_key)
GROUP BY p.consumer, p.topic, p.event_key LIMIT 20

-- name: WaitingHeads
SELECT p.consumer, p.topic, p.event_key, p.seq, true FROM {inbox_blocked} AS b
JOIN {inbox_parked} AS p ON p.seq = (SELECT min(q.seq) FROM {inbox_parked} AS q WHERE q.consumer = b.consumer AND q.topic = b.topic AND q.event_key = b.event_key)
WHERE p.state = 'blocked' LIMIT 20

-- name: Lease
SELECT source, source_id, owner, epoch, CAST((julianday(expires_at) - julianday('now')) * 86400000000 AS INTEGER),
	mode, json_extract(hints, '$.halted'), json_extract(hints, '$.ttl_us'), json_extract(hints, '$.position'), json_extract(hints, '$.topics'), json_extract(hints, '$.blind'), json_extract(hints, '$.outage')
FROM {outbox_leases} WHERE id = 1

-- name: RelayProcesses
SELECT relay_id, host, owned, CAST((julianday('now') - julianday(seen_at)) * 86400000000 AS INTEGER) AS ago
FROM {outbox_relays} WHERE ago < 3600000000 ORDER BY ago LIMIT 100

-- name: MigrationLock
SELECT owner, CAST((julianday(expires_at) - julianday('now')) * 86400000000 AS INTEGER) FROM {postroom_schema_lock} WHERE id = 1

-- name: Triggers
SELECT '"' || replace(name, '"', '""') || '"', 0 FROM sqlite_master WHERE type = 'trigger' AND lower(tbl_name) = ? ORDER BY 1

-- name: Server
SELECT sqlite_version()
