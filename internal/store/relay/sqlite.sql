-- The relay's statements for SQLite; db.Load gives each to the field of its name.
--
-- CROSS JOIN keeps the order of the loops: from a list to the table, row by row along an index. The term with
-- IN is the partial index's own: SQLite uses the index only for a query that repeats it.

-- part: Now
-- RFC 3339 of fixed width, the form that the tables keep, so that it compares as text.
strftime('%Y-%m-%dT%H:%M:%f', 'now', ((0) / 1000.0) || ' seconds') || '000Z'

-- part: Expiry
strftime('%Y-%m-%dT%H:%M:%f', 'now', (({ttl_ms}) / 1000.0) || ' seconds') || '000Z'

-- name: ReadHeader
-- The server is the database file: one that was replaced shows as rows outside every gap, which the sweep finds.
SELECT 0, NULL, 'primary', NULL, 'sqlite', NULL, NULL, NULL, 1

-- name: ReadGaps
-- Each gap is a lookup by rowid.
SELECT * FROM (SELECT e.id, {{Columns}}
FROM json_each(?) AS gap CROSS JOIN {outbox_events} AS e
  ON e.id BETWEEN json_extract(gap.value, '$[0]') AND json_extract(gap.value, '$[1]')
ORDER BY e.id LIMIT ?)

-- name: ReadTail
SELECT * FROM (SELECT id, {{Columns}} FROM {outbox_events} WHERE id > ? ORDER BY id LIMIT ?)

-- part: Columns
-- Without id, which json_each has too.
event_id, topic, event_key, event_type, payload, headers, created_at, payload IS NULL

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
DELETE FROM {outbox_events} WHERE id = ? AND event_id = ?

-- part: RowColumns
event_id, topic, event_key, event_type, payload, headers, created_at

-- name: DeleteRun
-- The event of the last row stands for all: see deleteRun in delete.go.
DELETE FROM {outbox_events}
WHERE id BETWEEN ? AND ?
  AND EXISTS (SELECT 1 FROM {outbox_events} WHERE id = ? AND event_id = ?)
  AND EXISTS (SELECT 1 FROM {outbox_leases} WHERE id = 1 AND owner = ? AND epoch = ?)

-- name: DeleteEvents
{{DeleteNamed}}
  AND EXISTS (SELECT 1 FROM {outbox_leases} WHERE id = 1 AND owner = ? AND epoch = ?)

-- name: DeleteArchived
{{DeleteNamed}}

-- part: DeleteNamed
DELETE FROM {outbox_events}
WHERE id IN (SELECT e.id FROM json_each(?) AS delivered CROSS JOIN {outbox_events} AS e
    ON e.id = json_extract(delivered.value, '$[0]') AND e.event_id = json_extract(delivered.value, '$[1]'))

-- name: ArchiveEvents
-- SQLite's one writer is this transaction: nothing changes between this and DeleteArchived. Rows go in ascending
-- order of id, so that the archive's seq keeps the order of each key.
INSERT INTO {outbox_archive} ({{ArchiveColumns}})
SELECT e.id, e.event_id, e.topic, e.event_key, e.event_type, e.payload, e.headers, e.created_at, json_extract(delivered.value, '$[2]'), json_extract(delivered.value, '$[3]')
FROM json_each(?) AS delivered CROSS JOIN {outbox_events} AS e
  ON e.id = json_extract(delivered.value, '$[0]') AND e.event_id = json_extract(delivered.value, '$[1]')
ORDER BY e.id

-- name: ArchiveParked
INSERT INTO {outbox_archive} ({{ArchiveColumns}})
SELECT e.id, e.event_id, e.topic, e.event_key, e.event_type, e.payload, e.headers, e.created_at, json_extract(delivered.value, '$[2]'), json_extract(delivered.value, '$[3]')
FROM json_each(?) AS delivered CROSS JOIN {outbox_parked} AS e
  ON e.seq = json_extract(delivered.value, '$[0]') AND e.event_id = json_extract(delivered.value, '$[1]')
ORDER BY e.seq

-- part: ArchiveColumns
id, event_id, topic, event_key, event_type, payload, headers, created_at, kafka_partition, kafka_offset

-- name: CheckArchive
-- SQLite has no users, and a statement that writes would wait for a writer.
SELECT seq FROM {outbox_archive} WHERE seq = -1

