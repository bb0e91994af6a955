-- The relay's statements for PostgreSQL; db.Load gives each to the field of its name.

-- part: Server
-- The server and its history: a restart and a promotion change it.
extract(epoch FROM pg_postmaster_start_time())::text
  || '/' || CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END

-- part: RowWait
-- Nobody waits long for a row that somebody else has locked. It costs no round trip, and holds
-- behind a pooler too. The setting ends with the transaction.
AND (SELECT set_config('lock_timeout', '500ms', true)) <> ''

-- name: ReadHeader
-- A read is one statement, so one snapshot: header, gaps and tail see the same commits. The header is a
-- row with id 0 that names the server.
--
-- No ORDER BY over the whole: PostgreSQL's Append returns its parts in turn, each sorted by its index, and
-- every gap lies below the head. Read checks that ids ascend, and fails if a planner ever does otherwise.
SELECT 0::bigint, NULL::bytea, CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END,
       NULL::text, {{Server}}, NULL::bytea, NULL::text, NULL::timestamptz

-- name: ReadGaps
-- The gaps are looked up one by one: LATERAL with a LIMIT keeps the planner from walking the whole index
-- and comparing each row with each gap, which it would prefer because it cannot know that gaps are empty.
--
-- A gap whose transactions all run, by the statement's own snapshot, has no row to show: what lies there is
-- not walked over. (A transaction's number stays the same when it is prepared, and those of its savepoints
-- end with it.)
(SELECT e.* FROM unnest($3::text::bigint[], $4::text::bigint[], $5::text::text[]) AS gap (lo, hi, asleep)
  CROSS JOIN LATERAL (
    SELECT {{Columns}}
    FROM {outbox_events} WHERE id BETWEEN gap.lo AND gap.hi ORDER BY id LIMIT $1::bigint
  ) e
  WHERE gap.asleep = '' OR EXISTS (SELECT FROM unnest(gap.asleep::xid8[]) AS t (number) WHERE pg_visible_in_snapshot(t.number, pg_current_snapshot()))
  ORDER BY e.id LIMIT $1::bigint)

-- name: ReadTail
(SELECT {{Columns}}
 FROM {outbox_events} WHERE id > $2::bigint ORDER BY id LIMIT $1::bigint)

-- part: Columns
id, uuid_send(event_id), topic, event_key, event_type, payload, headers::text, created_at

-- name: EventsUpTo
SELECT id, event_id FROM {outbox_events} WHERE id <= $1 ORDER BY id LIMIT $2

-- name: EventSizes
SELECT id, event_id, COALESCE(LENGTH(payload), 0) FROM {outbox_events} WHERE id IN ({ids})

-- name: ParkedSizes
SELECT seq, event_id, COALESCE(LENGTH(payload), 0) FROM {outbox_parked} WHERE seq IN ({ids})

-- name: CopyRow
-- A row that gets a new number is copied and deleted.
INSERT INTO {outbox_events} ({{RowColumns}}) SELECT {{RowColumns}} FROM {outbox_events} WHERE id = $1 AND event_id = $2

-- name: DeleteRow
DELETE FROM {outbox_events} WHERE id = $1 AND event_id = $2 {{RowWait}}

-- part: RowColumns
event_id, topic, event_key, event_type, payload, headers, created_at

-- name: DeleteRun
-- The event of the last row stands for all: see deleteRun in delete.go.
DELETE FROM {outbox_events}
WHERE id BETWEEN $1 AND $2
  AND EXISTS (SELECT 1 FROM {outbox_events} AS last WHERE last.id = $2 AND last.event_id = $3::uuid)
  AND EXISTS (SELECT 1 FROM {outbox_leases} WHERE id = 1 AND owner = $4 AND epoch = $5 AND $6 = {{Server}})
  {{RowWait}}

