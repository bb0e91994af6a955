-- file 00001_outbox.sql
-- +goose Up

-- Postroom's outbox. A row in outbox_events is an event that was not delivered
-- yet: services insert rows in their own transactions, the relay reads them,
-- publishes them, and deletes exactly those that the broker acknowledged.
--
-- The names are defaults. Postroom rewrites them for a prefix and a schema;
-- `relay migrate print` shows the result.

CREATE TABLE outbox_events (
    -- Handed out at INSERT, never by the application: the relay looks for
    -- the ids that it has not seen, so an id that did not come from this
    -- sequence would break the order of its key. CACHE 1, because a session
    -- that hoards ids would make its events look older than they are.
    id          bigint      GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,

    -- What consumers recognise a duplicate by. Not UNIQUE on purpose: a second
    -- index would cost every writer, a replay may send an event again, and
    -- copies are dropped where it counts, in the consumer's inbox.
    event_id    uuid        NOT NULL DEFAULT gen_random_uuid(),

    topic       text        COLLATE "C" NOT NULL,

    -- Order is kept within (topic, event_key); NULL: in no order. Compared by
    -- bytes, so that `ABC`, `abc` and `ABC ` are three keys.
    event_key   text        COLLATE "C",

    event_type  text        NOT NULL DEFAULT '',

    -- NULL is a tombstone: a record without a value.
    payload     bytea,

    headers     jsonb       NOT NULL DEFAULT '{}',

    -- The time of the INSERT, not of the transaction's start as now() is.
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),

    -- The limits stand here and not only in the library, so that an event that
    -- cannot be sent fails in its own transaction, whoever wrote it.
    CONSTRAINT outbox_events_topic_check      CHECK (char_length(topic) BETWEEN 1 AND 249),
    CONSTRAINT outbox_events_event_key_check  CHECK (octet_length(event_key) <= 512),
    CONSTRAINT outbox_events_event_type_check CHECK (char_length(event_type) <= 255),
    CONSTRAINT outbox_events_payload_check    CHECK (octet_length(payload) <= 16777216),
    CONSTRAINT outbox_events_headers_check    CHECK (jsonb_typeof(headers) = 'object' AND octet_length(headers::text) <= 16384),
    -- Keeps out infinity and the years that RFC 3339 cannot write.
    CONSTRAINT outbox_events_created_at_check CHECK (created_at >= '1970-01-01 00:00:00+00' AND created_at < '10000-01-01 00:00:00+00')
) WITH (
    -- A queue is nearly empty after a drain, whatever has passed through it. The
    -- default, a fifth of the table's size, would wait for ever after one large
    -- backlog, while each read steps over the index entries of deleted rows. So:
    -- a fixed number of dead rows, and no pauses while they are removed.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold    = 5000,
    autovacuum_vacuum_cost_delay   = 0,
    -- Rows that were only inserted need no vacuum: they are about to be deleted.
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold    = 50000,
    -- Giving an empty tail back to the disk takes an ACCESS EXCLUSIVE lock, and
    -- writers wait for it. The space is used again instead. After an unusual
    -- backlog: VACUUM (TRUNCATE ON) outbox_events
    vacuum_truncate = off
    -- fillfactor stays at 100: rows are never updated.
);

COMMENT ON TABLE outbox_events IS 'Postroom: events that were not delivered yet; the relay deletes a row once the broker has it';

-- Events that the sink refused for good, and the later ones of their keys that
-- wait behind them ("dead letters"). Only the relay that owns the source moves
-- rows here and back; people set state to retry or drop.
CREATE TABLE outbox_parked (
    -- The order in which rows were parked, and are replayed.
    seq         bigint      GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,

    -- The event as it stood in outbox_events, with its id there.
    id          bigint      NOT NULL,
    event_id    uuid        NOT NULL,
    topic       text        COLLATE "C" NOT NULL,
    event_key   text        COLLATE "C",
    event_type  text        NOT NULL,
    payload     bytea,
    headers     jsonb       NOT NULL,
    created_at  timestamptz NOT NULL,

    attempts    integer     NOT NULL DEFAULT 0,
    error       text        NOT NULL DEFAULT '',
    parked_at   timestamptz NOT NULL DEFAULT clock_timestamp(),

    -- failed: refused itself. blocked: waits behind a refused one of its key.
    -- retry, drop: what an operator asked for; the relay does it and deletes the row.
    state       text        NOT NULL DEFAULT 'failed',

    -- Later events of the key were delivered before this one.
    overtaken   boolean     NOT NULL DEFAULT false,

    CONSTRAINT outbox_parked_attempts_check CHECK (attempts >= 0),
    CONSTRAINT outbox_parked_state_check    CHECK (state IN ('failed', 'blocked', 'retry', 'drop'))
);

