/*M! SET STATEMENT innodb_lock_wait_timeout = 1 FOR */ DELETE FROM `outbox_events`
WHERE id BETWEEN ? AND ?
  AND EXISTS (SELECT 1 FROM (SELECT id FROM `outbox_events` WHERE id = ? AND event_id = ? LIMIT 1) AS last)
  AND EXISTS (SELECT 1 FROM `outbox_leases` WHERE id = 1 AND owner = ? AND epoch = ? AND CONCAT_WS('/', @@hostname, @@port, @@server_id) = ?)
ORDER BY id LIMIT ?
;;
/*M! SET STATEMENT innodb_lock_wait_timeout = 1 FOR */ DELETE e FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]', event_id CHAR(36) PATH '$[1]')) AS delivered
STRAIGHT_JOIN `outbox_events` AS e FORCE INDEX (PRIMARY) ON e.id = delivered.id AND e.event_id = CONVERT(delivered.event_id USING ascii) COLLATE ascii_bin
WHERE EXISTS (SELECT 1 FROM `outbox_leases` WHERE id = 1 AND owner = ? AND epoch = ? AND CONCAT_WS('/', @@hostname, @@port, @@server_id) = ?)
;;
/*M! SET STATEMENT innodb_lock_wait_timeout = 1 FOR */ INSERT INTO `outbox_archive` (id, event_id, topic, event_key, event_type, payload, headers, created_at, kafka_partition, kafka_offset)
SELECT e.id, e.event_id, e.topic, e.event_key, e.event_type, e.payload, e.headers, e.created_at, delivered.kafka_partition, delivered.kafka_offset
FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]', event_id CHAR(36) PATH '$[1]',
  kafka_partition INT PATH '$[2]', kafka_offset BIGINT PATH '$[3]')) AS delivered
STRAIGHT_JOIN `outbox_events` AS e FORCE INDEX (PRIMARY) ON e.id = delivered.id AND e.event_id = CONVERT(delivered.event_id USING ascii) COLLATE ascii_bin
ORDER BY delivered.id FOR UPDATE
;;
CREATE TABLE IF NOT EXISTS `postroom_schema_lock` (
    id         smallint     NOT NULL PRIMARY KEY,
    owner      varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
    expires_at datetime(6)  NULL
) ENGINE = InnoDB
;;
CREATE TABLE IF NOT EXISTS `postroom_schema` (
    version    bigint       NOT NULL PRIMARY KEY,
    name       varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    applied_at datetime(6)  NOT NULL DEFAULT (utc_timestamp(6))
) ENGINE = InnoDB
;;
DELETE FROM `outbox_archive` WHERE delivered_at < UTC_TIMESTAMP(6) - INTERVAL 604800000000 MICROSECOND ORDER BY delivered_at LIMIT 1000
;;
DELETE FROM `outbox_archive` WHERE seq = -1
;;
DELETE FROM `outbox_parked` WHERE seq = 0
;;
DELETE FROM `outbox_relays` WHERE relay_id = ?
;;
DELETE e FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]', event_id CHAR(36) PATH '$[1]')) AS delivered
STRAIGHT_JOIN `outbox_events` AS e FORCE INDEX (PRIMARY) ON e.id = delivered.id AND e.event_id = CONVERT(delivered.event_id USING ascii) COLLATE ascii_bin
;;
INSERT IGNORE INTO `postroom_schema_lock` (id) VALUES (1)
;;
INSERT INTO `inbox_events` (consumer, message_id, kafka_topic, kafka_partition, kafka_offset)
VALUES (?, …)
;;
INSERT INTO `outbox_archive` (id, event_id, topic, event_key, event_type, payload, headers, created_at, kafka_partition, kafka_offset) SELECT id, event_id, topic, event_key, event_type, payload, headers, created_at, kafka_partition, kafka_offset FROM `outbox_archive` WHERE seq = -1
;;
INSERT INTO `outbox_events` (event_id, topic, event_key, event_type, payload, headers) VALUES (?, …)
;;
INSERT INTO `outbox_events` (event_id, topic, event_key, event_type, payload, headers) VALUES (?, …), …
;;
INSERT INTO `outbox_parked` (id, event_id, topic, event_type, headers, created_at)
SELECT id, event_id, topic, event_type, headers, created_at FROM `outbox_events` WHERE id = 0
;;
INSERT INTO `outbox_relays` (relay_id, host, owned, seen_at)
VALUES (?, ?, ?, UTC_TIMESTAMP(6)) ON DUPLICATE KEY UPDATE host = VALUES(host), owned = VALUES(owned), seen_at = VALUES(seen_at)
;;
INSERT INTO `postroom_schema` (version, name) VALUES (1, '00001_outbox.sql')
;;
INSERT INTO `postroom_schema` (version, name) VALUES (3, '00003_outbox_relay.sql')
;;
INSERT INTO `postroom_schema` (version, name) VALUES (6, '00006_outbox_backfill.sql')
;;
RELEASE SAVEPOINT postroom_inbox
;;
SAVEPOINT postroom_inbox
;;
SELECT (owner IS NULL OR expires_at IS NULL OR expires_at < UTC_TIMESTAMP(6)
  OR expires_at > UTC_TIMESTAMP(6) + INTERVAL 2 * GREATEST(3000000, COALESCE(CAST(JSON_VALUE(hints, '$.ttl_us') AS SIGNED), 0)) MICROSECOND), CASE WHEN owner IS NULL THEN JSON_VALUE(hints, '$.heir') END, owner IS NOT NULL AND coalesce(JSON_VALUE(hints, '$.blind'), '') <> '', coalesce(mode, '') FROM `outbox_leases` WHERE id = 1