-- name: Purge
DELETE FROM {table} WHERE seq IN (SELECT seq FROM {table} WHERE {column} < {{Before}} ORDER BY {column} LIMIT {limit})

-- name: CountOld
SELECT COUNT(*) FROM {table} WHERE {column} < {{Before}}

-- part: Before
strftime('%Y-%m-%dT%H:%M:%f', 'now', ((-{ms}) / 1000.0) || ' seconds') || '000Z'

-- name: FirstWrite
-- A library user's connection may begin deferred: a first write takes the lock before anything is read, or the
-- later upgrade fails with SQLITE_BUSY.
UPDATE {outbox_leases} SET epoch = epoch WHERE id = 1

-- name: ClaimLease
UPDATE {outbox_leases}
SET owner = ?, epoch = epoch + 1, mode = coalesce(mode, ?), expires_at = {{Expiry}},
    hints = json_set(json_remove(hints, '$.halted', '$.blind', '$.outage'), '$.ttl_us', {ttl_ms} * 1000)
WHERE id = 1 AND (owner = ? OR {{Claimable}})

-- part: Claimable
-- See leases.go. The statement Lock of internal/store/source has a copy.
(owner IS NULL OR expires_at IS NULL OR expires_at < {{Now}}
  OR expires_at > strftime('%Y-%m-%dT%H:%M:%f', 'now', ((2 * max({ttl_ms}, coalesce(json_extract(hints, '$.ttl_us'), 0) / 1000)) / 1000.0) || ' seconds') || '000Z')

-- name: ClaimedLease
SELECT epoch, source_id, mode, 'sqlite', json_extract(hints, '$.position'), json_extract(hints, '$.proved') FROM {outbox_leases} WHERE id = 1

-- name: RenewLease
UPDATE {outbox_leases} SET expires_at = {{Expiry}} WHERE id = 1 AND owner = ? AND epoch = ?

-- name: LeaseOwner
SELECT owner, epoch, 'sqlite' FROM {outbox_leases} WHERE id = 1

-- name: LockLease
-- It needs no lock: the relay's connections begin with BEGIN IMMEDIATE, which shuts out every other writer.
SELECT owner, epoch, 'sqlite' FROM {outbox_leases} WHERE id = 1

-- name: ReleaseLease
UPDATE {outbox_leases} SET owner = NULL, expires_at = NULL, hints = json_remove(hints, '$.heir') WHERE id = 1 AND owner = ? AND epoch = ?

-- name: HandOverLease
UPDATE {outbox_leases} SET owner = NULL, expires_at = NULL, hints = json_set(hints, '$.heir', '{heir}') WHERE id = 1 AND owner = ? AND epoch = ?

-- name: LeaseState
SELECT {{Claimable}}, CASE WHEN owner IS NULL THEN json_extract(hints, '$.heir') END, owner IS NOT NULL AND coalesce(json_extract(hints, '$.blind'), '') <> '', coalesce(mode, '') FROM {outbox_leases} WHERE id = 1

-- name: SetMode
UPDATE {outbox_leases} SET mode = ? WHERE id = 1

-- name: SetPosition
UPDATE {outbox_leases} SET hints = json_set(hints, '$.position', json(?)) WHERE id = 1

-- name: SetHalted
UPDATE {outbox_leases} SET hints = json_set(hints, '$.halted', ?) WHERE id = 1

-- name: SetUnreachable
UPDATE {outbox_leases} SET hints = json_set(hints, '$.blind', ?) WHERE id = 1

-- name: SetOutage
UPDATE {outbox_leases} SET hints = json_set(hints, '$.outage', json(?)) WHERE id = 1

-- name: SetTopics
UPDATE {outbox_leases} SET hints = json_set(hints, '$.topics', json(?)) WHERE id = 1

-- name: UsedTopics
SELECT json_extract(hints, '$.topics') FROM {outbox_leases} WHERE id = 1

-- name: Checkpoint
SELECT json_extract(hints, '$.proved') FROM {outbox_leases} WHERE id = 1 AND owner = ? AND epoch = ? AND ? = 'sqlite'

-- name: SetCheckpoint
UPDATE {outbox_leases} SET hints = json_set(hints, '$.proved', json(?)) WHERE id = 1 AND owner = ? AND epoch = ? AND ? = 'sqlite'

-- name: Inspect
SELECT source, source_id FROM {outbox_leases} WHERE id = 1

-- name: NameSource
UPDATE {outbox_leases} SET source = ? WHERE id = 1 AND source IS NULL