-- "Is this key blocked?", and the replay of one key in order.
CREATE INDEX outbox_parked_key_idx ON outbox_parked (topic, event_key, seq);

COMMENT ON TABLE outbox_parked IS 'Postroom: events that the broker refused, and later ones of their keys';

-- Who relays this outbox, until when, by this database's clock. One row, and
-- the relay never inserts or deletes it.
CREATE TABLE outbox_leases (
    -- One row per outbox: two rows would be two owners, that is, duplicates.
    id          smallint    NOT NULL DEFAULT 1 PRIMARY KEY,

    -- The source's name. The first relay sets it; one with another name is refused.
    source      text,

    -- The source's identity, made once. Kafka's transactional id contains it:
    -- names repeat between services, this does not. A copied database needs a new one.
    source_id   uuid        NOT NULL DEFAULT gen_random_uuid(),

    -- A fresh random id per claim, and the number of claims so far. Every delete
    -- of the relay checks both, so that an owner whose lease was taken changes nothing.
    owner       text,
    epoch       bigint      NOT NULL DEFAULT 0,
    expires_at  timestamptz,

    -- The mode that the source was last relayed in; NULL before the first claim.
    mode        text,

    -- Where to start reading. Never the truth: losing it costs time only.
    hints       jsonb       NOT NULL DEFAULT '{}',

    CONSTRAINT outbox_leases_id_check     CHECK (id = 1),
    CONSTRAINT outbox_leases_source_check CHECK (char_length(source) BETWEEN 1 AND 249),
    CONSTRAINT outbox_leases_owner_check  CHECK (char_length(owner) BETWEEN 1 AND 255),
    CONSTRAINT outbox_leases_epoch_check  CHECK (epoch >= 0),
    CONSTRAINT outbox_leases_mode_check   CHECK (mode IN ('at-least-once', 'exactly-once')),
    CONSTRAINT outbox_leases_hints_check  CHECK (jsonb_typeof(hints) = 'object')
) WITH (
    -- One row, renewed every second or two: with room on its page a renewal
    -- touches no index, and leaves a version that the next one cleans up.
    fillfactor = 10,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold    = 200,
    autovacuum_vacuum_cost_delay   = 0
);

INSERT INTO outbox_leases (id) VALUES (1);

COMMENT ON TABLE outbox_leases IS 'Postroom: the one row that says which relay owns this outbox';

