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
DELETE FROM "outbox_events"
WHERE id BETWEEN ? AND ?
  AND EXISTS (SELECT 1 FROM "outbox_events" WHERE id = ? AND event_id = ?)
  AND EXISTS (SELECT 1 FROM "outbox_leases" WHERE id = 1 AND owner = ? AND epoch = ?)
;;
DELETE FROM "outbox_events"
WHERE id IN (SELECT e.id FROM json_each(?) AS delivered CROSS JOIN "outbox_events" AS e
    ON e.id = json_extract(delivered.value, '$[0]') AND e.event_id = json_extract(delivered.value, '$[1]'))
  AND EXISTS (SELECT 1 FROM "outbox_leases" WHERE id = 1 AND owner = ? AND epoch = ?)
;;
DELETE FROM "outbox_relays" WHERE relay_id = ?
;;
INSERT INTO "outbox_events" (event_id, topic, event_key, event_type, payload, headers) VALUES (?, …)
;;
INSERT INTO "outbox_events" (event_id, topic, event_key, event_type, payload, headers) VALUES (?, …), …
;;
INSERT INTO "outbox_relays" (relay_id, host, owned, seen_at)
VALUES (?, ?, ?, strftime('%Y-%m-%dT%H:%M:%f', 'now', ((0) / 1000.0) || ' seconds') || '000Z') ON CONFLICT (relay_id) DO UPDATE SET host = excluded.host, owned = excluded.owned, seen_at = excluded.seen_at
;;
INSERT INTO "postroom_schema" (version, name) VALUES (1, '00001_outbox.sql')
;;
INSERT INTO "postroom_schema" (version, name) VALUES (3, '00003_outbox_relay.sql')
;;
INSERT INTO "postroom_schema" (version, name) VALUES (6, '00006_outbox_backfill.sql')
;;
INSERT OR IGNORE INTO "postroom_schema_lock" (id) VALUES (1)
;;
SELECT (owner IS NULL OR expires_at IS NULL OR expires_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', ((0) / 1000.0) || ' seconds') || '000Z'
  OR expires_at > strftime('%Y-%m-%dT%H:%M:%f', 'now', ((2 * max(3000, coalesce(json_extract(hints, '$.ttl_us'), 0) / 1000)) / 1000.0) || ' seconds') || '000Z'), CASE WHEN owner IS NULL THEN json_extract(hints, '$.heir') END, owner IS NOT NULL AND coalesce(json_extract(hints, '$.blind'), '') <> '', coalesce(mode, '') FROM "outbox_leases" WHERE id = 1
;;
SELECT (owner IS NULL OR expires_at IS NULL OR expires_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', ((0) / 1000.0) || ' seconds') || '000Z'
  OR expires_at > strftime('%Y-%m-%dT%H:%M:%f', 'now', ((2 * max(4000, coalesce(json_extract(hints, '$.ttl_us'), 0) / 1000)) / 1000.0) || ' seconds') || '000Z'), CASE WHEN owner IS NULL THEN json_extract(hints, '$.heir') END, owner IS NOT NULL AND coalesce(json_extract(hints, '$.blind'), '') <> '', coalesce(mode, '') FROM "outbox_leases" WHERE id = 1
;;
SELECT (owner IS NULL OR expires_at IS NULL OR expires_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', ((0) / 1000.0) || ' seconds') || '000Z'
  OR expires_at > strftime('%Y-%m-%dT%H:%M:%f', 'now', ((2 * max(60000, coalesce(json_extract(hints, '$.ttl_us'), 0) / 1000)) / 1000.0) || ' seconds') || '000Z'), CASE WHEN owner IS NULL THEN json_extract(hints, '$.heir') END, owner IS NOT NULL AND coalesce(json_extract(hints, '$.blind'), '') <> '', coalesce(mode, '') FROM "outbox_leases" WHERE id = 1