-- name: Heartbeat
INSERT INTO {outbox_relays} (relay_id, host, owned, seen_at)
VALUES (?, ?, ?, {{Now}}) ON CONFLICT (relay_id) DO UPDATE SET host = excluded.host, owned = excluded.owned, seen_at = excluded.seen_at

-- name: OtherMembers
{{Processes}} WHERE relay_id <> ?

-- name: Members
{{Processes}} ORDER BY host, relay_id

-- part: Processes
SELECT relay_id, host, owned, CAST((julianday('now') - julianday(seen_at)) * 86400000000 AS INTEGER) FROM {outbox_relays}

-- name: ForgetMembers
DELETE FROM {outbox_relays} WHERE seen_at NOT BETWEEN strftime('%Y-%m-%dT%H:%M:%f', 'now', ((-{ms}) / 1000.0) || ' seconds') || '000Z' AND strftime('%Y-%m-%dT%H:%M:%f', 'now', (({ms}) / 1000.0) || ' seconds') || '000Z'

-- name: Leave
DELETE FROM {outbox_relays} WHERE relay_id = ?

-- name: HasRequests
SELECT EXISTS (SELECT 1 FROM {outbox_parked} WHERE state IN ('retry', 'drop'))

-- name: HasDrops
SELECT EXISTS (SELECT 1 FROM {outbox_parked} WHERE state IN ('retry', 'drop') AND state = 'drop')

-- name: CheckDrops
SELECT seq FROM {outbox_drops} WHERE seq = 0

-- name: LastParked
SELECT COALESCE(MAX(seq), 0) FROM {outbox_parked}

-- name: ParkedWindow
SELECT COALESCE(MAX(seq), 0) FROM (SELECT seq FROM {outbox_parked} WHERE seq > ? ORDER BY seq LIMIT ?) AS part

-- name: NotOvertaken
SELECT seq FROM {outbox_parked} WHERE seq > ? AND seq <= ? AND event_key IS NOT NULL AND NOT overtaken ORDER BY seq LIMIT ?

-- name: SentParked
SELECT seq, id, event_id FROM {outbox_parked} WHERE seq > ? AND seq <= ? AND id BETWEEN ? AND ?

-- name: BlockedKeys
-- SQLite would go through the rows of the first key from their start each time: seq is no column of an index
-- to it. Rows without a key block nothing.
SELECT topic, event_key, max(seq) FROM (
  SELECT * FROM (SELECT topic, event_key, seq FROM {outbox_parked}
    WHERE topic = ? AND event_key = ? AND seq > ? ORDER BY seq LIMIT ?)
  UNION ALL
  SELECT * FROM (SELECT topic, event_key, seq FROM {outbox_parked}
    WHERE event_key IS NOT NULL AND (topic, event_key) > (?, ?) ORDER BY topic, event_key, seq LIMIT ?)
  LIMIT ?
) AS part GROUP BY topic, event_key ORDER BY topic, event_key

-- name: Park
INSERT INTO {outbox_parked} (id, event_id, topic, event_key, event_type, payload, headers, created_at, attempts, error, state, overtaken)
SELECT e.id, e.event_id, e.topic, e.event_key, e.event_type, e.payload, e.headers, e.created_at,
       json_extract(a.value, '$[2]') = 'failed', json_extract(a.value, '$[3]'), json_extract(a.value, '$[2]'), json_extract(a.value, '$[4]')
FROM json_each(?) AS a CROSS JOIN {outbox_events} AS e
  ON e.id = json_extract(a.value, '$[0]') AND e.event_id = json_extract(a.value, '$[1]')
ORDER BY a.key

-- name: DeleteMoved
DELETE FROM {outbox_events}
WHERE id IN (SELECT e.id FROM json_each(?) AS a CROSS JOIN {outbox_events} AS e
    ON e.id = json_extract(a.value, '$[0]') AND e.event_id = json_extract(a.value, '$[1]'))

-- name: Orphans
-- Blocked rows behind a seq, without a row before them.
SELECT p.seq FROM {outbox_parked} AS p
WHERE p.seq > ? AND p.state = 'blocked' AND (p.event_key IS NULL OR NOT EXISTS (
  SELECT 1 FROM {outbox_parked} AS e WHERE e.topic = p.topic AND e.event_key = p.event_key AND e.seq < p.seq))

