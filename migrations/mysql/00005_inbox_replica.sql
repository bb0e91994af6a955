-- +goose NO TRANSACTION
-- +goose Up

-- What replicas of other services' data remember. A consumer that keeps no replica
-- does without these tables.
--
-- Every statement can be run again, as in the first file.

-- A row for each key that a replica has seen: the gate that a change has to pass. It
-- stays when the replica's row is deleted, as a tombstone, so that a late older
-- version does not bring the row back.
CREATE TABLE IF NOT EXISTS inbox_replica_rows (
    replica     varbinary(100) NOT NULL,
    -- The key's columns as text; of several columns a JSON array.
    row_key     varbinary(512) NOT NULL,
    -- The source's own number: only a higher one changes the row.
    version     bigint         NOT NULL,
    -- A tombstone, since then.
    deleted_at  datetime(6)    NULL,
    -- When a change or a backfill last spoke of the key, by this database's clock.
    applied_at  datetime(6)    NOT NULL DEFAULT (utc_timestamp(6)),
    -- The newest backfill that had the key; empty: none.
    run_id      char(36)       CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
    -- The batch that made the last change.
    claim_token char(36)       CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',

    PRIMARY KEY (replica, row_key),

    CONSTRAINT inbox_replica_rows_replica_check CHECK (octet_length(replica) BETWEEN 1 AND 100),
    CONSTRAINT inbox_replica_rows_row_key_check CHECK (octet_length(row_key) BETWEEN 1 AND 512),
    CONSTRAINT inbox_replica_rows_version_check CHECK (version > 0)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Postroom: the version of each row of a replica, and tombstones of deleted ones';

-- Backfills that a replica has heard of.
CREATE TABLE IF NOT EXISTS inbox_replica_runs (
    replica     varbinary(100) NOT NULL,
    run_id      char(36)       CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    -- Rows that the run sent, and its start by the source's clock: from its end marker.
    sent        bigint         NULL,
    started_at  datetime(6)    NULL,
    heard_at    datetime(6)    NOT NULL DEFAULT (utc_timestamp(6)),
    -- Every row has arrived, and what the source no longer has was removed.
    finished_at datetime(6)    NULL,

    PRIMARY KEY (replica, run_id),

    CONSTRAINT inbox_replica_runs_replica_check CHECK (octet_length(replica) BETWEEN 1 AND 100),
    CONSTRAINT inbox_replica_runs_run_id_check  CHECK (octet_length(run_id) BETWEEN 1 AND 36),
    CONSTRAINT inbox_replica_runs_end_check     CHECK ((sent IS NULL) = (started_at IS NULL) AND (sent IS NULL OR sent >= 0))
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Postroom: backfills that a replica has heard of';