-- name: DeleteEvents
DELETE FROM {outbox_events} AS e
USING unnest($1::text::bigint[], $2::text::uuid[]) AS delivered (id, event_id)
WHERE e.id = delivered.id AND e.event_id = delivered.event_id
  AND EXISTS (SELECT 1 FROM {outbox_leases} WHERE id = 1 AND owner = $3 AND epoch = $4 AND $5 = {{Server}})
  {{RowWait}}

-- name: ArchiveEvents
-- The move into outbox_archive and the delete are one statement: an event is never in neither table, nor in
-- both. Payloads stay in the server. Rows go in ascending order of id, so that the archive's seq keeps the
-- order of each key.
WITH gone AS (
  DELETE FROM {outbox_events} AS e
  USING unnest($1::text::bigint[], $2::text::uuid[], $3::text::int[], $4::text::bigint[]) AS delivered (id, event_id, kafka_partition, kafka_offset)
  WHERE e.id = delivered.id AND e.event_id = delivered.event_id
  {{RowWait}}
  RETURNING e.id, e.event_id, e.topic, e.event_key, e.event_type, e.payload, e.headers, e.created_at,
            delivered.kafka_partition, delivered.kafka_offset
)
INSERT INTO {outbox_archive} ({{ArchiveColumns}})
SELECT {{ArchiveColumns}} FROM gone ORDER BY id

-- name: ArchiveParked
INSERT INTO {outbox_archive} ({{ArchiveColumns}})
SELECT e.id, e.event_id, e.topic, e.event_key, e.event_type, e.payload, e.headers, e.created_at, delivered.kafka_partition, delivered.kafka_offset
FROM unnest($1::text::bigint[], $2::text::uuid[], $3::text::int[], $4::text::bigint[]) AS delivered (seq, event_id, kafka_partition, kafka_offset)
JOIN {outbox_parked} AS e ON e.seq = delivered.seq AND e.event_id = delivered.event_id
ORDER BY e.seq

-- part: ArchiveColumns
id, event_id, topic, event_key, event_type, payload, headers, created_at, kafka_partition, kafka_offset

-- name: CheckArchiveDelete
DELETE FROM {outbox_archive} WHERE seq = -1

-- name: CheckArchiveInsert
INSERT INTO {outbox_archive} ({{ArchiveColumns}}) SELECT {{ArchiveColumns}} FROM {outbox_archive} WHERE seq = -1

-- name: Purge
-- ANY (ARRAY …), not IN: the planner takes IN for a join, and by stale statistics reads the whole
-- table for it.
DELETE FROM {table} WHERE seq = ANY (ARRAY(SELECT seq FROM {table} WHERE {column} < {{Before}} ORDER BY {column} LIMIT {limit}))

-- name: CountOld
SELECT COUNT(*) FROM {table} WHERE {column} < {{Before}}

-- part: Before
-- It names no volatile function: clock_timestamp() would be called for each row, and its result cannot be
-- looked up in an index.
now() - {us} * interval '1 microsecond'

-- name: ClaimLease
-- clock_timestamp is read again when the row's lock was waited for: the time of the transaction's
-- start could be long past by then.
UPDATE {outbox_leases}
SET owner = $1, epoch = epoch + 1, mode = coalesce(mode, $2), expires_at = clock_timestamp() + $3::bigint * interval '1 microsecond',
    hints = (hints - 'halted' - 'blind' - 'outage') || jsonb_build_object('ttl_us', $3::bigint)
WHERE id = 1 AND (owner = $4 OR {{Claimable}})

-- part: Claimable
-- See leases.go. The statement Lock of internal/store/source has a copy.
(owner IS NULL OR expires_at IS NULL OR expires_at < clock_timestamp()
  OR expires_at > clock_timestamp() + 2 * greatest({ttl_us}::bigint, coalesce((hints->>'ttl_us')::bigint, 0)) * interval '1 microsecond')

-- name: ClaimedLease
SELECT epoch, source_id, mode, {{Server}}, hints->'position', hints->'proved' FROM {outbox_leases} WHERE id = 1

