-- What relay doctor asks PostgreSQL. Each block is a statement that db.Load gives to the field of its name.

-- name: TableExists
SELECT count(*) FROM (SELECT to_regclass($1::text) AS oid) t WHERE oid IS NOT NULL

-- name: CountEvents
-- One row more than db.CountLimit.
SELECT count(*) FROM (SELECT 1 FROM {outbox_events} LIMIT 200001) AS counted

-- name: Scheduled
SELECT count(*), (extract(epoch FROM clock_timestamp() - min(deliver_at)) * 1000000)::bigint FROM
	(SELECT deliver_at FROM {outbox_scheduled} WHERE deliver_at < clock_timestamp() ORDER BY deliver_at LIMIT 10000) AS due

-- name: ParkedCounts
SELECT COALESCE(SUM(CASE state WHEN 'failed' THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE state WHEN 'blocked' THEN 1 ELSE 0 END), 0),
	COALESCE(SUM(CASE WHEN state IN ('retry', 'drop') THEN 1 ELSE 0 END), 0), (extract(epoch FROM clock_timestamp() - min(parked_at)) * 1000000)::bigint FROM {{Counted}}

-- name: ParkedKeys
SELECT count(*) FROM (SELECT DISTINCT topic, event_key FROM {{Counted}} WHERE event_key IS NOT NULL) AS waiting

-- part: Counted
-- One row more than parkedLimit.
(SELECT topic, event_key, state, parked_at FROM {outbox_parked} ORDER BY seq LIMIT 100001) AS counted

-- name: ParkedFirst
SELECT id, event_id::text, topic, error FROM {outbox_parked} WHERE state = 'failed' ORDER BY seq LIMIT 1

-- name: TopicsOldest
-- 2,000 rows at each end of a table: no index leads to the topics, and a payload's length may have to be read.
-- The length is taken inside: MySQL would copy the payloads into a temporary table.
SELECT topic, count(*), max(size) FROM (SELECT topic, {{Size}} AS size FROM {outbox_events} ORDER BY id LIMIT 2000) AS sample GROUP BY topic

-- name: TopicsLatest
SELECT topic, count(*), max(size) FROM (SELECT topic, {{Size}} AS size FROM {outbox_events} ORDER BY id DESC LIMIT 2000) AS sample GROUP BY topic

-- name: TopicsParked
SELECT topic, count(*), max(size) FROM (SELECT topic, {{Size}} AS size FROM {outbox_parked} ORDER BY seq LIMIT 2000) AS sample GROUP BY topic

-- name: TopicsArchived
SELECT topic, count(*), max(size) FROM (SELECT topic, 0 AS size FROM {outbox_archive} ORDER BY seq DESC LIMIT 2000) AS sample GROUP BY topic

-- name: TopicsScheduled
SELECT topic, count(*), max(size) FROM (SELECT topic, 0 AS size FROM {outbox_scheduled} ORDER BY seq LIMIT 2000) AS sample GROUP BY topic

-- part: Size
coalesce(octet_length(payload), 0) + coalesce(octet_length(event_key), 0) + octet_length(headers::text)

-- name: Settings
SELECT name, setting, source FROM pg_settings
WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit', 'synchronous_standby_names') ORDER BY name

-- name: RoleSettings
SELECT CASE WHEN s.setrole = 0 AND s.setdatabase = 0 THEN 'ALL' ELSE coalesce(quote_ident(r.rolname), '') END,
	coalesce(quote_ident(d.datname), ''), c.setting
FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) AS c (setting)
LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase
WHERE c.setting LIKE 'synchronous_commit=%' AND (s.setdatabase = 0 OR d.datname = current_database())
ORDER BY 1, 2

-- name: Persistence
SELECT relpersistence::text FROM pg_class WHERE oid = to_regclass($1::text)

-- name: CurrentUser
SELECT quote_ident(current_user)

-- name: SchemaRight
-- Without this even the tables' names lead nowhere.
SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = $1::text

-- name: TableRight
-- By oid: by name it fails where the schema is closed to us.
SELECT has_table_privilege(to_regclass($1::text)::oid, $2)

-- name: SequenceRight
SELECT name FROM (SELECT pg_get_serial_sequence($1::text, 'id') AS name WHERE to_regclass($1::text) IS NOT NULL) s
WHERE NOT has_sequence_privilege(name, 'SELECT, USAGE')

-- name: HighestEvent
SELECT max(id) FROM {outbox_events}

-- name: HighestParked
-- The table has no index on id: the rows written last are enough, for ids that go back do so for all.
SELECT max(id) FROM (SELECT id FROM {outbox_parked} ORDER BY seq DESC LIMIT 1000) AS latest