;;
SELECT (owner IS NULL OR expires_at IS NULL OR expires_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', ((0) / 1000.0) || ' seconds') || '000Z'
  OR expires_at > strftime('%Y-%m-%dT%H:%M:%f', 'now', ((2 * max(600000, coalesce(json_extract(hints, '$.ttl_us'), 0) / 1000)) / 1000.0) || ' seconds') || '000Z'), CASE WHEN owner IS NULL THEN json_extract(hints, '$.heir') END, owner IS NOT NULL AND coalesce(json_extract(hints, '$.blind'), '') <> '', coalesce(mode, '') FROM "outbox_leases" WHERE id = 1
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
SELECT 1 FROM "postroom_schema_lock" WHERE id = 1
;;
SELECT CASE WHEN deliver_at <= strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z' THEN 0
  ELSE CAST((julianday(deliver_at) - julianday('now')) * 86400000000 AS INTEGER) END
FROM "outbox_scheduled" ORDER BY deliver_at, seq LIMIT 1
;;
SELECT EXISTS (SELECT 1 FROM "outbox_parked" WHERE state IN ('retry', 'drop'))
;;
SELECT epoch, source_id, mode, 'sqlite', json_extract(hints, '$.position'), json_extract(hints, '$.proved') FROM "outbox_leases" WHERE id = 1
;;
SELECT id, event_id FROM "outbox_events" WHERE id <= ? ORDER BY id LIMIT ?
;;
SELECT json_extract(hints, '$.proved') FROM "outbox_leases" WHERE id = 1 AND owner = ? AND epoch = ? AND ? = 'sqlite'
;;
SELECT json_extract(hints, '$.topics') FROM "outbox_leases" WHERE id = 1
;;
SELECT owner FROM "postroom_schema_lock" WHERE id = 1 AND NOT (owner IS NULL OR expires_at IS NULL OR expires_at < strftime('%Y-%m-%dT%H:%M:%f', 'now') OR expires_at > strftime('%Y-%m-%dT%H:%M:%f', 'now', '+60.000 seconds'))
;;
SELECT owner, epoch, 'sqlite' FROM "outbox_leases" WHERE id = 1
;;
SELECT relay_id, host, owned, CAST((julianday('now') - julianday(seen_at)) * 86400000000 AS INTEGER) FROM "outbox_relays" WHERE relay_id <> ?
;;
SELECT source, source_id FROM "outbox_leases" WHERE id = 1
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
SELECT version, name, applied_at FROM "postroom_schema" ORDER BY version
;;
UPDATE "outbox_leases"
SET owner = ?, epoch = epoch + 1, mode = coalesce(mode, ?), expires_at = strftime('%Y-%m-%dT%H:%M:%f', 'now', ((3000) / 1000.0) || ' seconds') || '000Z',
    hints = json_set(json_remove(hints, '$.halted', '$.blind', '$.outage'), '$.ttl_us', 3000 * 1000)
WHERE id = 1 AND (owner = ? OR (owner IS NULL OR expires_at IS NULL OR expires_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', ((0) / 1000.0) || ' seconds') || '000Z'
  OR expires_at > strftime('%Y-%m-%dT%H:%M:%f', 'now', ((2 * max(3000, coalesce(json_extract(hints, '$.ttl_us'), 0) / 1000)) / 1000.0) || ' seconds') || '000Z'))
;;
UPDATE "outbox_leases"
SET owner = ?, epoch = epoch + 1, mode = coalesce(mode, ?), expires_at = strftime('%Y-%m-%dT%H:%M:%f', 'now', ((4000) / 1000.0) || ' seconds') || '000Z',
    hints = json_set(json_remove(hints, '$.halted', '$.blind', '$.outage'), '$.ttl_us', 4000 * 1000)
WHERE id = 1 AND (owner = ? OR (owner IS NULL OR expires_at IS NULL OR expires_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', ((0) / 1000.0) || ' seconds') || '000Z'
  OR expires_at > strftime('%Y-%m-%dT%H:%M:%f', 'now', ((2 * max(4000, coalesce(json_extract(hints, '$.ttl_us'), 0) / 1000)) / 1000.0) || ' seconds') || '000Z'))