-- name: RenewLease
UPDATE {outbox_leases}
SET expires_at = clock_timestamp() + $1::bigint * interval '1 microsecond'
WHERE id = 1 AND owner = $2 AND epoch = $3 AND $4 = {{Server}}

-- name: LeaseOwner
SELECT owner, epoch, {{Server}} FROM {outbox_leases} WHERE id = 1

-- name: LockLease
SELECT owner, epoch, {{Server}} FROM {outbox_leases} WHERE id = 1 FOR UPDATE

-- name: ReleaseLease
UPDATE {outbox_leases} SET owner = NULL, expires_at = NULL, hints = hints - 'heir' WHERE id = 1 AND owner = $1 AND epoch = $2

-- name: HandOverLease
UPDATE {outbox_leases} SET owner = NULL, expires_at = NULL, hints = hints || '{"heir": "{heir}"}'::jsonb WHERE id = 1 AND owner = $1 AND epoch = $2

-- name: LeaseState
SELECT {{Claimable}}, CASE WHEN owner IS NULL THEN hints->>'heir' END, owner IS NOT NULL AND coalesce(hints->>'blind', '') <> '', coalesce(mode, '') FROM {outbox_leases} WHERE id = 1

-- name: SetMode
UPDATE {outbox_leases} SET mode = $1 WHERE id = 1

-- name: SetPosition
UPDATE {outbox_leases} SET hints = jsonb_set(hints, ARRAY['position'], $1::text::jsonb) WHERE id = 1

-- name: SetHalted
UPDATE {outbox_leases} SET hints = jsonb_set(hints, ARRAY['halted'], to_jsonb($1::text)) WHERE id = 1

-- name: SetUnreachable
UPDATE {outbox_leases} SET hints = jsonb_set(hints, ARRAY['blind'], to_jsonb($1::text)) WHERE id = 1

-- name: SetOutage
UPDATE {outbox_leases} SET hints = jsonb_set(hints, ARRAY['outage'], $1::text::jsonb) WHERE id = 1

-- name: SetTopics
UPDATE {outbox_leases} SET hints = jsonb_set(hints, ARRAY['topics'], $1::text::jsonb) WHERE id = 1

-- name: UsedTopics
SELECT hints->>'topics' FROM {outbox_leases} WHERE id = 1

-- name: Checkpoint
SELECT hints->'proved' FROM {outbox_leases} WHERE id = 1 AND owner = $1 AND epoch = $2 AND $3 = {{Server}}

-- name: SetCheckpoint
-- An UPDATE locks the row and looks at what is there then (hazard stale-fence).
UPDATE {outbox_leases} SET hints = jsonb_set(hints, ARRAY['proved'], $1::text::jsonb) WHERE id = 1 AND owner = $2 AND epoch = $3 AND $4 = {{Server}}

-- name: Inspect
SELECT source, source_id::text, pg_is_in_recovery() FROM {outbox_leases} WHERE id = 1

-- name: NameSource
UPDATE {outbox_leases} SET source = $1 WHERE id = 1 AND source IS NULL

-- name: Heartbeat
-- In one statement, which does not wait until it is on disk, nor for a standby: a heartbeat that
-- a crash takes away is missed by nobody.
WITH lazily AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
mine AS (
  INSERT INTO {outbox_relays} (relay_id, host, owned, seen_at) SELECT $1::uuid, $2::text, $3::integer, clock_timestamp() FROM lazily
  ON CONFLICT (relay_id) DO UPDATE SET host = excluded.host, owned = excluded.owned, seen_at = excluded.seen_at)
{{Processes}} WHERE relay_id <> $1::uuid

-- name: Members
{{Processes}} ORDER BY host, relay_id

-- part: Processes
SELECT relay_id::text, host, owned, (extract(epoch FROM clock_timestamp() - seen_at) * 1000000)::bigint FROM {outbox_relays}

