ALTER INDEX "inbox_events_pkey" RENAME TO "inbox_events_before_pkey"
;;
ALTER TABLE "inbox_events" ATTACH PARTITION "inbox_events_d‹day›" FOR VALUES FROM ('‹day›') TO ('‹day›')
;;
ALTER TABLE "inbox_events" RENAME TO "inbox_events_before"
;;
COMMENT ON TABLE "inbox_events" IS 'Postroom: messages that a consumer is done with, by the day of their ids; whole days are dropped'
;;
COMMENT ON TABLE "inbox_expiry" IS 'Postroom: what each consumer no longer needs of inbox_events; whole days are dropped by it'
;;
CREATE SCHEMA IF NOT EXISTS "events"
;;
CREATE SCHEMA IF NOT EXISTS "messages"
;;
CREATE SCHEMA IF NOT EXISTS "order"
;;
CREATE SCHEMA IF NOT EXISTS "shop"
;;
CREATE TABLE "inbox_events" (
    consumer        text        COLLATE "C" NOT NULL,
    message_id      text        COLLATE "C" NOT NULL,
    kafka_topic     text        COLLATE "C",
    kafka_partition integer,
    kafka_offset    bigint,
    processed_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Of the message id alone, so that a copy meets its first delivery. No CHECK says so: it
    -- made each INSERT a third slower.
    message_day     date        NOT NULL,
    CONSTRAINT "inbox_events_pkey" PRIMARY KEY (consumer, message_id, message_day),
    CONSTRAINT "inbox_events_consumer_check" CHECK (octet_length(consumer) BETWEEN 1 AND 100),
    CONSTRAINT "inbox_events_message_id_check" CHECK (octet_length(message_id) BETWEEN 1 AND 255),
    CONSTRAINT "inbox_events_position_check" CHECK (num_nulls(kafka_topic, kafka_partition, kafka_offset) IN (0, 3))
) PARTITION BY RANGE (message_day)
;;
CREATE TABLE "inbox_events_d‹day›" (LIKE "inbox_events" INCLUDING DEFAULTS INCLUDING CONSTRAINTS) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0)
;;
CREATE TABLE "inbox_events_strays" PARTITION OF "inbox_events" DEFAULT WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0)
;;
CREATE TABLE "inbox_events_undated" PARTITION OF "inbox_events" FOR VALUES FROM (MINVALUE) TO ('‹day›') WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0)
;;
CREATE TABLE IF NOT EXISTS "inbox_expiry" (
    consumer        text    COLLATE "C" NOT NULL,
    -- '' and -1: the consumer's rows without a position, and its retention.
    kafka_topic     text    COLLATE "C" NOT NULL,
    kafka_partition integer NOT NULL,
    retention       bigint  NOT NULL CHECK (retention > 0), -- microseconds
    -- Rows below it may go; NULL: none of the partition.
    below           bigint,
    told_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (consumer, kafka_topic, kafka_partition)
)
;;
CREATE TABLE IF NOT EXISTS "messages"."shop_postroom_schema" (
    version    bigint      PRIMARY KEY,
    name       text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
;;
CREATE TABLE IF NOT EXISTS "messages"."shop_postroom_schema_lock" (
    id         smallint    PRIMARY KEY CHECK (id = 1),
    owner      text,
    expires_at timestamptz
)
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
DELETE FROM "customers" WHERE "id" IN ($1)
;;
DELETE FROM "customers" WHERE "id" IN ($1, …)
;;
DELETE FROM "inbox_attempts" WHERE consumer = $1 AND message_id = $2
;;
DELETE FROM "inbox_attempts" WHERE started_at < now() - $1 * interval '1 microsecond' AND (consumer, message_id) IN
(SELECT consumer, message_id FROM "inbox_attempts" WHERE consumer = $2 AND started_at < now() - $3 * interval '1 microsecond' LIMIT $4)
;;
DELETE FROM "inbox_blocked" WHERE consumer = $1 AND topic = $2 AND event_key = $3
;;
DELETE FROM "inbox_events"
WHERE consumer = $1 AND processed_at < now() - $2 * interval '1 microsecond' AND message_day = ANY ($3::text::date[]) AND message_id = ANY ($4::text::text[])
;;
DELETE FROM "inbox_events" WHERE consumer = $1 AND processed_at < now() - $2 * interval '1 microsecond' AND message_id IN ($3)
;;
DELETE FROM "inbox_events" WHERE consumer = $1 AND processed_at < now() - $2 * interval '1 microsecond' AND message_id IN ($3, …)
;;
DELETE FROM "inbox_parked" WHERE consumer = $1 AND seq = $2
;;
DELETE FROM "inbox_parked" WHERE consumer = $1 AND topic = $2 AND event_key = $3 AND seq >= $4 AND seq <= $5 AND NOT EXISTS (SELECT 1 FROM (SELECT seq FROM "inbox_parked" WHERE consumer = $6 AND seq = $7 LIMIT 1) AS first)
;;
DELETE FROM "inbox_replica_rows" WHERE replica = $1 AND deleted_at < clock_timestamp() - make_interval(secs => $2::double precision / 1000000) AND row_key IN (SELECT row_key FROM "inbox_replica_rows" WHERE replica = $3 AND deleted_at < clock_timestamp() - make_interval(secs => $4::double precision / 1000000) AND NOT EXISTS (SELECT 1 FROM "inbox_replica_runs" AS u WHERE u.replica = $5 AND u.finished_at IS NULL) LIMIT $6)
;;
DELETE FROM "messages"."shop_inbox_attempts" WHERE started_at < now() - $1 * interval '1 microsecond' AND (consumer, message_id) IN
(SELECT consumer, message_id FROM "messages"."shop_inbox_attempts" WHERE consumer = $2 AND started_at < now() - $3 * interval '1 microsecond' LIMIT $4)
;;
DELETE FROM "order_lines" WHERE ("o" = $1 AND "l" = $2) OR ("o" = $3 AND "l" = $4)
;;
DELETE FROM "order_lines" WHERE ("o" = $1 AND "l" = $2) OR ("o" = $3 AND "l" = $4) OR ("o" = $5 AND "l" = $6) OR ("o" = $7 AND "l" = $8) OR ("o" = $9 AND "l" = $10) OR ("o" = $11 AND "l" = $12) OR ("o" = $13 AND "l" = $14) OR ("o" = $15 AND "l" = $16) OR ("o" = $17 AND "l" = $18) OR ("o" = $19 AND "l" = $20) OR ("o" = $21 AND "l" = $22) OR ("o" = $23 AND "l" = $24) OR ("o" = $25 AND "l" = $26) OR ("o" = $27 AND "l" = $28) OR ("o" = $29 AND "l" = $30) OR ("o" = $31 AND "l" = $32) OR ("o" = $33 AND "l" = $34) OR ("o" = $35 AND "l" = $36) OR ("o" = $37 AND "l" = $38) OR ("o" = $39 AND "l" = $40) OR ("o" = $41 AND "l" = $42) OR ("o" = $43 AND "l" = $44) OR ("o" = $45 AND "l" = $46) OR ("o" = $47 AND "l" = $48) OR ("o" = $49 AND "l" = $50) OR ("o" = $51 AND "l" = $52) OR ("o" = $53 AND "l" = $54) OR ("o" = $55 AND "l" = $56) OR ("o" = $57 AND "l" = $58) OR ("o" = $59 AND "l" = $60) OR ("o" = $61 AND "l" = $62) OR ("o" = $63 AND "l" = $64) OR ("o" = $65 AND "l" = $66) OR ("o" = $67 AND "l" = $68) OR ("o" = $69 AND "l" = $70) OR ("o" = $71 AND "l" = $72) OR ("o" = $73 AND "l" = $74) OR ("o" = $75 AND "l" = $76) OR ("o" = $77 AND "l" = $78) OR ("o" = $79 AND "l" = $80) OR ("o" = $81 AND "l" = $82) OR ("o" = $83 AND "l" = $84) OR ("o" = $85 AND "l" = $86) OR ("o" = $87 AND "l" = $88) OR ("o" = $89 AND "l" = $90) OR ("o" = $91 AND "l" = $92) OR ("o" = $93 AND "l" = $94) OR ("o" = $95 AND "l" = $96) OR ("o" = $97 AND "l" = $98) OR ("o" = $99 AND "l" = $100) OR ("o" = $101 AND "l" = $102) OR ("o" = $103 AND "l" = $104) OR ("o" = $105 AND "l" = $106) OR ("o" = $107 AND "l" = $108) OR ("o" = $109 AND "l" = $110) OR ("o" = $111 AND "l" = $112) OR ("o" = $113 AND "l" = $114) OR ("o" = $115 AND "l" = $116) OR ("o" = $117 AND "l" = $118) OR ("o" = $119 AND "l" = $120) OR ("o" = $121 AND "l" = $122) OR ("o" = $123 AND "l" = $124) OR ("o" = $125 AND "l" = $126) OR ("o" = $127 AND "l" = $128) OR ("o" = $129 AND "l" = $130) OR ("o" = $131 AND "l" = $132) OR ("o" = $133 AND "l" = $134) OR ("o" = $135 AND "l" = $136) OR ("o" = $137 AND "l" = $138) OR ("o" = $139 AND "l" = $140) OR ("o" = $141 AND "l" = $142) OR ("o" = $143 AND "l" = $144) OR ("o" = $145 AND "l" = $146) OR ("o" = $147 AND "l" = $148) OR ("o" = $149 AND "l" = $150) OR ("o" = $151 AND "l" = $152) OR ("o" = $153 AND "l" = $154) OR ("o" = $155 AND "l" = $156) OR ("o" = $157 AND "l" = $158) OR ("o" = $159 AND "l" = $160) OR ("o" = $161 AND "l" = $162) OR ("o" = $163 AND "l" = $164) OR ("o" = $165 AND "l" = $166) OR ("o" = $167 AND "l" = $168) OR ("o" = $169 AND "l" = $170) OR ("o" = $171 AND "l" = $172) OR ("o" = $173 AND "l" = $174) OR ("o" = $175 AND "l" = $176) OR ("o" = $177 AND "l" = $178) OR ("o" = $179 AND "l" = $180) OR ("o" = $181 AND "l" = $182) OR ("o" = $183 AND "l" = $184) OR ("o" = $185 AND "l" = $186) OR ("o" = $187 AND "l" = $188) OR ("o" = $189 AND "l" = $190) OR ("o" = $191 AND "l" = $192) OR ("o" = $193 AND "l" = $194) OR ("o" = $195 AND "l" = $196) OR ("o" = $197 AND "l" = $198) OR ("o" = $199 AND "l" = $200)
;;
DELETE FROM "order_lines" WHERE ("o" = $1 AND "l" = $2) OR ("o" = $3 AND "l" = $4) OR ("o" = $5 AND "l" = $6) OR ("o" = $7 AND "l" = $8) OR ("o" = $9 AND "l" = $10) OR ("o" = $11 AND "l" = $12) OR ("o" = $13 AND "l" = $14) OR ("o" = $15 AND "l" = $16) OR ("o" = $17 AND "l" = $18) OR ("o" = $19 AND "l" = $20) OR ("o" = $21 AND "l" = $22) OR ("o" = $23 AND "l" = $24) OR ("o" = $25 AND "l" = $26) OR ("o" = $27 AND "l" = $28) OR ("o" = $29 AND "l" = $30) OR ("o" = $31 AND "l" = $32) OR ("o" = $33 AND "l" = $34) OR ("o" = $35 AND "l" = $36) OR ("o" = $37 AND "l" = $38) OR ("o" = $39 AND "l" = $40) OR ("o" = $41 AND "l" = $42) OR ("o" = $43 AND "l" = $44) OR ("o" = $45 AND "l" = $46) OR ("o" = $47 AND "l" = $48) OR ("o" = $49 AND "l" = $50) OR ("o" = $51 AND "l" = $52) OR ("o" = $53 AND "l" = $54) OR ("o" = $55 AND "l" = $56) OR ("o" = $57 AND "l" = $58) OR ("o" = $59 AND "l" = $60) OR ("o" = $61 AND "l" = $62) OR ("o" = $63 AND "l" = $64) OR ("o" = $65 AND "l" = $66) OR ("o" = $67 AND "l" = $68) OR ("o" = $69 AND "l" = $70) OR ("o" = $71 AND "l" = $72) OR ("o" = $73 AND "l" = $74) OR ("o" = $75 AND "l" = $76) OR ("o" = $77 AND "l" = $78) OR ("o" = $79 AND "l" = $80) OR ("o" = $81 AND "l" = $82) OR ("o" = $83 AND "l" = $84) OR ("o" = $85 AND "l" = $86) OR ("o" = $87 AND "l" = $88) OR ("o" = $89 AND "l" = $90) OR ("o" = $91 AND "l" = $92) OR ("o" = $93 AND "l" = $94) OR ("o" = $95 AND "l" = $96) OR ("o" = $97 AND "l" = $98) OR ("o" = $99 AND "l" = $100) OR ("o" = $101 AND "l" = $102) OR ("o" = $103 AND "l" = $104) OR ("o" = $105 AND "l" = $106) OR ("o" = $107 AND "l" = $108) OR ("o" = $109 AND "l" = $110) OR ("o" = $111 AND "l" = $112) OR ("o" = $113 AND "l" = $114) OR ("o" = $115 AND "l" = $116) OR ("o" = $117 AND "l" = $118) OR ("o" = $119 AND "l" = $120) OR ("o" = $121 AND "l" = $122) OR ("o" = $123 AND "l" = $124) OR ("o" = $125 AND "l" = $126) OR ("o" = $127 AND "l" = $128) OR ("o" = $129 AND "l" = $130) OR ("o" = $131 AND "l" = $132) OR ("o" = $133 AND "l" = $134) OR ("o" = $135 AND "l" = $136) OR ("o" = $137 AND "l" = $138) OR ("o" = $139 AND "l" = $140) OR ("o" = $141 AND "l" = $142) OR ("o" = $143 AND "l" = $144) OR ("o" = $145 AND "l" = $146) OR ("o" = $147 AND "l" = $148) OR ("o" = $149 AND "l" = $150) OR ("o" = $151 AND "l" = $152) OR ("o" = $153 AND "l" = $154) OR ("o" = $155 AND "l" = $156) OR ("o" = $157 AND "l" = $158) OR ("o" = $159 AND "l" = $160) OR ("o" = $161 AND "l" = $162) OR ("o" = $163 AND "l" = $164) OR ("o" = $165 AND "l" = $166) OR ("o" = $167 AND "l" = $168) OR ("o" = $169 AND "l" = $170) OR ("o" = $171 AND "l" = $172) OR ("o" = $173 AND "l" = $174) OR ("o" = $175 AND "l" = $176) OR ("o" = $177 AND "l" = $178) OR ("o" = $179 AND "l" = $180) OR ("o" = $181 AND "l" = $182) OR ("o" = $183 AND "l" = $184) OR ("o" = $185 AND "l" = $186) OR ("o" = $187 AND "l" = $188) OR ("o" = $189 AND "l" = $190) OR ("o" = $191 AND "l" = $192) OR ("o" = $193 AND "l" = $194) OR ("o" = $195 AND "l" = $196) OR ("o" = $197 AND "l" = $198) OR ("o" = $199 AND "l" = $200) OR ("o" = $201 AND "l" = $202) OR ("o" = $203 AND "l" = $204) OR ("o" = $205 AND "l" = $206) OR ("o" = $207 AND "l" = $208) OR ("o" = $209 AND "l" = $210) OR ("o" = $211 AND "l" = $212) OR ("o" = $213 AND "l" = $214) OR ("o" = $215 AND "l" = $216) OR ("o" = $217 AND "l" = $218) OR ("o" = $219 AND "l" = $220) OR ("o" = $221 AND "l" = $222) OR ("o" = $223 AND "l" = $224) OR ("o" = $225 AND "l" = $226) OR ("o" = $227 AND "l" = $228) OR ("o" = $229 AND "l" = $230) OR ("o" = $231 AND "l" = $232) OR ("o" = $233 AND "l" = $234) OR ("o" = $235 AND "l" = $236) OR ("o" = $237 AND "l" = $238) OR ("o" = $239 AND "l" = $240) OR ("o" = $241 AND "l" = $242) OR ("o" = $243 AND "l" = $244) OR ("o" = $245 AND "l" = $246) OR ("o" = $247 AND "l" = $248) OR ("o" = $249 AND "l" = $250) OR ("o" = $251 AND "l" = $252) OR ("o" = $253 AND "l" = $254) OR ("o" = $255 AND "l" = $256) OR ("o" = $257 AND "l" = $258) OR ("o" = $259 AND "l" = $260) OR ("o" = $261 AND "l" = $262) OR ("o" = $263 AND "l" = $264) OR ("o" = $265 AND "l" = $266) OR ("o" = $267 AND "l" = $268) OR ("o" = $269 AND "l" = $270) OR ("o" = $271 AND "l" = $272) OR ("o" = $273 AND "l" = $274) OR ("o" = $275 AND "l" = $276) OR ("o" = $277 AND "l" = $278) OR ("o" = $279 AND "l" = $280) OR ("o" = $281 AND "l" = $282) OR ("o" = $283 AND "l" = $284) OR ("o" = $285 AND "l" = $286) OR ("o" = $287 AND "l" = $288) OR ("o" = $289 AND "l" = $290) OR ("o" = $291 AND "l" = $292) OR ("o" = $293 AND "l" = $294) OR ("o" = $295 AND "l" = $296) OR ("o" = $297 AND "l" = $298) OR ("o" = $299 AND "l" = $300) OR ("o" = $301 AND "l" = $302) OR ("o" = $303 AND "l" = $304) OR ("o" = $305 AND "l" = $306) OR ("o" = $307 AND "l" = $308) OR ("o" = $309 AND "l" = $310) OR ("o" = $311 AND "l" = $312) OR ("o" = $313 AND "l" = $314) OR ("o" = $315 AND "l" = $316) OR ("o" = $317 AND "l" = $318) OR ("o" = $319 AND "l" = $320) OR ("o" = $321 AND "l" = $322) OR ("o" = $323 AND "l" = $324) OR ("o" = $325 AND "l" = $326) OR ("o" = $327 AND "l" = $328) OR ("o" = $329 AND "l" = $330) OR ("o" = $331 AND "l" = $332) OR ("o" = $333 AND "l" = $334) OR ("o" = $335 AND "l" = $336) OR ("o" = $337 AND "l" = $338) OR ("o" = $339 AND "l" = $340) OR ("o" = $341 AND "l" = $342) OR ("o" = $343 AND "l" = $344) OR ("o" = $345 AND "l" = $346) OR ("o" = $347 AND "l" = $348) OR ("o" = $349 AND "l" = $350) OR ("o" = $351 AND "l" = $352) OR ("o" = $353 AND "l" = $354) OR ("o" = $355 AND "l" = $356) OR ("o" = $357 AND "l" = $358) OR ("o" = $359 AND "l" = $360) OR ("o" = $361 AND "l" = $362) OR ("o" = $363 AND "l" = $364) OR ("o" = $365 AND "l" = $366) OR ("o" = $367 AND "l" = $368) OR ("o" = $369 AND "l" = $370) OR ("o" = $371 AND "l" = $372) OR ("o" = $373 AND "l" = $374) OR ("o" = $375 AND "l" = $376) OR ("o" = $377 AND "l" = $378) OR ("o" = $379 AND "l" = $380) OR ("o" = $381 AND "l" = $382) OR ("o" = $383 AND "l" = $384) OR ("o" = $385 AND "l" = $386) OR ("o" = $387 AND "l" = $388) OR ("o" = $389 AND "l" = $390) OR ("o" = $391 AND "l" = $392) OR ("o" = $393 AND "l" = $394) OR ("o" = $395 AND "l" = $396) OR ("o" = $397 AND "l" = $398) OR ("o" = $399 AND "l" = $400)
;;
DELETE FROM "outbox_archive" WHERE seq = ANY (ARRAY(SELECT seq FROM "outbox_archive" WHERE delivered_at < now() - 3000000000 * interval '1 microsecond' ORDER BY delivered_at LIMIT 10000))
;;
DELETE FROM "outbox_archive" WHERE seq = ANY (ARRAY(SELECT seq FROM "outbox_archive" WHERE delivered_at < now() - 3000000000 * interval '1 microsecond' ORDER BY delivered_at LIMIT 700))
;;
DELETE FROM "outbox_archive" WHERE seq = ANY (ARRAY(SELECT seq FROM "outbox_archive" WHERE delivered_at < now() - 86400000000 * interval '1 microsecond' ORDER BY delivered_at LIMIT 10000))
;;
DELETE FROM "outbox_drops" WHERE seq = ANY (ARRAY(SELECT seq FROM "outbox_drops" WHERE dropped_at < now() - 3600000000 * interval '1 microsecond' ORDER BY dropped_at LIMIT 1000))
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
DELETE FROM "outbox_parked" AS p USING json_array_elements($1::json) AS a (v)
WHERE p.seq = (a.v->>0)::bigint AND p.event_id = (a.v->>1)::uuid
;;
DELETE FROM "outbox_parked" WHERE seq = 0
;;
DELETE FROM "outbox_relays" WHERE relay_id = $1
;;
DELETE FROM "outbox_relays" WHERE seen_at NOT BETWEEN clock_timestamp() - 3600000000 * interval '1 microsecond' AND clock_timestamp() + 3600000000 * interval '1 microsecond'
;;
DELETE FROM "outbox_scheduled" WHERE event_id IN ('‹uuid›')
;;
DELETE FROM "outbox_scheduled" WHERE event_id IN ('‹uuid›', '‹uuid›')
;;
DELETE FROM "outbox_scheduled" WHERE event_id IN ('‹uuid›', '‹uuid›', '‹uuid›')
;;
DELETE FROM "outbox_scheduled" WHERE seq = ANY($1::text::bigint[])
;;
DO $$
DECLARE grantee text; t text; g record;
BEGIN
  FOREACH t IN ARRAY ARRAY['"inbox_events"', '"inbox_events_undated"', '"inbox_events_strays"', '"inbox_expiry"'] LOOP
    FOR g IN SELECT a.* FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = '"inbox_events_before"'::regclass AND a.grantee <> c.relowner LOOP
      grantee := CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END;
      EXECUTE format('GRANT %s ON %s TO %s', g.privilege_type, t, grantee) || CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END;
    END LOOP;
    EXECUTE format('ALTER TABLE %s OWNER TO %s', t, (SELECT relowner::regrole FROM pg_class WHERE oid = '"inbox_events_before"'::regclass));
  END LOOP;
END $$
;;
DO $$ BEGIN EXECUTE format('ALTER TABLE %s OWNER TO %s', '"inbox_events_d‹day›"', (SELECT relowner::regrole FROM pg_class WHERE oid = '"inbox_events"'::regclass)); END $$
;;
DROP TABLE "inbox_events_before"
;;
DROP TABLE "inbox_events_d‹day›"
;;
EXPLAIN INSERT INTO "customers" ("id", "name") SELECT "id", "name" FROM "customers" WHERE 1 = 0 ON CONFLICT ("id") DO UPDATE SET "name" = excluded."name"
;;
INSERT INTO "a"."customers" ("id", "name") VALUES ($1, …) ON CONFLICT ("id") DO UPDATE SET "name" = excluded."name"
;;
INSERT INTO "b"."customers" ("id", "name") VALUES ($1, …) ON CONFLICT ("id") DO UPDATE SET "name" = excluded."name"
;;
INSERT INTO "customers" ("id", "name") VALUES ($1, …) ON CONFLICT ("id") DO UPDATE SET "name" = excluded."name"
;;
INSERT INTO "customers" ("id", "name") VALUES ($1, …), … ON CONFLICT ("id") DO UPDATE SET "name" = excluded."name"
;;
INSERT INTO "inbox_blocked" (consumer, topic, event_key) VALUES ($1, …) ON CONFLICT (consumer, topic, event_key) DO UPDATE SET event_key = excluded.event_key
;;
INSERT INTO "inbox_events" (consumer, message_id, kafka_topic, kafka_partition, kafka_offset)
SELECT $1, m.id, m.topic, m.part, m.pos
FROM unnest($2::text::text[], $3::text::text[], $4::text::int[], $5::text::bigint[]) AS m (id, topic, part, pos)
ON CONFLICT (consumer, message_id) DO NOTHING
RETURNING message_id, pg_current_xact_id()::text
;;
INSERT INTO "inbox_events" (consumer, message_id, kafka_topic, kafka_partition, kafka_offset)
VALUES ($1, …) ON CONFLICT (consumer, message_id) DO NOTHING RETURNING pg_current_xact_id()::text
;;
INSERT INTO "inbox_events" (consumer, message_id, kafka_topic, kafka_partition, kafka_offset, message_day)
SELECT $1, m.id, m.topic, m.part, m.pos, m.day
FROM unnest($2::text::text[], $3::text::text[], $4::text::int[], $5::text::bigint[], $6::text::date[]) AS m (id, topic, part, pos, day)
ON CONFLICT (consumer, message_id, message_day) DO NOTHING
RETURNING message_id, pg_current_xact_id()::text
;;
INSERT INTO "inbox_events" (consumer, message_id, kafka_topic, kafka_partition, kafka_offset, message_day)
VALUES ($1, $2, $3, $4, $5, $6::text::date) ON CONFLICT (consumer, message_id, message_day) DO NOTHING RETURNING pg_current_xact_id()::text
;;
INSERT INTO "inbox_events" (consumer, message_id, kafka_topic, kafka_partition, kafka_offset, processed_at, message_day)
SELECT consumer, message_id, kafka_topic, kafka_partition, kafka_offset, processed_at, CASE WHEN message_id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$'
  AND ('x0000' || substr(message_id, 1, 8) || substr(message_id, 10, 4))::bit(64)::bigint < 253402300800000
THEN DATE '‹day›' + (('x0000' || substr(message_id, 1, 8) || substr(message_id, 10, 4))::bit(64)::bigint / 86400000)::integer
ELSE DATE '‹day›' END FROM "inbox_events_before"
;;
INSERT INTO "inbox_expiry" AS e (consumer, kafka_topic, kafka_partition, retention, below) VALUES ($1, …)
ON CONFLICT (consumer, kafka_topic, kafka_partition) DO UPDATE SET retention = EXCLUDED.retention, below = EXCLUDED.below, told_at = clock_timestamp()
;;
INSERT INTO "inbox_offsets" (consumer, kafka_topic, kafka_partition, epoch, kafka_group, topic_id, applied_offset)
VALUES ($1, $2, $3, 0, $4, …)
;;
INSERT INTO "inbox_offsets" AS o (consumer, kafka_topic, kafka_partition, epoch) VALUES ($1, $2, $3, 1)
ON CONFLICT (consumer, kafka_topic, kafka_partition) DO UPDATE SET epoch = o.epoch + 1 RETURNING epoch, next_offset
;;
INSERT INTO "inbox_parked" (consumer, message_id, topic, event_key, event_type, headers, payload,
kafka_topic, kafka_partition, kafka_offset, attempts, error, state) VALUES ($1, …)
;;
INSERT INTO "inbox_replica_rows" (replica, row_key, version, deleted_at, applied_at, run_id, claim_token) VALUES ($1, $2, $3, NULL, clock_timestamp(), $4, …) ON CONFLICT (replica, row_key) DO UPDATE SET
version = greatest("inbox_replica_rows".version, excluded.version),
deleted_at = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.deleted_at ELSE "inbox_replica_rows".deleted_at END,
applied_at = excluded.applied_at,
claim_token = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.claim_token ELSE "inbox_replica_rows".claim_token END,
run_id = greatest("inbox_replica_rows".run_id, excluded.run_id)
RETURNING CASE WHEN claim_token IN ($6, …) THEN row_key ELSE NULL END
;;
INSERT INTO "inbox_replica_rows" (replica, row_key, version, deleted_at, applied_at, run_id, claim_token) VALUES ($1, $2, $3, NULL, clock_timestamp(), $4, …), … ON CONFLICT (replica, row_key) DO UPDATE SET
version = greatest("inbox_replica_rows".version, excluded.version),
deleted_at = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.deleted_at ELSE "inbox_replica_rows".deleted_at END,
applied_at = excluded.applied_at,
claim_token = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.claim_token ELSE "inbox_replica_rows".claim_token END,
run_id = greatest("inbox_replica_rows".run_id, excluded.run_id)
RETURNING CASE WHEN claim_token IN ($1011, …) THEN row_key ELSE NULL END
;;
INSERT INTO "inbox_replica_rows" (replica, row_key, version, deleted_at, applied_at, run_id, claim_token) VALUES ($1, $2, $3, NULL, clock_timestamp(), $4, …), … ON CONFLICT (replica, row_key) DO UPDATE SET
version = greatest("inbox_replica_rows".version, excluded.version),
deleted_at = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.deleted_at ELSE "inbox_replica_rows".deleted_at END,
applied_at = excluded.applied_at,
claim_token = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.claim_token ELSE "inbox_replica_rows".claim_token END,
run_id = greatest("inbox_replica_rows".run_id, excluded.run_id)
RETURNING CASE WHEN claim_token IN ($11, …) THEN row_key ELSE NULL END
;;
INSERT INTO "inbox_replica_rows" (replica, row_key, version, deleted_at, applied_at, run_id, claim_token) VALUES ($1, $2, $3, NULL, clock_timestamp(), $4, …), … ON CONFLICT (replica, row_key) DO UPDATE SET
version = greatest("inbox_replica_rows".version, excluded.version),
deleted_at = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.deleted_at ELSE "inbox_replica_rows".deleted_at END,
applied_at = excluded.applied_at,
claim_token = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.claim_token ELSE "inbox_replica_rows".claim_token END,
run_id = greatest("inbox_replica_rows".run_id, excluded.run_id)
RETURNING CASE WHEN claim_token IN ($16, …) THEN row_key ELSE NULL END
;;
INSERT INTO "inbox_replica_rows" (replica, row_key, version, deleted_at, applied_at, run_id, claim_token) VALUES ($1, $2, $3, NULL, clock_timestamp(), $4, …), … ON CONFLICT (replica, row_key) DO UPDATE SET
version = greatest("inbox_replica_rows".version, excluded.version),
deleted_at = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.deleted_at ELSE "inbox_replica_rows".deleted_at END,
applied_at = excluded.applied_at,
claim_token = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.claim_token ELSE "inbox_replica_rows".claim_token END,
run_id = greatest("inbox_replica_rows".run_id, excluded.run_id)
RETURNING CASE WHEN claim_token IN ($21, …) THEN row_key ELSE NULL END
;;
INSERT INTO "inbox_replica_rows" (replica, row_key, version, deleted_at, applied_at, run_id, claim_token) VALUES ($1, $2, $3, NULL, clock_timestamp(), $4, …), … ON CONFLICT (replica, row_key) DO UPDATE SET
version = greatest("inbox_replica_rows".version, excluded.version),
deleted_at = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.deleted_at ELSE "inbox_replica_rows".deleted_at END,
applied_at = excluded.applied_at,
claim_token = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.claim_token ELSE "inbox_replica_rows".claim_token END,
run_id = greatest("inbox_replica_rows".run_id, excluded.run_id)
RETURNING CASE WHEN claim_token IN ($2501, …) THEN row_key ELSE NULL END
;;
INSERT INTO "inbox_replica_rows" (replica, row_key, version, deleted_at, applied_at, run_id, claim_token) VALUES ($1, $2, $3, NULL, clock_timestamp(), $4, …), … ON CONFLICT (replica, row_key) DO UPDATE SET
version = greatest("inbox_replica_rows".version, excluded.version),
deleted_at = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.deleted_at ELSE "inbox_replica_rows".deleted_at END,
applied_at = excluded.applied_at,
claim_token = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.claim_token ELSE "inbox_replica_rows".claim_token END,
run_id = greatest("inbox_replica_rows".run_id, excluded.run_id)
RETURNING CASE WHEN claim_token IN ($5001, …) THEN row_key ELSE NULL END
;;
INSERT INTO "inbox_replica_rows" (replica, row_key, version, deleted_at, applied_at, run_id, claim_token) VALUES ($1, $2, $3, clock_timestamp(), clock_timestamp(), $4, …) ON CONFLICT (replica, row_key) DO UPDATE SET
version = greatest("inbox_replica_rows".version, excluded.version),
deleted_at = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.deleted_at ELSE "inbox_replica_rows".deleted_at END,
applied_at = excluded.applied_at,
claim_token = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.claim_token ELSE "inbox_replica_rows".claim_token END,
run_id = greatest("inbox_replica_rows".run_id, excluded.run_id)
RETURNING CASE WHEN claim_token IN ($6, …) THEN row_key ELSE NULL END
;;
INSERT INTO "inbox_replica_rows" (replica, row_key, version, deleted_at, applied_at, run_id, claim_token) VALUES ($1, $2, $3, clock_timestamp(), clock_timestamp(), $4, …), … ON CONFLICT (replica, row_key) DO UPDATE SET
version = greatest("inbox_replica_rows".version, excluded.version),
deleted_at = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.deleted_at ELSE "inbox_replica_rows".deleted_at END,
applied_at = excluded.applied_at,
claim_token = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.claim_token ELSE "inbox_replica_rows".claim_token END,
run_id = greatest("inbox_replica_rows".run_id, excluded.run_id)
RETURNING CASE WHEN claim_token IN ($11, …) THEN row_key ELSE NULL END
;;
INSERT INTO "inbox_replica_rows" (replica, row_key, version, deleted_at, applied_at, run_id, claim_token) VALUES ($1, $2, $3, clock_timestamp(), clock_timestamp(), $4, …), … ON CONFLICT (replica, row_key) DO UPDATE SET
version = greatest("inbox_replica_rows".version, excluded.version),
deleted_at = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.deleted_at ELSE "inbox_replica_rows".deleted_at END,
applied_at = excluded.applied_at,
claim_token = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.claim_token ELSE "inbox_replica_rows".claim_token END,
run_id = greatest("inbox_replica_rows".run_id, excluded.run_id)
RETURNING CASE WHEN claim_token IN ($16, …) THEN row_key ELSE NULL END
;;
INSERT INTO "inbox_replica_rows" (replica, row_key, version, deleted_at, applied_at, run_id, claim_token) VALUES ($1, $2, $3, clock_timestamp(), clock_timestamp(), $4, …), … ON CONFLICT (replica, row_key) DO UPDATE SET
version = greatest("inbox_replica_rows".version, excluded.version),
deleted_at = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.deleted_at ELSE "inbox_replica_rows".deleted_at END,
applied_at = excluded.applied_at,
claim_token = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.claim_token ELSE "inbox_replica_rows".claim_token END,
run_id = greatest("inbox_replica_rows".run_id, excluded.run_id)
RETURNING CASE WHEN claim_token IN ($21, …) THEN row_key ELSE NULL END
;;
INSERT INTO "inbox_replica_rows" (replica, row_key, version, deleted_at, applied_at, run_id, claim_token) VALUES ($1, $2, $3, clock_timestamp(), clock_timestamp(), $4, …), … ON CONFLICT (replica, row_key) DO UPDATE SET
version = greatest("inbox_replica_rows".version, excluded.version),
deleted_at = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.deleted_at ELSE "inbox_replica_rows".deleted_at END,
applied_at = excluded.applied_at,
claim_token = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.claim_token ELSE "inbox_replica_rows".claim_token END,
run_id = greatest("inbox_replica_rows".run_id, excluded.run_id)
RETURNING CASE WHEN claim_token IN ($2506, …) THEN row_key ELSE NULL END
;;
INSERT INTO "inbox_replica_rows" (replica, row_key, version, deleted_at, applied_at, run_id, claim_token) VALUES ($1, $2, $3, clock_timestamp(), clock_timestamp(), $4, …), … ON CONFLICT (replica, row_key) DO UPDATE SET
version = greatest("inbox_replica_rows".version, excluded.version),
deleted_at = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.deleted_at ELSE "inbox_replica_rows".deleted_at END,
applied_at = excluded.applied_at,
claim_token = CASE WHEN excluded.version > "inbox_replica_rows".version OR excluded.version = "inbox_replica_rows".version
  AND "inbox_replica_rows".deleted_at IS NULL AND substr(excluded.claim_token, 1, 1) = 'a' THEN excluded.claim_token ELSE "inbox_replica_rows".claim_token END,
run_id = greatest("inbox_replica_rows".run_id, excluded.run_id)
RETURNING CASE WHEN claim_token IN ($5001, …) THEN row_key ELSE NULL END
;;
INSERT INTO "inbox_replica_runs" (replica, run_id) VALUES ($1, …) ON CONFLICT (replica, run_id) DO NOTHING
;;
INSERT INTO "messages"."shop_inbox_events" (consumer, message_id, kafka_topic, kafka_partition, kafka_offset)
VALUES ($1, …) ON CONFLICT (consumer, message_id) DO NOTHING RETURNING pg_current_xact_id()::text
;;
INSERT INTO "messages"."shop_postroom_schema" (version, name) VALUES (2, '00002_inbox.sql')
;;
INSERT INTO "messages"."shop_postroom_schema" (version, name) VALUES (4, '00004_inbox_offsets.sql')
;;
INSERT INTO "messages"."shop_postroom_schema" (version, name) VALUES (5, '00005_inbox_replica.sql')
;;
INSERT INTO "messages"."shop_postroom_schema" (version, name) VALUES (8, '00008_inbox_groups.sql')
;;
INSERT INTO "messages"."shop_postroom_schema_lock" (id) VALUES (1) ON CONFLICT (id) DO NOTHING
;;
INSERT INTO "order_lines" ("o", "l", "name") VALUES ($1, …) ON CONFLICT ("o", "l") DO UPDATE SET "name" = excluded."name"
;;
INSERT INTO "order_lines" ("o", "l", "name") VALUES ($1, …), … ON CONFLICT ("o", "l") DO UPDATE SET "name" = excluded."name"
;;
INSERT INTO "outbox_archive" (id, event_id, topic, event_key, event_type, payload, headers, created_at, kafka_partition, kafka_offset)
SELECT e.id, e.event_id, e.topic, e.event_key, e.event_type, e.payload, e.headers, e.created_at, delivered.kafka_partition, delivered.kafka_offset
FROM unnest($1::text::bigint[], $2::text::uuid[], $3::text::int[], $4::text::bigint[]) AS delivered (seq, event_id, kafka_partition, kafka_offset)
JOIN "outbox_parked" AS e ON e.seq = delivered.seq AND e.event_id = delivered.event_id
ORDER BY e.seq
;;
INSERT INTO "outbox_drops" (id, event_id, topic, event_key, error)
SELECT p.id, p.event_id, p.topic, p.event_key, p.error FROM json_array_elements_text($1::json) AS a (v)
JOIN "outbox_parked" AS p ON p.seq = a.v::bigint ORDER BY p.seq
;;
INSERT INTO "outbox_events" (event_id, topic, event_key, event_type, payload, headers) VALUES ($1, …)
;;
INSERT INTO "outbox_events" (event_id, topic, event_key, event_type, payload, headers) VALUES ($1, …), …
;;
INSERT INTO "outbox_events" (event_id, topic, event_key, event_type, payload, headers, created_at)
SELECT event_id, topic, event_key, event_type, payload, headers, created_at FROM "outbox_scheduled" WHERE seq = ANY($1::text::bigint[]) ORDER BY deliver_at, seq
;;
INSERT INTO "outbox_events" (event_id, topic, event_key, event_type, payload, headers, created_at) SELECT event_id, topic, event_key, event_type, payload, headers, created_at FROM "outbox_archive" WHERE seq IN (1) ORDER BY seq
;;
INSERT INTO "outbox_events" (event_id, topic, event_key, event_type, payload, headers, created_at) SELECT event_id, topic, event_key, event_type, payload, headers, created_at FROM "outbox_archive" WHERE seq IN (2) ORDER BY seq
;;
INSERT INTO "outbox_events" (event_id, topic, event_key, event_type, payload, headers, created_at) SELECT event_id, topic, event_key, event_type, payload, headers, created_at FROM "outbox_archive" WHERE seq IN (‹n›, …) ORDER BY seq
;;
INSERT INTO "outbox_events" (topic, event_key, event_type, payload, headers, created_at) SELECT topic, event_key, event_type, payload, headers, created_at FROM "outbox_archive" WHERE seq IN (‹n›, …) ORDER BY seq
;;
INSERT INTO "outbox_parked" (id, event_id, topic, event_type, headers, created_at)
SELECT id, event_id, topic, event_type, headers, created_at FROM "outbox_events" WHERE id = 0
;;
INSERT INTO "outbox_scheduled" (event_id, topic, event_key, event_type, payload, headers, deliver_at) VALUES ($1, …)
;;
INSERT INTO "outbox_scheduled" (event_id, topic, event_key, event_type, payload, headers, deliver_at) VALUES ($1, …), …
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
INSERT INTO "postroom_schema_lock" (id) VALUES (1) ON CONFLICT (id) DO NOTHING
;;
INSERT INTO "things" ("id", "photo", "extra") VALUES ($1, …) ON CONFLICT ("id") DO UPDATE SET "photo" = excluded."photo", "extra" = excluded."extra"
;;
LOCK TABLE "inbox_events" IN ACCESS EXCLUSIVE MODE
;;
LOCK TABLE "inbox_events_d‹day›" IN SHARE ROW EXCLUSIVE MODE
;;
LOCK TABLE ONLY "inbox_events" IN ACCESS EXCLUSIVE MODE
;;
SELECT "tenant", "id", "amount", "made_at", "photo", "extra", "vip", "score", "ref" FROM "replica_rows"
;;
SELECT "tenant", "id", "amount", "made_at", "photo", "extra", "vip", "score", "ref" FROM "replica_rows" WHERE 1 = 0
;;
SELECT "tenant", "id", "amount", "made_at", "photo", "extra", "vip", "score", "ref" FROM (SELECT * FROM source_rows
) AS postroom_compare
;;
SELECT '', row_security_active(oid) FROM pg_class WHERE oid = to_regclass($1::text) AND relrowsecurity
;;
SELECT 'slot', slot_name::text, age(xmin)::bigint FROM pg_replication_slots WHERE xmin IS NOT NULL
UNION ALL SELECT 'standby', coalesce(application_name, ''), age(backend_xmin)::bigint FROM pg_stat_replication WHERE backend_xmin IS NOT NULL
ORDER BY 3 DESC LIMIT 20
;;
SELECT (SELECT CASE WHEN has_sequence_privilege(s.name, 'SELECT, USAGE') THEN pg_sequence_last_value(s.name::regclass) END
 FROM (SELECT pg_get_serial_sequence($1, 'id') AS name) AS s)
;;
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
;;
SELECT (extract(epoch FROM deliver_at - statement_timestamp()) * 1000000)::bigint
FROM "outbox_scheduled" ORDER BY deliver_at, seq LIMIT 1
;;
SELECT (owner IS NULL OR expires_at IS NULL OR expires_at < clock_timestamp()
  OR expires_at > clock_timestamp() + 2 * greatest(60000000::bigint, coalesce((hints->>'ttl_us')::bigint, 0)) * interval '1 microsecond'), CASE WHEN owner IS NULL THEN hints->>'heir' END, owner IS NOT NULL AND coalesce(hints->>'blind', '') <> '', coalesce(mode, '') FROM "outbox_leases" WHERE id = 1
;;
SELECT * FROM (SELECT * FROM source_rows
) AS postroom_compare WHERE 1 = 0
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
SELECT 1
;;
SELECT 1 FROM "inbox_blocked" WHERE consumer = $1 AND topic = $2 AND event_key = $3 FOR UPDATE
;;
SELECT 1 FROM "inbox_parked" WHERE consumer = $1 AND seq = $2
;;
SELECT 1 FROM "messages"."shop_postroom_schema_lock" WHERE id = 1
;;
SELECT 1 FROM "postroom_schema_lock" WHERE id = 1
;;
SELECT CASE WHEN s.setrole = 0 AND s.setdatabase = 0 THEN 'ALL' ELSE coalesce(quote_ident(r.rolname), '') END,
	coalesce(quote_ident(d.datname), ''), c.setting
FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) AS c (setting)
LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase
WHERE c.setting LIKE 'synchronous_commit=%' AND (s.setdatabase = 0 OR d.datname = current_database())
ORDER BY 1, 2
;;
SELECT COALESCE((SELECT min(d) FROM generate_series(0, 30) AS d
  WHERE NOT EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = $1::text::regclass
    AND c.relname = $2::text || to_char((now() AT TIME ZONE 'UTC')::date + d, 'YYYYMMDD'))), 31) - 1, EXISTS (SELECT FROM "inbox_events_strays")
