-- What an operator asks of inbox_parked, for MySQL and MariaDB; db.Load gives each statement to the field of its name.
-- {where} is made of the conditions below. Names.Numbered numbers their question marks.

-- part: Columns
SELECT seq, consumer, message_id, topic, event_key, event_type, headers, kafka_topic, kafka_partition, kafka_offset, attempts, error, DATE_FORMAT(parked_at, '%Y-%m-%dT%H:%i:%s.%fZ'), state, octet_length(payload)

-- name: List
{{Columns}}, NULL FROM {inbox_parked}{where} ORDER BY seq LIMIT ?

-- name: Find
{{Columns}}, SUBSTRING(payload, 1, {bytes}) FROM {inbox_parked}{where} ORDER BY seq

-- name: Lock
-- The rows stay as they are until the transaction ends.
{{Columns}}, NULL FROM {inbox_parked}{where} ORDER BY seq FOR UPDATE

-- name: First
SELECT seq, state FROM {inbox_parked} AS p{where} ORDER BY seq LIMIT 1

-- name: Count
SELECT count(*) FROM (SELECT 1 FROM {inbox_parked}{where} LIMIT {limit}) AS counted

-- name: Exists
SELECT EXISTS (SELECT 1 FROM {inbox_parked}{where})

-- name: OfConsumer
consumer = ?

-- name: OfTopic
topic = ?

-- name: OfKey
event_key = ?

-- name: InState
state = ?

-- name: WithSeq
seq = ?

-- name: WithID
message_id = ?

-- name: Before
seq < ?

-- name: But
seq NOT IN ({seqs})

-- name: AheadOfRetry
-- Only a blocked key has an order. Where the consumer skips parked messages, no key is blocked.
EXISTS (SELECT 1 FROM {inbox_blocked} AS b WHERE b.consumer = p.consumer AND b.topic = p.topic AND b.event_key = p.event_key)

-- name: AheadOfDrop
EXISTS (SELECT 1 FROM {inbox_blocked} AS b WHERE b.consumer = p.consumer AND b.topic = p.topic AND b.event_key = p.event_key) AND state <> 'drop'

-- name: RetriedByFilter
-- Failed rows, and the first row of each key: a blocked one waits behind nothing, and would for ever.
-- MySQL updates no table that a subquery reads, but for one that it has written down.
(state = 'failed' OR seq IN (SELECT head FROM (SELECT min(seq) AS head FROM {inbox_parked} WHERE event_key IS NOT NULL GROUP BY consumer, topic, event_key) AS heads)) AND state IN ('failed', 'blocked')

-- name: DroppedByFilter
state IN ('failed', 'blocked', 'retry')

-- name: MarkRetry
UPDATE JSON_TABLE(?, '$[*]' COLUMNS (v BIGINT PATH '$')) AS a STRAIGHT_JOIN {inbox_parked} AS p FORCE INDEX (PRIMARY) ON p.seq = a.v SET p.state = 'retry' WHERE p.state IN ('failed', 'blocked', 'drop')

-- name: MarkDrop
UPDATE JSON_TABLE(?, '$[*]' COLUMNS (v BIGINT PATH '$')) AS a STRAIGHT_JOIN {inbox_parked} AS p FORCE INDEX (PRIMARY) ON p.seq = a.v SET p.state = 'drop', p.error = LEFT(CONCAT(?, p.error), 4000) WHERE p.state <> 'drop'

-- name: RetryAll
-- One statement, and not parts of the rows: see DropAll.
UPDATE {inbox_parked} SET state = 'retry'{where}

-- name: DropAll
-- One statement: were the first rows of a key dropped before the others are marked, the consumer would run
-- the others (hazard dropped-head).
UPDATE {inbox_parked} SET state = 'drop', error = LEFT(CONCAT(?, error), 4000){where}