-- name: HighestArchived
SELECT max(id) FROM (SELECT id FROM {outbox_archive} ORDER BY seq DESC LIMIT 1000) AS latest

-- name: HighestDropped
SELECT max(id) FROM (SELECT id FROM {outbox_drops} ORDER BY seq DESC LIMIT 1000) AS latest

-- name: IdsBelow
-- Up to db.CountLimit.
SELECT count(*), min(id) FROM (SELECT id FROM {outbox_events} WHERE id < 1 ORDER BY id LIMIT 200000) AS below

-- name: Sequence
SELECT a.attidentity::text, q.name, s.seqcache, s.seqincrement, s.seqcycle,
	CASE WHEN has_sequence_privilege(q.name, 'SELECT, USAGE') THEN coalesce(pg_sequence_last_value(q.name::regclass), 0) END
FROM pg_attribute a CROSS JOIN LATERAL (SELECT pg_get_serial_sequence($1::text, 'id') AS name) q
LEFT JOIN pg_sequence s ON s.seqrelid = q.name::regclass
WHERE a.attrelid = to_regclass($1::text) AND a.attname = 'id'

-- name: EmptyKeys
SELECT b.consumer, b.topic, b.event_key, 0, false FROM {inbox_blocked} AS b
WHERE NOT EXISTS (SELECT 1 FROM {inbox_parked} AS p WHERE p.consumer = b.consumer AND p.topic = b.topic AND p.event_key = b.event_key) LIMIT 20

-- name: WaitingMessages
SELECT p.consumer, p.topic, p.event_key, min(p.seq), false FROM {inbox_parked} AS p
WHERE p.state = 'blocked' AND NOT EXISTS (SELECT 1 FROM {inbox_blocked} AS b WHERE p.consumer = b.consumer AND p.topic = b.topic AND p.event_key = b.event_key)
GROUP BY p.consumer, p.topic, p.event_key LIMIT 20

-- name: WaitingHeads
SELECT p.consumer, p.topic, p.event_key, p.seq, true FROM {inbox_blocked} AS b
JOIN {inbox_parked} AS p ON p.seq = (SELECT min(q.seq) FROM {inbox_parked} AS q WHERE q.consumer = b.consumer AND q.topic = b.topic AND q.event_key = b.event_key)
WHERE p.state = 'blocked' LIMIT 20

-- name: Days
SELECT COALESCE((SELECT min(d) FROM generate_series(0, 30) AS d
  WHERE NOT EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = $1::text::regclass
    AND c.relname = $2::text || to_char((now() AT TIME ZONE 'UTC')::date + d, 'YYYYMMDD'))), 31) - 1, EXISTS (SELECT FROM {inbox_events_strays})

-- name: Retentions
SELECT consumer, max(retention) FROM {inbox_expiry} GROUP BY consumer

-- name: Lease
SELECT source, source_id::text, owner, epoch, (extract(epoch FROM expires_at - clock_timestamp()) * 1000000)::bigint,
	mode, hints->>'halted', (hints->>'ttl_us')::bigint, hints->>'position', hints->>'topics', hints->>'blind', hints->>'outage'
FROM {outbox_leases} WHERE id = 1

-- name: RelayProcesses
SELECT relay_id::text, host, owned, (extract(epoch FROM clock_timestamp() - seen_at) * 1000000)::bigint AS ago
FROM {outbox_relays} WHERE seen_at > clock_timestamp() - interval '1 hour' ORDER BY ago LIMIT 100

-- name: MigrationLock
SELECT owner, (extract(epoch FROM expires_at - clock_timestamp()) * 1000000)::bigint FROM {postroom_schema_lock} WHERE id = 1

-- name: Triggers
SELECT quote_ident(tgname), false FROM pg_trigger WHERE tgrelid = to_regclass($1::text) AND NOT tgisinternal AND tgenabled <> 'D' ORDER BY 1

-- name: Rules
SELECT quote_ident(rulename), false FROM pg_rewrite WHERE ev_class = to_regclass($1::text) AND rulename <> '_RETURN' AND ev_enabled <> 'D' ORDER BY 1

-- name: RowSecurity
SELECT '', row_security_active(oid) FROM pg_class WHERE oid = to_regclass($1::text) AND relrowsecurity

-- name: Server
SELECT current_setting('server_version'), quote_ident(current_user), pg_is_in_recovery(),
	current_setting('transaction_isolation')

-- name: Clock
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint

