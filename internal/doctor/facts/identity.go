package facts

import (
	"context"
	"database/sql"
	"strings"

	"github.com/postroom/postroom/internal/db"
)

// Identity describes how outbox_events assigns ids.
type Identity struct {
	// Sequence is PostgreSQL's sequence, in SQL's spelling. It is empty if the ids have another source.
	Sequence  string
	Generated string // always, by default; auto_increment, autoincrement; empty: not generated
	Cache     int64  // ids that a session takes at once; 0: not known
	Increment int64  // 0: not known
	Cycle     bool

	// Last is the highest id that was assigned, 0 if none was. Known is false if this user may not read it.
	Last     int64
	Known    bool
	Highest  int64 // highest id in outbox_events
	Archived int64 // highest id among the rows that were parked or archived last

	// Below is how many rows have an id below 1, up to CountLimit. Lowest is the lowest of these ids.
	Below, Lowest int64
}

// Identity queries how outbox_events assigns ids.
func (d *Database) Identity(ctx context.Context) (Identity, error) {
	var i Identity
	// Read the rows first. A sequence that is read after them is at least as high, even if somebody inserts
	// in between.
	if err := d.highest(ctx, &i); err != nil {
		return i, err
	}
	err := d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		read := db.For(d.names.Dialect, i.postgres, i.mysql, i.sqlite)
		return read(ctx, tx, d)
	})
	return i, err
}

func (i *Identity) postgres(ctx context.Context, tx *sql.Tx, d *Database) error {
	var sequence, generated sql.NullString
	var cache, increment, last sql.NullInt64
	var cycle sql.NullBool
	err := tx.QueryRowContext(ctx, d.postgres.Sequence, d.names.Table(db.Events)).
		Scan(&generated, &sequence, &cache, &increment, &cycle, &last)
	i.Sequence, i.Generated = sequence.String, map[string]string{"a": "always", "d": "by default"}[generated.String]
	i.Cache, i.Increment, i.Cycle = cache.Int64, increment.Int64, cycle.Bool
	i.Last, i.Known = last.Int64, last.Valid
	return err
}

func (i *Identity) mysql(ctx context.Context, tx *sql.Tx, d *Database) error {
	var extra string
	err := tx.QueryRowContext(ctx, d.mysql.IDColumn, d.names.Plain(db.Events)).Scan(&extra)
	if err != nil {
		return err
	}
	if strings.Contains(strings.ToLower(extra), "auto_increment") {
		i.Generated = "auto_increment"
	}
	var next sql.NullInt64
	var mariadb bool
	err = tx.QueryRowContext(ctx, d.mysql.NextID, d.names.Plain(db.Events)).Scan(&next, &mariadb)
	// MySQL 8 shows a copy that may be a day old. MariaDB shows the current value.
	i.Last, i.Known = next.Int64-1, mariadb && next.Valid
	return err
}

func (i *Identity) sqlite(ctx context.Context, tx *sql.Tx, d *Database) error {
	var statement string
	err := tx.QueryRowContext(ctx, d.sqlite.TableText, d.names.Plain(db.Events)).Scan(&statement)
	if err != nil || !strings.Contains(statement, "AUTOINCREMENT") {
		return err
	}
	i.Generated = "autoincrement"
	var last sql.NullInt64
	err = tx.QueryRowContext(ctx, d.sqlite.LastID, d.names.Plain(db.Events)).Scan(&last)
	i.Last, i.Known = last.Int64, err == nil
	return err
}

// highest finds the highest ids that are used or were used.
func (d *Database) highest(ctx context.Context, i *Identity) error {
	ask := func(statement string) (int64, error) {
		var id sql.NullInt64
		err := d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
			return tx.QueryRowContext(ctx, statement).Scan(&id)
		})
		return id.Int64, err
	}
	var err error
	if i.Highest, err = ask(d.sql.HighestEvent); err != nil {
		return err
	}
	if err := d.below(ctx, i); err != nil {
		return err
	}
	for _, latest := range []string{d.sql.HighestParked, d.sql.HighestArchived, d.sql.HighestDropped} {
		id, err := ask(latest)
		if err != nil && !db.IsMissingTable(err) && !db.IsDenied(err) {
			return err
		}
		i.Archived = max(i.Archived, id)
	}
	return nil
}

// below finds rows whose ids the database did not assign, because its ids begin at 1.
func (d *Database) below(ctx context.Context, i *Identity) error {
	return d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var lowest sql.NullInt64
		err := tx.QueryRowContext(ctx, d.sql.IdsBelow).Scan(&i.Below, &lowest)
		i.Lowest = lowest.Int64
		return err
	})
}
