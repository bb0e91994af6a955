CREATE SCHEMA IF NOT EXISTS "post"
;;
CREATE TABLE IF NOT EXISTS "postroom_schema" (
    version    bigint      PRIMARY KEY,
    name       text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
;;
CREATE TABLE IF NOT EXISTS "postroom_schema_lock" (
    id         smallint    PRIMARY KEY CHECK (id = 1),
    owner      text,
    expires_at timestamptz
)
;;
DELETE FROM "outbox_archive" WHERE seq = -1
;;
DELETE FROM "outbox_archive" WHERE seq = ANY (ARRAY(SELECT seq FROM "outbox_archive" WHERE delivered_at < now() - 604800000000 * interval '1 microsecond' ORDER BY delivered_at LIMIT 1000))
;;
DELETE FROM "outbox_events"
WHERE id BETWEEN $1 AND $2
  AND EXISTS (SELECT 1 FROM "outbox_events" AS last WHERE last.id = $2 AND last.event_id = $3::uuid)
  AND EXISTS (SELECT 1 FROM "outbox_leases" WHERE id = 1 AND owner = $4 AND epoch = $5 AND $6 = extract(epoch FROM pg_postmaster_start_time())::text
  || '/' || CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END)
  AND (SELECT set_config('lock_timeout', '500ms', true)) <> ''
;;
DELETE FROM "outbox_events" AS e
USING unnest($1::text::bigint[], $2::text::uuid[]) AS delivered (id, event_id)
WHERE e.id = delivered.id AND e.event_id = delivered.event_id
  AND EXISTS (SELECT 1 FROM "outbox_leases" WHERE id = 1 AND owner = $3 AND epoch = $4 AND $5 = extract(epoch FROM pg_postmaster_start_time())::text
  || '/' || CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END)
  AND (SELECT set_config('lock_timeout', '500ms', true)) <> ''
;;
DELETE FROM "outbox_parked" WHERE seq = 0
;;
DELETE FROM "outbox_relays" WHERE relay_id = $1
;;
INSERT INTO "inbox_events" (consumer, message_id, kafka_topic, kafka_partition, kafka_offset)
VALUES ($1, …) ON CONFLICT (consumer, message_id) DO NOTHING RETURNING pg_current_xact_id()::text
;;
INSERT INTO "outbox_archive" (id, event_id, topic, event_key, event_type, payload, headers, created_at, kafka_partition, kafka_offset) SELECT id, event_id, topic, event_key, event_type, payload, headers, created_at, kafka_partition, kafka_offset FROM "outbox_archive" WHERE seq = -1
;;
INSERT INTO "outbox_events" (event_id, topic, event_key, event_type, payload, headers) VALUES ($1, …)
;;
INSERT INTO "outbox_events" (event_id, topic, event_key, event_type, payload, headers) VALUES ($1, …), …
;;
INSERT INTO "outbox_parked" (id, event_id, topic, event_type, headers, created_at)
SELECT id, event_id, topic, event_type, headers, created_at FROM "outbox_events" WHERE id = 0
;;
INSERT INTO "postroom_schema" (version, name) VALUES (1, '00001_outbox.sql')
;;
INSERT INTO "postroom_schema" (version, name) VALUES (3, '00003_outbox_relay.sql')
;;
INSERT INTO "postroom_schema" (version, name) VALUES (6, '00006_outbox_backfill.sql')
;;
INSERT INTO "postroom_schema_lock" (id) VALUES (1) ON CONFLICT (id) DO NOTHING
;;
SELECT (SELECT CASE WHEN has_sequence_privilege(s.name, 'SELECT, USAGE') THEN pg_sequence_last_value(s.name::regclass) END
 FROM (SELECT pg_get_serial_sequence($1, 'id') AS name) AS s)
;;
SELECT (extract(epoch FROM deliver_at - statement_timestamp()) * 1000000)::bigint
FROM "outbox_scheduled" ORDER BY deliver_at, seq LIMIT 1
;;
SELECT (owner IS NULL OR expires_at IS NULL OR expires_at < clock_timestamp()
  OR expires_at > clock_timestamp() + 2 * greatest(3000000::bigint, coalesce((hints->>'ttl_us')::bigint, 0)) * interval '1 microsecond'), CASE WHEN owner IS NULL THEN hints->>'heir' END, owner IS NOT NULL AND coalesce(hints->>'blind', '') <> '', coalesce(mode, '') FROM "outbox_leases" WHERE id = 1
;;
SELECT (owner IS NULL OR expires_at IS NULL OR expires_at < clock_timestamp()
  OR expires_at > clock_timestamp() + 2 * greatest(4000000::bigint, coalesce((hints->>'ttl_us')::bigint, 0)) * interval '1 microsecond'), CASE WHEN owner IS NULL THEN hints->>'heir' END, owner IS NOT NULL AND coalesce(hints->>'blind', '') <> '', coalesce(mode, '') FROM "outbox_leases" WHERE id = 1
;;
SELECT (owner IS NULL OR expires_at IS NULL OR expires_at < clock_timestamp()
  OR expires_at > clock_timestamp() + 2 * greatest(600000000::bigint, coalesce((hints->>'ttl_us')::bigint, 0)) * interval '1 microsecond'), CASE WHEN owner IS NULL THEN hints->>'heir' END, owner IS NOT NULL AND coalesce(hints->>'blind', '') <> '', coalesce(mode, '') FROM "outbox_leases" WHERE id = 1
;;
SELECT (owner IS NULL OR expires_at IS NULL OR expires_at < clock_timestamp()
  OR expires_at > clock_timestamp() + 2 * greatest(60000000::bigint, coalesce((hints->>'ttl_us')::bigint, 0)) * interval '1 microsecond'), CASE WHEN owner IS NULL THEN hints->>'heir' END, owner IS NOT NULL AND coalesce(hints->>'blind', '') <> '', coalesce(mode, '') FROM "outbox_leases" WHERE id = 1
;;
SELECT 0::bigint, NULL::bytea, CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END,
       NULL::text, extract(epoch FROM pg_postmaster_start_time())::text
  || '/' || CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END, NULL::bytea, NULL::text, NULL::timestamptz
UNION ALL
(SELECT e.* FROM unnest($3::text::bigint[], $4::text::bigint[], $5::text::text[]) AS gap (lo, hi, asleep)
  CROSS JOIN LATERAL (
    SELECT id, uuid_send(event_id), topic, event_key, event_type, payload, headers::text, created_at
    FROM "outbox_events" WHERE id BETWEEN gap.lo AND gap.hi ORDER BY id LIMIT $1::bigint
  ) e
  WHERE gap.asleep = '' OR EXISTS (SELECT FROM unnest(gap.asleep::xid8[]) AS t (number) WHERE pg_visible_in_snapshot(t.number, pg_current_snapshot()))
  ORDER BY e.id LIMIT $1::bigint)
UNION ALL
(SELECT id, uuid_send(event_id), topic, event_key, event_type, payload, headers::text, created_at
 FROM "outbox_events" WHERE id > $2::bigint ORDER BY id LIMIT $1::bigint)
;;
SELECT 0::bigint, NULL::bytea, CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END,
       NULL::text, extract(epoch FROM pg_postmaster_start_time())::text
  || '/' || CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END, NULL::bytea, NULL::text, NULL::timestamptz
UNION ALL
(SELECT id, uuid_send(event_id), topic, event_key, event_type, payload, headers::text, created_at
 FROM "outbox_events" WHERE id > $2::bigint ORDER BY id LIMIT $1::bigint)
;;
SELECT 1 FROM "postroom_schema_lock" WHERE id = 1
;;
SELECT COALESCE(pg_current_xact_id_if_assigned() = CAST($1::text AS xid8), false)
;;
SELECT EXISTS (SELECT 1 FROM "outbox_parked" WHERE state IN ('retry', 'drop'))
;;
SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = 'post')
;;
SELECT epoch, source_id, mode, extract(epoch FROM pg_postmaster_start_time())::text
  || '/' || CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END, hints->'position', hints->'proved' FROM "outbox_leases" WHERE id = 1