-- Tells Postroom that the tables above are there.
CREATE TABLE IF NOT EXISTS "postroom_schema" (
    version    bigint      PRIMARY KEY,
    name       text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

INSERT INTO "postroom_schema" (version, name) VALUES (1, '00001_outbox.sql');
-- file 00002_inbox.sql
-- +goose Up

-- Postroom's inbox, in the database of a service that consumes. It makes the
-- effect of a message happen once: the consumer inserts into inbox_events first,
-- in the transaction of its own work, and does nothing if the row is there.

-- A row means: this consumer is done with this message.
CREATE TABLE inbox_events (
    -- The handler's name, not the Kafka group's.
    consumer        text        COLLATE "C" NOT NULL,
    -- The producer's event id. Compared by bytes: a collation that takes `ABC` and
    -- `abc` for the same id would drop a new message as a duplicate.
    message_id      text        COLLATE "C" NOT NULL,

    -- Where the message was read, if it came from Kafka. Purging compares them
    -- with the committed offsets.
    kafka_topic     text        COLLATE "C",
    kafka_partition integer,
    kafka_offset    bigint,

    processed_at    timestamptz NOT NULL DEFAULT clock_timestamp(),

    PRIMARY KEY (consumer, message_id),

    CONSTRAINT inbox_events_consumer_check   CHECK (octet_length(consumer) BETWEEN 1 AND 100),
    CONSTRAINT inbox_events_message_id_check CHECK (octet_length(message_id) BETWEEN 1 AND 255),
    -- A position is whole or absent.
    CONSTRAINT inbox_events_position_check   CHECK (num_nulls(kafka_topic, kafka_partition, kafka_offset) IN (0, 3))
) WITH (
    -- Grows by every message and is purged in large pieces: vacuum by a small share
    -- of it, without pauses.
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay   = 0
    -- fillfactor stays at 100: rows are never updated. There is no index on
    -- processed_at: it would cost every message, and purging reads the table once,
    -- from front to back and in small pieces.
);

COMMENT ON TABLE inbox_events IS 'Postroom: messages that a consumer is done with; the time they are kept is the window in which duplicates are dropped';

-- Attempts that failed or are under way. Apart from inbox_events, since a row
-- there means done: a count kept there would make a redelivery look like a duplicate.
CREATE TABLE inbox_attempts (
    consumer    text        COLLATE "C" NOT NULL,
    message_id  text        COLLATE "C" NOT NULL,
    attempts    integer     NOT NULL DEFAULT 0,
    last_error  text        NOT NULL DEFAULT '',
    -- The start of the last attempt.
    started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),

    PRIMARY KEY (consumer, message_id),

    CONSTRAINT inbox_attempts_consumer_check   CHECK (octet_length(consumer) BETWEEN 1 AND 100),
    CONSTRAINT inbox_attempts_message_id_check CHECK (octet_length(message_id) BETWEEN 1 AND 255),
    CONSTRAINT inbox_attempts_attempts_check   CHECK (attempts >= 0)
) WITH (
    -- Rows are counted up and deleted: leave room for the new versions.
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold    = 1000,
    autovacuum_vacuum_cost_delay   = 0
);

COMMENT ON TABLE inbox_attempts IS 'Postroom: attempts at messages that a consumer is not done with';

-- Keys that stand still because a message of theirs is parked. Whoever parks or
-- replays locks the row, so that no message is parked behind nothing.
CREATE TABLE inbox_blocked (
    consumer    text COLLATE "C" NOT NULL,
    topic       text COLLATE "C" NOT NULL,
    event_key   text COLLATE "C" NOT NULL,

    PRIMARY KEY (consumer, topic, event_key),

    CONSTRAINT inbox_blocked_consumer_check  CHECK (octet_length(consumer) BETWEEN 1 AND 100),
    CONSTRAINT inbox_blocked_topic_check     CHECK (char_length(topic) BETWEEN 1 AND 249),
    CONSTRAINT inbox_blocked_event_key_check CHECK (octet_length(event_key) <= 512)
);

COMMENT ON TABLE inbox_blocked IS 'Postroom: keys whose messages wait behind a parked one';

-- Messages that a consumer gave up, and the later ones of their keys.
CREATE TABLE inbox_parked (
    -- The order in which messages were parked, and are replayed.
    seq             bigint      GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,

    consumer        text        COLLATE "C" NOT NULL,
    message_id      text        COLLATE "C" NOT NULL,

    topic           text        COLLATE "C" NOT NULL,
    event_key       text        COLLATE "C",
    event_type      text        NOT NULL DEFAULT '',
    -- json, not jsonb: it keeps what jsonb refuses (\u0000), and no message may
    -- be impossible to park.
    headers         json        NOT NULL DEFAULT '{}',
    payload         bytea,
    kafka_topic     text        COLLATE "C",
    kafka_partition integer,
    kafka_offset    bigint,

    attempts        integer     NOT NULL DEFAULT 0,
    error           text        NOT NULL DEFAULT '',
    parked_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- failed: gave up on it. blocked: waits behind one of its key. retry, drop: asked for by an operator.
    state           text        NOT NULL DEFAULT 'failed',

    CONSTRAINT inbox_parked_consumer_check   CHECK (octet_length(consumer) BETWEEN 1 AND 100),
    CONSTRAINT inbox_parked_message_id_check CHECK (octet_length(message_id) BETWEEN 1 AND 255),
    CONSTRAINT inbox_parked_headers_check    CHECK (json_typeof(headers) = 'object'),
    CONSTRAINT inbox_parked_position_check   CHECK (num_nulls(kafka_topic, kafka_partition, kafka_offset) IN (0, 3)),
    CONSTRAINT inbox_parked_attempts_check   CHECK (attempts >= 0),
    CONSTRAINT inbox_parked_state_check      CHECK (state IN ('failed', 'blocked', 'retry', 'drop'))
);

