-- The statements of the inbox for PostgreSQL; db.Load gives each to the field of its name.
-- What stands in braces alone, as {ids}, Go puts in by db.Fill.

-- name: InsertMessage
-- It waits while another transaction holds the same key uncommitted, and so answers only when it is known whether that one
-- took effect.
INSERT INTO {inbox_events} (consumer, message_id, kafka_topic, kafka_partition, kafka_offset)
VALUES ($1, $2, $3, $4, $5) ON CONFLICT (consumer, message_id) DO NOTHING RETURNING pg_current_xact_id()::text

-- name: InsertMessages
-- Each column is one parameter, an array: the statement has the same text for any number of rows, and so one plan and
-- one place in a driver's cache.
INSERT INTO {inbox_events} (consumer, message_id, kafka_topic, kafka_partition, kafka_offset)
SELECT $1, m.id, m.topic, m.part, m.pos
FROM unnest($2::text::text[], $3::text::text[], $4::text::int[], $5::text::bigint[]) AS m (id, topic, part, pos)
ON CONFLICT (consumer, message_id) DO NOTHING
RETURNING message_id, pg_current_xact_id()::text

-- name: InsertMessageDaily
INSERT INTO {inbox_events} (consumer, message_id, kafka_topic, kafka_partition, kafka_offset, message_day)
VALUES ($1, $2, $3, $4, $5, $6::text::date) ON CONFLICT (consumer, message_id, message_day) DO NOTHING RETURNING pg_current_xact_id()::text

-- name: InsertMessagesDaily
INSERT INTO {inbox_events} (consumer, message_id, kafka_topic, kafka_partition, kafka_offset, message_day)
SELECT $1, m.id, m.topic, m.part, m.pos, m.day
FROM unnest($2::text::text[], $3::text::text[], $4::text::int[], $5::text::bigint[], $6::text::date[]) AS m (id, topic, part, pos, day)
ON CONFLICT (consumer, message_id, message_day) DO NOTHING
RETURNING message_id, pg_current_xact_id()::text

-- name: HasMessage
SELECT 1 FROM {inbox_events} WHERE consumer = $1 AND message_id = $2

-- name: MarkTx
-- PostgreSQL numbers transactions, in 64 bits that do not come again.
SELECT pg_current_xact_id()::text

-- name: SameTx
SELECT COALESCE(pg_current_xact_id_if_assigned() = CAST($1::text AS xid8), false)

-- name: SameTxDone
-- It deletes the attempts at a message in the same round trip.
WITH done AS (DELETE FROM {inbox_attempts} WHERE consumer = $1 AND message_id = $2 AND COALESCE(pg_current_xact_id_if_assigned() = CAST($3::text AS xid8), false)) SELECT COALESCE(pg_current_xact_id_if_assigned() = CAST($4::text AS xid8), false)

-- name: StartAttempt
-- An attempt is counted by a statement that commits by itself, before the handler's transaction: a handler that kills
-- the process is caught by the count alone.
{{WithoutSync}},
started AS (
  INSERT INTO {inbox_attempts} AS a (consumer, message_id, attempts)
  SELECT $1, $2, 1 FROM quick WHERE NOT EXISTS (SELECT FROM {inbox_events} WHERE consumer = $1 AND message_id = $2)
  {{CountedAttempt}}

-- name: StartAttemptDaily
{{WithoutSync}},
started AS (
  INSERT INTO {inbox_attempts} AS a (consumer, message_id, attempts)
  SELECT $1, $2, 1 FROM quick WHERE NOT EXISTS (SELECT FROM {inbox_events} WHERE consumer = $1 AND message_id = $2 AND message_day = $6::text::date)
  {{CountedAttempt}}

-- part: CountedAttempt
ON CONFLICT (consumer, message_id) DO UPDATE SET attempts = a.attempts + $3, started_at = clock_timestamp()
  RETURNING a.attempts, a.last_error
)
SELECT (SELECT attempts FROM started), (SELECT last_error FROM started),
  EXISTS (SELECT FROM {inbox_blocked} WHERE consumer = $1 AND topic = $4 AND event_key = $5)

-- part: WithoutSync
-- The count must outlive the process and not the server, so PostgreSQL need not wait for its disk: that is most of what
-- the statement would cost.
WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))

