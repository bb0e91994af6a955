-- file 00001_outbox.sql
-- +goose NO TRANSACTION
-- +goose Up

-- Postroom's outbox, for MySQL 8.0.16 and MariaDB 10.6 and later. A row in
-- acme_outbox_events is an event that was not delivered yet: services insert rows in
-- their own transactions, the relay reads them, publishes them, and deletes
-- exactly those that the broker acknowledged.
--
-- The names are defaults. Postroom rewrites them for a prefix;
-- `relay migrate print` shows the result.
--
-- Here each CREATE TABLE commits by itself. So every statement can be run again:
-- when this file stopped half-way, run it once more.
--
-- Limits need a strict sql_mode (the default): without it the server cuts values
-- to their columns, and two keys may become one.

CREATE TABLE IF NOT EXISTS `acme_outbox_events` (
    -- Handed out at INSERT. Leave it out of the INSERT: the server would take an id
    -- of yours, and the relay could deliver events of a key out of order.
    id          bigint       NOT NULL AUTO_INCREMENT,

    -- What consumers recognise a duplicate by; a UUID in lower case. Not UNIQUE on
    -- purpose: a second index would cost every writer, a replay may send an event
    -- again, and copies are dropped where it counts, in the consumer's inbox.
    event_id    char(36)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT (uuid()),

    topic       varchar(249) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,

    -- Order is kept within (topic, event_key); NULL: in no order. VARBINARY, because
    -- even a _bin collation takes `ABC` and `ABC ` for the same key. UTF-8.
    event_key   varbinary(512) NULL,

    event_type  varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',

    -- NULL is a tombstone: a record without a value. The server's
    -- max_allowed_packet may set a lower limit than the one below.
    payload     longblob     NULL,

    headers     json         NOT NULL DEFAULT ('{}'),

    -- UTC, whatever the session's time zone is.
    created_at  datetime(6)  NOT NULL DEFAULT (utc_timestamp(6)),

    -- The only index: each further one would cost every writer.
    PRIMARY KEY (id),

    -- The limits stand here and not only in the library, so that an event that
    -- cannot be sent fails in its own transaction, whoever wrote it.
    CONSTRAINT acme_outbox_events_event_id_check   CHECK (event_id REGEXP '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'),
    CONSTRAINT acme_outbox_events_topic_check      CHECK (char_length(topic) BETWEEN 1 AND 249),
    CONSTRAINT acme_outbox_events_event_key_check  CHECK (octet_length(event_key) <= 512),
    CONSTRAINT acme_outbox_events_event_type_check CHECK (char_length(event_type) <= 255),
    CONSTRAINT acme_outbox_events_payload_check    CHECK (octet_length(payload) <= 16777216),
    CONSTRAINT acme_outbox_events_headers_check    CHECK (json_type(headers) = 'OBJECT' AND octet_length(headers) <= 16384),
    -- Keeps out the zero date.
    CONSTRAINT acme_outbox_events_created_at_check CHECK (created_at >= '1970-01-01 00:00:00')
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Postroom: events that were not delivered yet';

-- Events that the sink refused for good, and the later ones of their keys that
-- wait behind them ("dead letters"). Only the relay that owns the source moves
-- rows here and back; people set state to retry or drop.
CREATE TABLE IF NOT EXISTS `acme_outbox_parked` (
    -- The order in which rows were parked, and are replayed.
    seq         bigint       NOT NULL AUTO_INCREMENT,

    -- The event as it stood in acme_outbox_events, with its id there.
    id          bigint       NOT NULL,
    event_id    char(36)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    topic       varchar(249) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    event_key   varbinary(512) NULL,
    event_type  varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    payload     longblob     NULL,
    headers     json         NOT NULL,
    created_at  datetime(6)  NOT NULL,

    attempts    int          NOT NULL DEFAULT 0,
    error       text         CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT (''),
    parked_at   datetime(6)  NOT NULL DEFAULT (utc_timestamp(6)),

    -- failed: refused itself. blocked: waits behind a refused one of its key.
    -- retry, drop: what an operator asked for; the relay does it and deletes the row.
    state       varchar(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'failed',

    -- Later events of the key were delivered before this one.
    overtaken   boolean      NOT NULL DEFAULT false,

    PRIMARY KEY (seq),
    -- "Is this key blocked?", and the replay of one key in order.
    KEY acme_outbox_parked_key_idx (topic, event_key, seq),

    CONSTRAINT acme_outbox_parked_attempts_check  CHECK (attempts >= 0),
    CONSTRAINT acme_outbox_parked_state_check     CHECK (state IN ('failed', 'blocked', 'retry', 'drop')),
    CONSTRAINT acme_outbox_parked_overtaken_check CHECK (overtaken IN (0, 1))
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Postroom: events that the broker refused, and later ones of their keys';

-- Who relays this outbox, until when, by this database's clock. One row, and
-- the relay never inserts or deletes it.
CREATE TABLE IF NOT EXISTS `acme_outbox_leases` (
    -- One row per outbox: two rows would be two owners, that is, duplicates.
    id          smallint     NOT NULL DEFAULT 1,

    -- The source's name. The first relay sets it; one with another name is refused.
    source      varchar(249) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,

    -- The source's identity, made once. Kafka's transactional id contains it:
    -- names repeat between services, this does not. A copied database needs a new one.
    source_id   char(36)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT (uuid()),

    -- A fresh random id per claim, and the number of claims so far. Every delete
    -- of the relay checks both, so that an owner whose lease was taken changes nothing.
    owner       varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
    epoch       bigint       NOT NULL DEFAULT 0,
    expires_at  datetime(6)  NULL,

    -- The mode that the source was last relayed in; NULL before the first claim.
    mode        varchar(16)  CHARACTER SET ascii COLLATE ascii_bin NULL,

    -- Where to start reading. Never the truth: losing it costs time only.
    hints       json         NOT NULL DEFAULT ('{}'),

    PRIMARY KEY (id),

    CONSTRAINT acme_outbox_leases_id_check     CHECK (id = 1),
    CONSTRAINT acme_outbox_leases_source_check CHECK (char_length(source) >= 1),
    CONSTRAINT acme_outbox_leases_owner_check  CHECK (char_length(owner) >= 1),
    CONSTRAINT acme_outbox_leases_epoch_check  CHECK (epoch >= 0),
    CONSTRAINT acme_outbox_leases_mode_check   CHECK (mode IN ('at-least-once', 'exactly-once')),
    CONSTRAINT acme_outbox_leases_hints_check  CHECK (json_type(hints) = 'OBJECT')
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Postroom: the one row that says which relay owns this outbox';

INSERT INTO `acme_outbox_leases` (id) SELECT 1 FROM (SELECT 1) AS one WHERE NOT EXISTS (SELECT 1 FROM `acme_outbox_leases`);

-- Rows to lock, for writers that use StrictKeyOrder: a key's hash chooses the slot.
-- There are no advisory locks here that end with a transaction.
CREATE TABLE IF NOT EXISTS `acme_outbox_key_locks` (
    slot int NOT NULL,
    PRIMARY KEY (slot)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Postroom: 1,024 rows that writers lock to keep a key in order';

-- 0 to 1,023: five digits to the base of four. A recursive query would stop at 1,000.
INSERT INTO `acme_outbox_key_locks` (slot)
SELECT a.n + 4 * b.n + 16 * c.n + 64 * d.n + 256 * e.n
FROM (SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS a
CROSS JOIN (SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS b
CROSS JOIN (SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS c
CROSS JOIN (SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS d
CROSS JOIN (SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS e
WHERE NOT EXISTS (SELECT 1 FROM `acme_outbox_key_locks`);

-- Tells Postroom that the tables above are there.
CREATE TABLE IF NOT EXISTS `acme_postroom_schema` (
    version    bigint       NOT NULL PRIMARY KEY,
    name       varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    applied_at datetime(6)  NOT NULL DEFAULT (utc_timestamp(6))
) ENGINE = InnoDB;

INSERT INTO `acme_postroom_schema` (version, name) VALUES (1, '00001_outbox.sql');
-- file 00002_inbox.sql
-- +goose NO TRANSACTION
-- +goose Up

-- Postroom's inbox, in the database of a service that consumes. It makes the
-- effect of a message happen once: the consumer inserts into acme_inbox_events first,
-- in the transaction of its own work, and does nothing if the row is there.
--
-- Here each CREATE TABLE commits by itself. So every statement can be run again:
-- when this file stopped half-way, run it once more.
--
-- Limits need a strict sql_mode (the default): without it the server cuts ids to
-- their columns, and a new message would be dropped as a duplicate.

-- A row means: this consumer is done with this message.
CREATE TABLE IF NOT EXISTS `acme_inbox_events` (
    -- The handler's name, not the Kafka group's. This column and the next are VARBINARY:
    -- the default collation takes `ABC`, `abc` and `ABC ` for one id, and even a _bin
    -- collation pads spaces; a new message would be dropped as a duplicate. UTF-8.
    consumer        varbinary(100) NOT NULL,
    -- The producer's event id.
    message_id      varbinary(255) NOT NULL,

    -- Where the message was read, if it came from Kafka. Purging compares them
    -- with the committed offsets.
    kafka_topic     varbinary(996) NULL,
    kafka_partition int            NULL,
    kafka_offset    bigint         NULL,

    processed_at    datetime(6)    NOT NULL DEFAULT (utc_timestamp(6)),

    -- Which batch inserted the row. INSERT IGNORE cannot say which rows are new, so a
    -- batch inserts with a token of its own and then selects by it.
    claim_token     char(36)       CHARACTER SET ascii COLLATE ascii_bin NULL,

    PRIMARY KEY (consumer, message_id),
    -- For purging by age. New entries go to its end, which is cheap.
    KEY acme_inbox_events_processed_at_idx (consumer, processed_at),

    CONSTRAINT acme_inbox_events_consumer_check   CHECK (octet_length(consumer) BETWEEN 1 AND 100),
    CONSTRAINT acme_inbox_events_message_id_check CHECK (octet_length(message_id) BETWEEN 1 AND 255),
    -- A position is whole or absent.
    CONSTRAINT acme_inbox_events_position_check   CHECK ((kafka_topic IS NULL) = (kafka_partition IS NULL) AND (kafka_topic IS NULL) = (kafka_offset IS NULL))
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Postroom: messages that a consumer is done with';

-- Attempts that failed or are under way. Apart from acme_inbox_events, since a row
-- there means done: a count kept there would make a redelivery look like a duplicate.
CREATE TABLE IF NOT EXISTS `acme_inbox_attempts` (
    consumer    varbinary(100) NOT NULL,
    message_id  varbinary(255) NOT NULL,
    attempts    int            NOT NULL DEFAULT 0,
    last_error  text           CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT (''),
    -- The start of the last attempt.
    started_at  datetime(6)    NOT NULL DEFAULT (utc_timestamp(6)),

    PRIMARY KEY (consumer, message_id),

    CONSTRAINT acme_inbox_attempts_consumer_check   CHECK (octet_length(consumer) BETWEEN 1 AND 100),
    CONSTRAINT acme_inbox_attempts_message_id_check CHECK (octet_length(message_id) BETWEEN 1 AND 255),
    CONSTRAINT acme_inbox_attempts_attempts_check   CHECK (attempts >= 0)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Postroom: attempts at messages that a consumer is not done with';

-- Keys that stand still because a message of theirs is parked. Whoever parks or
-- replays locks the row, so that no message is parked behind nothing.
CREATE TABLE IF NOT EXISTS `acme_inbox_blocked` (
    consumer    varbinary(100) NOT NULL,
    -- 249 characters of up to 4 bytes.
    topic       varbinary(996) NOT NULL,
    event_key   varbinary(512) NOT NULL,

    PRIMARY KEY (consumer, topic, event_key),

    CONSTRAINT acme_inbox_blocked_consumer_check CHECK (octet_length(consumer) BETWEEN 1 AND 100),
    CONSTRAINT acme_inbox_blocked_topic_check    CHECK (octet_length(topic) >= 1)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Postroom: keys whose messages wait behind a parked one';

-- Messages that a consumer gave up, and the later ones of their keys.
CREATE TABLE IF NOT EXISTS `acme_inbox_parked` (
    -- The order in which messages were parked, and are replayed.
    seq             bigint         NOT NULL AUTO_INCREMENT,

    consumer        varbinary(100) NOT NULL,
    message_id      varbinary(255) NOT NULL,

    topic           varbinary(996) NOT NULL,
    event_key       varbinary(512) NULL,
    event_type      varchar(255)   CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
    headers         json           NOT NULL DEFAULT ('{}'),
    payload         longblob       NULL,
    kafka_topic     varbinary(996) NULL,
    kafka_partition int            NULL,
    kafka_offset    bigint         NULL,

    attempts        int            NOT NULL DEFAULT 0,
    error           text           CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT (''),
    parked_at       datetime(6)    NOT NULL DEFAULT (utc_timestamp(6)),
    -- failed: gave up on it. blocked: waits behind one of its key. retry, drop: asked for by an operator.
    state           varchar(16)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'failed',

    PRIMARY KEY (seq),
    -- The replay of one key in order.
    KEY acme_inbox_parked_key_idx (consumer, topic, event_key, seq),

    CONSTRAINT acme_inbox_parked_consumer_check   CHECK (octet_length(consumer) BETWEEN 1 AND 100),
    CONSTRAINT acme_inbox_parked_message_id_check CHECK (octet_length(message_id) BETWEEN 1 AND 255),
    CONSTRAINT acme_inbox_parked_headers_check    CHECK (json_type(headers) = 'OBJECT'),
    CONSTRAINT acme_inbox_parked_position_check   CHECK ((kafka_topic IS NULL) = (kafka_partition IS NULL) AND (kafka_topic IS NULL) = (kafka_offset IS NULL)),
    CONSTRAINT acme_inbox_parked_attempts_check   CHECK (attempts >= 0),
    CONSTRAINT acme_inbox_parked_state_check      CHECK (state IN ('failed', 'blocked', 'retry', 'drop'))
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Postroom: messages that a consumer gave up, and later ones of their keys';

-- Tells Postroom that the tables above are there.
CREATE TABLE IF NOT EXISTS `acme_postroom_schema` (
    version    bigint       NOT NULL PRIMARY KEY,
    name       varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    applied_at datetime(6)  NOT NULL DEFAULT (utc_timestamp(6))
) ENGINE = InnoDB;

INSERT INTO `acme_postroom_schema` (version, name) VALUES (2, '00002_inbox.sql');
-- file 00003_outbox_relay.sql
-- +goose NO TRANSACTION
-- +goose Up

-- What the relay needs beyond delivering: scheduled events, the archive, the list
-- of live relay processes, and the record of what operators dropped. A relay runs
-- without these tables too, with the features off that need them.
--
-- Every statement can be run again, as in the first file.

-- Events to deliver at a time to come. The relay moves a row to acme_outbox_events when it
-- is due, in one transaction; until then whoever wrote it may delete it again. They do
-- not wait in acme_outbox_events, because there each read would step over them.
CREATE TABLE IF NOT EXISTS `acme_outbox_scheduled` (
    -- Of rows due at the same time, the order in which they were written.
    seq         bigint       NOT NULL AUTO_INCREMENT,

    -- The event, with the defaults and the limits of acme_outbox_events: a row that could
    -- not be moved fails in the transaction that writes it.
    event_id    char(36)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT (uuid()),
    topic       varchar(249) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    event_key   varbinary(512) NULL,
    event_type  varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
    payload     longblob     NULL,
    headers     json         NOT NULL DEFAULT ('{}'),
    created_at  datetime(6)  NOT NULL DEFAULT (utc_timestamp(6)),

    -- Not before this time, by this database's clock. UTC.
    deliver_at  datetime(6)  NOT NULL,

    PRIMARY KEY (seq),
    -- UNIQUE here, unlike in acme_outbox_events: cancelling finds a row by it, and means one.
    UNIQUE KEY acme_outbox_scheduled_event_id_key (event_id),
    -- "What is due?", in the order in which it is moved.
    KEY acme_outbox_scheduled_due_idx (deliver_at, seq),

    CONSTRAINT acme_outbox_scheduled_event_id_check   CHECK (event_id REGEXP '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'),
    CONSTRAINT acme_outbox_scheduled_topic_check      CHECK (char_length(topic) BETWEEN 1 AND 249),
    CONSTRAINT acme_outbox_scheduled_event_key_check  CHECK (octet_length(event_key) <= 512),
    CONSTRAINT acme_outbox_scheduled_event_type_check CHECK (char_length(event_type) <= 255),
    CONSTRAINT acme_outbox_scheduled_payload_check    CHECK (octet_length(payload) <= 16777216),
    CONSTRAINT acme_outbox_scheduled_headers_check    CHECK (json_type(headers) = 'OBJECT' AND octet_length(headers) <= 16384),
    -- Keep out the zero date.
    CONSTRAINT acme_outbox_scheduled_created_at_check CHECK (created_at >= '1970-01-01 00:00:00'),
    CONSTRAINT acme_outbox_scheduled_deliver_at_check CHECK (deliver_at >= '1970-01-01 00:00:00')
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Postroom: events to deliver later; the relay moves a row when it is due';

-- Events that were delivered, where an operator asked for them to be kept. The relay
-- writes a row in the transaction that deletes it from acme_outbox_events.
CREATE TABLE IF NOT EXISTS `acme_outbox_archive` (
    -- The order in which rows were archived: roughly that of their delivery.
    seq             bigint       NOT NULL AUTO_INCREMENT,

    -- The event as it stood in acme_outbox_events, with its id there.
    id              bigint       NOT NULL,
    event_id        char(36)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    topic           varchar(249) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    event_key       varbinary(512) NULL,
    event_type      varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    payload         longblob     NULL,
    headers         json         NOT NULL,
    created_at      datetime(6)  NOT NULL,

    -- Where the broker put it; NULL where the sink does not say.
    kafka_partition int          NULL,
    kafka_offset    bigint       NULL,
    delivered_at    datetime(6)  NOT NULL DEFAULT (utc_timestamp(6)),

    PRIMARY KEY (seq),
    -- Purging and replaying by time, finding an event, replaying a key.
    KEY acme_outbox_archive_delivered_at_idx (delivered_at),
    KEY acme_outbox_archive_event_id_idx (event_id),
    KEY acme_outbox_archive_key_idx (topic, event_key),

    -- A position is whole or absent.
    CONSTRAINT acme_outbox_archive_position_check CHECK ((kafka_partition IS NULL) = (kafka_offset IS NULL))
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Postroom: events that were delivered, kept for a time if the relay is told to';

-- The relay processes that are alive, so that they can share the sources evenly. Each
-- renews its row; one that was not renewed for some lease times counts for nothing.
-- Who owns a source is never decided here, but in acme_outbox_leases.
CREATE TABLE IF NOT EXISTS `acme_outbox_relays` (
    -- A fresh random id per process.
    relay_id    char(36)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    host        varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
    -- How many sources, in all databases, the process owns now.
    owned       int          NOT NULL DEFAULT 0,
    seen_at     datetime(6)  NOT NULL DEFAULT (utc_timestamp(6)),

    PRIMARY KEY (relay_id),

    CONSTRAINT acme_outbox_relays_owned_check CHECK (owned >= 0)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Postroom: the relay processes that are alive';

-- What operators dropped from acme_outbox_parked: the proof that an event was not lost, but
-- given up by someone. Without the payload, which may be why it had to go.
CREATE TABLE IF NOT EXISTS `acme_outbox_drops` (
    seq         bigint       NOT NULL AUTO_INCREMENT,

    -- The event's id in acme_outbox_events, and what it is known by elsewhere.
    id          bigint       NOT NULL,
    event_id    char(36)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    topic       varchar(249) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    event_key   varbinary(512) NULL,

    -- Why it had been parked.
    error       text         CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT (''),
    dropped_at  datetime(6)  NOT NULL DEFAULT (utc_timestamp(6)),

    PRIMARY KEY (seq)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Postroom: parked events that an operator dropped';

-- "Did an operator ask for something?", which the relay's owner looks for all the
-- time. MySQL has no CREATE INDEX IF NOT EXISTS, so it is made only where it is
-- missing; it is found by its own name, which no other installation's has.
SET @postroom_asked = IF(
    EXISTS (SELECT 1 FROM information_schema.statistics WHERE table_schema = database() AND index_name = 'acme_outbox_parked_asked_idx'),
    'DO 0', 'CREATE INDEX acme_outbox_parked_asked_idx ON `acme_outbox_parked` (state, seq)');
PREPARE postroom_asked FROM @postroom_asked;
EXECUTE postroom_asked;
DEALLOCATE PREPARE postroom_asked;

-- Tells Postroom that the tables above are there.
CREATE TABLE IF NOT EXISTS `acme_postroom_schema` (
    version    bigint       NOT NULL PRIMARY KEY,
    name       varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    applied_at datetime(6)  NOT NULL DEFAULT (utc_timestamp(6))
) ENGINE = InnoDB;

INSERT INTO `acme_postroom_schema` (version, name) VALUES (3, '00003_outbox_relay.sql');
-- file 00004_inbox_offsets.sql
-- +goose Up

-- How far a consumer is in each partition, for consumers that keep their offsets beside
-- their data. next_offset: the next message to handle; NULL: none was handled yet. epoch: counted up by
-- each member of the group that takes the partition over, so that the last one's transactions fail.
CREATE TABLE IF NOT EXISTS `acme_inbox_offsets` (
    consumer        varbinary(100) NOT NULL,
    kafka_topic     varbinary(996) NOT NULL,
    kafka_partition int            NOT NULL,
    next_offset     bigint         NULL,
    epoch           bigint         NOT NULL,
    updated_at      datetime(6)    NOT NULL DEFAULT (utc_timestamp(6)),

    PRIMARY KEY (consumer, kafka_topic, kafka_partition),

    CONSTRAINT acme_inbox_offsets_consumer_check  CHECK (octet_length(consumer) BETWEEN 1 AND 100),
    CONSTRAINT acme_inbox_offsets_topic_check     CHECK (octet_length(kafka_topic) >= 1),
    CONSTRAINT acme_inbox_offsets_partition_check CHECK (kafka_partition >= 0),
    CONSTRAINT acme_inbox_offsets_offset_check    CHECK (next_offset >= 0)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Postroom: how far a consumer that keeps its offsets beside its data has come';

-- What operators asked for; consumers look for it about every second. MySQL has no CREATE
-- INDEX IF NOT EXISTS, so it is made only where it is missing; it is found by its own
-- name, which no other installation's has.
SET @postroom_inbox_asked = IF(
    EXISTS (SELECT 1 FROM information_schema.statistics WHERE table_schema = database() AND index_name = 'acme_inbox_parked_asked_idx'),
    'DO 0', 'CREATE INDEX acme_inbox_parked_asked_idx ON `acme_inbox_parked` (consumer, state, seq)');
PREPARE postroom_inbox_asked FROM @postroom_inbox_asked;
EXECUTE postroom_inbox_asked;
DEALLOCATE PREPARE postroom_inbox_asked;

-- Tells Postroom that the tables above are there.
CREATE TABLE IF NOT EXISTS `acme_postroom_schema` (
    version    bigint       NOT NULL PRIMARY KEY,
    name       varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    applied_at datetime(6)  NOT NULL DEFAULT (utc_timestamp(6))
) ENGINE = InnoDB;

INSERT INTO `acme_postroom_schema` (version, name) VALUES (4, '00004_inbox_offsets.sql');
-- file 00005_inbox_replica.sql
-- +goose NO TRANSACTION
-- +goose Up

-- What replicas of other services' data remember. A consumer that keeps no replica
-- does without these tables.
--
-- Every statement can be run again, as in the first file.

-- A row for each key that a replica has seen: the gate that a change has to pass. It
-- stays when the replica's row is deleted, as a tombstone, so that a late older
-- version does not bring the row back.
CREATE TABLE IF NOT EXISTS `acme_inbox_replica_rows` (
    replica     varbinary(100) NOT NULL,
    -- The key's columns as text; of several columns a JSON array.
    row_key     varbinary(512) NOT NULL,
    -- The source's own number: only a higher one changes the row.
    version     bigint         NOT NULL,
    -- A tombstone, since then.
    deleted_at  datetime(6)    NULL,
    -- When a change or a backfill last spoke of the key, by this database's clock.
    applied_at  datetime(6)    NOT NULL DEFAULT (utc_timestamp(6)),
    -- The newest backfill that had the key; empty: none.
    run_id      char(36)       CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
    -- The batch that made the last change.
    claim_token char(36)       CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',

    PRIMARY KEY (replica, row_key),

    CONSTRAINT acme_inbox_replica_rows_replica_check CHECK (octet_length(replica) BETWEEN 1 AND 100),
    CONSTRAINT acme_inbox_replica_rows_row_key_check CHECK (octet_length(row_key) BETWEEN 1 AND 512),
    CONSTRAINT acme_inbox_replica_rows_version_check CHECK (version > 0)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Postroom: the version of each row of a replica, and tombstones of deleted ones';

-- Backfills that a replica has heard of.
CREATE TABLE IF NOT EXISTS `acme_inbox_replica_runs` (
    replica     varbinary(100) NOT NULL,
    run_id      char(36)       CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    -- Rows that the run sent, and its start by the source's clock: from its end marker.
    sent        bigint         NULL,
    started_at  datetime(6)    NULL,
    heard_at    datetime(6)    NOT NULL DEFAULT (utc_timestamp(6)),
    -- Every row has arrived, and what the source no longer has was removed.
    finished_at datetime(6)    NULL,

    PRIMARY KEY (replica, run_id),

    CONSTRAINT acme_inbox_replica_runs_replica_check CHECK (octet_length(replica) BETWEEN 1 AND 100),
    CONSTRAINT acme_inbox_replica_runs_run_id_check  CHECK (octet_length(run_id) BETWEEN 1 AND 36),
    CONSTRAINT acme_inbox_replica_runs_end_check     CHECK ((sent IS NULL) = (started_at IS NULL) AND (sent IS NULL OR sent >= 0))
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Postroom: backfills that a replica has heard of';

-- Tells Postroom that the tables above are there.
CREATE TABLE IF NOT EXISTS `acme_postroom_schema` (
    version    bigint       NOT NULL PRIMARY KEY,
    name       varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    applied_at datetime(6)  NOT NULL DEFAULT (utc_timestamp(6))
) ENGINE = InnoDB;

INSERT INTO `acme_postroom_schema` (version, name) VALUES (5, '00005_inbox_replica.sql');
-- file 00006_outbox_backfill.sql
-- +goose NO TRANSACTION
-- +goose Up

-- Runs of backfills: how far each has come. A chunk's events and its place here
-- are one transaction, so that a run that was killed goes on after its last chunk.
CREATE TABLE IF NOT EXISTS `acme_outbox_backfills` (
    -- A UUID of version 7: later runs have higher ones.
    run_id      char(36)       CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    -- What operators call it. One run of a name is under way at a time.
    name        varbinary(100) NOT NULL,
    -- 1 while the run is not finished, else NULL.
    running     smallint       NULL,
    -- The primary key of the last row that was sent, as a JSON value; NULL: none yet.
    position    text,
    chunks      bigint         NOT NULL DEFAULT 0,
    sent        bigint         NOT NULL DEFAULT 0,
    -- Rows per topic, a JSON object: what the end markers say.
    topics      text           NOT NULL,
    started_at  datetime(6)    NOT NULL DEFAULT (utc_timestamp(6)),
    finished_at datetime(6)    NULL,

    CONSTRAINT acme_outbox_backfills_name_key      UNIQUE (name, running),
    CONSTRAINT acme_outbox_backfills_name_check    CHECK (octet_length(name) BETWEEN 1 AND 100),
    CONSTRAINT acme_outbox_backfills_running_check CHECK (running = 1)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Postroom: runs of backfills, and how far each has come';

-- Tells Postroom that the tables above are there.
CREATE TABLE IF NOT EXISTS `acme_postroom_schema` (
    version    bigint       NOT NULL PRIMARY KEY,
    name       varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    applied_at datetime(6)  NOT NULL DEFAULT (utc_timestamp(6))
) ENGINE = InnoDB;

INSERT INTO `acme_postroom_schema` (version, name) VALUES (6, '00006_outbox_backfill.sql');
-- file 00008_inbox_groups.sql
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
    EXISTS (SELECT 1 FROM information_schema.table_constraints WHERE constraint_schema = database() AND constraint_name = 'acme_inbox_offsets_applied_check'),
    'DO 0', 'ALTER TABLE `acme_inbox_offsets`
    ADD COLUMN kafka_group    varbinary(1000) NULL,
    ADD COLUMN topic_id       varbinary(100)  NULL,
    ADD COLUMN applied_offset bigint          NULL,
    ADD CONSTRAINT acme_inbox_offsets_applied_check CHECK (applied_offset >= 0),
    COMMENT = ''Postroom: how far a consumer has come in a partition of Kafka, and in which group''');
PREPARE postroom_inbox_groups FROM @postroom_inbox_groups;
EXECUTE postroom_inbox_groups;
DEALLOCATE PREPARE postroom_inbox_groups;

-- Tells Postroom that the tables above are there.
CREATE TABLE IF NOT EXISTS `acme_postroom_schema` (
    version    bigint       NOT NULL PRIMARY KEY,
    name       varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    applied_at datetime(6)  NOT NULL DEFAULT (utc_timestamp(6))
) ENGINE = InnoDB;

INSERT INTO `acme_postroom_schema` (version, name) VALUES (8, '00008_inbox_groups.sql');