-- name: ForgetMembers
DELETE FROM {outbox_relays} WHERE seen_at NOT BETWEEN clock_timestamp() - {us} * interval '1 microsecond' AND clock_timestamp() + {us} * interval '1 microsecond'

-- name: Leave
DELETE FROM {outbox_relays} WHERE relay_id = $1

-- name: OpenWriters
-- An INSERT takes RowExclusiveLock on the table before it takes an id, and keeps it until its transaction has
-- ended. A transaction that is prepared keeps it too, under the same virtual transaction id; only what was
-- prepared before the server was restarted has none, and shows as '-1/xid'.
--
-- A session that is idle in its transaction has executed nothing since its state changed, and a prepared
-- transaction, whose locks have no process, never does. Of other users' sessions only those are told who may
-- read all statistics. Of the numbers that a transaction holds the oldest is its own, the others are its
-- savepoints'. They have 32 bits, those of a snapshot 64.
WITH held AS MATERIALIZED (
  SELECT * FROM pg_locks WHERE granted AND (locktype = 'transactionid' AND mode = 'ExclusiveLock'
    OR locktype = 'relation' AND mode = 'RowExclusiveLock' AND relation = $1::text::regclass
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())))
SELECT l.virtualtransaction, coalesce(min(CASE WHEN l.pid IS NULL THEN 'prepared'
    WHEN a.state LIKE 'idle in transaction%' THEN a.pid || ' since ' || a.state_change END), ''),
  coalesce((array_agg(l.transactionid ORDER BY age(l.transactionid) DESC) FILTER (WHERE l.locktype = 'transactionid'))[1]::text, '0')::bigint,
  pg_snapshot_xmax(pg_current_snapshot())::text::bigint
FROM held l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
GROUP BY l.virtualtransaction HAVING bool_or(l.locktype = 'relation')

-- name: LastGivenID
SELECT {{GivenID}}

-- name: CheckSequence
-- It looks above the sequence alone: the highest id of a table with deleted rows that a snapshot keeps
-- is found behind all of them.
WITH given AS MATERIALIZED (SELECT {{GivenID}} AS id)
SELECT id, (SELECT max(e.id) FROM {outbox_events} AS e WHERE e.id > given.id) FROM given

-- part: GivenID
-- NULL where the user may not read the sequence.
(SELECT CASE WHEN has_sequence_privilege(s.name, 'SELECT, USAGE') THEN pg_sequence_last_value(s.name::regclass) END
 FROM (SELECT pg_get_serial_sequence($1, 'id') AS name) AS s)

-- name: LockHolders
-- Which session has locked a row shows nowhere, unless somebody waits for it. Those that did SELECT … FOR
-- UPDATE hold RowShareLock on the table, and no writer does.
SELECT 'session ' || l.pid || ' (user ' || coalesce(a.usename, '') || coalesce(', application ' || quote_literal(nullif(a.application_name, '')), '')
  || coalesce(', ' || a.state, '') || coalesce(', since ' || date_trunc('second', a.xact_start), '') || ')'
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.granted AND l.pid <> pg_backend_pid()
  AND l.relation = $1::text::regclass AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.mode IN ('RowShareLock', 'RowExclusiveLock')
  AND coalesce(a.state, 'idle in transaction') <> 'active'
GROUP BY l.pid, a.usename, a.application_name, a.state, a.xact_start
ORDER BY bool_or(l.mode = 'RowShareLock') DESC, a.xact_start LIMIT 3

-- name: HasRequests
-- The term is that of the partial index.
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
SELECT COALESCE(MAX(seq), 0) FROM (SELECT seq FROM {outbox_parked} WHERE seq > $1 ORDER BY seq LIMIT $2) AS part

-- name: NotOvertaken
SELECT seq FROM {outbox_parked} WHERE seq > $1 AND seq <= $2 AND event_key IS NOT NULL AND NOT overtaken ORDER BY seq LIMIT $3

