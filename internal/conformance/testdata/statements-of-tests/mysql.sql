(SELECT seq, topic, event_key FROM `inbox_parked` WHERE consumer = ? AND state = 'retry' AND seq > ? ORDER BY seq LIMIT ?)
UNION ALL (SELECT seq, topic, event_key FROM `inbox_parked` WHERE consumer = ? AND state = 'drop' AND seq > ? ORDER BY seq LIMIT ?) ORDER BY seq LIMIT ?
;;
/*M! SET STATEMENT innodb_lock_wait_timeout = 1 FOR */ DELETE FROM `outbox_events`
WHERE id BETWEEN ? AND ?
  AND EXISTS (SELECT 1 FROM (SELECT id FROM `outbox_events` WHERE id = ? AND event_id = ? LIMIT 1) AS last)
  AND EXISTS (SELECT 1 FROM `outbox_leases` WHERE id = 1 AND owner = ? AND epoch = ? AND CONCAT_WS('/', @@hostname, @@port, @@server_id) = ?)
ORDER BY id LIMIT ?
;;
/*M! SET STATEMENT innodb_lock_wait_timeout = 1 FOR */ DELETE e FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]', event_id CHAR(36) PATH '$[1]')) AS a
STRAIGHT_JOIN `outbox_events` AS e FORCE INDEX (PRIMARY) ON e.id = a.id AND e.event_id = CONVERT(a.event_id USING ascii) COLLATE ascii_bin
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
/*M! SET STATEMENT innodb_lock_wait_timeout = 1 FOR */ INSERT INTO `outbox_parked` (id, event_id, topic, event_key, event_type, payload, headers, created_at, attempts, error, state, overtaken)
SELECT e.id, e.event_id, e.topic, e.event_key, e.event_type, e.payload, e.headers, e.created_at,
       a.state = 'failed', COALESCE(a.error, ''), a.state, a.overtaken
FROM JSON_TABLE(?, '$[*]' COLUMNS (n FOR ORDINALITY, id BIGINT PATH '$[0]', event_id CHAR(36) PATH '$[1]',
  state VARCHAR(16) PATH '$[2]', error VARCHAR(4000) PATH '$[3]', overtaken INT PATH '$[4]')) AS a