-- name: ReturnAttempt
UPDATE {inbox_attempts} SET attempts = attempts - 1 WHERE consumer = $1 AND message_id = $2 AND attempts > 0

-- name: NoteAttempt
UPDATE {inbox_attempts} SET last_error = $1 WHERE consumer = $2 AND message_id = $3

-- name: DeleteAttempts
DELETE FROM {inbox_attempts} WHERE consumer = $1 AND message_id = $2

-- name: DeleteOldAttempts
-- The table has no index on started_at: it has rows of what is under way, and of what was left behind. The age is asked
-- twice: another attempt may begin while the statement waits for the row.
DELETE FROM {inbox_attempts} WHERE started_at < now() - $1 * interval '1 microsecond' AND (consumer, message_id) IN
(SELECT consumer, message_id FROM {inbox_attempts} WHERE consumer = $2 AND started_at < now() - $3 * interval '1 microsecond' LIMIT $4)

-- name: StartBatch
-- A batch has one row for its lane, a partition, whose attempts are the number of messages.
{{WithoutSync}},
before AS (SELECT attempts FROM {inbox_attempts} WHERE consumer = $1 AND message_id = $2),
started AS (
  INSERT INTO {inbox_attempts} AS a (consumer, message_id, attempts) SELECT $1, $2, $3 FROM quick
  ON CONFLICT (consumer, message_id) DO UPDATE SET attempts = EXCLUDED.attempts, started_at = clock_timestamp()
)
SELECT COALESCE((SELECT attempts FROM before), 0), EXISTS (SELECT FROM {inbox_blocked} WHERE consumer = $1)

-- name: Park
INSERT INTO {inbox_parked} (consumer, message_id, topic, event_key, event_type, headers, payload,
kafka_topic, kafka_partition, kafka_offset, attempts, error, state) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)

-- name: Block
-- The update locks a row that is there already.
INSERT INTO {inbox_blocked} (consumer, topic, event_key) VALUES ($1, $2, $3) ON CONFLICT (consumer, topic, event_key) DO UPDATE SET event_key = excluded.event_key

-- name: LockBlocked
SELECT 1 FROM {inbox_blocked} WHERE consumer = $1 AND topic = $2 AND event_key = $3 FOR UPDATE

-- name: BlockedKeys
SELECT event_key FROM {inbox_blocked} WHERE consumer = $1 AND topic = $2 AND event_key IN {keys} ORDER BY event_key FOR UPDATE

-- name: Unblock
DELETE FROM {inbox_blocked} WHERE consumer = $1 AND topic = $2 AND event_key = $3

-- name: RetryParked
UPDATE {inbox_parked} SET state = 'retry' WHERE consumer = $1 AND seq = $2 AND state = 'blocked'

-- name: Requests
-- Every consumer runs it about once a second: inbox_parked_asked_idx makes that cheap.
SELECT seq, topic, event_key FROM {inbox_parked} WHERE consumer = $1 AND state IN ('retry', 'drop') AND seq > $2 ORDER BY seq LIMIT $3

-- name: FirstParked
SELECT seq, state FROM {inbox_parked} WHERE consumer = $1 AND topic = $2 AND event_key = $3 AND seq > $4 ORDER BY seq LIMIT 1

-- name: ParkedOfKey
{{ParkedOfKeyAfter}} ORDER BY seq LIMIT $5

-- name: RequestedOfKey
{{ParkedOfKeyAfter}} AND state IN ('retry', 'drop') ORDER BY seq LIMIT $5

-- part: ParkedOfKeyAfter
SELECT seq, state, attempts, COALESCE(octet_length(payload), 0) + octet_length(headers::text), message_id, CASE WHEN state = 'drop' THEN error ELSE '' END FROM {inbox_parked} WHERE consumer = $1 AND topic = $2 AND event_key = $3 AND seq > $4

-- name: ClaimParked
UPDATE {inbox_parked} SET state = 'failed', attempts = attempts + 1 WHERE consumer = $1 AND seq = $2 AND state = $3

-- name: BlockFollowers
UPDATE {inbox_parked} SET state = 'blocked' WHERE consumer = $1 AND topic = $2 AND event_key = $3 AND seq > $4 AND state = 'retry'

-- name: UnclaimParked
UPDATE {inbox_parked} SET state = 'retry', attempts = attempts - 1 WHERE consumer = $1 AND seq = $2 AND state = 'failed' AND attempts > 0

