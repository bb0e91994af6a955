-- +goose Up

-- What replicas of other services' data remember. A consumer that keeps no replica
-- does without these tables.

-- A row for each key that a replica has seen: the gate that a change has to pass. It
-- stays when the replica's row is deleted, as a tombstone, so that a late older
-- version does not bring the row back.
CREATE TABLE inbox_replica_rows (
    replica     text        COLLATE "C" NOT NULL,
    -- The key's columns as text; of several columns a JSON array.
    row_key     text        COLLATE "C" NOT NULL,
    -- The source's own number: only a higher one changes the row.
    version     bigint      NOT NULL,
    -- A tombstone, since then.
    deleted_at  timestamptz,
    -- When a change or a backfill last spoke of the key, by this database's clock.
    applied_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The newest backfill that had the key; empty: none.
    run_id      text        COLLATE "C" NOT NULL DEFAULT '',
    -- The batch that made the last change.
    claim_token text        COLLATE "C" NOT NULL DEFAULT '',

    PRIMARY KEY (replica, row_key),

    CONSTRAINT inbox_replica_rows_replica_check CHECK (octet_length(replica) BETWEEN 1 AND 100),
    CONSTRAINT inbox_replica_rows_row_key_check CHECK (octet_length(row_key) BETWEEN 1 AND 512),
    CONSTRAINT inbox_replica_rows_version_check CHECK (version > 0)
) WITH (
    -- Updated with each change; room on the page keeps the updates off the index.
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_cost_delay   = 0
);

COMMENT ON TABLE inbox_replica_rows IS 'Postroom: the version of each row of a replica, and tombstones of deleted ones';

-- Backfills that a replica has heard of.
CREATE TABLE inbox_replica_runs (
    replica     text        COLLATE "C" NOT NULL,
    run_id      text        COLLATE "C" NOT NULL,
    -- Rows that the run sent, and its start by the source's clock: from its end marker.
    sent        bigint,
    started_at  timestamptz,
    heard_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Every row has arrived, and what the source no longer has was removed.
    finished_at timestamptz,

    PRIMARY KEY (replica, run_id),

    CONSTRAINT inbox_replica_runs_replica_check CHECK (octet_length(replica) BETWEEN 1 AND 100),
    CONSTRAINT inbox_replica_runs_run_id_check  CHECK (octet_length(run_id) BETWEEN 1 AND 36),
    CONSTRAINT inbox_replica_runs_end_check     CHECK ((sent IS NULL) = (started_at IS NULL) AND sent >= 0)
);

COMMENT ON TABLE inbox_replica_runs IS 'Postroom: backfills that a replica has heard of';
