-- +goose Up

-- What the database remembers of the Kafka group, of every consumer that runs by inboxkafka, however it keeps its
-- offsets: the group's offset alone does not tell that this database was restored, or that the topic is another one of
-- the same name.
-- kafka_group: the group that reads the partition for this consumer; each message is handled in one group only.
-- topic_id: Kafka's id of the topic, as kafka-topics prints it; the offsets are those of this topic.
-- applied_offset: all messages below it are done. It is written before the offset goes to Kafka, and so the group's is
-- never higher, unless this database has lost what it knew.
-- MySQL has no ADD COLUMN IF NOT EXISTS: the columns are there if the check is, which comes with them in one statement.
SET @postroom_inbox_groups = IF(
    EXISTS (SELECT 1 FROM information_schema.table_constraints WHERE constraint_schema = database() AND constraint_name = 'inbox_offsets_applied_check'),
    'DO 0', 'ALTER TABLE inbox_offsets
    ADD COLUMN kafka_group    varbinary(1000) NULL,
    ADD COLUMN topic_id       varbinary(100)  NULL,
    ADD COLUMN applied_offset bigint          NULL,
    ADD CONSTRAINT inbox_offsets_applied_check CHECK (applied_offset >= 0),
    COMMENT = ''Postroom: how far a consumer has come in a partition of Kafka, and in which group''');
PREPARE postroom_inbox_groups FROM @postroom_inbox_groups;
EXECUTE postroom_inbox_groups;
DEALLOCATE PREPARE postroom_inbox_groups;