;;
SELECT (owner IS NULL OR expires_at IS NULL OR expires_at < UTC_TIMESTAMP(6)
  OR expires_at > UTC_TIMESTAMP(6) + INTERVAL 2 * GREATEST(4000000, COALESCE(CAST(JSON_VALUE(hints, '$.ttl_us') AS SIGNED), 0)) MICROSECOND), CASE WHEN owner IS NULL THEN JSON_VALUE(hints, '$.heir') END, owner IS NOT NULL AND coalesce(JSON_VALUE(hints, '$.blind'), '') <> '', coalesce(mode, '') FROM `outbox_leases` WHERE id = 1
;;
SELECT (owner IS NULL OR expires_at IS NULL OR expires_at < UTC_TIMESTAMP(6)
  OR expires_at > UTC_TIMESTAMP(6) + INTERVAL 2 * GREATEST(60000000, COALESCE(CAST(JSON_VALUE(hints, '$.ttl_us') AS SIGNED), 0)) MICROSECOND), CASE WHEN owner IS NULL THEN JSON_VALUE(hints, '$.heir') END, owner IS NOT NULL AND coalesce(JSON_VALUE(hints, '$.blind'), '') <> '', coalesce(mode, '') FROM `outbox_leases` WHERE id = 1
;;
SELECT (owner IS NULL OR expires_at IS NULL OR expires_at < UTC_TIMESTAMP(6)
  OR expires_at > UTC_TIMESTAMP(6) + INTERVAL 2 * GREATEST(600000000, COALESCE(CAST(JSON_VALUE(hints, '$.ttl_us') AS SIGNED), 0)) MICROSECOND), CASE WHEN owner IS NULL THEN JSON_VALUE(hints, '$.heir') END, owner IS NOT NULL AND coalesce(JSON_VALUE(hints, '$.blind'), '') <> '', coalesce(mode, '') FROM `outbox_leases` WHERE id = 1
