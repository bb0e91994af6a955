-- The statements of a replica for MySQL and MariaDB; db.Load gives each to the field of its name.

-- name: ClaimHead
-- A claim is ClaimHead, the rows (ClaimRow or ClaimTombstone) and ClaimTail. Names.Numbered numbers its question marks.
INSERT INTO {inbox_replica_rows} (replica, row_key, version, deleted_at, applied_at, run_id, claim_token) VALUES

-- name: ClaimRow
(?, ?, ?, NULL, {{Now}}, ?, ?)

-- name: ClaimTombstone
(?, ?, ?, {{Now}}, {{Now}}, ?, ?)

-- name: ClaimTail
-- Assignments run from left to right, and each sees what those before it set: the
-- version and deleted_at come after all that asks whether the change wins.
ON DUPLICATE KEY UPDATE
claim_token = IF({{Wins}}, VALUES(claim_token), claim_token),
deleted_at = IF({{Wins}}, VALUES(deleted_at), deleted_at), applied_at = VALUES(applied_at),
run_id = GREATEST(run_id, VALUES(run_id)), version = GREATEST(version, VALUES(version))

-- part: Wins
VALUES(version) > version OR VALUES(version) = version AND deleted_at IS NULL AND LEFT(VALUES(claim_token), 1) = 'a'

-- name: Claimed
-- The list of keys follows.
SELECT row_key FROM {inbox_replica_rows} WHERE replica = ? AND claim_token IN (?, ?) AND row_key IN

-- name: StartRun
INSERT INTO {inbox_replica_runs} (replica, run_id) VALUES (?, ?) ON DUPLICATE KEY UPDATE run_id = VALUES(run_id)

-- name: HasRun
SELECT 1 FROM {inbox_replica_runs} WHERE replica = ? AND run_id = ?

-- name: EndRun
UPDATE {inbox_replica_runs} SET sent = ?, started_at = ? WHERE replica = ? AND run_id = ?

-- name: Runs
SELECT run_id, COALESCE(sent, -1), DATE_FORMAT(started_at, '%Y-%m-%dT%H:%i:%s.%fZ'), finished_at IS NOT NULL
FROM {inbox_replica_runs} WHERE replica = ? ORDER BY run_id DESC

-- name: Confirmed
SELECT count(*) FROM {inbox_replica_rows} WHERE replica = ? AND run_id = ?

-- name: Unconfirmed
-- The lock is what makes the removal safe: an Apply of the key that came first has moved
-- applied_at and the row is no longer found; one that comes later finds a tombstone.
SELECT row_key, version FROM {inbox_replica_rows}
WHERE replica = ? AND deleted_at IS NULL AND run_id < ? AND applied_at < ?
ORDER BY row_key LIMIT ? FOR UPDATE

-- name: Bury
UPDATE {inbox_replica_rows} SET deleted_at = {{Now}} WHERE replica = ? AND row_key = ?

-- name: FinishRuns
UPDATE {inbox_replica_runs} SET finished_at = {{Now}} WHERE replica = ? AND run_id <= ? AND finished_at IS NULL

-- name: PruneTombstones
DELETE FROM {inbox_replica_rows} WHERE replica = ? AND deleted_at < utc_timestamp(6) - INTERVAL ? MICROSECOND AND NOT EXISTS (SELECT 1 FROM {inbox_replica_runs} AS u WHERE u.replica = ? AND u.finished_at IS NULL) LIMIT ?

-- name: TableColumns
SELECT column_name, data_type, column_type, COALESCE(character_set_name, ''), COALESCE(collation_name, '')
FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ?

-- name: UniqueIndexes
SELECT index_name, column_name, sub_part FROM information_schema.statistics
WHERE table_schema = DATABASE() AND table_name = ? AND non_unique = 0 ORDER BY index_name, seq_in_index

-- part: Now
-- The database's clock.
utc_timestamp(6)
