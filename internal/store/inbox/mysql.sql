-- The statements of the inbox for MySQL and MariaDB; db.Load gives each to the field of its name.
-- What stands in braces alone, as {ids}, Go puts in by db.Fill.

-- name: InsertMessage
-- Not INSERT IGNORE: it turns errors into warnings, and truncates an id that is too long into another message's. It waits
-- while another transaction holds the same key uncommitted.
INSERT INTO {inbox_events} (consumer, message_id, kafka_topic, kafka_partition, kafka_offset)
VALUES (?, ?, ?, ?, ?)

-- name: InsertMessages
-- MySQL has no RETURNING for what was new, and INSERT IGNORE turns an id that is too long into another message's. So rows
-- bear the token of the batch that wrote them, and the clause leaves those that are there as they are. The list has
-- hexadecimal ids, or the connection's character set would have a say in them.
INSERT INTO {inbox_events} (consumer, message_id, kafka_topic, kafka_partition, kafka_offset, claim_token)
SELECT ?, UNHEX(m.id), UNHEX(m.topic), m.part, m.pos, ?
FROM JSON_TABLE(?, '$[*]' COLUMNS (id VARCHAR(510) PATH '$[0]', topic VARCHAR(1992) PATH '$[1]', part INT PATH '$[2]', pos BIGINT PATH '$[3]')) AS m
ON DUPLICATE KEY UPDATE {inbox_events}.consumer = {inbox_events}.consumer

-- name: WrittenMessages
SELECT e.message_id
FROM JSON_TABLE(?, '$[*]' COLUMNS (id VARCHAR(510) PATH '$[0]')) AS m
STRAIGHT_JOIN {inbox_events} AS e ON e.consumer = ? AND e.message_id = UNHEX(m.id)
WHERE e.claim_token = ?

-- name: HasMessage
SELECT 1 FROM {inbox_events} WHERE consumer = ? AND message_id = ?

-- name: MarkTx
-- MySQL has no number of a transaction that every user may read (innodb_trx needs a right), but a savepoint lives and
-- dies with its transaction.
SAVEPOINT postroom_inbox

-- name: SameTx
RELEASE SAVEPOINT postroom_inbox

-- name: ReadAttempts
-- An attempt is counted by a statement that commits by itself, before the handler's transaction: a handler that kills
-- the process is caught by the count alone.
-- A statement of its own: MySQL would lock what an INSERT … SELECT reads.
SELECT (SELECT attempts FROM {inbox_attempts} WHERE consumer = ? AND message_id = ?),
  (SELECT last_error FROM {inbox_attempts} WHERE consumer = ? AND message_id = ?),
  EXISTS (SELECT 1 FROM {inbox_events} WHERE consumer = ? AND message_id = ?),
  EXISTS (SELECT 1 FROM {inbox_blocked} WHERE consumer = ? AND topic = ? AND event_key = ?)

-- name: CountAttempt
INSERT INTO {inbox_attempts} (consumer, message_id, attempts) VALUES (?, ?, 1)
ON DUPLICATE KEY UPDATE attempts = attempts + ?, started_at = utc_timestamp(6)

-- name: ReturnAttempt
UPDATE {inbox_attempts} SET attempts = attempts - 1 WHERE consumer = ? AND message_id = ? AND attempts > 0

-- name: NoteAttempt
UPDATE {inbox_attempts} SET last_error = ? WHERE consumer = ? AND message_id = ?

-- name: DeleteAttempts
DELETE FROM {inbox_attempts} WHERE consumer = ? AND message_id = ?

-- name: DeleteOldAttempts
-- The table has no index on started_at: it has rows of what is under way, and of what was left behind.
DELETE FROM {inbox_attempts} WHERE consumer = ? AND started_at < utc_timestamp(6) - INTERVAL ? MICROSECOND LIMIT ?

