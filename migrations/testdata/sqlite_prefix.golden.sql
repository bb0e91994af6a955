-- file 00001_outbox.sql
-- +goose Up

-- Postroom's outbox, for SQLite 3.35 and later. A row in acme_outbox_events is an
-- event that was not delivered yet: services insert rows in their own
-- transactions, the relay reads them, publishes them, and deletes exactly those
-- that the broker acknowledged.
--
-- The names are defaults. Postroom rewrites them for a prefix;
-- `relay migrate print` shows the result.
--
-- SQLite keeps any type in any column, so the CHECKs look at typeof() too. Text
-- compares by bytes (BINARY, the default, written out where it matters).

CREATE TABLE "acme_outbox_events" (
    -- Handed out at INSERT. Leave it out of the INSERT: SQLite would take an id of
    -- yours, and the relay could deliver events of a key out of order. AUTOINCREMENT,
    -- so that the id of a deleted row never comes back.
    id          INTEGER PRIMARY KEY AUTOINCREMENT,

    -- What consumers recognise a duplicate by; a UUID in lower case, by default a
    -- random one (version 4). Not UNIQUE on purpose: a second index would cost every
    -- writer, a replay may send an event again, and copies are dropped where it
    -- counts, in the consumer's inbox.
    event_id    TEXT    NOT NULL DEFAULT (lower(
                            hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' ||
                            substr('89ab', (random() & 3) + 1, 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),

    topic       TEXT    COLLATE BINARY NOT NULL,

    -- Order is kept within (topic, event_key); NULL: in no order.
    event_key   TEXT    COLLATE BINARY,

    event_type  TEXT    NOT NULL DEFAULT '',

    -- NULL is a tombstone: a record without a value. Text is sent as its bytes.
    payload     BLOB,

    headers     TEXT    NOT NULL DEFAULT '{}',

    -- UTC, RFC 3339 with six digits, always 27 characters: so it sorts as text.
    -- SQLite's clock has milliseconds.
    created_at  TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'),

    -- The limits stand here and not only in the library, so that an event that
    -- cannot be sent fails in its own transaction, whoever wrote it.
    CONSTRAINT acme_outbox_events_event_id_check   CHECK (typeof(event_id) = 'text'
        AND event_id GLOB replace('xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx', 'x', '[0-9a-f]')),
    -- instr(): length() counts only up to a NUL.
    CONSTRAINT acme_outbox_events_topic_check      CHECK (typeof(topic) = 'text' AND length(topic) BETWEEN 1 AND 249 AND instr(topic, char(0)) = 0),
    CONSTRAINT acme_outbox_events_event_key_check  CHECK (typeof(event_key) IN ('text', 'null') AND length(CAST(event_key AS BLOB)) <= 512),
    CONSTRAINT acme_outbox_events_event_type_check CHECK (typeof(event_type) = 'text' AND length(event_type) <= 255 AND instr(event_type, char(0)) = 0),
    CONSTRAINT acme_outbox_events_payload_check    CHECK (typeof(payload) IN ('blob', 'text', 'null') AND length(CAST(payload AS BLOB)) <= 16777216),
    CONSTRAINT acme_outbox_events_headers_check    CHECK (typeof(headers) = 'text' AND length(CAST(headers AS BLOB)) <= 16384
        AND json_valid(headers) AND json_type(headers) = 'object'),
    CONSTRAINT acme_outbox_events_created_at_check CHECK (typeof(created_at) = 'text'
        AND created_at GLOB replace('xxxx-xx-xxTxx:xx:xx.xxxxxxZ', 'x', '[0-9]')
        AND strftime('%Y-%m-%dT%H:%M:%S', created_at) IS substr(created_at, 1, 19))
);

-- Events that the sink refused for good, and the later ones of their keys that
-- wait behind them ("dead letters"). Only the relay that owns the source moves
-- rows here and back; people set state to retry or drop.
CREATE TABLE "acme_outbox_parked" (
    -- The order in which rows were parked, and are replayed.
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,

    -- The event as it stood in acme_outbox_events, with its id there.
    id          INTEGER NOT NULL,
    event_id    TEXT    NOT NULL,
    topic       TEXT    COLLATE BINARY NOT NULL,
    event_key   TEXT    COLLATE BINARY,
    event_type  TEXT    NOT NULL,
    payload     BLOB,
    headers     TEXT    NOT NULL,
    created_at  TEXT    NOT NULL,

    attempts    INTEGER NOT NULL DEFAULT 0,
    error       TEXT    NOT NULL DEFAULT '',
    parked_at   TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'),

    -- failed: refused itself. blocked: waits behind a refused one of its key.
    -- retry, drop: what an operator asked for; the relay does it and deletes the row.
    state       TEXT    NOT NULL DEFAULT 'failed',

    -- 1: later events of the key were delivered before this one.
    overtaken   INTEGER NOT NULL DEFAULT 0,

    CONSTRAINT acme_outbox_parked_attempts_check  CHECK (typeof(attempts) = 'integer' AND attempts >= 0),
    CONSTRAINT acme_outbox_parked_state_check     CHECK (state IN ('failed', 'blocked', 'retry', 'drop')),
    CONSTRAINT acme_outbox_parked_overtaken_check CHECK (overtaken IN (0, 1))
);

-- "Is this key blocked?", and the replay of one key in order.
CREATE INDEX acme_outbox_parked_key_idx ON "acme_outbox_parked" (topic, event_key, seq);

-- Who relays this outbox, until when, by this machine's clock. One row, and the
-- relay never inserts or deletes it.
CREATE TABLE "acme_outbox_leases" (
    -- One row per outbox: two rows would be two owners, that is, duplicates.
    id          INTEGER NOT NULL DEFAULT 1 PRIMARY KEY,

    -- The source's name. The first relay sets it; one with another name is refused.
    source      TEXT,

    -- The source's identity, made once. Kafka's transactional id contains it:
    -- names repeat between services, this does not. A copied database needs a new one.
    source_id   TEXT    NOT NULL DEFAULT (lower(
                            hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' ||
                            substr('89ab', (random() & 3) + 1, 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),

    -- A fresh random id per claim, and the number of claims so far. Every delete
    -- of the relay checks both, so that an owner whose lease was taken changes nothing.
    owner       TEXT,
    epoch       INTEGER NOT NULL DEFAULT 0,
    -- RFC 3339 as in acme_outbox_events.created_at.
    expires_at  TEXT,

    -- The mode that the source was last relayed in; NULL before the first claim.
    mode        TEXT,

    -- Where to start reading. Never the truth: losing it costs time only.
    hints       TEXT    NOT NULL DEFAULT '{}',

    CONSTRAINT acme_outbox_leases_id_check        CHECK (id = 1),
    CONSTRAINT acme_outbox_leases_source_check    CHECK (length(source) BETWEEN 1 AND 249),
    CONSTRAINT acme_outbox_leases_source_id_check CHECK (source_id GLOB replace('xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx', 'x', '[0-9a-f]')),
    CONSTRAINT acme_outbox_leases_owner_check     CHECK (length(owner) BETWEEN 1 AND 255),
    CONSTRAINT acme_outbox_leases_epoch_check     CHECK (typeof(epoch) = 'integer' AND epoch >= 0),
    CONSTRAINT acme_outbox_leases_mode_check      CHECK (mode IN ('at-least-once', 'exactly-once')),
    CONSTRAINT acme_outbox_leases_hints_check     CHECK (json_valid(hints) AND json_type(hints) = 'object')
);

INSERT INTO "acme_outbox_leases" (id) VALUES (1);

-- Tells Postroom that the tables above are there.
CREATE TABLE IF NOT EXISTS "acme_postroom_schema" (
    version    INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z')
);

INSERT INTO "acme_postroom_schema" (version, name) VALUES (1, '00001_outbox.sql');
-- file 00002_inbox.sql
-- +goose Up

-- Postroom's inbox, in the database of a service that consumes. It makes the
-- effect of a message happen once: the consumer inserts into acme_inbox_events first,
-- in the transaction of its own work, and does nothing if the row is there.

-- A row means: this consumer is done with this message.
CREATE TABLE "acme_inbox_events" (
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
    CONSTRAINT acme_inbox_events_consumer_check   CHECK (typeof(consumer) = 'text' AND length(CAST(consumer AS BLOB)) BETWEEN 1 AND 100),
    CONSTRAINT acme_inbox_events_message_id_check CHECK (typeof(message_id) = 'text' AND length(CAST(message_id AS BLOB)) BETWEEN 1 AND 255),
    -- A position is whole or absent.
    CONSTRAINT acme_inbox_events_position_check   CHECK ((kafka_topic IS NULL) = (kafka_partition IS NULL) AND (kafka_topic IS NULL) = (kafka_offset IS NULL))
) WITHOUT ROWID;

-- For purging by age. New entries go to its end, which is cheap.
CREATE INDEX acme_inbox_events_processed_at_idx ON "acme_inbox_events" (consumer, processed_at);

-- Attempts that failed or are under way. Apart from acme_inbox_events, since a row
-- there means done: a count kept there would make a redelivery look like a duplicate.
CREATE TABLE "acme_inbox_attempts" (
    consumer    TEXT    COLLATE BINARY NOT NULL,
    message_id  TEXT    COLLATE BINARY NOT NULL,
    attempts    INTEGER NOT NULL DEFAULT 0,
    last_error  TEXT    NOT NULL DEFAULT '',
    -- The start of the last attempt.
    started_at  TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'),

    PRIMARY KEY (consumer, message_id),

    CONSTRAINT acme_inbox_attempts_consumer_check   CHECK (typeof(consumer) = 'text' AND length(CAST(consumer AS BLOB)) BETWEEN 1 AND 100),
    CONSTRAINT acme_inbox_attempts_message_id_check CHECK (typeof(message_id) = 'text' AND length(CAST(message_id AS BLOB)) BETWEEN 1 AND 255),
    CONSTRAINT acme_inbox_attempts_attempts_check   CHECK (typeof(attempts) = 'integer' AND attempts >= 0)
) WITHOUT ROWID;

-- Keys that stand still because a message of theirs is parked. Whoever parks or
-- replays writes the row, so that no message is parked behind nothing.
CREATE TABLE "acme_inbox_blocked" (
    consumer    TEXT COLLATE BINARY NOT NULL,
    topic       TEXT COLLATE BINARY NOT NULL,
    event_key   TEXT COLLATE BINARY NOT NULL,

    PRIMARY KEY (consumer, topic, event_key),

    CONSTRAINT acme_inbox_blocked_consumer_check  CHECK (typeof(consumer) = 'text' AND length(CAST(consumer AS BLOB)) BETWEEN 1 AND 100),
    CONSTRAINT acme_inbox_blocked_topic_check     CHECK (typeof(topic) = 'text' AND length(topic) BETWEEN 1 AND 249),
    CONSTRAINT acme_inbox_blocked_event_key_check CHECK (typeof(event_key) = 'text' AND length(CAST(event_key AS BLOB)) <= 512)
) WITHOUT ROWID;

-- Messages that a consumer gave up, and the later ones of their keys.
CREATE TABLE "acme_inbox_parked" (
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

    CONSTRAINT acme_inbox_parked_consumer_check   CHECK (typeof(consumer) = 'text' AND length(CAST(consumer AS BLOB)) BETWEEN 1 AND 100),
    CONSTRAINT acme_inbox_parked_message_id_check CHECK (typeof(message_id) = 'text' AND length(CAST(message_id AS BLOB)) BETWEEN 1 AND 255),
    CONSTRAINT acme_inbox_parked_headers_check    CHECK (json_valid(headers) AND json_type(headers) = 'object'),
    CONSTRAINT acme_inbox_parked_position_check   CHECK ((kafka_topic IS NULL) = (kafka_partition IS NULL) AND (kafka_topic IS NULL) = (kafka_offset IS NULL)),
    CONSTRAINT acme_inbox_parked_attempts_check   CHECK (typeof(attempts) = 'integer' AND attempts >= 0),
    CONSTRAINT acme_inbox_parked_state_check      CHECK (state IN ('failed', 'blocked', 'retry', 'drop'))
);

-- The replay of one key in order.
CREATE INDEX acme_inbox_parked_key_idx ON "acme_inbox_parked" (consumer, topic, event_key, seq);

-- Tells Postroom that the tables above are there.
CREATE TABLE IF NOT EXISTS "acme_postroom_schema" (
    version    INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z')
);

INSERT INTO "acme_postroom_schema" (version, name) VALUES (2, '00002_inbox.sql');
-- file 00003_outbox_relay.sql
-- +goose Up

-- What the relay needs beyond delivering: scheduled events, the archive, the list
-- of live relay processes, and the record of what operators dropped. A relay runs
-- without these tables too, with the features off that need them.

-- Events to deliver at a time to come. The relay moves a row to acme_outbox_events when it
-- is due, in one transaction; until then whoever wrote it may delete it again. They do
-- not wait in acme_outbox_events, because there each read would step over them.
CREATE TABLE "acme_outbox_scheduled" (
    -- Of rows due at the same time, the order in which they were written.
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,

    -- The event, with the defaults and the limits of acme_outbox_events: a row that could
    -- not be moved fails in the transaction that writes it.
    event_id    TEXT    NOT NULL DEFAULT (lower(
                            hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' ||
                            substr('89ab', (random() & 3) + 1, 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),
    topic       TEXT    COLLATE BINARY NOT NULL,
    event_key   TEXT    COLLATE BINARY,
    event_type  TEXT    NOT NULL DEFAULT '',
    payload     BLOB,
    headers     TEXT    NOT NULL DEFAULT '{}',
    created_at  TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'),

    -- Not before this time, by this machine's clock. Written as created_at is, so that
    -- it sorts as text.
    deliver_at  TEXT    NOT NULL,

    -- UNIQUE here, unlike in acme_outbox_events: cancelling finds a row by it, and means one.
    CONSTRAINT acme_outbox_scheduled_event_id_key     UNIQUE (event_id),
    CONSTRAINT acme_outbox_scheduled_event_id_check   CHECK (typeof(event_id) = 'text'
        AND event_id GLOB replace('xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx', 'x', '[0-9a-f]')),
    CONSTRAINT acme_outbox_scheduled_topic_check      CHECK (typeof(topic) = 'text' AND length(topic) BETWEEN 1 AND 249 AND instr(topic, char(0)) = 0),
    CONSTRAINT acme_outbox_scheduled_event_key_check  CHECK (typeof(event_key) IN ('text', 'null') AND length(CAST(event_key AS BLOB)) <= 512),
    CONSTRAINT acme_outbox_scheduled_event_type_check CHECK (typeof(event_type) = 'text' AND length(event_type) <= 255 AND instr(event_type, char(0)) = 0),
    CONSTRAINT acme_outbox_scheduled_payload_check    CHECK (typeof(payload) IN ('blob', 'text', 'null') AND length(CAST(payload AS BLOB)) <= 16777216),
    CONSTRAINT acme_outbox_scheduled_headers_check    CHECK (typeof(headers) = 'text' AND length(CAST(headers AS BLOB)) <= 16384
        AND json_valid(headers) AND json_type(headers) = 'object'),
    CONSTRAINT acme_outbox_scheduled_created_at_check CHECK (typeof(created_at) = 'text'
        AND created_at GLOB replace('xxxx-xx-xxTxx:xx:xx.xxxxxxZ', 'x', '[0-9]')
        AND strftime('%Y-%m-%dT%H:%M:%S', created_at) IS substr(created_at, 1, 19)),
    CONSTRAINT acme_outbox_scheduled_deliver_at_check CHECK (typeof(deliver_at) = 'text'
        AND deliver_at GLOB replace('xxxx-xx-xxTxx:xx:xx.xxxxxxZ', 'x', '[0-9]')
        AND strftime('%Y-%m-%dT%H:%M:%S', deliver_at) IS substr(deliver_at, 1, 19))
);

-- "What is due?", in the order in which it is moved.
CREATE INDEX acme_outbox_scheduled_due_idx ON "acme_outbox_scheduled" (deliver_at, seq);

-- Events that were delivered, where an operator asked for them to be kept. The relay
-- writes a row in the transaction that deletes it from acme_outbox_events.
CREATE TABLE "acme_outbox_archive" (
    -- The order in which rows were archived: roughly that of their delivery.
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,

    -- The event as it stood in acme_outbox_events, with its id there.
    id              INTEGER NOT NULL,
    event_id        TEXT    NOT NULL,
    topic           TEXT    COLLATE BINARY NOT NULL,
    event_key       TEXT    COLLATE BINARY,
    event_type      TEXT    NOT NULL,
    payload         BLOB,
    headers         TEXT    NOT NULL,
    created_at      TEXT    NOT NULL,

    -- Where the broker put it; NULL where the sink does not say.
    kafka_partition INTEGER,
    kafka_offset    INTEGER,
    delivered_at    TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'),

    -- A position is whole or absent.
    CONSTRAINT acme_outbox_archive_position_check CHECK ((kafka_partition IS NULL) = (kafka_offset IS NULL))
);

-- Purging and replaying by time, finding an event, replaying a key.
CREATE INDEX acme_outbox_archive_delivered_at_idx ON "acme_outbox_archive" (delivered_at);
CREATE INDEX acme_outbox_archive_event_id_idx ON "acme_outbox_archive" (event_id);
CREATE INDEX acme_outbox_archive_key_idx ON "acme_outbox_archive" (topic, event_key);

-- The relay processes that are alive, so that they can share the sources evenly. Each
-- renews its row; one that was not renewed for some lease times counts for nothing.
-- Who owns a source is never decided here, but in acme_outbox_leases.
CREATE TABLE "acme_outbox_relays" (
    -- A fresh random id per process.
    relay_id    TEXT    NOT NULL PRIMARY KEY,
    host        TEXT    NOT NULL DEFAULT '',
    -- How many sources, in all databases, the process owns now.
    owned       INTEGER NOT NULL DEFAULT 0,
    seen_at     TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'),

    CONSTRAINT acme_outbox_relays_relay_id_check CHECK (typeof(relay_id) = 'text'
        AND relay_id GLOB replace('xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx', 'x', '[0-9a-f]')),
    CONSTRAINT acme_outbox_relays_host_check     CHECK (typeof(host) = 'text' AND length(host) <= 255),
    CONSTRAINT acme_outbox_relays_owned_check    CHECK (typeof(owned) = 'integer' AND owned >= 0)
);

-- What operators dropped from acme_outbox_parked: the proof that an event was not lost, but
-- given up by someone. Without the payload, which may be why it had to go.
CREATE TABLE "acme_outbox_drops" (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,

    -- The event's id in acme_outbox_events, and what it is known by elsewhere.
    id          INTEGER NOT NULL,
    event_id    TEXT    NOT NULL,
    topic       TEXT    COLLATE BINARY NOT NULL,
    event_key   TEXT    COLLATE BINARY,

    -- Why it had been parked.
    error       TEXT    NOT NULL DEFAULT '',
    dropped_at  TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z')
);

-- "Did an operator ask for something?", which the relay's owner looks for all the
-- time: an index of those rows alone is nearly always empty.
CREATE INDEX acme_outbox_parked_asked_idx ON "acme_outbox_parked" (seq) WHERE state IN ('retry', 'drop');

-- Tells Postroom that the tables above are there.
CREATE TABLE IF NOT EXISTS "acme_postroom_schema" (
    version    INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z')
);

INSERT INTO "acme_postroom_schema" (version, name) VALUES (3, '00003_outbox_relay.sql');
-- file 00004_inbox_offsets.sql
-- +goose Up

-- How far a consumer is in each partition, for consumers that keep their offsets beside
-- their data: moved in the transaction of the handler's own writes.
CREATE TABLE "acme_inbox_offsets" (
    consumer        TEXT    COLLATE BINARY NOT NULL,
    kafka_topic     TEXT    COLLATE BINARY NOT NULL,
    kafka_partition INTEGER NOT NULL,
    -- The next message to handle; NULL: none was handled yet.
    next_offset     INTEGER,
    -- Counted up by each member of the group that takes the partition over.
    epoch           INTEGER NOT NULL,
    updated_at      TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'),

    PRIMARY KEY (consumer, kafka_topic, kafka_partition),

    CONSTRAINT acme_inbox_offsets_consumer_check  CHECK (typeof(consumer) = 'text' AND length(CAST(consumer AS BLOB)) BETWEEN 1 AND 100),
    CONSTRAINT acme_inbox_offsets_topic_check     CHECK (typeof(kafka_topic) = 'text' AND length(kafka_topic) BETWEEN 1 AND 249),
    CONSTRAINT acme_inbox_offsets_partition_check CHECK (typeof(kafka_partition) = 'integer' AND kafka_partition >= 0),
    CONSTRAINT acme_inbox_offsets_offset_check    CHECK (next_offset IS NULL OR (typeof(next_offset) = 'integer' AND next_offset >= 0))
) WITHOUT ROWID;

-- What operators asked for; consumers look for it about every second.
CREATE INDEX acme_inbox_parked_asked_idx ON "acme_inbox_parked" (consumer, seq) WHERE state IN ('retry', 'drop');

-- Tells Postroom that the tables above are there.
CREATE TABLE IF NOT EXISTS "acme_postroom_schema" (
    version    INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z')
);

INSERT INTO "acme_postroom_schema" (version, name) VALUES (4, '00004_inbox_offsets.sql');
-- file 00005_inbox_replica.sql
-- +goose Up

-- What replicas of other services' data remember. A consumer that keeps no replica
-- does without these tables.

-- A row for each key that a replica has seen: the gate that a change has to pass. It
-- stays when the replica's row is deleted, as a tombstone, so that a late older
-- version does not bring the row back.
CREATE TABLE "acme_inbox_replica_rows" (
    replica     TEXT    COLLATE BINARY NOT NULL,
    -- The key's columns as text; of several columns a JSON array.
    row_key     TEXT    COLLATE BINARY NOT NULL,
    -- The source's own number: only a higher one changes the row.
    version     INTEGER NOT NULL,
    -- A tombstone, since then.
    deleted_at  TEXT,
    -- When a change or a backfill last spoke of the key, by this machine's clock.
    applied_at  TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'),
    -- The newest backfill that had the key; empty: none.
    run_id      TEXT    COLLATE BINARY NOT NULL DEFAULT '',
    -- The batch that made the last change.
    claim_token TEXT    COLLATE BINARY NOT NULL DEFAULT '',

    PRIMARY KEY (replica, row_key),

    CONSTRAINT acme_inbox_replica_rows_replica_check CHECK (typeof(replica) = 'text' AND length(CAST(replica AS BLOB)) BETWEEN 1 AND 100),
    CONSTRAINT acme_inbox_replica_rows_row_key_check CHECK (typeof(row_key) = 'text' AND length(CAST(row_key AS BLOB)) BETWEEN 1 AND 512),
    CONSTRAINT acme_inbox_replica_rows_version_check CHECK (typeof(version) = 'integer' AND version > 0)
) WITHOUT ROWID;

-- Backfills that a replica has heard of.
CREATE TABLE "acme_inbox_replica_runs" (
    replica     TEXT    COLLATE BINARY NOT NULL,
    run_id      TEXT    COLLATE BINARY NOT NULL,
    -- Rows that the run sent, and its start by the source's clock: from its end marker.
    sent        INTEGER,
    started_at  TEXT,
    heard_at    TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'),
    -- Every row has arrived, and what the source no longer has was removed.
    finished_at TEXT,

    PRIMARY KEY (replica, run_id),

    CONSTRAINT acme_inbox_replica_runs_replica_check CHECK (typeof(replica) = 'text' AND length(CAST(replica AS BLOB)) BETWEEN 1 AND 100),
    CONSTRAINT acme_inbox_replica_runs_run_id_check  CHECK (typeof(run_id) = 'text' AND length(CAST(run_id AS BLOB)) BETWEEN 1 AND 36),
    CONSTRAINT acme_inbox_replica_runs_end_check     CHECK ((sent IS NULL) = (started_at IS NULL) AND (sent IS NULL OR sent >= 0))
) WITHOUT ROWID;

-- Tells Postroom that the tables above are there.
CREATE TABLE IF NOT EXISTS "acme_postroom_schema" (
    version    INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z')
);

INSERT INTO "acme_postroom_schema" (version, name) VALUES (5, '00005_inbox_replica.sql');
-- file 00006_outbox_backfill.sql
-- +goose Up

-- Runs of backfills: how far each has come. A chunk's events and its place here
-- are one transaction, so that a run that was killed goes on after its last chunk.
CREATE TABLE "acme_outbox_backfills" (
    -- A UUID of version 7: later runs have higher ones.
    run_id      TEXT    NOT NULL PRIMARY KEY,
    -- What operators call it. One run of a name is under way at a time.
    name        TEXT    COLLATE BINARY NOT NULL,
    -- 1 while the run is not finished, else NULL.
    running     INTEGER,
    -- The primary key of the last row that was sent, as a JSON value; NULL: none yet.
    position    TEXT,
    chunks      INTEGER NOT NULL DEFAULT 0,
    sent        INTEGER NOT NULL DEFAULT 0,
    -- Rows per topic, a JSON object: what the end markers say.
    topics      TEXT    NOT NULL,
    started_at  TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'),
    finished_at TEXT,

    CONSTRAINT acme_outbox_backfills_name_key      UNIQUE (name, running),
    CONSTRAINT acme_outbox_backfills_name_check    CHECK (length(CAST(name AS BLOB)) BETWEEN 1 AND 100),
    CONSTRAINT acme_outbox_backfills_running_check CHECK (running = 1)
) WITHOUT ROWID;

-- Tells Postroom that the tables above are there.
CREATE TABLE IF NOT EXISTS "acme_postroom_schema" (
    version    INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z')
);

INSERT INTO "acme_postroom_schema" (version, name) VALUES (6, '00006_outbox_backfill.sql');
-- file 00008_inbox_groups.sql
-- +goose Up

-- What the database remembers of the Kafka group, of every consumer that runs by inboxkafka, however it keeps its
-- offsets: the group's offset alone does not tell that this database was restored, or that the topic is another one of
-- the same name.

-- The group that reads the partition for this consumer: each message is handled in one group only.
ALTER TABLE "acme_inbox_offsets" ADD COLUMN kafka_group TEXT COLLATE BINARY;
-- Kafka's id of the topic, as kafka-topics prints it; the offsets are those of this topic.
ALTER TABLE "acme_inbox_offsets" ADD COLUMN topic_id TEXT COLLATE BINARY;
-- All messages below it are done. It is written before the offset goes to Kafka, and so the group's is never higher,
-- unless this database has lost what it knew.
ALTER TABLE "acme_inbox_offsets" ADD COLUMN applied_offset INTEGER
    CONSTRAINT acme_inbox_offsets_applied_check CHECK (applied_offset IS NULL OR (typeof(applied_offset) = 'integer' AND applied_offset >= 0));

-- Tells Postroom that the tables above are there.
CREATE TABLE IF NOT EXISTS "acme_postroom_schema" (
    version    INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z')
);

INSERT INTO "acme_postroom_schema" (version, name) VALUES (8, '00008_inbox_groups.sql');
