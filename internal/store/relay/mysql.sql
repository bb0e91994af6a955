-- The relay's statements for MySQL and MariaDB; db.Load gives each to the field of its name.
--
-- STRAIGHT_JOIN goes from a list to the table, row by row along an index: the optimiser knows nothing about
-- the list, and would rather scan. FORCE INDEX: in a small table the optimiser prefers a scan, which waits for
-- the rows of every open transaction; and by stale statistics every table is small.
--
-- A topic is compared by its bytes as well, for its column's collation takes `A` and `A ` for one.

-- part: Server
-- The server by host, port and id: MariaDB has no UUID of its own, and AUTO_INCREMENT survives a restart
-- of either. In a statement that writes it is safe: the relay's transactions read committed rows, and for those
-- InnoDB accepts no binary log that a replica would evaluate anew.
CONCAT_WS('/', @@hostname, @@port, @@server_id)

-- part: RowWait
-- Nobody waits long for a row that somebody else has locked. MySQL takes it for a comment, and waits for as
-- long as its innodb_lock_wait_timeout says.
/*M! SET STATEMENT innodb_lock_wait_timeout = 1 FOR */

-- part: Lease
WHERE id = 1 AND owner = ? AND epoch = ? AND {{Server}} = ?

-- name: ReadHeader
-- A row with id 0 that names the server.
SELECT 0, NULL, IF(@@read_only, 'standby', 'primary'), NULL, {{Server}}, NULL, NULL, NULL

-- name: ReadGaps
-- Integers are written into the statement: a placeholder would cost a round trip to prepare it, and the
-- optimiser plans literal ranges over the primary key well.
(SELECT {{Columns}} FROM {outbox_events} WHERE {gaps} ORDER BY id LIMIT {limit})

-- name: ReadTail
(SELECT {{Columns}} FROM {outbox_events} WHERE id > {head} ORDER BY id LIMIT {limit})

-- part: Columns
id, event_id, topic, event_key, event_type, payload, headers, TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', created_at)

-- name: EventsUpTo
SELECT id, event_id FROM {outbox_events} WHERE id <= ? ORDER BY id LIMIT ?

-- name: EventSizes
SELECT id, event_id, COALESCE(LENGTH(payload), 0) FROM {outbox_events} WHERE id IN ({ids})

-- name: ParkedSizes
SELECT seq, event_id, COALESCE(LENGTH(payload), 0) FROM {outbox_parked} WHERE seq IN ({ids})

-- name: CopyRow
-- A row that gets a new number is copied and deleted.
INSERT INTO {outbox_events} ({{RowColumns}}) SELECT {{RowColumns}} FROM {outbox_events} WHERE id = ? AND event_id = ?

-- name: DeleteRow
{{RowWait}} DELETE FROM {outbox_events} WHERE id = ? AND event_id = ?

-- part: RowColumns
event_id, topic, event_key, event_type, payload, headers, created_at

-- name: DeleteRun
-- The event of the last row stands for all: see deleteRun in delete.go.
-- LIMIT, the number of rows: without it InnoDB looks at the row behind the range to see that it has ended, and
-- waits there for an open writer's lock.
{{RowWait}} DELETE FROM {outbox_events}
WHERE id BETWEEN ? AND ?
  AND EXISTS (SELECT 1 FROM (SELECT id FROM {outbox_events} WHERE id = ? AND event_id = ? LIMIT 1) AS last)
  AND EXISTS (SELECT 1 FROM {outbox_leases} {{Lease}})
ORDER BY id LIMIT ?

-- name: DeleteEvents
{{RowWait}} {{DeleteNamed}}
WHERE EXISTS (SELECT 1 FROM {outbox_leases} {{Lease}})

-- name: DeleteArchived
{{DeleteNamed}}

-- part: DeleteNamed
DELETE e FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]', event_id CHAR(36) PATH '$[1]')) AS delivered
STRAIGHT_JOIN {outbox_events} AS e FORCE INDEX (PRIMARY) ON e.id = delivered.id AND e.event_id = CONVERT(delivered.event_id USING ascii) COLLATE ascii_bin

