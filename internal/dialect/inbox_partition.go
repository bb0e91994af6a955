package dialect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// datedFrom is where days begin; what is before is purged with the undated ids.
const datedFrom = "2000-01-01"

// partitionStorage is the tuning of 00002_inbox.sql: a partitioned table has none itself.
const partitionStorage = "autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0"

// InboxLayout is how inbox_events is made.
type InboxLayout struct {
	Daily bool
	// Owner: this user may make and drop partitions.
	Owner bool
}

// ReadInboxLayout looks at the table; a missing one has no partitions and no owner.
func ReadInboxLayout(ctx context.Context, db Queryer, n Names) (l InboxLayout, err error) {
	if n.Dialect != PostgreSQL {
		return l, nil
	}
	rows, err := db.QueryContext(ctx, "SELECT relkind = 'p', pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass($1::text)", n.Table(InboxEvents))
	if err != nil {
		return l, err
	}
	defer rows.Close()
	if rows.Next() {
		err = rows.Scan(&l.Daily, &l.Owner)
	}
	return l, errors.Join(err, rows.Err())
}

// ErrInboxDaily: the table has daily partitions already.
var ErrInboxDaily = errors.New("the table has daily partitions already")

// PartitionInbox makes inbox_events over, in one transaction, so that it has daily partitions,
// some days ahead and for the last month, and returns how many rows it copied. Writers wait
// meanwhile; lockTimeout bounds how long it waits for them.
func PartitionInbox(ctx context.Context, db *sql.DB, n Names, ahead int, lockTimeout time.Duration) (copied int64, err error) {
	if err := n.Validate(); err != nil {
		return 0, err
	}
	if n.Dialect != PostgreSQL {
		return 0, errors.New("daily partitions: only PostgreSQL has them")
	}
	p := partitioning{names: n, ctx: ctx}
	err = p.inTx(db, lockTimeout, func() error {
		copied = 0
		p.exec("LOCK TABLE {inbox_events} IN ACCESS EXCLUSIVE MODE")
		layout, err := ReadInboxLayout(ctx, p.tx, n)
		if p.err == nil && err == nil && layout.Daily {
			return ErrInboxDaily
		}
		p.exec("ALTER TABLE {inbox_events} RENAME TO " + n.Quote(n.Prefix+inboxBefore))
		p.exec("ALTER INDEX " + n.Table(InboxEvents+"_pkey") + " RENAME TO " + n.Quote(n.Prefix+inboxBefore+"_pkey"))
		p.create()
		for _, day := range p.days(`SELECT DISTINCT message_day::text FROM (SELECT `+messageDayPostgres+` AS message_day FROM {inbox_events_before}) AS d
WHERE message_day > (now() AT TIME ZONE 'UTC')::date - 31 AND message_day < (now() AT TIME ZONE 'UTC')::date
UNION SELECT ((now() AT TIME ZONE 'UTC')::date + d)::text FROM generate_series(0, $1::int) AS d ORDER BY 1`, ahead) {
			p.attach(day)
		}
		if p.err == nil {
			result, err := p.tx.ExecContext(ctx, p.expand(`INSERT INTO {inbox_events} (consumer, message_id, kafka_topic, kafka_partition, kafka_offset, processed_at, message_day)
SELECT consumer, message_id, kafka_topic, kafka_partition, kafka_offset, processed_at, `+messageDayPostgres+` FROM {inbox_events_before}`))
			if p.err = err; err == nil {
				copied, p.err = result.RowsAffected()
			}
		}
		p.exec("DROP TABLE {inbox_events_before}")
		return p.err
	})
	return copied, err
}

// partitioning is one transaction of data definition; after an error nothing more is run.
type partitioning struct {
	names Names
	ctx   context.Context
	tx    *sql.Tx
	err   error
}