;;
SELECT COALESCE((SELECT sum(pg_relation_size(relid)) FROM pg_partition_tree($1::text::regclass)), pg_relation_size($1::text::regclass))::bigint
/ current_setting('block_size')::bigint
;;
SELECT COALESCE(MAX(seq), 0) FROM "outbox_archive"
;;
SELECT COALESCE(MAX(seq), 0) FROM "outbox_parked"
;;
SELECT COALESCE(MAX(seq), 0) FROM (SELECT seq FROM "outbox_parked" WHERE seq > $1 ORDER BY seq LIMIT $2) AS part
;;
SELECT COALESCE(SUM(CASE state WHEN 'failed' THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE state WHEN 'blocked' THEN 1 ELSE 0 END), 0),
	COALESCE(SUM(CASE WHEN state IN ('retry', 'drop') THEN 1 ELSE 0 END), 0), (extract(epoch FROM clock_timestamp() - min(parked_at)) * 1000000)::bigint FROM (SELECT topic, event_key, state, parked_at FROM "none_outbox_parked" ORDER BY seq LIMIT 100001) AS counted
;;
SELECT COALESCE(SUM(CASE state WHEN 'failed' THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE state WHEN 'blocked' THEN 1 ELSE 0 END), 0),
	COALESCE(SUM(CASE WHEN state IN ('retry', 'drop') THEN 1 ELSE 0 END), 0), (extract(epoch FROM clock_timestamp() - min(parked_at)) * 1000000)::bigint FROM (SELECT topic, event_key, state, parked_at FROM "outbox_parked" ORDER BY seq LIMIT 100001) AS counted