;;
UPDATE "outbox_leases"
SET owner = ?, epoch = epoch + 1, mode = coalesce(mode, ?), expires_at = strftime('%Y-%m-%dT%H:%M:%f', 'now', ((60000) / 1000.0) || ' seconds') || '000Z',
    hints = json_set(json_remove(hints, '$.halted', '$.blind', '$.outage'), '$.ttl_us', 60000 * 1000)
WHERE id = 1 AND (owner = ? OR (owner IS NULL OR expires_at IS NULL OR expires_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', ((0) / 1000.0) || ' seconds') || '000Z'
  OR expires_at > strftime('%Y-%m-%dT%H:%M:%f', 'now', ((2 * max(60000, coalesce(json_extract(hints, '$.ttl_us'), 0) / 1000)) / 1000.0) || ' seconds') || '000Z'))
;;
UPDATE "outbox_leases"
SET owner = ?, epoch = epoch + 1, mode = coalesce(mode, ?), expires_at = strftime('%Y-%m-%dT%H:%M:%f', 'now', ((600000) / 1000.0) || ' seconds') || '000Z',
    hints = json_set(json_remove(hints, '$.halted', '$.blind', '$.outage'), '$.ttl_us', 600000 * 1000)
WHERE id = 1 AND (owner = ? OR (owner IS NULL OR expires_at IS NULL OR expires_at < strftime('%Y-%m-%dT%H:%M:%f', 'now', ((0) / 1000.0) || ' seconds') || '000Z'
  OR expires_at > strftime('%Y-%m-%dT%H:%M:%f', 'now', ((2 * max(600000, coalesce(json_extract(hints, '$.ttl_us'), 0) / 1000)) / 1000.0) || ' seconds') || '000Z'))
;;
UPDATE "outbox_leases" SET epoch = epoch WHERE id = 1
;;
UPDATE "outbox_leases" SET expires_at = strftime('%Y-%m-%dT%H:%M:%f', 'now', ((3000) / 1000.0) || ' seconds') || '000Z' WHERE id = 1 AND owner = ? AND epoch = ?
;;
UPDATE "outbox_leases" SET expires_at = strftime('%Y-%m-%dT%H:%M:%f', 'now', ((60000) / 1000.0) || ' seconds') || '000Z' WHERE id = 1 AND owner = ? AND epoch = ?
;;
UPDATE "outbox_leases" SET hints = json_set(hints, '$.halted', ?) WHERE id = 1
;;
UPDATE "outbox_leases" SET hints = json_set(hints, '$.outage', json(?)) WHERE id = 1
;;
UPDATE "outbox_leases" SET hints = json_set(hints, '$.proved', json(?)) WHERE id = 1 AND owner = ? AND epoch = ? AND ? = 'sqlite'
;;
UPDATE "outbox_leases" SET hints = json_set(hints, '$.topics', json(?)) WHERE id = 1
;;
UPDATE "outbox_leases" SET owner = NULL, expires_at = NULL, hints = json_remove(hints, '$.heir') WHERE id = 1 AND owner = ? AND epoch = ?
;;
UPDATE "outbox_leases" SET owner = NULL, expires_at = NULL, hints = json_set(hints, '$.heir', '‹uuid›') WHERE id = 1 AND owner = ? AND epoch = ?
;;
UPDATE "outbox_leases" SET source = ? WHERE id = 1 AND source IS NULL
;;
UPDATE "postroom_schema_lock" SET expires_at = strftime('%Y-%m-%dT%H:%M:%f', 'now', '+30.000 seconds') WHERE id = 1 AND owner = '‹process›'
;;
UPDATE "postroom_schema_lock" SET owner = '‹process›', expires_at = strftime('%Y-%m-%dT%H:%M:%f', 'now', '+30.000 seconds') WHERE id = 1 AND (owner IS NULL OR expires_at IS NULL OR expires_at < strftime('%Y-%m-%dT%H:%M:%f', 'now') OR expires_at > strftime('%Y-%m-%dT%H:%M:%f', 'now', '+60.000 seconds'))
;;
UPDATE "postroom_schema_lock" SET owner = NULL, expires_at = NULL WHERE id = 1 AND owner = '‹process›'
;;