;;
SELECT /* ‹uuid› */ trx_mysql_thread_id, trx_started, COALESCE(trx_query, '')
FROM information_schema.innodb_trx
;;
SELECT 0, NULL, IF(@@read_only, 'standby', 'primary'), NULL, CONCAT_WS('/', @@hostname, @@port, @@server_id), NULL, NULL, NULL
UNION ALL (SELECT id, event_id, topic, event_key, event_type, payload, headers, TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '‹day› 00:00:00', created_at) FROM `outbox_events` WHERE id > ‹n› ORDER BY id LIMIT ‹n›)
;;
SELECT 0, NULL, IF(@@read_only, 'standby', 'primary'), NULL, CONCAT_WS('/', @@hostname, @@port, @@server_id), NULL, NULL, NULL
UNION ALL (SELECT id, event_id, topic, event_key, event_type, payload, headers, TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '‹day› 00:00:00', created_at) FROM `outbox_events` WHERE ‹gaps› ORDER BY id LIMIT ‹n›)
;;
SELECT 0, NULL, IF(@@read_only, 'standby', 'primary'), NULL, CONCAT_WS('/', @@hostname, @@port, @@server_id), NULL, NULL, NULL
UNION ALL (SELECT id, event_id, topic, event_key, event_type, payload, headers, TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '‹day› 00:00:00', created_at) FROM `outbox_events` WHERE ‹gaps› ORDER BY id LIMIT ‹n›)
UNION ALL (SELECT id, event_id, topic, event_key, event_type, payload, headers, TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '‹day› 00:00:00', created_at) FROM `outbox_events` WHERE id > ‹n› ORDER BY id LIMIT ‹n›)
;;
SELECT 1 FROM `postroom_schema_lock` WHERE id = 1
;;
SELECT CAST(topic AS BINARY), event_key, max(seq) FROM (
  SELECT topic, event_key, seq FROM `outbox_parked` FORCE INDEX (`outbox_parked_key_idx`)
  WHERE event_key IS NOT NULL AND (topic > ? OR topic = ? AND (event_key > ? OR event_key = ? AND seq > ?))
  ORDER BY topic, event_key, seq LIMIT ?
) AS part GROUP BY CAST(topic AS BINARY), event_key ORDER BY max(topic), event_key, max(seq)
;;
SELECT COUNT(*) FROM information_schema.columns
WHERE table_schema = 'information_schema' AND table_name = 'PROCESSLIST' AND column_name = 'QUERY_ID'
;;
SELECT COUNT(*) FROM information_schema.user_privileges
WHERE privilege_type = 'PROCESS' AND grantee = CONCAT('''', SUBSTRING_INDEX(CURRENT_USER(), '@', 1), '''@''', SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '''')
;;
SELECT EXISTS (SELECT 1 FROM `outbox_parked` WHERE state IN ('retry', 'drop'))
;;
SELECT JSON_EXTRACT(hints, '$.proved') FROM `outbox_leases` WHERE id = 1 AND owner = ? AND epoch = ? AND ? = CONCAT_WS('/', @@hostname, @@port, @@server_id)
;;
SELECT JSON_EXTRACT(hints, '$.topics') FROM `outbox_leases` WHERE id = 1
;;
SELECT MAX(auto_increment) FROM information_schema.tables
WHERE table_schema = DATABASE() AND table_name = ?
;;
SELECT TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), deliver_at) FROM `outbox_scheduled` FORCE INDEX (`outbox_scheduled_due_idx`) ORDER BY deliver_at, seq LIMIT 1
;;
SELECT epoch FROM `outbox_leases` WHERE id = 1
;;
SELECT epoch, source_id, mode, CONCAT_WS('/', @@hostname, @@port, @@server_id), JSON_EXTRACT(hints, '$.position'), JSON_EXTRACT(hints, '$.proved') FROM `outbox_leases` WHERE id = 1
;;
SELECT id FROM `outbox_leases` WHERE id = 1 FOR UPDATE
;;
SELECT id, event_id FROM `outbox_events` WHERE id <= ? ORDER BY id LIMIT ?
;;
SELECT id, query_id, command FROM information_schema.processlist
WHERE command NOT IN ('Daemon', 'Binlog Dump', 'Binlog Dump GTID') AND id <> CONNECTION_ID()
;;
SELECT owner FROM `postroom_schema_lock` WHERE id = 1 AND NOT (owner IS NULL OR expires_at IS NULL OR expires_at < utc_timestamp(6) OR expires_at > utc_timestamp(6) + INTERVAL 60000000 MICROSECOND)
;;
SELECT owner, epoch, CONCAT_WS('/', @@hostname, @@port, @@server_id) FROM `outbox_leases` WHERE id = 1
;;
SELECT owner, epoch, CONCAT_WS('/', @@hostname, @@port, @@server_id) FROM `outbox_leases` WHERE id = 1 FOR UPDATE
;;
SELECT relay_id, host, owned, TIMESTAMPDIFF(MICROSECOND, seen_at, UTC_TIMESTAMP(6)) FROM `outbox_relays` WHERE relay_id <> ?
;;
SELECT source, source_id, @@read_only, @@auto_increment_increment FROM `outbox_leases` WHERE id = 1
;;
SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_name = 'outbox_archive' AND table_comment NOT LIKE 'Postroom:%'
;;
SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_name = 'outbox_backfills' AND table_comment NOT LIKE 'Postroom:%'
;;
SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_name = 'outbox_drops' AND table_comment NOT LIKE 'Postroom:%'
;;
SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_name = 'outbox_events' AND table_comment NOT LIKE 'Postroom:%'
;;
SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_name = 'outbox_key_locks' AND table_comment NOT LIKE 'Postroom:%'
;;
SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_name = 'outbox_leases' AND table_comment NOT LIKE 'Postroom:%'
;;
SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_name = 'outbox_parked' AND table_comment NOT LIKE 'Postroom:%'
;;
SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_name = 'outbox_relays' AND table_comment NOT LIKE 'Postroom:%'
;;
SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_name = 'outbox_scheduled' AND table_comment NOT LIKE 'Postroom:%'
;;
SELECT version, name, date_format(applied_at, '%Y-%m-%dT%H:%i:%s.%fZ') FROM `postroom_schema` ORDER BY version
;;
SHOW GLOBAL VARIABLES LIKE 'group_replication_group_name'
;;
SHOW GLOBAL VARIABLES LIKE 'wsrep_on'
;;
UPDATE `outbox_leases`
SET expires_at = UTC_TIMESTAMP(6) + INTERVAL 3000000 MICROSECOND
WHERE id = 1 AND owner = ? AND epoch = ? AND CONCAT_WS('/', @@hostname, @@port, @@server_id) = ?
;;
UPDATE `outbox_leases`
SET expires_at = UTC_TIMESTAMP(6) + INTERVAL 60000000 MICROSECOND
WHERE id = 1 AND owner = ? AND epoch = ? AND CONCAT_WS('/', @@hostname, @@port, @@server_id) = ?
;;
UPDATE `outbox_leases`
SET owner = ?, epoch = epoch + 1, mode = coalesce(mode, ?), expires_at = UTC_TIMESTAMP(6) + INTERVAL 3000000 MICROSECOND,
    hints = JSON_SET(JSON_REMOVE(hints, '$.halted', '$.blind', '$.outage'), '$.ttl_us', 3000000)