;;
SELECT COALESCE(SUM(CASE state WHEN 'failed' THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE state WHEN 'blocked' THEN 1 ELSE 0 END), 0),
	COALESCE(SUM(CASE WHEN state IN ('retry', 'drop') THEN 1 ELSE 0 END), 0), (extract(epoch FROM clock_timestamp() - min(parked_at)) * 1000000)::bigint FROM (SELECT topic, event_key, state, parked_at FROM "shop_outbox_parked" ORDER BY seq LIMIT 100001) AS counted
;;
SELECT COALESCE(pg_current_xact_id_if_assigned() = CAST($1::text AS xid8), false)
;;
SELECT COUNT(*) FROM "outbox_archive" WHERE delivered_at < now() - 3000000000 * interval '1 microsecond'
;;
SELECT COUNT(*) FROM "outbox_drops" WHERE dropped_at < now() - 3600000000 * interval '1 microsecond'
;;
SELECT COUNT(*) FROM (SELECT 1 FROM "outbox_events" WHERE id < $1 LIMIT 200000) AS counted
;;
SELECT COUNT(*) FROM (SELECT 1 FROM "outbox_parked" WHERE topic = $1 AND event_key = $2 LIMIT 200000) AS counted
;;
SELECT COUNT(*), COALESCE(MIN(a.seq), 0), COALESCE(MAX(a.seq), 0)
FROM "outbox_archive" AS a WHERE a.seq > $1 AND a.seq <= $2
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq)
;;
SELECT COUNT(*), COALESCE(MIN(a.seq), 0), COALESCE(MAX(a.seq), 0)
FROM "outbox_archive" AS a WHERE a.seq > $1 AND a.seq <= $2 AND a.delivered_at < $3::text::timestamptz
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.delivered_at < $4::text::timestamptz)
;;
SELECT COUNT(*), COALESCE(MIN(a.seq), 0), COALESCE(MAX(a.seq), 0)
FROM "outbox_archive" AS a WHERE a.seq > $1 AND a.seq <= $2 AND a.delivered_at >= $3::text::timestamptz
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.delivered_at >= $4::text::timestamptz)
;;
SELECT COUNT(*), COALESCE(MIN(a.seq), 0), COALESCE(MAX(a.seq), 0)
FROM "outbox_archive" AS a WHERE a.seq > $1 AND a.seq <= $2 AND a.delivered_at >= $3::text::timestamptz AND a.delivered_at < $4::text::timestamptz
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.delivered_at >= $5::text::timestamptz AND e.delivered_at < $6::text::timestamptz)
;;
SELECT COUNT(*), COALESCE(MIN(a.seq), 0), COALESCE(MAX(a.seq), 0)
FROM "outbox_archive" AS a WHERE a.seq > $1 AND a.seq <= $2 AND a.delivered_at >= $3::text::timestamptz AND a.topic = $4 AND a.event_key = $5
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.delivered_at >= $6::text::timestamptz AND e.topic = $7 AND e.event_key = $8)
;;
SELECT COUNT(*), COALESCE(MIN(a.seq), 0), COALESCE(MAX(a.seq), 0)
FROM "outbox_archive" AS a WHERE a.seq > $1 AND a.seq <= $2 AND a.event_id IN ('‹uuid›', '‹uuid›', '‹uuid›')
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.event_id IN ('‹uuid›', '‹uuid›', '‹uuid›'))
;;
SELECT COUNT(*), COALESCE(MIN(a.seq), 0), COALESCE(MAX(a.seq), 0)
FROM "outbox_archive" AS a WHERE a.seq > $1 AND a.seq <= $2 AND a.topic = $3
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.topic = $4)
;;
SELECT COUNT(*), COALESCE(MIN(a.seq), 0), COALESCE(MAX(a.seq), 0)
FROM "outbox_archive" AS a WHERE a.seq > $1 AND a.seq <= $2 AND a.topic = $3 AND a.event_key = $4
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.topic = $5 AND e.event_key = $6)
;;
SELECT DISTINCT event_id FROM "outbox_archive" WHERE event_id IN ('‹uuid›', '‹uuid›', '‹uuid›', '‹uuid›', '‹uuid›')
;;
SELECT DISTINCT message_day::text FROM (SELECT CASE WHEN message_id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$'
  AND ('x0000' || substr(message_id, 1, 8) || substr(message_id, 10, 4))::bit(64)::bigint < 253402300800000
THEN DATE '‹day›' + (('x0000' || substr(message_id, 1, 8) || substr(message_id, 10, 4))::bit(64)::bigint / 86400000)::integer
ELSE DATE '‹day›' END AS message_day FROM "inbox_events_before") AS d
WHERE message_day > (now() AT TIME ZONE 'UTC')::date - 31 AND message_day < (now() AT TIME ZONE 'UTC')::date
UNION SELECT ((now() AT TIME ZONE 'UTC')::date + d)::text FROM generate_series(0, $1::int) AS d ORDER BY 1
;;
SELECT DISTINCT p.topic, p.event_key FROM json_array_elements($1::json) AS a (v)
JOIN "outbox_parked" AS p ON p.seq = (a.v->>0)::bigint AND p.event_id = (a.v->>1)::uuid
WHERE p.event_key IS NOT NULL
;;
SELECT DISTINCT topic, event_key FROM "outbox_archive" WHERE event_key IS NOT NULL AND seq IN (1)
;;
SELECT DISTINCT topic, event_key FROM "outbox_archive" WHERE event_key IS NOT NULL AND seq IN (2)
;;
SELECT DISTINCT topic, event_key FROM "outbox_archive" WHERE event_key IS NOT NULL AND seq IN (‹n›, …)
;;
SELECT EXISTS (SELECT 1 FROM "inbox_parked" WHERE topic = $1 AND event_key = $2)
;;
SELECT EXISTS (SELECT 1 FROM "inbox_parked")
;;
SELECT EXISTS (SELECT 1 FROM "outbox_parked" WHERE state IN ('retry', 'drop') AND state = 'drop')
;;
SELECT EXISTS (SELECT 1 FROM "outbox_parked" WHERE state IN ('retry', 'drop'))
;;
SELECT EXISTS (SELECT 1 FROM "outbox_parked" WHERE topic = $1 AND event_key = $2)
;;
SELECT EXISTS (SELECT 1 FROM "outbox_parked" WHERE topic = $1)
;;
SELECT EXISTS (SELECT 1 FROM "outbox_parked")
;;
SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = 'events')
;;
SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = 'messages')
;;
SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = 'order')
;;
SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = 'shop')
;;
SELECT EXISTS (SELECT FROM "inbox_events_d‹day›")
;;
SELECT MIN(consumer) FROM "inbox_events" WHERE consumer > $1
;;
SELECT a.attidentity::text, q.name, s.seqcache, s.seqincrement, s.seqcycle,
	CASE WHEN has_sequence_privilege(q.name, 'SELECT, USAGE') THEN coalesce(pg_sequence_last_value(q.name::regclass), 0) END
FROM pg_attribute a CROSS JOIN LATERAL (SELECT pg_get_serial_sequence($1::text, 'id') AS name) q
LEFT JOIN pg_sequence s ON s.seqrelid = q.name::regclass
WHERE a.attrelid = to_regclass($1::text) AND a.attname = 'id'
;;
SELECT a.n - 1, e.seq, e.state FROM json_array_elements($1::json) WITH ORDINALITY AS a (v, n)
JOIN LATERAL (
  SELECT seq, state FROM "outbox_parked" AS k WHERE k.topic = a.v->>0 AND k.event_key = a.v->>1
  ORDER BY k.topic, k.event_key, k.seq LIMIT 1
) AS e ON true
;;
SELECT a.seq, COALESCE(LENGTH(a.payload), 0)
FROM "outbox_archive" AS a WHERE a.seq > $1 AND a.seq <= $2
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq)
ORDER BY a.seq LIMIT 1000
;;
SELECT a.seq, COALESCE(LENGTH(a.payload), 0)
FROM "outbox_archive" AS a WHERE a.seq > $1 AND a.seq <= $2 AND a.delivered_at < $3::text::timestamptz
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.delivered_at < $4::text::timestamptz)
ORDER BY a.seq LIMIT 1000
;;
SELECT a.seq, COALESCE(LENGTH(a.payload), 0)
FROM "outbox_archive" AS a WHERE a.seq > $1 AND a.seq <= $2 AND a.delivered_at >= $3::text::timestamptz
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.delivered_at >= $4::text::timestamptz)
ORDER BY a.seq LIMIT 1000
;;
SELECT a.seq, COALESCE(LENGTH(a.payload), 0)
FROM "outbox_archive" AS a WHERE a.seq > $1 AND a.seq <= $2 AND a.delivered_at >= $3::text::timestamptz AND a.delivered_at < $4::text::timestamptz
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.delivered_at >= $5::text::timestamptz AND e.delivered_at < $6::text::timestamptz)
ORDER BY a.seq LIMIT 1000
;;
SELECT a.seq, COALESCE(LENGTH(a.payload), 0)
FROM "outbox_archive" AS a WHERE a.seq > $1 AND a.seq <= $2 AND a.delivered_at >= $3::text::timestamptz AND a.topic = $4 AND a.event_key = $5
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.delivered_at >= $6::text::timestamptz AND e.topic = $7 AND e.event_key = $8)
ORDER BY a.seq LIMIT 1000
;;
SELECT a.seq, COALESCE(LENGTH(a.payload), 0)
FROM "outbox_archive" AS a WHERE a.seq > $1 AND a.seq <= $2 AND a.event_id IN ('‹uuid›', '‹uuid›', '‹uuid›')
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.event_id IN ('‹uuid›', '‹uuid›', '‹uuid›'))
ORDER BY a.seq LIMIT 1000
;;
SELECT a.seq, COALESCE(LENGTH(a.payload), 0)
FROM "outbox_archive" AS a WHERE a.seq > $1 AND a.seq <= $2 AND a.topic = $3
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.topic = $4)
ORDER BY a.seq LIMIT 1000
;;
SELECT a.seq, COALESCE(LENGTH(a.payload), 0)
FROM "outbox_archive" AS a WHERE a.seq > $1 AND a.seq <= $2 AND a.topic = $3 AND a.event_key = $4
AND NOT EXISTS (SELECT 1 FROM "outbox_archive" AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq AND e.topic = $5 AND e.event_key = $6)
ORDER BY a.seq LIMIT 1000
;;
SELECT b.consumer, b.topic, b.event_key, 0, false FROM "inbox_blocked" AS b
WHERE NOT EXISTS (SELECT 1 FROM "inbox_parked" AS p WHERE p.consumer = b.consumer AND p.topic = b.topic AND p.event_key = b.event_key) LIMIT 20
;;
SELECT coalesce(s.n_live_tup, 0), coalesce(s.n_dead_tup, 0), 
	(extract(epoch FROM clock_timestamp() - greatest(s.last_autovacuum, s.last_vacuum)) * 1000000)::bigint,
	coalesce(array_to_string(c.reloptions, ' '), ''), current_setting('autovacuum'), current_setting('track_counts')
