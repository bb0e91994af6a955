-- The statements of the inbox for SQLite; db.Load gives each to the field of its name.
-- What stands in braces alone, as {ids}, Go puts in by db.Fill.

-- name: InsertMessage
INSERT INTO {inbox_events} (consumer, message_id, kafka_topic, kafka_partition, kafka_offset)
VALUES (?, ?, ?, ?, ?) ON CONFLICT (consumer, message_id) DO NOTHING

-- name: InsertMessages
-- The rows are one parameter, a JSON array: the statement has the same text for any number of rows.
INSERT INTO {inbox_events} (consumer, message_id, kafka_topic, kafka_partition, kafka_offset)
SELECT ?, json_extract(m.value, '$[0]'), json_extract(m.value, '$[1]'), json_extract(m.value, '$[2]'), json_extract(m.value, '$[3]')
FROM json_each(?) AS m WHERE true
ON CONFLICT (consumer, message_id) DO NOTHING
RETURNING message_id

-- name: HasMessage
SELECT 1 FROM {inbox_events} WHERE consumer = ? AND message_id = ?

-- name: MarkTx
-- SQLite has no number of a transaction, but a savepoint lives and dies with its transaction.
SAVEPOINT postroom_inbox

-- name: SameTx
RELEASE SAVEPOINT postroom_inbox

-- name: ReadAttempts
-- An attempt is counted by a statement that commits by itself, before the handler's transaction: a handler that kills
-- the process is caught by the count alone.
SELECT (SELECT attempts FROM {inbox_attempts} WHERE consumer = ? AND message_id = ?),
  (SELECT last_error FROM {inbox_attempts} WHERE consumer = ? AND message_id = ?),
  EXISTS (SELECT 1 FROM {inbox_events} WHERE consumer = ? AND message_id = ?),
  EXISTS (SELECT 1 FROM {inbox_blocked} WHERE consumer = ? AND topic = ? AND event_key = ?)

-- name: CountAttempt
INSERT INTO {inbox_attempts} (consumer, message_id, attempts) VALUES (?, ?, 1)
ON CONFLICT (consumer, message_id) DO UPDATE SET attempts = attempts + ?, started_at = strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'

-- name: ReturnAttempt
UPDATE {inbox_attempts} SET attempts = attempts - 1 WHERE consumer = ? AND message_id = ? AND attempts > 0

-- name: NoteAttempt
UPDATE {inbox_attempts} SET last_error = ? WHERE consumer = ? AND message_id = ?

-- name: DeleteAttempts
DELETE FROM {inbox_attempts} WHERE consumer = ? AND message_id = ?

