-- +goose Up

-- What the database remembers of the Kafka group, of every consumer that runs by inboxkafka, however it keeps its
-- offsets: the group's offset alone does not tell that this database was restored, or that the topic is another one of
-- the same name.

-- The group that reads the partition for this consumer: each message is handled in one group only.
ALTER TABLE inbox_offsets ADD COLUMN kafka_group TEXT COLLATE BINARY;
-- Kafka's id of the topic, as kafka-topics prints it; the offsets are those of this topic.
ALTER TABLE inbox_offsets ADD COLUMN topic_id TEXT COLLATE BINARY;
-- All messages below it are done. It is written before the offset goes to Kafka, and so the group's is never higher,
-- unless this database has lost what it knew.
ALTER TABLE inbox_offsets ADD COLUMN applied_offset INTEGER
    CONSTRAINT inbox_offsets_applied_check CHECK (applied_offset IS NULL OR (typeof(applied_offset) = 'integer' AND applied_offset >= 0));
