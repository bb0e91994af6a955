-- +goose NO TRANSACTION
-- +goose Up

-- Runs of backfills: how far each has come. A chunk's events and its place here
-- are one transaction, so that a run that was killed goes on after its last chunk.
CREATE TABLE IF NOT EXISTS outbox_backfills (
    -- A UUID of version 7: later runs have higher ones.
    run_id      char(36)       CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    -- What operators call it. One run of a name is under way at a time.
    name        varbinary(100) NOT NULL,
    -- 1 while the run is not finished, else NULL.
    running     smallint       NULL,
    -- The primary key of the last row that was sent, as a JSON value; NULL: none yet.
    position    text,
    chunks      bigint         NOT NULL DEFAULT 0,
    sent        bigint         NOT NULL DEFAULT 0,
    -- Rows per topic, a JSON object: what the end markers say.
    topics      text           NOT NULL,
    started_at  datetime(6)    NOT NULL DEFAULT (utc_timestamp(6)),
    finished_at datetime(6)    NULL,

    CONSTRAINT outbox_backfills_name_key      UNIQUE (name, running),
    CONSTRAINT outbox_backfills_name_check    CHECK (octet_length(name) BETWEEN 1 AND 100),
    CONSTRAINT outbox_backfills_running_check CHECK (running = 1)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Postroom: runs of backfills, and how far each has come';