// inTx runs do in a transaction that waits for no lock longer than lockTimeout.
func (p *partitioning) inTx(db *sql.DB, lockTimeout time.Duration, do func() error) error {
	// Read committed: what is looked at under a lock must be as of then, and not of the
	// transaction's first statement.
	tx, err := db.BeginTx(p.ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	p.tx, p.err = tx, nil
	if _, err := tx.ExecContext(p.ctx, "SELECT set_config('lock_timeout', $1::text, true)", fmt.Sprintf("%dms", max(lockTimeout.Milliseconds(), 1))); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return tx.Commit()
}

func (p *partitioning) expand(statement string) string {
	return p.names.Expand(statement)
}

func (p *partitioning) exec(statement string) {
	if p.err == nil {
		_, p.err = p.tx.ExecContext(p.ctx, p.expand(statement))
	}
}

func (p *partitioning) days(query string, args ...any) (days []string) {
	if p.err != nil {
		return nil
	}
	days, p.err = textColumn(p.ctx, p.tx, p.expand(query), args...)
	return days
}

func textColumn(ctx context.Context, db Queryer, query string, args ...any) (all []string, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	return all, rows.Err()
}

// create makes the partitioned table, the two partitions that are purged row by row, and the
// table of rules, with the rights and the owner of the table before.
func (p *partitioning) create() {
	p.exec(`CREATE TABLE {inbox_events} (
    consumer        text        COLLATE "C" NOT NULL,
    message_id      text        COLLATE "C" NOT NULL,
    kafka_topic     text        COLLATE "C",
    kafka_partition integer,
    kafka_offset    bigint,
    processed_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Of the message id alone, so that a copy meets its first delivery. No CHECK says so: it
    -- made each INSERT a third slower.
    message_day     date        NOT NULL,
    CONSTRAINT ` + p.names.Quote(p.names.Prefix+"inbox_events_pkey") + ` PRIMARY KEY (consumer, message_id, message_day),
    CONSTRAINT ` + p.names.Quote(p.names.Prefix+"inbox_events_consumer_check") + ` CHECK (octet_length(consumer) BETWEEN 1 AND 100),
    CONSTRAINT ` + p.names.Quote(p.names.Prefix+"inbox_events_message_id_check") + ` CHECK (octet_length(message_id) BETWEEN 1 AND 255),
    CONSTRAINT ` + p.names.Quote(p.names.Prefix+"inbox_events_position_check") + ` CHECK (num_nulls(kafka_topic, kafka_partition, kafka_offset) IN (0, 3))
) PARTITION BY RANGE (message_day)`)
	p.exec("COMMENT ON TABLE {inbox_events} IS 'Postroom: messages that a consumer is done with, by the day of their ids; whole days are dropped'")
	p.exec("CREATE TABLE {inbox_events_undated} PARTITION OF {inbox_events} FOR VALUES FROM (MINVALUE) TO ('" + datedFrom + "') WITH (" + partitionStorage + ")")
	p.exec("CREATE TABLE {inbox_events_strays} PARTITION OF {inbox_events} DEFAULT WITH (" + partitionStorage + ")")
	p.exec(`CREATE TABLE IF NOT EXISTS {inbox_expiry} (
    consumer        text    COLLATE "C" NOT NULL,
    -- '' and -1: the consumer's rows without a position, and its retention.
    kafka_topic     text    COLLATE "C" NOT NULL,
    kafka_partition integer NOT NULL,
    retention       bigint  NOT NULL CHECK (retention > 0), -- microseconds
    -- Rows below it may go; NULL: none of the partition.
    below           bigint,
    told_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (consumer, kafka_topic, kafka_partition)
)`)
	p.exec("COMMENT ON TABLE {inbox_expiry} IS 'Postroom: what each consumer no longer needs of inbox_events; whole days are dropped by it'")
	p.exec(`DO $$
DECLARE grantee text; t text; g record;
BEGIN
  FOREACH t IN ARRAY ARRAY[` + literals(p.names.Table(InboxEvents), p.names.Table(inboxUndated), p.names.Table(inboxStrays), p.names.Table(InboxExpiry)) + `] LOOP
    FOR g IN SELECT a.* FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = ` + literals(p.names.Table(inboxBefore)) + `::regclass AND a.grantee <> c.relowner LOOP
      grantee := CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END;
      EXECUTE format('GRANT %s ON %s TO %s', g.privilege_type, t, grantee) || CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END;
    END LOOP;
    EXECUTE format('ALTER TABLE %s OWNER TO %s', t, (SELECT relowner::regrole FROM pg_class WHERE oid = ` + literals(p.names.Table(inboxBefore)) + `::regclass));
  END LOOP;
END $$`)
}

func literals(names ...string) string {
	for n, name := range names {
		names[n] = "'" + strings.ReplaceAll(name, "'", "''") + "'"
	}
	return strings.Join(names, ", ")
}

// dayTable is the default name of a day's partition.
func dayTable(day string) string { return inboxDay + strings.ReplaceAll(day, "-", "") }

// attach makes a day's partition. ATTACH, and not PARTITION OF, which would lock the whole
// table: writers of other days go on.
func (p *partitioning) attach(day string) {
	table := p.names.Table(dayTable(day))
	p.exec("CREATE TABLE " + table + " (LIKE {inbox_events} INCLUDING DEFAULTS INCLUDING CONSTRAINTS) WITH (" + partitionStorage + ")")
	p.exec("ALTER TABLE {inbox_events} ATTACH PARTITION " + table + " FOR VALUES FROM ('" + day + "') TO (" + literals(nextDay(day)) + ")")
	p.exec(`DO $$ BEGIN EXECUTE format('ALTER TABLE %s OWNER TO %s', ` + literals(table) + `, (SELECT relowner::regrole FROM pg_class WHERE oid = ` + literals(p.names.Table(InboxEvents)) + `::regclass)); END $$`)
}

func nextDay(day string) string {
	at, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return day // PostgreSQL refuses an empty range
	}
	return at.AddDate(0, 0, 1).Format(time.DateOnly)
}