-- name: ArchiveEvents
-- FOR UPDATE: the DELETE that follows in the same transaction removes exactly the rows that were copied. ORDER BY
-- the list's id, and not the row's: only the list is sorted then, before the join, and no payload. Rows go in
-- ascending order of id, so that the archive's seq keeps the order of each key.
{{RowWait}} INSERT INTO {outbox_archive} ({{ArchiveColumns}})
SELECT e.id, e.event_id, e.topic, e.event_key, e.event_type, e.payload, e.headers, e.created_at, delivered.kafka_partition, delivered.kafka_offset
FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]', event_id CHAR(36) PATH '$[1]',
  kafka_partition INT PATH '$[2]', kafka_offset BIGINT PATH '$[3]')) AS delivered
STRAIGHT_JOIN {outbox_events} AS e FORCE INDEX (PRIMARY) ON e.id = delivered.id AND e.event_id = CONVERT(delivered.event_id USING ascii) COLLATE ascii_bin
ORDER BY delivered.id FOR UPDATE

-- name: ArchiveParked
INSERT INTO {outbox_archive} ({{ArchiveColumns}})
SELECT e.id, e.event_id, e.topic, e.event_key, e.event_type, e.payload, e.headers, e.created_at, delivered.kafka_partition, delivered.kafka_offset
FROM JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT PATH '$[0]', event_id CHAR(36) PATH '$[1]',
  kafka_partition INT PATH '$[2]', kafka_offset BIGINT PATH '$[3]')) AS delivered
STRAIGHT_JOIN {outbox_parked} AS e FORCE INDEX (PRIMARY) ON e.seq = delivered.seq AND e.event_id = CONVERT(delivered.event_id USING ascii) COLLATE ascii_bin
ORDER BY delivered.seq

-- part: ArchiveColumns
id, event_id, topic, event_key, event_type, payload, headers, created_at, kafka_partition, kafka_offset

-- name: CheckArchiveDelete
DELETE FROM {outbox_archive} WHERE seq = -1

-- name: CheckArchiveInsert
INSERT INTO {outbox_archive} ({{ArchiveColumns}}) SELECT {{ArchiveColumns}} FROM {outbox_archive} WHERE seq = -1

-- name: Purge
DELETE FROM {table} WHERE {column} < {{Before}} ORDER BY {column} LIMIT {limit}

-- name: CountOld
SELECT COUNT(*) FROM {table} WHERE {column} < {{Before}}

-- part: Before
UTC_TIMESTAMP(6) - INTERVAL {us} MICROSECOND

-- name: LockLeaseRow
-- It comes before ClaimLease: utc_timestamp is a statement's start, and an UPDATE that waited for the lock would judge
-- by a time long past.
SELECT id FROM {outbox_leases} WHERE id = 1 FOR UPDATE

-- name: ClaimLease
UPDATE {outbox_leases}
SET owner = ?, epoch = epoch + 1, mode = coalesce(mode, ?), expires_at = UTC_TIMESTAMP(6) + INTERVAL {ttl_us} MICROSECOND,
    hints = JSON_SET(JSON_REMOVE(hints, '$.halted', '$.blind', '$.outage'), '$.ttl_us', {ttl_us})
WHERE id = 1 AND (owner = ? OR {{Claimable}})

-- part: Claimable
-- See leases.go. The statement Lock of internal/store/source has a copy.
(owner IS NULL OR expires_at IS NULL OR expires_at < UTC_TIMESTAMP(6)
  OR expires_at > UTC_TIMESTAMP(6) + INTERVAL 2 * GREATEST({ttl_us}, COALESCE(CAST(JSON_VALUE(hints, '$.ttl_us') AS SIGNED), 0)) MICROSECOND)

-- name: ClaimedLease
SELECT epoch, source_id, mode, {{Server}}, JSON_EXTRACT(hints, '$.position'), JSON_EXTRACT(hints, '$.proved') FROM {outbox_leases} WHERE id = 1

-- name: RenewLease
UPDATE {outbox_leases}
SET expires_at = UTC_TIMESTAMP(6) + INTERVAL {ttl_us} MICROSECOND
{{Lease}}

-- name: LeaseOwner
SELECT owner, epoch, {{Server}} FROM {outbox_leases} WHERE id = 1

-- name: LockLease
SELECT owner, epoch, {{Server}} FROM {outbox_leases} WHERE id = 1 FOR UPDATE

-- name: ReleaseLease
UPDATE {outbox_leases} SET owner = NULL, expires_at = NULL, hints = JSON_REMOVE(hints, '$.heir') WHERE id = 1 AND owner = ? AND epoch = ?

-- name: HandOverLease
UPDATE {outbox_leases} SET owner = NULL, expires_at = NULL, hints = JSON_SET(hints, '$.heir', '{heir}') WHERE id = 1 AND owner = ? AND epoch = ?

