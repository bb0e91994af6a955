CREATE TABLE IF NOT EXISTS "postroom_schema" (
    version    INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z')
)
;;
CREATE TABLE IF NOT EXISTS "postroom_schema_lock" (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    owner      TEXT,
    expires_at TEXT
)
;;
CREATE TABLE IF NOT EXISTS "shop_postroom_schema" (
    version    INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z')
)
;;
CREATE TABLE IF NOT EXISTS "shop_postroom_schema_lock" (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    owner      TEXT,
    expires_at TEXT
)
;;
DELETE FROM "customers" WHERE "id" IN (?)
;;
DELETE FROM "customers" WHERE "id" IN (?, …)
;;
DELETE FROM "inbox_attempts" WHERE (consumer, message_id) IN
(SELECT consumer, message_id FROM "inbox_attempts" WHERE consumer = ? AND started_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', ?) || '000Z' LIMIT ?)
;;
DELETE FROM "inbox_attempts" WHERE consumer = ? AND message_id = ?
;;
DELETE FROM "inbox_blocked" WHERE consumer = ? AND topic = ? AND event_key = ?
;;
DELETE FROM "inbox_events" WHERE consumer = ? AND processed_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', ?) || '000Z' AND message_id IN (?)
;;
DELETE FROM "inbox_events" WHERE consumer = ? AND processed_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', ?) || '000Z' AND message_id IN (?, …)
;;
DELETE FROM "inbox_parked" WHERE consumer = ? AND seq = ?
;;
DELETE FROM "inbox_parked" WHERE consumer = ? AND topic = ? AND event_key = ? AND seq >= ? AND seq <= ? AND NOT EXISTS (SELECT 1 FROM (SELECT seq FROM "inbox_parked" WHERE consumer = ? AND seq = ? LIMIT 1) AS first)
;;
DELETE FROM "inbox_replica_rows" WHERE replica = ? AND deleted_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', (-(? / 1000000)) || ' seconds') || '000Z' AND row_key IN (SELECT row_key FROM "inbox_replica_rows" WHERE replica = ? AND deleted_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', (-(? / 1000000)) || ' seconds') || '000Z' AND NOT EXISTS (SELECT 1 FROM "inbox_replica_runs" AS u WHERE u.replica = ? AND u.finished_at IS NULL) LIMIT ?)
;;
DELETE FROM "order_lines" WHERE ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?)
;;
DELETE FROM "order_lines" WHERE ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?)
;;
DELETE FROM "order_lines" WHERE ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?) OR ("o" = ? AND "l" = ?)
;;
DELETE FROM "outbox_archive" WHERE seq IN (SELECT seq FROM "outbox_archive" WHERE delivered_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', ((-3000000) / 1000.0) || ' seconds') || '000Z' ORDER BY delivered_at LIMIT 10000)
;;
DELETE FROM "outbox_archive" WHERE seq IN (SELECT seq FROM "outbox_archive" WHERE delivered_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', ((-3000000) / 1000.0) || ' seconds') || '000Z' ORDER BY delivered_at LIMIT 700)
;;
DELETE FROM "outbox_archive" WHERE seq IN (SELECT seq FROM "outbox_archive" WHERE delivered_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', ((-86400000) / 1000.0) || ' seconds') || '000Z' ORDER BY delivered_at LIMIT 10000)
;;
DELETE FROM "outbox_drops" WHERE seq IN (SELECT seq FROM "outbox_drops" WHERE dropped_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', ((-3600000) / 1000.0) || ' seconds') || '000Z' ORDER BY dropped_at LIMIT 1000)
;;
DELETE FROM "outbox_events"
WHERE id BETWEEN ? AND ?
  AND EXISTS (SELECT 1 FROM "outbox_events" WHERE id = ? AND event_id = ?)
  AND EXISTS (SELECT 1 FROM "outbox_leases" WHERE id = 1 AND owner = ? AND epoch = ?)
;;
DELETE FROM "outbox_events"
WHERE id IN (SELECT e.id FROM json_each(?) AS a CROSS JOIN "outbox_events" AS e
    ON e.id = json_extract(a.value, '$[0]') AND e.event_id = json_extract(a.value, '$[1]'))
;;
DELETE FROM "outbox_events"
WHERE id IN (SELECT e.id FROM json_each(?) AS delivered CROSS JOIN "outbox_events" AS e
    ON e.id = json_extract(delivered.value, '$[0]') AND e.event_id = json_extract(delivered.value, '$[1]'))
;;
DELETE FROM "outbox_events"
WHERE id IN (SELECT e.id FROM json_each(?) AS delivered CROSS JOIN "outbox_events" AS e
    ON e.id = json_extract(delivered.value, '$[0]') AND e.event_id = json_extract(delivered.value, '$[1]'))
  AND EXISTS (SELECT 1 FROM "outbox_leases" WHERE id = 1 AND owner = ? AND epoch = ?)
;;
DELETE FROM "outbox_parked" WHERE seq IN (SELECT p.seq FROM json_each(?) AS a CROSS JOIN "outbox_parked" AS p
ON p.seq = json_extract(a.value, '$[0]') AND p.event_id = json_extract(a.value, '$[1]'))
;;
DELETE FROM "outbox_relays" WHERE relay_id = ?
;;
DELETE FROM "outbox_relays" WHERE seen_at NOT BETWEEN strftime('%Y-%m-%dT%H:%M:%f', 'now', ((-3600000) / 1000.0) || ' seconds') || '000Z' AND strftime('%Y-%m-%dT%H:%M:%f', 'now', ((3600000) / 1000.0) || ' seconds') || '000Z'
;;
DELETE FROM "outbox_scheduled" WHERE event_id IN ('‹uuid›')
;;
DELETE FROM "outbox_scheduled" WHERE seq IN (SELECT value FROM json_each(?))
;;
DELETE FROM "shop_inbox_attempts" WHERE (consumer, message_id) IN
(SELECT consumer, message_id FROM "shop_inbox_attempts" WHERE consumer = ? AND started_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', ?) || '000Z' LIMIT ?)
;;
EXPLAIN INSERT INTO "customers" ("id", "name") SELECT "id", "name" FROM "customers" WHERE 1 = 0 ON CONFLICT ("id") DO UPDATE SET "name" = excluded."name"
;;
INSERT INTO "customers" ("id", "name") VALUES (?, …) ON CONFLICT ("id") DO UPDATE SET "name" = excluded."name"
;;
INSERT INTO "customers" ("id", "name") VALUES (?, …), … ON CONFLICT ("id") DO UPDATE SET "name" = excluded."name"
;;
INSERT INTO "inbox_attempts" (consumer, message_id, attempts) VALUES (?, ?, 1)
ON CONFLICT (consumer, message_id) DO UPDATE SET attempts = attempts + ?, started_at = strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'
;;
INSERT INTO "inbox_attempts" (consumer, message_id, attempts) VALUES (?, …)
ON CONFLICT (consumer, message_id) DO UPDATE SET attempts = excluded.attempts, started_at = strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'
;;
INSERT INTO "inbox_blocked" (consumer, topic, event_key) VALUES (?, …) ON CONFLICT (consumer, topic, event_key) DO UPDATE SET event_key = excluded.event_key
;;
INSERT INTO "inbox_events" (consumer, message_id, kafka_topic, kafka_partition, kafka_offset)
SELECT ?, json_extract(m.value, '$[0]'), json_extract(m.value, '$[1]'), json_extract(m.value, '$[2]'), json_extract(m.value, '$[3]')
FROM json_each(?) AS m WHERE true
ON CONFLICT (consumer, message_id) DO NOTHING
RETURNING message_id
;;
INSERT INTO "inbox_events" (consumer, message_id, kafka_topic, kafka_partition, kafka_offset)
VALUES (?, …) ON CONFLICT (consumer, message_id) DO NOTHING
;;
INSERT INTO "inbox_offsets" (consumer, kafka_topic, kafka_partition, epoch, kafka_group, topic_id, applied_offset)
VALUES (?, ?, ?, 0, ?, …)
;;
INSERT INTO "inbox_offsets" AS o (consumer, kafka_topic, kafka_partition, epoch) VALUES (?, ?, ?, 1)
ON CONFLICT (consumer, kafka_topic, kafka_partition) DO UPDATE SET epoch = o.epoch + 1 RETURNING epoch, next_offset
;;
INSERT INTO "inbox_parked" (consumer, message_id, topic, event_key, event_type, headers, payload,
kafka_topic, kafka_partition, kafka_offset, attempts, error, state) VALUES (?, …)
;;
INSERT INTO "inbox_replica_rows" (replica, row_key, version, deleted_at, applied_at, run_id, claim_token) VALUES (?, ?, ?, NULL, strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z', ?, …) ON CONFLICT (replica, row_key) DO UPDATE SET
version = max("inbox_replica_rows".version, excluded.version),
deleted_at = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.deleted_at ELSE "inbox_replica_rows".deleted_at END,
applied_at = excluded.applied_at,
claim_token = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.claim_token ELSE "inbox_replica_rows".claim_token END,
run_id = max("inbox_replica_rows".run_id, excluded.run_id)
RETURNING CASE WHEN claim_token IN (?, …) THEN row_key ELSE NULL END
;;
INSERT INTO "inbox_replica_rows" (replica, row_key, version, deleted_at, applied_at, run_id, claim_token) VALUES (?, ?, ?, NULL, strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z', ?, …), … ON CONFLICT (replica, row_key) DO UPDATE SET
version = max("inbox_replica_rows".version, excluded.version),
deleted_at = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.deleted_at ELSE "inbox_replica_rows".deleted_at END,
applied_at = excluded.applied_at,
claim_token = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.claim_token ELSE "inbox_replica_rows".claim_token END,
run_id = max("inbox_replica_rows".run_id, excluded.run_id)
RETURNING CASE WHEN claim_token IN (?, …) THEN row_key ELSE NULL END
;;
INSERT INTO "inbox_replica_rows" (replica, row_key, version, deleted_at, applied_at, run_id, claim_token) VALUES (?, ?, ?, strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z', strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z', ?, …) ON CONFLICT (replica, row_key) DO UPDATE SET
version = max("inbox_replica_rows".version, excluded.version),
deleted_at = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.deleted_at ELSE "inbox_replica_rows".deleted_at END,
applied_at = excluded.applied_at,
claim_token = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.claim_token ELSE "inbox_replica_rows".claim_token END,
run_id = max("inbox_replica_rows".run_id, excluded.run_id)
RETURNING CASE WHEN claim_token IN (?, …) THEN row_key ELSE NULL END
;;
INSERT INTO "inbox_replica_rows" (replica, row_key, version, deleted_at, applied_at, run_id, claim_token) VALUES (?, ?, ?, strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z', strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z', ?, …), … ON CONFLICT (replica, row_key) DO UPDATE SET
version = max("inbox_replica_rows".version, excluded.version),
deleted_at = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.deleted_at ELSE "inbox_replica_rows".deleted_at END,
applied_at = excluded.applied_at,
claim_token = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.claim_token ELSE "inbox_replica_rows".claim_token END,
run_id = max("inbox_replica_rows".run_id, excluded.run_id)
RETURNING CASE WHEN claim_token IN (?, …) THEN row_key ELSE NULL END
;;
INSERT INTO "inbox_replica_runs" (replica, run_id) VALUES (?, …) ON CONFLICT (replica, run_id) DO NOTHING
;;
INSERT INTO "order_lines" ("o", "l", "name") VALUES (?, …) ON CONFLICT ("o", "l") DO UPDATE SET "name" = excluded."name"
;;
INSERT INTO "order_lines" ("o", "l", "name") VALUES (?, …), … ON CONFLICT ("o", "l") DO UPDATE SET "name" = excluded."name"
;;
INSERT INTO "outbox_archive" (id, event_id, topic, event_key, event_type, payload, headers, created_at, kafka_partition, kafka_offset)
SELECT e.id, e.event_id, e.topic, e.event_key, e.event_type, e.payload, e.headers, e.created_at, json_extract(delivered.value, '$[2]'), json_extract(delivered.value, '$[3]')
FROM json_each(?) AS delivered CROSS JOIN "outbox_events" AS e
  ON e.id = json_extract(delivered.value, '$[0]') AND e.event_id = json_extract(delivered.value, '$[1]')
ORDER BY e.id
;;
INSERT INTO "outbox_archive" (id, event_id, topic, event_key, event_type, payload, headers, created_at, kafka_partition, kafka_offset)
SELECT e.id, e.event_id, e.topic, e.event_key, e.event_type, e.payload, e.headers, e.created_at, json_extract(delivered.value, '$[2]'), json_extract(delivered.value, '$[3]')
FROM json_each(?) AS delivered CROSS JOIN "outbox_parked" AS e
  ON e.seq = json_extract(delivered.value, '$[0]') AND e.event_id = json_extract(delivered.value, '$[1]')
ORDER BY e.seq
;;
INSERT INTO "outbox_drops" (id, event_id, topic, event_key, error)
SELECT p.id, p.event_id, p.topic, p.event_key, p.error FROM json_each(?) AS a CROSS JOIN "outbox_parked" AS p ON p.seq = a.value ORDER BY p.seq
;;
INSERT INTO "outbox_events" (event_id, topic, event_key, event_type, payload, headers) VALUES (?, …)
;;
INSERT INTO "outbox_events" (event_id, topic, event_key, event_type, payload, headers) VALUES (?, …), …
;;
INSERT INTO "outbox_events" (event_id, topic, event_key, event_type, payload, headers, created_at)
SELECT event_id, topic, event_key, event_type, payload, headers, created_at FROM "outbox_scheduled" WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY deliver_at, seq
;;
INSERT INTO "outbox_events" (event_id, topic, event_key, event_type, payload, headers, created_at) SELECT event_id, topic, event_key, event_type, payload, headers, created_at FROM "outbox_archive" WHERE seq IN (1) ORDER BY seq
;;
INSERT INTO "outbox_events" (event_id, topic, event_key, event_type, payload, headers, created_at) SELECT event_id, topic, event_key, event_type, payload, headers, created_at FROM "outbox_archive" WHERE seq IN (‹n›, …) ORDER BY seq
;;
INSERT INTO "outbox_events" (topic, event_key, event_type, payload, headers, created_at) SELECT topic, event_key, event_type, payload, headers, created_at FROM "outbox_archive" WHERE seq IN (‹n›, …) ORDER BY seq
;;
INSERT INTO "outbox_parked" (id, event_id, topic, event_key, event_type, payload, headers, created_at, attempts, error, state, overtaken)
SELECT e.id, e.event_id, e.topic, e.event_key, e.event_type, e.payload, e.headers, e.created_at,
       json_extract(a.value, '$[2]') = 'failed', json_extract(a.value, '$[3]'), json_extract(a.value, '$[2]'), json_extract(a.value, '$[4]')
FROM json_each(?) AS a CROSS JOIN "outbox_events" AS e
  ON e.id = json_extract(a.value, '$[0]') AND e.event_id = json_extract(a.value, '$[1]')
ORDER BY a.key
;;
INSERT INTO "outbox_relays" (relay_id, host, owned, seen_at)
VALUES (?, ?, ?, strftime('%Y-%m-%dT%H:%M:%f', 'now', ((0) / 1000.0) || ' seconds') || '000Z') ON CONFLICT (relay_id) DO UPDATE SET host = excluded.host, owned = excluded.owned, seen_at = excluded.seen_at
;;
INSERT INTO "outbox_scheduled" (event_id, topic, event_key, event_type, payload, headers, deliver_at) VALUES (?, …)
;;
INSERT INTO "outbox_scheduled" (event_id, topic, event_key, event_type, payload, headers, deliver_at) VALUES (?, …), …
;;
INSERT INTO "postroom_schema" (version, name) VALUES (1, '00001_outbox.sql')
;;
INSERT INTO "postroom_schema" (version, name) VALUES (2, '00002_inbox.sql')
;;
INSERT INTO "postroom_schema" (version, name) VALUES (3, '00003_outbox_relay.sql')
;;
INSERT INTO "postroom_schema" (version, name) VALUES (4, '00004_inbox_offsets.sql')
;;
INSERT INTO "postroom_schema" (version, name) VALUES (5, '00005_inbox_replica.sql')
;;
INSERT INTO "postroom_schema" (version, name) VALUES (6, '00006_outbox_backfill.sql')
;;
INSERT INTO "postroom_schema" (version, name) VALUES (8, '00008_inbox_groups.sql')
;;
INSERT INTO "shop_inbox_events" (consumer, message_id, kafka_topic, kafka_partition, kafka_offset)
VALUES (?, …) ON CONFLICT (consumer, message_id) DO NOTHING
;;
INSERT INTO "shop_postroom_schema" (version, name) VALUES (2, '00002_inbox.sql')
;;
INSERT INTO "shop_postroom_schema" (version, name) VALUES (4, '00004_inbox_offsets.sql')
;;
INSERT INTO "shop_postroom_schema" (version, name) VALUES (5, '00005_inbox_replica.sql')
;;
INSERT INTO "shop_postroom_schema" (version, name) VALUES (8, '00008_inbox_groups.sql')
;;
INSERT INTO "things" ("id", "photo", "extra") VALUES (?, …) ON CONFLICT ("id") DO UPDATE SET "photo" = excluded."photo", "extra" = excluded."extra"
;;
INSERT OR IGNORE INTO "postroom_schema_lock" (id) VALUES (1)
;;
INSERT OR IGNORE INTO "shop_postroom_schema_lock" (id) VALUES (1)
;;
PRAGMA journal_mode
;;
PRAGMA synchronous
;;
RELEASE SAVEPOINT postroom_inbox
;;
SAVEPOINT postroom_inbox
;;
SELECT "id" FROM "replica_rows"
;;
SELECT "id" FROM "replica_rows" WHERE 1 = 0
;;
SELECT "id" FROM (SELECT * FROM source_rows
) AS postroom_compare
;;
SELECT "id", "amount" FROM "replica_rows"
;;
SELECT "id", "amount" FROM "replica_rows" WHERE 1 = 0
;;
SELECT "id", "amount" FROM (SELECT * FROM source_rows
) AS postroom_compare
;;
SELECT "id", "extra" FROM "replica_rows"
;;
SELECT "id", "extra" FROM "replica_rows" WHERE 1 = 0
;;
SELECT "id", "name" FROM "replica_rows"
;;
SELECT "id", "name" FROM "replica_rows" WHERE 1 = 0
;;
SELECT "id", "name" FROM (SELECT * FROM source_rows
) AS postroom_compare
;;
SELECT "tenant", "id", "amount", "made_at", "photo", "extra", "vip", "score", "ref" FROM "replica_rows"
;;
SELECT "tenant", "id", "amount", "made_at", "photo", "extra", "vip", "score", "ref" FROM "replica_rows" WHERE 1 = 0
;;
SELECT "tenant", "id", "amount", "made_at", "photo", "extra", "vip", "score", "ref" FROM (SELECT * FROM source_rows
) AS postroom_compare
;;
SELECT '"' || replace(name, '"', '""') || '"', 0 FROM sqlite_master WHERE type = 'trigger' AND lower(tbl_name) = ? ORDER BY 1
;;
SELECT '' || delivered_at FROM "outbox_archive" ORDER BY delivered_at LIMIT 1
;;
SELECT '' || strftime('%Y-%m-%dT%H:%M:%f', 'now', ((0) / 1000.0) || ' seconds') || '000Z'
;;
SELECT (SELECT attempts FROM "inbox_attempts" WHERE consumer = ? AND message_id = ?),
  (SELECT last_error FROM "inbox_attempts" WHERE consumer = ? AND message_id = ?),
  EXISTS (SELECT 1 FROM "inbox_events" WHERE consumer = ? AND message_id = ?),
  EXISTS (SELECT 1 FROM "inbox_blocked" WHERE consumer = ? AND topic = ? AND event_key = ?)
;;
SELECT (owner IS NULL OR expires_at IS NULL OR expires_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', ((0) / 1000.0) || ' seconds') || '000Z'
  OR expires_at > strftime('%Y-%m-%dT%H:%M:%f', 'now', ((2 * max(60000, coalesce(json_extract(hints, '$.ttl_us'), 0) / 1000)) / 1000.0) || ' seconds') || '000Z'), CASE WHEN owner IS NULL THEN json_extract(hints, '$.heir') END, owner IS NOT NULL AND coalesce(json_extract(hints, '$.blind'), '') <> '', coalesce(mode, '') FROM "outbox_leases" WHERE id = 1
;;
SELECT * FROM (SELECT * FROM source_rows
) AS postroom_compare WHERE 1 = 0
;;
SELECT * FROM (SELECT id, count(*) FROM source_rows GROUP BY id
) AS postroom_compare WHERE 1 = 0
;;
SELECT 0, NULL, 'primary', NULL, 'sqlite', NULL, NULL, NULL, 1
UNION ALL SELECT * FROM (SELECT e.id, event_id, topic, event_key, event_type, payload, headers, created_at, payload IS NULL
FROM json_each(?) AS gap CROSS JOIN "outbox_events" AS e
  ON e.id BETWEEN json_extract(gap.value, '$[0]') AND json_extract(gap.value, '$[1]')
ORDER BY e.id LIMIT ?)
;;
SELECT 0, NULL, 'primary', NULL, 'sqlite', NULL, NULL, NULL, 1
UNION ALL SELECT * FROM (SELECT e.id, event_id, topic, event_key, event_type, payload, headers, created_at, payload IS NULL
FROM json_each(?) AS gap CROSS JOIN "outbox_events" AS e
  ON e.id BETWEEN json_extract(gap.value, '$[0]') AND json_extract(gap.value, '$[1]')
ORDER BY e.id LIMIT ?)
UNION ALL SELECT * FROM (SELECT id, event_id, topic, event_key, event_type, payload, headers, created_at, payload IS NULL FROM "outbox_events" WHERE id > ? ORDER BY id LIMIT ?)
;;
SELECT 0, NULL, 'primary', NULL, 'sqlite', NULL, NULL, NULL, 1
UNION ALL SELECT * FROM (SELECT id, event_id, topic, event_key, event_type, payload, headers, created_at, payload IS NULL FROM "outbox_events" WHERE id > ? ORDER BY id LIMIT ?)
;;
SELECT 1
;;
SELECT 1 FROM "inbox_events" WHERE consumer = ? AND message_id = ?
;;
SELECT 1 FROM "inbox_parked" WHERE consumer = ? AND seq = ?
;;
SELECT 1 FROM "postroom_schema_lock" WHERE id = 1
;;
SELECT 1 FROM "shop_postroom_schema_lock" WHERE id = 1
;;
SELECT CASE WHEN deliver_at <= strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z' THEN 0
  ELSE CAST((julianday(deliver_at) - julianday('now')) * 86400000000 AS INTEGER) END
FROM "outbox_scheduled" ORDER BY deliver_at, seq LIMIT 1
;;
SELECT COALESCE((SELECT attempts FROM "inbox_attempts" WHERE consumer = ? AND message_id = ?), 0),
  EXISTS (SELECT 1 FROM "inbox_blocked" WHERE consumer = ?)
;;
SELECT COALESCE(MAX(seq), 0) FROM "outbox_archive"
;;
SELECT COALESCE(MAX(seq), 0) FROM "outbox_parked"
;;
SELECT COALESCE(MAX(seq), 0) FROM (SELECT seq FROM "outbox_parked" WHERE seq > ? ORDER BY seq LIMIT ?) AS part
;;
SELECT COALESCE(SUM(CASE state WHEN 'failed' THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE state WHEN 'blocked' THEN 1 ELSE 0 END), 0),
	COALESCE(SUM(CASE WHEN state IN ('retry', 'drop') THEN 1 ELSE 0 END), 0), CAST((julianday('now') - julianday(min(parked_at))) * 86400000000 AS INTEGER) FROM (SELECT topic, event_key, state, parked_at FROM "none_outbox_parked" ORDER BY seq LIMIT 100001) AS counted
;;
SELECT COALESCE(SUM(CASE state WHEN 'failed' THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE state WHEN 'blocked' THEN 1 ELSE 0 END), 0),
	COALESCE(SUM(CASE WHEN state IN ('retry', 'drop') THEN 1 ELSE 0 END), 0), CAST((julianday('now') - julianday(min(parked_at))) * 86400000000 AS INTEGER) FROM (SELECT topic, event_key, state, parked_at FROM "outbox_parked" ORDER BY seq LIMIT 100001) AS counted
;;
SELECT COUNT(*) FROM "outbox_archive" WHERE delivered_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', ((-3000000) / 1000.0) || ' seconds') || '000Z'
;;
SELECT COUNT(*) FROM "outbox_drops" WHERE dropped_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', ((-3600000) / 1000.0) || ' seconds') || '000Z'
;;
SELECT COUNT(*) FROM (SELECT 1 FROM "outbox_events" WHERE id < ? LIMIT 200000) AS counted
;;
SELECT COUNT(*) FROM (SELECT 1 FROM "outbox_parked" WHERE topic = ? AND event_key = ? LIMIT 200000) AS counted
;;
SELECT COUNT(*), COALESCE(MIN(a.seq), 0), COALESCE(MAX(a.seq), 0)
FROM "outbox_archive" AS a WHERE a.seq > ? AND a.seq <= ?
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq)
;;
SELECT COUNT(*), COALESCE(MIN(a.seq), 0), COALESCE(MAX(a.seq), 0)
FROM "outbox_archive" AS a WHERE a.seq > ? AND a.seq <= ? AND a.delivered_at < ?
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.delivered_at < ?)
;;
SELECT COUNT(*), COALESCE(MIN(a.seq), 0), COALESCE(MAX(a.seq), 0)
FROM "outbox_archive" AS a WHERE a.seq > ? AND a.seq <= ? AND a.delivered_at >= ?
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.delivered_at >= ?)
;;
SELECT COUNT(*), COALESCE(MIN(a.seq), 0), COALESCE(MAX(a.seq), 0)
FROM "outbox_archive" AS a WHERE a.seq > ? AND a.seq <= ? AND a.delivered_at >= ? AND a.delivered_at < ?
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.delivered_at >= ? AND e.delivered_at < ?)
;;
SELECT COUNT(*), COALESCE(MIN(a.seq), 0), COALESCE(MAX(a.seq), 0)
FROM "outbox_archive" AS a WHERE a.seq > ? AND a.seq <= ? AND a.delivered_at >= ? AND a.topic = ? AND a.event_key = ?
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.delivered_at >= ? AND e.topic = ? AND e.event_key = ?)
;;
SELECT COUNT(*), COALESCE(MIN(a.seq), 0), COALESCE(MAX(a.seq), 0)
FROM "outbox_archive" AS a WHERE a.seq > ? AND a.seq <= ? AND a.event_id IN ('‹uuid›', '‹uuid›', '‹uuid›')
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.event_id IN ('‹uuid›', '‹uuid›', '‹uuid›'))
;;
SELECT COUNT(*), COALESCE(MIN(a.seq), 0), COALESCE(MAX(a.seq), 0)
FROM "outbox_archive" AS a WHERE a.seq > ? AND a.seq <= ? AND a.topic = ?
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.topic = ?)
;;
SELECT COUNT(*), COALESCE(MIN(a.seq), 0), COALESCE(MAX(a.seq), 0)
FROM "outbox_archive" AS a WHERE a.seq > ? AND a.seq <= ? AND a.topic = ? AND a.event_key = ?
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.topic = ? AND e.event_key = ?)
;;
SELECT DISTINCT event_id FROM "outbox_archive" WHERE event_id IN ('‹uuid›', '‹uuid›', '‹uuid›', '‹uuid›', '‹uuid›')
;;
SELECT DISTINCT p.topic, p.event_key FROM json_each(?) AS a CROSS JOIN "outbox_parked" AS p
ON p.seq = json_extract(a.value, '$[0]') AND p.event_id = json_extract(a.value, '$[1]') WHERE p.event_key IS NOT NULL
;;
SELECT DISTINCT topic, event_key FROM "outbox_archive" WHERE event_key IS NOT NULL AND seq IN (1)
;;
SELECT DISTINCT topic, event_key FROM "outbox_archive" WHERE event_key IS NOT NULL AND seq IN (‹n›, …)
;;
SELECT EXISTS (SELECT 1 FROM "inbox_parked" WHERE topic = ? AND event_key = ?)
;;
SELECT EXISTS (SELECT 1 FROM "inbox_parked")
;;
SELECT EXISTS (SELECT 1 FROM "outbox_parked" WHERE state IN ('retry', 'drop') AND state = 'drop')
;;
SELECT EXISTS (SELECT 1 FROM "outbox_parked" WHERE state IN ('retry', 'drop'))
;;
SELECT EXISTS (SELECT 1 FROM "outbox_parked" WHERE topic = ? AND event_key = ?)
;;
SELECT EXISTS (SELECT 1 FROM "outbox_parked" WHERE topic = ?)
;;
SELECT EXISTS (SELECT 1 FROM "outbox_parked")
;;
SELECT MIN(consumer) FROM "inbox_events" WHERE consumer > ?
;;
SELECT a.seq, COALESCE(LENGTH(a.payload), 0)
FROM "outbox_archive" AS a WHERE a.seq > ? AND a.seq <= ?
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq)
ORDER BY a.seq LIMIT 1000
;;
SELECT a.seq, COALESCE(LENGTH(a.payload), 0)
FROM "outbox_archive" AS a WHERE a.seq > ? AND a.seq <= ? AND a.delivered_at < ?
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.delivered_at < ?)
ORDER BY a.seq LIMIT 1000
;;
SELECT a.seq, COALESCE(LENGTH(a.payload), 0)
FROM "outbox_archive" AS a WHERE a.seq > ? AND a.seq <= ? AND a.delivered_at >= ?
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.delivered_at >= ?)
ORDER BY a.seq LIMIT 1000
;;
SELECT a.seq, COALESCE(LENGTH(a.payload), 0)
FROM "outbox_archive" AS a WHERE a.seq > ? AND a.seq <= ? AND a.delivered_at >= ? AND a.delivered_at < ?
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.delivered_at >= ? AND e.delivered_at < ?)
ORDER BY a.seq LIMIT 1000
;;
SELECT a.seq, COALESCE(LENGTH(a.payload), 0)
FROM "outbox_archive" AS a WHERE a.seq > ? AND a.seq <= ? AND a.delivered_at >= ? AND a.topic = ? AND a.event_key = ?
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.delivered_at >= ? AND e.topic = ? AND e.event_key = ?)
ORDER BY a.seq LIMIT 1000
;;
SELECT a.seq, COALESCE(LENGTH(a.payload), 0)
FROM "outbox_archive" AS a WHERE a.seq > ? AND a.seq <= ? AND a.event_id IN ('‹uuid›', '‹uuid›', '‹uuid›')
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.event_id IN ('‹uuid›', '‹uuid›', '‹uuid›'))
ORDER BY a.seq LIMIT 1000
;;
SELECT a.seq, COALESCE(LENGTH(a.payload), 0)
FROM "outbox_archive" AS a WHERE a.seq > ? AND a.seq <= ? AND a.topic = ?
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.topic = ?)
ORDER BY a.seq LIMIT 1000
;;
SELECT a.seq, COALESCE(LENGTH(a.payload), 0)
FROM "outbox_archive" AS a WHERE a.seq > ? AND a.seq <= ? AND a.topic = ? AND a.event_key = ?
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.topic = ? AND e.event_key = ?)
ORDER BY a.seq LIMIT 1000
;;
SELECT b.consumer, b.topic, b.event_key, 0, false FROM "inbox_blocked" AS b
WHERE NOT EXISTS (SELECT 1 FROM "inbox_parked" AS p WHERE p.consumer = b.consumer AND p.topic = b.topic AND p.event_key = b.event_key) LIMIT 20
;;
SELECT consumer FROM "inbox_attempts" WHERE 1 = 0
;;
SELECT consumer FROM "inbox_blocked" WHERE 1 = 0
;;
SELECT consumer FROM "inbox_events" WHERE 1 = 0
;;
SELECT consumer FROM "inbox_offsets" WHERE 1 = 0
;;
SELECT consumer FROM "inbox_parked" WHERE 1 = 0
;;
SELECT consumer, '' || parked_at, kafka_topic, kafka_partition, kafka_offset, attempts, error, state FROM "inbox_parked" WHERE message_id = ?
;;
SELECT consumer, '' || processed_at, kafka_topic, kafka_partition, kafka_offset, 0, '', '' FROM "inbox_events" WHERE consumer = ? AND message_id = ?
;;
SELECT consumer, '' || started_at, NULL, NULL, NULL, attempts, last_error, '' FROM "inbox_attempts" WHERE message_id = ?
;;
SELECT consumer, count(*) FROM (SELECT consumer FROM "inbox_blocked" LIMIT 200000) AS counted GROUP BY consumer
;;
SELECT consumer, count(*) FROM (SELECT consumer FROM "inbox_blocked" WHERE consumer = ? LIMIT 200000) AS counted GROUP BY consumer
;;
SELECT consumer, count(*), (julianday('now') - julianday(min(started_at))) * 86400000000.0 FROM (SELECT consumer, started_at FROM "inbox_attempts" LIMIT 200000) AS counted GROUP BY consumer
;;
SELECT consumer, count(*), (julianday('now') - julianday(min(started_at))) * 86400000000.0 FROM (SELECT consumer, started_at FROM "inbox_attempts" WHERE consumer = ? LIMIT 200000) AS counted GROUP BY consumer
;;
SELECT consumer, kafka_topic, kafka_partition, COALESCE(kafka_group, ''), COALESCE(topic_id, ''), applied_offset, next_offset, epoch, '' || updated_at, (julianday('now') - julianday(updated_at)) * 86400000000.0 FROM "inbox_offsets" ORDER BY consumer, kafka_topic, kafka_partition
;;
SELECT consumer, kafka_topic, kafka_partition, COALESCE(kafka_group, ''), COALESCE(topic_id, ''), applied_offset, next_offset, epoch, '' || updated_at, (julianday('now') - julianday(updated_at)) * 86400000000.0 FROM "inbox_offsets" WHERE consumer = ? ORDER BY consumer, kafka_topic, kafka_partition
;;
SELECT consumer, state, count(*), '' || min(parked_at), (julianday('now') - julianday(min(parked_at))) * 86400000000.0 FROM (SELECT consumer, state, parked_at FROM "inbox_parked" ORDER BY seq LIMIT 200000) AS counted GROUP BY consumer, state
;;
SELECT consumer, state, count(*), '' || min(parked_at), (julianday('now') - julianday(min(parked_at))) * 86400000000.0 FROM (SELECT consumer, state, parked_at FROM "inbox_parked" WHERE consumer = ? ORDER BY seq LIMIT 200000) AS counted GROUP BY consumer, state
;;
SELECT count(*) FROM "inbox_replica_rows" WHERE replica = ? AND run_id = ?
;;
SELECT count(*) FROM (SELECT 1 FROM "inbox_parked" WHERE consumer = ? AND topic = ? AND event_key = ? AND state = ? LIMIT 200000) AS counted
;;
SELECT count(*) FROM (SELECT 1 FROM "inbox_parked" WHERE state = ? LIMIT 200000) AS counted
;;
SELECT count(*) FROM (SELECT 1 FROM "inbox_parked" WHERE topic = ? AND event_key = ? AND state = ? LIMIT 200000) AS counted
;;
SELECT count(*) FROM (SELECT 1 FROM "outbox_events" LIMIT 200001) AS counted
;;
SELECT count(*) FROM (SELECT 1 FROM "outbox_parked" WHERE state = 'failed' AND (overtaken <> 0) LIMIT 200000) AS counted
;;
SELECT count(*) FROM (SELECT 1 FROM "outbox_parked" WHERE state = ? LIMIT 200000) AS counted
;;
SELECT count(*) FROM (SELECT 1 FROM "outbox_parked" WHERE topic = ? AND event_key = ? AND state = ? LIMIT 200000) AS counted
;;
SELECT count(*) FROM (SELECT 1 FROM "outbox_parked" WHERE topic = ? AND event_key = ? LIMIT 200000) AS counted
;;
SELECT count(*) FROM (SELECT 1 FROM "outbox_parked" WHERE topic = ? AND state = ? LIMIT 200000) AS counted
;;
SELECT count(*) FROM (SELECT DISTINCT topic, event_key FROM (SELECT topic, event_key, state, parked_at FROM "outbox_parked" ORDER BY seq LIMIT 100001) AS counted WHERE event_key IS NOT NULL) AS waiting
;;
SELECT count(*) FROM sqlite_master WHERE type IN ('table', 'view') AND name = ?
;;
SELECT count(*), '' || min(processed_at), (julianday('now') - julianday(min(processed_at))) * 86400000000.0 FROM (SELECT processed_at FROM "inbox_events" WHERE consumer = ? ORDER BY processed_at LIMIT 2147483647) AS counted
;;
SELECT count(*), CAST((julianday('now') - julianday(min(deliver_at))) * 86400000000 AS INTEGER) FROM
	(SELECT deliver_at FROM "none_outbox_scheduled" WHERE deliver_at < strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z' ORDER BY deliver_at LIMIT 10000)
;;
SELECT count(*), CAST((julianday('now') - julianday(min(deliver_at))) * 86400000000 AS INTEGER) FROM
	(SELECT deliver_at FROM "outbox_scheduled" WHERE deliver_at < strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z' ORDER BY deliver_at LIMIT 10000)
;;
SELECT count(*), min(id) FROM (SELECT id FROM "outbox_events" WHERE id < 1 ORDER BY id LIMIT 200000) AS below
;;
SELECT epoch, next_offset FROM "inbox_offsets" WHERE consumer = ? AND kafka_topic = ? AND kafka_partition = ?
;;
SELECT epoch, source_id, mode, 'sqlite', json_extract(hints, '$.position'), json_extract(hints, '$.proved') FROM "outbox_leases" WHERE id = 1
;;
SELECT event_id, topic, event_key, event_type, payload, payload IS NULL, headers, '' || deliver_at FROM "outbox_scheduled" ORDER BY deliver_at, seq
;;
SELECT event_id, topic, event_key, event_type, payload, payload IS NULL, headers, NULL FROM "outbox_events" ORDER BY id
;;
SELECT event_key FROM "inbox_blocked" WHERE consumer = ? AND topic = ? AND event_key IN (?)
;;
SELECT event_key FROM "inbox_blocked" WHERE consumer = ? AND topic = ? AND event_key IN (?, …)
;;
SELECT id, event_id, COALESCE(LENGTH(payload), 0) FROM "outbox_events" WHERE id IN (‹n›, …)
;;
SELECT id, event_id, topic, error FROM "outbox_parked" WHERE state = 'failed' ORDER BY seq LIMIT 1
;;
SELECT id, event_id, topic, strftime('%Y-%m-%dT%H:%M:%fZ', created_at),
	CAST((julianday('now') - julianday(created_at)) * 86400000000 AS INTEGER)
FROM "none_outbox_events" ORDER BY id LIMIT 1
;;
SELECT id, event_id, topic, strftime('%Y-%m-%dT%H:%M:%fZ', created_at),
	CAST((julianday('now') - julianday(created_at)) * 86400000000 AS INTEGER)
FROM "outbox_events" ORDER BY id LIMIT 1
;;
SELECT id, topic, event_key, '' || dropped_at, error FROM "outbox_drops" WHERE event_id = ? ORDER BY seq
;;
SELECT id, topic, event_key, event_type, '' || created_at FROM "outbox_events" WHERE event_id = ? ORDER BY id
;;
SELECT id, topic, event_key, event_type, '' || created_at, '' || delivered_at, kafka_partition, kafka_offset FROM "outbox_archive" WHERE event_id = ? ORDER BY seq
;;
SELECT id, topic, event_key, event_type, '' || created_at, '' || parked_at, state, attempts, overtaken, error FROM "outbox_parked" WHERE event_id = ? ORDER BY seq
;;
SELECT json_extract(hints, '$.proved') FROM "outbox_leases" WHERE id = 1 AND owner = ? AND epoch = ? AND ? = 'sqlite'
;;
SELECT json_extract(hints, '$.topics') FROM "outbox_leases" WHERE id = 1
;;
SELECT kafka_topic, kafka_partition, COALESCE(kafka_group, ''), COALESCE(topic_id, ''), COALESCE(applied_offset, -1), COALESCE(next_offset, -1) FROM "inbox_offsets" WHERE consumer = ? AND kafka_topic IN (?)
;;
SELECT kafka_topic, kafka_partition, COALESCE(kafka_group, ''), COALESCE(topic_id, ''), COALESCE(applied_offset, -1), COALESCE(next_offset, -1) FROM "inbox_offsets" WHERE consumer = ? AND kafka_topic IN (?, …)
;;
SELECT max(id) FROM "none_outbox_events"
;;
SELECT max(id) FROM "outbox_events"
;;
SELECT max(id) FROM (SELECT id FROM "outbox_archive" ORDER BY seq DESC LIMIT 1000) AS latest
;;
SELECT max(id) FROM (SELECT id FROM "outbox_drops" ORDER BY seq DESC LIMIT 1000) AS latest
;;
SELECT max(id) FROM (SELECT id FROM "outbox_parked" ORDER BY seq DESC LIMIT 1000) AS latest
;;
SELECT max(seq) FROM sqlite_sequence WHERE name = ?
;;
SELECT message_id FROM "inbox_parked" WHERE consumer = ? AND message_id IN (?)
;;
SELECT message_id FROM "inbox_parked" WHERE consumer = ? AND message_id IN (?, …)
;;
SELECT message_id, kafka_topic, kafka_partition, kafka_offset, CAST(processed_at AS TEXT)
FROM "inbox_events"
WHERE consumer = ? AND processed_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', ?) || '000Z'
  AND processed_at >= ? AND (processed_at > ? OR message_id > ?)
ORDER BY processed_at, message_id LIMIT ?
;;
SELECT message_id, kafka_topic, kafka_partition, kafka_offset, CAST(processed_at AS TEXT)
FROM "shop_inbox_events"
WHERE consumer = ? AND processed_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', ?) || '000Z'
  AND processed_at >= ? AND (processed_at > ? OR message_id > ?)
ORDER BY processed_at, message_id LIMIT ?
;;
SELECT message_id, topic, event_key, event_type, headers, payload, payload IS NOT NULL, kafka_topic, kafka_partition, kafka_offset, attempts, error, state FROM "inbox_parked" WHERE consumer = ? AND seq = ?
;;
SELECT owner FROM "postroom_schema_lock" WHERE id = 1 AND NOT (owner IS NULL OR expires_at IS NULL OR expires_at < strftime('%Y-%m-%dT%H:%M:%f', 'now') OR expires_at > strftime('%Y-%m-%dT%H:%M:%f', 'now', '+60.000 seconds'))
;;
SELECT owner FROM "shop_postroom_schema_lock" WHERE id = 1 AND NOT (owner IS NULL OR expires_at IS NULL OR expires_at < strftime('%Y-%m-%dT%H:%M:%f', 'now') OR expires_at > strftime('%Y-%m-%dT%H:%M:%f', 'now', '+60.000 seconds'))
;;
SELECT owner, CAST((julianday(expires_at) - julianday('now')) * 86400000000 AS INTEGER) FROM "none_postroom_schema_lock" WHERE id = 1
;;
SELECT owner, CAST((julianday(expires_at) - julianday('now')) * 86400000000 AS INTEGER) FROM "postroom_schema_lock" WHERE id = 1
;;
SELECT owner, epoch, 'sqlite' FROM "outbox_leases" WHERE id = 1
;;
SELECT p.consumer, p.topic, p.event_key, min(p.seq), false FROM "inbox_parked" AS p
WHERE p.state = 'blocked' AND NOT EXISTS (SELECT 1 FROM "inbox_blocked" AS b WHERE p.consumer = b.consumer AND p.topic = b.topic AND p.event_key = b.event_key)
GROUP BY p.consumer, p.topic, p.event_key LIMIT 20
;;
SELECT p.consumer, p.topic, p.event_key, p.seq, true FROM "inbox_blocked" AS b
JOIN "inbox_parked" AS p ON p.seq = (SELECT min(q.seq) FROM "inbox_parked" AS q WHERE q.consumer = b.consumer AND q.topic = b.topic AND q.event_key = b.event_key)
WHERE p.state = 'blocked' LIMIT 20
;;
SELECT p.seq FROM "outbox_parked" AS p
WHERE p.seq > ? AND p.state = 'blocked' AND (p.event_key IS NULL OR NOT EXISTS (
  SELECT 1 FROM "outbox_parked" AS e WHERE e.topic = p.topic AND e.event_key = p.event_key AND e.seq < p.seq))
;;
SELECT r.seq, (
  SELECT k.seq FROM "outbox_parked" AS k WHERE k.topic = r.topic AND k.event_key = r.event_key AND k.state <> 'retry' ORDER BY k.seq LIMIT 1)
FROM json_each(?) AS a CROSS JOIN "outbox_parked" AS r ON r.seq = a.value
;;
SELECT relay_id, host, owned, CAST((julianday('now') - julianday(seen_at)) * 86400000000 AS INTEGER) AS ago
FROM "none_outbox_relays" WHERE ago < 3600000000 ORDER BY ago LIMIT 100
;;
SELECT relay_id, host, owned, CAST((julianday('now') - julianday(seen_at)) * 86400000000 AS INTEGER) AS ago
FROM "outbox_relays" WHERE ago < 3600000000 ORDER BY ago LIMIT 100
;;
SELECT relay_id, host, owned, CAST((julianday('now') - julianday(seen_at)) * 86400000000 AS INTEGER) FROM "outbox_relays" ORDER BY host, relay_id
;;
SELECT relay_id, host, owned, CAST((julianday('now') - julianday(seen_at)) * 86400000000 AS INTEGER) FROM "outbox_relays" WHERE relay_id <> ?
;;
SELECT replica, run_id, sent, '' || heard_at, (julianday('now') - julianday(heard_at)) * 86400000000.0 FROM "inbox_replica_runs" WHERE finished_at IS NULL ORDER BY replica, run_id
;;
SELECT row_key, version FROM "inbox_replica_rows"
WHERE replica = ? AND deleted_at IS NULL AND run_id < ? AND applied_at < ?
ORDER BY row_key LIMIT ?
;;
SELECT run_id, COALESCE(sent, -1), '' || started_at, finished_at IS NOT NULL
FROM "inbox_replica_runs" WHERE replica = ? ORDER BY run_id DESC
;;
SELECT seq FROM "outbox_drops" WHERE seq = 0
;;
SELECT seq FROM "outbox_parked" WHERE seq > ? AND seq <= ? AND event_key IS NOT NULL AND NOT overtaken ORDER BY seq LIMIT ?
;;
SELECT seq FROM "outbox_parked" WHERE state <> 'drop' AND seq < ? ORDER BY seq DESC LIMIT ?
;;
SELECT seq FROM "outbox_parked" WHERE state <> 'drop' ORDER BY seq DESC LIMIT ?
;;
SELECT seq FROM "outbox_parked" WHERE state = 'failed' AND seq < ? ORDER BY seq DESC LIMIT ?
;;
SELECT seq FROM "outbox_parked" WHERE state = 'failed' ORDER BY seq DESC LIMIT ?
;;
SELECT seq FROM "outbox_parked" WHERE topic = ? AND event_key = ? AND state <> 'drop' AND seq < ? ORDER BY seq DESC LIMIT ?
;;
SELECT seq FROM "outbox_parked" WHERE topic = ? AND event_key = ? AND state <> 'drop' ORDER BY seq DESC LIMIT ?
;;
SELECT seq FROM "outbox_parked" WHERE topic = ? AND event_key = ? AND state = 'failed' AND seq < ? ORDER BY seq DESC LIMIT ?
;;
SELECT seq FROM "outbox_parked" WHERE topic = ? AND event_key = ? AND state = 'failed' ORDER BY seq DESC LIMIT ?
;;
SELECT seq FROM "outbox_parked" WHERE topic = ? AND state = 'failed' AND seq < ? ORDER BY seq DESC LIMIT ?
;;
SELECT seq FROM "outbox_parked" WHERE topic = ? AND state = 'failed' ORDER BY seq DESC LIMIT ?
;;
SELECT seq FROM "outbox_scheduled" WHERE seq IN (SELECT value FROM json_each(?)) AND deliver_at <= strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'
;;
SELECT seq, consumer, message_id, topic, event_key, event_type, headers, kafka_topic, kafka_partition, kafka_offset, attempts, error, '' || parked_at, state, length(CAST(payload AS BLOB)), NULL FROM "inbox_parked" ORDER BY seq LIMIT ?
;;
SELECT seq, consumer, message_id, topic, event_key, event_type, headers, kafka_topic, kafka_partition, kafka_offset, attempts, error, '' || parked_at, state, length(CAST(payload AS BLOB)), NULL FROM "inbox_parked" WHERE (message_id = ?) ORDER BY seq LIMIT ?
;;
SELECT seq, consumer, message_id, topic, event_key, event_type, headers, kafka_topic, kafka_partition, kafka_offset, attempts, error, '' || parked_at, state, length(CAST(payload AS BLOB)), NULL FROM "inbox_parked" WHERE (seq = ? OR seq = ? OR seq = ? OR seq = ?) ORDER BY seq
;;
SELECT seq, consumer, message_id, topic, event_key, event_type, headers, kafka_topic, kafka_partition, kafka_offset, attempts, error, '' || parked_at, state, length(CAST(payload AS BLOB)), NULL FROM "inbox_parked" WHERE (seq = ? OR seq = ?) ORDER BY seq
;;
SELECT seq, consumer, message_id, topic, event_key, event_type, headers, kafka_topic, kafka_partition, kafka_offset, attempts, error, '' || parked_at, state, length(CAST(payload AS BLOB)), NULL FROM "inbox_parked" WHERE consumer = ? AND (message_id = ?) ORDER BY seq LIMIT ?
;;
SELECT seq, consumer, message_id, topic, event_key, event_type, headers, kafka_topic, kafka_partition, kafka_offset, attempts, error, '' || parked_at, state, length(CAST(payload AS BLOB)), substr(CAST(payload AS BLOB), 1, 10) FROM "inbox_parked" WHERE (message_id = ?) ORDER BY seq
;;
SELECT seq, event_id, COALESCE(LENGTH(payload), 0) FROM "outbox_parked" WHERE seq IN (1)
;;
SELECT seq, event_id, COALESCE(LENGTH(payload), 0) FROM "outbox_parked" WHERE seq IN (1,50000)
;;
SELECT seq, event_id, COALESCE(LENGTH(payload), 0) FROM "outbox_parked" WHERE seq IN (100001)
;;
SELECT seq, event_id, COALESCE(LENGTH(payload), 0) FROM "outbox_parked" WHERE seq IN (50001,100000)
;;
SELECT seq, event_id, COALESCE(LENGTH(payload), 0) FROM "outbox_parked" WHERE seq IN (‹n›, …)
;;
SELECT seq, event_id, topic, event_key, '' || deliver_at FROM "outbox_scheduled" WHERE deliver_at <= strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z' ORDER BY deliver_at, seq LIMIT 10
;;
SELECT seq, event_id, topic, event_key, '' || deliver_at FROM "outbox_scheduled" WHERE deliver_at <= strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z' ORDER BY deliver_at, seq LIMIT 100
;;
SELECT seq, event_id, topic, event_key, '' || deliver_at FROM "outbox_scheduled" WHERE deliver_at <= strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z' ORDER BY deliver_at, seq LIMIT 1000
;;
SELECT seq, event_id, topic, event_key, '' || deliver_at FROM "outbox_scheduled" WHERE deliver_at <= strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z' ORDER BY deliver_at, seq LIMIT 2
;;
SELECT seq, event_id, topic, event_key, '' || deliver_at FROM "outbox_scheduled" WHERE deliver_at <= strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z' ORDER BY deliver_at, seq LIMIT 300
;;
SELECT seq, id, event_id FROM "outbox_parked" WHERE seq > ? AND seq <= ? AND id BETWEEN ? AND ?
;;
SELECT seq, id, event_id, topic, event_key FROM "outbox_parked"
WHERE state IN ('retry', 'drop') AND state = 'drop' ORDER BY seq LIMIT ?
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers, created_at || '', parked_at || '', attempts, error, state, overtaken, length(CAST(payload AS BLOB)), NULL FROM "outbox_parked" ORDER BY seq LIMIT ?
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers, created_at || '', parked_at || '', attempts, error, state, overtaken, length(CAST(payload AS BLOB)), NULL FROM "outbox_parked" WHERE (event_id = ? OR seq = ? OR seq = ?) ORDER BY seq LIMIT ?
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers, created_at || '', parked_at || '', attempts, error, state, overtaken, length(CAST(payload AS BLOB)), NULL FROM "outbox_parked" WHERE (seq = ? OR seq = ? OR event_id = ?) ORDER BY seq LIMIT ?
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers, created_at || '', parked_at || '', attempts, error, state, overtaken, length(CAST(payload AS BLOB)), NULL FROM "outbox_parked" WHERE (seq = ? OR seq = ? OR seq = ?) ORDER BY seq
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers, created_at || '', parked_at || '', attempts, error, state, overtaken, length(CAST(payload AS BLOB)), NULL FROM "outbox_parked" WHERE (seq = ? OR seq = ?) ORDER BY seq
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers, created_at || '', parked_at || '', attempts, error, state, overtaken, length(CAST(payload AS BLOB)), NULL FROM "outbox_parked" WHERE (seq = ?) ORDER BY seq
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers, created_at || '', parked_at || '', attempts, error, state, overtaken, length(CAST(payload AS BLOB)), NULL FROM "outbox_parked" WHERE state = ? ORDER BY seq LIMIT ?
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers, created_at || '', parked_at || '', attempts, error, state, overtaken, length(CAST(payload AS BLOB)), NULL FROM "outbox_parked" WHERE topic = ? AND event_key = ? ORDER BY seq LIMIT ?
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers, created_at || '', parked_at || '', attempts, error, state, overtaken, length(CAST(payload AS BLOB)), NULL FROM "outbox_parked" WHERE topic = ? ORDER BY seq LIMIT ?
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers, created_at || '', parked_at || '', attempts, error, state, overtaken, length(CAST(payload AS BLOB)), substr(CAST(payload AS BLOB), 1, 10) FROM "outbox_parked" WHERE (event_id = ?) ORDER BY seq
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers, created_at || '', parked_at || '', attempts, error, state, overtaken, length(CAST(payload AS BLOB)), substr(CAST(payload AS BLOB), 1, 10) FROM "outbox_parked" WHERE (seq = ?) ORDER BY seq
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers, created_at || '', parked_at || '', attempts, error, state, overtaken, length(CAST(payload AS BLOB)), substr(CAST(payload AS BLOB), 1, 4) FROM "outbox_parked" WHERE (event_id = ?) ORDER BY seq
;;
SELECT seq, message_id, topic, event_key, event_type, headers, payload, payload IS NOT NULL, kafka_topic, kafka_partition, kafka_offset, attempts, error, state FROM "inbox_parked" WHERE consumer = ? AND topic = ? AND event_key = ? AND seq >= ? AND seq <= ? ORDER BY seq
;;
SELECT seq, overtaken, attempts, id, event_id, topic, event_key, event_type, payload, headers, created_at, payload IS NULL
FROM "outbox_parked" WHERE state = 'retry' AND seq IN (SELECT value FROM json_each(?)) ORDER BY seq
;;
SELECT seq, state FROM "inbox_parked" AS p WHERE consumer = ? AND topic = ? AND event_key = ? AND seq < ? AND EXISTS (SELECT 1 FROM "inbox_blocked" AS b WHERE b.consumer = p.consumer AND b.topic = p.topic AND b.event_key = p.event_key) AND seq NOT IN (1) ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM "inbox_parked" AS p WHERE consumer = ? AND topic = ? AND event_key = ? AND seq < ? AND EXISTS (SELECT 1 FROM "inbox_blocked" AS b WHERE b.consumer = p.consumer AND b.topic = p.topic AND b.event_key = p.event_key) AND state <> 'drop' ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM "inbox_parked" AS p WHERE consumer = ? AND topic = ? AND event_key = ? AND seq < ? AND EXISTS (SELECT 1 FROM "inbox_blocked" AS b WHERE b.consumer = p.consumer AND b.topic = p.topic AND b.event_key = p.event_key) ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM "inbox_parked" WHERE consumer = ? AND topic = ? AND event_key = ? AND seq > ? ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM "outbox_parked" WHERE state = 'failed' AND (overtaken <> 0) ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM "outbox_parked" WHERE topic = ? AND event_key = ? AND seq < ? AND state <> 'drop' AND seq NOT IN (1) ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM "outbox_parked" WHERE topic = ? AND event_key = ? AND seq < ? AND state <> 'drop' ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM "outbox_parked" WHERE topic = ? AND event_key = ? AND seq < ? AND state = 'failed' AND seq NOT IN (1) ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM "outbox_parked" WHERE topic = ? AND event_key = ? AND seq < ? AND state = 'failed' ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM "outbox_parked" WHERE topic = ? AND event_key = ? AND state = 'failed' AND (overtaken <> 0) ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM "outbox_parked" WHERE topic = ? AND event_key = ? ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM "outbox_parked" WHERE topic = ? AND event_key = ? ORDER BY seq LIMIT ?
;;
SELECT seq, state FROM "outbox_parked" WHERE topic = ? AND state = 'failed' AND (overtaken <> 0) ORDER BY seq LIMIT 1
;;
SELECT seq, state, attempts, COALESCE(length(payload), 0) + length(headers), message_id, CASE WHEN state = 'drop' THEN error ELSE '' END FROM "inbox_parked" WHERE consumer = ? AND topic = ? AND event_key = ? AND seq > ? AND state IN ('retry', 'drop') ORDER BY seq LIMIT ?
;;
SELECT seq, state, attempts, COALESCE(length(payload), 0) + length(headers), message_id, CASE WHEN state = 'drop' THEN error ELSE '' END FROM "inbox_parked" WHERE consumer = ? AND topic = ? AND event_key = ? AND seq > ? ORDER BY seq LIMIT ?
;;
SELECT seq, topic, event_key FROM "inbox_parked" WHERE consumer = ? AND state IN ('retry', 'drop') AND seq > ? ORDER BY seq LIMIT ?
;;
SELECT seq, topic, event_key, overtaken FROM "outbox_parked"
WHERE state IN ('retry', 'drop') AND state = 'retry' AND seq > ? ORDER BY seq LIMIT ?
;;
SELECT source, owner, (owner IS NULL OR expires_at IS NULL OR expires_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', ((0) / 1000.0) || ' seconds') || '000Z'
  OR expires_at > strftime('%Y-%m-%dT%H:%M:%f', 'now', ((2 * max(0, coalesce(json_extract(hints, '$.ttl_us'), 0) / 1000)) / 1000.0) || ' seconds') || '000Z') FROM "outbox_leases" WHERE id = 1
;;
SELECT source, source_id FROM "outbox_leases" WHERE id = 1
;;
SELECT source, source_id, owner, epoch, CAST((julianday(expires_at) - julianday('now')) * 86400000000 AS INTEGER),
	mode, json_extract(hints, '$.halted'), json_extract(hints, '$.ttl_us'), json_extract(hints, '$.position'), json_extract(hints, '$.topics'), json_extract(hints, '$.blind'), json_extract(hints, '$.outage')
FROM "none_outbox_leases" WHERE id = 1
;;
SELECT source, source_id, owner, epoch, CAST((julianday(expires_at) - julianday('now')) * 86400000000 AS INTEGER),
	mode, json_extract(hints, '$.halted'), json_extract(hints, '$.ttl_us'), json_extract(hints, '$.position'), json_extract(hints, '$.topics'), json_extract(hints, '$.blind'), json_extract(hints, '$.outage')
FROM "outbox_leases" WHERE id = 1
;;
SELECT source, source_id, owner, epoch, strftime('%Y-%m-%dT%H:%M:%fZ', expires_at),
	CAST((julianday(expires_at) - julianday('now')) * 86400000000 AS INTEGER), mode, json_extract(hints, '$.halted'), json_extract(hints, '$.ttl_us'), json_extract(hints, '$.blind'), json_extract(hints, '$.outage')
FROM "outbox_leases" WHERE id = 1
;;
SELECT source_id FROM "outbox_leases" WHERE id = 1
;;
SELECT sqlite_version()
;;
SELECT state, count(*) FROM (SELECT state FROM "outbox_parked" LIMIT 200000) AS counted GROUP BY state
;;
SELECT topic, count(*), max(size) FROM (SELECT topic, 0 AS size FROM "outbox_archive" ORDER BY seq DESC LIMIT 2000) AS sample GROUP BY topic
;;
SELECT topic, count(*), max(size) FROM (SELECT topic, 0 AS size FROM "outbox_scheduled" ORDER BY seq LIMIT 2000) AS sample GROUP BY topic
;;
SELECT topic, count(*), max(size) FROM (SELECT topic, coalesce(length(CAST(payload AS BLOB)), 0) + coalesce(length(CAST(event_key AS BLOB)), 0) + length(CAST(headers AS BLOB)) AS size FROM "none_outbox_events" ORDER BY id LIMIT 2000) AS sample GROUP BY topic
;;
SELECT topic, count(*), max(size) FROM (SELECT topic, coalesce(length(CAST(payload AS BLOB)), 0) + coalesce(length(CAST(event_key AS BLOB)), 0) + length(CAST(headers AS BLOB)) AS size FROM "outbox_events" ORDER BY id DESC LIMIT 2000) AS sample GROUP BY topic
;;
SELECT topic, count(*), max(size) FROM (SELECT topic, coalesce(length(CAST(payload AS BLOB)), 0) + coalesce(length(CAST(event_key AS BLOB)), 0) + length(CAST(headers AS BLOB)) AS size FROM "outbox_events" ORDER BY id LIMIT 2000) AS sample GROUP BY topic
;;
SELECT topic, count(*), max(size) FROM (SELECT topic, coalesce(length(CAST(payload AS BLOB)), 0) + coalesce(length(CAST(event_key AS BLOB)), 0) + length(CAST(headers AS BLOB)) AS size FROM "outbox_parked" ORDER BY seq LIMIT 2000) AS sample GROUP BY topic
;;
SELECT topic, event_key, event_type, '' || created_at, '' || deliver_at FROM "outbox_scheduled" WHERE event_id = ? ORDER BY seq
;;
SELECT topic, event_key, max(seq) FROM (
  SELECT * FROM (SELECT topic, event_key, seq FROM "outbox_parked"
    WHERE topic = ? AND event_key = ? AND seq > ? ORDER BY seq LIMIT ?)
  UNION ALL
  SELECT * FROM (SELECT topic, event_key, seq FROM "outbox_parked"
    WHERE event_key IS NOT NULL AND (topic, event_key) > (?, …) ORDER BY topic, event_key, seq LIMIT ?)
  LIMIT ?
) AS part GROUP BY topic, event_key ORDER BY topic, event_key
;;
SELECT upper(sql) FROM sqlite_master WHERE type = 'table' AND name = ?
;;
SELECT version, name, applied_at FROM "none_postroom_schema" ORDER BY version
;;
SELECT version, name, applied_at FROM "postroom_schema" ORDER BY version
;;
SELECT version, name, applied_at FROM "shop_postroom_schema" ORDER BY version
;;
UPDATE "inbox_attempts" SET attempts = attempts - 1 WHERE consumer = ? AND message_id = ? AND attempts > 0
;;
UPDATE "inbox_attempts" SET last_error = ? WHERE consumer = ? AND message_id = ?
;;
UPDATE "inbox_blocked" SET event_key = event_key WHERE consumer = ? AND topic = ? AND event_key = ?
;;
UPDATE "inbox_offsets" AS o SET applied_offset = max(COALESCE(o.applied_offset, v.applied), v.applied), updated_at = strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z' FROM (SELECT CAST(? AS text) AS topic, CAST(? AS integer) AS part, CAST(? AS text) AS id, CAST(? AS integer) AS applied, CAST(? AS integer) AS noted UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, …) AS v WHERE o.consumer = ? AND o.kafka_group = ? AND o.kafka_topic = v.topic AND o.kafka_partition = v.part AND COALESCE(o.topic_id, '') = v.id AND COALESCE(o.applied_offset, 0) >= v.noted
;;
UPDATE "inbox_offsets" AS o SET applied_offset = max(COALESCE(o.applied_offset, v.applied), v.applied), updated_at = strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z' FROM (SELECT CAST(? AS text) AS topic, CAST(? AS integer) AS part, CAST(? AS text) AS id, CAST(? AS integer) AS applied, CAST(? AS integer) AS noted UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, …) AS v WHERE o.consumer = ? AND o.kafka_group = ? AND o.kafka_topic = v.topic AND o.kafka_partition = v.part AND COALESCE(o.topic_id, '') = v.id AND COALESCE(o.applied_offset, 0) >= v.noted
;;
UPDATE "inbox_offsets" AS o SET applied_offset = max(COALESCE(o.applied_offset, v.applied), v.applied), updated_at = strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z' FROM (SELECT CAST(? AS text) AS topic, CAST(? AS integer) AS part, CAST(? AS text) AS id, CAST(? AS integer) AS applied, CAST(? AS integer) AS noted UNION ALL SELECT ?, …) AS v WHERE o.consumer = ? AND o.kafka_group = ? AND o.kafka_topic = v.topic AND o.kafka_partition = v.part AND COALESCE(o.topic_id, '') = v.id AND COALESCE(o.applied_offset, 0) >= v.noted
;;
UPDATE "inbox_offsets" AS o SET applied_offset = max(COALESCE(o.applied_offset, v.applied), v.applied), updated_at = strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z' FROM (SELECT CAST(? AS text) AS topic, CAST(? AS integer) AS part, CAST(? AS text) AS id, CAST(? AS integer) AS applied, CAST(? AS integer) AS noted) AS v WHERE o.consumer = ? AND o.kafka_group = ? AND o.kafka_topic = v.topic AND o.kafka_partition = v.part AND COALESCE(o.topic_id, '') = v.id AND COALESCE(o.applied_offset, 0) >= v.noted
;;
UPDATE "inbox_offsets" SET kafka_group = ?, topic_id = ?, applied_offset = ?, next_offset = NULL, epoch = epoch + 1, updated_at = strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z' WHERE consumer = ? AND kafka_topic = ? AND kafka_partition = ? AND COALESCE(kafka_group, '') = ? AND COALESCE(topic_id, '') = ?
;;
UPDATE "inbox_offsets" SET kafka_group = ?, topic_id = ?, applied_offset = max(COALESCE(applied_offset, ?), COALESCE(?, applied_offset)), next_offset = NULL, epoch = epoch + 1, updated_at = strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z' WHERE consumer = ? AND kafka_topic = ? AND kafka_partition = ? AND COALESCE(kafka_group, '') = ? AND COALESCE(topic_id, '') = ?
;;
UPDATE "inbox_offsets" SET kafka_group = ?, topic_id = ?, applied_offset = max(COALESCE(applied_offset, ?), COALESCE(?, applied_offset)), updated_at = strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z' WHERE consumer = ? AND kafka_topic = ? AND kafka_partition = ? AND COALESCE(kafka_group, '') = ? AND COALESCE(topic_id, '') = ?
;;
UPDATE "inbox_offsets" SET next_offset = ?, updated_at = strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z' WHERE consumer = ? AND kafka_topic = ? AND kafka_partition = ? AND epoch = ? AND COALESCE(next_offset, -1) BETWEEN ? AND ?
;;
UPDATE "inbox_parked" AS p SET state = 'retry' WHERE p.seq IN (SELECT value FROM json_each(?)) AND p.state IN ('failed', 'blocked', 'drop')
;;
UPDATE "inbox_parked" SET error = ? WHERE consumer = ? AND seq = ?
;;
UPDATE "inbox_parked" SET state = 'drop', error = substr(? || error, 1, 4000) WHERE state IN ('failed', 'blocked', 'retry')
;;
UPDATE "inbox_parked" SET state = 'drop', error = substr(? || error, 1, 4000) WHERE topic = ? AND event_key = ? AND state IN ('failed', 'blocked', 'retry')
;;
UPDATE "inbox_parked" SET state = 'failed', attempts = attempts + 1 WHERE consumer = ? AND seq = ? AND state = ?
;;
UPDATE "inbox_parked" SET state = 'retry' WHERE (state = 'failed' OR seq IN (SELECT head FROM (SELECT min(seq) AS head FROM "inbox_parked" WHERE event_key IS NOT NULL GROUP BY consumer, topic, event_key) AS heads)) AND state IN ('failed', 'blocked')
;;
UPDATE "inbox_parked" SET state = 'retry' WHERE consumer = ? AND seq = ? AND state = 'blocked'
;;
UPDATE "inbox_parked" SET state = 'retry' WHERE topic = ? AND event_key = ? AND (state = 'failed' OR seq IN (SELECT head FROM (SELECT min(seq) AS head FROM "inbox_parked" WHERE event_key IS NOT NULL GROUP BY consumer, topic, event_key) AS heads)) AND state IN ('failed', 'blocked')
;;
UPDATE "inbox_parked" SET state = 'retry', attempts = attempts - 1 WHERE consumer = ? AND seq = ? AND state = 'failed' AND attempts > 0
;;
UPDATE "inbox_parked" SET state = CASE WHEN seq = ? THEN 'failed' ELSE state END, attempts = 1 WHERE consumer = ? AND topic = ? AND event_key = ? AND seq >= ? AND seq <= ? AND attempts = 0 AND state IN ('retry', 'blocked')
;;
UPDATE "inbox_parked" SET state = CASE WHEN state = 'failed' THEN 'retry' ELSE state END, attempts = 0 WHERE consumer = ? AND topic = ? AND event_key = ? AND seq >= ? AND seq <= ? AND attempts = 1
;;
UPDATE "inbox_replica_rows" SET deleted_at = strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z' WHERE replica = ? AND row_key = ?
;;
UPDATE "inbox_replica_runs" SET finished_at = strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z' WHERE replica = ? AND run_id <= ? AND finished_at IS NULL
;;
UPDATE "inbox_replica_runs" SET sent = ?, started_at = ? WHERE replica = ? AND run_id = ?
;;
UPDATE "outbox_leases"
SET owner = ?, epoch = epoch + 1, mode = coalesce(mode, ?), expires_at = strftime('%Y-%m-%dT%H:%M:%f', 'now', ((3600000) / 1000.0) || ' seconds') || '000Z',
    hints = json_set(json_remove(hints, '$.halted', '$.blind', '$.outage'), '$.ttl_us', 3600000 * 1000)
WHERE id = 1 AND (owner = ? OR (owner IS NULL OR expires_at IS NULL OR expires_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', ((0) / 1000.0) || ' seconds') || '000Z'
  OR expires_at > strftime('%Y-%m-%dT%H:%M:%f', 'now', ((2 * max(3600000, coalesce(json_extract(hints, '$.ttl_us'), 0) / 1000)) / 1000.0) || ' seconds') || '000Z'))
;;
UPDATE "outbox_leases"
SET owner = ?, epoch = epoch + 1, mode = coalesce(mode, ?), expires_at = strftime('%Y-%m-%dT%H:%M:%f', 'now', ((60000) / 1000.0) || ' seconds') || '000Z',
    hints = json_set(json_remove(hints, '$.halted', '$.blind', '$.outage'), '$.ttl_us', 60000 * 1000)
WHERE id = 1 AND (owner = ? OR (owner IS NULL OR expires_at IS NULL OR expires_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', ((0) / 1000.0) || ' seconds') || '000Z'
  OR expires_at > strftime('%Y-%m-%dT%H:%M:%f', 'now', ((2 * max(60000, coalesce(json_extract(hints, '$.ttl_us'), 0) / 1000)) / 1000.0) || ' seconds') || '000Z'))
;;
UPDATE "outbox_leases" SET epoch = epoch WHERE id = 1
;;
UPDATE "outbox_leases" SET expires_at = strftime('%Y-%m-%dT%H:%M:%f', 'now', ((3600000) / 1000.0) || ' seconds') || '000Z' WHERE id = 1 AND owner = ? AND epoch = ?
;;
UPDATE "outbox_leases" SET hints = json_set(hints, '$.blind', ?) WHERE id = 1
;;
UPDATE "outbox_leases" SET hints = json_set(hints, '$.halted', ?) WHERE id = 1
;;
UPDATE "outbox_leases" SET hints = json_set(hints, '$.outage', json(?)) WHERE id = 1
;;
UPDATE "outbox_leases" SET hints = json_set(hints, '$.position', json(?)) WHERE id = 1
;;
UPDATE "outbox_leases" SET hints = json_set(hints, '$.proved', json(?)) WHERE id = 1 AND owner = ? AND epoch = ? AND ? = 'sqlite'
;;
UPDATE "outbox_leases" SET hints = json_set(hints, '$.topics', json(?)) WHERE id = 1
;;
UPDATE "outbox_leases" SET mode = ? WHERE id = 1
;;
UPDATE "outbox_leases" SET owner = NULL, expires_at = NULL, hints = json_remove(hints, '$.heir') WHERE id = 1 AND owner = ? AND epoch = ?
;;
UPDATE "outbox_leases" SET owner = NULL, expires_at = NULL, hints = json_set(hints, '$.heir', '‹uuid›') WHERE id = 1 AND owner = ? AND epoch = ?
;;
UPDATE "outbox_leases" SET source = ? WHERE id = 1
;;
UPDATE "outbox_leases" SET source = ? WHERE id = 1 AND source IS NULL
;;
UPDATE "outbox_leases" SET source_id = ?, hints = json_remove(hints, '$.position', '$.halted') WHERE id = 1
;;
UPDATE "outbox_parked" AS p SET attempts = p.attempts + 1, error = json_extract(a.value, '$[2]'),
    overtaken = p.overtaken OR json_extract(a.value, '$[3]'), state = CASE p.state WHEN 'drop' THEN 'drop' ELSE 'failed' END
FROM json_each(?) AS a WHERE p.seq = json_extract(a.value, '$[0]') AND p.event_id = json_extract(a.value, '$[1]')
;;
UPDATE "outbox_parked" AS p SET state = 'drop', error = substr(? || p.error, 1, 4000) WHERE p.seq IN (SELECT value FROM json_each(?)) AND p.state <> 'drop'
;;
UPDATE "outbox_parked" AS p SET state = 'retry' WHERE p.seq IN (SELECT value FROM json_each(?)) AND p.state IN ('failed', 'drop')
;;
UPDATE "outbox_parked" AS p SET state = 'retry' WHERE p.seq IN (SELECT value FROM json_each(?)) AND p.state IN ('failed', 'drop') AND NOT (p.overtaken <> 0)
;;
UPDATE "outbox_parked" SET overtaken = true WHERE seq IN (SELECT value FROM json_each(?))
;;
UPDATE "outbox_parked" SET state = 'blocked' WHERE seq IN (
  SELECT p.seq FROM json_each(?) AS a CROSS JOIN "outbox_parked" AS r
    ON r.seq = json_extract(a.value, '$[0]') AND r.event_id = json_extract(a.value, '$[1]')
  CROSS JOIN "outbox_parked" AS p ON p.topic = r.topic AND p.event_key = r.event_key AND p.seq > r.seq
  WHERE p.state = 'retry' AND NOT p.overtaken)
;;
UPDATE "outbox_parked" SET state = 'retry' WHERE seq IN (SELECT value FROM json_each(?)) AND state = 'blocked'
;;
UPDATE "postroom_schema_lock" SET expires_at = strftime('%Y-%m-%dT%H:%M:%f', 'now', '+30.000 seconds') WHERE id = 1 AND owner = '‹process›'
;;
UPDATE "postroom_schema_lock" SET owner = '‹process›', expires_at = strftime('%Y-%m-%dT%H:%M:%f', 'now', '+30.000 seconds') WHERE id = 1 AND (owner IS NULL OR expires_at IS NULL OR expires_at < strftime('%Y-%m-%dT%H:%M:%f', 'now') OR expires_at > strftime('%Y-%m-%dT%H:%M:%f', 'now', '+60.000 seconds'))
;;
UPDATE "postroom_schema_lock" SET owner = NULL, expires_at = NULL WHERE id = 1 AND owner = '‹process›'
;;
UPDATE "shop_postroom_schema_lock" SET expires_at = strftime('%Y-%m-%dT%H:%M:%f', 'now', '+30.000 seconds') WHERE id = 1 AND owner = '‹process›'
;;
UPDATE "shop_postroom_schema_lock" SET owner = '‹process›', expires_at = strftime('%Y-%m-%dT%H:%M:%f', 'now', '+30.000 seconds') WHERE id = 1 AND (owner IS NULL OR expires_at IS NULL OR expires_at < strftime('%Y-%m-%dT%H:%M:%f', 'now') OR expires_at > strftime('%Y-%m-%dT%H:%M:%f', 'now', '+60.000 seconds'))
;;
UPDATE "shop_postroom_schema_lock" SET owner = NULL, expires_at = NULL WHERE id = 1 AND owner = '‹process›'
;;
