-- +goose Up

-- What the relay needs beyond delivering: scheduled events, the archive, the list
-- of live relay processes, and the record of what operators dropped. A relay runs
-- without these tables too, with the features off that need them.

-- Events to deliver at a time to come. The relay moves a row to outbox_events when it
-- is due, in one transaction; until then whoever wrote it may delete it again. They do
-- not wait in outbox_events, because there each read would step over them.
CREATE TABLE outbox_scheduled (
    -- Of rows due at the same time, the order in which they were written.
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,

    -- The event, with the defaults and the limits of outbox_events: a row that could
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

    -- UNIQUE here, unlike in outbox_events: cancelling finds a row by it, and means one.
    CONSTRAINT outbox_scheduled_event_id_key     UNIQUE (event_id),
    CONSTRAINT outbox_scheduled_event_id_check   CHECK (typeof(event_id) = 'text'
        AND event_id GLOB replace('xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx', 'x', '[0-9a-f]')),
    CONSTRAINT outbox_scheduled_topic_check      CHECK (typeof(topic) = 'text' AND length(topic) BETWEEN 1 AND 249 AND instr(topic, char(0)) = 0),
    CONSTRAINT outbox_scheduled_event_key_check  CHECK (typeof(event_key) IN ('text', 'null') AND length(CAST(event_key AS BLOB)) <= 512),
    CONSTRAINT outbox_scheduled_event_type_check CHECK (typeof(event_type) = 'text' AND length(event_type) <= 255 AND instr(event_type, char(0)) = 0),
    CONSTRAINT outbox_scheduled_payload_check    CHECK (typeof(payload) IN ('blob', 'text', 'null') AND length(CAST(payload AS BLOB)) <= 16777216),
    CONSTRAINT outbox_scheduled_headers_check    CHECK (typeof(headers) = 'text' AND length(CAST(headers AS BLOB)) <= 16384
        AND json_valid(headers) AND json_type(headers) = 'object'),
    CONSTRAINT outbox_scheduled_created_at_check CHECK (typeof(created_at) = 'text'
        AND created_at GLOB replace('xxxx-xx-xxTxx:xx:xx.xxxxxxZ', 'x', '[0-9]')
        AND strftime('%Y-%m-%dT%H:%M:%S', created_at) IS substr(created_at, 1, 19)),
    CONSTRAINT outbox_scheduled_deliver_at_check CHECK (typeof(deliver_at) = 'text'
        AND deliver_at GLOB replace('xxxx-xx-xxTxx:xx:xx.xxxxxxZ', 'x', '[0-9]')
        AND strftime('%Y-%m-%dT%H:%M:%S', deliver_at) IS substr(deliver_at, 1, 19))
);

-- "What is due?", in the order in which it is moved.
CREATE INDEX outbox_scheduled_due_idx ON outbox_scheduled (deliver_at, seq);

-- Events that were delivered, where an operator asked for them to be kept. The relay
-- writes a row in the transaction that deletes it from outbox_events.
CREATE TABLE outbox_archive (
    -- The order in which rows were archived: roughly that of their delivery.
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,

    -- The event as it stood in outbox_events, with its id there.
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
    CONSTRAINT outbox_archive_position_check CHECK ((kafka_partition IS NULL) = (kafka_offset IS NULL))
);

-- Purging and replaying by time, finding an event, replaying a key.
CREATE INDEX outbox_archive_delivered_at_idx ON outbox_archive (delivered_at);
CREATE INDEX outbox_archive_event_id_idx ON outbox_archive (event_id);
CREATE INDEX outbox_archive_key_idx ON outbox_archive (topic, event_key);

-- The relay processes that are alive, so that they can share the sources evenly. Each
-- renews its row; one that was not renewed for some lease times counts for nothing.
-- Who owns a source is never decided here, but in outbox_leases.
CREATE TABLE outbox_relays (
    -- A fresh random id per process.
    relay_id    TEXT    NOT NULL PRIMARY KEY,
    host        TEXT    NOT NULL DEFAULT '',
    -- How many sources, in all databases, the process owns now.
    owned       INTEGER NOT NULL DEFAULT 0,
    seen_at     TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'),

    CONSTRAINT outbox_relays_relay_id_check CHECK (typeof(relay_id) = 'text'
        AND relay_id GLOB replace('xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx', 'x', '[0-9a-f]')),
    CONSTRAINT outbox_relays_host_check     CHECK (typeof(host) = 'text' AND length(host) <= 255),
    CONSTRAINT outbox_relays_owned_check    CHECK (typeof(owned) = 'integer' AND owned >= 0)
);

-- What operators dropped from outbox_parked: the proof that an event was not lost, but
-- given up by someone. Without the payload, which may be why it had to go.
CREATE TABLE outbox_drops (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,

    -- The event's id in outbox_events, and what it is known by elsewhere.
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
CREATE INDEX outbox_parked_asked_idx ON outbox_parked (seq) WHERE state IN ('retry', 'drop');
