-- +goose Up

-- What replicas of other services' data remember. A consumer that keeps no replica
-- does without these tables.

-- A row for each key that a replica has seen: the gate that a change has to pass. It
-- stays when the replica's row is deleted, as a tombstone, so that a late older
-- version does not bring the row back.
CREATE TABLE inbox_replica_rows (
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

    CONSTRAINT inbox_replica_rows_replica_check CHECK (typeof(replica) = 'text' AND length(CAST(replica AS BLOB)) BETWEEN 1 AND 100),
    CONSTRAINT inbox_replica_rows_row_key_check CHECK (typeof(row_key) = 'text' AND length(CAST(row_key AS BLOB)) BETWEEN 1 AND 512),
    CONSTRAINT inbox_replica_rows_version_check CHECK (typeof(version) = 'integer' AND version > 0)
) WITHOUT ROWID;

-- Backfills that a replica has heard of.
CREATE TABLE inbox_replica_runs (
    replica     TEXT    COLLATE BINARY NOT NULL,
    run_id      TEXT    COLLATE BINARY NOT NULL,
    -- Rows that the run sent, and its start by the source's clock: from its end marker.
    sent        INTEGER,
    started_at  TEXT,
    heard_at    TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'),
    -- Every row has arrived, and what the source no longer has was removed.
    finished_at TEXT,

    PRIMARY KEY (replica, run_id),

    CONSTRAINT inbox_replica_runs_replica_check CHECK (typeof(replica) = 'text' AND length(CAST(replica AS BLOB)) BETWEEN 1 AND 100),
    CONSTRAINT inbox_replica_runs_run_id_check  CHECK (typeof(run_id) = 'text' AND length(CAST(run_id AS BLOB)) BETWEEN 1 AND 36),
    CONSTRAINT inbox_replica_runs_end_check     CHECK ((sent IS NULL) = (started_at IS NULL) AND (sent IS NULL OR sent >= 0))
) WITHOUT ROWID;
