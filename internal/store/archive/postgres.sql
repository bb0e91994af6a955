-- The statements of `relay replay` for PostgreSQL; db.Load gives each to the field of its name.

-- name: Now
-- The clock that delivered_at is measured by.
SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')

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
FROM {outbox_archive} AS a WHERE a.seq > $1 AND a.seq <= $2{of_a}
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

-- name: LockKeys
-- Advisory locks end with the transaction, so a pooler does no harm. The subquery has an ORDER BY, so the planner
-- may not merge it into the outer query, which then calls the function row by row in that order.
SELECT pg_advisory_xact_lock(number)
FROM (SELECT unnest(string_to_array($1::text, ',')::bigint[]) AS number ORDER BY 1 OFFSET 0) AS numbers
