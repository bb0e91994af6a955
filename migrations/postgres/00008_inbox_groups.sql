-- +goose Up

-- What the database remembers of the Kafka group, of every consumer that runs by inboxkafka, however it keeps its
-- offsets: the group's offset alone does not tell that this database was restored, or that the topic is another one of
-- the same name.
ALTER TABLE inbox_offsets
    -- The group that reads the partition for this consumer: each message is handled in one group only.
    ADD COLUMN kafka_group    text COLLATE "C",
    -- Kafka's id of the topic, as kafka-topics prints it; the offsets are those of this topic.
    ADD COLUMN topic_id       text COLLATE "C",
    -- All messages below it are done. It is written before the offset goes to Kafka, and so the group's is never
    -- higher, unless this database has lost what it knew.
    ADD COLUMN applied_offset bigint,
    ADD CONSTRAINT inbox_offsets_applied_check CHECK (applied_offset >= 0);

COMMENT ON TABLE inbox_offsets IS 'Postroom: how far a consumer has come in a partition of Kafka, and in which group';