-- name: LeaseState
SELECT {{Claimable}}, CASE WHEN owner IS NULL THEN JSON_VALUE(hints, '$.heir') END, owner IS NOT NULL AND coalesce(JSON_VALUE(hints, '$.blind'), '') <> '', coalesce(mode, '') FROM {outbox_leases} WHERE id = 1

-- name: SetMode
UPDATE {outbox_leases} SET mode = ? WHERE id = 1

-- name: SetPosition
UPDATE {outbox_leases} SET hints = JSON_SET(hints, '$.position', JSON_EXTRACT(?, '$')) WHERE id = 1

-- name: SetHalted
UPDATE {outbox_leases} SET hints = JSON_SET(hints, '$.halted', ?) WHERE id = 1

-- name: SetUnreachable
UPDATE {outbox_leases} SET hints = JSON_SET(hints, '$.blind', ?) WHERE id = 1

-- name: SetOutage
UPDATE {outbox_leases} SET hints = JSON_SET(hints, '$.outage', JSON_EXTRACT(?, '$')) WHERE id = 1

-- name: SetTopics
UPDATE {outbox_leases} SET hints = JSON_SET(hints, '$.topics', JSON_EXTRACT(?, '$')) WHERE id = 1

-- name: UsedTopics
SELECT JSON_EXTRACT(hints, '$.topics') FROM {outbox_leases} WHERE id = 1

-- name: Checkpoint
SELECT JSON_EXTRACT(hints, '$.proved') FROM {outbox_leases} WHERE id = 1 AND owner = ? AND epoch = ? AND ? = {{Server}}

-- name: SetCheckpoint
-- An UPDATE locks the row and looks at what is there then (hazard stale-fence).
UPDATE {outbox_leases} SET hints = JSON_SET(hints, '$.proved', JSON_EXTRACT(?, '$')) WHERE id = 1 AND owner = ? AND epoch = ? AND ? = {{Server}}

-- name: Inspect
SELECT source, source_id, @@read_only, @@auto_increment_increment FROM {outbox_leases} WHERE id = 1

-- name: GlobalVariable
SHOW GLOBAL VARIABLES LIKE '{variable}'

-- name: NameSource
UPDATE {outbox_leases} SET source = ? WHERE id = 1 AND source IS NULL

-- name: Heartbeat
INSERT INTO {outbox_relays} (relay_id, host, owned, seen_at)
VALUES (?, ?, ?, UTC_TIMESTAMP(6)) ON DUPLICATE KEY UPDATE host = VALUES(host), owned = VALUES(owned), seen_at = VALUES(seen_at)

-- name: OtherMembers
{{Processes}} WHERE relay_id <> ?

-- name: Members
{{Processes}} ORDER BY host, relay_id

-- part: Processes
SELECT relay_id, host, owned, TIMESTAMPDIFF(MICROSECOND, seen_at, UTC_TIMESTAMP(6)) FROM {outbox_relays}

-- name: ForgetMembers
DELETE FROM {outbox_relays} WHERE seen_at NOT BETWEEN UTC_TIMESTAMP(6) - INTERVAL {us} MICROSECOND AND UTC_TIMESTAMP(6) + INTERVAL {us} MICROSECOND

-- name: Leave
DELETE FROM {outbox_relays} WHERE relay_id = ?

-- name: Sessions
-- See mysql_writers.go, for this statement and the next five.
SELECT id, {query_id}, command FROM information_schema.processlist
WHERE command NOT IN ('Daemon', 'Binlog Dump', 'Binlog Dump GTID') AND id <> CONNECTION_ID()

-- name: StartTransaction
SELECT epoch FROM {outbox_leases} WHERE id = 1

-- name: OpenTransactions
SELECT /* {nonce} */ trx_mysql_thread_id, trx_started, COALESCE(trx_query, '')
FROM information_schema.innodb_trx

-- name: LastGivenID
SELECT MAX(auto_increment) FROM information_schema.tables
WHERE table_schema = DATABASE() AND table_name = ?

-- name: HasQueryID
SELECT COUNT(*) FROM information_schema.columns
WHERE table_schema = 'information_schema' AND table_name = 'PROCESSLIST' AND column_name = 'QUERY_ID'

