-- What relay doctor asks MySQL and MariaDB. Each block is a statement that db.Load gives to the field of its name.

-- name: TableExists
SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?

-- name: CountEvents
-- One row more than db.CountLimit.
SELECT count(*) FROM (SELECT 1 FROM {outbox_events} LIMIT 200001) AS counted

-- name: Scheduled
SELECT COUNT(*), TIMESTAMPDIFF(MICROSECOND, MIN(deliver_at), UTC_TIMESTAMP(6)) FROM
	(SELECT deliver_at FROM {outbox_scheduled} WHERE deliver_at < UTC_TIMESTAMP(6) ORDER BY deliver_at LIMIT 10000) AS due

-- name: ParkedCounts
SELECT COALESCE(SUM(CASE state WHEN 'failed' THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE state WHEN 'blocked' THEN 1 ELSE 0 END), 0),
	COALESCE(SUM(CASE WHEN state IN ('retry', 'drop') THEN 1 ELSE 0 END), 0), TIMESTAMPDIFF(MICROSECOND, MIN(parked_at), UTC_TIMESTAMP(6)) FROM {{Counted}}

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
COALESCE(OCTET_LENGTH(payload), 0) + COALESCE(OCTET_LENGTH(event_key), 0) + OCTET_LENGTH(headers)

-- name: Engine
SELECT engine FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?

-- name: CurrentUser
SELECT CURRENT_USER()

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

-- name: IDColumn
-- One table at a time, by constants: joined, or without them, these views make the server open every table of every
-- database, and MariaDB 10.11.19 crashed when other sessions dropped some meanwhile.
SELECT extra FROM information_schema.columns
WHERE table_schema = DATABASE() AND table_name = ? AND column_name = 'id'

-- name: NextID
SELECT auto_increment, VERSION() LIKE '%MariaDB%' FROM information_schema.tables
WHERE table_schema = DATABASE() AND table_name = ?

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
SELECT source, source_id, owner, epoch, TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), expires_at),
	mode, JSON_UNQUOTE(JSON_EXTRACT(hints, '$.halted')), CAST(JSON_VALUE(hints, '$.ttl_us') AS SIGNED), JSON_EXTRACT(hints, '$.position'), JSON_EXTRACT(hints, '$.topics'), JSON_VALUE(hints, '$.blind'), JSON_EXTRACT(hints, '$.outage')
FROM {outbox_leases} WHERE id = 1

-- name: RelayProcesses
SELECT relay_id, host, owned, TIMESTAMPDIFF(MICROSECOND, seen_at, UTC_TIMESTAMP(6)) AS ago
FROM {outbox_relays} WHERE seen_at > UTC_TIMESTAMP(6) - INTERVAL 1 HOUR ORDER BY ago LIMIT 100

-- name: MigrationLock
SELECT owner, TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), expires_at) FROM {postroom_schema_lock} WHERE id = 1

-- name: Triggers
SELECT trigger_name, 0 FROM information_schema.triggers WHERE event_object_schema = DATABASE() AND event_object_table = ? ORDER BY 1

-- name: MayTrigger
-- Without the TRIGGER privilege the server shows no trigger, and no sign of it.
SELECT
	(SELECT COUNT(*) FROM information_schema.user_privileges WHERE privilege_type = 'TRIGGER' AND grantee = {{Grantee}})
	+ (SELECT COUNT(*) FROM information_schema.schema_privileges WHERE privilege_type = 'TRIGGER' AND DATABASE() LIKE table_schema AND grantee = {{Grantee}})
	+ (SELECT COUNT(*) FROM information_schema.table_privileges WHERE privilege_type = 'TRIGGER' AND table_schema = DATABASE()
		AND table_name = ? AND grantee = {{Grantee}})

-- part: Grantee
CONCAT('''', SUBSTRING_INDEX(CURRENT_USER(), '@', 1), '''@''', SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '''')

-- name: Server
SELECT VERSION(), CURRENT_USER()

-- name: ClusterSize
SHOW GLOBAL STATUS LIKE 'wsrep_cluster_size'

-- name: Clock
SELECT TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6))

-- name: OpenTransactions
-- trx_started is local time, in whatever zone the server's host is.
SELECT t.trx_mysql_thread_id, COALESCE(p.user, ''), COALESCE(p.host, ''), COALESCE(p.command, 'prepared'), COALESCE(p.time, 0),
	TIMESTAMPDIFF(SECOND, t.trx_started, CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', 'SYSTEM')) AS age, t.trx_rows_modified > 0
FROM information_schema.innodb_trx t LEFT JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id
WHERE t.trx_mysql_thread_id <> CONNECTION_ID() AND (p.id IS NULL OR p.db = DATABASE() OR p.db IS NULL)
HAVING age >= ? ORDER BY age DESC LIMIT 100

-- name: LockWaits
-- The statement's text tells the table; no other place does without the
-- metadata_lock_info plugin or performance_schema.
SELECT id, user, host, command, time FROM information_schema.processlist
WHERE db = DATABASE() AND state = 'Waiting for table metadata lock' AND time >= 5
	AND (info LIKE CONCAT('%', ?, '%') OR info LIKE CONCAT('%', ?, '%'))
	AND UPPER(LTRIM(info)) NOT LIKE 'SELECT%' ORDER BY time DESC LIMIT 20

-- name: MayProcess
SELECT COUNT(*) FROM information_schema.innodb_trx

-- name: HasProcess
-- With the right PROCESS other users' sessions show. The table lists what is granted to the user itself, roles aside.
SELECT COUNT(*) FROM information_schema.user_privileges
WHERE privilege_type = 'PROCESS' AND grantee = CONCAT('''', SUBSTRING_INDEX(CURRENT_USER(), '@', 1), '''@''', SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '''')

-- name: History
SELECT count FROM information_schema.innodb_metrics WHERE name = 'trx_rseg_history_len'