FROM pg_class c LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid WHERE c.oid = to_regclass($1::text)
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
SELECT consumer, count(*) FROM (SELECT consumer FROM "inbox_blocked" LIMIT 200000) AS counted GROUP BY consumer
;;
SELECT consumer, count(*) FROM (SELECT consumer FROM "inbox_blocked" WHERE consumer = $1 LIMIT 200000) AS counted GROUP BY consumer
;;
SELECT consumer, count(*), extract(epoch FROM clock_timestamp() - min(started_at)) * 1000000 FROM (SELECT consumer, started_at FROM "inbox_attempts" LIMIT 200000) AS counted GROUP BY consumer
;;
SELECT consumer, count(*), extract(epoch FROM clock_timestamp() - min(started_at)) * 1000000 FROM (SELECT consumer, started_at FROM "inbox_attempts" WHERE consumer = $1 LIMIT 200000) AS counted GROUP BY consumer
;;
SELECT consumer, count(*), to_char(min(processed_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), extract(epoch FROM clock_timestamp() - min(processed_at)) * 1000000 FROM "inbox_events" TABLESAMPLE SYSTEM (100.000000) REPEATABLE (1) GROUP BY consumer
;;
SELECT consumer, kafka_topic, kafka_partition, COALESCE(kafka_group, ''), COALESCE(topic_id, ''), applied_offset, next_offset, epoch, to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), extract(epoch FROM clock_timestamp() - updated_at) * 1000000 FROM "inbox_offsets" ORDER BY consumer, kafka_topic, kafka_partition
;;
SELECT consumer, kafka_topic, kafka_partition, COALESCE(kafka_group, ''), COALESCE(topic_id, ''), applied_offset, next_offset, epoch, to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), extract(epoch FROM clock_timestamp() - updated_at) * 1000000 FROM "inbox_offsets" WHERE consumer = $1 ORDER BY consumer, kafka_topic, kafka_partition
;;
SELECT consumer, max(retention) FROM "inbox_expiry" GROUP BY consumer
;;
SELECT consumer, state, count(*), to_char(min(parked_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), extract(epoch FROM clock_timestamp() - min(parked_at)) * 1000000 FROM (SELECT consumer, state, parked_at FROM "inbox_parked" ORDER BY seq LIMIT 200000) AS counted GROUP BY consumer, state
;;
SELECT consumer, state, count(*), to_char(min(parked_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), extract(epoch FROM clock_timestamp() - min(parked_at)) * 1000000 FROM (SELECT consumer, state, parked_at FROM "inbox_parked" WHERE consumer = $1 ORDER BY seq LIMIT 200000) AS counted GROUP BY consumer, state
;;
SELECT consumer, to_char(parked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), kafka_topic, kafka_partition, kafka_offset, attempts, error, state FROM "inbox_parked" WHERE message_id = $1
;;
SELECT consumer, to_char(processed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), kafka_topic, kafka_partition, kafka_offset, 0, '', '' FROM "inbox_events" WHERE consumer = $1 AND message_id = $2
;;
SELECT consumer, to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), NULL, NULL, NULL, attempts, last_error, '' FROM "inbox_attempts" WHERE message_id = $1
;;
SELECT count(*) FROM "inbox_replica_rows" WHERE replica = $1 AND run_id = $2
;;
SELECT count(*) FROM (SELECT 1 FROM "inbox_parked" WHERE consumer = $1 AND topic = $2 AND event_key = $3 AND state = $4 LIMIT 200000) AS counted
;;
SELECT count(*) FROM (SELECT 1 FROM "inbox_parked" WHERE state = $1 LIMIT 200000) AS counted
;;
SELECT count(*) FROM (SELECT 1 FROM "inbox_parked" WHERE topic = $1 AND event_key = $2 AND state = $3 LIMIT 200000) AS counted
;;
SELECT count(*) FROM (SELECT 1 FROM "outbox_events" LIMIT 200001) AS counted
;;
SELECT count(*) FROM (SELECT 1 FROM "outbox_parked" WHERE state = $1 LIMIT 200000) AS counted
;;
SELECT count(*) FROM (SELECT 1 FROM "outbox_parked" WHERE state = 'failed' AND overtaken LIMIT 200000) AS counted
;;
SELECT count(*) FROM (SELECT 1 FROM "outbox_parked" WHERE topic = $1 AND event_key = $2 AND state = $3 LIMIT 200000) AS counted
;;
SELECT count(*) FROM (SELECT 1 FROM "outbox_parked" WHERE topic = $1 AND event_key = $2 LIMIT 200000) AS counted
;;
SELECT count(*) FROM (SELECT 1 FROM "outbox_parked" WHERE topic = $1 AND state = $2 LIMIT 200000) AS counted
;;
SELECT count(*) FROM (SELECT DISTINCT topic, event_key FROM (SELECT topic, event_key, state, parked_at FROM "outbox_parked" ORDER BY seq LIMIT 100001) AS counted WHERE event_key IS NOT NULL) AS waiting
;;
SELECT count(*) FROM (SELECT to_regclass($1::text) AS oid) t WHERE oid IS NOT NULL
;;
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query = '<insufficient privilege>'
;;
SELECT count(*), (extract(epoch FROM clock_timestamp() - min(deliver_at)) * 1000000)::bigint FROM
	(SELECT deliver_at FROM "none_outbox_scheduled" WHERE deliver_at < clock_timestamp() ORDER BY deliver_at LIMIT 10000) AS due
;;
SELECT count(*), (extract(epoch FROM clock_timestamp() - min(deliver_at)) * 1000000)::bigint FROM
	(SELECT deliver_at FROM "outbox_scheduled" WHERE deliver_at < clock_timestamp() ORDER BY deliver_at LIMIT 10000) AS due
;;
SELECT count(*), (extract(epoch FROM clock_timestamp() - min(deliver_at)) * 1000000)::bigint FROM
	(SELECT deliver_at FROM "shop_outbox_scheduled" WHERE deliver_at < clock_timestamp() ORDER BY deliver_at LIMIT 10000) AS due
;;
SELECT count(*), min(id) FROM (SELECT id FROM "outbox_events" WHERE id < 1 ORDER BY id LIMIT 200000) AS below
;;
SELECT count(*), to_char(min(processed_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), extract(epoch FROM clock_timestamp() - min(processed_at)) * 1000000 FROM (SELECT processed_at FROM "inbox_events" WHERE consumer = $1 LIMIT 20001) AS counted
;;
SELECT current_setting('server_version'), quote_ident(current_user), pg_is_in_recovery(),
	current_setting('transaction_isolation')
;;
SELECT day::text FROM (SELECT (now() AT TIME ZONE 'UTC')::date + d AS day FROM generate_series(0, $1::int) AS d) AS wanted
WHERE to_regclass($2::text || to_char(day, 'YYYYMMDD') || $3::text) IS NULL ORDER BY 1
;;
SELECT epoch, next_offset FROM "inbox_offsets" WHERE consumer = $1 AND kafka_topic = $2 AND kafka_partition = $3
;;
SELECT epoch, next_offset FROM "inbox_offsets" WHERE consumer = $1 AND kafka_topic = $2 AND kafka_partition = $3 FOR UPDATE
;;
SELECT epoch, source_id, mode, extract(epoch FROM pg_postmaster_start_time())::text
  || '/' || CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END, hints->'position', hints->'proved' FROM "outbox_leases" WHERE id = 1
;;
SELECT event_id, topic, event_key, event_type, payload, payload IS NULL, headers, NULL FROM "outbox_events" ORDER BY id
;;
SELECT event_id, topic, event_key, event_type, payload, payload IS NULL, headers, to_char(deliver_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM "outbox_scheduled" ORDER BY deliver_at, seq
;;
SELECT event_key FROM "inbox_blocked" WHERE consumer = $1 AND topic = $2 AND event_key IN ($3) ORDER BY event_key FOR UPDATE
;;
SELECT event_key FROM "inbox_blocked" WHERE consumer = $1 AND topic = $2 AND event_key IN ($3, …) ORDER BY event_key FOR UPDATE
;;
SELECT extract(epoch FROM clock_timestamp() - min(processed_at)) * 1000000 FROM "inbox_events" WHERE consumer = $1 AND message_day = DATE '‹day›'
;;
SELECT extract(epoch FROM clock_timestamp() - min(processed_at)) * 1000000 FROM "inbox_events_strays" WHERE consumer = $1
;;
SELECT extract(epoch FROM clock_timestamp() - min(processed_at)) * 1000000 FROM "inbox_events_undated" WHERE consumer = $1
;;
SELECT g.*, e.retention, e.below, (extract(epoch FROM clock_timestamp() - e.told_at) * 1000000)::bigint FROM (
  SELECT consumer, kafka_topic, kafka_partition, max(kafka_offset), count(*), (extract(epoch FROM clock_timestamp() - max(processed_at)) * 1000000)::bigint
  FROM "inbox_events" WHERE message_day = DATE '‹day›' GROUP BY ‹n›, …) AS g (consumer, topic, part, pos, n, youngest)
LEFT JOIN "inbox_expiry" e ON e.consumer = g.consumer AND e.kafka_topic = COALESCE(g.topic, '') AND e.kafka_partition = COALESCE(g.part, -1)
ORDER BY g.consumer, g.topic, g.part
;;
SELECT h.seq, e.seq, e.state FROM json_array_elements_text($1::json) AS a (v)
JOIN "outbox_parked" AS h ON h.seq = a.v::bigint
CROSS JOIN LATERAL (
  SELECT seq, state FROM "outbox_parked" AS k WHERE k.topic = h.topic AND k.event_key = h.event_key AND k.seq >= h.seq
  ORDER BY k.topic, k.event_key, k.seq LIMIT $2
) AS e ORDER BY h.seq, e.seq
;;
SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = $1::text
;;
SELECT has_table_privilege(to_regclass($1::text)::oid, $2)
;;
SELECT hints->'proved' FROM "outbox_leases" WHERE id = 1 AND owner = $1 AND epoch = $2 AND $3 = extract(epoch FROM pg_postmaster_start_time())::text
  || '/' || CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END
;;
SELECT hints->>'topics' FROM "outbox_leases" WHERE id = 1
;;
SELECT id, event_id, COALESCE(LENGTH(payload), 0) FROM "outbox_events" WHERE id IN (‹n›, …)
;;
SELECT id, event_id::text, topic, error FROM "outbox_parked" WHERE state = 'failed' ORDER BY seq LIMIT 1
;;
SELECT id, event_id::text, topic, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
	(extract(epoch FROM clock_timestamp() - created_at) * 1000000)::bigint
FROM "none_outbox_events" ORDER BY id LIMIT 1
;;
SELECT id, event_id::text, topic, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
	(extract(epoch FROM clock_timestamp() - created_at) * 1000000)::bigint
FROM "outbox_events" ORDER BY id LIMIT 1
;;
SELECT id, event_id::text, topic, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
	(extract(epoch FROM clock_timestamp() - created_at) * 1000000)::bigint
FROM "shop_outbox_events" ORDER BY id LIMIT 1
;;
SELECT id, topic, event_key, event_type, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM "outbox_events" WHERE event_id = $1::text::uuid ORDER BY id
;;
SELECT id, topic, event_key, event_type, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), to_char(delivered_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), kafka_partition, kafka_offset FROM "outbox_archive" WHERE event_id = $1::text::uuid ORDER BY seq
;;
SELECT id, topic, event_key, event_type, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), to_char(parked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), state, attempts, overtaken, error FROM "outbox_parked" WHERE event_id = $1::text::uuid ORDER BY seq
;;
SELECT id, topic, event_key, to_char(dropped_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), error FROM "outbox_drops" WHERE event_id = $1::text::uuid ORDER BY seq
;;
SELECT kafka_topic, kafka_partition, COALESCE(kafka_group, ''), COALESCE(topic_id, ''), COALESCE(applied_offset, -1), COALESCE(next_offset, -1) FROM "inbox_offsets" WHERE consumer = $1 AND kafka_topic IN ($2)
;;
SELECT kafka_topic, kafka_partition, COALESCE(kafka_group, ''), COALESCE(topic_id, ''), COALESCE(applied_offset, -1), COALESCE(next_offset, -1) FROM "inbox_offsets" WHERE consumer = $1 AND kafka_topic IN ($2, …)
;;
SELECT max(id) FROM "none_outbox_events"
;;
SELECT max(id) FROM "outbox_events"
;;
SELECT max(id) FROM "shop_outbox_events"
;;
SELECT max(id) FROM (SELECT id FROM "outbox_archive" ORDER BY seq DESC LIMIT 1000) AS latest
;;
SELECT max(id) FROM (SELECT id FROM "outbox_drops" ORDER BY seq DESC LIMIT 1000) AS latest
;;
SELECT max(id) FROM (SELECT id FROM "outbox_parked" ORDER BY seq DESC LIMIT 1000) AS latest
;;
SELECT message_id FROM "inbox_parked" WHERE consumer = $1 AND message_id IN ($2)
;;
SELECT message_id FROM "inbox_parked" WHERE consumer = $1 AND message_id IN ($2, …)
;;
SELECT message_id, kafka_topic, kafka_partition, kafka_offset, ''
FROM "inbox_events"
WHERE ctid >= $3::text::tid AND ctid < $4::text::tid
  AND consumer = $1 AND processed_at < now() - $2 * interval '1 microsecond'
;;
SELECT message_id, kafka_topic, kafka_partition, kafka_offset, ''
FROM "inbox_events_strays"
WHERE ctid >= $3::text::tid AND ctid < $4::text::tid
  AND consumer = $1 AND processed_at < now() - $2 * interval '1 microsecond'
;;
SELECT message_id, kafka_topic, kafka_partition, kafka_offset, ''
FROM "inbox_events_undated"
WHERE ctid >= $3::text::tid AND ctid < $4::text::tid
  AND consumer = $1 AND processed_at < now() - $2 * interval '1 microsecond'
;;
SELECT message_id, kafka_topic, kafka_partition, kafka_offset, ''
FROM "messages"."shop_inbox_events"
WHERE ctid >= $3::text::tid AND ctid < $4::text::tid
  AND consumer = $1 AND processed_at < now() - $2 * interval '1 microsecond'
;;
SELECT message_id, topic, event_key, event_type, headers::text, payload, payload IS NOT NULL, kafka_topic, kafka_partition, kafka_offset, attempts, error, state FROM "inbox_parked" WHERE consumer = $1 AND seq = $2 FOR UPDATE
;;
SELECT name FROM (SELECT pg_get_serial_sequence($1::text, 'id') AS name WHERE to_regclass($1::text) IS NOT NULL) s
WHERE NOT has_sequence_privilege(name, 'SELECT, USAGE')
;;
SELECT name, setting, source FROM pg_settings
WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit', 'synchronous_standby_names') ORDER BY name
;;
SELECT number
FROM (SELECT unnest($1::text::bigint[]) AS number OFFSET 0) AS numbers WHERE pg_try_advisory_xact_lock(number)
;;
SELECT owner FROM "messages"."shop_postroom_schema_lock" WHERE id = 1 AND NOT (owner IS NULL OR expires_at IS NULL OR expires_at < clock_timestamp() OR expires_at > clock_timestamp() + interval '60000000 microseconds')
;;
SELECT owner FROM "postroom_schema_lock" WHERE id = 1 AND NOT (owner IS NULL OR expires_at IS NULL OR expires_at < clock_timestamp() OR expires_at > clock_timestamp() + interval '60000000 microseconds')
;;
SELECT owner, (extract(epoch FROM expires_at - clock_timestamp()) * 1000000)::bigint FROM "none_postroom_schema_lock" WHERE id = 1
;;
SELECT owner, (extract(epoch FROM expires_at - clock_timestamp()) * 1000000)::bigint FROM "postroom_schema_lock" WHERE id = 1
;;
SELECT owner, (extract(epoch FROM expires_at - clock_timestamp()) * 1000000)::bigint FROM "shop_postroom_schema_lock" WHERE id = 1
;;
SELECT owner, epoch, extract(epoch FROM pg_postmaster_start_time())::text
  || '/' || CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END FROM "outbox_leases" WHERE id = 1
;;
SELECT owner, epoch, extract(epoch FROM pg_postmaster_start_time())::text
  || '/' || CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END FROM "outbox_leases" WHERE id = 1 FOR UPDATE
;;
SELECT p.consumer, p.topic, p.event_key, min(p.seq), false FROM "inbox_parked" AS p
WHERE p.state = 'blocked' AND NOT EXISTS (SELECT 1 FROM "inbox_blocked" AS b WHERE p.consumer = b.consumer AND p.topic = b.topic AND p.event_key = b.event_key)
GROUP BY p.consumer, p.topic, p.event_key LIMIT 20
;;
SELECT p.consumer, p.topic, p.event_key, p.seq, true FROM "inbox_blocked" AS b
JOIN "inbox_parked" AS p ON p.seq = (SELECT min(q.seq) FROM "inbox_parked" AS q WHERE q.consumer = b.consumer AND q.topic = b.topic AND q.event_key = b.event_key)
WHERE p.state = 'blocked' LIMIT 20
;;
SELECT p.gid, p.owner, (extract(epoch FROM clock_timestamp() - p.prepared) * 1000000)::bigint,
	(extract(epoch FROM p.prepared) * 1000000)::bigint,
	EXISTS (SELECT 1 FROM pg_locks x JOIN pg_locks l ON l.virtualtransaction = x.virtualtransaction AND l.pid IS NULL
		WHERE x.locktype = 'transactionid' AND x.transactionid = p.transaction AND x.granted AND x.pid IS NULL
			AND l.relation = to_regclass($1::text))
FROM pg_prepared_xacts p WHERE p.database = current_database()
	AND p.prepared < clock_timestamp() - $2::bigint * interval '1 microsecond'
ORDER BY p.prepared LIMIT 100
;;
SELECT p.seq FROM "outbox_parked" AS p
WHERE p.seq > $1 AND p.state = 'blocked' AND (p.event_key IS NULL OR NOT EXISTS (
  SELECT 1 FROM "outbox_parked" AS e WHERE e.topic = p.topic AND e.event_key = p.event_key AND e.seq < p.seq))
;;
SELECT pg_advisory_xact_lock(number)
FROM (SELECT unnest(string_to_array($1::text, ',')::bigint[]) AS number ORDER BY 1 OFFSET 0) AS numbers
;;
SELECT pg_current_xact_id()::text
;;
SELECT pg_relation_size($1::text::regclass) / current_setting('block_size')::bigint
;;
SELECT quote_ident(current_user)
;;
SELECT quote_ident(rulename), false FROM pg_rewrite WHERE ev_class = to_regclass($1::text) AND rulename <> '_RETURN' AND ev_enabled <> 'D' ORDER BY 1
;;
SELECT quote_ident(tgname), false FROM pg_trigger WHERE tgrelid = to_regclass($1::text) AND NOT tgisinternal AND tgenabled <> 'D' ORDER BY 1
;;
SELECT r.seq, e.seq FROM json_array_elements_text($1::json) AS a (v)
JOIN "outbox_parked" AS r ON r.seq = a.v::bigint
LEFT JOIN LATERAL (
  SELECT seq FROM "outbox_parked" AS k WHERE k.topic = r.topic AND k.event_key = r.event_key AND k.state <> 'retry'
  ORDER BY k.topic, k.event_key, k.seq LIMIT 1
) AS e ON true
;;
SELECT relay_id::text, host, owned, (extract(epoch FROM clock_timestamp() - seen_at) * 1000000)::bigint AS ago
FROM "none_outbox_relays" WHERE seen_at > clock_timestamp() - interval '1 hour' ORDER BY ago LIMIT 100
;;
SELECT relay_id::text, host, owned, (extract(epoch FROM clock_timestamp() - seen_at) * 1000000)::bigint AS ago
FROM "outbox_relays" WHERE seen_at > clock_timestamp() - interval '1 hour' ORDER BY ago LIMIT 100
;;
SELECT relay_id::text, host, owned, (extract(epoch FROM clock_timestamp() - seen_at) * 1000000)::bigint AS ago
FROM "shop_outbox_relays" WHERE seen_at > clock_timestamp() - interval '1 hour' ORDER BY ago LIMIT 100
;;
SELECT relay_id::text, host, owned, (extract(epoch FROM clock_timestamp() - seen_at) * 1000000)::bigint FROM "outbox_relays" ORDER BY host, relay_id
;;
SELECT relkind = 'p', pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass($1::text)
;;
SELECT relpersistence::text FROM pg_class WHERE oid = to_regclass($1::text)
;;
SELECT reltuples::bigint FROM pg_catalog.pg_class WHERE oid = to_regclass($1::text)
;;
SELECT replica, run_id, sent, to_char(heard_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), extract(epoch FROM clock_timestamp() - heard_at) * 1000000 FROM "inbox_replica_runs" WHERE finished_at IS NULL ORDER BY replica, run_id
;;
SELECT row_key, version FROM "inbox_replica_rows"
WHERE replica = $1 AND deleted_at IS NULL AND run_id < $2 AND applied_at < $3::text::timestamptz
ORDER BY row_key LIMIT $4 FOR UPDATE
;;
SELECT run_id, COALESCE(sent, -1), to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), finished_at IS NOT NULL
FROM "inbox_replica_runs" WHERE replica = $1 ORDER BY run_id DESC
;;
SELECT seq FROM "outbox_drops" WHERE seq = 0
;;
SELECT seq FROM "outbox_parked" WHERE seq > $1 AND seq <= $2 AND event_key IS NOT NULL AND NOT overtaken ORDER BY seq LIMIT $3
;;
SELECT seq FROM "outbox_parked" WHERE state <> 'drop' AND seq < $1 ORDER BY seq DESC LIMIT $2
;;
SELECT seq FROM "outbox_parked" WHERE state <> 'drop' ORDER BY seq DESC LIMIT $1
;;
SELECT seq FROM "outbox_parked" WHERE state = 'failed' AND seq < $1 ORDER BY seq DESC LIMIT $2
;;
SELECT seq FROM "outbox_parked" WHERE state = 'failed' ORDER BY seq DESC LIMIT $1
;;
SELECT seq FROM "outbox_parked" WHERE topic = $1 AND event_key = $2 AND state <> 'drop' AND seq < $3 ORDER BY seq DESC LIMIT $4
;;
SELECT seq FROM "outbox_parked" WHERE topic = $1 AND event_key = $2 AND state <> 'drop' ORDER BY seq DESC LIMIT $3
;;
SELECT seq FROM "outbox_parked" WHERE topic = $1 AND event_key = $2 AND state = 'failed' AND seq < $3 ORDER BY seq DESC LIMIT $4
;;
SELECT seq FROM "outbox_parked" WHERE topic = $1 AND event_key = $2 AND state = 'failed' ORDER BY seq DESC LIMIT $3
;;
SELECT seq FROM "outbox_parked" WHERE topic = $1 AND state = 'failed' AND seq < $2 ORDER BY seq DESC LIMIT $3
;;
SELECT seq FROM "outbox_parked" WHERE topic = $1 AND state = 'failed' ORDER BY seq DESC LIMIT $2
;;
SELECT seq FROM "outbox_scheduled" WHERE seq = ANY($1::text::bigint[]) AND deliver_at <= statement_timestamp() FOR UPDATE SKIP LOCKED
;;
SELECT seq, consumer, message_id, topic, event_key, event_type, headers::text, kafka_topic, kafka_partition, kafka_offset, attempts, error, to_char(parked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), state, octet_length(payload), NULL FROM "inbox_parked" ORDER BY seq LIMIT $1
;;
SELECT seq, consumer, message_id, topic, event_key, event_type, headers::text, kafka_topic, kafka_partition, kafka_offset, attempts, error, to_char(parked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), state, octet_length(payload), NULL FROM "inbox_parked" WHERE (message_id = $1) ORDER BY seq LIMIT $2
;;
SELECT seq, consumer, message_id, topic, event_key, event_type, headers::text, kafka_topic, kafka_partition, kafka_offset, attempts, error, to_char(parked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), state, octet_length(payload), NULL FROM "inbox_parked" WHERE (seq = $1 OR seq = $2 OR seq = $3 OR seq = $4) ORDER BY seq FOR UPDATE
;;
SELECT seq, consumer, message_id, topic, event_key, event_type, headers::text, kafka_topic, kafka_partition, kafka_offset, attempts, error, to_char(parked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), state, octet_length(payload), NULL FROM "inbox_parked" WHERE (seq = $1 OR seq = $2) ORDER BY seq FOR UPDATE
;;
SELECT seq, consumer, message_id, topic, event_key, event_type, headers::text, kafka_topic, kafka_partition, kafka_offset, attempts, error, to_char(parked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), state, octet_length(payload), NULL FROM "inbox_parked" WHERE consumer = $1 AND (message_id = $2) ORDER BY seq LIMIT $3
;;
SELECT seq, consumer, message_id, topic, event_key, event_type, headers::text, kafka_topic, kafka_partition, kafka_offset, attempts, error, to_char(parked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), state, octet_length(payload), substring(payload FROM 1 FOR 10) FROM "inbox_parked" WHERE (message_id = $1) ORDER BY seq
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
SELECT seq, event_id::text, topic, event_key, to_char(deliver_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
FROM "outbox_scheduled" WHERE deliver_at <= statement_timestamp() AND deliver_at >= $1::text::timestamptz AND (deliver_at > $2::text::timestamptz OR seq > 1) AND (event_key IS NULL OR (topic, event_key) NOT IN (($3, …))) ORDER BY deliver_at, seq LIMIT 10
;;
SELECT seq, event_id::text, topic, event_key, to_char(deliver_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
FROM "outbox_scheduled" WHERE deliver_at <= statement_timestamp() AND deliver_at >= $1::text::timestamptz AND (deliver_at > $2::text::timestamptz OR seq > 10) AND (event_key IS NULL OR (topic, event_key) NOT IN (($3, …))) ORDER BY deliver_at, seq LIMIT 10
;;
SELECT seq, event_id::text, topic, event_key, to_char(deliver_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
FROM "outbox_scheduled" WHERE deliver_at <= statement_timestamp() AND deliver_at >= $1::text::timestamptz AND (deliver_at > $2::text::timestamptz OR seq > 11) AND (event_key IS NULL OR (topic, event_key) NOT IN (($3, …))) ORDER BY deliver_at, seq LIMIT 2
;;
SELECT seq, event_id::text, topic, event_key, to_char(deliver_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
FROM "outbox_scheduled" WHERE deliver_at <= statement_timestamp() AND deliver_at >= $1::text::timestamptz AND (deliver_at > $2::text::timestamptz OR seq > 3) AND (event_key IS NULL OR (topic, event_key) NOT IN (($3, …))) ORDER BY deliver_at, seq LIMIT 2
;;
SELECT seq, event_id::text, topic, event_key, to_char(deliver_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
FROM "outbox_scheduled" WHERE deliver_at <= statement_timestamp() ORDER BY deliver_at, seq LIMIT 10
;;
SELECT seq, event_id::text, topic, event_key, to_char(deliver_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
FROM "outbox_scheduled" WHERE deliver_at <= statement_timestamp() ORDER BY deliver_at, seq LIMIT 100
;;
SELECT seq, event_id::text, topic, event_key, to_char(deliver_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
FROM "outbox_scheduled" WHERE deliver_at <= statement_timestamp() ORDER BY deliver_at, seq LIMIT 1000
;;
SELECT seq, event_id::text, topic, event_key, to_char(deliver_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
FROM "outbox_scheduled" WHERE deliver_at <= statement_timestamp() ORDER BY deliver_at, seq LIMIT 2
;;
SELECT seq, event_id::text, topic, event_key, to_char(deliver_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
FROM "outbox_scheduled" WHERE deliver_at <= statement_timestamp() ORDER BY deliver_at, seq LIMIT 300
;;
SELECT seq, event_id::text, topic, event_key, to_char(deliver_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
FROM "outbox_scheduled" WHERE deliver_at <= statement_timestamp() ORDER BY deliver_at, seq LIMIT 50
;;
SELECT seq, id, event_id FROM "outbox_parked" WHERE seq > $1 AND seq <= $2 AND id BETWEEN $3 AND $4
;;
SELECT seq, id, event_id, topic, event_key FROM "outbox_parked"
WHERE state IN ('retry', 'drop') AND state = 'drop' ORDER BY seq LIMIT $1 FOR UPDATE
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers::text, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), to_char(parked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), attempts, error, state, overtaken, octet_length(payload), NULL FROM "outbox_parked" ORDER BY seq LIMIT $1
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers::text, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), to_char(parked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), attempts, error, state, overtaken, octet_length(payload), NULL FROM "outbox_parked" WHERE (event_id = $1::uuid OR seq = $2 OR seq = $3) ORDER BY seq LIMIT $4
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers::text, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), to_char(parked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), attempts, error, state, overtaken, octet_length(payload), NULL FROM "outbox_parked" WHERE (event_id = $1::uuid) ORDER BY seq LIMIT $2
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers::text, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), to_char(parked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), attempts, error, state, overtaken, octet_length(payload), NULL FROM "outbox_parked" WHERE (seq = $1 OR seq = $2 OR event_id = $3::uuid) ORDER BY seq LIMIT $4
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers::text, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), to_char(parked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), attempts, error, state, overtaken, octet_length(payload), NULL FROM "outbox_parked" WHERE (seq = $1 OR seq = $2 OR seq = $3) ORDER BY seq FOR UPDATE
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers::text, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), to_char(parked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), attempts, error, state, overtaken, octet_length(payload), NULL FROM "outbox_parked" WHERE (seq = $1 OR seq = $2) ORDER BY seq FOR UPDATE
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers::text, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), to_char(parked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), attempts, error, state, overtaken, octet_length(payload), NULL FROM "outbox_parked" WHERE (seq = $1) ORDER BY seq FOR UPDATE
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers::text, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), to_char(parked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), attempts, error, state, overtaken, octet_length(payload), NULL FROM "outbox_parked" WHERE state = $1 ORDER BY seq LIMIT $2
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers::text, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), to_char(parked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), attempts, error, state, overtaken, octet_length(payload), NULL FROM "outbox_parked" WHERE topic = $1 AND event_key = $2 ORDER BY seq LIMIT $3
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers::text, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), to_char(parked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), attempts, error, state, overtaken, octet_length(payload), NULL FROM "outbox_parked" WHERE topic = $1 ORDER BY seq LIMIT $2
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers::text, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), to_char(parked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), attempts, error, state, overtaken, octet_length(payload), substring(payload FROM 1 FOR 10) FROM "outbox_parked" WHERE (event_id = $1::uuid) ORDER BY seq
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers::text, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), to_char(parked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), attempts, error, state, overtaken, octet_length(payload), substring(payload FROM 1 FOR 10) FROM "outbox_parked" WHERE (seq = $1) ORDER BY seq
;;
SELECT seq, id, event_id, topic, event_key, event_type, headers::text, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), to_char(parked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), attempts, error, state, overtaken, octet_length(payload), substring(payload FROM 1 FOR 4) FROM "outbox_parked" WHERE (event_id = $1::uuid) ORDER BY seq
;;
SELECT seq, message_id, topic, event_key, event_type, headers::text, payload, payload IS NOT NULL, kafka_topic, kafka_partition, kafka_offset, attempts, error, state FROM "inbox_parked" WHERE consumer = $1 AND topic = $2 AND event_key = $3 AND seq >= $4 AND seq <= $5 ORDER BY seq
;;
SELECT seq, overtaken, attempts, id, uuid_send(event_id), topic, event_key, event_type, payload, headers::text, created_at
FROM "outbox_parked" WHERE state = 'retry'
  AND seq = ANY (ARRAY(SELECT v::bigint FROM json_array_elements_text($1::json) AS a (v))) ORDER BY seq
