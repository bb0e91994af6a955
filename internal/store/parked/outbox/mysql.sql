-- What an operator asks of outbox_parked, for MySQL and MariaDB; db.Load gives each statement to the field of its name.
-- {where} is made of the conditions below. Names.Numbered numbers their question marks.

-- part: Columns
SELECT seq, id, event_id, topic, event_key, event_type, headers, DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%fZ'), DATE_FORMAT(parked_at, '%Y-%m-%dT%H:%i:%s.%fZ'), attempts, error, state, overtaken, octet_length(payload)

-- name: List
{{Columns}}, NULL FROM {outbox_parked}{where} ORDER BY seq LIMIT ?

-- name: Find
{{Columns}}, SUBSTRING(payload, 1, {bytes}) FROM {outbox_parked}{where} ORDER BY seq

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
-- The collation of the column pads with spaces; a topic compares by bytes.
topic = ? AND LENGTH(topic) = ?

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
UPDATE JSON_TABLE(?, '$[*]' COLUMNS (v BIGINT PATH '$')) AS a STRAIGHT_JOIN {outbox_parked} AS p FORCE INDEX (PRIMARY) ON p.seq = a.v SET p.state = 'retry' WHERE p.state IN ('failed', 'drop') AND NOT (p.overtaken <> 0)

-- name: MarkRetryOvertaken
UPDATE JSON_TABLE(?, '$[*]' COLUMNS (v BIGINT PATH '$')) AS a STRAIGHT_JOIN {outbox_parked} AS p FORCE INDEX (PRIMARY) ON p.seq = a.v SET p.state = 'retry' WHERE p.state IN ('failed', 'drop')

-- name: MarkDrop
UPDATE JSON_TABLE(?, '$[*]' COLUMNS (v BIGINT PATH '$')) AS a STRAIGHT_JOIN {outbox_parked} AS p FORCE INDEX (PRIMARY) ON p.seq = a.v SET p.state = 'drop', p.error = LEFT(CONCAT(?, p.error), 4000) WHERE p.state <> 'drop'

-- name: Overtaken
(overtaken <> 0)

-- name: LastSeqs
SELECT seq FROM {outbox_parked}{where} ORDER BY seq DESC LIMIT ?