-- name: SentParked
SELECT seq, id, event_id FROM {outbox_parked} WHERE seq > $1 AND seq <= $2 AND id BETWEEN $3 AND $4

-- name: BlockedKeys
-- The inner query ends after some rows of the index, which has all that is asked for. Rows without a key
-- block nothing.
SELECT topic, event_key, max(seq) FROM (
  SELECT topic, event_key, seq FROM {outbox_parked}
  WHERE event_key IS NOT NULL AND (topic, event_key, seq) > ($1::text, $2::text, $3::bigint)
  ORDER BY topic, event_key, seq LIMIT $4
) AS part GROUP BY topic, event_key ORDER BY topic, event_key

-- name: Park
-- One statement: the rows are copied as they are deleted. INSERT takes seq from its sequence after the sort.
WITH moved AS (
  DELETE FROM {outbox_events} AS e USING json_array_elements($1::json) WITH ORDINALITY AS a (v, n)
  WHERE e.id = (a.v->>0)::bigint AND e.event_id = (a.v->>1)::uuid
  {{RowWait}}
  RETURNING e.*, a.n, a.v->>2 AS state, a.v->>3 AS error, a.v->>4 = '1' AS overtaken
)
INSERT INTO {outbox_parked} (id, event_id, topic, event_key, event_type, payload, headers, created_at, attempts, error, state, overtaken)
SELECT id, event_id, topic, event_key, event_type, payload, headers, created_at,
       CASE state WHEN 'failed' THEN 1 ELSE 0 END, error, state, overtaken
FROM moved ORDER BY n

-- name: Orphans
-- Blocked rows behind a seq, without a row before them.
SELECT p.seq FROM {outbox_parked} AS p
WHERE p.seq > $1 AND p.state = 'blocked' AND (p.event_key IS NULL OR NOT EXISTS (
  SELECT 1 FROM {outbox_parked} AS e WHERE e.topic = p.topic AND e.event_key = p.event_key AND e.seq < p.seq))

-- name: Candidates
SELECT seq, topic, event_key, overtaken FROM {outbox_parked}
WHERE state IN ('retry', 'drop') AND state = 'retry' AND seq > $1 ORDER BY seq LIMIT $2

-- name: FirstNotRetried
-- For each row the first of its key in another state than retry.
SELECT r.seq, e.seq FROM json_array_elements_text($1::json) AS a (v)
JOIN {outbox_parked} AS r ON r.seq = a.v::bigint
LEFT JOIN LATERAL (
  SELECT seq FROM {outbox_parked} AS k WHERE k.topic = r.topic AND k.event_key = r.event_key AND k.state <> 'retry'
  ORDER BY k.topic, k.event_key, k.seq LIMIT 1
) AS e ON true

-- name: ReadParked
SELECT seq, overtaken, attempts, {{Columns}}
FROM {outbox_parked} WHERE state = 'retry'
  AND seq = ANY (ARRAY(SELECT v::bigint FROM json_array_elements_text($1::json) AS a (v))) ORDER BY seq

-- name: ParkedKeys
SELECT DISTINCT p.topic, p.event_key FROM json_array_elements($1::json) AS a (v)
JOIN {outbox_parked} AS p ON p.seq = (a.v->>0)::bigint AND p.event_id = (a.v->>1)::uuid
WHERE p.event_key IS NOT NULL

-- name: DeleteParked
DELETE FROM {outbox_parked} AS p USING json_array_elements($1::json) AS a (v)
WHERE p.seq = (a.v->>0)::bigint AND p.event_id = (a.v->>1)::uuid

-- name: FirstParked
SELECT a.n - 1, e.seq, e.state FROM json_array_elements($1::json) WITH ORDINALITY AS a (v, n)
JOIN LATERAL (
  SELECT seq, state FROM {outbox_parked} AS k WHERE k.topic = a.v->>0 AND k.event_key = a.v->>1
  ORDER BY k.topic, k.event_key, k.seq LIMIT 1
) AS e ON true