WHERE id = 1 AND (owner = ? OR (owner IS NULL OR expires_at IS NULL OR expires_at < UTC_TIMESTAMP(6)
  OR expires_at > UTC_TIMESTAMP(6) + INTERVAL 2 * GREATEST(3000000, COALESCE(CAST(JSON_VALUE(hints, '$.ttl_us') AS SIGNED), 0)) MICROSECOND))
;;
UPDATE `outbox_leases`
SET owner = ?, epoch = epoch + 1, mode = coalesce(mode, ?), expires_at = UTC_TIMESTAMP(6) + INTERVAL 4000000 MICROSECOND,
    hints = JSON_SET(JSON_REMOVE(hints, '$.halted', '$.blind', '$.outage'), '$.ttl_us', 4000000)
WHERE id = 1 AND (owner = ? OR (owner IS NULL OR expires_at IS NULL OR expires_at < UTC_TIMESTAMP(6)
  OR expires_at > UTC_TIMESTAMP(6) + INTERVAL 2 * GREATEST(4000000, COALESCE(CAST(JSON_VALUE(hints, '$.ttl_us') AS SIGNED), 0)) MICROSECOND))
;;
UPDATE `outbox_leases`
SET owner = ?, epoch = epoch + 1, mode = coalesce(mode, ?), expires_at = UTC_TIMESTAMP(6) + INTERVAL 60000000 MICROSECOND,
    hints = JSON_SET(JSON_REMOVE(hints, '$.halted', '$.blind', '$.outage'), '$.ttl_us', 60000000)