-- name: ReadBatch
-- A batch has one row for its lane, a partition, whose attempts are the number of messages.
SELECT COALESCE((SELECT attempts FROM {inbox_attempts} WHERE consumer = ? AND message_id = ?), 0),
  EXISTS (SELECT 1 FROM {inbox_blocked} WHERE consumer = ?)

-- name: CountBatch
INSERT INTO {inbox_attempts} (consumer, message_id, attempts) VALUES (?, ?, ?)
ON DUPLICATE KEY UPDATE attempts = VALUES(attempts), started_at = utc_timestamp(6)

-- name: Park
INSERT INTO {inbox_parked} (consumer, message_id, topic, event_key, event_type, headers, payload,
kafka_topic, kafka_partition, kafka_offset, attempts, error, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: StatementLimit
SELECT @@max_allowed_packet

-- name: Block
-- The update locks a row that is there already.
INSERT INTO {inbox_blocked} (consumer, topic, event_key) VALUES (?, ?, ?) ON DUPLICATE KEY UPDATE event_key = VALUES(event_key)

-- name: LockBlocked
SELECT 1 FROM {inbox_blocked} WHERE consumer = ? AND topic = ? AND event_key = ? FOR UPDATE

-- name: BlockedKeys
SELECT event_key FROM {inbox_blocked} WHERE consumer = ? AND topic = ? AND event_key IN {keys} ORDER BY event_key FOR UPDATE

-- name: Unblock
DELETE FROM {inbox_blocked} WHERE consumer = ? AND topic = ? AND event_key = ?

-- name: RetryParked
UPDATE {inbox_parked} SET state = 'retry' WHERE consumer = ? AND seq = ? AND state = 'blocked'

-- name: Requests
-- Every consumer runs it about once a second: the index inbox_parked_asked_idx makes that cheap. It has the states apart,
-- and a list of both would sort all rows that operators asked something for.
(SELECT seq, topic, event_key FROM {inbox_parked} WHERE consumer = ? AND state = 'retry' AND seq > ? ORDER BY seq LIMIT ?)
UNION ALL (SELECT seq, topic, event_key FROM {inbox_parked} WHERE consumer = ? AND state = 'drop' AND seq > ? ORDER BY seq LIMIT ?) ORDER BY seq LIMIT ?

-- name: FirstParked
SELECT seq, state FROM {inbox_parked} WHERE consumer = ? AND topic = ? AND event_key = ? AND seq > ? ORDER BY seq LIMIT 1 FOR UPDATE

-- name: ParkedOfKey
{{ParkedOfKeyAfter}} ORDER BY seq LIMIT ?

-- name: RequestedOfKey
{{ParkedOfKeyAfter}} AND state IN ('retry', 'drop') ORDER BY seq LIMIT ?

-- part: ParkedOfKeyAfter
SELECT seq, state, attempts, COALESCE(LENGTH(payload), 0) + LENGTH(headers), message_id, CASE WHEN state = 'drop' THEN error ELSE '' END FROM {inbox_parked} WHERE consumer = ? AND topic = ? AND event_key = ? AND seq > ?

-- name: ClaimParked
UPDATE {inbox_parked} SET state = 'failed', attempts = attempts + 1 WHERE consumer = ? AND seq = ? AND state = ?

-- name: BlockFollowers
UPDATE {inbox_parked} SET state = 'blocked' WHERE consumer = ? AND topic = ? AND event_key = ? AND seq > ? AND state = 'retry'

-- name: UnclaimParked
UPDATE {inbox_parked} SET state = 'retry', attempts = attempts - 1 WHERE consumer = ? AND seq = ? AND state = 'failed' AND attempts > 0

-- name: FailParked
UPDATE {inbox_parked} SET error = ? WHERE consumer = ? AND seq = ?

-- name: DeleteParked
DELETE FROM {inbox_parked} WHERE consumer = ? AND seq = ?

-- name: ReadParked
SELECT {{ParkedColumns}} FROM {inbox_parked} WHERE consumer = ? AND seq = ? FOR UPDATE

-- name: HasParked
SELECT 1 FROM {inbox_parked} WHERE consumer = ? AND seq = ?

-- name: ClaimSpan
UPDATE {inbox_parked} SET state = CASE WHEN seq = ? THEN 'failed' ELSE state END, attempts = 1 WHERE consumer = ? AND topic = ? AND event_key = ? AND seq >= ? AND seq <= ? AND attempts = 0 AND state IN ('retry', 'blocked')

-- name: UnclaimSpan
UPDATE {inbox_parked} SET state = CASE WHEN state = 'failed' THEN 'retry' ELSE state END, attempts = 0 {{OfSpan}} AND attempts = 1

-- name: ReadSpan
SELECT seq, {{ParkedColumns}} FROM {inbox_parked} {{OfSpan}} ORDER BY seq

-- name: DeleteSpan
DELETE FROM {inbox_parked} {{OfSpan}} AND NOT EXISTS (SELECT 1 FROM (SELECT seq FROM {inbox_parked} WHERE consumer = ? AND seq = ? LIMIT 1) AS first)

-- part: OfSpan
WHERE consumer = ? AND topic = ? AND event_key = ? AND seq >= ? AND seq <= ?

-- part: ParkedColumns
message_id, topic, event_key, event_type, headers, payload, payload IS NOT NULL, kafka_topic, kafka_partition, kafka_offset, attempts, error, state

-- name: ClaimPartition
INSERT INTO {inbox_offsets} (consumer, kafka_topic, kafka_partition, epoch) VALUES (?, ?, ?, 1)
ON DUPLICATE KEY UPDATE epoch = epoch + 1

-- name: ReadClaim
SELECT epoch, next_offset FROM {inbox_offsets} WHERE consumer = ? AND kafka_topic = ? AND kafka_partition = ?

-- name: LockClaim
SELECT epoch, next_offset FROM {inbox_offsets} WHERE consumer = ? AND kafka_topic = ? AND kafka_partition = ? FOR UPDATE

-- name: MoveOffset
UPDATE {inbox_offsets} SET next_offset = ?, updated_at = utc_timestamp(6) WHERE consumer = ? AND kafka_topic = ? AND kafka_partition = ? AND epoch = ? AND COALESCE(next_offset, -1) BETWEEN ? AND ?

-- name: LowestOffsets
SELECT kafka_topic, kafka_partition, min(kafka_offset) FROM {inbox_events}
WHERE consumer = ? AND kafka_offset IS NOT NULL GROUP BY kafka_topic, kafka_partition

-- name: ReadGroups
SELECT kafka_topic, kafka_partition, COALESCE(kafka_group, ''), COALESCE(topic_id, ''), COALESCE(applied_offset, -1), COALESCE(next_offset, -1) FROM {inbox_offsets} WHERE consumer = ? AND kafka_topic IN {topics}

-- name: ReadGroupsOlder
-- The table of an older build has no columns for groups.
SELECT kafka_topic, kafka_partition, '', '', -1, COALESCE(next_offset, -1) FROM {inbox_offsets} WHERE consumer = ? AND kafka_topic IN {topics}

-- name: InsertGroup
INSERT INTO {inbox_offsets} (consumer, kafka_topic, kafka_partition, epoch, kafka_group, topic_id, applied_offset)
VALUES (?, ?, ?, 0, ?, ?, ?)

-- name: ReplaceGroup
-- {set} is SetApplied or RaiseApplied, and RemoveOffset behind it where there is no offset any more.
UPDATE {inbox_offsets} SET kafka_group = ?, topic_id = ?, {set}, updated_at = utc_timestamp(6) WHERE consumer = ? AND kafka_topic = ? AND kafka_partition = ? AND COALESCE(kafka_group, '') = ? AND COALESCE(topic_id, '') = ?

-- name: SetApplied
applied_offset = ?

-- name: RaiseApplied
-- In the same topic the offset never falls: another member may have raised it meanwhile.
applied_offset = GREATEST(COALESCE(applied_offset, ?), COALESCE(?, applied_offset))

-- name: RemoveOffset
-- All claims go with the offset, by the epoch: a member that was paused would put it in again.
next_offset = NULL, epoch = epoch + 1

-- name: RaiseGroups
-- The first row has the types; {rows} is RaiseGroupsRow for each row after it.
UPDATE {inbox_offsets} AS o JOIN (SELECT CAST(? AS binary) AS topic, CAST(? AS signed) AS part, CAST(? AS binary) AS id, CAST(? AS signed) AS applied, CAST(? AS signed) AS noted{rows}) AS v ON o.consumer = ? AND o.kafka_group = ? AND o.kafka_topic = v.topic AND o.kafka_partition = v.part AND COALESCE(o.topic_id, '') = v.id AND COALESCE(o.applied_offset, 0) >= v.noted SET o.applied_offset = GREATEST(COALESCE(o.applied_offset, v.applied), v.applied), o.updated_at = utc_timestamp(6)

-- name: RaiseGroupsRow
UNION ALL SELECT ?, ?, ?, ?, ?

-- name: Expired
-- In the order of the index (consumer, processed_at), which holds the message id as well; after the last row of the
-- previous piece, so that rows which must stay are passed once. The lower bound is spelt out instead of (processed_at,
-- message_id) > (?, ?), because MySQL uses no index for a comparison of rows.
SELECT message_id, kafka_topic, kafka_partition, kafka_offset, CAST(processed_at AS CHAR)
FROM {inbox_events}
WHERE consumer = ? AND processed_at < utc_timestamp(6) - INTERVAL ? MICROSECOND
  AND processed_at >= CAST(? AS DATETIME(6)) AND (processed_at > CAST(? AS DATETIME(6)) OR message_id > ?)
ORDER BY processed_at, message_id LIMIT ?

-- name: DeleteMessages
-- The age is asked for again: between the read and the delete another pruner may have removed a row and a redelivery
-- written it anew.
DELETE FROM {inbox_events} WHERE consumer = ? AND processed_at < utc_timestamp(6) - INTERVAL ? MICROSECOND AND message_id IN {ids}

-- name: OldestMessage
SELECT TIMESTAMPDIFF(MICROSECOND, MIN(processed_at), utc_timestamp(6)) FROM {inbox_events} WHERE consumer = ?

-- name: ParkedIDs
SELECT message_id FROM {inbox_parked} WHERE consumer = ? AND message_id IN {ids}

-- name: OfConsumer
-- It is what {condition} stands for in the Status statements, or nothing is.
WHERE consumer = ?

-- name: StatusEvents
SELECT count(*), DATE_FORMAT(min(processed_at), '%Y-%m-%dT%H:%i:%s.%fZ'), TIMESTAMPDIFF(MICROSECOND, min(processed_at), utc_timestamp(6)) FROM (SELECT processed_at FROM {inbox_events} WHERE consumer = ? ORDER BY processed_at LIMIT 20001) AS counted

-- name: EstimateEvents
-- The optimizer looks into the index, and takes no longer for a large table.
EXPLAIN SELECT message_id FROM {inbox_events} WHERE consumer = ?

-- name: NextConsumer
SELECT MIN(consumer) FROM {inbox_events} WHERE consumer > ?

-- name: StatusAttempts
SELECT consumer, count(*), TIMESTAMPDIFF(MICROSECOND, min(started_at), utc_timestamp(6)) FROM (SELECT consumer, started_at FROM {inbox_attempts}{condition} LIMIT 200000) AS counted GROUP BY consumer

-- name: StatusParked
-- The first rows have the lowest seq, and so the oldest are among them.
SELECT consumer, state, count(*), DATE_FORMAT(min(parked_at), '%Y-%m-%dT%H:%i:%s.%fZ'), TIMESTAMPDIFF(MICROSECOND, min(parked_at), utc_timestamp(6)) FROM (SELECT consumer, state, parked_at FROM {inbox_parked}{condition} ORDER BY seq LIMIT 200000) AS counted GROUP BY consumer, state

-- name: StatusBlocked
SELECT consumer, count(*) FROM (SELECT consumer FROM {inbox_blocked}{condition} LIMIT 200000) AS counted GROUP BY consumer

-- name: StatusOffsets
SELECT consumer, kafka_topic, kafka_partition, COALESCE(kafka_group, ''), COALESCE(topic_id, ''), applied_offset, {{OffsetColumns}} FROM {inbox_offsets}{condition} ORDER BY consumer, kafka_topic, kafka_partition

-- name: StatusOffsetsOlder
-- The table of an older build has no columns for groups.
SELECT consumer, kafka_topic, kafka_partition, '', '', NULL, {{OffsetColumns}} FROM {inbox_offsets}{condition} ORDER BY consumer, kafka_topic, kafka_partition

-- part: OffsetColumns
next_offset, epoch, DATE_FORMAT(updated_at, '%Y-%m-%dT%H:%i:%s.%fZ'), TIMESTAMPDIFF(MICROSECOND, updated_at, utc_timestamp(6))

-- name: StatusBackfills
SELECT replica, run_id, sent, DATE_FORMAT(heard_at, '%Y-%m-%dT%H:%i:%s.%fZ'), TIMESTAMPDIFF(MICROSECOND, heard_at, utc_timestamp(6)) FROM {inbox_replica_runs} WHERE finished_at IS NULL ORDER BY replica, run_id

-- name: TraceEvents
-- The index begins with the consumer: each consumer is asked for by itself.
SELECT consumer, DATE_FORMAT(processed_at, '%Y-%m-%dT%H:%i:%s.%fZ'), kafka_topic, kafka_partition, kafka_offset, 0, '', '' FROM {inbox_events} WHERE consumer = ? AND message_id = ?

-- name: TraceAttempts
SELECT consumer, DATE_FORMAT(started_at, '%Y-%m-%dT%H:%i:%s.%fZ'), NULL, NULL, NULL, attempts, last_error, '' FROM {inbox_attempts} WHERE message_id = ?

-- name: TraceParked
SELECT consumer, DATE_FORMAT(parked_at, '%Y-%m-%dT%H:%i:%s.%fZ'), kafka_topic, kafka_partition, kafka_offset, attempts, error, state FROM {inbox_parked} WHERE message_id = ?

-- name: LockWaitsMariaDB
{{Waits}} information_schema.innodb_lock_waits AS w JOIN information_schema.innodb_trx AS r ON r.trx_id = w.requesting_trx_id JOIN information_schema.innodb_trx AS b ON b.trx_id = w.blocking_trx_id
{{OfInboxTables}}

-- name: LockWaitsMySQL8
{{Waits}} performance_schema.data_lock_waits AS w JOIN information_schema.innodb_trx AS r ON r.trx_id = w.requesting_engine_transaction_id JOIN information_schema.innodb_trx AS b ON b.trx_id = w.blocking_engine_transaction_id
{{OfInboxTables}}

-- part: Waits
SELECT r.trx_mysql_thread_id, TIMESTAMPDIFF(MICROSECOND, r.trx_wait_started, NOW(6)), b.trx_mysql_thread_id,
  COALESCE(p.user, ''), '', COALESCE(p.host, ''), COALESCE(p.command, ''), TIMESTAMPDIFF(MICROSECOND, b.trx_started, NOW(6))
FROM

-- part: OfInboxTables
-- A session's text tells which table it waits for.
JOIN information_schema.processlist AS q ON q.id = r.trx_mysql_thread_id LEFT JOIN information_schema.processlist AS p ON p.id = b.trx_mysql_thread_id
WHERE q.db = DATABASE() AND (LOCATE(?, r.trx_query) > 0 OR LOCATE(?, r.trx_query) > 0 OR LOCATE(?, r.trx_query) > 0)
ORDER BY 2 DESC, 8 DESC LIMIT 20