-- The replay of one key in order.
CREATE INDEX inbox_parked_key_idx ON inbox_parked (consumer, topic, event_key, seq);

COMMENT ON TABLE inbox_parked IS 'Postroom: messages that a consumer gave up, and later ones of their keys';

-- Tells Postroom that the tables above are there.
CREATE TABLE IF NOT EXISTS "postroom_schema" (
    version    bigint      PRIMARY KEY,
    name       text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

INSERT INTO "postroom_schema" (version, name) VALUES (2, '00002_inbox.sql');
-- file 00003_outbox_relay.sql
-- +goose Up

-- What the relay needs beyond delivering: scheduled events, the archive, the list
-- of live relay processes, and the record of what operators dropped. A relay runs
-- without these tables too, with the features off that need them.

-- Events to deliver at a time to come. The relay moves a row to outbox_events when it
-- is due, in one transaction; until then whoever wrote it may delete it again. They do
-- not wait in outbox_events, because there each read would step over them.
CREATE TABLE outbox_scheduled (
    -- Of rows due at the same time, the order in which they were written.
    seq         bigint      GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,

    -- The event, with the defaults and the limits of outbox_events: a row that could
    -- not be moved fails in the transaction that writes it.
    event_id    uuid        NOT NULL DEFAULT gen_random_uuid(),
    topic       text        COLLATE "C" NOT NULL,
    event_key   text        COLLATE "C",
    event_type  text        NOT NULL DEFAULT '',
    payload     bytea,
    headers     jsonb       NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),

    -- Not before this time, by this database's clock.
    deliver_at  timestamptz NOT NULL,

    -- UNIQUE here, unlike in outbox_events: cancelling finds a row by it, and means one.
    CONSTRAINT outbox_scheduled_event_id_key     UNIQUE (event_id),
    CONSTRAINT outbox_scheduled_topic_check      CHECK (char_length(topic) BETWEEN 1 AND 249),
    CONSTRAINT outbox_scheduled_event_key_check  CHECK (octet_length(event_key) <= 512),
    CONSTRAINT outbox_scheduled_event_type_check CHECK (char_length(event_type) <= 255),
    CONSTRAINT outbox_scheduled_payload_check    CHECK (octet_length(payload) <= 16777216),
    CONSTRAINT outbox_scheduled_headers_check    CHECK (jsonb_typeof(headers) = 'object' AND octet_length(headers::text) <= 16384),
    CONSTRAINT outbox_scheduled_created_at_check CHECK (created_at >= '1970-01-01 00:00:00+00' AND created_at < '10000-01-01 00:00:00+00'),
    -- Keeps out infinity too: "never" is not a time to deliver at.
    CONSTRAINT outbox_scheduled_deliver_at_check CHECK (deliver_at >= '1970-01-01 00:00:00+00' AND deliver_at < '10000-01-01 00:00:00+00')
) WITH (
    -- A queue, as outbox_events is; but rows may wait here for months, so a vacuum
    -- that finds little to do is not repeated for each few thousand moved ones.
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold    = 5000,
    autovacuum_vacuum_cost_delay   = 0,
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_analyze_scale_factor = 0.1,
    autovacuum_analyze_threshold    = 50000,
    vacuum_truncate = off
);

-- "What is due?", in the order in which it is moved.
CREATE INDEX outbox_scheduled_due_idx ON outbox_scheduled (deliver_at, seq);

COMMENT ON TABLE outbox_scheduled IS 'Postroom: events to deliver later; the relay moves a row to outbox_events when it is due';