-- name: Sessions
-- Of a session of another user, the server tells only those who may read all
-- statistics more than that it is there.
WITH outbox AS ({{Outbox}}), held AS (
	SELECT l.pid, bool_or(l.relation = to_regclass($1::text) AND l.mode = 'RowExclusiveLock' AND l.granted) AS writes,
		coalesce(min(o.relname || ': ' || l.mode) FILTER (WHERE l.mode IN {{Blocking}}),
			min(o.relname || ': rows') FILTER (WHERE l.mode = 'RowShareLock' AND l.granted AND l.relation = to_regclass($1::text))) AS blocks,
		coalesce(bool_and(NOT l.granted) FILTER (WHERE l.mode IN {{Blocking}}), false) AS waits
	FROM pg_locks l JOIN outbox o ON o.oid = l.relation
	WHERE l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
	GROUP BY l.pid)
SELECT a.pid, coalesce(a.usename, ''), coalesce(a.application_name, ''), coalesce(host(a.client_addr), ''), coalesce(a.state, ''),
	(extract(epoch FROM clock_timestamp() - a.xact_start) * 1000000)::bigint,
	(extract(epoch FROM clock_timestamp() - a.query_start) * 1000000)::bigint,
	(extract(epoch FROM a.xact_start) * 1000000)::bigint, (extract(epoch FROM a.query_start) * 1000000)::bigint,
	coalesce(h.writes, false), coalesce(h.blocks, ''), coalesce(h.waits, false)
FROM pg_stat_activity a LEFT JOIN held h ON h.pid = a.pid
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
	AND (a.xact_start < clock_timestamp() - $4::bigint * interval '1 microsecond'
			AND a.backend_type IS DISTINCT FROM 'autovacuum worker' -- keeps nothing from being removed
		OR h.blocks IS NOT NULL)
ORDER BY a.xact_start LIMIT 100

-- part: Blocking
-- Locks that conflict with what writers (RowExclusiveLock) or the relay take. (RowShareLock is of SELECT … FOR UPDATE,
-- which nobody has a reason for on outbox_events.)
('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')

-- part: Outbox
SELECT oid, relname FROM pg_class WHERE oid IN (to_regclass($1::text), to_regclass($2::text), to_regclass($3::text))

-- name: HiddenSessions
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query = '<insufficient privilege>'

-- name: Prepared
-- A prepared transaction's locks have no process; which are whose, the lock on its
-- own id tells.
SELECT p.gid, p.owner, (extract(epoch FROM clock_timestamp() - p.prepared) * 1000000)::bigint,
	(extract(epoch FROM p.prepared) * 1000000)::bigint,
	EXISTS (SELECT 1 FROM pg_locks x JOIN pg_locks l ON l.virtualtransaction = x.virtualtransaction AND l.pid IS NULL
		WHERE x.locktype = 'transactionid' AND x.transactionid = p.transaction AND x.granted AND x.pid IS NULL
			AND l.relation = to_regclass($1::text))
FROM pg_prepared_xacts p WHERE p.database = current_database()
	AND p.prepared < clock_timestamp() - $2::bigint * interval '1 microsecond'
ORDER BY p.prepared LIMIT 100

-- name: VacuumState
SELECT coalesce(s.n_live_tup, 0), coalesce(s.n_dead_tup, 0), 
	(extract(epoch FROM clock_timestamp() - greatest(s.last_autovacuum, s.last_vacuum)) * 1000000)::bigint,
	coalesce(array_to_string(c.reloptions, ' '), ''), current_setting('autovacuum'), current_setting('track_counts')
FROM pg_class c LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid WHERE c.oid = to_regclass($1::text)

-- name: OldestView
SELECT what, (extract(epoch FROM clock_timestamp() - since) * 1000000)::bigint FROM (
	SELECT 'session ' || pid || ' (user ' || coalesce(usename, '') || ')', xact_start FROM pg_stat_activity
	WHERE datname = current_database() AND coalesce(backend_xmin, backend_xid) IS NOT NULL
		AND pid <> pg_backend_pid() AND backend_type IS DISTINCT FROM 'autovacuum worker'
	UNION ALL SELECT 'the prepared transaction ' || gid, prepared FROM pg_prepared_xacts WHERE database = current_database()
) AS open (what, since) ORDER BY since LIMIT 1

-- name: Horizons
SELECT 'slot', slot_name::text, age(xmin)::bigint FROM pg_replication_slots WHERE xmin IS NOT NULL
UNION ALL SELECT 'standby', coalesce(application_name, ''), age(backend_xmin)::bigint FROM pg_stat_replication WHERE backend_xmin IS NOT NULL
ORDER BY 3 DESC LIMIT 20