-- name: Followers
SELECT h.seq, e.seq, e.state FROM json_array_elements_text($1::json) AS a (v)
JOIN {outbox_parked} AS h ON h.seq = a.v::bigint
CROSS JOIN LATERAL (
  SELECT seq, state FROM {outbox_parked} AS k WHERE k.topic = h.topic AND k.event_key = h.event_key AND k.seq >= h.seq
  ORDER BY k.topic, k.event_key, k.seq LIMIT $2
) AS e ORDER BY h.seq, e.seq

-- name: Release
UPDATE {outbox_parked} AS p SET state = 'retry' FROM json_array_elements_text($1::json) AS a (v)
WHERE p.seq = a.v::bigint AND p.state = 'blocked'

-- name: MarkOvertaken
UPDATE {outbox_parked} AS p SET overtaken = true FROM json_array_elements_text($1::json) AS a (v)
WHERE p.seq = a.v::bigint

-- name: Reject
UPDATE {outbox_parked} AS p SET attempts = p.attempts + 1, error = a.v->>2, overtaken = p.overtaken OR a.v->>3 = '1',
    state = CASE p.state WHEN 'drop' THEN 'drop' ELSE 'failed' END
FROM json_array_elements($1::json) AS a (v) WHERE p.seq = (a.v->>0)::bigint AND p.event_id = (a.v->>1)::uuid

-- name: BlockLater
UPDATE {outbox_parked} AS p SET state = 'blocked'
FROM json_array_elements($1::json) AS a (v)
JOIN {outbox_parked} AS r ON r.seq = (a.v->>0)::bigint AND r.event_id = (a.v->>1)::uuid
WHERE p.topic = r.topic AND p.event_key = r.event_key AND p.seq > r.seq
  AND p.state IN ('retry', 'drop') AND p.state = 'retry' AND NOT p.overtaken

-- name: LockDrops
SELECT seq, id, event_id, topic, event_key FROM {outbox_parked}
WHERE state IN ('retry', 'drop') AND state = 'drop' ORDER BY seq LIMIT $1 FOR UPDATE

-- name: RecordDrops
INSERT INTO {outbox_drops} (id, event_id, topic, event_key, error)
SELECT p.id, p.event_id, p.topic, p.event_key, p.error FROM json_array_elements_text($1::json) AS a (v)
JOIN {outbox_parked} AS p ON p.seq = a.v::bigint ORDER BY p.seq

-- name: UntilDue
-- Microseconds until the first row is due. statement_timestamp and not clock_timestamp: what is read anew for
-- each row cannot be looked up in an index, and every row that is not due would be looked at.
SELECT (extract(epoch FROM deliver_at - statement_timestamp()) * 1000000)::bigint
FROM {outbox_scheduled} ORDER BY deliver_at, seq LIMIT 1

-- name: DueRows
-- Its conditions follow.
SELECT seq, event_id::text, topic, event_key, to_char(deliver_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
FROM {outbox_scheduled} WHERE deliver_at <= statement_timestamp()

-- name: LockDue
SELECT seq {{Due}} AND deliver_at <= statement_timestamp() FOR UPDATE SKIP LOCKED

-- name: CopyDue
INSERT INTO {outbox_events} ({{RowColumns}})
SELECT {{RowColumns}} {{Due}} ORDER BY deliver_at, seq

-- name: DeleteDue
DELETE {{Due}}

-- part: Due
FROM {outbox_scheduled} WHERE seq = ANY($1::text::bigint[])

-- name: TryLockKeys
-- It takes the locks that are free, without waiting, and returns their numbers.
SELECT number
FROM (SELECT unnest($1::text::bigint[]) AS number OFFSET 0) AS numbers WHERE pg_try_advisory_xact_lock(number)
