-- +goose Up

-- How far a consumer is in each partition, for consumers that keep their offsets beside
-- their data. next_offset: the next message to handle; NULL: none was handled yet. epoch: counted up by
-- each member of the group that takes the partition over, so that the last one's transactions fail.
CREATE TABLE IF NOT EXISTS inbox_offsets (
    consumer        varbinary(100) NOT NULL,
    kafka_topic     varbinary(996) NOT NULL,
    kafka_partition int            NOT NULL,
    next_offset     bigint         NULL,
    epoch           bigint         NOT NULL,
    updated_at      datetime(6)    NOT NULL DEFAULT (utc_timestamp(6)),

    PRIMARY KEY (consumer, kafka_topic, kafka_partition),

    CONSTRAINT inbox_offsets_consumer_check  CHECK (octet_length(consumer) BETWEEN 1 AND 100),
    CONSTRAINT inbox_offsets_topic_check     CHECK (octet_length(kafka_topic) >= 1),
    CONSTRAINT inbox_offsets_partition_check CHECK (kafka_partition >= 0),
    CONSTRAINT inbox_offsets_offset_check    CHECK (next_offset >= 0)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Postroom: how far a consumer that keeps its offsets beside its data has come';