;;
SELECT seq, state FROM "inbox_parked" AS p WHERE consumer = $1 AND topic = $2 AND event_key = $3 AND seq < $4 AND EXISTS (SELECT 1 FROM "inbox_blocked" AS b WHERE b.consumer = p.consumer AND b.topic = p.topic AND b.event_key = p.event_key) AND seq NOT IN (1) ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM "inbox_parked" AS p WHERE consumer = $1 AND topic = $2 AND event_key = $3 AND seq < $4 AND EXISTS (SELECT 1 FROM "inbox_blocked" AS b WHERE b.consumer = p.consumer AND b.topic = p.topic AND b.event_key = p.event_key) AND state <> 'drop' ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM "inbox_parked" AS p WHERE consumer = $1 AND topic = $2 AND event_key = $3 AND seq < $4 AND EXISTS (SELECT 1 FROM "inbox_blocked" AS b WHERE b.consumer = p.consumer AND b.topic = p.topic AND b.event_key = p.event_key) ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM "inbox_parked" WHERE consumer = $1 AND topic = $2 AND event_key = $3 AND seq > $4 ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM "outbox_parked" WHERE state = 'failed' AND overtaken ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM "outbox_parked" WHERE topic = $1 AND event_key = $2 AND seq < $3 AND state <> 'drop' AND seq NOT IN (1) ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM "outbox_parked" WHERE topic = $1 AND event_key = $2 AND seq < $3 AND state <> 'drop' ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM "outbox_parked" WHERE topic = $1 AND event_key = $2 AND seq < $3 AND state = 'failed' AND seq NOT IN (1) ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM "outbox_parked" WHERE topic = $1 AND event_key = $2 AND seq < $3 AND state = 'failed' ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM "outbox_parked" WHERE topic = $1 AND event_key = $2 AND state = 'failed' AND overtaken ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM "outbox_parked" WHERE topic = $1 AND event_key = $2 ORDER BY seq LIMIT 1
;;
SELECT seq, state FROM "outbox_parked" WHERE topic = $1 AND state = 'failed' AND overtaken ORDER BY seq LIMIT 1
;;
SELECT seq, state, attempts, COALESCE(octet_length(payload), 0) + octet_length(headers::text), message_id, CASE WHEN state = 'drop' THEN error ELSE '' END FROM "inbox_parked" WHERE consumer = $1 AND topic = $2 AND event_key = $3 AND seq > $4 AND state IN ('retry', 'drop') ORDER BY seq LIMIT $5
;;
SELECT seq, state, attempts, COALESCE(octet_length(payload), 0) + octet_length(headers::text), message_id, CASE WHEN state = 'drop' THEN error ELSE '' END FROM "inbox_parked" WHERE consumer = $1 AND topic = $2 AND event_key = $3 AND seq > $4 ORDER BY seq LIMIT $5
;;
SELECT seq, topic, event_key FROM "inbox_parked" WHERE consumer = $1 AND state IN ('retry', 'drop') AND seq > $2 ORDER BY seq LIMIT $3
;;
SELECT seq, topic, event_key, overtaken FROM "outbox_parked"
WHERE state IN ('retry', 'drop') AND state = 'retry' AND seq > $1 ORDER BY seq LIMIT $2
;;
SELECT set_config('lock_timeout', $1::text, true)
;;
SELECT source, owner, (owner IS NULL OR expires_at IS NULL OR expires_at < clock_timestamp()
  OR expires_at > clock_timestamp() + 2 * greatest(0::bigint, coalesce((hints->>'ttl_us')::bigint, 0)) * interval '1 microsecond') FROM "outbox_leases" WHERE id = 1 FOR UPDATE
;;
SELECT source, source_id::text, owner, epoch,
	to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
	(extract(epoch FROM expires_at - clock_timestamp()) * 1000000)::bigint, mode, hints->>'halted', (hints->>'ttl_us')::bigint, hints->>'blind', hints->>'outage'
FROM "outbox_leases" WHERE id = 1
;;
SELECT source, source_id::text, owner, epoch, (extract(epoch FROM expires_at - clock_timestamp()) * 1000000)::bigint,
	mode, hints->>'halted', (hints->>'ttl_us')::bigint, hints->>'position', hints->>'topics', hints->>'blind', hints->>'outage'
FROM "none_outbox_leases" WHERE id = 1
;;
SELECT source, source_id::text, owner, epoch, (extract(epoch FROM expires_at - clock_timestamp()) * 1000000)::bigint,
	mode, hints->>'halted', (hints->>'ttl_us')::bigint, hints->>'position', hints->>'topics', hints->>'blind', hints->>'outage'
FROM "outbox_leases" WHERE id = 1
;;
SELECT source, source_id::text, owner, epoch, (extract(epoch FROM expires_at - clock_timestamp()) * 1000000)::bigint,
	mode, hints->>'halted', (hints->>'ttl_us')::bigint, hints->>'position', hints->>'topics', hints->>'blind', hints->>'outage'