-- name: FailParked
UPDATE {inbox_parked} SET error = $1 WHERE consumer = $2 AND seq = $3

-- name: DeleteParked
DELETE FROM {inbox_parked} WHERE consumer = $1 AND seq = $2

-- name: ReadParked
SELECT {{ParkedColumns}} FROM {inbox_parked} WHERE consumer = $1 AND seq = $2 FOR UPDATE

-- name: HasParked
SELECT 1 FROM {inbox_parked} WHERE consumer = $1 AND seq = $2

-- name: ClaimSpan
UPDATE {inbox_parked} SET state = CASE WHEN seq = $1 THEN 'failed' ELSE state END, attempts = 1 WHERE consumer = $2 AND topic = $3 AND event_key = $4 AND seq >= $5 AND seq <= $6 AND attempts = 0 AND state IN ('retry', 'blocked')

-- name: UnclaimSpan
UPDATE {inbox_parked} SET state = CASE WHEN state = 'failed' THEN 'retry' ELSE state END, attempts = 0 {{OfSpan}} AND attempts = 1

-- name: ReadSpan
SELECT seq, {{ParkedColumns}} FROM {inbox_parked} {{OfSpan}} ORDER BY seq

-- name: DeleteSpan
DELETE FROM {inbox_parked} {{OfSpan}} AND NOT EXISTS (SELECT 1 FROM (SELECT seq FROM {inbox_parked} WHERE consumer = $6 AND seq = $7 LIMIT 1) AS first)

-- part: OfSpan
WHERE consumer = $1 AND topic = $2 AND event_key = $3 AND seq >= $4 AND seq <= $5

-- part: ParkedColumns
message_id, topic, event_key, event_type, headers::text, payload, payload IS NOT NULL, kafka_topic, kafka_partition, kafka_offset, attempts, error, state

-- name: ClaimPartition
INSERT INTO {inbox_offsets} AS o (consumer, kafka_topic, kafka_partition, epoch) VALUES ($1, $2, $3, 1)
ON CONFLICT (consumer, kafka_topic, kafka_partition) DO UPDATE SET epoch = o.epoch + 1 RETURNING epoch, next_offset

-- name: ReadClaim
SELECT epoch, next_offset FROM {inbox_offsets} WHERE consumer = $1 AND kafka_topic = $2 AND kafka_partition = $3

-- name: LockClaim
SELECT epoch, next_offset FROM {inbox_offsets} WHERE consumer = $1 AND kafka_topic = $2 AND kafka_partition = $3 FOR UPDATE

-- name: MoveOffset
UPDATE {inbox_offsets} SET next_offset = $1, updated_at = clock_timestamp() WHERE consumer = $2 AND kafka_topic = $3 AND kafka_partition = $4 AND epoch = $5 AND COALESCE(next_offset, -1) BETWEEN $6 AND $7

-- name: LowestOffsets
SELECT kafka_topic, kafka_partition, min(kafka_offset) FROM {inbox_events}
WHERE consumer = $1 AND kafka_offset IS NOT NULL GROUP BY kafka_topic, kafka_partition

-- name: ReadGroups
SELECT kafka_topic, kafka_partition, COALESCE(kafka_group, ''), COALESCE(topic_id, ''), COALESCE(applied_offset, -1), COALESCE(next_offset, -1) FROM {inbox_offsets} WHERE consumer = $1 AND kafka_topic IN {topics}

-- name: ReadGroupsOlder
-- The table of an older build has no columns for groups.
SELECT kafka_topic, kafka_partition, '', '', -1, COALESCE(next_offset, -1) FROM {inbox_offsets} WHERE consumer = $1 AND kafka_topic IN {topics}

-- name: InsertGroup
INSERT INTO {inbox_offsets} (consumer, kafka_topic, kafka_partition, epoch, kafka_group, topic_id, applied_offset)
VALUES ($1, $2, $3, 0, $4, $5, $6)

