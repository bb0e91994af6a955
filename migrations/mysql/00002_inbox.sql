-- +goose NO TRANSACTION
-- +goose Up

-- Postroom's inbox, in the database of a service that consumes. It makes the
-- effect of a message happen once: the consumer inserts into inbox_events first,
-- in the transaction of its own work, and does nothing if the row is there.
--
-- Here each CREATE TABLE commits by itself. So every statement can be run again:
-- when this file stopped half-way, run it once more.
--
-- Limits need a strict sql_mode (the default): without it the server cuts ids to
-- their columns, and a new message would be dropped as a duplicate.

-- A row means: this consumer is done with this message.
CREATE TABLE IF NOT EXISTS inbox_events (
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
    KEY inbox_events_processed_at_idx (consumer, processed_at),

    CONSTRAINT inbox_events_consumer_check   CHECK (octet_length(consumer) BETWEEN 1 AND 100),
    CONSTRAINT inbox_events_message_id_check CHECK (octet_length(message_id) BETWEEN 1 AND 255),
    -- A position is whole or absent.
    CONSTRAINT inbox_events_position_check   CHECK ((kafka_topic IS NULL) = (kafka_partition IS NULL) AND (kafka_topic IS NULL) = (kafka_offset IS NULL))
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Postroom: messages that a consumer is done with';

-- Attempts that failed or are under way. Apart from inbox_events, since a row
-- there means done: a count kept there would make a redelivery look like a duplicate.
CREATE TABLE IF NOT EXISTS inbox_attempts (
    consumer    varbinary(100) NOT NULL,
    message_id  varbinary(255) NOT NULL,
    attempts    int            NOT NULL DEFAULT 0,
    last_error  text           CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT (''),
    -- The start of the last attempt.
    started_at  datetime(6)    NOT NULL DEFAULT (utc_timestamp(6)),

    PRIMARY KEY (consumer, message_id),

    CONSTRAINT inbox_attempts_consumer_check   CHECK (octet_length(consumer) BETWEEN 1 AND 100),
    CONSTRAINT inbox_attempts_message_id_check CHECK (octet_length(message_id) BETWEEN 1 AND 255),
    CONSTRAINT inbox_attempts_attempts_check   CHECK (attempts >= 0)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Postroom: attempts at messages that a consumer is not done with';

-- Keys that stand still because a message of theirs is parked. Whoever parks or
-- replays locks the row, so that no message is parked behind nothing.
CREATE TABLE IF NOT EXISTS inbox_blocked (
    consumer    varbinary(100) NOT NULL,
    -- 249 characters of up to 4 bytes.
    topic       varbinary(996) NOT NULL,
    event_key   varbinary(512) NOT NULL,

    PRIMARY KEY (consumer, topic, event_key),

    CONSTRAINT inbox_blocked_consumer_check CHECK (octet_length(consumer) BETWEEN 1 AND 100),
    CONSTRAINT inbox_blocked_topic_check    CHECK (octet_length(topic) >= 1)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Postroom: keys whose messages wait behind a parked one';

-- Messages that a consumer gave up, and the later ones of their keys.
CREATE TABLE IF NOT EXISTS inbox_parked (
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
    KEY inbox_parked_key_idx (consumer, topic, event_key, seq),

    CONSTRAINT inbox_parked_consumer_check   CHECK (octet_length(consumer) BETWEEN 1 AND 100),
    CONSTRAINT inbox_parked_message_id_check CHECK (octet_length(message_id) BETWEEN 1 AND 255),
    CONSTRAINT inbox_parked_headers_check    CHECK (json_type(headers) = 'OBJECT'),
    CONSTRAINT inbox_parked_position_check   CHECK ((kafka_topic IS NULL) = (kafka_partition IS NULL) AND (kafka_topic IS NULL) = (kafka_offset IS NULL)),
    CONSTRAINT inbox_parked_attempts_check   CHECK (attempts >= 0),
    CONSTRAINT inbox_parked_state_check      CHECK (state IN ('failed', 'blocked', 'retry', 'drop'))
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Postroom: messages that a consumer gave up, and later ones of their keys';