-- name: HasProcessPrivilege
SELECT COUNT(*) FROM information_schema.user_privileges
WHERE privilege_type = 'PROCESS' AND grantee = CONCAT('''', SUBSTRING_INDEX(CURRENT_USER(), '@', 1), '''@''', SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '''')

-- name: LockHolders
-- Which session has locked a row shows nowhere, unless somebody waits for it. Every transaction says how many rows
-- it has locked, of any table.
SELECT CONCAT('session ', t.trx_mysql_thread_id, ' (user ', COALESCE(p.user, ''), ', ', COALESCE(p.command, 'prepared'),
  ', since ', t.trx_started, ', ', t.trx_rows_locked, ' rows locked)')
FROM information_schema.innodb_trx t LEFT JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id
WHERE t.trx_mysql_thread_id <> CONNECTION_ID() AND t.trx_rows_locked > 0 AND (p.id IS NULL OR p.db = DATABASE())
  AND COALESCE(p.command, 'Sleep') = 'Sleep'
ORDER BY t.trx_started LIMIT 3

-- name: HasRequests
SELECT EXISTS (SELECT 1 FROM {outbox_parked} WHERE state IN ('retry', 'drop'))

-- name: HasDrops
SELECT EXISTS (SELECT 1 FROM {outbox_parked} WHERE state IN ('retry', 'drop') AND state = 'drop')

-- name: CheckDrops
SELECT seq FROM {outbox_drops} WHERE seq = 0

-- name: CheckParkInsert
-- No row has the id 0.
INSERT INTO {outbox_parked} (id, event_id, topic, event_type, headers, created_at)
SELECT id, event_id, topic, event_type, headers, created_at FROM {outbox_events} WHERE id = 0

-- name: CheckParkUpdate
UPDATE {outbox_parked} SET attempts = attempts WHERE seq = 0

-- name: CheckParkDelete
DELETE FROM {outbox_parked} WHERE seq = 0

-- name: LastParked
SELECT COALESCE(MAX(seq), 0) FROM {outbox_parked}

-- name: ParkedWindow
SELECT COALESCE(MAX(seq), 0) FROM (SELECT seq FROM {outbox_parked} WHERE seq > ? ORDER BY seq LIMIT ?) AS part

-- name: NotOvertaken
SELECT seq FROM {outbox_parked} WHERE seq > ? AND seq <= ? AND event_key IS NOT NULL AND NOT overtaken ORDER BY seq LIMIT ?

-- name: SentParked
SELECT seq, id, event_id FROM {outbox_parked} WHERE seq > ? AND seq <= ? AND id BETWEEN ? AND ?

-- name: BlockedKeys
-- The inner query ends after some rows of the index, which has all that is asked for. Rows without a key block
-- nothing. MariaDB makes no range of a comparison of rows. max(topic): of topics that differ in spaces at
-- their end, which the index takes for one.
SELECT CAST(topic AS BINARY), event_key, max(seq) FROM (
  SELECT topic, event_key, seq FROM {outbox_parked} FORCE INDEX ({outbox_parked_key_idx})
  WHERE event_key IS NOT NULL AND (topic > ? OR topic = ? AND (event_key > ? OR event_key = ? AND seq > ?))
  ORDER BY topic, event_key, seq LIMIT ?
) AS part GROUP BY CAST(topic AS BINARY), event_key ORDER BY max(topic), event_key, max(seq)

-- name: Park
-- FOR UPDATE: the DELETE that follows finds the rows that were copied. The list is sorted before the join, so that
-- no payload is.
{{RowWait}} INSERT INTO {outbox_parked} (id, event_id, topic, event_key, event_type, payload, headers, created_at, attempts, error, state, overtaken)
SELECT e.id, e.event_id, e.topic, e.event_key, e.event_type, e.payload, e.headers, e.created_at,
       a.state = 'failed', COALESCE(a.error, ''), a.state, a.overtaken
FROM JSON_TABLE(?, '$[*]' COLUMNS (n FOR ORDINALITY, id BIGINT PATH '$[0]', event_id CHAR(36) PATH '$[1]',
  state VARCHAR(16) PATH '$[2]', error VARCHAR(4000) PATH '$[3]', overtaken INT PATH '$[4]')) AS a
STRAIGHT_JOIN {outbox_events} AS e FORCE INDEX (PRIMARY) ON e.id = a.id AND e.event_id = CONVERT(a.event_id USING ascii) COLLATE ascii_bin
ORDER BY a.n FOR UPDATE

-- name: DeleteMoved
{{RowWait}} DELETE e FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]', event_id CHAR(36) PATH '$[1]')) AS a
STRAIGHT_JOIN {outbox_events} AS e FORCE INDEX (PRIMARY) ON e.id = a.id AND e.event_id = CONVERT(a.event_id USING ascii) COLLATE ascii_bin