-- name: ReplaceGroup
-- {set} is SetApplied or RaiseApplied, and RemoveOffset behind it where there is no offset any more. Names.Numbered numbers
-- the question marks.
UPDATE {inbox_offsets} SET kafka_group = ?, topic_id = ?, {set}, updated_at = clock_timestamp() WHERE consumer = ? AND kafka_topic = ? AND kafka_partition = ? AND COALESCE(kafka_group, '') = ? AND COALESCE(topic_id, '') = ?

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
UPDATE {inbox_offsets} AS o SET applied_offset = GREATEST(COALESCE(o.applied_offset, v.applied), v.applied), updated_at = clock_timestamp() FROM (SELECT CAST(? AS text) AS topic, CAST(? AS bigint) AS part, CAST(? AS text) AS id, CAST(? AS bigint) AS applied, CAST(? AS bigint) AS noted{rows}) AS v WHERE o.consumer = ? AND o.kafka_group = ? AND o.kafka_topic = v.topic AND o.kafka_partition = v.part AND COALESCE(o.topic_id, '') = v.id AND COALESCE(o.applied_offset, 0) >= v.noted

-- name: RaiseGroupsRow
UNION ALL SELECT ?, ?, ?, ?, ?

-- name: TableBlocks
SELECT pg_relation_size($1::text::regclass) / current_setting('block_size')::bigint

-- name: Expired
-- PostgreSQL has no index on processed_at: a B-tree made the INSERT of every message 13 to 48 % slower and wrote a fifth
-- more WAL (three rounds of 300,000 rows on PostgreSQL 15), and a BRIN index is of no use once purged space is filled
-- again, because its summaries only widen. Instead the table is read once from front to back, in pieces of which each is
-- a statement of its own (a TID Range Scan), so that no snapshot is held for long.
SELECT {{ExpiredColumns}}
FROM {inbox_events}
WHERE {{IsExpired}}

-- name: ExpiredUndated
SELECT {{ExpiredColumns}}
FROM {inbox_events_undated}
WHERE {{IsExpired}}

-- name: ExpiredStrays
SELECT {{ExpiredColumns}}
FROM {inbox_events_strays}
WHERE {{IsExpired}}

-- part: ExpiredColumns
message_id, kafka_topic, kafka_partition, kafka_offset, ''

-- part: IsExpired
ctid >= $3::text::tid AND ctid < $4::text::tid
  AND consumer = $1 AND processed_at < now() - $2 * interval '1 microsecond'

-- name: DeleteMessages
-- The age is asked for again: between the read and the delete another pruner may have removed a row and a redelivery
-- written it anew.
DELETE FROM {inbox_events} WHERE consumer = $1 AND processed_at < now() - $2 * interval '1 microsecond' AND message_id IN {ids}

-- name: DeleteMessagesDaily
-- Of the partitions that are purged row by row only.
DELETE FROM {inbox_events}
WHERE consumer = $1 AND processed_at < now() - $2 * interval '1 microsecond' AND message_day = ANY ($3::text::date[]) AND message_id = ANY ($4::text::text[])

-- name: OldestMessage
SELECT extract(epoch FROM clock_timestamp() - min(processed_at)) * 1000000 FROM {inbox_events} WHERE consumer = $1

-- name: OldestUndated
SELECT extract(epoch FROM clock_timestamp() - min(processed_at)) * 1000000 FROM {inbox_events_undated} WHERE consumer = $1

-- name: OldestStray
SELECT extract(epoch FROM clock_timestamp() - min(processed_at)) * 1000000 FROM {inbox_events_strays} WHERE consumer = $1

-- name: OldestOfDay
SELECT extract(epoch FROM clock_timestamp() - min(processed_at)) * 1000000 FROM {inbox_events} WHERE consumer = $1 AND message_day = DATE {day}

-- name: ParkedIDs
SELECT message_id FROM {inbox_parked} WHERE consumer = $1 AND message_id IN {ids}

-- name: OfConsumer
-- It is what {condition} stands for in the Status statements, or nothing is.
WHERE consumer = $1

