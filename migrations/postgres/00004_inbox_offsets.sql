-- +goose Up

-- How far a consumer is in each partition, for consumers that keep their offsets beside
-- their data: moved in the transaction of the handler's own writes, so that the two
-- commit together.
CREATE TABLE inbox_offsets (
    consumer        text    COLLATE "C" NOT NULL,
    kafka_topic     text    COLLATE "C" NOT NULL,
    kafka_partition integer NOT NULL,
    -- The next message to handle; NULL: none was handled yet.
    next_offset     bigint,
    -- Counted up by each member of the group that takes the partition over. A member
    -- whose epoch is not this one has lost the partition, and its transactions fail.
    epoch           bigint  NOT NULL,
    updated_at      timestamptz NOT NULL DEFAULT clock_timestamp(),

    PRIMARY KEY (consumer, kafka_topic, kafka_partition),

    CONSTRAINT inbox_offsets_consumer_check  CHECK (octet_length(consumer) BETWEEN 1 AND 100),
    CONSTRAINT inbox_offsets_topic_check     CHECK (char_length(kafka_topic) BETWEEN 1 AND 249),
    CONSTRAINT inbox_offsets_partition_check CHECK (kafka_partition >= 0),
    CONSTRAINT inbox_offsets_offset_check    CHECK (next_offset >= 0)
) WITH (
    -- One row for each partition, updated by every batch.
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold    = 1000,
    autovacuum_vacuum_cost_delay   = 0
);

COMMENT ON TABLE inbox_offsets IS 'Postroom: how far a consumer that keeps its offsets beside its data has come';

-- What operators asked for; consumers look for it about every second.
CREATE INDEX inbox_parked_asked_idx ON inbox_parked (consumer, seq) WHERE state IN ('retry', 'drop');