FROM "shop_outbox_leases" WHERE id = 1
;;
SELECT source, source_id::text, pg_is_in_recovery() FROM "outbox_leases" WHERE id = 1
;;
SELECT source_id FROM "outbox_leases" WHERE id = 1
;;
SELECT state, count(*) FROM (SELECT state FROM "outbox_parked" LIMIT 200000) AS counted GROUP BY state
;;
SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
;;
SELECT to_char(delivered_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM "outbox_archive" ORDER BY delivered_at LIMIT 1
;;
SELECT to_date(right(c.relname, 8), 'YYYYMMDD')::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = $1::text::regclass AND c.relname ~ $2::text
  AND to_date(right(c.relname, 8), 'YYYYMMDD') + 1 <= (now() AT TIME ZONE 'UTC' - $3 * interval '1 microsecond')::date
  AND to_date(right(c.relname, 8), 'YYYYMMDD') < (now() AT TIME ZONE 'UTC')::date ORDER BY 1
;;
SELECT to_date(right(c.relname, 8), 'YYYYMMDD')::text || ' ' || (extract(epoch FROM now() AT TIME ZONE 'UTC' - to_date(right(c.relname, 8), 'YYYYMMDD')) * 1000000)::bigint FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = $1::text::regclass AND c.relname ~ $2::text ORDER BY 1
;;
SELECT topic, count(*), max(size) FROM (SELECT topic, 0 AS size FROM "outbox_archive" ORDER BY seq DESC LIMIT 2000) AS sample GROUP BY topic
;;
SELECT topic, count(*), max(size) FROM (SELECT topic, 0 AS size FROM "outbox_scheduled" ORDER BY seq LIMIT 2000) AS sample GROUP BY topic
;;
SELECT topic, count(*), max(size) FROM (SELECT topic, coalesce(octet_length(payload), 0) + coalesce(octet_length(event_key), 0) + octet_length(headers::text) AS size FROM "none_outbox_events" ORDER BY id LIMIT 2000) AS sample GROUP BY topic
;;
SELECT topic, count(*), max(size) FROM (SELECT topic, coalesce(octet_length(payload), 0) + coalesce(octet_length(event_key), 0) + octet_length(headers::text) AS size FROM "outbox_events" ORDER BY id DESC LIMIT 2000) AS sample GROUP BY topic
;;
SELECT topic, count(*), max(size) FROM (SELECT topic, coalesce(octet_length(payload), 0) + coalesce(octet_length(event_key), 0) + octet_length(headers::text) AS size FROM "outbox_events" ORDER BY id LIMIT 2000) AS sample GROUP BY topic
;;
SELECT topic, count(*), max(size) FROM (SELECT topic, coalesce(octet_length(payload), 0) + coalesce(octet_length(event_key), 0) + octet_length(headers::text) AS size FROM "outbox_parked" ORDER BY seq LIMIT 2000) AS sample GROUP BY topic
;;
SELECT topic, count(*), max(size) FROM (SELECT topic, coalesce(octet_length(payload), 0) + coalesce(octet_length(event_key), 0) + octet_length(headers::text) AS size FROM "shop_outbox_events" ORDER BY id LIMIT 2000) AS sample GROUP BY topic
;;
SELECT topic, event_key, event_type, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), to_char(deliver_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM "outbox_scheduled" WHERE event_id = $1::text::uuid ORDER BY seq
;;
SELECT topic, event_key, max(seq) FROM (
  SELECT topic, event_key, seq FROM "outbox_parked"
  WHERE event_key IS NOT NULL AND (topic, event_key, seq) > ($1::text, $2::text, $3::bigint)
  ORDER BY topic, event_key, seq LIMIT $4
) AS part GROUP BY topic, event_key ORDER BY topic, event_key
;;
SELECT version, name, to_char(applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM "messages"."shop_postroom_schema" ORDER BY version
;;
SELECT version, name, to_char(applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM "none_postroom_schema" ORDER BY version
;;
SELECT version, name, to_char(applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM "postroom_schema" ORDER BY version
;;
SELECT version, name, to_char(applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM "shop_postroom_schema" ORDER BY version
;;
SELECT w.pid, (extract(epoch FROM clock_timestamp() - w.query_start) * 1000000)::bigint, b.pid,
  COALESCE(a.usename, ''), COALESCE(a.application_name, ''), COALESCE(host(a.client_addr), ''), COALESCE(a.state, ''),
  COALESCE((extract(epoch FROM clock_timestamp() - a.xact_start) * 1000000)::bigint, 0)
FROM pg_stat_activity AS w CROSS JOIN LATERAL unnest(pg_blocking_pids(w.pid)) AS b (pid) LEFT JOIN pg_stat_activity AS a ON a.pid = b.pid
WHERE w.datname = current_database() AND w.wait_event_type = 'Lock' AND (position($1::text IN w.query) > 0 OR position($2::text IN w.query) > 0 OR position($3::text IN w.query) > 0)
ORDER BY 2 DESC, 8 DESC LIMIT 20
;;
SELECT what, (extract(epoch FROM clock_timestamp() - since) * 1000000)::bigint FROM (
	SELECT 'session ' || pid || ' (user ' || coalesce(usename, '') || ')', xact_start FROM pg_stat_activity
	WHERE datname = current_database() AND coalesce(backend_xmin, backend_xid) IS NOT NULL
		AND pid <> pg_backend_pid() AND backend_type IS DISTINCT FROM 'autovacuum worker'
	UNION ALL SELECT 'the prepared transaction ' || gid, prepared FROM pg_prepared_xacts WHERE database = current_database()
) AS open (what, since) ORDER BY since LIMIT 1
;;
SET LOCAL lock_timeout = 15000
;;
SET LOCAL lock_timeout = 30000
;;
SET LOCAL lock_timeout = 500
;;
SET LOCAL statement_timeout = 1000
;;
SET LOCAL statement_timeout = 30000
;;
SET LOCAL statement_timeout = 60000
;;
TRUNCATE "inbox_events_d‹day›"
;;
UPDATE "inbox_attempts" SET attempts = attempts - 1 WHERE consumer = $1 AND message_id = $2 AND attempts > 0
;;
UPDATE "inbox_attempts" SET last_error = $1 WHERE consumer = $2 AND message_id = $3
;;
UPDATE "inbox_offsets" AS o SET applied_offset = GREATEST(COALESCE(o.applied_offset, v.applied), v.applied), updated_at = clock_timestamp() FROM (SELECT CAST($1 AS text) AS topic, CAST($2 AS bigint) AS part, CAST($3 AS text) AS id, CAST($4 AS bigint) AS applied, CAST($5 AS bigint) AS noted UNION ALL SELECT $6, $7, $8, $9, $10 UNION ALL SELECT $11, $12, $13, $14, $15 UNION ALL SELECT $16, $17, $18, $19, $20 UNION ALL SELECT $21, $22, $23, $24, $25 UNION ALL SELECT $26, $27, $28, $29, $30 UNION ALL SELECT $31, $32, $33, $34, $35 UNION ALL SELECT $36, $37, $38, $39, $40 UNION ALL SELECT $41, $42, $43, $44, $45 UNION ALL SELECT $46, $47, $48, $49, $50 UNION ALL SELECT $51, $52, $53, $54, $55 UNION ALL SELECT $56, $57, $58, $59, $60 UNION ALL SELECT $61, $62, $63, $64, $65 UNION ALL SELECT $66, $67, $68, $69, $70 UNION ALL SELECT $71, $72, $73, $74, $75 UNION ALL SELECT $76, $77, $78, $79, $80 UNION ALL SELECT $81, $82, $83, $84, $85 UNION ALL SELECT $86, $87, $88, $89, $90 UNION ALL SELECT $91, $92, $93, $94, $95 UNION ALL SELECT $96, $97, $98, $99, $100 UNION ALL SELECT $101, $102, $103, $104, $105 UNION ALL SELECT $106, $107, $108, $109, $110 UNION ALL SELECT $111, $112, $113, $114, $115 UNION ALL SELECT $116, $117, $118, $119, $120 UNION ALL SELECT $121, $122, $123, $124, $125 UNION ALL SELECT $126, $127, $128, $129, $130 UNION ALL SELECT $131, $132, $133, $134, $135 UNION ALL SELECT $136, $137, $138, $139, $140 UNION ALL SELECT $141, $142, $143, $144, $145 UNION ALL SELECT $146, $147, $148, $149, $150 UNION ALL SELECT $151, $152, $153, $154, $155 UNION ALL SELECT $156, $157, $158, $159, $160 UNION ALL SELECT $161, $162, $163, $164, $165 UNION ALL SELECT $166, $167, $168, $169, $170 UNION ALL SELECT $171, $172, $173, $174, $175 UNION ALL SELECT $176, $177, $178, $179, $180 UNION ALL SELECT $181, $182, $183, $184, $185 UNION ALL SELECT $186, $187, $188, $189, $190 UNION ALL SELECT $191, $192, $193, $194, $195 UNION ALL SELECT $196, $197, $198, $199, $200 UNION ALL SELECT $201, $202, $203, $204, $205 UNION ALL SELECT $206, $207, $208, $209, $210 UNION ALL SELECT $211, $212, $213, $214, $215 UNION ALL SELECT $216, $217, $218, $219, $220 UNION ALL SELECT $221, $222, $223, $224, $225 UNION ALL SELECT $226, $227, $228, $229, $230 UNION ALL SELECT $231, $232, $233, $234, $235 UNION ALL SELECT $236, $237, $238, $239, $240 UNION ALL SELECT $241, $242, $243, $244, $245 UNION ALL SELECT $246, $247, $248, $249, $250 UNION ALL SELECT $251, $252, $253, $254, $255 UNION ALL SELECT $256, $257, $258, $259, $260 UNION ALL SELECT $261, $262, $263, $264, $265 UNION ALL SELECT $266, $267, $268, $269, $270 UNION ALL SELECT $271, $272, $273, $274, $275 UNION ALL SELECT $276, $277, $278, $279, $280 UNION ALL SELECT $281, $282, $283, $284, $285 UNION ALL SELECT $286, $287, $288, $289, $290 UNION ALL SELECT $291, $292, $293, $294, $295 UNION ALL SELECT $296, $297, $298, $299, $300 UNION ALL SELECT $301, $302, $303, $304, $305 UNION ALL SELECT $306, $307, $308, $309, $310 UNION ALL SELECT $311, $312, $313, $314, $315 UNION ALL SELECT $316, $317, $318, $319, $320 UNION ALL SELECT $321, $322, $323, $324, $325 UNION ALL SELECT $326, $327, $328, $329, $330 UNION ALL SELECT $331, $332, $333, $334, $335 UNION ALL SELECT $336, $337, $338, $339, $340 UNION ALL SELECT $341, $342, $343, $344, $345 UNION ALL SELECT $346, $347, $348, $349, $350 UNION ALL SELECT $351, $352, $353, $354, $355 UNION ALL SELECT $356, $357, $358, $359, $360 UNION ALL SELECT $361, $362, $363, $364, $365 UNION ALL SELECT $366, $367, $368, $369, $370 UNION ALL SELECT $371, $372, $373, $374, $375 UNION ALL SELECT $376, $377, $378, $379, $380 UNION ALL SELECT $381, $382, $383, $384, $385 UNION ALL SELECT $386, $387, $388, $389, $390 UNION ALL SELECT $391, $392, $393, $394, $395 UNION ALL SELECT $396, $397, $398, $399, $400 UNION ALL SELECT $401, $402, $403, $404, $405 UNION ALL SELECT $406, $407, $408, $409, $410 UNION ALL SELECT $411, $412, $413, $414, $415 UNION ALL SELECT $416, $417, $418, $419, $420 UNION ALL SELECT $421, $422, $423, $424, $425 UNION ALL SELECT $426, $427, $428, $429, $430 UNION ALL SELECT $431, $432, $433, $434, $435 UNION ALL SELECT $436, $437, $438, $439, $440 UNION ALL SELECT $441, $442, $443, $444, $445 UNION ALL SELECT $446, $447, $448, $449, $450 UNION ALL SELECT $451, $452, $453, $454, $455 UNION ALL SELECT $456, $457, $458, $459, $460 UNION ALL SELECT $461, $462, $463, $464, $465 UNION ALL SELECT $466, $467, $468, $469, $470 UNION ALL SELECT $471, $472, $473, $474, $475 UNION ALL SELECT $476, $477, $478, $479, $480 UNION ALL SELECT $481, $482, $483, $484, $485 UNION ALL SELECT $486, $487, $488, $489, $490 UNION ALL SELECT $491, $492, $493, $494, $495 UNION ALL SELECT $496, $497, $498, $499, $500 UNION ALL SELECT $501, $502, $503, $504, $505 UNION ALL SELECT $506, $507, $508, $509, $510 UNION ALL SELECT $511, $512, $513, $514, $515 UNION ALL SELECT $516, $517, $518, $519, $520 UNION ALL SELECT $521, $522, $523, $524, $525 UNION ALL SELECT $526, $527, $528, $529, $530 UNION ALL SELECT $531, $532, $533, $534, $535 UNION ALL SELECT $536, $537, $538, $539, $540 UNION ALL SELECT $541, $542, $543, $544, $545 UNION ALL SELECT $546, $547, $548, $549, $550 UNION ALL SELECT $551, $552, $553, $554, $555 UNION ALL SELECT $556, $557, $558, $559, $560 UNION ALL SELECT $561, $562, $563, $564, $565 UNION ALL SELECT $566, $567, $568, $569, $570 UNION ALL SELECT $571, $572, $573, $574, $575 UNION ALL SELECT $576, $577, $578, $579, $580 UNION ALL SELECT $581, $582, $583, $584, $585 UNION ALL SELECT $586, $587, $588, $589, $590 UNION ALL SELECT $591, $592, $593, $594, $595 UNION ALL SELECT $596, $597, $598, $599, $600 UNION ALL SELECT $601, $602, $603, $604, $605 UNION ALL SELECT $606, $607, $608, $609, $610 UNION ALL SELECT $611, $612, $613, $614, $615 UNION ALL SELECT $616, $617, $618, $619, $620 UNION ALL SELECT $621, $622, $623, $624, $625 UNION ALL SELECT $626, $627, $628, $629, $630 UNION ALL SELECT $631, $632, $633, $634, $635 UNION ALL SELECT $636, $637, $638, $639, $640 UNION ALL SELECT $641, $642, $643, $644, $645 UNION ALL SELECT $646, $647, $648, $649, $650 UNION ALL SELECT $651, $652, $653, $654, $655 UNION ALL SELECT $656, $657, $658, $659, $660 UNION ALL SELECT $661, $662, $663, $664, $665 UNION ALL SELECT $666, $667, $668, $669, $670 UNION ALL SELECT $671, $672, $673, $674, $675 UNION ALL SELECT $676, $677, $678, $679, $680 UNION ALL SELECT $681, $682, $683, $684, $685 UNION ALL SELECT $686, $687, $688, $689, $690 UNION ALL SELECT $691, $692, $693, $694, $695 UNION ALL SELECT $696, $697, $698, $699, $700 UNION ALL SELECT $701, $702, $703, $704, $705 UNION ALL SELECT $706, $707, $708, $709, $710 UNION ALL SELECT $711, $712, $713, $714, $715 UNION ALL SELECT $716, $717, $718, $719, $720 UNION ALL SELECT $721, $722, $723, $724, $725 UNION ALL SELECT $726, $727, $728, $729, $730 UNION ALL SELECT $731, $732, $733, $734, $735 UNION ALL SELECT $736, $737, $738, $739, $740 UNION ALL SELECT $741, $742, $743, $744, $745 UNION ALL SELECT $746, $747, $748, $749, $750 UNION ALL SELECT $751, $752, $753, $754, $755 UNION ALL SELECT $756, $757, $758, $759, $760 UNION ALL SELECT $761, $762, $763, $764, $765 UNION ALL SELECT $766, $767, $768, $769, $770 UNION ALL SELECT $771, $772, $773, $774, $775 UNION ALL SELECT $776, $777, $778, $779, $780 UNION ALL SELECT $781, $782, $783, $784, $785 UNION ALL SELECT $786, $787, $788, $789, $790 UNION ALL SELECT $791, $792, $793, $794, $795 UNION ALL SELECT $796, $797, $798, $799, $800 UNION ALL SELECT $801, $802, $803, $804, $805 UNION ALL SELECT $806, $807, $808, $809, $810 UNION ALL SELECT $811, $812, $813, $814, $815 UNION ALL SELECT $816, $817, $818, $819, $820 UNION ALL SELECT $821, $822, $823, $824, $825 UNION ALL SELECT $826, $827, $828, $829, $830 UNION ALL SELECT $831, $832, $833, $834, $835 UNION ALL SELECT $836, $837, $838, $839, $840 UNION ALL SELECT $841, $842, $843, $844, $845 UNION ALL SELECT $846, $847, $848, $849, $850 UNION ALL SELECT $851, $852, $853, $854, $855 UNION ALL SELECT $856, $857, $858, $859, $860 UNION ALL SELECT $861, $862, $863, $864, $865 UNION ALL SELECT $866, $867, $868, $869, $870 UNION ALL SELECT $871, $872, $873, $874, $875 UNION ALL SELECT $876, $877, $878, $879, $880 UNION ALL SELECT $881, $882, $883, $884, $885 UNION ALL SELECT $886, $887, $888, $889, $890 UNION ALL SELECT $891, $892, $893, $894, $895 UNION ALL SELECT $896, $897, $898, $899, $900 UNION ALL SELECT $901, $902, $903, $904, $905 UNION ALL SELECT $906, $907, $908, $909, $910 UNION ALL SELECT $911, $912, $913, $914, $915 UNION ALL SELECT $916, $917, $918, $919, $920 UNION ALL SELECT $921, $922, $923, $924, $925 UNION ALL SELECT $926, $927, $928, $929, $930 UNION ALL SELECT $931, $932, $933, $934, $935 UNION ALL SELECT $936, $937, $938, $939, $940 UNION ALL SELECT $941, $942, $943, $944, $945 UNION ALL SELECT $946, $947, $948, $949, $950 UNION ALL SELECT $951, $952, $953, $954, $955 UNION ALL SELECT $956, $957, $958, $959, $960 UNION ALL SELECT $961, $962, $963, $964, $965 UNION ALL SELECT $966, $967, $968, $969, $970 UNION ALL SELECT $971, $972, $973, $974, $975 UNION ALL SELECT $976, $977, $978, $979, $980 UNION ALL SELECT $981, $982, $983, $984, $985 UNION ALL SELECT $986, $987, $988, $989, $990 UNION ALL SELECT $991, $992, $993, $994, $995 UNION ALL SELECT $996, $997, $998, $999, $1000 UNION ALL SELECT $1001, $1002, $1003, $1004, $1005 UNION ALL SELECT $1006, $1007, $1008, $1009, $1010 UNION ALL SELECT $1011, $1012, $1013, $1014, $1015 UNION ALL SELECT $1016, $1017, $1018, $1019, $1020 UNION ALL SELECT $1021, $1022, $1023, $1024, $1025 UNION ALL SELECT $1026, $1027, $1028, $1029, $1030 UNION ALL SELECT $1031, $1032, $1033, $1034, $1035 UNION ALL SELECT $1036, $1037, $1038, $1039, $1040 UNION ALL SELECT $1041, $1042, $1043, $1044, $1045 UNION ALL SELECT $1046, $1047, $1048, $1049, $1050 UNION ALL SELECT $1051, $1052, $1053, $1054, $1055 UNION ALL SELECT $1056, $1057, $1058, $1059, $1060 UNION ALL SELECT $1061, $1062, $1063, $1064, $1065 UNION ALL SELECT $1066, $1067, $1068, $1069, $1070 UNION ALL SELECT $1071, $1072, $1073, $1074, $1075 UNION ALL SELECT $1076, $1077, $1078, $1079, $1080 UNION ALL SELECT $1081, $1082, $1083, $1084, $1085 UNION ALL SELECT $1086, $1087, $1088, $1089, $1090 UNION ALL SELECT $1091, $1092, $1093, $1094, $1095 UNION ALL SELECT $1096, $1097, $1098, $1099, $1100 UNION ALL SELECT $1101, $1102, $1103, $1104, $1105 UNION ALL SELECT $1106, $1107, $1108, $1109, $1110 UNION ALL SELECT $1111, $1112, $1113, $1114, $1115 UNION ALL SELECT $1116, $1117, $1118, $1119, $1120 UNION ALL SELECT $1121, $1122, $1123, $1124, $1125 UNION ALL SELECT $1126, $1127, $1128, $1129, $1130 UNION ALL SELECT $1131, $1132, $1133, $1134, $1135 UNION ALL SELECT $1136, $1137, $1138, $1139, $1140 UNION ALL SELECT $1141, $1142, $1143, $1144, $1145 UNION ALL SELECT $1146, $1147, $1148, $1149, $1150 UNION ALL SELECT $1151, $1152, $1153, $1154, $1155 UNION ALL SELECT $1156, $1157, $1158, $1159, $1160 UNION ALL SELECT $1161, $1162, $1163, $1164, $1165 UNION ALL SELECT $1166, $1167, $1168, $1169, $1170 UNION ALL SELECT $1171, $1172, $1173, $1174, $1175 UNION ALL SELECT $1176, $1177, $1178, $1179, $1180 UNION ALL SELECT $1181, $1182, $1183, $1184, $1185 UNION ALL SELECT $1186, $1187, $1188, $1189, $1190 UNION ALL SELECT $1191, $1192, $1193, $1194, $1195 UNION ALL SELECT $1196, $1197, $1198, $1199, $1200 UNION ALL SELECT $1201, $1202, $1203, $1204, $1205 UNION ALL SELECT $1206, $1207, $1208, $1209, $1210 UNION ALL SELECT $1211, $1212, $1213, $1214, $1215 UNION ALL SELECT $1216, $1217, $1218, $1219, $1220 UNION ALL SELECT $1221, $1222, $1223, $1224, $1225 UNION ALL SELECT $1226, $1227, $1228, $1229, $1230 UNION ALL SELECT $1231, $1232, $1233, $1234, $1235 UNION ALL SELECT $1236, $1237, $1238, $1239, $1240 UNION ALL SELECT $1241, $1242, $1243, $1244, $1245 UNION ALL SELECT $1246, $1247, $1248, $1249, $1250 UNION ALL SELECT $1251, $1252, $1253, $1254, $1255 UNION ALL SELECT $1256, $1257, $1258, $1259, $1260 UNION ALL SELECT $1261, $1262, $1263, $1264, $1265 UNION ALL SELECT $1266, $1267, $1268, $1269, $1270 UNION ALL SELECT $1271, $1272, $1273, $1274, $1275 UNION ALL SELECT $1276, $1277, $1278, $1279, $1280 UNION ALL SELECT $1281, $1282, $1283, $1284, $1285 UNION ALL SELECT $1286, $1287, $1288, $1289, $1290 UNION ALL SELECT $1291, $1292, $1293, $1294, $1295 UNION ALL SELECT $1296, $1297, $1298, $1299, $1300 UNION ALL SELECT $1301, $1302, $1303, $1304, $1305 UNION ALL SELECT $1306, $1307, $1308, $1309, $1310 UNION ALL SELECT $1311, $1312, $1313, $1314, $1315 UNION ALL SELECT $1316, $1317, $1318, $1319, $1320 UNION ALL SELECT $1321, $1322, $1323, $1324, $1325 UNION ALL SELECT $1326, $1327, $1328, $1329, $1330 UNION ALL SELECT $1331, $1332, $1333, $1334, $1335 UNION ALL SELECT $1336, $1337, $1338, $1339, $1340 UNION ALL SELECT $1341, $1342, $1343, $1344, $1345 UNION ALL SELECT $1346, $1347, $1348, $1349, $1350 UNION ALL SELECT $1351, $1352, $1353, $1354, $1355 UNION ALL SELECT $1356, $1357, $1358, $1359, $1360 UNION ALL SELECT $1361, $1362, $1363, $1364, $1365 UNION ALL SELECT $1366, $1367, $1368, $1369, $1370 UNION ALL SELECT $1371, $1372, $1373, $1374, $1375 UNION ALL SELECT $1376, $1377, $1378, $1379, $1380 UNION ALL SELECT $1381, $1382, $1383, $1384, $1385 UNION ALL SELECT $1386, $1387, $1388, $1389, $1390 UNION ALL SELECT $1391, $1392, $1393, $1394, $1395 UNION ALL SELECT $1396, $1397, $1398, $1399, $1400 UNION ALL SELECT $1401, $1402, $1403, $1404, $1405 UNION ALL SELECT $1406, $1407, $1408, $1409, $1410 UNION ALL SELECT $1411, $1412, $1413, $1414, $1415 UNION ALL SELECT $1416, $1417, $1418, $1419, $1420 UNION ALL SELECT $1421, $1422, $1423, $1424, $1425 UNION ALL SELECT $1426, $1427, $1428, $1429, $1430 UNION ALL SELECT $1431, $1432, $1433, $1434, $1435 UNION ALL SELECT $1436, $1437, $1438, $1439, $1440 UNION ALL SELECT $1441, $1442, $1443, $1444, $1445 UNION ALL SELECT $1446, $1447, $1448, $1449, $1450 UNION ALL SELECT $1451, $1452, $1453, $1454, $1455 UNION ALL SELECT $1456, $1457, $1458, $1459, $1460 UNION ALL SELECT $1461, $1462, $1463, $1464, $1465 UNION ALL SELECT $1466, $1467, $1468, $1469, $1470 UNION ALL SELECT $1471, $1472, $1473, $1474, $1475 UNION ALL SELECT $1476, $1477, $1478, $1479, $1480 UNION ALL SELECT $1481, $1482, $1483, $1484, $1485 UNION ALL SELECT $1486, $1487, $1488, $1489, $1490 UNION ALL SELECT $1491, $1492, $1493, $1494, $1495 UNION ALL SELECT $1496, $1497, $1498, $1499, $1500 UNION ALL SELECT $1501, $1502, $1503, $1504, $1505 UNION ALL SELECT $1506, $1507, $1508, $1509, $1510 UNION ALL SELECT $1511, $1512, $1513, $1514, $1515 UNION ALL SELECT $1516, $1517, $1518, $1519, $1520 UNION ALL SELECT $1521, $1522, $1523, $1524, $1525 UNION ALL SELECT $1526, $1527, $1528, $1529, $1530 UNION ALL SELECT $1531, $1532, $1533, $1534, $1535 UNION ALL SELECT $1536, $1537, $1538, $1539, $1540 UNION ALL SELECT $1541, $1542, $1543, $1544, $1545 UNION ALL SELECT $1546, $1547, $1548, $1549, $1550 UNION ALL SELECT $1551, $1552, $1553, $1554, $1555 UNION ALL SELECT $1556, $1557, $1558, $1559, $1560 UNION ALL SELECT $1561, $1562, $1563, $1564, $1565 UNION ALL SELECT $1566, $1567, $1568, $1569, $1570 UNION ALL SELECT $1571, $1572, $1573, $1574, $1575 UNION ALL SELECT $1576, $1577, $1578, $1579, $1580 UNION ALL SELECT $1581, $1582, $1583, $1584, $1585 UNION ALL SELECT $1586, $1587, $1588, $1589, $1590 UNION ALL SELECT $1591, $1592, $1593, $1594, $1595 UNION ALL SELECT $1596, $1597, $1598, $1599, $1600 UNION ALL SELECT $1601, $1602, $1603, $1604, $1605 UNION ALL SELECT $1606, $1607, $1608, $1609, $1610 UNION ALL SELECT $1611, $1612, $1613, $1614, $1615 UNION ALL SELECT $1616, $1617, $1618, $1619, $1620 UNION ALL SELECT $1621, $1622, $1623, $1624, $1625 UNION ALL SELECT $1626, $1627, $1628, $1629, $1630 UNION ALL SELECT $1631, $1632, $1633, $1634, $1635 UNION ALL SELECT $1636, $1637, $1638, $1639, $1640 UNION ALL SELECT $1641, $1642, $1643, $1644, $1645 UNION ALL SELECT $1646, $1647, $1648, $1649, $1650 UNION ALL SELECT $1651, $1652, $1653, $1654, $1655 UNION ALL SELECT $1656, $1657, $1658, $1659, $1660 UNION ALL SELECT $1661, $1662, $1663, $1664, $1665 UNION ALL SELECT $1666, $1667, $1668, $1669, $1670 UNION ALL SELECT $1671, $1672, $1673, $1674, $1675 UNION ALL SELECT $1676, $1677, $1678, $1679, $1680 UNION ALL SELECT $1681, $1682, $1683, $1684, $1685 UNION ALL SELECT $1686, $1687, $1688, $1689, $1690 UNION ALL SELECT $1691, $1692, $1693, $1694, $1695 UNION ALL SELECT $1696, $1697, $1698, $1699, $1700 UNION ALL SELECT $1701, $1702, $1703, $1704, $1705 UNION ALL SELECT $1706, $1707, $1708, $1709, $1710 UNION ALL SELECT $1711, $1712, $1713, $1714, $1715 UNION ALL SELECT $1716, $1717, $1718, $1719, $1720 UNION ALL SELECT $1721, $1722, $1723, $1724, $1725 UNION ALL SELECT $1726, $1727, $1728, $1729, $1730 UNION ALL SELECT $1731, $1732, $1733, $1734, $1735 UNION ALL SELECT $1736, $1737, $1738, $1739, $1740 UNION ALL SELECT $1741, $1742, $1743, $1744, $1745 UNION ALL SELECT $1746, $1747, $1748, $1749, $1750 UNION ALL SELECT $1751, $1752, $1753, $1754, $1755 UNION ALL SELECT $1756, $1757, $1758, $1759, $1760 UNION ALL SELECT $1761, $1762, $1763, $1764, $1765 UNION ALL SELECT $1766, $1767, $1768, $1769, $1770 UNION ALL SELECT $1771, $1772, $1773, $1774, $1775 UNION ALL SELECT $1776, $1777, $1778, $1779, $1780 UNION ALL SELECT $1781, $1782, $1783, $1784, $1785 UNION ALL SELECT $1786, $1787, $1788, $1789, $1790 UNION ALL SELECT $1791, $1792, $1793, $1794, $1795 UNION ALL SELECT $1796, $1797, $1798, $1799, $1800 UNION ALL SELECT $1801, $1802, $1803, $1804, $1805 UNION ALL SELECT $1806, $1807, $1808, $1809, $1810 UNION ALL SELECT $1811, $1812, $1813, $1814, $1815 UNION ALL SELECT $1816, $1817, $1818, $1819, $1820 UNION ALL SELECT $1821, $1822, $1823, $1824, $1825 UNION ALL SELECT $1826, $1827, $1828, $1829, $1830 UNION ALL SELECT $1831, $1832, $1833, $1834, $1835 UNION ALL SELECT $1836, $1837, $1838, $1839, $1840 UNION ALL SELECT $1841, $1842, $1843, $1844, $1845 UNION ALL SELECT $1846, $1847, $1848, $1849, $1850 UNION ALL SELECT $1851, $1852, $1853, $1854, $1855 UNION ALL SELECT $1856, $1857, $1858, $1859, $1860 UNION ALL SELECT $1861, $1862, $1863, $1864, $1865 UNION ALL SELECT $1866, $1867, $1868, $1869, $1870 UNION ALL SELECT $1871, $1872, $1873, $1874, $1875 UNION ALL SELECT $1876, $1877, $1878, $1879, $1880 UNION ALL SELECT $1881, $1882, $1883, $1884, $1885 UNION ALL SELECT $1886, $1887, $1888, $1889, $1890 UNION ALL SELECT $1891, $1892, $1893, $1894, $1895 UNION ALL SELECT $1896, $1897, $1898, $1899, $1900 UNION ALL SELECT $1901, $1902, $1903, $1904, $1905 UNION ALL SELECT $1906, $1907, $1908, $1909, $1910 UNION ALL SELECT $1911, $1912, $1913, $1914, $1915 UNION ALL SELECT $1916, $1917, $1918, $1919, $1920 UNION ALL SELECT $1921, $1922, $1923, $1924, $1925 UNION ALL SELECT $1926, $1927, $1928, $1929, $1930 UNION ALL SELECT $1931, $1932, $1933, $1934, $1935 UNION ALL SELECT $1936, $1937, $1938, $1939, $1940 UNION ALL SELECT $1941, $1942, $1943, $1944, $1945 UNION ALL SELECT $1946, $1947, $1948, $1949, $1950 UNION ALL SELECT $1951, $1952, $1953, $1954, $1955 UNION ALL SELECT $1956, $1957, $1958, $1959, $1960 UNION ALL SELECT $1961, $1962, $1963, $1964, $1965 UNION ALL SELECT $1966, $1967, $1968, $1969, $1970 UNION ALL SELECT $1971, $1972, $1973, $1974, $1975 UNION ALL SELECT $1976, $1977, $1978, $1979, $1980 UNION ALL SELECT $1981, $1982, $1983, $1984, $1985 UNION ALL SELECT $1986, $1987, $1988, $1989, $1990 UNION ALL SELECT $1991, $1992, $1993, $1994, $1995 UNION ALL SELECT $1996, $1997, $1998, $1999, $2000 UNION ALL SELECT $2001, $2002, $2003, $2004, $2005 UNION ALL SELECT $2006, $2007, $2008, $2009, $2010 UNION ALL SELECT $2011, $2012, $2013, $2014, $2015 UNION ALL SELECT $2016, $2017, $2018, $2019, $2020 UNION ALL SELECT $2021, $2022, $2023, $2024, $2025 UNION ALL SELECT $2026, $2027, $2028, $2029, $2030 UNION ALL SELECT $2031, $2032, $2033, $2034, $2035 UNION ALL SELECT $2036, $2037, $2038, $2039, $2040 UNION ALL SELECT $2041, $2042, $2043, $2044, $2045 UNION ALL SELECT $2046, $2047, $2048, $2049, $2050 UNION ALL SELECT $2051, $2052, $2053, $2054, $2055 UNION ALL SELECT $2056, $2057, $2058, $2059, $2060 UNION ALL SELECT $2061, $2062, $2063, $2064, $2065 UNION ALL SELECT $2066, $2067, $2068, $2069, $2070 UNION ALL SELECT $2071, $2072, $2073, $2074, $2075 UNION ALL SELECT $2076, $2077, $2078, $2079, $2080 UNION ALL SELECT $2081, $2082, $2083, $2084, $2085 UNION ALL SELECT $2086, $2087, $2088, $2089, $2090 UNION ALL SELECT $2091, $2092, $2093, $2094, $2095 UNION ALL SELECT $2096, $2097, $2098, $2099, $2100 UNION ALL SELECT $2101, $2102, $2103, $2104, $2105 UNION ALL SELECT $2106, $2107, $2108, $2109, $2110 UNION ALL SELECT $2111, $2112, $2113, $2114, $2115 UNION ALL SELECT $2116, $2117, $2118, $2119, $2120 UNION ALL SELECT $2121, $2122, $2123, $2124, $2125 UNION ALL SELECT $2126, $2127, $2128, $2129, $2130 UNION ALL SELECT $2131, $2132, $2133, $2134, $2135 UNION ALL SELECT $2136, $2137, $2138, $2139, $2140 UNION ALL SELECT $2141, $2142, $2143, $2144, $2145 UNION ALL SELECT $2146, $2147, $2148, $2149, $2150 UNION ALL SELECT $2151, $2152, $2153, $2154, $2155 UNION ALL SELECT $2156, $2157, $2158, $2159, $2160 UNION ALL SELECT $2161, $2162, $2163, $2164, $2165 UNION ALL SELECT $2166, $2167, $2168, $2169, $2170 UNION ALL SELECT $2171, $2172, $2173, $2174, $2175 UNION ALL SELECT $2176, $2177, $2178, $2179, $2180 UNION ALL SELECT $2181, $2182, $2183, $2184, $2185 UNION ALL SELECT $2186, $2187, $2188, $2189, $2190 UNION ALL SELECT $2191, $2192, $2193, $2194, $2195 UNION ALL SELECT $2196, $2197, $2198, $2199, $2200 UNION ALL SELECT $2201, $2202, $2203, $2204, $2205 UNION ALL SELECT $2206, $2207, $2208, $2209, $2210 UNION ALL SELECT $2211, $2212, $2213, $2214, $2215 UNION ALL SELECT $2216, $2217, $2218, $2219, $2220 UNION ALL SELECT $2221, $2222, $2223, $2224, $2225 UNION ALL SELECT $2226, $2227, $2228, $2229, $2230 UNION ALL SELECT $2231, $2232, $2233, $2234, $2235 UNION ALL SELECT $2236, $2237, $2238, $2239, $2240 UNION ALL SELECT $2241, $2242, $2243, $2244, $2245 UNION ALL SELECT $2246, $2247, $2248, $2249, $2250 UNION ALL SELECT $2251, $2252, $2253, $2254, $2255 UNION ALL SELECT $2256, $2257, $2258, $2259, $2260 UNION ALL SELECT $2261, $2262, $2263, $2264, $2265 UNION ALL SELECT $2266, $2267, $2268, $2269, $2270 UNION ALL SELECT $2271, $2272, $2273, $2274, $2275 UNION ALL SELECT $2276, $2277, $2278, $2279, $2280 UNION ALL SELECT $2281, $2282, $2283, $2284, $2285 UNION ALL SELECT $2286, $2287, $2288, $2289, $2290 UNION ALL SELECT $2291, $2292, $2293, $2294, $2295 UNION ALL SELECT $2296, $2297, $2298, $2299, $2300 UNION ALL SELECT $2301, $2302, $2303, $2304, $2305 UNION ALL SELECT $2306, $2307, $2308, $2309, $2310 UNION ALL SELECT $2311, $2312, $2313, $2314, $2315 UNION ALL SELECT $2316, $2317, $2318, $2319, $2320 UNION ALL SELECT $2321, $2322, $2323, $2324, $2325 UNION ALL SELECT $2326, $2327, $2328, $2329, $2330 UNION ALL SELECT $2331, $2332, $2333, $2334, $2335 UNION ALL SELECT $2336, $2337, $2338, $2339, $2340 UNION ALL SELECT $2341, $2342, $2343, $2344, $2345 UNION ALL SELECT $2346, $2347, $2348, $2349, $2350 UNION ALL SELECT $2351, $2352, $2353, $2354, $2355 UNION ALL SELECT $2356, $2357, $2358, $2359, $2360 UNION ALL SELECT $2361, $2362, $2363, $2364, $2365 UNION ALL SELECT $2366, $2367, $2368, $2369, $2370 UNION ALL SELECT $2371, $2372, $2373, $2374, $2375 UNION ALL SELECT $2376, $2377, $2378, $2379, $2380 UNION ALL SELECT $2381, $2382, $2383, $2384, $2385 UNION ALL SELECT $2386, $2387, $2388, $2389, $2390 UNION ALL SELECT $2391, $2392, $2393, $2394, $2395 UNION ALL SELECT $2396, $2397, $2398, $2399, $2400 UNION ALL SELECT $2401, $2402, $2403, $2404, $2405 UNION ALL SELECT $2406, $2407, $2408, $2409, $2410 UNION ALL SELECT $2411, $2412, $2413, $2414, $2415 UNION ALL SELECT $2416, $2417, $2418, $2419, $2420 UNION ALL SELECT $2421, $2422, $2423, $2424, $2425 UNION ALL SELECT $2426, $2427, $2428, $2429, $2430 UNION ALL SELECT $2431, $2432, $2433, $2434, $2435 UNION ALL SELECT $2436, $2437, $2438, $2439, $2440 UNION ALL SELECT $2441, $2442, $2443, $2444, $2445 UNION ALL SELECT $2446, $2447, $2448, $2449, $2450 UNION ALL SELECT $2451, $2452, $2453, $2454, $2455 UNION ALL SELECT $2456, $2457, $2458, $2459, $2460 UNION ALL SELECT $2461, $2462, $2463, $2464, $2465 UNION ALL SELECT $2466, $2467, $2468, $2469, $2470 UNION ALL SELECT $2471, $2472, $2473, $2474, $2475 UNION ALL SELECT $2476, $2477, $2478, $2479, $2480 UNION ALL SELECT $2481, $2482, $2483, $2484, $2485 UNION ALL SELECT $2486, $2487, $2488, $2489, $2490 UNION ALL SELECT $2491, $2492, $2493, $2494, $2495 UNION ALL SELECT $2496, …) AS v WHERE o.consumer = $2501 AND o.kafka_group = $2502 AND o.kafka_topic = v.topic AND o.kafka_partition = v.part AND COALESCE(o.topic_id, '') = v.id AND COALESCE(o.applied_offset, 0) >= v.noted
;;
UPDATE "inbox_offsets" AS o SET applied_offset = GREATEST(COALESCE(o.applied_offset, v.applied), v.applied), updated_at = clock_timestamp() FROM (SELECT CAST($1 AS text) AS topic, CAST($2 AS bigint) AS part, CAST($3 AS text) AS id, CAST($4 AS bigint) AS applied, CAST($5 AS bigint) AS noted UNION ALL SELECT $6, $7, $8, $9, $10 UNION ALL SELECT $11, $12, $13, $14, $15 UNION ALL SELECT $16, $17, $18, $19, $20 UNION ALL SELECT $21, $22, $23, $24, $25 UNION ALL SELECT $26, $27, $28, $29, $30 UNION ALL SELECT $31, $32, $33, $34, $35 UNION ALL SELECT $36, $37, $38, $39, $40 UNION ALL SELECT $41, $42, $43, $44, $45 UNION ALL SELECT $46, $47, $48, $49, $50 UNION ALL SELECT $51, $52, $53, $54, $55 UNION ALL SELECT $56, $57, $58, $59, $60 UNION ALL SELECT $61, $62, $63, $64, $65 UNION ALL SELECT $66, $67, $68, $69, $70 UNION ALL SELECT $71, $72, $73, $74, $75 UNION ALL SELECT $76, $77, $78, $79, $80 UNION ALL SELECT $81, $82, $83, $84, $85 UNION ALL SELECT $86, $87, $88, $89, $90 UNION ALL SELECT $91, $92, $93, $94, $95 UNION ALL SELECT $96, $97, $98, $99, $100 UNION ALL SELECT $101, $102, $103, $104, $105 UNION ALL SELECT $106, $107, $108, $109, $110 UNION ALL SELECT $111, $112, $113, $114, $115 UNION ALL SELECT $116, $117, $118, $119, $120 UNION ALL SELECT $121, $122, $123, $124, $125 UNION ALL SELECT $126, $127, $128, $129, $130 UNION ALL SELECT $131, $132, $133, $134, $135 UNION ALL SELECT $136, $137, $138, $139, $140 UNION ALL SELECT $141, $142, $143, $144, $145 UNION ALL SELECT $146, $147, $148, $149, $150 UNION ALL SELECT $151, $152, $153, $154, $155 UNION ALL SELECT $156, $157, $158, $159, $160 UNION ALL SELECT $161, $162, $163, $164, $165 UNION ALL SELECT $166, $167, $168, $169, $170 UNION ALL SELECT $171, $172, $173, $174, $175 UNION ALL SELECT $176, $177, $178, $179, $180 UNION ALL SELECT $181, $182, $183, $184, $185 UNION ALL SELECT $186, $187, $188, $189, $190 UNION ALL SELECT $191, $192, $193, $194, $195 UNION ALL SELECT $196, $197, $198, $199, $200 UNION ALL SELECT $201, $202, $203, $204, $205 UNION ALL SELECT $206, $207, $208, $209, $210 UNION ALL SELECT $211, $212, $213, $214, $215 UNION ALL SELECT $216, $217, $218, $219, $220 UNION ALL SELECT $221, $222, $223, $224, $225 UNION ALL SELECT $226, $227, $228, $229, $230 UNION ALL SELECT $231, $232, $233, $234, $235 UNION ALL SELECT $236, $237, $238, $239, $240 UNION ALL SELECT $241, $242, $243, $244, $245 UNION ALL SELECT $246, $247, $248, $249, $250 UNION ALL SELECT $251, $252, $253, $254, $255 UNION ALL SELECT $256, $257, $258, $259, $260 UNION ALL SELECT $261, $262, $263, $264, $265 UNION ALL SELECT $266, $267, $268, $269, $270 UNION ALL SELECT $271, $272, $273, $274, $275 UNION ALL SELECT $276, $277, $278, $279, $280 UNION ALL SELECT $281, $282, $283, $284, $285 UNION ALL SELECT $286, $287, $288, $289, $290 UNION ALL SELECT $291, $292, $293, $294, $295 UNION ALL SELECT $296, $297, $298, $299, $300 UNION ALL SELECT $301, $302, $303, $304, $305 UNION ALL SELECT $306, $307, $308, $309, $310 UNION ALL SELECT $311, $312, $313, $314, $315 UNION ALL SELECT $316, $317, $318, $319, $320 UNION ALL SELECT $321, $322, $323, $324, $325 UNION ALL SELECT $326, $327, $328, $329, $330 UNION ALL SELECT $331, $332, $333, $334, $335 UNION ALL SELECT $336, $337, $338, $339, $340 UNION ALL SELECT $341, $342, $343, $344, $345 UNION ALL SELECT $346, $347, $348, $349, $350 UNION ALL SELECT $351, $352, $353, $354, $355 UNION ALL SELECT $356, $357, $358, $359, $360 UNION ALL SELECT $361, $362, $363, $364, $365 UNION ALL SELECT $366, $367, $368, $369, $370 UNION ALL SELECT $371, $372, $373, $374, $375 UNION ALL SELECT $376, $377, $378, $379, $380 UNION ALL SELECT $381, $382, $383, $384, $385 UNION ALL SELECT $386, $387, $388, $389, $390 UNION ALL SELECT $391, $392, $393, $394, $395 UNION ALL SELECT $396, $397, $398, $399, $400 UNION ALL SELECT $401, $402, $403, $404, $405 UNION ALL SELECT $406, $407, $408, $409, $410 UNION ALL SELECT $411, $412, $413, $414, $415 UNION ALL SELECT $416, $417, $418, $419, $420 UNION ALL SELECT $421, $422, $423, $424, $425 UNION ALL SELECT $426, $427, $428, $429, $430 UNION ALL SELECT $431, $432, $433, $434, $435 UNION ALL SELECT $436, $437, $438, $439, $440 UNION ALL SELECT $441, $442, $443, $444, $445 UNION ALL SELECT $446, $447, $448, $449, $450 UNION ALL SELECT $451, $452, $453, $454, $455 UNION ALL SELECT $456, $457, $458, $459, $460 UNION ALL SELECT $461, $462, $463, $464, $465 UNION ALL SELECT $466, $467, $468, $469, $470 UNION ALL SELECT $471, $472, $473, $474, $475 UNION ALL SELECT $476, $477, $478, $479, $480 UNION ALL SELECT $481, $482, $483, $484, $485 UNION ALL SELECT $486, $487, $488, $489, $490 UNION ALL SELECT $491, $492, $493, $494, $495 UNION ALL SELECT $496, $497, $498, $499, $500 UNION ALL SELECT $501, $502, $503, $504, $505 UNION ALL SELECT $506, $507, $508, $509, $510 UNION ALL SELECT $511, $512, $513, $514, $515 UNION ALL SELECT $516, $517, $518, $519, $520 UNION ALL SELECT $521, $522, $523, $524, $525 UNION ALL SELECT $526, $527, $528, $529, $530 UNION ALL SELECT $531, $532, $533, $534, $535 UNION ALL SELECT $536, $537, $538, $539, $540 UNION ALL SELECT $541, $542, $543, $544, $545 UNION ALL SELECT $546, $547, $548, $549, $550 UNION ALL SELECT $551, $552, $553, $554, $555 UNION ALL SELECT $556, $557, $558, $559, $560 UNION ALL SELECT $561, $562, $563, $564, $565 UNION ALL SELECT $566, $567, $568, $569, $570 UNION ALL SELECT $571, $572, $573, $574, $575 UNION ALL SELECT $576, $577, $578, $579, $580 UNION ALL SELECT $581, $582, $583, $584, $585 UNION ALL SELECT $586, $587, $588, $589, $590 UNION ALL SELECT $591, $592, $593, $594, $595 UNION ALL SELECT $596, $597, $598, $599, $600 UNION ALL SELECT $601, $602, $603, $604, $605 UNION ALL SELECT $606, $607, $608, $609, $610 UNION ALL SELECT $611, $612, $613, $614, $615 UNION ALL SELECT $616, $617, $618, $619, $620 UNION ALL SELECT $621, $622, $623, $624, $625 UNION ALL SELECT $626, $627, $628, $629, $630 UNION ALL SELECT $631, $632, $633, $634, $635 UNION ALL SELECT $636, $637, $638, $639, $640 UNION ALL SELECT $641, $642, $643, $644, $645 UNION ALL SELECT $646, $647, $648, $649, $650 UNION ALL SELECT $651, $652, $653, $654, $655 UNION ALL SELECT $656, $657, $658, $659, $660 UNION ALL SELECT $661, $662, $663, $664, $665 UNION ALL SELECT $666, $667, $668, $669, $670 UNION ALL SELECT $671, $672, $673, $674, $675 UNION ALL SELECT $676, $677, $678, $679, $680 UNION ALL SELECT $681, $682, $683, $684, $685 UNION ALL SELECT $686, $687, $688, $689, $690 UNION ALL SELECT $691, $692, $693, $694, $695 UNION ALL SELECT $696, $697, $698, $699, $700 UNION ALL SELECT $701, $702, $703, $704, $705 UNION ALL SELECT $706, $707, $708, $709, $710 UNION ALL SELECT $711, $712, $713, $714, $715 UNION ALL SELECT $716, $717, $718, $719, $720 UNION ALL SELECT $721, $722, $723, $724, $725 UNION ALL SELECT $726, $727, $728, $729, $730 UNION ALL SELECT $731, $732, $733, $734, $735 UNION ALL SELECT $736, $737, $738, $739, $740 UNION ALL SELECT $741, $742, $743, $744, $745 UNION ALL SELECT $746, $747, $748, $749, $750 UNION ALL SELECT $751, $752, $753, $754, $755 UNION ALL SELECT $756, $757, $758, $759, $760 UNION ALL SELECT $761, $762, $763, $764, $765 UNION ALL SELECT $766, $767, $768, $769, $770 UNION ALL SELECT $771, $772, $773, $774, $775 UNION ALL SELECT $776, $777, $778, $779, $780 UNION ALL SELECT $781, $782, $783, $784, $785 UNION ALL SELECT $786, $787, $788, $789, $790 UNION ALL SELECT $791, $792, $793, $794, $795 UNION ALL SELECT $796, $797, $798, $799, $800 UNION ALL SELECT $801, $802, $803, $804, $805 UNION ALL SELECT $806, $807, $808, $809, $810 UNION ALL SELECT $811, $812, $813, $814, $815 UNION ALL SELECT $816, $817, $818, $819, $820 UNION ALL SELECT $821, $822, $823, $824, $825 UNION ALL SELECT $826, $827, $828, $829, $830 UNION ALL SELECT $831, $832, $833, $834, $835 UNION ALL SELECT $836, $837, $838, $839, $840 UNION ALL SELECT $841, $842, $843, $844, $845 UNION ALL SELECT $846, $847, $848, $849, $850 UNION ALL SELECT $851, $852, $853, $854, $855 UNION ALL SELECT $856, $857, $858, $859, $860 UNION ALL SELECT $861, $862, $863, $864, $865 UNION ALL SELECT $866, $867, $868, $869, $870 UNION ALL SELECT $871, $872, $873, $874, $875 UNION ALL SELECT $876, $877, $878, $879, $880 UNION ALL SELECT $881, $882, $883, $884, $885 UNION ALL SELECT $886, $887, $888, $889, $890 UNION ALL SELECT $891, $892, $893, $894, $895 UNION ALL SELECT $896, $897, $898, $899, $900 UNION ALL SELECT $901, $902, $903, $904, $905 UNION ALL SELECT $906, $907, $908, $909, $910 UNION ALL SELECT $911, $912, $913, $914, $915 UNION ALL SELECT $916, $917, $918, $919, $920 UNION ALL SELECT $921, $922, $923, $924, $925 UNION ALL SELECT $926, $927, $928, $929, $930 UNION ALL SELECT $931, $932, $933, $934, $935 UNION ALL SELECT $936, $937, $938, $939, $940 UNION ALL SELECT $941, $942, $943, $944, $945 UNION ALL SELECT $946, $947, $948, $949, $950 UNION ALL SELECT $951, $952, $953, $954, $955 UNION ALL SELECT $956, $957, $958, $959, $960 UNION ALL SELECT $961, $962, $963, $964, $965 UNION ALL SELECT $966, $967, $968, $969, $970 UNION ALL SELECT $971, $972, $973, $974, $975 UNION ALL SELECT $976, $977, $978, $979, $980 UNION ALL SELECT $981, $982, $983, $984, $985 UNION ALL SELECT $986, $987, $988, $989, $990 UNION ALL SELECT $991, $992, $993, $994, $995 UNION ALL SELECT $996, $997, $998, $999, $1000 UNION ALL SELECT $1001, $1002, $1003, $1004, $1005 UNION ALL SELECT $1006, $1007, $1008, $1009, $1010 UNION ALL SELECT $1011, …) AS v WHERE o.consumer = $1016 AND o.kafka_group = $1017 AND o.kafka_topic = v.topic AND o.kafka_partition = v.part AND COALESCE(o.topic_id, '') = v.id AND COALESCE(o.applied_offset, 0) >= v.noted
;;
UPDATE "inbox_offsets" AS o SET applied_offset = GREATEST(COALESCE(o.applied_offset, v.applied), v.applied), updated_at = clock_timestamp() FROM (SELECT CAST($1 AS text) AS topic, CAST($2 AS bigint) AS part, CAST($3 AS text) AS id, CAST($4 AS bigint) AS applied, CAST($5 AS bigint) AS noted UNION ALL SELECT $6, …) AS v WHERE o.consumer = $11 AND o.kafka_group = $12 AND o.kafka_topic = v.topic AND o.kafka_partition = v.part AND COALESCE(o.topic_id, '') = v.id AND COALESCE(o.applied_offset, 0) >= v.noted
;;
UPDATE "inbox_offsets" AS o SET applied_offset = GREATEST(COALESCE(o.applied_offset, v.applied), v.applied), updated_at = clock_timestamp() FROM (SELECT CAST($1 AS text) AS topic, CAST($2 AS bigint) AS part, CAST($3 AS text) AS id, CAST($4 AS bigint) AS applied, CAST($5 AS bigint) AS noted) AS v WHERE o.consumer = $6 AND o.kafka_group = $7 AND o.kafka_topic = v.topic AND o.kafka_partition = v.part AND COALESCE(o.topic_id, '') = v.id AND COALESCE(o.applied_offset, 0) >= v.noted
;;
UPDATE "inbox_offsets" SET kafka_group = $1, topic_id = $2, applied_offset = $3, next_offset = NULL, epoch = epoch + 1, updated_at = clock_timestamp() WHERE consumer = $4 AND kafka_topic = $5 AND kafka_partition = $6 AND COALESCE(kafka_group, '') = $7 AND COALESCE(topic_id, '') = $8
;;
UPDATE "inbox_offsets" SET kafka_group = $1, topic_id = $2, applied_offset = GREATEST(COALESCE(applied_offset, $3), COALESCE($4, applied_offset)), next_offset = NULL, epoch = epoch + 1, updated_at = clock_timestamp() WHERE consumer = $5 AND kafka_topic = $6 AND kafka_partition = $7 AND COALESCE(kafka_group, '') = $8 AND COALESCE(topic_id, '') = $9
;;
UPDATE "inbox_offsets" SET kafka_group = $1, topic_id = $2, applied_offset = GREATEST(COALESCE(applied_offset, $3), COALESCE($4, applied_offset)), updated_at = clock_timestamp() WHERE consumer = $5 AND kafka_topic = $6 AND kafka_partition = $7 AND COALESCE(kafka_group, '') = $8 AND COALESCE(topic_id, '') = $9
;;
UPDATE "inbox_offsets" SET next_offset = $1, updated_at = clock_timestamp() WHERE consumer = $2 AND kafka_topic = $3 AND kafka_partition = $4 AND epoch = $5 AND COALESCE(next_offset, -1) BETWEEN $6 AND $7
;;
UPDATE "inbox_parked" AS p SET state = 'retry' FROM json_array_elements_text($1::json) AS a (v) WHERE p.seq = a.v::bigint AND p.state IN ('failed', 'blocked', 'drop')
;;
UPDATE "inbox_parked" SET error = $1 WHERE consumer = $2 AND seq = $3
;;
UPDATE "inbox_parked" SET state = 'blocked' WHERE consumer = $1 AND topic = $2 AND event_key = $3 AND seq > $4 AND state = 'retry'
;;
UPDATE "inbox_parked" SET state = 'drop', error = left($1::text || error, 4000) WHERE state IN ('failed', 'blocked', 'retry')
;;
UPDATE "inbox_parked" SET state = 'drop', error = left($1::text || error, 4000) WHERE topic = $2 AND event_key = $3 AND state IN ('failed', 'blocked', 'retry')
;;
UPDATE "inbox_parked" SET state = 'failed', attempts = attempts + 1 WHERE consumer = $1 AND seq = $2 AND state = $3
;;
UPDATE "inbox_parked" SET state = 'retry' WHERE (state = 'failed' OR seq IN (SELECT head FROM (SELECT min(seq) AS head FROM "inbox_parked" WHERE event_key IS NOT NULL GROUP BY consumer, topic, event_key) AS heads)) AND state IN ('failed', 'blocked')
;;
UPDATE "inbox_parked" SET state = 'retry' WHERE consumer = $1 AND seq = $2 AND state = 'blocked'
;;
UPDATE "inbox_parked" SET state = 'retry' WHERE topic = $1 AND event_key = $2 AND (state = 'failed' OR seq IN (SELECT head FROM (SELECT min(seq) AS head FROM "inbox_parked" WHERE event_key IS NOT NULL GROUP BY consumer, topic, event_key) AS heads)) AND state IN ('failed', 'blocked')
;;
UPDATE "inbox_parked" SET state = 'retry', attempts = attempts - 1 WHERE consumer = $1 AND seq = $2 AND state = 'failed' AND attempts > 0
;;
UPDATE "inbox_parked" SET state = CASE WHEN seq = $1 THEN 'failed' ELSE state END, attempts = 1 WHERE consumer = $2 AND topic = $3 AND event_key = $4 AND seq >= $5 AND seq <= $6 AND attempts = 0 AND state IN ('retry', 'blocked')
;;
UPDATE "inbox_parked" SET state = CASE WHEN state = 'failed' THEN 'retry' ELSE state END, attempts = 0 WHERE consumer = $1 AND topic = $2 AND event_key = $3 AND seq >= $4 AND seq <= $5 AND attempts = 1
;;
UPDATE "inbox_replica_rows" SET deleted_at = clock_timestamp() WHERE replica = $1 AND row_key = $2
;;
UPDATE "inbox_replica_runs" SET finished_at = clock_timestamp() WHERE replica = $1 AND run_id <= $2 AND finished_at IS NULL
;;
UPDATE "inbox_replica_runs" SET sent = $1, started_at = $2::text::timestamptz WHERE replica = $3 AND run_id = $4
;;
UPDATE "messages"."shop_postroom_schema_lock" SET expires_at = clock_timestamp() + interval '30000000 microseconds' WHERE id = 1 AND owner = '‹process›'
;;
UPDATE "messages"."shop_postroom_schema_lock" SET owner = '‹process›', expires_at = clock_timestamp() + interval '30000000 microseconds' WHERE id = 1 AND (owner IS NULL OR expires_at IS NULL OR expires_at < clock_timestamp() OR expires_at > clock_timestamp() + interval '60000000 microseconds')
;;
UPDATE "messages"."shop_postroom_schema_lock" SET owner = NULL, expires_at = NULL WHERE id = 1 AND owner = '‹process›'
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
  OR expires_at > clock_timestamp() + 2 * greatest(3600000000::bigint, coalesce((hints->>'ttl_us')::bigint, 0)) * interval '1 microsecond'))
;;
UPDATE "outbox_leases"
SET owner = $1, epoch = epoch + 1, mode = coalesce(mode, $2), expires_at = clock_timestamp() + $3::bigint * interval '1 microsecond',
    hints = (hints - 'halted' - 'blind' - 'outage') || jsonb_build_object('ttl_us', $3::bigint)
WHERE id = 1 AND (owner = $4 OR (owner IS NULL OR expires_at IS NULL OR expires_at < clock_timestamp()
  OR expires_at > clock_timestamp() + 2 * greatest(60000000::bigint, coalesce((hints->>'ttl_us')::bigint, 0)) * interval '1 microsecond'))
;;
UPDATE "outbox_leases" SET hints = jsonb_set(hints, ARRAY['blind'], to_jsonb($1::text)) WHERE id = 1
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
UPDATE "outbox_leases" SET mode = $1 WHERE id = 1
;;
UPDATE "outbox_leases" SET owner = NULL, expires_at = NULL, hints = hints - 'heir' WHERE id = 1 AND owner = $1 AND epoch = $2
;;
UPDATE "outbox_leases" SET owner = NULL, expires_at = NULL, hints = hints || '{"heir": "‹uuid›"}'::jsonb WHERE id = 1 AND owner = $1 AND epoch = $2
;;
UPDATE "outbox_leases" SET source = $1 WHERE id = 1
;;
UPDATE "outbox_leases" SET source = $1 WHERE id = 1 AND source IS NULL
;;
UPDATE "outbox_leases" SET source_id = $1, hints = hints - 'position' - 'halted' WHERE id = 1
;;
UPDATE "outbox_parked" AS p SET attempts = p.attempts + 1, error = a.v->>2, overtaken = p.overtaken OR a.v->>3 = '1',
    state = CASE p.state WHEN 'drop' THEN 'drop' ELSE 'failed' END
FROM json_array_elements($1::json) AS a (v) WHERE p.seq = (a.v->>0)::bigint AND p.event_id = (a.v->>1)::uuid
;;
UPDATE "outbox_parked" AS p SET overtaken = true FROM json_array_elements_text($1::json) AS a (v)
WHERE p.seq = a.v::bigint
;;
UPDATE "outbox_parked" AS p SET state = 'blocked'
FROM json_array_elements($1::json) AS a (v)
JOIN "outbox_parked" AS r ON r.seq = (a.v->>0)::bigint AND r.event_id = (a.v->>1)::uuid
WHERE p.topic = r.topic AND p.event_key = r.event_key AND p.seq > r.seq
  AND p.state IN ('retry', 'drop') AND p.state = 'retry' AND NOT p.overtaken
;;
UPDATE "outbox_parked" AS p SET state = 'drop', error = left($2 || p.error, 4000) FROM json_array_elements_text($1::json) AS a (v) WHERE p.seq = a.v::bigint AND p.state <> 'drop'
;;
UPDATE "outbox_parked" AS p SET state = 'retry' FROM json_array_elements_text($1::json) AS a (v)
WHERE p.seq = a.v::bigint AND p.state = 'blocked'
;;
UPDATE "outbox_parked" AS p SET state = 'retry' FROM json_array_elements_text($1::json) AS a (v) WHERE p.seq = a.v::bigint AND p.state IN ('failed', 'drop')
;;
UPDATE "outbox_parked" AS p SET state = 'retry' FROM json_array_elements_text($1::json) AS a (v) WHERE p.seq = a.v::bigint AND p.state IN ('failed', 'drop') AND NOT p.overtaken
;;
UPDATE "outbox_parked" SET attempts = attempts WHERE seq = 0
;;
UPDATE "postroom_schema_lock" SET expires_at = clock_timestamp() + interval '30000000 microseconds' WHERE id = 1 AND owner = '‹process›'
;;
UPDATE "postroom_schema_lock" SET owner = '‹process›', expires_at = clock_timestamp() + interval '30000000 microseconds' WHERE id = 1 AND (owner IS NULL OR expires_at IS NULL OR expires_at < clock_timestamp() OR expires_at > clock_timestamp() + interval '60000000 microseconds')
;;
UPDATE "postroom_schema_lock" SET owner = NULL, expires_at = NULL WHERE id = 1 AND owner = '‹process›'
;;
WITH done AS (DELETE FROM "inbox_attempts" WHERE consumer = $1 AND message_id = $2 AND COALESCE(pg_current_xact_id_if_assigned() = CAST($3::text AS xid8), false)) SELECT COALESCE(pg_current_xact_id_if_assigned() = CAST($4::text AS xid8), false)
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
WITH moved AS (
  DELETE FROM "outbox_events" AS e USING json_array_elements($1::json) WITH ORDINALITY AS a (v, n)
  WHERE e.id = (a.v->>0)::bigint AND e.event_id = (a.v->>1)::uuid
  AND (SELECT set_config('lock_timeout', '500ms', true)) <> ''
  RETURNING e.*, a.n, a.v->>2 AS state, a.v->>3 AS error, a.v->>4 = '1' AS overtaken
)
INSERT INTO "outbox_parked" (id, event_id, topic, event_key, event_type, payload, headers, created_at, attempts, error, state, overtaken)
SELECT id, event_id, topic, event_key, event_type, payload, headers, created_at,
       CASE state WHEN 'failed' THEN 1 ELSE 0 END, error, state, overtaken
FROM moved ORDER BY n
;;
WITH outbox AS (SELECT oid, relname FROM pg_class WHERE oid IN (to_regclass($1::text), to_regclass($2::text), to_regclass($3::text))), held AS (
	SELECT l.pid, bool_or(l.relation = to_regclass($1::text) AND l.mode = 'RowExclusiveLock' AND l.granted) AS writes,
		coalesce(min(o.relname || ': ' || l.mode) FILTER (WHERE l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')),
			min(o.relname || ': rows') FILTER (WHERE l.mode = 'RowShareLock' AND l.granted AND l.relation = to_regclass($1::text))) AS blocks,
		coalesce(bool_and(NOT l.granted) FILTER (WHERE l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')), false) AS waits
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
;;
WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
before AS (SELECT attempts FROM "inbox_attempts" WHERE consumer = $1 AND message_id = $2),
started AS (
  INSERT INTO "inbox_attempts" AS a (consumer, message_id, attempts) SELECT $1, $2, $3 FROM quick
  ON CONFLICT (consumer, message_id) DO UPDATE SET attempts = EXCLUDED.attempts, started_at = clock_timestamp()
)
SELECT COALESCE((SELECT attempts FROM before), 0), EXISTS (SELECT FROM "inbox_blocked" WHERE consumer = $1)
;;
WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
started AS (
  INSERT INTO "inbox_attempts" AS a (consumer, message_id, attempts)
  SELECT $1, $2, 1 FROM quick WHERE NOT EXISTS (SELECT FROM "inbox_events" WHERE consumer = $1 AND message_id = $2 AND message_day = $6::text::date)
  ON CONFLICT (consumer, message_id) DO UPDATE SET attempts = a.attempts + $3, started_at = clock_timestamp()
  RETURNING a.attempts, a.last_error
)
SELECT (SELECT attempts FROM started), (SELECT last_error FROM started),
  EXISTS (SELECT FROM "inbox_blocked" WHERE consumer = $1 AND topic = $4 AND event_key = $5)
;;
WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
started AS (
  INSERT INTO "inbox_attempts" AS a (consumer, message_id, attempts)
  SELECT $1, $2, 1 FROM quick WHERE NOT EXISTS (SELECT FROM "inbox_events" WHERE consumer = $1 AND message_id = $2)
  ON CONFLICT (consumer, message_id) DO UPDATE SET attempts = a.attempts + $3, started_at = clock_timestamp()
  RETURNING a.attempts, a.last_error
)
SELECT (SELECT attempts FROM started), (SELECT last_error FROM started),
  EXISTS (SELECT FROM "inbox_blocked" WHERE consumer = $1 AND topic = $4 AND event_key = $5)
;;
