-- +goose Up

-- Postroom's inbox, in the database of a service that consumes. It makes the
-- effect of a message happen once: the consumer inserts into inbox_events first,
-- in the transaction of its own work, and does nothing if the row is there.

-- A row means: this consumer is done with this message.
CREATE TABLE inbox_events (
    -- The handler's name, not the Kafka group's.
    consumer        TEXT    COLLATE BINARY NOT NULL,
    -- The producer's event id. Compared by bytes: a collation that takes `ABC` and
    -- `abc` for the same id would drop a new message as a duplicate.
    message_id      TEXT    COLLATE BINARY NOT NULL,

    -- Where the message was read, if it came from Kafka. Purging compares them
    -- with the committed offsets.
    kafka_topic     TEXT    COLLATE BINARY,
    kafka_partition INTEGER,
    kafka_offset    INTEGER,

    -- UTC, RFC 3339 with six digits, always 27 characters: so it sorts as text.
    processed_at    TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'),

    PRIMARY KEY (consumer, message_id),

    -- typeof(): the text `a` and the blob `a` would be two ids.
    CONSTRAINT inbox_events_consumer_check   CHECK (typeof(consumer) = 'text' AND length(CAST(consumer AS BLOB)) BETWEEN 1 AND 100),
    CONSTRAINT inbox_events_message_id_check CHECK (typeof(message_id) = 'text' AND length(CAST(message_id AS BLOB)) BETWEEN 1 AND 255),
    -- A position is whole or absent.
    CONSTRAINT inbox_events_position_check   CHECK ((kafka_topic IS NULL) = (kafka_partition IS NULL) AND (kafka_topic IS NULL) = (kafka_offset IS NULL))
) WITHOUT ROWID;

-- For purging by age. New entries go to its end, which is cheap.
CREATE INDEX inbox_events_processed_at_idx ON inbox_events (consumer, processed_at);

-- Attempts that failed or are under way. Apart from inbox_events, since a row
-- there means done: a count kept there would make a redelivery look like a duplicate.
CREATE TABLE inbox_attempts (
    consumer    TEXT    COLLATE BINARY NOT NULL,
    message_id  TEXT    COLLATE BINARY NOT NULL,
    attempts    INTEGER NOT NULL DEFAULT 0,
    last_error  TEXT    NOT NULL DEFAULT '',
    -- The start of the last attempt.
    started_at  TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'),

    PRIMARY KEY (consumer, message_id),

    CONSTRAINT inbox_attempts_consumer_check   CHECK (typeof(consumer) = 'text' AND length(CAST(consumer AS BLOB)) BETWEEN 1 AND 100),
    CONSTRAINT inbox_attempts_message_id_check CHECK (typeof(message_id) = 'text' AND length(CAST(message_id AS BLOB)) BETWEEN 1 AND 255),
    CONSTRAINT inbox_attempts_attempts_check   CHECK (typeof(attempts) = 'integer' AND attempts >= 0)
) WITHOUT ROWID;

-- Keys that stand still because a message of theirs is parked. Whoever parks or
-- replays writes the row, so that no message is parked behind nothing.
CREATE TABLE inbox_blocked (
    consumer    TEXT COLLATE BINARY NOT NULL,
    topic       TEXT COLLATE BINARY NOT NULL,
    event_key   TEXT COLLATE BINARY NOT NULL,

    PRIMARY KEY (consumer, topic, event_key),

    CONSTRAINT inbox_blocked_consumer_check  CHECK (typeof(consumer) = 'text' AND length(CAST(consumer AS BLOB)) BETWEEN 1 AND 100),
    CONSTRAINT inbox_blocked_topic_check     CHECK (typeof(topic) = 'text' AND length(topic) BETWEEN 1 AND 249),
    CONSTRAINT inbox_blocked_event_key_check CHECK (typeof(event_key) = 'text' AND length(CAST(event_key AS BLOB)) <= 512)
) WITHOUT ROWID;

-- Messages that a consumer gave up, and the later ones of their keys.
CREATE TABLE inbox_parked (
    -- The order in which messages were parked, and are replayed.
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,

    consumer        TEXT    COLLATE BINARY NOT NULL,
    message_id      TEXT    COLLATE BINARY NOT NULL,

    topic           TEXT    COLLATE BINARY NOT NULL,
    event_key       TEXT    COLLATE BINARY,
    event_type      TEXT    NOT NULL DEFAULT '',
    headers         TEXT    NOT NULL DEFAULT '{}',
    payload         BLOB,
    kafka_topic     TEXT    COLLATE BINARY,
    kafka_partition INTEGER,
    kafka_offset    INTEGER,

    attempts        INTEGER NOT NULL DEFAULT 0,
    error           TEXT    NOT NULL DEFAULT '',
    parked_at       TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'),
    -- failed: gave up on it. blocked: waits behind one of its key. retry, drop: asked for by an operator.
    state           TEXT    NOT NULL DEFAULT 'failed',

    CONSTRAINT inbox_parked_consumer_check   CHECK (typeof(consumer) = 'text' AND length(CAST(consumer AS BLOB)) BETWEEN 1 AND 100),
    CONSTRAINT inbox_parked_message_id_check CHECK (typeof(message_id) = 'text' AND length(CAST(message_id AS BLOB)) BETWEEN 1 AND 255),
    CONSTRAINT inbox_parked_headers_check    CHECK (json_valid(headers) AND json_type(headers) = 'object'),
    CONSTRAINT inbox_parked_position_check   CHECK ((kafka_topic IS NULL) = (kafka_partition IS NULL) AND (kafka_topic IS NULL) = (kafka_offset IS NULL)),
    CONSTRAINT inbox_parked_attempts_check   CHECK (typeof(attempts) = 'integer' AND attempts >= 0),
    CONSTRAINT inbox_parked_state_check      CHECK (state IN ('failed', 'blocked', 'retry', 'drop'))
);

-- The replay of one key in order.
CREATE INDEX inbox_parked_key_idx ON inbox_parked (consumer, topic, event_key, seq);