-- Events that were delivered, where an operator asked for them to be kept. The relay
-- writes a row in the statement that deletes it from outbox_events.
CREATE TABLE outbox_archive (
    -- The order in which rows were archived: roughly that of their delivery.
    seq             bigint      GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,

    -- The event as it stood in outbox_events, with its id there.
    id              bigint      NOT NULL,
    event_id        uuid        NOT NULL,
    topic           text        COLLATE "C" NOT NULL,
    event_key       text        COLLATE "C",
    event_type      text        NOT NULL,
    payload         bytea,
    headers         jsonb       NOT NULL,
    created_at      timestamptz NOT NULL,

    -- Where the broker put it; NULL where the sink does not say.
    kafka_partition integer,
    kafka_offset    bigint,
    delivered_at    timestamptz NOT NULL DEFAULT clock_timestamp(),

    -- A position is whole or absent.
    CONSTRAINT outbox_archive_position_check CHECK (num_nulls(kafka_partition, kafka_offset) IN (0, 2))
) WITH (
    -- Grows by every event and is purged from its old end: vacuum by a small share of
    -- it, without pauses. Rows are never updated, so fillfactor stays at 100.
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay   = 0
);

-- Purging and replaying by time, finding an event, replaying a key.
CREATE INDEX outbox_archive_delivered_at_idx ON outbox_archive (delivered_at);
CREATE INDEX outbox_archive_event_id_idx ON outbox_archive (event_id);
CREATE INDEX outbox_archive_key_idx ON outbox_archive (topic, event_key);

COMMENT ON TABLE outbox_archive IS 'Postroom: events that were delivered, kept for a time if the relay is told to';

-- The relay processes that are alive, so that they can share the sources evenly. Each
-- renews its row; one that was not renewed for some lease times counts for nothing.
-- Who owns a source is never decided here, but in outbox_leases.
CREATE TABLE outbox_relays (
    -- A fresh random id per process.
    relay_id    uuid        NOT NULL PRIMARY KEY,
    host        text        NOT NULL DEFAULT '',
    -- How many sources, in all databases, the process owns now.
    owned       integer     NOT NULL DEFAULT 0,
    seen_at     timestamptz NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT outbox_relays_host_check  CHECK (char_length(host) <= 255),
    CONSTRAINT outbox_relays_owned_check CHECK (owned >= 0)
) WITH (
    -- A few rows, renewed every second or two: as outbox_leases.
    fillfactor = 10,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold    = 200,
    autovacuum_vacuum_cost_delay   = 0
);

COMMENT ON TABLE outbox_relays IS 'Postroom: the relay processes that are alive';