STRAIGHT_JOIN `outbox_events` AS e FORCE INDEX (PRIMARY) ON e.id = a.id AND e.event_id = CONVERT(a.event_id USING ascii) COLLATE ascii_bin
ORDER BY a.n FOR UPDATE
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
CREATE TABLE IF NOT EXISTS `shop_postroom_schema_lock` (
    id         smallint     NOT NULL PRIMARY KEY,
    owner      varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
    expires_at datetime(6)  NULL
) ENGINE = InnoDB
;;
CREATE TABLE IF NOT EXISTS `shop_postroom_schema` (
    version    bigint       NOT NULL PRIMARY KEY,
    name       varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    applied_at datetime(6)  NOT NULL DEFAULT (utc_timestamp(6))
) ENGINE = InnoDB
;;
DELETE FROM `customers` WHERE `id` IN (?)
;;
DELETE FROM `customers` WHERE `id` IN (?, …)
;;
DELETE FROM `inbox_attempts` WHERE consumer = ? AND message_id = ?
;;
DELETE FROM `inbox_attempts` WHERE consumer = ? AND started_at < utc_timestamp(6) - INTERVAL ? MICROSECOND LIMIT ?
;;
DELETE FROM `inbox_blocked` WHERE consumer = ? AND topic = ? AND event_key = ?
;;
DELETE FROM `inbox_events` WHERE consumer = ? AND processed_at < utc_timestamp(6) - INTERVAL ? MICROSECOND AND message_id IN (?)
;;
DELETE FROM `inbox_events` WHERE consumer = ? AND processed_at < utc_timestamp(6) - INTERVAL ? MICROSECOND AND message_id IN (?, …)
;;
DELETE FROM `inbox_parked` WHERE consumer = ? AND seq = ?
;;
DELETE FROM `inbox_parked` WHERE consumer = ? AND topic = ? AND event_key = ? AND seq >= ? AND seq <= ? AND NOT EXISTS (SELECT 1 FROM (SELECT seq FROM `inbox_parked` WHERE consumer = ? AND seq = ? LIMIT 1) AS first)
;;
DELETE FROM `inbox_replica_rows` WHERE replica = ? AND deleted_at < utc_timestamp(6) - INTERVAL ? MICROSECOND AND NOT EXISTS (SELECT 1 FROM `inbox_replica_runs` AS u WHERE u.replica = ? AND u.finished_at IS NULL) LIMIT ?
;;
DELETE FROM `order_lines` WHERE (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?)
;;
DELETE FROM `order_lines` WHERE (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?)
;;
DELETE FROM `order_lines` WHERE (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?) OR (`o` = ? AND `l` = ?)
;;
DELETE FROM `outbox_archive` WHERE delivered_at < UTC_TIMESTAMP(6) - INTERVAL 3000000000 MICROSECOND ORDER BY delivered_at LIMIT 10000
;;
DELETE FROM `outbox_archive` WHERE delivered_at < UTC_TIMESTAMP(6) - INTERVAL 3000000000 MICROSECOND ORDER BY delivered_at LIMIT 700
;;
DELETE FROM `outbox_archive` WHERE delivered_at < UTC_TIMESTAMP(6) - INTERVAL 86400000000 MICROSECOND ORDER BY delivered_at LIMIT 10000
;;
DELETE FROM `outbox_drops` WHERE dropped_at < UTC_TIMESTAMP(6) - INTERVAL 3600000000 MICROSECOND ORDER BY dropped_at LIMIT 1000
;;
DELETE FROM `outbox_parked` WHERE seq = 0
;;
DELETE FROM `outbox_relays` WHERE relay_id = ?
;;
DELETE FROM `outbox_relays` WHERE seen_at NOT BETWEEN UTC_TIMESTAMP(6) - INTERVAL 3600000000 MICROSECOND AND UTC_TIMESTAMP(6) + INTERVAL 3600000000 MICROSECOND
;;
DELETE FROM `shop_inbox_attempts` WHERE consumer = ? AND started_at < utc_timestamp(6) - INTERVAL ? MICROSECOND LIMIT ?
;;
DELETE e FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]', event_id CHAR(36) PATH '$[1]')) AS delivered
STRAIGHT_JOIN `outbox_events` AS e FORCE INDEX (PRIMARY) ON e.id = delivered.id AND e.event_id = CONVERT(delivered.event_id USING ascii) COLLATE ascii_bin
;;
DELETE p FROM JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT PATH '$[0]', event_id CHAR(36) PATH '$[1]')) AS a
STRAIGHT_JOIN `outbox_parked` AS p FORCE INDEX (PRIMARY) ON p.seq = a.seq AND p.event_id = CONVERT(a.event_id USING ascii) COLLATE ascii_bin
;;
DELETE s FROM JSON_TABLE('["‹uuid›", …]', '$[*]' COLUMNS (event_id CHAR(36) PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (`outbox_scheduled_event_id_key`)
  ON s.event_id = CONVERT(named.event_id USING ascii) COLLATE ascii_bin
;;
DELETE s FROM JSON_TABLE('["‹uuid›"]', '$[*]' COLUMNS (event_id CHAR(36) PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (`outbox_scheduled_event_id_key`)
  ON s.event_id = CONVERT(named.event_id USING ascii) COLLATE ascii_bin
;;
DELETE s FROM JSON_TABLE('[1,2]', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (PRIMARY) ON s.seq = named.number
;;
DELETE s FROM JSON_TABLE('[13]', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (PRIMARY) ON s.seq = named.number
;;
DELETE s FROM JSON_TABLE('[15,16]', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (PRIMARY) ON s.seq = named.number
;;
DELETE s FROM JSON_TABLE('[1]', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (PRIMARY) ON s.seq = named.number
;;
DELETE s FROM JSON_TABLE('[2]', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (PRIMARY) ON s.seq = named.number
;;
DELETE s FROM JSON_TABLE('[351,364]', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (PRIMARY) ON s.seq = named.number
;;
DELETE s FROM JSON_TABLE('[355,359]', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (PRIMARY) ON s.seq = named.number
;;
DELETE s FROM JSON_TABLE('[383]', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (PRIMARY) ON s.seq = named.number
;;
DELETE s FROM JSON_TABLE('[384]', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (PRIMARY) ON s.seq = named.number
;;
DELETE s FROM JSON_TABLE('[388]', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (PRIMARY) ON s.seq = named.number
;;
DELETE s FROM JSON_TABLE('[391]', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (PRIMARY) ON s.seq = named.number
;;
DELETE s FROM JSON_TABLE('[394]', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (PRIMARY) ON s.seq = named.number
;;
DELETE s FROM JSON_TABLE('[3]', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (PRIMARY) ON s.seq = named.number
;;
DELETE s FROM JSON_TABLE('[7,8]', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (PRIMARY) ON s.seq = named.number
;;
DELETE s FROM JSON_TABLE('[‹n›, …]', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (PRIMARY) ON s.seq = named.number
;;
EXPLAIN DELETE FROM `inbox_attempts` WHERE FALSE
;;
EXPLAIN DELETE FROM `inbox_blocked` WHERE FALSE
;;
EXPLAIN DELETE FROM `inbox_events` WHERE FALSE
;;
EXPLAIN DELETE FROM `inbox_offsets` WHERE FALSE
;;
EXPLAIN DELETE FROM `inbox_parked` WHERE FALSE
;;
EXPLAIN DELETE FROM `outbox_archive` WHERE FALSE
;;
EXPLAIN DELETE FROM `outbox_drops` WHERE FALSE
;;
EXPLAIN DELETE FROM `outbox_events` WHERE FALSE
;;
EXPLAIN DELETE FROM `outbox_parked` WHERE FALSE
;;
EXPLAIN DELETE FROM `outbox_relays` WHERE FALSE
;;
EXPLAIN DELETE FROM `outbox_scheduled` WHERE FALSE
;;
EXPLAIN INSERT INTO `customers` (`id`, `name`) SELECT `id`, `name` FROM `customers` WHERE 1 = 0 ON DUPLICATE KEY UPDATE `name` = VALUES(`name`)
;;
EXPLAIN INSERT INTO `inbox_attempts` () VALUES ()
;;
EXPLAIN INSERT INTO `inbox_blocked` () VALUES ()
;;
EXPLAIN INSERT INTO `inbox_events` () VALUES ()
;;
EXPLAIN INSERT INTO `inbox_offsets` () VALUES ()
;;
EXPLAIN INSERT INTO `inbox_parked` () VALUES ()
;;
EXPLAIN INSERT INTO `outbox_archive` () VALUES ()
;;
EXPLAIN INSERT INTO `outbox_drops` () VALUES ()
;;
EXPLAIN INSERT INTO `outbox_events` () VALUES ()
;;
EXPLAIN INSERT INTO `outbox_parked` () VALUES ()
;;
EXPLAIN INSERT INTO `outbox_relays` () VALUES ()
;;
EXPLAIN INSERT INTO `outbox_scheduled` () VALUES ()
;;
EXPLAIN SELECT 1 FROM `inbox_attempts` WHERE FALSE
;;
EXPLAIN SELECT 1 FROM `inbox_blocked` WHERE FALSE
;;
EXPLAIN SELECT 1 FROM `inbox_events` WHERE FALSE
;;
EXPLAIN SELECT 1 FROM `inbox_offsets` WHERE FALSE
;;
EXPLAIN SELECT 1 FROM `inbox_parked` WHERE FALSE
;;
EXPLAIN SELECT 1 FROM `outbox_archive` WHERE FALSE
;;
EXPLAIN SELECT 1 FROM `outbox_drops` WHERE FALSE
;;
EXPLAIN SELECT 1 FROM `outbox_events` WHERE FALSE
;;
EXPLAIN SELECT 1 FROM `outbox_leases` WHERE FALSE
;;
EXPLAIN SELECT 1 FROM `outbox_parked` WHERE FALSE
;;
EXPLAIN SELECT 1 FROM `outbox_relays` WHERE FALSE
;;
EXPLAIN SELECT 1 FROM `outbox_scheduled` WHERE FALSE
;;
EXPLAIN SELECT 1 FROM `postroom_schema` WHERE FALSE
;;
EXPLAIN SELECT message_id FROM `inbox_events` WHERE consumer = ?
;;
EXPLAIN UPDATE `inbox_attempts` SET consumer = '' WHERE FALSE
;;
EXPLAIN UPDATE `inbox_blocked` SET consumer = '' WHERE FALSE
;;
EXPLAIN UPDATE `inbox_events` SET consumer = '' WHERE FALSE
;;
EXPLAIN UPDATE `inbox_offsets` SET consumer = '' WHERE FALSE
;;
EXPLAIN UPDATE `inbox_parked` SET consumer = '' WHERE FALSE
;;
EXPLAIN UPDATE `outbox_archive` SET topic = '' WHERE FALSE
;;
EXPLAIN UPDATE `outbox_drops` SET topic = '' WHERE FALSE
;;
EXPLAIN UPDATE `outbox_leases` SET owner = '' WHERE FALSE
;;
EXPLAIN UPDATE `outbox_parked` SET topic = '' WHERE FALSE
;;
EXPLAIN UPDATE `outbox_relays` SET host = '' WHERE FALSE
;;
EXPLAIN UPDATE `outbox_scheduled` SET topic = '' WHERE FALSE
;;
INSERT IGNORE INTO `postroom_schema_lock` (id) VALUES (1)
;;
INSERT IGNORE INTO `shop_postroom_schema_lock` (id) VALUES (1)
;;
INSERT INTO `customers` (`id`, `name`) VALUES (?, …) ON DUPLICATE KEY UPDATE `name` = VALUES(`name`)
;;
INSERT INTO `customers` (`id`, `name`) VALUES (?, …), … ON DUPLICATE KEY UPDATE `name` = VALUES(`name`)
;;
INSERT INTO `inbox_attempts` (consumer, message_id, attempts) VALUES (?, ?, 1)
ON DUPLICATE KEY UPDATE attempts = attempts + ?, started_at = utc_timestamp(6)
;;
INSERT INTO `inbox_attempts` (consumer, message_id, attempts) VALUES (?, …)
ON DUPLICATE KEY UPDATE attempts = VALUES(attempts), started_at = utc_timestamp(6)
;;
INSERT INTO `inbox_blocked` (consumer, topic, event_key) VALUES (?, …) ON DUPLICATE KEY UPDATE event_key = VALUES(event_key)
;;
INSERT INTO `inbox_events` (consumer, message_id, kafka_topic, kafka_partition, kafka_offset)
VALUES (?, …)
;;
INSERT INTO `inbox_events` (consumer, message_id, kafka_topic, kafka_partition, kafka_offset, claim_token)
SELECT ?, UNHEX(m.id), UNHEX(m.topic), m.part, m.pos, ?
FROM JSON_TABLE(?, '$[*]' COLUMNS (id VARCHAR(510) PATH '$[0]', topic VARCHAR(1992) PATH '$[1]', part INT PATH '$[2]', pos BIGINT PATH '$[3]')) AS m
ON DUPLICATE KEY UPDATE `inbox_events`.consumer = `inbox_events`.consumer
;;
INSERT INTO `inbox_offsets` (consumer, kafka_topic, kafka_partition, epoch) VALUES (?, ?, ?, 1)
ON DUPLICATE KEY UPDATE epoch = epoch + 1
;;
INSERT INTO `inbox_offsets` (consumer, kafka_topic, kafka_partition, epoch, kafka_group, topic_id, applied_offset)
VALUES (?, ?, ?, 0, ?, …)
;;
INSERT INTO `inbox_parked` (consumer, message_id, topic, event_key, event_type, headers, payload,
kafka_topic, kafka_partition, kafka_offset, attempts, error, state) VALUES (?, …)
;;
INSERT INTO `inbox_replica_rows` (replica, row_key, version, deleted_at, applied_at, run_id, claim_token) VALUES (?, ?, ?, NULL, utc_timestamp(6), ?, …) ON DUPLICATE KEY UPDATE
claim_token = IF(VALUES(version) > version OR VALUES(version) = version AND deleted_at IS NULL AND LEFT(VALUES(claim_token), 1) = 'a', VALUES(claim_token), claim_token),
deleted_at = IF(VALUES(version) > version OR VALUES(version) = version AND deleted_at IS NULL AND LEFT(VALUES(claim_token), 1) = 'a', VALUES(deleted_at), deleted_at), applied_at = VALUES(applied_at),
run_id = GREATEST(run_id, VALUES(run_id)), version = GREATEST(version, VALUES(version))
;;
INSERT INTO `inbox_replica_rows` (replica, row_key, version, deleted_at, applied_at, run_id, claim_token) VALUES (?, ?, ?, NULL, utc_timestamp(6), ?, …), … ON DUPLICATE KEY UPDATE
claim_token = IF(VALUES(version) > version OR VALUES(version) = version AND deleted_at IS NULL AND LEFT(VALUES(claim_token), 1) = 'a', VALUES(claim_token), claim_token),
deleted_at = IF(VALUES(version) > version OR VALUES(version) = version AND deleted_at IS NULL AND LEFT(VALUES(claim_token), 1) = 'a', VALUES(deleted_at), deleted_at), applied_at = VALUES(applied_at),
run_id = GREATEST(run_id, VALUES(run_id)), version = GREATEST(version, VALUES(version))
;;
INSERT INTO `inbox_replica_rows` (replica, row_key, version, deleted_at, applied_at, run_id, claim_token) VALUES (?, ?, ?, utc_timestamp(6), utc_timestamp(6), ?, …) ON DUPLICATE KEY UPDATE
claim_token = IF(VALUES(version) > version OR VALUES(version) = version AND deleted_at IS NULL AND LEFT(VALUES(claim_token), 1) = 'a', VALUES(claim_token), claim_token),
deleted_at = IF(VALUES(version) > version OR VALUES(version) = version AND deleted_at IS NULL AND LEFT(VALUES(claim_token), 1) = 'a', VALUES(deleted_at), deleted_at), applied_at = VALUES(applied_at),
run_id = GREATEST(run_id, VALUES(run_id)), version = GREATEST(version, VALUES(version))
;;
INSERT INTO `inbox_replica_rows` (replica, row_key, version, deleted_at, applied_at, run_id, claim_token) VALUES (?, ?, ?, utc_timestamp(6), utc_timestamp(6), ?, …), … ON DUPLICATE KEY UPDATE
claim_token = IF(VALUES(version) > version OR VALUES(version) = version AND deleted_at IS NULL AND LEFT(VALUES(claim_token), 1) = 'a', VALUES(claim_token), claim_token),
deleted_at = IF(VALUES(version) > version OR VALUES(version) = version AND deleted_at IS NULL AND LEFT(VALUES(claim_token), 1) = 'a', VALUES(deleted_at), deleted_at), applied_at = VALUES(applied_at),
run_id = GREATEST(run_id, VALUES(run_id)), version = GREATEST(version, VALUES(version))
;;
INSERT INTO `inbox_replica_runs` (replica, run_id) VALUES (?, …) ON DUPLICATE KEY UPDATE run_id = VALUES(run_id)
;;
INSERT INTO `lines` (`o`, `l`, `name`) VALUES (?, …) ON DUPLICATE KEY UPDATE `name` = VALUES(`name`)
;;
INSERT INTO `order_lines` (`o`, `l`, `name`) VALUES (?, …) ON DUPLICATE KEY UPDATE `name` = VALUES(`name`)
;;
INSERT INTO `order_lines` (`o`, `l`, `name`) VALUES (?, …), … ON DUPLICATE KEY UPDATE `name` = VALUES(`name`)
;;
INSERT INTO `outbox_archive` (id, event_id, topic, event_key, event_type, payload, headers, created_at, kafka_partition, kafka_offset)
SELECT e.id, e.event_id, e.topic, e.event_key, e.event_type, e.payload, e.headers, e.created_at, delivered.kafka_partition, delivered.kafka_offset
FROM JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT PATH '$[0]', event_id CHAR(36) PATH '$[1]',
  kafka_partition INT PATH '$[2]', kafka_offset BIGINT PATH '$[3]')) AS delivered
STRAIGHT_JOIN `outbox_parked` AS e FORCE INDEX (PRIMARY) ON e.seq = delivered.seq AND e.event_id = CONVERT(delivered.event_id USING ascii) COLLATE ascii_bin
ORDER BY delivered.seq
;;
INSERT INTO `outbox_drops` (id, event_id, topic, event_key, error)
SELECT p.id, p.event_id, p.topic, p.event_key, p.error FROM JSON_TABLE(?, '$[*]' COLUMNS (v BIGINT PATH '$')) AS a
STRAIGHT_JOIN `outbox_parked` AS p FORCE INDEX (PRIMARY) ON p.seq = a.v ORDER BY a.v
;;
INSERT INTO `outbox_events` (event_id, topic, event_key, event_type, payload, headers) VALUES (?, …)
;;
INSERT INTO `outbox_events` (event_id, topic, event_key, event_type, payload, headers) VALUES (?, …), …
;;
INSERT INTO `outbox_events` (event_id, topic, event_key, event_type, payload, headers, created_at)
SELECT event_id, topic, event_key, event_type, payload, headers, created_at FROM JSON_TABLE('[1,2]', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (PRIMARY) ON s.seq = named.number ORDER BY deliver_at, seq
;;
INSERT INTO `outbox_events` (event_id, topic, event_key, event_type, payload, headers, created_at)
SELECT event_id, topic, event_key, event_type, payload, headers, created_at FROM JSON_TABLE('[13]', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (PRIMARY) ON s.seq = named.number ORDER BY deliver_at, seq
;;
INSERT INTO `outbox_events` (event_id, topic, event_key, event_type, payload, headers, created_at)
SELECT event_id, topic, event_key, event_type, payload, headers, created_at FROM JSON_TABLE('[15,16]', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (PRIMARY) ON s.seq = named.number ORDER BY deliver_at, seq
;;
INSERT INTO `outbox_events` (event_id, topic, event_key, event_type, payload, headers, created_at)
SELECT event_id, topic, event_key, event_type, payload, headers, created_at FROM JSON_TABLE('[1]', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (PRIMARY) ON s.seq = named.number ORDER BY deliver_at, seq
;;
INSERT INTO `outbox_events` (event_id, topic, event_key, event_type, payload, headers, created_at)
SELECT event_id, topic, event_key, event_type, payload, headers, created_at FROM JSON_TABLE('[2]', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (PRIMARY) ON s.seq = named.number ORDER BY deliver_at, seq
;;
INSERT INTO `outbox_events` (event_id, topic, event_key, event_type, payload, headers, created_at)
SELECT event_id, topic, event_key, event_type, payload, headers, created_at FROM JSON_TABLE('[351,364]', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (PRIMARY) ON s.seq = named.number ORDER BY deliver_at, seq
;;
INSERT INTO `outbox_events` (event_id, topic, event_key, event_type, payload, headers, created_at)
SELECT event_id, topic, event_key, event_type, payload, headers, created_at FROM JSON_TABLE('[355,359]', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (PRIMARY) ON s.seq = named.number ORDER BY deliver_at, seq
;;
INSERT INTO `outbox_events` (event_id, topic, event_key, event_type, payload, headers, created_at)
SELECT event_id, topic, event_key, event_type, payload, headers, created_at FROM JSON_TABLE('[383]', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (PRIMARY) ON s.seq = named.number ORDER BY deliver_at, seq
;;
INSERT INTO `outbox_events` (event_id, topic, event_key, event_type, payload, headers, created_at)
SELECT event_id, topic, event_key, event_type, payload, headers, created_at FROM JSON_TABLE('[384]', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (PRIMARY) ON s.seq = named.number ORDER BY deliver_at, seq
;;
INSERT INTO `outbox_events` (event_id, topic, event_key, event_type, payload, headers, created_at)
SELECT event_id, topic, event_key, event_type, payload, headers, created_at FROM JSON_TABLE('[388]', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (PRIMARY) ON s.seq = named.number ORDER BY deliver_at, seq
;;
INSERT INTO `outbox_events` (event_id, topic, event_key, event_type, payload, headers, created_at)
SELECT event_id, topic, event_key, event_type, payload, headers, created_at FROM JSON_TABLE('[391]', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (PRIMARY) ON s.seq = named.number ORDER BY deliver_at, seq
;;
INSERT INTO `outbox_events` (event_id, topic, event_key, event_type, payload, headers, created_at)
SELECT event_id, topic, event_key, event_type, payload, headers, created_at FROM JSON_TABLE('[394]', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (PRIMARY) ON s.seq = named.number ORDER BY deliver_at, seq
;;
INSERT INTO `outbox_events` (event_id, topic, event_key, event_type, payload, headers, created_at)
SELECT event_id, topic, event_key, event_type, payload, headers, created_at FROM JSON_TABLE('[3]', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (PRIMARY) ON s.seq = named.number ORDER BY deliver_at, seq
;;
INSERT INTO `outbox_events` (event_id, topic, event_key, event_type, payload, headers, created_at)
SELECT event_id, topic, event_key, event_type, payload, headers, created_at FROM JSON_TABLE('[7,8]', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (PRIMARY) ON s.seq = named.number ORDER BY deliver_at, seq
;;
INSERT INTO `outbox_events` (event_id, topic, event_key, event_type, payload, headers, created_at)
SELECT event_id, topic, event_key, event_type, payload, headers, created_at FROM JSON_TABLE('[‹n›, …]', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (PRIMARY) ON s.seq = named.number ORDER BY deliver_at, seq
;;
INSERT INTO `outbox_events` (event_id, topic, event_key, event_type, payload, headers, created_at) SELECT event_id, topic, event_key, event_type, payload, headers, created_at FROM `outbox_archive` WHERE seq IN (1) ORDER BY seq
;;
INSERT INTO `outbox_events` (event_id, topic, event_key, event_type, payload, headers, created_at) SELECT event_id, topic, event_key, event_type, payload, headers, created_at FROM `outbox_archive` WHERE seq IN (2) ORDER BY seq
;;
INSERT INTO `outbox_events` (event_id, topic, event_key, event_type, payload, headers, created_at) SELECT event_id, topic, event_key, event_type, payload, headers, created_at FROM `outbox_archive` WHERE seq IN (‹n›, …) ORDER BY seq
;;
INSERT INTO `outbox_events` (topic, event_key, event_type, payload, headers, created_at) SELECT topic, event_key, event_type, payload, headers, created_at FROM `outbox_archive` WHERE seq IN (‹n›, …) ORDER BY seq
;;
INSERT INTO `outbox_parked` (id, event_id, topic, event_type, headers, created_at)
SELECT id, event_id, topic, event_type, headers, created_at FROM `outbox_events` WHERE id = 0
;;
INSERT INTO `outbox_relays` (relay_id, host, owned, seen_at)
VALUES (?, ?, ?, UTC_TIMESTAMP(6)) ON DUPLICATE KEY UPDATE host = VALUES(host), owned = VALUES(owned), seen_at = VALUES(seen_at)
;;
INSERT INTO `outbox_scheduled` (event_id, topic, event_key, event_type, payload, headers, deliver_at) VALUES (?, …)
;;
INSERT INTO `outbox_scheduled` (event_id, topic, event_key, event_type, payload, headers, deliver_at) VALUES (?, …), …
;;
INSERT INTO `postroom_schema` (version, name) VALUES (1, '00001_outbox.sql')
;;
INSERT INTO `postroom_schema` (version, name) VALUES (2, '00002_inbox.sql')
;;
INSERT INTO `postroom_schema` (version, name) VALUES (3, '00003_outbox_relay.sql')
;;
INSERT INTO `postroom_schema` (version, name) VALUES (4, '00004_inbox_offsets.sql')
;;
INSERT INTO `postroom_schema` (version, name) VALUES (5, '00005_inbox_replica.sql')
;;
INSERT INTO `postroom_schema` (version, name) VALUES (6, '00006_outbox_backfill.sql')
;;
INSERT INTO `postroom_schema` (version, name) VALUES (8, '00008_inbox_groups.sql')
;;
INSERT INTO `shop_inbox_events` (consumer, message_id, kafka_topic, kafka_partition, kafka_offset)
VALUES (?, …)
;;
INSERT INTO `shop_postroom_schema` (version, name) VALUES (2, '00002_inbox.sql')
;;
INSERT INTO `shop_postroom_schema` (version, name) VALUES (4, '00004_inbox_offsets.sql')
;;
INSERT INTO `shop_postroom_schema` (version, name) VALUES (5, '00005_inbox_replica.sql')
;;
INSERT INTO `shop_postroom_schema` (version, name) VALUES (8, '00008_inbox_groups.sql')
;;
INSERT INTO `things` (`id`, `photo`, `extra`) VALUES (?, …) ON DUPLICATE KEY UPDATE `photo` = VALUES(`photo`), `extra` = VALUES(`extra`)
;;
RELEASE SAVEPOINT postroom_inbox
;;
SAVEPOINT postroom_inbox
;;
SELECT
	(SELECT COUNT(*) FROM information_schema.user_privileges WHERE privilege_type = 'TRIGGER' AND grantee = CONCAT('''', SUBSTRING_INDEX(CURRENT_USER(), '@', 1), '''@''', SUBSTRING_INDEX(CURRENT_USER(), '@', -1), ''''))
	+ (SELECT COUNT(*) FROM information_schema.schema_privileges WHERE privilege_type = 'TRIGGER' AND DATABASE() LIKE table_schema AND grantee = CONCAT('''', SUBSTRING_INDEX(CURRENT_USER(), '@', 1), '''@''', SUBSTRING_INDEX(CURRENT_USER(), '@', -1), ''''))
	+ (SELECT COUNT(*) FROM information_schema.table_privileges WHERE privilege_type = 'TRIGGER' AND table_schema = DATABASE()
		AND table_name = ? AND grantee = CONCAT('''', SUBSTRING_INDEX(CURRENT_USER(), '@', 1), '''@''', SUBSTRING_INDEX(CURRENT_USER(), '@', -1), ''''))
;;
SELECT (SELECT attempts FROM `inbox_attempts` WHERE consumer = ? AND message_id = ?),
  (SELECT last_error FROM `inbox_attempts` WHERE consumer = ? AND message_id = ?),
  EXISTS (SELECT 1 FROM `inbox_events` WHERE consumer = ? AND message_id = ?),
  EXISTS (SELECT 1 FROM `inbox_blocked` WHERE consumer = ? AND topic = ? AND event_key = ?)
;;
SELECT (owner IS NULL OR expires_at IS NULL OR expires_at < UTC_TIMESTAMP(6)
  OR expires_at > UTC_TIMESTAMP(6) + INTERVAL 2 * GREATEST(60000000, COALESCE(CAST(JSON_VALUE(hints, '$.ttl_us') AS SIGNED), 0)) MICROSECOND), CASE WHEN owner IS NULL THEN JSON_VALUE(hints, '$.heir') END, owner IS NOT NULL AND coalesce(JSON_VALUE(hints, '$.blind'), '') <> '', coalesce(mode, '') FROM `outbox_leases` WHERE id = 1
;;
SELECT /* ‹uuid› */ trx_mysql_thread_id, trx_started, COALESCE(trx_query, '')
FROM information_schema.innodb_trx
;;
SELECT 0, NULL, IF(@@read_only, 'standby', 'primary'), NULL, CONCAT_WS('/', @@hostname, @@port, @@server_id), NULL, NULL, NULL
UNION ALL (SELECT id, event_id, topic, event_key, event_type, payload, headers, TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '‹day› 00:00:00', created_at) FROM `outbox_events` WHERE id > ‹n› ORDER BY id LIMIT ‹n›)
;;
SELECT 0, NULL, IF(@@read_only, 'standby', 'primary'), NULL, CONCAT_WS('/', @@hostname, @@port, @@server_id), NULL, NULL, NULL
UNION ALL (SELECT id, event_id, topic, event_key, event_type, payload, headers, TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '‹day› 00:00:00', created_at) FROM `outbox_events` WHERE id BETWEEN -5 AND 0 ORDER BY id LIMIT 100)
UNION ALL (SELECT id, event_id, topic, event_key, event_type, payload, headers, TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '‹day› 00:00:00', created_at) FROM `outbox_events` WHERE id > ‹n› ORDER BY id LIMIT ‹n›)
;;
SELECT 0, NULL, IF(@@read_only, 'standby', 'primary'), NULL, CONCAT_WS('/', @@hostname, @@port, @@server_id), NULL, NULL, NULL
UNION ALL (SELECT id, event_id, topic, event_key, event_type, payload, headers, TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '‹day› 00:00:00', created_at) FROM `outbox_events` WHERE ‹gaps› ORDER BY id LIMIT ‹n›)
;;
SELECT 0, NULL, IF(@@read_only, 'standby', 'primary'), NULL, CONCAT_WS('/', @@hostname, @@port, @@server_id), NULL, NULL, NULL
UNION ALL (SELECT id, event_id, topic, event_key, event_type, payload, headers, TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '‹day› 00:00:00', created_at) FROM `outbox_events` WHERE ‹gaps› ORDER BY id LIMIT ‹n›)
UNION ALL (SELECT id, event_id, topic, event_key, event_type, payload, headers, TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '‹day› 00:00:00', created_at) FROM `outbox_events` WHERE id > ‹n› ORDER BY id LIMIT ‹n›)
;;
SELECT 1
;;
SELECT 1 FROM `inbox_blocked` WHERE consumer = ? AND topic = ? AND event_key = ? FOR UPDATE
;;
SELECT 1 FROM `inbox_events` WHERE consumer = ? AND message_id = ?
;;
SELECT 1 FROM `inbox_parked` WHERE consumer = ? AND seq = ?
;;
SELECT 1 FROM `inbox_replica_rows` WHERE FALSE
;;
SELECT 1 FROM `inbox_replica_runs` WHERE FALSE
;;
SELECT 1 FROM `inbox_replica_runs` WHERE replica = ? AND run_id = ?
;;
SELECT 1 FROM `none_outbox_archive` WHERE FALSE
;;
SELECT 1 FROM `none_outbox_drops` WHERE FALSE
;;
SELECT 1 FROM `none_outbox_events` WHERE FALSE
;;
SELECT 1 FROM `none_outbox_key_locks` WHERE FALSE
;;
SELECT 1 FROM `none_outbox_leases` WHERE FALSE
;;
SELECT 1 FROM `none_outbox_parked` WHERE FALSE
;;
SELECT 1 FROM `none_outbox_relays` WHERE FALSE
;;
SELECT 1 FROM `none_outbox_scheduled` WHERE FALSE
;;
SELECT 1 FROM `none_postroom_schema` WHERE FALSE
;;
SELECT 1 FROM `outbox_archive` WHERE FALSE
;;
SELECT 1 FROM `outbox_drops` WHERE FALSE
;;
SELECT 1 FROM `outbox_events` WHERE FALSE
;;
SELECT 1 FROM `outbox_key_locks` WHERE FALSE
;;
SELECT 1 FROM `outbox_parked` WHERE FALSE
;;
SELECT 1 FROM `outbox_relays` WHERE FALSE
;;
SELECT 1 FROM `outbox_scheduled` WHERE FALSE
;;
SELECT 1 FROM `postroom_schema_lock` WHERE id = 1
;;
SELECT 1 FROM `postroom_schema` WHERE FALSE
;;
SELECT 1 FROM `shop_postroom_schema_lock` WHERE id = 1
;;
SELECT @@SESSION.tx_isolation
;;
SELECT @@max_allowed_packet
;;
SELECT CAST(topic AS BINARY), event_key, max(seq) FROM (
  SELECT topic, event_key, seq FROM `outbox_parked` FORCE INDEX (`outbox_parked_key_idx`)
  WHERE event_key IS NOT NULL AND (topic > ? OR topic = ? AND (event_key > ? OR event_key = ? AND seq > ?))
  ORDER BY topic, event_key, seq LIMIT ?
) AS part GROUP BY CAST(topic AS BINARY), event_key ORDER BY max(topic), event_key, max(seq)
;;
SELECT COALESCE((SELECT attempts FROM `inbox_attempts` WHERE consumer = ? AND message_id = ?), 0),
  EXISTS (SELECT 1 FROM `inbox_blocked` WHERE consumer = ?)
;;
SELECT COALESCE(MAX(seq), 0) FROM (SELECT seq FROM `outbox_parked` WHERE seq > ? ORDER BY seq LIMIT ?) AS part
;;
SELECT COALESCE(MAX(seq), 0) FROM `outbox_archive`
;;
SELECT COALESCE(MAX(seq), 0) FROM `outbox_parked`
;;
SELECT COALESCE(SUM(CASE state WHEN 'failed' THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE state WHEN 'blocked' THEN 1 ELSE 0 END), 0),
	COALESCE(SUM(CASE WHEN state IN ('retry', 'drop') THEN 1 ELSE 0 END), 0), TIMESTAMPDIFF(MICROSECOND, MIN(parked_at), UTC_TIMESTAMP(6)) FROM (SELECT topic, event_key, state, parked_at FROM `none_outbox_parked` ORDER BY seq LIMIT 100001) AS counted
;;
SELECT COALESCE(SUM(CASE state WHEN 'failed' THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE state WHEN 'blocked' THEN 1 ELSE 0 END), 0),
	COALESCE(SUM(CASE WHEN state IN ('retry', 'drop') THEN 1 ELSE 0 END), 0), TIMESTAMPDIFF(MICROSECOND, MIN(parked_at), UTC_TIMESTAMP(6)) FROM (SELECT topic, event_key, state, parked_at FROM `outbox_parked` ORDER BY seq LIMIT 100001) AS counted
;;
SELECT COUNT(*) FROM (SELECT 1 FROM `outbox_events` WHERE id < ? LIMIT 200000) AS counted
;;
SELECT COUNT(*) FROM (SELECT 1 FROM `outbox_parked` WHERE topic = ? AND event_key = ? LIMIT 200000) AS counted
;;
SELECT COUNT(*) FROM `outbox_archive` WHERE delivered_at < UTC_TIMESTAMP(6) - INTERVAL 3000000000 MICROSECOND
;;
SELECT COUNT(*) FROM `outbox_drops` WHERE dropped_at < UTC_TIMESTAMP(6) - INTERVAL 3600000000 MICROSECOND
;;
SELECT COUNT(*) FROM information_schema.columns
WHERE table_schema = 'information_schema' AND table_name = 'PROCESSLIST' AND column_name = 'QUERY_ID'
;;
SELECT COUNT(*) FROM information_schema.innodb_trx
;;
SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?
;;
SELECT COUNT(*) FROM information_schema.user_privileges
WHERE privilege_type = 'PROCESS' AND grantee = CONCAT('''', SUBSTRING_INDEX(CURRENT_USER(), '@', 1), '''@''', SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '''')
;;
SELECT COUNT(*), COALESCE(MIN(a.seq), 0), COALESCE(MAX(a.seq), 0)
FROM `outbox_archive` AS a WHERE a.seq > ? AND a.seq <= ?
AND NOT EXISTS (SELECT 1 FROM `outbox_archive` AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq)
;;
SELECT COUNT(*), COALESCE(MIN(a.seq), 0), COALESCE(MAX(a.seq), 0)
FROM `outbox_archive` AS a WHERE a.seq > ? AND a.seq <= ? AND a.delivered_at < ?
AND NOT EXISTS (SELECT 1 FROM `outbox_archive` AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.delivered_at < ?)
;;
SELECT COUNT(*), COALESCE(MIN(a.seq), 0), COALESCE(MAX(a.seq), 0)
FROM `outbox_archive` AS a WHERE a.seq > ? AND a.seq <= ? AND a.delivered_at >= ?
AND NOT EXISTS (SELECT 1 FROM `outbox_archive` AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.delivered_at >= ?)
;;
SELECT COUNT(*), COALESCE(MIN(a.seq), 0), COALESCE(MAX(a.seq), 0)
FROM `outbox_archive` AS a WHERE a.seq > ? AND a.seq <= ? AND a.delivered_at >= ? AND a.delivered_at < ?
AND NOT EXISTS (SELECT 1 FROM `outbox_archive` AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.delivered_at >= ? AND e.delivered_at < ?)
;;
SELECT COUNT(*), COALESCE(MIN(a.seq), 0), COALESCE(MAX(a.seq), 0)
FROM `outbox_archive` AS a WHERE a.seq > ? AND a.seq <= ? AND a.delivered_at >= ? AND a.topic = ? AND a.event_key = ?
AND NOT EXISTS (SELECT 1 FROM `outbox_archive` AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.delivered_at >= ? AND e.topic = ? AND e.event_key = ?)
;;
SELECT COUNT(*), COALESCE(MIN(a.seq), 0), COALESCE(MAX(a.seq), 0)
FROM `outbox_archive` AS a WHERE a.seq > ? AND a.seq <= ? AND a.event_id IN ('‹uuid›', '‹uuid›', '‹uuid›')
AND NOT EXISTS (SELECT 1 FROM `outbox_archive` AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.event_id IN ('‹uuid›', '‹uuid›', '‹uuid›'))
;;
SELECT COUNT(*), COALESCE(MIN(a.seq), 0), COALESCE(MAX(a.seq), 0)
FROM `outbox_archive` AS a WHERE a.seq > ? AND a.seq <= ? AND a.topic = ?
AND NOT EXISTS (SELECT 1 FROM `outbox_archive` AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.topic = ?)
;;
SELECT COUNT(*), COALESCE(MIN(a.seq), 0), COALESCE(MAX(a.seq), 0)
FROM `outbox_archive` AS a WHERE a.seq > ? AND a.seq <= ? AND a.topic = ? AND a.event_key = ?
AND NOT EXISTS (SELECT 1 FROM `outbox_archive` AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.topic = ? AND e.event_key = ?)
;;
SELECT COUNT(*), TIMESTAMPDIFF(MICROSECOND, MIN(deliver_at), UTC_TIMESTAMP(6)) FROM
	(SELECT deliver_at FROM `none_outbox_scheduled` WHERE deliver_at < UTC_TIMESTAMP(6) ORDER BY deliver_at LIMIT 10000) AS due
;;
SELECT COUNT(*), TIMESTAMPDIFF(MICROSECOND, MIN(deliver_at), UTC_TIMESTAMP(6)) FROM
	(SELECT deliver_at FROM `outbox_scheduled` WHERE deliver_at < UTC_TIMESTAMP(6) ORDER BY deliver_at LIMIT 10000) AS due
;;
SELECT CURRENT_USER()
;;
SELECT DATE_FORMAT(UTC_TIMESTAMP(6), '%Y-%m-%dT%H:%i:%s.%fZ')
;;
SELECT DATE_FORMAT(delivered_at, '%Y-%m-%dT%H:%i:%s.%fZ') FROM `outbox_archive` ORDER BY delivered_at LIMIT 1
;;
SELECT DISTINCT event_id FROM `outbox_archive` WHERE event_id IN ('‹uuid›', '‹uuid›', '‹uuid›', '‹uuid›', '‹uuid›')
;;
SELECT DISTINCT topic, event_key FROM `outbox_archive` WHERE event_key IS NOT NULL AND seq IN (1)
;;
SELECT DISTINCT topic, event_key FROM `outbox_archive` WHERE event_key IS NOT NULL AND seq IN (2)
;;
SELECT DISTINCT topic, event_key FROM `outbox_archive` WHERE event_key IS NOT NULL AND seq IN (‹n›, …)
;;
SELECT EXISTS (SELECT 1 FROM `inbox_parked` WHERE topic = ? AND event_key = ?)
;;
SELECT EXISTS (SELECT 1 FROM `inbox_parked`)
;;
SELECT EXISTS (SELECT 1 FROM `outbox_parked` WHERE state IN ('retry', 'drop') AND state = 'drop')
;;
SELECT EXISTS (SELECT 1 FROM `outbox_parked` WHERE state IN ('retry', 'drop'))
;;
SELECT EXISTS (SELECT 1 FROM `outbox_parked` WHERE topic = ? AND LENGTH(topic) = ? AND event_key = ?)
;;
SELECT EXISTS (SELECT 1 FROM `outbox_parked` WHERE topic = ? AND LENGTH(topic) = ?)
;;
SELECT EXISTS (SELECT 1 FROM `outbox_parked`)
;;
SELECT JSON_EXTRACT(hints, '$.proved') FROM `outbox_leases` WHERE id = 1 AND owner = ? AND epoch = ? AND ? = CONCAT_WS('/', @@hostname, @@port, @@server_id)
;;
SELECT JSON_EXTRACT(hints, '$.topics') FROM `outbox_leases` WHERE id = 1
;;
SELECT MAX(auto_increment) FROM information_schema.tables
WHERE table_schema = DATABASE() AND table_name = ?
;;
SELECT MIN(consumer) FROM `inbox_events` WHERE consumer > ?
;;
SELECT TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '‹day› 00:00:00', UTC_TIMESTAMP(6))
;;
SELECT TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), deliver_at) FROM `outbox_scheduled` FORCE INDEX (`outbox_scheduled_due_idx`) ORDER BY deliver_at, seq LIMIT 1
;;
SELECT VERSION(), CURRENT_USER()
;;
SELECT a.seq, COALESCE(LENGTH(a.payload), 0)
FROM `outbox_archive` AS a WHERE a.seq > ? AND a.seq <= ?
AND NOT EXISTS (SELECT 1 FROM `outbox_archive` AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq)
ORDER BY a.seq LIMIT 1000
;;
SELECT a.seq, COALESCE(LENGTH(a.payload), 0)
FROM `outbox_archive` AS a WHERE a.seq > ? AND a.seq <= ? AND a.delivered_at < ?
AND NOT EXISTS (SELECT 1 FROM `outbox_archive` AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.delivered_at < ?)
ORDER BY a.seq LIMIT 1000
;;
SELECT a.seq, COALESCE(LENGTH(a.payload), 0)
FROM `outbox_archive` AS a WHERE a.seq > ? AND a.seq <= ? AND a.delivered_at >= ?
AND NOT EXISTS (SELECT 1 FROM `outbox_archive` AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.delivered_at >= ?)
ORDER BY a.seq LIMIT 1000
;;
SELECT a.seq, COALESCE(LENGTH(a.payload), 0)
FROM `outbox_archive` AS a WHERE a.seq > ? AND a.seq <= ? AND a.delivered_at >= ? AND a.delivered_at < ?
AND NOT EXISTS (SELECT 1 FROM `outbox_archive` AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.delivered_at >= ? AND e.delivered_at < ?)
ORDER BY a.seq LIMIT 1000
;;
SELECT a.seq, COALESCE(LENGTH(a.payload), 0)
FROM `outbox_archive` AS a WHERE a.seq > ? AND a.seq <= ? AND a.delivered_at >= ? AND a.topic = ? AND a.event_key = ?
AND NOT EXISTS (SELECT 1 FROM `outbox_archive` AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.delivered_at >= ? AND e.topic = ? AND e.event_key = ?)
ORDER BY a.seq LIMIT 1000
;;
SELECT a.seq, COALESCE(LENGTH(a.payload), 0)
FROM `outbox_archive` AS a WHERE a.seq > ? AND a.seq <= ? AND a.event_id IN ('‹uuid›', '‹uuid›', '‹uuid›')
AND NOT EXISTS (SELECT 1 FROM `outbox_archive` AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.event_id IN ('‹uuid›', '‹uuid›', '‹uuid›'))
ORDER BY a.seq LIMIT 1000
;;
SELECT a.seq, COALESCE(LENGTH(a.payload), 0)
FROM `outbox_archive` AS a WHERE a.seq > ? AND a.seq <= ? AND a.topic = ?
AND NOT EXISTS (SELECT 1 FROM `outbox_archive` AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.topic = ?)
ORDER BY a.seq LIMIT 1000
;;
SELECT a.seq, COALESCE(LENGTH(a.payload), 0)
FROM `outbox_archive` AS a WHERE a.seq > ? AND a.seq <= ? AND a.topic = ? AND a.event_key = ?
AND NOT EXISTS (SELECT 1 FROM `outbox_archive` AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.topic = ? AND e.event_key = ?)
ORDER BY a.seq LIMIT 1000
;;
SELECT auto_increment, VERSION() LIKE '%MariaDB%' FROM information_schema.tables
WHERE table_schema = DATABASE() AND table_name = ?
;;
SELECT b.consumer, b.topic, b.event_key, 0, false FROM `inbox_blocked` AS b
WHERE NOT EXISTS (SELECT 1 FROM `inbox_parked` AS p WHERE p.consumer = b.consumer AND p.topic = b.topic AND p.event_key = b.event_key) LIMIT 20
;;
SELECT column_name, data_type, column_type, COALESCE(character_set_name, ''), COALESCE(collation_name, '')
FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ?
;;
SELECT consumer, DATE_FORMAT(parked_at, '%Y-%m-%dT%H:%i:%s.%fZ'), kafka_topic, kafka_partition, kafka_offset, attempts, error, state FROM `inbox_parked` WHERE message_id = ?
;;
SELECT consumer, DATE_FORMAT(processed_at, '%Y-%m-%dT%H:%i:%s.%fZ'), kafka_topic, kafka_partition, kafka_offset, 0, '', '' FROM `inbox_events` WHERE consumer = ? AND message_id = ?
;;
SELECT consumer, DATE_FORMAT(started_at, '%Y-%m-%dT%H:%i:%s.%fZ'), NULL, NULL, NULL, attempts, last_error, '' FROM `inbox_attempts` WHERE message_id = ?
;;
SELECT consumer, count(*) FROM (SELECT consumer FROM `inbox_blocked` LIMIT 200000) AS counted GROUP BY consumer
;;
SELECT consumer, count(*) FROM (SELECT consumer FROM `inbox_blocked` WHERE consumer = ? LIMIT 200000) AS counted GROUP BY consumer
;;
SELECT consumer, count(*), TIMESTAMPDIFF(MICROSECOND, min(started_at), utc_timestamp(6)) FROM (SELECT consumer, started_at FROM `inbox_attempts` LIMIT 200000) AS counted GROUP BY consumer
;;
SELECT consumer, count(*), TIMESTAMPDIFF(MICROSECOND, min(started_at), utc_timestamp(6)) FROM (SELECT consumer, started_at FROM `inbox_attempts` WHERE consumer = ? LIMIT 200000) AS counted GROUP BY consumer
;;
SELECT consumer, kafka_topic, kafka_partition, COALESCE(kafka_group, ''), COALESCE(topic_id, ''), applied_offset, next_offset, epoch, DATE_FORMAT(updated_at, '%Y-%m-%dT%H:%i:%s.%fZ'), TIMESTAMPDIFF(MICROSECOND, updated_at, utc_timestamp(6)) FROM `inbox_offsets` ORDER BY consumer, kafka_topic, kafka_partition
;;
SELECT consumer, kafka_topic, kafka_partition, COALESCE(kafka_group, ''), COALESCE(topic_id, ''), applied_offset, next_offset, epoch, DATE_FORMAT(updated_at, '%Y-%m-%dT%H:%i:%s.%fZ'), TIMESTAMPDIFF(MICROSECOND, updated_at, utc_timestamp(6)) FROM `inbox_offsets` WHERE consumer = ? ORDER BY consumer, kafka_topic, kafka_partition
;;
SELECT consumer, state, count(*), DATE_FORMAT(min(parked_at), '%Y-%m-%dT%H:%i:%s.%fZ'), TIMESTAMPDIFF(MICROSECOND, min(parked_at), utc_timestamp(6)) FROM (SELECT consumer, state, parked_at FROM `inbox_parked` ORDER BY seq LIMIT 200000) AS counted GROUP BY consumer, state
;;
SELECT consumer, state, count(*), DATE_FORMAT(min(parked_at), '%Y-%m-%dT%H:%i:%s.%fZ'), TIMESTAMPDIFF(MICROSECOND, min(parked_at), utc_timestamp(6)) FROM (SELECT consumer, state, parked_at FROM `inbox_parked` WHERE consumer = ? ORDER BY seq LIMIT 200000) AS counted GROUP BY consumer, state
;;
SELECT count FROM information_schema.innodb_metrics WHERE name = 'trx_rseg_history_len'
;;
SELECT count(*) FROM (SELECT 1 FROM `inbox_parked` WHERE consumer = ? AND topic = ? AND event_key = ? AND state = ? LIMIT 200000) AS counted
;;
SELECT count(*) FROM (SELECT 1 FROM `inbox_parked` WHERE state = ? LIMIT 200000) AS counted
;;
SELECT count(*) FROM (SELECT 1 FROM `inbox_parked` WHERE topic = ? AND event_key = ? AND state = ? LIMIT 200000) AS counted
;;
SELECT count(*) FROM (SELECT 1 FROM `outbox_events` LIMIT 200001) AS counted
;;
SELECT count(*) FROM (SELECT 1 FROM `outbox_parked` WHERE state = 'failed' AND (overtaken <> 0) LIMIT 200000) AS counted
;;
SELECT count(*) FROM (SELECT 1 FROM `outbox_parked` WHERE state = ? LIMIT 200000) AS counted
;;
SELECT count(*) FROM (SELECT 1 FROM `outbox_parked` WHERE topic = ? AND LENGTH(topic) = ? AND event_key = ? AND state = ? LIMIT 200000) AS counted
;;
SELECT count(*) FROM (SELECT 1 FROM `outbox_parked` WHERE topic = ? AND LENGTH(topic) = ? AND event_key = ? LIMIT 200000) AS counted
;;
SELECT count(*) FROM (SELECT 1 FROM `outbox_parked` WHERE topic = ? AND LENGTH(topic) = ? AND state = ? LIMIT 200000) AS counted
;;
SELECT count(*) FROM (SELECT DISTINCT topic, event_key FROM (SELECT topic, event_key, state, parked_at FROM `outbox_parked` ORDER BY seq LIMIT 100001) AS counted WHERE event_key IS NOT NULL) AS waiting
;;
SELECT count(*) FROM `inbox_replica_rows` WHERE replica = ? AND run_id = ?
;;
SELECT count(*), DATE_FORMAT(min(processed_at), '%Y-%m-%dT%H:%i:%s.%fZ'), TIMESTAMPDIFF(MICROSECOND, min(processed_at), utc_timestamp(6)) FROM (SELECT processed_at FROM `inbox_events` WHERE consumer = ? ORDER BY processed_at LIMIT 20001) AS counted
;;
SELECT count(*), min(id) FROM (SELECT id FROM `outbox_events` WHERE id < 1 ORDER BY id LIMIT 200000) AS below
;;
SELECT e.message_id
FROM JSON_TABLE(?, '$[*]' COLUMNS (id VARCHAR(510) PATH '$[0]')) AS m
STRAIGHT_JOIN `inbox_events` AS e ON e.consumer = ? AND e.message_id = UNHEX(m.id)
WHERE e.claim_token = ?
;;
SELECT engine FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?
;;
SELECT epoch FROM `outbox_leases` WHERE id = 1
;;
SELECT epoch, next_offset FROM `inbox_offsets` WHERE consumer = ? AND kafka_topic = ? AND kafka_partition = ?
;;
SELECT epoch, next_offset FROM `inbox_offsets` WHERE consumer = ? AND kafka_topic = ? AND kafka_partition = ? FOR UPDATE
;;
SELECT epoch, source_id, mode, CONCAT_WS('/', @@hostname, @@port, @@server_id), JSON_EXTRACT(hints, '$.position'), JSON_EXTRACT(hints, '$.proved') FROM `outbox_leases` WHERE id = 1
;;
SELECT event_id, topic, event_key, event_type, payload, payload IS NULL, headers, DATE_FORMAT(deliver_at, '%Y-%m-%dT%H:%i:%s.%fZ') FROM `outbox_scheduled` ORDER BY deliver_at, seq
;;
SELECT event_id, topic, event_key, event_type, payload, payload IS NULL, headers, NULL FROM `outbox_events` ORDER BY id
;;
SELECT event_key FROM `inbox_blocked` WHERE consumer = ? AND topic = ? AND event_key IN (?) ORDER BY event_key FOR UPDATE
;;
SELECT event_key FROM `inbox_blocked` WHERE consumer = ? AND topic = ? AND event_key IN (?, …) ORDER BY event_key FOR UPDATE
;;
SELECT extra FROM information_schema.columns
WHERE table_schema = DATABASE() AND table_name = ? AND column_name = 'id'
;;
SELECT f.n, e.seq, e.state FROM (
  SELECT a.n - 1 AS n, (
    SELECT k.seq FROM `outbox_parked` AS k
    WHERE k.topic = CONVERT(UNHEX(a.topic) USING utf8mb4) COLLATE utf8mb4_bin AND k.event_key = UNHEX(a.event_key)
      AND CAST(k.topic AS BINARY) = UNHEX(a.topic) ORDER BY k.seq LIMIT 1) AS seq
  FROM JSON_TABLE(?, '$[*]' COLUMNS (n FOR ORDINALITY, topic VARCHAR(2000) PATH '$[0]', event_key VARCHAR(1024) PATH '$[1]')) AS a
) AS f STRAIGHT_JOIN `outbox_parked` AS e FORCE INDEX (PRIMARY) ON e.seq = f.seq
;;
SELECT h.seq, e.seq, e.state FROM (
  SELECT p.seq, p.topic, p.event_key, COALESCE((
    SELECT k.seq FROM `outbox_parked` AS k WHERE k.topic = p.topic AND k.event_key = p.event_key
      AND CAST(k.topic AS BINARY) = CAST(p.topic AS BINARY) AND k.seq >= p.seq ORDER BY k.seq LIMIT 1 OFFSET ?), 9223372036854775807) AS stop
  FROM JSON_TABLE(?, '$[*]' COLUMNS (v BIGINT PATH '$')) AS a
  STRAIGHT_JOIN `outbox_parked` AS p FORCE INDEX (PRIMARY) ON p.seq = a.v
) AS h STRAIGHT_JOIN `outbox_parked` AS e ON e.topic = h.topic AND e.event_key = h.event_key
  AND CAST(e.topic AS BINARY) = CAST(h.topic AS BINARY) AND e.seq >= h.seq AND e.seq < h.stop
ORDER BY h.seq, e.seq
;;
SELECT id FROM `outbox_leases` WHERE id = 1 FOR UPDATE
;;
SELECT id, event_id, COALESCE(LENGTH(payload), 0) FROM `outbox_events` WHERE id IN (‹n›, …)
;;
SELECT id, event_id, topic, DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%fZ'),
	TIMESTAMPDIFF(MICROSECOND, created_at, UTC_TIMESTAMP(6))
FROM `none_outbox_events` ORDER BY id LIMIT 1
;;
SELECT id, event_id, topic, DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%fZ'),
	TIMESTAMPDIFF(MICROSECOND, created_at, UTC_TIMESTAMP(6))
FROM `outbox_events` ORDER BY id LIMIT 1
;;
SELECT id, event_id, topic, error FROM `outbox_parked` WHERE state = 'failed' ORDER BY seq LIMIT 1
;;
SELECT id, query_id, command FROM information_schema.processlist
WHERE command NOT IN ('Daemon', 'Binlog Dump', 'Binlog Dump GTID') AND id <> CONNECTION_ID()
;;
SELECT id, topic, event_key, DATE_FORMAT(dropped_at, '%Y-%m-%dT%H:%i:%s.%fZ'), error FROM `outbox_drops` WHERE event_id = ? ORDER BY seq
;;
SELECT id, topic, event_key, event_type, DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%fZ') FROM `outbox_events` WHERE event_id = ? ORDER BY id
;;
SELECT id, topic, event_key, event_type, DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%fZ'), DATE_FORMAT(delivered_at, '%Y-%m-%dT%H:%i:%s.%fZ'), kafka_partition, kafka_offset FROM `outbox_archive` WHERE event_id = ? ORDER BY seq
;;
SELECT id, topic, event_key, event_type, DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%fZ'), DATE_FORMAT(parked_at, '%Y-%m-%dT%H:%i:%s.%fZ'), state, attempts, overtaken, error FROM `outbox_parked` WHERE event_id = ? ORDER BY seq
;;
SELECT id, user, host, command, time FROM information_schema.processlist
WHERE db = DATABASE() AND state = 'Waiting for table metadata lock' AND time >= 5
	AND (info LIKE CONCAT('%', ?, '%') OR info LIKE CONCAT('%', ?, '%'))
	AND UPPER(LTRIM(info)) NOT LIKE 'SELECT%' ORDER BY time DESC LIMIT 20
;;
SELECT index_name, column_name, sub_part FROM information_schema.statistics
WHERE table_schema = DATABASE() AND table_name = ? AND non_unique = 0 ORDER BY index_name, seq_in_index
;;
SELECT kafka_topic, kafka_partition, COALESCE(kafka_group, ''), COALESCE(topic_id, ''), COALESCE(applied_offset, -1), COALESCE(next_offset, -1) FROM `inbox_offsets` WHERE consumer = ? AND kafka_topic IN (?)
;;
SELECT kafka_topic, kafka_partition, COALESCE(kafka_group, ''), COALESCE(topic_id, ''), COALESCE(applied_offset, -1), COALESCE(next_offset, -1) FROM `inbox_offsets` WHERE consumer = ? AND kafka_topic IN (?, …)
;;
SELECT max(id) FROM (SELECT id FROM `outbox_archive` ORDER BY seq DESC LIMIT 1000) AS latest
;;
SELECT max(id) FROM (SELECT id FROM `outbox_drops` ORDER BY seq DESC LIMIT 1000) AS latest
;;
SELECT max(id) FROM (SELECT id FROM `outbox_parked` ORDER BY seq DESC LIMIT 1000) AS latest
;;
SELECT max(id) FROM `none_outbox_events`
;;
SELECT max(id) FROM `outbox_events`
;;
SELECT message_id FROM `inbox_parked` WHERE consumer = ? AND message_id IN (?)
;;
SELECT message_id FROM `inbox_parked` WHERE consumer = ? AND message_id IN (?, …)
;;
SELECT message_id, kafka_topic, kafka_partition, kafka_offset, CAST(processed_at AS CHAR)
FROM `inbox_events`
WHERE consumer = ? AND processed_at < utc_timestamp(6) - INTERVAL ? MICROSECOND
  AND processed_at >= CAST(? AS DATETIME(6)) AND (processed_at > CAST(? AS DATETIME(6)) OR message_id > ?)
ORDER BY processed_at, message_id LIMIT ?
;;
SELECT message_id, kafka_topic, kafka_partition, kafka_offset, CAST(processed_at AS CHAR)
FROM `shop_inbox_events`
WHERE consumer = ? AND processed_at < utc_timestamp(6) - INTERVAL ? MICROSECOND
  AND processed_at >= CAST(? AS DATETIME(6)) AND (processed_at > CAST(? AS DATETIME(6)) OR message_id > ?)
ORDER BY processed_at, message_id LIMIT ?
;;
SELECT message_id, topic, event_key, event_type, headers, payload, payload IS NOT NULL, kafka_topic, kafka_partition, kafka_offset, attempts, error, state FROM `inbox_parked` WHERE consumer = ? AND seq = ? FOR UPDATE
;;
SELECT owner FROM `postroom_schema_lock` WHERE id = 1 AND NOT (owner IS NULL OR expires_at IS NULL OR expires_at < utc_timestamp(6) OR expires_at > utc_timestamp(6) + INTERVAL 60000000 MICROSECOND)
;;
SELECT owner FROM `shop_postroom_schema_lock` WHERE id = 1 AND NOT (owner IS NULL OR expires_at IS NULL OR expires_at < utc_timestamp(6) OR expires_at > utc_timestamp(6) + INTERVAL 60000000 MICROSECOND)
;;
SELECT owner, TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), expires_at) FROM `none_postroom_schema_lock` WHERE id = 1
;;
SELECT owner, TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), expires_at) FROM `postroom_schema_lock` WHERE id = 1
;;
SELECT owner, epoch, CONCAT_WS('/', @@hostname, @@port, @@server_id) FROM `outbox_leases` WHERE id = 1
;;
SELECT owner, epoch, CONCAT_WS('/', @@hostname, @@port, @@server_id) FROM `outbox_leases` WHERE id = 1 FOR UPDATE
;;
SELECT p.consumer, p.topic, p.event_key, min(p.seq), false FROM `inbox_parked` AS p
WHERE p.state = 'blocked' AND NOT EXISTS (SELECT 1 FROM `inbox_blocked` AS b WHERE p.consumer = b.consumer AND p.topic = b.topic AND p.event_key = b.event_key)
GROUP BY p.consumer, p.topic, p.event_key LIMIT 20
;;
SELECT p.consumer, p.topic, p.event_key, p.seq, true FROM `inbox_blocked` AS b
JOIN `inbox_parked` AS p ON p.seq = (SELECT min(q.seq) FROM `inbox_parked` AS q WHERE q.consumer = b.consumer AND q.topic = b.topic AND q.event_key = b.event_key)
WHERE p.state = 'blocked' LIMIT 20
;;
SELECT p.seq FROM `outbox_parked` AS p
WHERE p.seq > ? AND p.state = 'blocked' AND (p.event_key IS NULL OR NOT EXISTS (
  SELECT 1 FROM `outbox_parked` AS e WHERE e.topic = p.topic AND e.event_key = p.event_key
    AND CAST(e.topic AS BINARY) = CAST(p.topic AS BINARY) AND e.seq < p.seq LIMIT 1))
;;
SELECT p.topic, p.event_key FROM JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT PATH '$[0]', event_id CHAR(36) PATH '$[1]')) AS a
STRAIGHT_JOIN `outbox_parked` AS p FORCE INDEX (PRIMARY) ON p.seq = a.seq AND p.event_id = CONVERT(a.event_id USING ascii) COLLATE ascii_bin WHERE p.event_key IS NOT NULL
;;
SELECT r.seq, (
  SELECT k.seq FROM `outbox_parked` AS k WHERE k.topic = r.topic AND k.event_key = r.event_key
    AND CAST(k.topic AS BINARY) = CAST(r.topic AS BINARY) AND k.state <> 'retry' ORDER BY k.seq LIMIT 1)
FROM JSON_TABLE(?, '$[*]' COLUMNS (v BIGINT PATH '$')) AS a
STRAIGHT_JOIN `outbox_parked` AS r FORCE INDEX (PRIMARY) ON r.seq = a.v
;;
SELECT r.trx_mysql_thread_id, TIMESTAMPDIFF(MICROSECOND, r.trx_wait_started, NOW(6)), b.trx_mysql_thread_id,
  COALESCE(p.user, ''), '', COALESCE(p.host, ''), COALESCE(p.command, ''), TIMESTAMPDIFF(MICROSECOND, b.trx_started, NOW(6))
FROM information_schema.innodb_lock_waits AS w JOIN information_schema.innodb_trx AS r ON r.trx_id = w.requesting_trx_id JOIN information_schema.innodb_trx AS b ON b.trx_id = w.blocking_trx_id
JOIN information_schema.processlist AS q ON q.id = r.trx_mysql_thread_id LEFT JOIN information_schema.processlist AS p ON p.id = b.trx_mysql_thread_id
WHERE q.db = DATABASE() AND (LOCATE(?, r.trx_query) > 0 OR LOCATE(?, r.trx_query) > 0 OR LOCATE(?, r.trx_query) > 0)
ORDER BY 2 DESC, 8 DESC LIMIT 20
;;
SELECT relay_id, host, owned, TIMESTAMPDIFF(MICROSECOND, seen_at, UTC_TIMESTAMP(6)) AS ago
FROM `none_outbox_relays` WHERE seen_at > UTC_TIMESTAMP(6) - INTERVAL 1 HOUR ORDER BY ago LIMIT 100
;;
SELECT relay_id, host, owned, TIMESTAMPDIFF(MICROSECOND, seen_at, UTC_TIMESTAMP(6)) AS ago
FROM `outbox_relays` WHERE seen_at > UTC_TIMESTAMP(6) - INTERVAL 1 HOUR ORDER BY ago LIMIT 100
;;
SELECT relay_id, host, owned, TIMESTAMPDIFF(MICROSECOND, seen_at, UTC_TIMESTAMP(6)) FROM `outbox_relays` ORDER BY host, relay_id
;;
SELECT relay_id, host, owned, TIMESTAMPDIFF(MICROSECOND, seen_at, UTC_TIMESTAMP(6)) FROM `outbox_relays` WHERE relay_id <> ?
;;
SELECT replica, run_id, sent, DATE_FORMAT(heard_at, '%Y-%m-%dT%H:%i:%s.%fZ'), TIMESTAMPDIFF(MICROSECOND, heard_at, utc_timestamp(6)) FROM `inbox_replica_runs` WHERE finished_at IS NULL ORDER BY replica, run_id
;;
SELECT row_key FROM `inbox_replica_rows` WHERE replica = ? AND claim_token IN (?, …) AND row_key IN (?)
;;
SELECT row_key FROM `inbox_replica_rows` WHERE replica = ? AND claim_token IN (?, …) AND row_key IN (?, …)
;;
SELECT row_key, version FROM `inbox_replica_rows`
WHERE replica = ? AND deleted_at IS NULL AND run_id < ? AND applied_at < ?
ORDER BY row_key LIMIT ? FOR UPDATE
;;
SELECT run_id, COALESCE(sent, -1), DATE_FORMAT(started_at, '%Y-%m-%dT%H:%i:%s.%fZ'), finished_at IS NOT NULL
FROM `inbox_replica_runs` WHERE replica = ? ORDER BY run_id DESC
;;
SELECT s.seq FROM JSON_TABLE('["‹uuid›", …]', '$[*]' COLUMNS (event_id CHAR(36) PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (`outbox_scheduled_event_id_key`)
  ON s.event_id = CONVERT(named.event_id USING ascii) COLLATE ascii_bin WHERE s.deliver_at <= UTC_TIMESTAMP(6) FOR UPDATE SKIP LOCKED
;;
SELECT s.seq FROM JSON_TABLE('["‹uuid›"]', '$[*]' COLUMNS (event_id CHAR(36) PATH '$')) AS named
STRAIGHT_JOIN `outbox_scheduled` AS s FORCE INDEX (`outbox_scheduled_event_id_key`)
  ON s.event_id = CONVERT(named.event_id USING ascii) COLLATE ascii_bin WHERE s.deliver_at <= UTC_TIMESTAMP(6) FOR UPDATE SKIP LOCKED
;;
SELECT seq FROM `outbox_drops` WHERE seq = 0
;;
SELECT seq FROM `outbox_parked` WHERE seq > ? AND seq <= ? AND event_key IS NOT NULL AND NOT overtaken ORDER BY seq LIMIT ?
;;
SELECT seq FROM `outbox_parked` WHERE state <> 'drop' AND seq < ? ORDER BY seq DESC LIMIT ?
;;
SELECT seq FROM `outbox_parked` WHERE state <> 'drop' ORDER BY seq DESC LIMIT ?
;;
SELECT seq FROM `outbox_parked` WHERE state = 'failed' AND seq < ? ORDER BY seq DESC LIMIT ?
;;
SELECT seq FROM `outbox_parked` WHERE state = 'failed' ORDER BY seq DESC LIMIT ?
;;
SELECT seq FROM `outbox_parked` WHERE topic = ? AND LENGTH(topic) = ? AND event_key = ? AND state <> 'drop' AND seq < ? ORDER BY seq DESC LIMIT ?
;;
SELECT seq FROM `outbox_parked` WHERE topic = ? AND LENGTH(topic) = ? AND event_key = ? AND state <> 'drop' ORDER BY seq DESC LIMIT ?
;;
SELECT seq FROM `outbox_parked` WHERE topic = ? AND LENGTH(topic) = ? AND event_key = ? AND state = 'failed' AND seq < ? ORDER BY seq DESC LIMIT ?
;;
SELECT seq FROM `outbox_parked` WHERE topic = ? AND LENGTH(topic) = ? AND event_key = ? AND state = 'failed' ORDER BY seq DESC LIMIT ?
;;
SELECT seq FROM `outbox_parked` WHERE topic = ? AND LENGTH(topic) = ? AND state = 'failed' AND seq < ? ORDER BY seq DESC LIMIT ?
;;
SELECT seq FROM `outbox_parked` WHERE topic = ? AND LENGTH(topic) = ? AND state = 'failed' ORDER BY seq DESC LIMIT ?
;;
SELECT seq, consumer, message_id, topic, event_key, event_type, headers, kafka_topic, kafka_partition, kafka_offset, attempts, error, DATE_FORMAT(parked_at, '%Y-%m-%dT%H:%i:%s.%fZ'), state, octet_length(payload), NULL FROM `inbox_parked` ORDER BY seq LIMIT ?
;;
SELECT seq, consumer, message_id, topic, event_key, event_type, headers, kafka_topic, kafka_partition, kafka_offset, attempts, error, DATE_FORMAT(parked_at, '%Y-%m-%dT%H:%i:%s.%fZ'), state, octet_length(payload), NULL FROM `inbox_parked` WHERE (message_id = ?) ORDER BY seq LIMIT ?
;;
SELECT seq, consumer, message_id, topic, event_key, event_type, headers, kafka_topic, kafka_partition, kafka_offset, attempts, error, DATE_FORMAT(parked_at, '%Y-%m-%dT%H:%i:%s.%fZ'), state, octet_length(payload), NULL FROM `inbox_parked` WHERE (seq = ? OR seq = ? OR seq = ? OR seq = ?) ORDER BY seq FOR UPDATE
;;
SELECT seq, consumer, message_id, topic, event_key, event_type, headers, kafka_topic, kafka_partition, kafka_offset, attempts, error, DATE_FORMAT(parked_at, '%Y-%m-%dT%H:%i:%s.%fZ'), state, octet_length(payload), NULL FROM `inbox_parked` WHERE (seq = ? OR seq = ?) ORDER BY seq FOR UPDATE
;;
SELECT seq, consumer, message_id, topic, event_key, event_type, headers, kafka_topic, kafka_partition, kafka_offset, attempts, error, DATE_FORMAT(parked_at, '%Y-%m-%dT%H:%i:%s.%fZ'), state, octet_length(payload), NULL FROM `inbox_parked` WHERE consumer = ? AND (message_id = ?) ORDER BY seq LIMIT ?
;;
SELECT seq, consumer, message_id, topic, event_key, event_type, headers, kafka_topic, kafka_partition, kafka_offset, attempts, error, DATE_FORMAT(parked_at, '%Y-%m-%dT%H:%i:%s.%fZ'), state, octet_length(payload), SUBSTRING(payload, 1, 10) FROM `inbox_parked` WHERE (message_id = ?) ORDER BY seq
;;
SELECT seq, event_id, COALESCE(LENGTH(payload), 0) FROM `outbox_parked` WHERE seq IN (1)
;;
SELECT seq, event_id, COALESCE(LENGTH(payload), 0) FROM `outbox_parked` WHERE seq IN (1,50000)
;;
SELECT seq, event_id, COALESCE(LENGTH(payload), 0) FROM `outbox_parked` WHERE seq IN (131071)
;;
SELECT seq, event_id, COALESCE(LENGTH(payload), 0) FROM `outbox_parked` WHERE seq IN (50001,100000)
;;
SELECT seq, event_id, COALESCE(LENGTH(payload), 0) FROM `outbox_parked` WHERE seq IN (‹n›, …)
;;
SELECT seq, event_id, topic, event_key, DATE_FORMAT(deliver_at, '%Y-%m-%d %H:%i:%s.%f') FROM `outbox_scheduled` FORCE INDEX (`outbox_scheduled_due_idx`) WHERE deliver_at <= UTC_TIMESTAMP(6) AND deliver_at >= ? AND (deliver_at > ? OR seq > 1) AND (event_key IS NULL OR (topic, event_key) NOT IN ((?, …))) ORDER BY deliver_at, seq LIMIT 10
;;
SELECT seq, event_id, topic, event_key, DATE_FORMAT(deliver_at, '%Y-%m-%d %H:%i:%s.%f') FROM `outbox_scheduled` FORCE INDEX (`outbox_scheduled_due_idx`) WHERE deliver_at <= UTC_TIMESTAMP(6) AND deliver_at >= ? AND (deliver_at > ? OR seq > 10) AND (event_key IS NULL OR (topic, event_key) NOT IN ((?, …))) ORDER BY deliver_at, seq LIMIT 10
;;
SELECT seq, event_id, topic, event_key, DATE_FORMAT(deliver_at, '%Y-%m-%d %H:%i:%s.%f') FROM `outbox_scheduled` FORCE INDEX (`outbox_scheduled_due_idx`) WHERE deliver_at <= UTC_TIMESTAMP(6) AND deliver_at >= ? AND (deliver_at > ? OR seq > 11) AND (event_key IS NULL OR (topic, event_key) NOT IN ((?, …))) ORDER BY deliver_at, seq LIMIT 2
;;
SELECT seq, event_id, topic, event_key, DATE_FORMAT(deliver_at, '%Y-%m-%d %H:%i:%s.%f') FROM `outbox_scheduled` FORCE INDEX (`outbox_scheduled_due_idx`) WHERE deliver_at <= UTC_TIMESTAMP(6) AND deliver_at >= ? AND (deliver_at > ? OR seq > 3) AND (event_key IS NULL OR (topic, event_key) NOT IN ((?, …))) ORDER BY deliver_at, seq LIMIT 2
;;
SELECT seq, event_id, topic, event_key, DATE_FORMAT(deliver_at, '%Y-%m-%d %H:%i:%s.%f') FROM `outbox_scheduled` FORCE INDEX (`outbox_scheduled_due_idx`) WHERE deliver_at <= UTC_TIMESTAMP(6) AND deliver_at >= ? AND (deliver_at > ? OR seq > 370) AND (event_key IS NULL OR (topic, event_key) NOT IN ((?, …))) ORDER BY deliver_at, seq LIMIT 50
;;
SELECT seq, event_id, topic, event_key, DATE_FORMAT(deliver_at, '%Y-%m-%d %H:%i:%s.%f') FROM `outbox_scheduled` FORCE INDEX (`outbox_scheduled_due_idx`) WHERE deliver_at <= UTC_TIMESTAMP(6) AND deliver_at >= ? AND (deliver_at > ? OR seq > 394) AND (event_key IS NULL OR (topic, event_key) NOT IN ((?, …))) ORDER BY deliver_at, seq LIMIT 50
;;
SELECT seq, event_id, topic, event_key, DATE_FORMAT(deliver_at, '%Y-%m-%d %H:%i:%s.%f') FROM `outbox_scheduled` FORCE INDEX (`outbox_scheduled_due_idx`) WHERE deliver_at <= UTC_TIMESTAMP(6) ORDER BY deliver_at, seq LIMIT 10
;;
SELECT seq, event_id, topic, event_key, DATE_FORMAT(deliver_at, '%Y-%m-%d %H:%i:%s.%f') FROM `outbox_scheduled` FORCE INDEX (`outbox_scheduled_due_idx`) WHERE deliver_at <= UTC_TIMESTAMP(6) ORDER BY deliver_at, seq LIMIT 100
;;
SELECT seq, event_id, topic, event_key, DATE_FORMAT(deliver_at, '%Y-%m-%d %H:%i:%s.%f') FROM `outbox_scheduled` FORCE INDEX (`outbox_scheduled_due_idx`) WHERE deliver_at <= UTC_TIMESTAMP(6) ORDER BY deliver_at, seq LIMIT 1000
;;
SELECT seq, event_id, topic, event_key, DATE_FORMAT(deliver_at, '%Y-%m-%d %H:%i:%s.%f') FROM `outbox_scheduled` FORCE INDEX (`outbox_scheduled_due_idx`) WHERE deliver_at <= UTC_TIMESTAMP(6) ORDER BY deliver_at, seq LIMIT 2
;;
SELECT seq, event_id, topic, event_key, DATE_FORMAT(deliver_at, '%Y-%m-%d %H:%i:%s.%f') FROM `outbox_scheduled` FORCE INDEX (`outbox_scheduled_due_idx`) WHERE deliver_at <= UTC_TIMESTAMP(6) ORDER BY deliver_at, seq LIMIT 300
;;
SELECT seq, event_id, topic, event_key, DATE_FORMAT(deliver_at, '%Y-%m-%d %H:%i:%s.%f') FROM `outbox_scheduled` FORCE INDEX (`outbox_scheduled_due_idx`) WHERE deliver_at <= UTC_TIMESTAMP(6) ORDER BY deliver_at, seq LIMIT 50
;;
SELECT seq, id, event_id FROM `outbox_parked` WHERE seq > ? AND seq <= ? AND id BETWEEN ? AND ?
;;
SELECT seq, id, event_id, topic, event_key FROM `outbox_parked`
WHERE state = 'drop' ORDER BY seq LIMIT ? FOR UPDATE
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers, DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%fZ'), DATE_FORMAT(parked_at, '%Y-%m-%dT%H:%i:%s.%fZ'), attempts, error, state, overtaken, octet_length(payload), NULL FROM `outbox_parked` ORDER BY seq LIMIT ?
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers, DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%fZ'), DATE_FORMAT(parked_at, '%Y-%m-%dT%H:%i:%s.%fZ'), attempts, error, state, overtaken, octet_length(payload), NULL FROM `outbox_parked` WHERE (event_id = ? OR seq = ? OR seq = ?) ORDER BY seq LIMIT ?
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers, DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%fZ'), DATE_FORMAT(parked_at, '%Y-%m-%dT%H:%i:%s.%fZ'), attempts, error, state, overtaken, octet_length(payload), NULL FROM `outbox_parked` WHERE (event_id = ?) ORDER BY seq LIMIT ?
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers, DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%fZ'), DATE_FORMAT(parked_at, '%Y-%m-%dT%H:%i:%s.%fZ'), attempts, error, state, overtaken, octet_length(payload), NULL FROM `outbox_parked` WHERE (seq = ? OR seq = ? OR event_id = ?) ORDER BY seq LIMIT ?
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers, DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%fZ'), DATE_FORMAT(parked_at, '%Y-%m-%dT%H:%i:%s.%fZ'), attempts, error, state, overtaken, octet_length(payload), NULL FROM `outbox_parked` WHERE (seq = ? OR seq = ? OR seq = ?) ORDER BY seq FOR UPDATE
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers, DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%fZ'), DATE_FORMAT(parked_at, '%Y-%m-%dT%H:%i:%s.%fZ'), attempts, error, state, overtaken, octet_length(payload), NULL FROM `outbox_parked` WHERE (seq = ? OR seq = ?) ORDER BY seq FOR UPDATE
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers, DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%fZ'), DATE_FORMAT(parked_at, '%Y-%m-%dT%H:%i:%s.%fZ'), attempts, error, state, overtaken, octet_length(payload), NULL FROM `outbox_parked` WHERE (seq = ?) ORDER BY seq FOR UPDATE
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers, DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%fZ'), DATE_FORMAT(parked_at, '%Y-%m-%dT%H:%i:%s.%fZ'), attempts, error, state, overtaken, octet_length(payload), NULL FROM `outbox_parked` WHERE state = ? ORDER BY seq LIMIT ?
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers, DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%fZ'), DATE_FORMAT(parked_at, '%Y-%m-%dT%H:%i:%s.%fZ'), attempts, error, state, overtaken, octet_length(payload), NULL FROM `outbox_parked` WHERE topic = ? AND LENGTH(topic) = ? AND event_key = ? ORDER BY seq LIMIT ?
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers, DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%fZ'), DATE_FORMAT(parked_at, '%Y-%m-%dT%H:%i:%s.%fZ'), attempts, error, state, overtaken, octet_length(payload), NULL FROM `outbox_parked` WHERE topic = ? AND LENGTH(topic) = ? ORDER BY seq LIMIT ?
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers, DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%fZ'), DATE_FORMAT(parked_at, '%Y-%m-%dT%H:%i:%s.%fZ'), attempts, error, state, overtaken, octet_length(payload), SUBSTRING(payload, 1, 10) FROM `outbox_parked` WHERE (event_id = ?) ORDER BY seq
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers, DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%fZ'), DATE_FORMAT(parked_at, '%Y-%m-%dT%H:%i:%s.%fZ'), attempts, error, state, overtaken, octet_length(payload), SUBSTRING(payload, 1, 10) FROM `outbox_parked` WHERE (seq = ?) ORDER BY seq
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers, DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%fZ'), DATE_FORMAT(parked_at, '%Y-%m-%dT%H:%i:%s.%fZ'), attempts, error, state, overtaken, octet_length(payload), SUBSTRING(payload, 1, 4) FROM `outbox_parked` WHERE (event_id = ?) ORDER BY seq
;;
SELECT seq, message_id, topic, event_key, event_type, headers, payload, payload IS NOT NULL, kafka_topic, kafka_partition, kafka_offset, attempts, error, state FROM `inbox_parked` WHERE consumer = ? AND topic = ? AND event_key = ? AND seq >= ? AND seq <= ? ORDER BY seq
;;
SELECT seq, overtaken, attempts, id, event_id, topic, event_key, event_type, payload, headers, TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '‹day› 00:00:00', created_at)
FROM JSON_TABLE(?, '$[*]' COLUMNS (v BIGINT PATH '$')) AS a
STRAIGHT_JOIN `outbox_parked` AS p FORCE INDEX (PRIMARY) ON p.seq = a.v WHERE p.state = 'retry' ORDER BY a.v
;;
SELECT seq, state FROM `inbox_parked` AS p WHERE consumer = ? AND topic = ? AND event_key = ? AND seq < ? AND EXISTS (SELECT 1 FROM `inbox_blocked` AS b WHERE b.consumer = p.consumer AND b.topic = p.topic AND b.event_key = p.event_key) AND seq NOT IN (1) ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM `inbox_parked` AS p WHERE consumer = ? AND topic = ? AND event_key = ? AND seq < ? AND EXISTS (SELECT 1 FROM `inbox_blocked` AS b WHERE b.consumer = p.consumer AND b.topic = p.topic AND b.event_key = p.event_key) AND state <> 'drop' ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM `inbox_parked` AS p WHERE consumer = ? AND topic = ? AND event_key = ? AND seq < ? AND EXISTS (SELECT 1 FROM `inbox_blocked` AS b WHERE b.consumer = p.consumer AND b.topic = p.topic AND b.event_key = p.event_key) ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM `inbox_parked` WHERE consumer = ? AND topic = ? AND event_key = ? AND seq > ? ORDER BY seq LIMIT 1 FOR UPDATE
;;
SELECT seq, state FROM `outbox_parked` WHERE state = 'failed' AND (overtaken <> 0) ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM `outbox_parked` WHERE topic = ? AND LENGTH(topic) = ? AND event_key = ? AND seq < ? AND state <> 'drop' AND seq NOT IN (1) ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM `outbox_parked` WHERE topic = ? AND LENGTH(topic) = ? AND event_key = ? AND seq < ? AND state <> 'drop' ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM `outbox_parked` WHERE topic = ? AND LENGTH(topic) = ? AND event_key = ? AND seq < ? AND state = 'failed' AND seq NOT IN (1) ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM `outbox_parked` WHERE topic = ? AND LENGTH(topic) = ? AND event_key = ? AND seq < ? AND state = 'failed' ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM `outbox_parked` WHERE topic = ? AND LENGTH(topic) = ? AND event_key = ? AND state = 'failed' AND (overtaken <> 0) ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM `outbox_parked` WHERE topic = ? AND LENGTH(topic) = ? AND event_key = ? ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM `outbox_parked` WHERE topic = ? AND LENGTH(topic) = ? AND state = 'failed' AND (overtaken <> 0) ORDER BY seq LIMIT 1
;;
SELECT seq, state, attempts, COALESCE(LENGTH(payload), 0) + LENGTH(headers), message_id, CASE WHEN state = 'drop' THEN error ELSE '' END FROM `inbox_parked` WHERE consumer = ? AND topic = ? AND event_key = ? AND seq > ? AND state IN ('retry', 'drop') ORDER BY seq LIMIT ?
;;
SELECT seq, state, attempts, COALESCE(LENGTH(payload), 0) + LENGTH(headers), message_id, CASE WHEN state = 'drop' THEN error ELSE '' END FROM `inbox_parked` WHERE consumer = ? AND topic = ? AND event_key = ? AND seq > ? ORDER BY seq LIMIT ?
;;
SELECT seq, topic, event_key, overtaken FROM `outbox_parked`
WHERE state = 'retry' AND seq > ? ORDER BY seq LIMIT ?
;;
SELECT slot FROM `outbox_key_locks` FORCE INDEX (PRIMARY) WHERE slot IN (221) FOR UPDATE SKIP LOCKED
;;
SELECT slot FROM `outbox_key_locks` FORCE INDEX (PRIMARY) WHERE slot IN (281) FOR UPDATE SKIP LOCKED
;;
SELECT slot FROM `outbox_key_locks` FORCE INDEX (PRIMARY) WHERE slot IN (301) FOR UPDATE SKIP LOCKED
;;
SELECT slot FROM `outbox_key_locks` FORCE INDEX (PRIMARY) WHERE slot IN (46) FOR UPDATE SKIP LOCKED
;;
SELECT slot FROM `outbox_key_locks` FORCE INDEX (PRIMARY) WHERE slot IN (46,261) FOR UPDATE SKIP LOCKED
;;
SELECT slot FROM `outbox_key_locks` FORCE INDEX (PRIMARY) WHERE slot IN (46,855) FOR UPDATE SKIP LOCKED
;;
SELECT slot FROM `outbox_key_locks` FORCE INDEX (PRIMARY) WHERE slot IN (538) FOR UPDATE SKIP LOCKED
;;
SELECT slot FROM `outbox_key_locks` FORCE INDEX (PRIMARY) WHERE slot IN (6) FOR UPDATE SKIP LOCKED
;;
SELECT slot FROM `outbox_key_locks` FORCE INDEX (PRIMARY) WHERE slot IN (6,221) FOR UPDATE SKIP LOCKED
;;
SELECT slot FROM `outbox_key_locks` FORCE INDEX (PRIMARY) WHERE slot IN (753) FOR UPDATE SKIP LOCKED
;;
SELECT slot FROM `outbox_key_locks` FORCE INDEX (PRIMARY) WHERE slot IN (764) FOR UPDATE SKIP LOCKED
;;
SELECT slot FROM `outbox_key_locks` FORCE INDEX (PRIMARY) WHERE slot IN (‹n›, …) FOR UPDATE SKIP LOCKED
;;
SELECT slot FROM `outbox_key_locks` WHERE slot IN (261) ORDER BY slot FOR UPDATE
;;
SELECT slot FROM `outbox_key_locks` WHERE slot IN (281) ORDER BY slot FOR UPDATE
;;
SELECT slot FROM `outbox_key_locks` WHERE slot IN (46) ORDER BY slot FOR UPDATE
;;
SELECT slot FROM `outbox_key_locks` WHERE slot IN (476) ORDER BY slot FOR UPDATE
;;
SELECT slot FROM `outbox_key_locks` WHERE slot IN (669,764) ORDER BY slot FOR UPDATE
;;
SELECT slot FROM `outbox_key_locks` WHERE slot IN (764) ORDER BY slot FOR UPDATE
;;
SELECT slot FROM `outbox_key_locks` WHERE slot IN (855) ORDER BY slot FOR UPDATE
;;
SELECT source, owner, (owner IS NULL OR expires_at IS NULL OR expires_at < UTC_TIMESTAMP(6)
  OR expires_at > UTC_TIMESTAMP(6) + INTERVAL 2 * GREATEST(0, COALESCE(CAST(JSON_VALUE(hints, '$.ttl_us') AS SIGNED), 0)) MICROSECOND) FROM `outbox_leases` WHERE id = 1 FOR UPDATE
;;
SELECT source, source_id, @@read_only, @@auto_increment_increment FROM `outbox_leases` WHERE id = 1
;;
SELECT source, source_id, owner, epoch, DATE_FORMAT(expires_at, '%Y-%m-%dT%H:%i:%s.%fZ'),
	TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), expires_at), mode, JSON_UNQUOTE(JSON_EXTRACT(hints, '$.halted')),
	CAST(JSON_VALUE(hints, '$.ttl_us') AS SIGNED), JSON_VALUE(hints, '$.blind'), JSON_EXTRACT(hints, '$.outage')
FROM `outbox_leases` WHERE id = 1
;;
SELECT source, source_id, owner, epoch, TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), expires_at),
	mode, JSON_UNQUOTE(JSON_EXTRACT(hints, '$.halted')), CAST(JSON_VALUE(hints, '$.ttl_us') AS SIGNED), JSON_EXTRACT(hints, '$.position'), JSON_EXTRACT(hints, '$.topics'), JSON_VALUE(hints, '$.blind'), JSON_EXTRACT(hints, '$.outage')
FROM `none_outbox_leases` WHERE id = 1
;;
SELECT source, source_id, owner, epoch, TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), expires_at),
	mode, JSON_UNQUOTE(JSON_EXTRACT(hints, '$.halted')), CAST(JSON_VALUE(hints, '$.ttl_us') AS SIGNED), JSON_EXTRACT(hints, '$.position'), JSON_EXTRACT(hints, '$.topics'), JSON_VALUE(hints, '$.blind'), JSON_EXTRACT(hints, '$.outage')
FROM `outbox_leases` WHERE id = 1
;;
SELECT source_id FROM `outbox_leases` WHERE id = 1
;;
SELECT state, count(*) FROM (SELECT state FROM `outbox_parked` LIMIT 200000) AS counted GROUP BY state
;;
SELECT t.trx_mysql_thread_id, COALESCE(p.user, ''), COALESCE(p.host, ''), COALESCE(p.command, 'prepared'), COALESCE(p.time, 0),
	TIMESTAMPDIFF(SECOND, t.trx_started, CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', 'SYSTEM')) AS age, t.trx_rows_modified > 0
FROM information_schema.innodb_trx t LEFT JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id
WHERE t.trx_mysql_thread_id <> CONNECTION_ID() AND (p.id IS NULL OR p.db = DATABASE() OR p.db IS NULL)
HAVING age >= ? ORDER BY age DESC LIMIT 100
;;
SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_name = 'inbox_attempts' AND table_comment NOT LIKE 'Postroom:%'
;;
SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_name = 'inbox_blocked' AND table_comment NOT LIKE 'Postroom:%'
;;
SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_name = 'inbox_events' AND table_comment NOT LIKE 'Postroom:%'
;;
SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_name = 'inbox_offsets' AND table_comment NOT LIKE 'Postroom:%'
;;
SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_name = 'inbox_parked' AND table_comment NOT LIKE 'Postroom:%'
;;
SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_name = 'inbox_replica_rows' AND table_comment NOT LIKE 'Postroom:%'
;;
SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_name = 'inbox_replica_runs' AND table_comment NOT LIKE 'Postroom:%'
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
SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_name = 'shop_inbox_attempts' AND table_comment NOT LIKE 'Postroom:%'
;;
SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_name = 'shop_inbox_blocked' AND table_comment NOT LIKE 'Postroom:%'
;;
SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_name = 'shop_inbox_events' AND table_comment NOT LIKE 'Postroom:%'
;;
SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_name = 'shop_inbox_offsets' AND table_comment NOT LIKE 'Postroom:%'
;;
SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_name = 'shop_inbox_parked' AND table_comment NOT LIKE 'Postroom:%'
;;
SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_name = 'shop_inbox_replica_rows' AND table_comment NOT LIKE 'Postroom:%'
;;
SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_name = 'shop_inbox_replica_runs' AND table_comment NOT LIKE 'Postroom:%'
;;
SELECT topic, count(*), max(size) FROM (SELECT topic, 0 AS size FROM `outbox_archive` ORDER BY seq DESC LIMIT 2000) AS sample GROUP BY topic
;;
SELECT topic, count(*), max(size) FROM (SELECT topic, 0 AS size FROM `outbox_scheduled` ORDER BY seq LIMIT 2000) AS sample GROUP BY topic
;;
SELECT topic, count(*), max(size) FROM (SELECT topic, COALESCE(OCTET_LENGTH(payload), 0) + COALESCE(OCTET_LENGTH(event_key), 0) + OCTET_LENGTH(headers) AS size FROM `none_outbox_events` ORDER BY id LIMIT 2000) AS sample GROUP BY topic
;;
SELECT topic, count(*), max(size) FROM (SELECT topic, COALESCE(OCTET_LENGTH(payload), 0) + COALESCE(OCTET_LENGTH(event_key), 0) + OCTET_LENGTH(headers) AS size FROM `outbox_events` ORDER BY id DESC LIMIT 2000) AS sample GROUP BY topic
;;
SELECT topic, count(*), max(size) FROM (SELECT topic, COALESCE(OCTET_LENGTH(payload), 0) + COALESCE(OCTET_LENGTH(event_key), 0) + OCTET_LENGTH(headers) AS size FROM `outbox_events` ORDER BY id LIMIT 2000) AS sample GROUP BY topic
;;
SELECT topic, count(*), max(size) FROM (SELECT topic, COALESCE(OCTET_LENGTH(payload), 0) + COALESCE(OCTET_LENGTH(event_key), 0) + OCTET_LENGTH(headers) AS size FROM `outbox_parked` ORDER BY seq LIMIT 2000) AS sample GROUP BY topic
;;
SELECT topic, event_key, event_type, DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%fZ'), DATE_FORMAT(deliver_at, '%Y-%m-%dT%H:%i:%s.%fZ') FROM `outbox_scheduled` WHERE event_id = ? ORDER BY seq
;;
SELECT trigger_name, 0 FROM information_schema.triggers WHERE event_object_schema = DATABASE() AND event_object_table = ? ORDER BY 1
;;
SELECT version, name, date_format(applied_at, '%Y-%m-%dT%H:%i:%s.%fZ') FROM `none_postroom_schema` ORDER BY version
;;
SELECT version, name, date_format(applied_at, '%Y-%m-%dT%H:%i:%s.%fZ') FROM `postroom_schema` ORDER BY version
;;
SELECT version, name, date_format(applied_at, '%Y-%m-%dT%H:%i:%s.%fZ') FROM `shop_postroom_schema` ORDER BY version
;;
SET SESSION lock_wait_timeout = 1
;;
SET SESSION lock_wait_timeout = 15
;;
SET SESSION lock_wait_timeout = 30
;;
SHOW GLOBAL VARIABLES LIKE 'group_replication_group_name'
;;
SHOW GLOBAL VARIABLES LIKE 'wsrep_on'
;;
SHOW GLOBAL VARIABLES WHERE Variable_name IN ('innodb_flush_log_at_trx_commit', 'sync_binlog', 'log_bin', 'innodb_doublewrite')
;;
SHOW GLOBAL VARIABLES WHERE Variable_name IN ('read_only', 'auto_increment_increment', 'sql_mode', 'tx_isolation', 'transaction_isolation', 'wsrep_on', 'group_replication_group_name', 'group_replication_single_primary_mode')
;;
UPDATE JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT PATH '$[0]', event_id CHAR(36) PATH '$[1]',
  reason VARCHAR(4000) PATH '$[2]', overtaken INT PATH '$[3]')) AS a
STRAIGHT_JOIN `outbox_parked` AS r FORCE INDEX (PRIMARY) ON r.seq = a.seq AND r.event_id = CONVERT(a.event_id USING ascii) COLLATE ascii_bin
SET r.attempts = r.attempts + 1, r.error = COALESCE(a.reason, ''), r.overtaken = r.overtaken OR a.overtaken,
    r.state = CASE r.state WHEN 'drop' THEN 'drop' ELSE 'failed' END
;;
UPDATE JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT PATH '$[0]', event_id CHAR(36) PATH '$[1]',
  reason VARCHAR(4000) PATH '$[2]', overtaken INT PATH '$[3]')) AS a
STRAIGHT_JOIN `outbox_parked` AS r FORCE INDEX (PRIMARY) ON r.seq = a.seq AND r.event_id = CONVERT(a.event_id USING ascii) COLLATE ascii_bin
STRAIGHT_JOIN `outbox_parked` AS p ON p.topic = r.topic AND p.event_key = r.event_key
  AND CAST(p.topic AS BINARY) = CAST(r.topic AS BINARY) AND p.seq > r.seq
SET p.state = 'blocked' WHERE p.state = 'retry' AND NOT p.overtaken
;;
UPDATE JSON_TABLE(?, '$[*]' COLUMNS (v BIGINT PATH '$')) AS a
STRAIGHT_JOIN `outbox_parked` AS p FORCE INDEX (PRIMARY) ON p.seq = a.v SET p.overtaken = true
;;
UPDATE JSON_TABLE(?, '$[*]' COLUMNS (v BIGINT PATH '$')) AS a
STRAIGHT_JOIN `outbox_parked` AS p FORCE INDEX (PRIMARY) ON p.seq = a.v SET p.state = 'retry' WHERE p.state = 'blocked'
;;
UPDATE JSON_TABLE(?, '$[*]' COLUMNS (v BIGINT PATH '$')) AS a STRAIGHT_JOIN `inbox_parked` AS p FORCE INDEX (PRIMARY) ON p.seq = a.v SET p.state = 'retry' WHERE p.state IN ('failed', 'blocked', 'drop')
;;
UPDATE JSON_TABLE(?, '$[*]' COLUMNS (v BIGINT PATH '$')) AS a STRAIGHT_JOIN `outbox_parked` AS p FORCE INDEX (PRIMARY) ON p.seq = a.v SET p.state = 'drop', p.error = LEFT(CONCAT(?, p.error), 4000) WHERE p.state <> 'drop'
;;
UPDATE JSON_TABLE(?, '$[*]' COLUMNS (v BIGINT PATH '$')) AS a STRAIGHT_JOIN `outbox_parked` AS p FORCE INDEX (PRIMARY) ON p.seq = a.v SET p.state = 'retry' WHERE p.state IN ('failed', 'drop')
;;
UPDATE JSON_TABLE(?, '$[*]' COLUMNS (v BIGINT PATH '$')) AS a STRAIGHT_JOIN `outbox_parked` AS p FORCE INDEX (PRIMARY) ON p.seq = a.v SET p.state = 'retry' WHERE p.state IN ('failed', 'drop') AND NOT (p.overtaken <> 0)
;;
UPDATE `inbox_attempts` SET attempts = attempts - 1 WHERE consumer = ? AND message_id = ? AND attempts > 0
;;
UPDATE `inbox_attempts` SET last_error = ? WHERE consumer = ? AND message_id = ?
;;
UPDATE `inbox_offsets` AS o JOIN (SELECT CAST(? AS binary) AS topic, CAST(? AS signed) AS part, CAST(? AS binary) AS id, CAST(? AS signed) AS applied, CAST(? AS signed) AS noted UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, …) AS v ON o.consumer = ? AND o.kafka_group = ? AND o.kafka_topic = v.topic AND o.kafka_partition = v.part AND COALESCE(o.topic_id, '') = v.id AND COALESCE(o.applied_offset, 0) >= v.noted SET o.applied_offset = GREATEST(COALESCE(o.applied_offset, v.applied), v.applied), o.updated_at = utc_timestamp(6)
;;
UPDATE `inbox_offsets` AS o JOIN (SELECT CAST(? AS binary) AS topic, CAST(? AS signed) AS part, CAST(? AS binary) AS id, CAST(? AS signed) AS applied, CAST(? AS signed) AS noted UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, ?, ?, ?, ? UNION ALL SELECT ?, …) AS v ON o.consumer = ? AND o.kafka_group = ? AND o.kafka_topic = v.topic AND o.kafka_partition = v.part AND COALESCE(o.topic_id, '') = v.id AND COALESCE(o.applied_offset, 0) >= v.noted SET o.applied_offset = GREATEST(COALESCE(o.applied_offset, v.applied), v.applied), o.updated_at = utc_timestamp(6)
;;
UPDATE `inbox_offsets` AS o JOIN (SELECT CAST(? AS binary) AS topic, CAST(? AS signed) AS part, CAST(? AS binary) AS id, CAST(? AS signed) AS applied, CAST(? AS signed) AS noted UNION ALL SELECT ?, …) AS v ON o.consumer = ? AND o.kafka_group = ? AND o.kafka_topic = v.topic AND o.kafka_partition = v.part AND COALESCE(o.topic_id, '') = v.id AND COALESCE(o.applied_offset, 0) >= v.noted SET o.applied_offset = GREATEST(COALESCE(o.applied_offset, v.applied), v.applied), o.updated_at = utc_timestamp(6)
;;
UPDATE `inbox_offsets` AS o JOIN (SELECT CAST(? AS binary) AS topic, CAST(? AS signed) AS part, CAST(? AS binary) AS id, CAST(? AS signed) AS applied, CAST(? AS signed) AS noted) AS v ON o.consumer = ? AND o.kafka_group = ? AND o.kafka_topic = v.topic AND o.kafka_partition = v.part AND COALESCE(o.topic_id, '') = v.id AND COALESCE(o.applied_offset, 0) >= v.noted SET o.applied_offset = GREATEST(COALESCE(o.applied_offset, v.applied), v.applied), o.updated_at = utc_timestamp(6)
;;
UPDATE `inbox_offsets` SET kafka_group = ?, topic_id = ?, applied_offset = ?, next_offset = NULL, epoch = epoch + 1, updated_at = utc_timestamp(6) WHERE consumer = ? AND kafka_topic = ? AND kafka_partition = ? AND COALESCE(kafka_group, '') = ? AND COALESCE(topic_id, '') = ?
;;
UPDATE `inbox_offsets` SET kafka_group = ?, topic_id = ?, applied_offset = GREATEST(COALESCE(applied_offset, ?), COALESCE(?, applied_offset)), next_offset = NULL, epoch = epoch + 1, updated_at = utc_timestamp(6) WHERE consumer = ? AND kafka_topic = ? AND kafka_partition = ? AND COALESCE(kafka_group, '') = ? AND COALESCE(topic_id, '') = ?
;;
UPDATE `inbox_offsets` SET kafka_group = ?, topic_id = ?, applied_offset = GREATEST(COALESCE(applied_offset, ?), COALESCE(?, applied_offset)), updated_at = utc_timestamp(6) WHERE consumer = ? AND kafka_topic = ? AND kafka_partition = ? AND COALESCE(kafka_group, '') = ? AND COALESCE(topic_id, '') = ?
;;
UPDATE `inbox_offsets` SET next_offset = ?, updated_at = utc_timestamp(6) WHERE consumer = ? AND kafka_topic = ? AND kafka_partition = ? AND epoch = ? AND COALESCE(next_offset, -1) BETWEEN ? AND ?
;;
UPDATE `inbox_parked` SET error = ? WHERE consumer = ? AND seq = ?
;;
UPDATE `inbox_parked` SET state = 'blocked' WHERE consumer = ? AND topic = ? AND event_key = ? AND seq > ? AND state = 'retry'
;;
UPDATE `inbox_parked` SET state = 'drop', error = LEFT(CONCAT(?, error), 4000) WHERE state IN ('failed', 'blocked', 'retry')
;;
UPDATE `inbox_parked` SET state = 'drop', error = LEFT(CONCAT(?, error), 4000) WHERE topic = ? AND event_key = ? AND state IN ('failed', 'blocked', 'retry')
;;
UPDATE `inbox_parked` SET state = 'failed', attempts = attempts + 1 WHERE consumer = ? AND seq = ? AND state = ?
;;
UPDATE `inbox_parked` SET state = 'retry' WHERE (state = 'failed' OR seq IN (SELECT head FROM (SELECT min(seq) AS head FROM `inbox_parked` WHERE event_key IS NOT NULL GROUP BY consumer, topic, event_key) AS heads)) AND state IN ('failed', 'blocked')
;;
UPDATE `inbox_parked` SET state = 'retry' WHERE consumer = ? AND seq = ? AND state = 'blocked'
;;
UPDATE `inbox_parked` SET state = 'retry' WHERE topic = ? AND event_key = ? AND (state = 'failed' OR seq IN (SELECT head FROM (SELECT min(seq) AS head FROM `inbox_parked` WHERE event_key IS NOT NULL GROUP BY consumer, topic, event_key) AS heads)) AND state IN ('failed', 'blocked')
;;
UPDATE `inbox_parked` SET state = CASE WHEN seq = ? THEN 'failed' ELSE state END, attempts = 1 WHERE consumer = ? AND topic = ? AND event_key = ? AND seq >= ? AND seq <= ? AND attempts = 0 AND state IN ('retry', 'blocked')
;;
UPDATE `inbox_parked` SET state = CASE WHEN state = 'failed' THEN 'retry' ELSE state END, attempts = 0 WHERE consumer = ? AND topic = ? AND event_key = ? AND seq >= ? AND seq <= ? AND attempts = 1
;;
UPDATE `inbox_replica_rows` SET deleted_at = utc_timestamp(6) WHERE replica = ? AND row_key = ?
;;
UPDATE `inbox_replica_runs` SET finished_at = utc_timestamp(6) WHERE replica = ? AND run_id <= ? AND finished_at IS NULL
;;
UPDATE `inbox_replica_runs` SET sent = ?, started_at = ? WHERE replica = ? AND run_id = ?
;;
UPDATE `outbox_leases`
SET expires_at = UTC_TIMESTAMP(6) + INTERVAL 3600000000 MICROSECOND
WHERE id = 1 AND owner = ? AND epoch = ? AND CONCAT_WS('/', @@hostname, @@port, @@server_id) = ?
;;
UPDATE `outbox_leases`
SET owner = ?, epoch = epoch + 1, mode = coalesce(mode, ?), expires_at = UTC_TIMESTAMP(6) + INTERVAL 3600000000 MICROSECOND,
    hints = JSON_SET(JSON_REMOVE(hints, '$.halted', '$.blind', '$.outage'), '$.ttl_us', 3600000000)
WHERE id = 1 AND (owner = ? OR (owner IS NULL OR expires_at IS NULL OR expires_at < UTC_TIMESTAMP(6)
  OR expires_at > UTC_TIMESTAMP(6) + INTERVAL 2 * GREATEST(3600000000, COALESCE(CAST(JSON_VALUE(hints, '$.ttl_us') AS SIGNED), 0)) MICROSECOND))
;;
UPDATE `outbox_leases`
SET owner = ?, epoch = epoch + 1, mode = coalesce(mode, ?), expires_at = UTC_TIMESTAMP(6) + INTERVAL 60000000 MICROSECOND,
    hints = JSON_SET(JSON_REMOVE(hints, '$.halted', '$.blind', '$.outage'), '$.ttl_us', 60000000)
WHERE id = 1 AND (owner = ? OR (owner IS NULL OR expires_at IS NULL OR expires_at < UTC_TIMESTAMP(6)
  OR expires_at > UTC_TIMESTAMP(6) + INTERVAL 2 * GREATEST(60000000, COALESCE(CAST(JSON_VALUE(hints, '$.ttl_us') AS SIGNED), 0)) MICROSECOND))
;;
UPDATE `outbox_leases` SET hints = JSON_SET(hints, '$.blind', ?) WHERE id = 1
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
UPDATE `outbox_leases` SET mode = ? WHERE id = 1
;;
UPDATE `outbox_leases` SET owner = NULL, expires_at = NULL, hints = JSON_REMOVE(hints, '$.heir') WHERE id = 1 AND owner = ? AND epoch = ?
;;
UPDATE `outbox_leases` SET owner = NULL, expires_at = NULL, hints = JSON_SET(hints, '$.heir', '‹uuid›') WHERE id = 1 AND owner = ? AND epoch = ?
;;
UPDATE `outbox_leases` SET source = ? WHERE id = 1
;;
UPDATE `outbox_leases` SET source = ? WHERE id = 1 AND source IS NULL
;;
UPDATE `outbox_leases` SET source_id = ?, hints = JSON_REMOVE(hints, '$.position', '$.halted') WHERE id = 1
;;
UPDATE `outbox_parked` SET attempts = attempts WHERE seq = 0
;;
UPDATE `postroom_schema_lock` SET expires_at = utc_timestamp(6) + INTERVAL 30000000 MICROSECOND WHERE id = 1 AND owner = '‹process›'
;;
UPDATE `postroom_schema_lock` SET owner = '‹process›', expires_at = utc_timestamp(6) + INTERVAL 30000000 MICROSECOND WHERE id = 1 AND (owner IS NULL OR expires_at IS NULL OR expires_at < utc_timestamp(6) OR expires_at > utc_timestamp(6) + INTERVAL 60000000 MICROSECOND)
;;
UPDATE `postroom_schema_lock` SET owner = NULL, expires_at = NULL WHERE id = 1 AND owner = '‹process›'
;;
UPDATE `shop_postroom_schema_lock` SET expires_at = utc_timestamp(6) + INTERVAL 30000000 MICROSECOND WHERE id = 1 AND owner = '‹process›'
;;
UPDATE `shop_postroom_schema_lock` SET owner = '‹process›', expires_at = utc_timestamp(6) + INTERVAL 30000000 MICROSECOND WHERE id = 1 AND (owner IS NULL OR expires_at IS NULL OR expires_at < utc_timestamp(6) OR expires_at > utc_timestamp(6) + INTERVAL 60000000 MICROSECOND)
;;
UPDATE `shop_postroom_schema_lock` SET owner = NULL, expires_at = NULL WHERE id = 1 AND owner = '‹process›'
;;
XA RECOVER
;;
