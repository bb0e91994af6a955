-- What an operator asks of outbox_parked, for SQLite; db.Load gives each statement to the field of its name.
-- {where} is made of the conditions below. Names.Numbered numbers their question marks.

-- part: Columns
SELECT seq, id, event_id, topic, event_key, event_type, headers, created_at || '', parked_at || '', attempts, error, state, overtaken, length(CAST(payload AS BLOB))

-- name: List
{{Columns}}, NULL FROM {outbox_parked}{where} ORDER BY seq LIMIT ?

-- name: Find
{{Columns}}, substr(CAST(payload AS BLOB), 1, {bytes}) FROM {outbox_parked}{where} ORDER BY seq

-- name: Lock
-- SQLite locks no rows: one transaction writes at a time.
{{Columns}}, NULL FROM {outbox_parked}{where} ORDER BY seq

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
event_id = ?

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
UPDATE {outbox_parked} AS p SET state = 'retry' WHERE p.seq IN (SELECT value FROM json_each(?)) AND p.state IN ('failed', 'drop') AND NOT (p.overtaken <> 0)

-- name: MarkRetryOvertaken
UPDATE {outbox_parked} AS p SET state = 'retry' WHERE p.seq IN (SELECT value FROM json_each(?)) AND p.state IN ('failed', 'drop')

-- name: MarkDrop
UPDATE {outbox_parked} AS p SET state = 'drop', error = substr(? || p.error, 1, 4000) WHERE p.seq IN (SELECT value FROM json_each(?)) AND p.state <> 'drop'

-- name: Overtaken
(overtaken <> 0)

-- name: LastSeqs
SELECT seq FROM {outbox_parked}{where} ORDER BY seq DESC LIMIT ?
