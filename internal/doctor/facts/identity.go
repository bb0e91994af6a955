package facts

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dialect"
)

// Identity is how outbox_events hands out ids.
type Identity struct {
	// Sequence is PostgreSQL's, as SQL writes it; empty: the ids come from elsewhere.
	Sequence  string
	Generated string // always, by default; auto_increment, autoincrement; empty: not generated
	Cache     int64  // ids that a session takes at once; 0: not told
	Increment int64  // 0: not told
	Cycle     bool

	// Last is the highest id given out, 0 if none was. Not Known: not ours to read.
	Last     int64
	Known    bool
	Highest  int64 // id in outbox_events
	Archived int64 // highest id among the rows parked or archived last

	// Below is how many rows have an id below 1, up to CountLimit; Lowest is the first's.
	Below, Lowest int64
}

// Identity looks at the ids of outbox_events.
func (d *Database) Identity(ctx context.Context) (Identity, error) {
	var i Identity
	// The rows first: a sequence that is read after them is at least as high, whoever
	// inserts in between.
	if err := d.highest(ctx, &i); err != nil {
		return i, err
	}
	err := d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		read := db.For(d.names.Dialect, i.postgres, i.mysql, i.sqlite)
		return read(ctx, tx, d.names)
	})
	return i, err
}

func (i *Identity) postgres(ctx context.Context, tx *sql.Tx, n db.Names) error {
	var sequence, generated sql.NullString
	var cache, increment, last sql.NullInt64
	var cycle sql.NullBool
	err := tx.QueryRowContext(ctx, `SELECT a.attidentity::text, q.name, s.seqcache, s.seqincrement, s.seqcycle,
	CASE WHEN has_sequence_privilege(q.name, 'SELECT, USAGE') THEN coalesce(pg_sequence_last_value(q.name::regclass), 0) END
FROM pg_attribute a CROSS JOIN LATERAL (SELECT pg_get_serial_sequence($1::text, 'id') AS name) q
LEFT JOIN pg_sequence s ON s.seqrelid = q.name::regclass
WHERE a.attrelid = to_regclass($1::text) AND a.attname = 'id'`, n.Table(db.Events)).
		Scan(&generated, &sequence, &cache, &increment, &cycle, &last)
	i.Sequence, i.Generated = sequence.String, map[string]string{"a": "always", "d": "by default"}[generated.String]
	i.Cache, i.Increment, i.Cycle = cache.Int64, increment.Int64, cycle.Bool
	i.Last, i.Known = last.Int64, last.Valid
	return err
}

// mysql asks for one table at a time, by constants: joined, or without them, these views
// make the server open every table of every database, and MariaDB 10.11.19 crashed when
// other sessions dropped some meanwhile.
func (i *Identity) mysql(ctx context.Context, tx *sql.Tx, n db.Names) error {
	var extra string
	err := tx.QueryRowContext(ctx, `SELECT extra FROM information_schema.columns
WHERE table_schema = DATABASE() AND table_name = ? AND column_name = 'id'`, n.Plain(db.Events)).Scan(&extra)
	if err != nil {
		return err
	}
	if strings.Contains(strings.ToLower(extra), "auto_increment") {
		i.Generated = "auto_increment"
	}
	var next sql.NullInt64
	var mariadb bool
	err = tx.QueryRowContext(ctx, `SELECT auto_increment, VERSION() LIKE '%MariaDB%' FROM information_schema.tables
WHERE table_schema = DATABASE() AND table_name = ?`, n.Plain(db.Events)).Scan(&next, &mariadb)
	// MySQL 8 shows a copy that may be a day old; MariaDB's is fresh.
	i.Last, i.Known = next.Int64-1, mariadb && next.Valid
	return err
}

func (i *Identity) sqlite(ctx context.Context, tx *sql.Tx, n db.Names) error {
	var statement string
	err := tx.QueryRowContext(ctx, "SELECT upper(sql) FROM sqlite_master WHERE type = 'table' AND name = ?", n.Plain(db.Events)).Scan(&statement)
	if err != nil || !strings.Contains(statement, "AUTOINCREMENT") {
		return err
	}
	i.Generated = "autoincrement"
	var last sql.NullInt64
	err = tx.QueryRowContext(ctx, "SELECT max(seq) FROM sqlite_sequence WHERE name = ?", n.Plain(db.Events)).Scan(&last)
	i.Last, i.Known = last.Int64, err == nil // NULL before the first row
	return err
}

// highest finds the highest ids that are or were in use. The archive has no index on
// id: the rows written last are enough, for ids that go back do so for all.
func (d *Database) highest(ctx context.Context, i *Identity) error {
	ask := func(statement string) (int64, error) {
		var id sql.NullInt64
		err := d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
			return tx.QueryRowContext(ctx, d.names.Expand(statement)).Scan(&id)
		})
		return id.Int64, err
	}
	var err error
	if i.Highest, err = ask("SELECT max(id) FROM {outbox_events}"); err != nil {
		return err
	}
	if err := d.below(ctx, i); err != nil {
		return err
	}
	for _, table := range []string{db.Parked, db.Archive, db.Drops} {
		id, err := ask("SELECT max(id) FROM (SELECT id FROM {" + table + "} ORDER BY seq DESC LIMIT 1000) AS latest")
		if err != nil && !db.IsMissingTable(err) && !db.IsDenied(err) {
			return err
		}
		i.Archived = max(i.Archived, id)
	}
	return nil
}

// below finds rows whose ids nobody handed out: those begin at 1.
func (d *Database) below(ctx context.Context, i *Identity) error {
	query := fmt.Sprintf("SELECT count(*), min(id) FROM (SELECT id FROM {outbox_events} WHERE id < 1 ORDER BY id LIMIT %d) AS below", dialect.CountLimit)
	return d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var lowest sql.NullInt64
		err := tx.QueryRowContext(ctx, d.names.Expand(query)).Scan(&i.Below, &lowest)
		i.Lowest = lowest.Int64
		return err
	})
}
