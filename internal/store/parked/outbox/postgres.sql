-- What an operator asks of outbox_parked, for PostgreSQL; db.Load gives each statement to the field of its name.
-- {where} is made of the conditions below. Names.Numbered numbers their question marks.

-- part: Columns
SELECT seq, id, event_id, topic, event_key, event_type, headers::text, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), to_char(parked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), attempts, error, state, overtaken, octet_length(payload)

-- name: List
{{Columns}}, NULL FROM {outbox_parked}{where} ORDER BY seq LIMIT ?

-- name: Find
{{Columns}}, substring(payload FROM 1 FOR {bytes}) FROM {outbox_parked}{where} ORDER BY seq

-- name: Lock
-- The rows stay as they are until the transaction ends.
{{Columns}}, NULL FROM {outbox_parked}{where} ORDER BY seq FOR UPDATE

-- name: First
SELECT seq, state FROM {outbox_parked}{where} ORDER BY seq LIMIT 1

-- name: Count
SELECT count(*) FROM (SELECT 1 FROM {outbox_parked}{where} LIMIT {limit}) AS counted

-- name: Exists
SELECT EXISTS (SELECT 1 FROM {outbox_parked}{where})

-- name: OfTopic
topic = ?

-- name: OfKey
event_key = ?

-- name: InState
state = ?

-- name: WithSeq
seq = ?

-- name: WithID
event_id = ?::uuid

-- name: Before
seq < ?

-- name: But
seq NOT IN ({seqs})

-- name: AheadOfRetry
-- The blocked rows of a key follow its failed rows by themselves.
state = 'failed'

-- name: AheadOfDrop
state <> 'drop'

-- name: RetriedByFilter
state = 'failed'

-- name: DroppedByFilter
state <> 'drop'

-- name: MarkRetry
-- Blocked rows stay as they are: they follow when the rows before them are delivered.
UPDATE {outbox_parked} AS p SET state = 'retry' FROM json_array_elements_text($1::json) AS a (v) WHERE p.seq = a.v::bigint AND p.state IN ('failed', 'drop') AND NOT p.overtaken

-- name: MarkRetryOvertaken
UPDATE {outbox_parked} AS p SET state = 'retry' FROM json_array_elements_text($1::json) AS a (v) WHERE p.seq = a.v::bigint AND p.state IN ('failed', 'drop')

-- name: MarkDrop
UPDATE {outbox_parked} AS p SET state = 'drop', error = left($2 || p.error, 4000) FROM json_array_elements_text($1::json) AS a (v) WHERE p.seq = a.v::bigint AND p.state <> 'drop'

-- name: Overtaken
overtaken

-- name: LastSeqs
SELECT seq FROM {outbox_parked}{where} ORDER BY seq DESC LIMIT ?
