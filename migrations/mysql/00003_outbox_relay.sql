-- +goose NO TRANSACTION
-- +goose Up

-- What the relay needs beyond delivering: scheduled events, the archive, the list
-- of live relay processes, and the record of what operators dropped. A relay runs
-- without these tables too, with the features off that need them.
--
-- Every statement can be run again, as in the first file.

-- Events to deliver at a time to come. The relay moves a row to outbox_events when it
-- is due, in one transaction; until then whoever wrote it may delete it again. They do
-- not wait in outbox_events, because there each read would step over them.
CREATE TABLE IF NOT EXISTS outbox_scheduled (
    -- Of rows due at the same time, the order in which they were written.
    seq         bigint       NOT NULL AUTO_INCREMENT,

    -- The event, with the defaults and the limits of outbox_events: a row that could
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
    -- UNIQUE here, unlike in outbox_events: cancelling finds a row by it, and means one.
    UNIQUE KEY outbox_scheduled_event_id_key (event_id),
    -- "What is due?", in the order in which it is moved.
    KEY outbox_scheduled_due_idx (deliver_at, seq),

    CONSTRAINT outbox_scheduled_event_id_check   CHECK (event_id REGEXP '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'),
    CONSTRAINT outbox_scheduled_topic_check      CHECK (char_length(topic) BETWEEN 1 AND 249),
    CONSTRAINT outbox_scheduled_event_key_check  CHECK (octet_length(event_key) <= 512),
    CONSTRAINT outbox_scheduled_event_type_check CHECK (char_length(event_type) <= 255),
    CONSTRAINT outbox_scheduled_payload_check    CHECK (octet_length(payload) <= 16777216),
    CONSTRAINT outbox_scheduled_headers_check    CHECK (json_type(headers) = 'OBJECT' AND octet_length(headers) <= 16384),
    -- Keep out the zero date.
    CONSTRAINT outbox_scheduled_created_at_check CHECK (created_at >= '1970-01-01 00:00:00'),
    CONSTRAINT outbox_scheduled_deliver_at_check CHECK (deliver_at >= '1970-01-01 00:00:00')
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Postroom: events to deliver later; the relay moves a row when it is due';

-- Events that were delivered, where an operator asked for them to be kept. The relay
-- writes a row in the transaction that deletes it from outbox_events.
CREATE TABLE IF NOT EXISTS outbox_archive (
    -- The order in which rows were archived: roughly that of their delivery.
    seq             bigint       NOT NULL AUTO_INCREMENT,

    -- The event as it stood in outbox_events, with its id there.
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
    KEY outbox_archive_delivered_at_idx (delivered_at),
    KEY outbox_archive_event_id_idx (event_id),
    KEY outbox_archive_key_idx (topic, event_key),

    -- A position is whole or absent.
    CONSTRAINT outbox_archive_position_check CHECK ((kafka_partition IS NULL) = (kafka_offset IS NULL))
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Postroom: events that were delivered, kept for a time if the relay is told to';

-- The relay processes that are alive, so that they can share the sources evenly. Each
-- renews its row; one that was not renewed for some lease times counts for nothing.
-- Who owns a source is never decided here, but in outbox_leases.
CREATE TABLE IF NOT EXISTS outbox_relays (
    -- A fresh random id per process.
    relay_id    char(36)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    host        varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
    -- How many sources, in all databases, the process owns now.
    owned       int          NOT NULL DEFAULT 0,
    seen_at     datetime(6)  NOT NULL DEFAULT (utc_timestamp(6)),

    PRIMARY KEY (relay_id),

    CONSTRAINT outbox_relays_owned_check CHECK (owned >= 0)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Postroom: the relay processes that are alive';

-- What operators dropped from outbox_parked: the proof that an event was not lost, but
-- given up by someone. Without the payload, which may be why it had to go.
CREATE TABLE IF NOT EXISTS outbox_drops (
    seq         bigint       NOT NULL AUTO_INCREMENT,

    -- The event's id in outbox_events, and what it is known by elsewhere.
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
    EXISTS (SELECT 1 FROM information_schema.statistics WHERE table_schema = database() AND index_name = 'outbox_parked_asked_idx'),
    'DO 0', 'CREATE INDEX outbox_parked_asked_idx ON outbox_parked (state, seq)');
PREPARE postroom_asked FROM @postroom_asked;
EXECUTE postroom_asked;
DEALLOCATE PREPARE postroom_asked;
