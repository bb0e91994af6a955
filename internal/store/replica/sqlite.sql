-- The statements of a replica for SQLite; db.Load gives each to the field of its name.

-- name: ClaimHead
-- A claim is ClaimHead, the rows (ClaimRow or ClaimTombstone) and ClaimTail. Names.Numbered numbers its question marks.
INSERT INTO {inbox_replica_rows} (replica, row_key, version, deleted_at, applied_at, run_id, claim_token) VALUES

-- name: ClaimRow
(?, ?, ?, NULL, {{Now}}, ?, ?)

-- name: ClaimTombstone
(?, ?, ?, {{Now}}, {{Now}}, ?, ?)

-- name: ClaimTail
-- Every expression sees the row as it was.
ON CONFLICT (replica, row_key) DO UPDATE SET
version = max({inbox_replica_rows}.version, excluded.version),
deleted_at = CASE WHEN {{Wins}} THEN excluded.deleted_at ELSE {inbox_replica_rows}.deleted_at END,
applied_at = excluded.applied_at,
claim_token = CASE WHEN {{Wins}} THEN excluded.claim_token ELSE {inbox_replica_rows}.claim_token END,
run_id = max({inbox_replica_rows}.run_id, excluded.run_id)
RETURNING CASE WHEN claim_token IN (?, ?) THEN row_key ELSE NULL END

-- part: Wins
excluded.version > {inbox_replica_rows}.version OR excluded.version = {inbox_replica_rows}.version
  AND {inbox_replica_rows}.deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a'

-- name: StartRun
INSERT INTO {inbox_replica_runs} (replica, run_id) VALUES (?, ?) ON CONFLICT (replica, run_id) DO NOTHING

-- name: EndRun
UPDATE {inbox_replica_runs} SET sent = ?, started_at = ? WHERE replica = ? AND run_id = ?

-- name: Runs
SELECT run_id, COALESCE(sent, -1), '' || started_at, finished_at IS NOT NULL
FROM {inbox_replica_runs} WHERE replica = ? ORDER BY run_id DESC

-- name: Confirmed
SELECT count(*) FROM {inbox_replica_rows} WHERE replica = ? AND run_id = ?

-- name: Unconfirmed
-- The lock is what makes the removal safe: an Apply of the key that came first has moved
-- applied_at and the row is no longer found; one that comes later finds a tombstone.
SELECT row_key, version FROM {inbox_replica_rows}
WHERE replica = ? AND deleted_at IS NULL AND run_id < ? AND applied_at < ?
ORDER BY row_key LIMIT ?

-- name: Bury
UPDATE {inbox_replica_rows} SET deleted_at = {{Now}} WHERE replica = ? AND row_key = ?

-- name: FinishRuns
UPDATE {inbox_replica_runs} SET finished_at = {{Now}} WHERE replica = ? AND run_id <= ? AND finished_at IS NULL

-- name: PruneTombstones
DELETE FROM {inbox_replica_rows} WHERE replica = ? AND deleted_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', (-(? / 1000000)) || ' seconds') || '000Z' AND row_key IN (SELECT row_key FROM {inbox_replica_rows} WHERE replica = ? AND deleted_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', (-(? / 1000000)) || ' seconds') || '000Z' AND NOT EXISTS (SELECT 1 FROM {inbox_replica_runs} AS u WHERE u.replica = ? AND u.finished_at IS NULL) LIMIT ?)

-- part: Now
-- The database's clock.
strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'
