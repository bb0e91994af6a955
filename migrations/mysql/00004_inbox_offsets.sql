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

-- What operators asked for; consumers look for it about every second. MySQL has no CREATE
-- INDEX IF NOT EXISTS, so it is made only where it is missing; it is found by its own
-- name, which no other installation's has.
SET @postroom_inbox_asked = IF(
    EXISTS (SELECT 1 FROM information_schema.statistics WHERE table_schema = database() AND index_name = 'inbox_parked_asked_idx'),
    'DO 0', 'CREATE INDEX inbox_parked_asked_idx ON inbox_parked (consumer, state, seq)');
PREPARE postroom_inbox_asked FROM @postroom_inbox_asked;
EXECUTE postroom_inbox_asked;
DEALLOCATE PREPARE postroom_inbox_asked;