-- name: StatusEvents
SELECT count(*), to_char(min(processed_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), extract(epoch FROM clock_timestamp() - min(processed_at)) * 1000000 FROM (SELECT processed_at FROM {inbox_events} WHERE consumer = $1 LIMIT 20001) AS counted

-- name: SampleBlocks
-- The size of the table and of its partitions.
SELECT COALESCE((SELECT sum(pg_relation_size(relid)) FROM pg_partition_tree($1::text::regclass)), pg_relation_size($1::text::regclass))::bigint
/ current_setting('block_size')::bigint

-- name: SampleEvents
-- Repeatable: who asks twice sees what changed, and not another sample.
SELECT consumer, count(*), to_char(min(processed_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), extract(epoch FROM clock_timestamp() - min(processed_at)) * 1000000 FROM {inbox_events} TABLESAMPLE SYSTEM ({percent}) REPEATABLE (1) GROUP BY consumer

-- name: NextConsumer
SELECT MIN(consumer) FROM {inbox_events} WHERE consumer > $1

-- name: StatusAttempts
SELECT consumer, count(*), extract(epoch FROM clock_timestamp() - min(started_at)) * 1000000 FROM (SELECT consumer, started_at FROM {inbox_attempts}{condition} LIMIT 200000) AS counted GROUP BY consumer

-- name: StatusParked
-- The first rows have the lowest seq, and so the oldest are among them.
SELECT consumer, state, count(*), to_char(min(parked_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), extract(epoch FROM clock_timestamp() - min(parked_at)) * 1000000 FROM (SELECT consumer, state, parked_at FROM {inbox_parked}{condition} ORDER BY seq LIMIT 200000) AS counted GROUP BY consumer, state

-- name: StatusBlocked
SELECT consumer, count(*) FROM (SELECT consumer FROM {inbox_blocked}{condition} LIMIT 200000) AS counted GROUP BY consumer

-- name: StatusOffsets
SELECT consumer, kafka_topic, kafka_partition, COALESCE(kafka_group, ''), COALESCE(topic_id, ''), applied_offset, {{OffsetColumns}} FROM {inbox_offsets}{condition} ORDER BY consumer, kafka_topic, kafka_partition

-- name: StatusOffsetsOlder
-- The table of an older build has no columns for groups.
SELECT consumer, kafka_topic, kafka_partition, '', '', NULL, {{OffsetColumns}} FROM {inbox_offsets}{condition} ORDER BY consumer, kafka_topic, kafka_partition

-- part: OffsetColumns
next_offset, epoch, to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), extract(epoch FROM clock_timestamp() - updated_at) * 1000000

-- name: StatusBackfills
SELECT replica, run_id, sent, to_char(heard_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), extract(epoch FROM clock_timestamp() - heard_at) * 1000000 FROM {inbox_replica_runs} WHERE finished_at IS NULL ORDER BY replica, run_id

-- name: TraceEvents
-- The index begins with the consumer: each consumer is asked for by itself.
SELECT consumer, to_char(processed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), kafka_topic, kafka_partition, kafka_offset, 0, '', '' FROM {inbox_events} WHERE consumer = $1 AND message_id = $2

-- name: TraceAttempts
SELECT consumer, to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), NULL, NULL, NULL, attempts, last_error, '' FROM {inbox_attempts} WHERE message_id = $1

-- name: TraceParked
SELECT consumer, to_char(parked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), kafka_topic, kafka_partition, kafka_offset, attempts, error, state FROM {inbox_parked} WHERE message_id = $1

-- name: LockWaits
-- A session's text tells which table it waits for: what it waits for in the server's own tables is most often the other
-- transaction as such.
SELECT w.pid, (extract(epoch FROM clock_timestamp() - w.query_start) * 1000000)::bigint, b.pid,
  COALESCE(a.usename, ''), COALESCE(a.application_name, ''), COALESCE(host(a.client_addr), ''), COALESCE(a.state, ''),
  COALESCE((extract(epoch FROM clock_timestamp() - a.xact_start) * 1000000)::bigint, 0)
FROM pg_stat_activity AS w CROSS JOIN LATERAL unnest(pg_blocking_pids(w.pid)) AS b (pid) LEFT JOIN pg_stat_activity AS a ON a.pid = b.pid
WHERE w.datname = current_database() AND w.wait_event_type = 'Lock' AND (position($1::text IN w.query) > 0 OR position($2::text IN w.query) > 0 OR position($3::text IN w.query) > 0)
ORDER BY 2 DESC, 8 DESC LIMIT 20

-- name: Layout
SELECT relkind = 'p', pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass($1::text)

-- name: LimitLockWait
SELECT set_config('lock_timeout', $1::text, true)

-- name: MissingDays
SELECT day::text FROM (SELECT (now() AT TIME ZONE 'UTC')::date + d AS day FROM generate_series(0, $1::int) AS d) AS wanted
WHERE to_regclass($2::text || to_char(day, 'YYYYMMDD') || $3::text) IS NULL ORDER BY 1

-- name: EndedDays
-- Of days before today.
SELECT {{PartitionDay}}::text {{Partitions}}
  AND {{PartitionDay}} + 1 <= (now() AT TIME ZONE 'UTC' - $3 * interval '1 microsecond')::date
  AND {{PartitionDay}} < (now() AT TIME ZONE 'UTC')::date ORDER BY 1

-- name: DayAges
-- Each day, and how many microseconds ago it began.
SELECT {{PartitionDay}}::text || ' ' || (extract(epoch FROM now() AT TIME ZONE 'UTC' - {{PartitionDay}}) * 1000000)::bigint {{Partitions}} ORDER BY 1

-- part: Partitions
-- The partitions of days, by their names.
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = $1::text::regclass AND c.relname ~ $2::text

-- part: PartitionDay
to_date(right(c.relname, 8), 'YYYYMMDD')

-- name: DayGroups
-- Through the whole table, which prunes all other partitions: a consumer has no rights on the day's own.
SELECT g.*, e.retention, e.below, (extract(epoch FROM clock_timestamp() - e.told_at) * 1000000)::bigint FROM (
  SELECT consumer, kafka_topic, kafka_partition, max(kafka_offset), count(*), (extract(epoch FROM clock_timestamp() - max(processed_at)) * 1000000)::bigint
  FROM {inbox_events} WHERE message_day = DATE {day} GROUP BY 1, 2, 3) AS g (consumer, topic, part, pos, n, youngest)
LEFT JOIN {inbox_expiry} e ON e.consumer = g.consumer AND e.kafka_topic = COALESCE(g.topic, '') AND e.kafka_partition = COALESCE(g.part, -1)
ORDER BY g.consumer, g.topic, g.part

-- name: SetExpiry
INSERT INTO {inbox_expiry} AS e (consumer, kafka_topic, kafka_partition, retention, below) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (consumer, kafka_topic, kafka_partition) DO UPDATE SET retention = EXCLUDED.retention, below = EXCLUDED.below, told_at = clock_timestamp()

-- name: ShortestRetention
SELECT COALESCE(min(retention), 0) FROM {inbox_expiry}

-- name: LockDay
-- It keeps writers out and lets readers in; writers of other days do not notice.
LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE

-- name: TruncateDay
TRUNCATE {table}

-- name: LockAllDays
LOCK TABLE ONLY {inbox_events} IN ACCESS EXCLUSIVE MODE

-- name: DayHasRows
SELECT EXISTS (SELECT FROM {table})

-- name: DropDay
DROP TABLE {table}

-- name: CreateDay
-- With AttachDay, and not PARTITION OF, which would lock the whole table: writers of other days go on.
CREATE TABLE {table} (LIKE {inbox_events} INCLUDING DEFAULTS INCLUDING CONSTRAINTS) WITH ({{Storage}})

-- name: AttachDay
ALTER TABLE {inbox_events} ATTACH PARTITION {table} FOR VALUES FROM ({day}) TO ({next_day})

-- name: OwnDay
DO $$ BEGIN EXECUTE format('ALTER TABLE %s OWNER TO %s', '{table}', (SELECT relowner::regrole FROM pg_class WHERE oid = '{inbox_events}'::regclass)); END $$

-- name: LockTable
-- First of what makes a table over into one with daily partitions. In names without a schema {prefix} is the prefix.
LOCK TABLE {inbox_events} IN ACCESS EXCLUSIVE MODE

-- name: RenameTable
ALTER TABLE {inbox_events} RENAME TO "{prefix}inbox_events_before"

-- name: RenameIndex
ALTER INDEX {inbox_events_pkey} RENAME TO "{prefix}inbox_events_before_pkey"

-- name: CreateTable
CREATE TABLE {inbox_events} (
    consumer        text        COLLATE "C" NOT NULL,
    message_id      text        COLLATE "C" NOT NULL,
    kafka_topic     text        COLLATE "C",
    kafka_partition integer,
    kafka_offset    bigint,
    processed_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Of the message id alone, so that a copy meets its first delivery. No CHECK says so: it
    -- made each INSERT a third slower.
    message_day     date        NOT NULL,
    CONSTRAINT "{prefix}inbox_events_pkey" PRIMARY KEY (consumer, message_id, message_day),
    CONSTRAINT "{prefix}inbox_events_consumer_check" CHECK (octet_length(consumer) BETWEEN 1 AND 100),
    CONSTRAINT "{prefix}inbox_events_message_id_check" CHECK (octet_length(message_id) BETWEEN 1 AND 255),
    CONSTRAINT "{prefix}inbox_events_position_check" CHECK (num_nulls(kafka_topic, kafka_partition, kafka_offset) IN (0, 3))
) PARTITION BY RANGE (message_day)

-- name: CommentTable
COMMENT ON TABLE {inbox_events} IS 'Postroom: messages that a consumer is done with, by the day of their ids; whole days are dropped'

-- name: CreateUndated
-- What is before the first day is purged row by row, with the ids that have no day.
CREATE TABLE {inbox_events_undated} PARTITION OF {inbox_events} FOR VALUES FROM (MINVALUE) TO ('2000-01-01') WITH ({{Storage}})

-- name: CreateStrays
CREATE TABLE {inbox_events_strays} PARTITION OF {inbox_events} DEFAULT WITH ({{Storage}})

-- part: Storage
-- The tuning of 00002_inbox.sql: a partitioned table has none itself.
autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0

-- name: CreateExpiry
CREATE TABLE IF NOT EXISTS {inbox_expiry} (
    consumer        text    COLLATE "C" NOT NULL,
    -- '' and -1: the consumer's rows without a position, and its retention.
    kafka_topic     text    COLLATE "C" NOT NULL,
    kafka_partition integer NOT NULL,
    retention       bigint  NOT NULL CHECK (retention > 0), -- microseconds
    -- Rows below it may go; NULL: none of the partition.
    below           bigint,
    told_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (consumer, kafka_topic, kafka_partition)
)

-- name: CommentExpiry
COMMENT ON TABLE {inbox_expiry} IS 'Postroom: what each consumer no longer needs of inbox_events; whole days are dropped by it'

-- name: CopyRights
-- The rights and the owner of the table before.
DO $$
DECLARE grantee text; t text; g record;
BEGIN
  FOREACH t IN ARRAY ARRAY['{inbox_events}', '{inbox_events_undated}', '{inbox_events_strays}', '{inbox_expiry}'] LOOP
    FOR g IN SELECT a.* FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = '{inbox_events_before}'::regclass AND a.grantee <> c.relowner LOOP
      grantee := CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END;
      EXECUTE format('GRANT %s ON %s TO %s', g.privilege_type, t, grantee) || CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END;
    END LOOP;
    EXECUTE format('ALTER TABLE %s OWNER TO %s', t, (SELECT relowner::regrole FROM pg_class WHERE oid = '{inbox_events_before}'::regclass));
  END LOOP;
END $$

-- name: FirstDays
-- The days of the last month that rows have, and today with the days to come.
SELECT DISTINCT message_day::text FROM (SELECT {{MessageDay}} AS message_day FROM {inbox_events_before}) AS d
WHERE message_day > (now() AT TIME ZONE 'UTC')::date - 31 AND message_day < (now() AT TIME ZONE 'UTC')::date
UNION SELECT ((now() AT TIME ZONE 'UTC')::date + d)::text FROM generate_series(0, $1::int) AS d ORDER BY 1

-- name: CopyRows
INSERT INTO {inbox_events} (consumer, message_id, kafka_topic, kafka_partition, kafka_offset, processed_at, message_day)
SELECT consumer, message_id, kafka_topic, kafka_partition, kafka_offset, processed_at, {{MessageDay}} FROM {inbox_events_before}

-- part: MessageDay
-- messageDay in message_day.go says the same. A test holds the two against each other.
CASE WHEN message_id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$'
  AND ('x0000' || substr(message_id, 1, 8) || substr(message_id, 10, 4))::bit(64)::bigint < 253402300800000
THEN DATE '1970-01-01' + (('x0000' || substr(message_id, 1, 8) || substr(message_id, 10, 4))::bit(64)::bigint / 86400000)::integer
ELSE DATE '1970-01-01' END

-- name: DropBefore
DROP TABLE {inbox_events_before}
