-- The statements of `relay replay` for SQLite; db.Load gives each to the field of its name.

-- name: Now
-- The clock that delivered_at is measured by.
SELECT '' || strftime('%Y-%m-%dT%H:%M:%f', 'now', ((0) / 1000.0) || ' seconds') || '000Z'

-- name: Last
SELECT COALESCE(MAX(seq), 0) FROM {outbox_archive}

-- name: Missing
-- Which of the events are there. The ids stand in the text: they are hexadecimal digits.
SELECT DISTINCT event_id FROM {outbox_archive} WHERE event_id IN ({event_ids})

-- name: Count
SELECT COUNT(*), COALESCE(MIN(a.seq), 0), COALESCE(MAX(a.seq), 0)
{{Selected}}

-- name: List
SELECT a.seq, COALESCE(LENGTH(a.payload), 0)
{{Selected}}
ORDER BY a.seq LIMIT {limit}

-- part: Selected
-- An event that the archive has several times, because it was replayed before, counts where the selection meets
-- it first: a copy would double it. The conditions of a selection stand in it twice, for a and for e.
FROM {outbox_archive} AS a WHERE a.seq > ? AND a.seq <= ?{of_a}
AND NOT EXISTS (SELECT 1 FROM {outbox_archive} AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq{of_e})

-- name: Keys
SELECT DISTINCT topic, event_key FROM {outbox_archive} WHERE event_key IS NOT NULL AND seq IN ({seqs})

-- name: PutBack
INSERT INTO {outbox_events} (event_id, {{Columns}}) SELECT event_id, {{Columns}} FROM {outbox_archive} WHERE seq IN ({seqs}) ORDER BY seq

-- name: PutBackWithNewIDs
-- The table's default makes the event ids.
INSERT INTO {outbox_events} ({{Columns}}) SELECT {{Columns}} FROM {outbox_archive} WHERE seq IN ({seqs}) ORDER BY seq

-- part: Columns
topic, event_key, event_type, payload, headers, created_at

-- name: FirstWrite
-- A library user's connection may begin deferred: a first write takes the lock before anything is read, or the
-- later upgrade fails with SQLITE_BUSY.
UPDATE {outbox_leases} SET epoch = epoch WHERE id = 1