-- name: Candidates
SELECT seq, topic, event_key, overtaken FROM {outbox_parked}
WHERE state IN ('retry', 'drop') AND state = 'retry' AND seq > ? ORDER BY seq LIMIT ?

-- name: FirstNotRetried
-- For each row the first of its key in another state than retry.
SELECT r.seq, (
  SELECT k.seq FROM {outbox_parked} AS k WHERE k.topic = r.topic AND k.event_key = r.event_key AND k.state <> 'retry' ORDER BY k.seq LIMIT 1)
FROM json_each(?) AS a CROSS JOIN {outbox_parked} AS r ON r.seq = a.value

-- name: ReadParked
SELECT seq, overtaken, attempts, id, {{Columns}}
FROM {outbox_parked} WHERE state = 'retry' AND seq IN (SELECT value FROM json_each(?)) ORDER BY seq

-- name: ParkedKeys
SELECT DISTINCT p.topic, p.event_key {{ParkedList}} WHERE p.event_key IS NOT NULL

-- name: DeleteParked
DELETE FROM {outbox_parked} WHERE seq IN (SELECT p.seq {{ParkedList}})

-- part: ParkedList
FROM json_each(?) AS a CROSS JOIN {outbox_parked} AS p
ON p.seq = json_extract(a.value, '$[0]') AND p.event_id = json_extract(a.value, '$[1]')

-- name: FirstRows
-- The database is in this process, so a statement per key costs nothing; and JSON would cut a key at a NUL.
SELECT seq, state FROM {outbox_parked} WHERE topic = ? AND event_key = ? ORDER BY seq LIMIT ?

-- name: Release
UPDATE {outbox_parked} SET state = 'retry' WHERE seq IN (SELECT value FROM json_each(?)) AND state = 'blocked'

-- name: MarkOvertaken
UPDATE {outbox_parked} SET overtaken = true WHERE seq IN (SELECT value FROM json_each(?))

-- name: Reject
UPDATE {outbox_parked} AS p SET attempts = p.attempts + 1, error = json_extract(a.value, '$[2]'),
    overtaken = p.overtaken OR json_extract(a.value, '$[3]'), state = CASE p.state WHEN 'drop' THEN 'drop' ELSE 'failed' END
FROM json_each(?) AS a WHERE p.seq = json_extract(a.value, '$[0]') AND p.event_id = json_extract(a.value, '$[1]')

-- name: BlockLater
UPDATE {outbox_parked} SET state = 'blocked' WHERE seq IN (
  SELECT p.seq FROM json_each(?) AS a CROSS JOIN {outbox_parked} AS r
    ON r.seq = json_extract(a.value, '$[0]') AND r.event_id = json_extract(a.value, '$[1]')
  CROSS JOIN {outbox_parked} AS p ON p.topic = r.topic AND p.event_key = r.event_key AND p.seq > r.seq
  WHERE p.state = 'retry' AND NOT p.overtaken)

-- name: LockDrops
SELECT seq, id, event_id, topic, event_key FROM {outbox_parked}
WHERE state IN ('retry', 'drop') AND state = 'drop' ORDER BY seq LIMIT ?

-- name: RecordDrops
INSERT INTO {outbox_drops} (id, event_id, topic, event_key, error)
SELECT p.id, p.event_id, p.topic, p.event_key, p.error FROM json_each(?) AS a CROSS JOIN {outbox_parked} AS p ON p.seq = a.value ORDER BY p.seq

-- name: UntilDue
-- Microseconds until the first row is due.
SELECT CASE WHEN deliver_at <= {{Clock}} THEN 0
  ELSE CAST((julianday(deliver_at) - julianday('now')) * 86400000000 AS INTEGER) END
FROM {outbox_scheduled} ORDER BY deliver_at, seq LIMIT 1

-- name: DueRows
-- Its conditions follow.
SELECT seq, event_id, topic, event_key, '' || deliver_at FROM {outbox_scheduled} WHERE deliver_at <= {{Clock}}

-- name: LockDue
-- SQLite has one writer, which is the transaction that looks: nothing is locked by others.
SELECT seq {{Due}} AND deliver_at <= {{Clock}}

-- name: CopyDue
INSERT INTO {outbox_events} ({{RowColumns}})
SELECT {{RowColumns}} {{Due}} ORDER BY deliver_at, seq

-- name: DeleteDue
DELETE {{Due}}

-- part: Due
FROM {outbox_scheduled} WHERE seq IN (SELECT value FROM json_each(?))

-- part: Clock
strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'
