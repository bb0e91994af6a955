-- +goose NO TRANSACTION
-- +goose Up

-- Postroom's outbox, for MySQL 8.0.16 and MariaDB 10.6 and later. A row in
-- outbox_events is an event that was not delivered yet: services insert rows in
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

CREATE TABLE IF NOT EXISTS outbox_events (
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
    CONSTRAINT outbox_events_event_id_check   CHECK (event_id REGEXP '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'),
    CONSTRAINT outbox_events_topic_check      CHECK (char_length(topic) BETWEEN 1 AND 249),
    CONSTRAINT outbox_events_event_key_check  CHECK (octet_length(event_key) <= 512),
    CONSTRAINT outbox_events_event_type_check CHECK (char_length(event_type) <= 255),
    CONSTRAINT outbox_events_payload_check    CHECK (octet_length(payload) <= 16777216),
    CONSTRAINT outbox_events_headers_check    CHECK (json_type(headers) = 'OBJECT' AND octet_length(headers) <= 16384),
    -- Keeps out the zero date.
    CONSTRAINT outbox_events_created_at_check CHECK (created_at >= '1970-01-01 00:00:00')
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Postroom: events that were not delivered yet';

-- Events that the sink refused for good, and the later ones of their keys that
-- wait behind them ("dead letters"). Only the relay that owns the source moves
-- rows here and back; people set state to retry or drop.
CREATE TABLE IF NOT EXISTS outbox_parked (
    -- The order in which rows were parked, and are replayed.
    seq         bigint       NOT NULL AUTO_INCREMENT,

    -- The event as it stood in outbox_events, with its id there.
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
    KEY outbox_parked_key_idx (topic, event_key, seq),

    CONSTRAINT outbox_parked_attempts_check  CHECK (attempts >= 0),
    CONSTRAINT outbox_parked_state_check     CHECK (state IN ('failed', 'blocked', 'retry', 'drop')),
    CONSTRAINT outbox_parked_overtaken_check CHECK (overtaken IN (0, 1))
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Postroom: events that the broker refused, and later ones of their keys';

-- Who relays this outbox, until when, by this database's clock. One row, and
-- the relay never inserts or deletes it.
CREATE TABLE IF NOT EXISTS outbox_leases (
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

    CONSTRAINT outbox_leases_id_check     CHECK (id = 1),
    CONSTRAINT outbox_leases_source_check CHECK (char_length(source) >= 1),
    CONSTRAINT outbox_leases_owner_check  CHECK (char_length(owner) >= 1),
    CONSTRAINT outbox_leases_epoch_check  CHECK (epoch >= 0),
    CONSTRAINT outbox_leases_mode_check   CHECK (mode IN ('at-least-once', 'exactly-once')),
    CONSTRAINT outbox_leases_hints_check  CHECK (json_type(hints) = 'OBJECT')
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Postroom: the one row that says which relay owns this outbox';

INSERT INTO outbox_leases (id) SELECT 1 FROM (SELECT 1) AS one WHERE NOT EXISTS (SELECT 1 FROM outbox_leases);

-- Rows to lock, for writers that use StrictKeyOrder: a key's hash chooses the slot.
-- There are no advisory locks here that end with a transaction.
CREATE TABLE IF NOT EXISTS outbox_key_locks (
    slot int NOT NULL,
    PRIMARY KEY (slot)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Postroom: 1,024 rows that writers lock to keep a key in order';

-- 0 to 1,023: five digits to the base of four. A recursive query would stop at 1,000.
INSERT INTO outbox_key_locks (slot)
SELECT a.n + 4 * b.n + 16 * c.n + 64 * d.n + 256 * e.n
FROM (SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS a
CROSS JOIN (SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS b
CROSS JOIN (SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS c
CROSS JOIN (SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS d
CROSS JOIN (SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS e
WHERE NOT EXISTS (SELECT 1 FROM outbox_key_locks);