-- What operators dropped from outbox_parked: the proof that an event was not lost, but
-- given up by someone. Without the payload, which may be why it had to go.
CREATE TABLE outbox_drops (
    seq         bigint      GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,

    -- The event's id in outbox_events, and what it is known by elsewhere.
    id          bigint      NOT NULL,
    event_id    uuid        NOT NULL,
    topic       text        COLLATE "C" NOT NULL,
    event_key   text        COLLATE "C",

    -- Why it had been parked.
    error       text        NOT NULL DEFAULT '',
    dropped_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

COMMENT ON TABLE outbox_drops IS 'Postroom: parked events that an operator dropped';

-- "Did an operator ask for something?", which the relay's owner looks for all the
-- time: an index of those rows alone is nearly always empty.
CREATE INDEX outbox_parked_asked_idx ON outbox_parked (seq) WHERE state IN ('retry', 'drop');

-- Tells Postroom that the tables above are there.
CREATE TABLE IF NOT EXISTS "postroom_schema" (
    version    bigint      PRIMARY KEY,
    name       text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

INSERT INTO "postroom_schema" (version, name) VALUES (3, '00003_outbox_relay.sql');
-- file 00004_inbox_offsets.sql
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

-- Tells Postroom that the tables above are there.
CREATE TABLE IF NOT EXISTS "postroom_schema" (
    version    bigint      PRIMARY KEY,
    name       text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

INSERT INTO "postroom_schema" (version, name) VALUES (4, '00004_inbox_offsets.sql');
-- file 00005_inbox_replica.sql
-- +goose Up

-- What replicas of other services' data remember. A consumer that keeps no replica
-- does without these tables.

-- A row for each key that a replica has seen: the gate that a change has to pass. It
-- stays when the replica's row is deleted, as a tombstone, so that a late older
-- version does not bring the row back.
CREATE TABLE inbox_replica_rows (
    replica     text        COLLATE "C" NOT NULL,
    -- The key's columns as text; of several columns a JSON array.
    row_key     text        COLLATE "C" NOT NULL,
    -- The source's own number: only a higher one changes the row.
    version     bigint      NOT NULL,
    -- A tombstone, since then.
    deleted_at  timestamptz,
    -- When a change or a backfill last spoke of the key, by this database's clock.
    applied_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The newest backfill that had the key; empty: none.
    run_id      text        COLLATE "C" NOT NULL DEFAULT '',
    -- The batch that made the last change.
    claim_token text        COLLATE "C" NOT NULL DEFAULT '',

    PRIMARY KEY (replica, row_key),

    CONSTRAINT inbox_replica_rows_replica_check CHECK (octet_length(replica) BETWEEN 1 AND 100),
    CONSTRAINT inbox_replica_rows_row_key_check CHECK (octet_length(row_key) BETWEEN 1 AND 512),
    CONSTRAINT inbox_replica_rows_version_check CHECK (version > 0)
) WITH (
    -- Updated with each change; room on the page keeps the updates off the index.
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_cost_delay   = 0
);

COMMENT ON TABLE inbox_replica_rows IS 'Postroom: the version of each row of a replica, and tombstones of deleted ones';

-- Backfills that a replica has heard of.
CREATE TABLE inbox_replica_runs (
    replica     text        COLLATE "C" NOT NULL,
    run_id      text        COLLATE "C" NOT NULL,
    -- Rows that the run sent, and its start by the source's clock: from its end marker.
    sent        bigint,
    started_at  timestamptz,
    heard_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Every row has arrived, and what the source no longer has was removed.
    finished_at timestamptz,

    PRIMARY KEY (replica, run_id),

    CONSTRAINT inbox_replica_runs_replica_check CHECK (octet_length(replica) BETWEEN 1 AND 100),
    CONSTRAINT inbox_replica_runs_run_id_check  CHECK (octet_length(run_id) BETWEEN 1 AND 36),
    CONSTRAINT inbox_replica_runs_end_check     CHECK ((sent IS NULL) = (started_at IS NULL) AND sent >= 0)
);

COMMENT ON TABLE inbox_replica_runs IS 'Postroom: backfills that a replica has heard of';

-- Tells Postroom that the tables above are there.
CREATE TABLE IF NOT EXISTS "postroom_schema" (
    version    bigint      PRIMARY KEY,
    name       text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

INSERT INTO "postroom_schema" (version, name) VALUES (5, '00005_inbox_replica.sql');
-- file 00006_outbox_backfill.sql
-- +goose Up

-- Runs of backfills: how far each has come. A chunk's events and its place here
-- are one transaction, so that a run that was killed goes on after its last chunk.
CREATE TABLE outbox_backfills (
    -- A UUID of version 7: later runs have higher ones.
    run_id      uuid        NOT NULL PRIMARY KEY,
    -- What operators call it. One run of a name is under way at a time.
    name        text        COLLATE "C" NOT NULL,
    -- 1 while the run is not finished, else NULL.
    running     smallint,
    -- The primary key of the last row that was sent, as a JSON value; NULL: none yet.
    position    text,
    chunks      bigint      NOT NULL DEFAULT 0,
    sent        bigint      NOT NULL DEFAULT 0,
    -- Rows per topic, a JSON object: what the end markers say.
    topics      text        NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,

    CONSTRAINT outbox_backfills_name_key      UNIQUE (name, running),
    CONSTRAINT outbox_backfills_name_check    CHECK (octet_length(name) BETWEEN 1 AND 100),
    CONSTRAINT outbox_backfills_running_check CHECK (running = 1)
);

COMMENT ON TABLE outbox_backfills IS 'Postroom: runs of backfills, and how far each has come';

-- Tells Postroom that the tables above are there.
CREATE TABLE IF NOT EXISTS "postroom_schema" (
    version    bigint      PRIMARY KEY,
    name       text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

INSERT INTO "postroom_schema" (version, name) VALUES (6, '00006_outbox_backfill.sql');
-- file 00008_inbox_groups.sql
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

-- Tells Postroom that the tables above are there.
CREATE TABLE IF NOT EXISTS "postroom_schema" (
    version    bigint      PRIMARY KEY,
    name       text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

INSERT INTO "postroom_schema" (version, name) VALUES (8, '00008_inbox_groups.sql');
