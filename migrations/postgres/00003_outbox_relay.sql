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