-- name: Orphans
-- Blocked rows behind a seq, without a row before them.
SELECT p.seq FROM {outbox_parked} AS p
WHERE p.seq > ? AND p.state = 'blocked' AND (p.event_key IS NULL OR NOT EXISTS (
  SELECT 1 FROM {outbox_parked} AS e WHERE e.topic = p.topic AND e.event_key = p.event_key
    AND CAST(e.topic AS BINARY) = CAST(p.topic AS BINARY) AND e.seq < p.seq LIMIT 1))

-- name: Candidates
SELECT seq, topic, event_key, overtaken FROM {outbox_parked}
WHERE state = 'retry' AND seq > ? ORDER BY seq LIMIT ?

-- name: FirstNotRetried
-- For each row the first of its key in another state than retry.
SELECT r.seq, (
  SELECT k.seq FROM {outbox_parked} AS k WHERE k.topic = r.topic AND k.event_key = r.event_key
    AND CAST(k.topic AS BINARY) = CAST(r.topic AS BINARY) AND k.state <> 'retry' ORDER BY k.seq LIMIT 1)
FROM {{Seqs}}
STRAIGHT_JOIN {outbox_parked} AS r FORCE INDEX (PRIMARY) ON r.seq = a.v

-- part: Seqs
JSON_TABLE(?, '$[*]' COLUMNS (v BIGINT PATH '$')) AS a

-- name: ReadParked
SELECT seq, overtaken, attempts, {{Columns}}
FROM {{Seqs}}
STRAIGHT_JOIN {outbox_parked} AS p FORCE INDEX (PRIMARY) ON p.seq = a.v WHERE p.state = 'retry' ORDER BY a.v

-- name: ParkedKeys
SELECT p.topic, p.event_key {{ParkedList}} WHERE p.event_key IS NOT NULL

-- name: DeleteParked
DELETE p {{ParkedList}}

-- part: ParkedList
FROM JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT PATH '$[0]', event_id CHAR(36) PATH '$[1]')) AS a
STRAIGHT_JOIN {outbox_parked} AS p FORCE INDEX (PRIMARY) ON p.seq = a.seq AND p.event_id = CONVERT(a.event_id USING ascii) COLLATE ascii_bin

-- name: FirstParked
-- Topic and key come in hexadecimal digits, for JSON has no bytes.
SELECT f.n, e.seq, e.state FROM (
  SELECT a.n - 1 AS n, (
    SELECT k.seq FROM {outbox_parked} AS k
    WHERE k.topic = CONVERT(UNHEX(a.topic) USING utf8mb4) COLLATE utf8mb4_bin AND k.event_key = UNHEX(a.event_key)
      AND CAST(k.topic AS BINARY) = UNHEX(a.topic) ORDER BY k.seq LIMIT 1) AS seq
  FROM JSON_TABLE(?, '$[*]' COLUMNS (n FOR ORDINALITY, topic VARCHAR(2000) PATH '$[0]', event_key VARCHAR(1024) PATH '$[1]')) AS a
) AS f STRAIGHT_JOIN {outbox_parked} AS e FORCE INDEX (PRIMARY) ON e.seq = f.seq

-- name: Followers
-- There is no LATERAL in MariaDB: the end of each key's first rows is found first.
SELECT h.seq, e.seq, e.state FROM (
  SELECT p.seq, p.topic, p.event_key, COALESCE((
    SELECT k.seq FROM {outbox_parked} AS k WHERE k.topic = p.topic AND k.event_key = p.event_key
      AND CAST(k.topic AS BINARY) = CAST(p.topic AS BINARY) AND k.seq >= p.seq ORDER BY k.seq LIMIT 1 OFFSET ?), 9223372036854775807) AS stop
  FROM {{Seqs}}
  STRAIGHT_JOIN {outbox_parked} AS p FORCE INDEX (PRIMARY) ON p.seq = a.v
) AS h STRAIGHT_JOIN {outbox_parked} AS e ON e.topic = h.topic AND e.event_key = h.event_key
  AND CAST(e.topic AS BINARY) = CAST(h.topic AS BINARY) AND e.seq >= h.seq AND e.seq < h.stop
ORDER BY h.seq, e.seq

