-- +goose Up

-- Runs of backfills: how far each has come. A chunk's events and its place here
-- are one transaction, so that a run that was killed goes on after its last chunk.
CREATE TABLE outbox_backfills (
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

    CONSTRAINT outbox_backfills_name_key      UNIQUE (name, running),
    CONSTRAINT outbox_backfills_name_check    CHECK (length(CAST(name AS BLOB)) BETWEEN 1 AND 100),
    CONSTRAINT outbox_backfills_running_check CHECK (running = 1)
) WITHOUT ROWID;