WHERE id = 1 AND (owner = ? OR (owner IS NULL OR expires_at IS NULL OR expires_at < UTC_TIMESTAMP(6)
  OR expires_at > UTC_TIMESTAMP(6) + INTERVAL 2 * GREATEST(60000000, COALESCE(CAST(JSON_VALUE(hints, '$.ttl_us') AS SIGNED), 0)) MICROSECOND))
;;
UPDATE `outbox_leases`
SET owner = ?, epoch = epoch + 1, mode = coalesce(mode, ?), expires_at = UTC_TIMESTAMP(6) + INTERVAL 600000000 MICROSECOND,
    hints = JSON_SET(JSON_REMOVE(hints, '$.halted', '$.blind', '$.outage'), '$.ttl_us', 600000000)
WHERE id = 1 AND (owner = ? OR (owner IS NULL OR expires_at IS NULL OR expires_at < UTC_TIMESTAMP(6)
  OR expires_at > UTC_TIMESTAMP(6) + INTERVAL 2 * GREATEST(600000000, COALESCE(CAST(JSON_VALUE(hints, '$.ttl_us') AS SIGNED), 0)) MICROSECOND))
;;
UPDATE `outbox_leases` SET hints = JSON_SET(hints, '$.halted', ?) WHERE id = 1
;;
UPDATE `outbox_leases` SET hints = JSON_SET(hints, '$.outage', JSON_EXTRACT(?, '$')) WHERE id = 1
;;
UPDATE `outbox_leases` SET hints = JSON_SET(hints, '$.position', JSON_EXTRACT(?, '$')) WHERE id = 1
;;
UPDATE `outbox_leases` SET hints = JSON_SET(hints, '$.proved', JSON_EXTRACT(?, '$')) WHERE id = 1 AND owner = ? AND epoch = ? AND ? = CONCAT_WS('/', @@hostname, @@port, @@server_id)
;;
UPDATE `outbox_leases` SET hints = JSON_SET(hints, '$.topics', JSON_EXTRACT(?, '$')) WHERE id = 1
;;
UPDATE `outbox_leases` SET owner = NULL, expires_at = NULL, hints = JSON_REMOVE(hints, '$.heir') WHERE id = 1 AND owner = ? AND epoch = ?
;;
UPDATE `outbox_leases` SET owner = NULL, expires_at = NULL, hints = JSON_SET(hints, '$.heir', '‹uuid›') WHERE id = 1 AND owner = ? AND epoch = ?
;;
UPDATE `outbox_leases` SET source = ? WHERE id = 1 AND source IS NULL
;;
UPDATE `outbox_parked` SET attempts = attempts WHERE seq = 0
;;
UPDATE `postroom_schema_lock` SET expires_at = utc_timestamp(6) + INTERVAL 30000000 MICROSECOND WHERE id = 1 AND owner = '‹process›'
;;
UPDATE `postroom_schema_lock` SET owner = '‹process›', expires_at = utc_timestamp(6) + INTERVAL 30000000 MICROSECOND WHERE id = 1 AND (owner IS NULL OR expires_at IS NULL OR expires_at < utc_timestamp(6) OR expires_at > utc_timestamp(6) + INTERVAL 60000000 MICROSECOND)
;;
UPDATE `postroom_schema_lock` SET owner = NULL, expires_at = NULL WHERE id = 1 AND owner = '‹process›'
;;