;;
SELECT hints->'proved' FROM "outbox_leases" WHERE id = 1 AND owner = $1 AND epoch = $2 AND $3 = extract(epoch FROM pg_postmaster_start_time())::text
  || '/' || CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END
;;
SELECT hints->>'topics' FROM "outbox_leases" WHERE id = 1
;;
SELECT id, event_id FROM "outbox_events" WHERE id <= $1 ORDER BY id LIMIT $2
;;
SELECT owner FROM "postroom_schema_lock" WHERE id = 1 AND NOT (owner IS NULL OR expires_at IS NULL OR expires_at < clock_timestamp() OR expires_at > clock_timestamp() + interval '60000000 microseconds')
;;
SELECT owner, epoch, extract(epoch FROM pg_postmaster_start_time())::text
  || '/' || CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END FROM "outbox_leases" WHERE id = 1
;;
SELECT owner, epoch, extract(epoch FROM pg_postmaster_start_time())::text
  || '/' || CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END FROM "outbox_leases" WHERE id = 1 FOR UPDATE
;;
SELECT source, source_id::text, pg_is_in_recovery() FROM "outbox_leases" WHERE id = 1
;;
SELECT topic, event_key, max(seq) FROM (
  SELECT topic, event_key, seq FROM "outbox_parked"
  WHERE event_key IS NOT NULL AND (topic, event_key, seq) > ($1::text, $2::text, $3::bigint)
  ORDER BY topic, event_key, seq LIMIT $4
) AS part GROUP BY topic, event_key ORDER BY topic, event_key
;;
SELECT version, name, to_char(applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM "postroom_schema" ORDER BY version
;;
UPDATE "outbox_leases"
SET expires_at = clock_timestamp() + $1::bigint * interval '1 microsecond'
WHERE id = 1 AND owner = $2 AND epoch = $3 AND $4 = extract(epoch FROM pg_postmaster_start_time())::text
  || '/' || CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END
;;
UPDATE "outbox_leases"
SET owner = $1, epoch = epoch + 1, mode = coalesce(mode, $2), expires_at = clock_timestamp() + $3::bigint * interval '1 microsecond',
    hints = (hints - 'halted' - 'blind' - 'outage') || jsonb_build_object('ttl_us', $3::bigint)
WHERE id = 1 AND (owner = $4 OR (owner IS NULL OR expires_at IS NULL OR expires_at < clock_timestamp()
  OR expires_at > clock_timestamp() + 2 * greatest(3000000::bigint, coalesce((hints->>'ttl_us')::bigint, 0)) * interval '1 microsecond'))
;;
UPDATE "outbox_leases"
SET owner = $1, epoch = epoch + 1, mode = coalesce(mode, $2), expires_at = clock_timestamp() + $3::bigint * interval '1 microsecond',
    hints = (hints - 'halted' - 'blind' - 'outage') || jsonb_build_object('ttl_us', $3::bigint)
WHERE id = 1 AND (owner = $4 OR (owner IS NULL OR expires_at IS NULL OR expires_at < clock_timestamp()
  OR expires_at > clock_timestamp() + 2 * greatest(4000000::bigint, coalesce((hints->>'ttl_us')::bigint, 0)) * interval '1 microsecond'))
;;
UPDATE "outbox_leases"
SET owner = $1, epoch = epoch + 1, mode = coalesce(mode, $2), expires_at = clock_timestamp() + $3::bigint * interval '1 microsecond',
    hints = (hints - 'halted' - 'blind' - 'outage') || jsonb_build_object('ttl_us', $3::bigint)
WHERE id = 1 AND (owner = $4 OR (owner IS NULL OR expires_at IS NULL OR expires_at < clock_timestamp()
  OR expires_at > clock_timestamp() + 2 * greatest(600000000::bigint, coalesce((hints->>'ttl_us')::bigint, 0)) * interval '1 microsecond'))
;;
UPDATE "outbox_leases"
SET owner = $1, epoch = epoch + 1, mode = coalesce(mode, $2), expires_at = clock_timestamp() + $3::bigint * interval '1 microsecond',
    hints = (hints - 'halted' - 'blind' - 'outage') || jsonb_build_object('ttl_us', $3::bigint)
WHERE id = 1 AND (owner = $4 OR (owner IS NULL OR expires_at IS NULL OR expires_at < clock_timestamp()
  OR expires_at > clock_timestamp() + 2 * greatest(60000000::bigint, coalesce((hints->>'ttl_us')::bigint, 0)) * interval '1 microsecond'))
;;
UPDATE "outbox_leases" SET hints = jsonb_set(hints, ARRAY['halted'], to_jsonb($1::text)) WHERE id = 1
;;
UPDATE "outbox_leases" SET hints = jsonb_set(hints, ARRAY['outage'], $1::text::jsonb) WHERE id = 1
;;
UPDATE "outbox_leases" SET hints = jsonb_set(hints, ARRAY['position'], $1::text::jsonb) WHERE id = 1
;;
UPDATE "outbox_leases" SET hints = jsonb_set(hints, ARRAY['proved'], $1::text::jsonb) WHERE id = 1 AND owner = $2 AND epoch = $3 AND $4 = extract(epoch FROM pg_postmaster_start_time())::text
  || '/' || CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END
;;
UPDATE "outbox_leases" SET hints = jsonb_set(hints, ARRAY['topics'], $1::text::jsonb) WHERE id = 1
;;
UPDATE "outbox_leases" SET owner = NULL, expires_at = NULL, hints = hints - 'heir' WHERE id = 1 AND owner = $1 AND epoch = $2
;;
UPDATE "outbox_leases" SET owner = NULL, expires_at = NULL, hints = hints || '{"heir": "‹uuid›"}'::jsonb WHERE id = 1 AND owner = $1 AND epoch = $2
;;
UPDATE "outbox_leases" SET source = $1 WHERE id = 1 AND source IS NULL
;;
UPDATE "outbox_parked" SET attempts = attempts WHERE seq = 0
;;
UPDATE "postroom_schema_lock" SET expires_at = clock_timestamp() + interval '30000000 microseconds' WHERE id = 1 AND owner = '‹process›'
;;
UPDATE "postroom_schema_lock" SET owner = '‹process›', expires_at = clock_timestamp() + interval '30000000 microseconds' WHERE id = 1 AND (owner IS NULL OR expires_at IS NULL OR expires_at < clock_timestamp() OR expires_at > clock_timestamp() + interval '60000000 microseconds')
;;
UPDATE "postroom_schema_lock" SET owner = NULL, expires_at = NULL WHERE id = 1 AND owner = '‹process›'
;;
WITH given AS MATERIALIZED (SELECT (SELECT CASE WHEN has_sequence_privilege(s.name, 'SELECT, USAGE') THEN pg_sequence_last_value(s.name::regclass) END
 FROM (SELECT pg_get_serial_sequence($1, 'id') AS name) AS s) AS id)
SELECT id, (SELECT max(e.id) FROM "outbox_events" AS e WHERE e.id > given.id) FROM given
;;
WITH gone AS (
  DELETE FROM "outbox_events" AS e
  USING unnest($1::text::bigint[], $2::text::uuid[], $3::text::int[], $4::text::bigint[]) AS delivered (id, event_id, kafka_partition, kafka_offset)
  WHERE e.id = delivered.id AND e.event_id = delivered.event_id
  AND (SELECT set_config('lock_timeout', '500ms', true)) <> ''
  RETURNING e.id, e.event_id, e.topic, e.event_key, e.event_type, e.payload, e.headers, e.created_at,
            delivered.kafka_partition, delivered.kafka_offset
)
INSERT INTO "outbox_archive" (id, event_id, topic, event_key, event_type, payload, headers, created_at, kafka_partition, kafka_offset)
SELECT id, event_id, topic, event_key, event_type, payload, headers, created_at, kafka_partition, kafka_offset FROM gone ORDER BY id
;;
WITH held AS MATERIALIZED (
  SELECT * FROM pg_locks WHERE granted AND (locktype = 'transactionid' AND mode = 'ExclusiveLock'
    OR locktype = 'relation' AND mode = 'RowExclusiveLock' AND relation = $1::text::regclass
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())))
SELECT l.virtualtransaction, coalesce(min(CASE WHEN l.pid IS NULL THEN 'prepared'
    WHEN a.state LIKE 'idle in transaction%' THEN a.pid || ' since ' || a.state_change END), ''),
  coalesce((array_agg(l.transactionid ORDER BY age(l.transactionid) DESC) FILTER (WHERE l.locktype = 'transactionid'))[1]::text, '0')::bigint,
  pg_snapshot_xmax(pg_current_snapshot())::text::bigint
FROM held l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
GROUP BY l.virtualtransaction HAVING bool_or(l.locktype = 'relation')
;;
WITH lazily AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
mine AS (
  INSERT INTO "outbox_relays" (relay_id, host, owned, seen_at) SELECT $1::uuid, $2::text, $3::integer, clock_timestamp() FROM lazily
  ON CONFLICT (relay_id) DO UPDATE SET host = excluded.host, owned = excluded.owned, seen_at = excluded.seen_at)
SELECT relay_id::text, host, owned, (extract(epoch FROM clock_timestamp() - seen_at) * 1000000)::bigint FROM "outbox_relays" WHERE relay_id <> $1::uuid
;;