-- name: Release
UPDATE {{Seqs}}
STRAIGHT_JOIN {outbox_parked} AS p FORCE INDEX (PRIMARY) ON p.seq = a.v SET p.state = 'retry' WHERE p.state = 'blocked'

-- name: MarkOvertaken
UPDATE {{Seqs}}
STRAIGHT_JOIN {outbox_parked} AS p FORCE INDEX (PRIMARY) ON p.seq = a.v SET p.overtaken = true

-- name: Reject
UPDATE {{Rejections}}
SET r.attempts = r.attempts + 1, r.error = COALESCE(a.reason, ''), r.overtaken = r.overtaken OR a.overtaken,
    r.state = CASE r.state WHEN 'drop' THEN 'drop' ELSE 'failed' END

-- name: BlockLater
UPDATE {{Rejections}}
STRAIGHT_JOIN {outbox_parked} AS p ON p.topic = r.topic AND p.event_key = r.event_key
  AND CAST(p.topic AS BINARY) = CAST(r.topic AS BINARY) AND p.seq > r.seq
SET p.state = 'blocked' WHERE p.state = 'retry' AND NOT p.overtaken

-- part: Rejections
JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT PATH '$[0]', event_id CHAR(36) PATH '$[1]',
  reason VARCHAR(4000) PATH '$[2]', overtaken INT PATH '$[3]')) AS a
STRAIGHT_JOIN {outbox_parked} AS r FORCE INDEX (PRIMARY) ON r.seq = a.seq AND r.event_id = CONVERT(a.event_id USING ascii) COLLATE ascii_bin

-- name: LockDrops
SELECT seq, id, event_id, topic, event_key FROM {outbox_parked}
WHERE state = 'drop' ORDER BY seq LIMIT ? FOR UPDATE

-- name: RecordDrops
INSERT INTO {outbox_drops} (id, event_id, topic, event_key, error)
SELECT p.id, p.event_id, p.topic, p.event_key, p.error FROM {{Seqs}}
STRAIGHT_JOIN {outbox_parked} AS p FORCE INDEX (PRIMARY) ON p.seq = a.v ORDER BY a.v

-- name: UntilDue
-- Microseconds until the first row is due.
SELECT TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), deliver_at) FROM {outbox_scheduled} FORCE INDEX ({outbox_scheduled_due_idx}) ORDER BY deliver_at, seq LIMIT 1

-- name: DueRows
-- Its conditions follow.
SELECT seq, event_id, topic, event_key, DATE_FORMAT(deliver_at, '%Y-%m-%d %H:%i:%s.%f') FROM {outbox_scheduled} FORCE INDEX ({outbox_scheduled_due_idx}) WHERE deliver_at <= UTC_TIMESTAMP(6)

-- name: LockDue
-- Rows are locked by way of the index of event_id, as Cancel does it. By the primary key the two could deadlock:
-- Cancel has the index's entry and waits for the row; we have the row, and our DELETE waits for the entry.
--
-- FORCE INDEX and a join, whose lookups are for one row each. A small table would be scanned, and a range, even one
-- of IN, looks at the row behind it: both wait for rows that somebody else has locked.
--
-- The ids stand in the text: they are hexadecimal digits and hyphens.
SELECT s.seq FROM JSON_TABLE('["{event_ids}"]', '$[*]' COLUMNS (event_id CHAR(36) PATH '$')) AS named
STRAIGHT_JOIN {outbox_scheduled} AS s FORCE INDEX ({outbox_scheduled_event_id_key})
  ON s.event_id = CONVERT(named.event_id USING ascii) COLLATE ascii_bin WHERE s.deliver_at <= UTC_TIMESTAMP(6) FOR UPDATE SKIP LOCKED

-- name: CopyDue
INSERT INTO {outbox_events} ({{RowColumns}})
SELECT {{RowColumns}} {{Due}} ORDER BY deliver_at, seq

-- name: DeleteDue
-- Of the tables that it joins.
DELETE s {{Due}}

-- part: Due
FROM JSON_TABLE('[{seqs}]', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN {outbox_scheduled} AS s FORCE INDEX (PRIMARY) ON s.seq = named.number

-- name: TryLockKeys
-- It takes the locks that are free, without waiting, and returns their numbers.
SELECT slot FROM {outbox_key_locks} FORCE INDEX (PRIMARY) WHERE slot IN ({numbers}) FOR UPDATE SKIP LOCKED
