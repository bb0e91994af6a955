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