-- name: DeleteOldAttempts
DELETE FROM {inbox_attempts} WHERE (consumer, message_id) IN
(SELECT consumer, message_id FROM {inbox_attempts} WHERE consumer = ? AND started_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', ?) || '000Z' LIMIT ?)

-- name: ReadBatch
-- A batch has one row for its lane, a partition, whose attempts are the number of messages.
SELECT COALESCE((SELECT attempts FROM {inbox_attempts} WHERE consumer = ? AND message_id = ?), 0),
  EXISTS (SELECT 1 FROM {inbox_blocked} WHERE consumer = ?)

-- name: CountBatch
INSERT INTO {inbox_attempts} (consumer, message_id, attempts) VALUES (?, ?, ?)
ON CONFLICT (consumer, message_id) DO UPDATE SET attempts = excluded.attempts, started_at = strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'

-- name: Park
INSERT INTO {inbox_parked} (consumer, message_id, topic, event_key, event_type, headers, payload,
kafka_topic, kafka_partition, kafka_offset, attempts, error, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: Block
INSERT INTO {inbox_blocked} (consumer, topic, event_key) VALUES (?, ?, ?) ON CONFLICT (consumer, topic, event_key) DO UPDATE SET event_key = excluded.event_key

-- name: LockBlocked
-- SQLite has one lock, which a write takes.
UPDATE {inbox_blocked} SET event_key = event_key WHERE consumer = ? AND topic = ? AND event_key = ?

-- name: BlockedKeys
SELECT event_key FROM {inbox_blocked} WHERE consumer = ? AND topic = ? AND event_key IN {keys}

-- name: Unblock
DELETE FROM {inbox_blocked} WHERE consumer = ? AND topic = ? AND event_key = ?

-- name: RetryParked
UPDATE {inbox_parked} SET state = 'retry' WHERE consumer = ? AND seq = ? AND state = 'blocked'

-- name: Requests
-- Every consumer runs it about once a second: inbox_parked_asked_idx makes that cheap.
SELECT seq, topic, event_key FROM {inbox_parked} WHERE consumer = ? AND state IN ('retry', 'drop') AND seq > ? ORDER BY seq LIMIT ?

-- name: FirstParked
SELECT seq, state FROM {inbox_parked} WHERE consumer = ? AND topic = ? AND event_key = ? AND seq > ? ORDER BY seq LIMIT 1

-- name: ParkedOfKey
{{ParkedOfKeyAfter}} ORDER BY seq LIMIT ?

-- name: RequestedOfKey
{{ParkedOfKeyAfter}} AND state IN ('retry', 'drop') ORDER BY seq LIMIT ?

-- part: ParkedOfKeyAfter
SELECT seq, state, attempts, COALESCE(length(payload), 0) + length(headers), message_id, CASE WHEN state = 'drop' THEN error ELSE '' END FROM {inbox_parked} WHERE consumer = ? AND topic = ? AND event_key = ? AND seq > ?

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
SELECT {{ParkedColumns}} FROM {inbox_parked} WHERE consumer = ? AND seq = ?

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
INSERT INTO {inbox_offsets} AS o (consumer, kafka_topic, kafka_partition, epoch) VALUES (?, ?, ?, 1)
ON CONFLICT (consumer, kafka_topic, kafka_partition) DO UPDATE SET epoch = o.epoch + 1 RETURNING epoch, next_offset

-- name: ReadClaim
SELECT epoch, next_offset FROM {inbox_offsets} WHERE consumer = ? AND kafka_topic = ? AND kafka_partition = ?

-- name: LockClaim
-- SQLite has one writer at a time.
SELECT epoch, next_offset FROM {inbox_offsets} WHERE consumer = ? AND kafka_topic = ? AND kafka_partition = ?

-- name: MoveOffset
UPDATE {inbox_offsets} SET next_offset = ?, updated_at = strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z' WHERE consumer = ? AND kafka_topic = ? AND kafka_partition = ? AND epoch = ? AND COALESCE(next_offset, -1) BETWEEN ? AND ?

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
UPDATE {inbox_offsets} SET kafka_group = ?, topic_id = ?, {set}, updated_at = strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z' WHERE consumer = ? AND kafka_topic = ? AND kafka_partition = ? AND COALESCE(kafka_group, '') = ? AND COALESCE(topic_id, '') = ?

-- name: SetApplied
applied_offset = ?

-- name: RaiseApplied
-- In the same topic the offset never falls: another member may have raised it meanwhile.
applied_offset = max(COALESCE(applied_offset, ?), COALESCE(?, applied_offset))

-- name: RemoveOffset
-- All claims go with the offset, by the epoch: a member that was paused would put it in again.
next_offset = NULL, epoch = epoch + 1

-- name: RaiseGroups
-- The first row has the types; {rows} is RaiseGroupsRow for each row after it.
UPDATE {inbox_offsets} AS o SET applied_offset = max(COALESCE(o.applied_offset, v.applied), v.applied), updated_at = strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z' FROM (SELECT CAST(? AS text) AS topic, CAST(? AS integer) AS part, CAST(? AS text) AS id, CAST(? AS integer) AS applied, CAST(? AS integer) AS noted{rows}) AS v WHERE o.consumer = ? AND o.kafka_group = ? AND o.kafka_topic = v.topic AND o.kafka_partition = v.part AND COALESCE(o.topic_id, '') = v.id AND COALESCE(o.applied_offset, 0) >= v.noted

-- name: RaiseGroupsRow
UNION ALL SELECT ?, ?, ?, ?, ?

-- name: Expired
-- In the order of the index (consumer, processed_at), which holds the message id as well; after the last row of the
-- previous piece, so that rows which must stay are passed once. CAST, or a driver that parses times would not give back
-- what the table has.
SELECT message_id, kafka_topic, kafka_partition, kafka_offset, CAST(processed_at AS TEXT)
FROM {inbox_events}
WHERE consumer = ? AND processed_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', ?) || '000Z'
  AND processed_at >= ? AND (processed_at > ? OR message_id > ?)
ORDER BY processed_at, message_id LIMIT ?

-- name: DeleteMessages
-- The age is asked for again: between the read and the delete another pruner may have removed a row and a redelivery
-- written it anew.
DELETE FROM {inbox_events} WHERE consumer = ? AND processed_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', ?) || '000Z' AND message_id IN {ids}

-- name: OldestMessage
SELECT (julianday('now') - julianday(min(processed_at))) * 86400000000.0 FROM {inbox_events} WHERE consumer = ?

-- name: ParkedIDs
SELECT message_id FROM {inbox_parked} WHERE consumer = ? AND message_id IN {ids}

-- name: OfConsumer
-- It is what {condition} stands for in the Status statements, or nothing is.
WHERE consumer = ?

-- name: StatusEvents
-- SQLite has no estimate: it counts by an index of a file that is on this host.
SELECT count(*), '' || min(processed_at), (julianday('now') - julianday(min(processed_at))) * 86400000000.0 FROM (SELECT processed_at FROM {inbox_events} WHERE consumer = ? ORDER BY processed_at LIMIT 2147483647) AS counted

-- name: NextConsumer
SELECT MIN(consumer) FROM {inbox_events} WHERE consumer > ?

-- name: StatusAttempts
SELECT consumer, count(*), (julianday('now') - julianday(min(started_at))) * 86400000000.0 FROM (SELECT consumer, started_at FROM {inbox_attempts}{condition} LIMIT 200000) AS counted GROUP BY consumer

-- name: StatusParked
-- The first rows have the lowest seq, and so the oldest are among them.
SELECT consumer, state, count(*), '' || min(parked_at), (julianday('now') - julianday(min(parked_at))) * 86400000000.0 FROM (SELECT consumer, state, parked_at FROM {inbox_parked}{condition} ORDER BY seq LIMIT 200000) AS counted GROUP BY consumer, state

-- name: StatusBlocked
SELECT consumer, count(*) FROM (SELECT consumer FROM {inbox_blocked}{condition} LIMIT 200000) AS counted GROUP BY consumer

-- name: StatusOffsets
SELECT consumer, kafka_topic, kafka_partition, COALESCE(kafka_group, ''), COALESCE(topic_id, ''), applied_offset, {{OffsetColumns}} FROM {inbox_offsets}{condition} ORDER BY consumer, kafka_topic, kafka_partition

-- name: StatusOffsetsOlder
-- The table of an older build has no columns for groups.
SELECT consumer, kafka_topic, kafka_partition, '', '', NULL, {{OffsetColumns}} FROM {inbox_offsets}{condition} ORDER BY consumer, kafka_topic, kafka_partition

-- part: OffsetColumns
next_offset, epoch, '' || updated_at, (julianday('now') - julianday(updated_at)) * 86400000000.0

-- name: StatusBackfills
SELECT replica, run_id, sent, '' || heard_at, (julianday('now') - julianday(heard_at)) * 86400000000.0 FROM {inbox_replica_runs} WHERE finished_at IS NULL ORDER BY replica, run_id

-- name: TraceEvents
-- The index begins with the consumer: each consumer is asked for by itself.
SELECT consumer, '' || processed_at, kafka_topic, kafka_partition, kafka_offset, 0, '', '' FROM {inbox_events} WHERE consumer = ? AND message_id = ?

-- name: TraceAttempts
SELECT consumer, '' || started_at, NULL, NULL, NULL, attempts, last_error, '' FROM {inbox_attempts} WHERE message_id = ?

-- name: TraceParked
SELECT consumer, '' || parked_at, kafka_topic, kafka_partition, kafka_offset, attempts, error, state FROM {inbox_parked} WHERE message_id = ?
