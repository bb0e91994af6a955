-- +goose Up

-- How far a consumer is in each partition, for consumers that keep their offsets beside
-- their data: moved in the transaction of the handler's own writes.
CREATE TABLE inbox_offsets (
    consumer        TEXT    COLLATE BINARY NOT NULL,
    kafka_topic     TEXT    COLLATE BINARY NOT NULL,
    kafka_partition INTEGER NOT NULL,
    -- The next message to handle; NULL: none was handled yet.
    next_offset     INTEGER,
    -- Counted up by each member of the group that takes the partition over.
    epoch           INTEGER NOT NULL,
    updated_at      TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'),

    PRIMARY KEY (consumer, kafka_topic, kafka_partition),

    CONSTRAINT inbox_offsets_consumer_check  CHECK (typeof(consumer) = 'text' AND length(CAST(consumer AS BLOB)) BETWEEN 1 AND 100),
    CONSTRAINT inbox_offsets_topic_check     CHECK (typeof(kafka_topic) = 'text' AND length(kafka_topic) BETWEEN 1 AND 249),
    CONSTRAINT inbox_offsets_partition_check CHECK (typeof(kafka_partition) = 'integer' AND kafka_partition >= 0),
    CONSTRAINT inbox_offsets_offset_check    CHECK (next_offset IS NULL OR (typeof(next_offset) = 'integer' AND next_offset >= 0))
) WITHOUT ROWID;

-- What operators asked for; consumers look for it about every second.
CREATE INDEX inbox_parked_asked_idx ON inbox_parked (consumer, seq) WHERE state IN ('retry', 'drop');
