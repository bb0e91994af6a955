package facts

import (
	"context"
	"database/sql"
	"strings"

	"github.com/postroom/postroom/internal/db"
)

// Order lists what may come between the tables and a writer's INSERT, or the relay's reads and deletes.
type Order struct {
	Intruders []Intruder
	// Hidden is true if the user may not see triggers.
	Hidden bool
}

// Intruder is a trigger, a rule or row-level security on one of the tables.
type Intruder struct {
	Kind  string // trigger, rule, row security
	Table string // default name
	Name  string // in SQL's spelling; empty for row security
	// Applies is true if row security hides rows from this user.
	Applies bool
}

// Order looks for things that may change, hide or reject rows.
func (d *Database) Order(ctx context.Context) (Order, error) {
	var found Order
	err := d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		read := db.For(d.names.Dialect, found.postgres, found.mysql, found.sqlite)
		return read(ctx, tx, d)
	})
	return found, err
}

func (f *Order) add(kind, table string) func(*sql.Rows) error {
	return func(rows *sql.Rows) error {
		i := Intruder{Kind: kind, Table: table}
		err := rows.Scan(&i.Name, &i.Applies)
		f.Intruders = append(f.Intruders, i)
		return err
	}
}

func (f *Order) postgres(ctx context.Context, tx *sql.Tx, d *Database) error {
	for _, table := range []string{db.Events, db.Parked, db.Leases} {
		for kind, query := range map[string]string{
			"trigger":      d.sql.Triggers,
			"rule":         d.postgres.Rules,
			"row security": d.postgres.RowSecurity,
		} {
			if err := db.Each(ctx, tx, f.add(kind, table), query, d.names.Table(table)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *Order) mysql(ctx context.Context, tx *sql.Tx, d *Database) error {
	var may int
	err := tx.QueryRowContext(ctx, d.mysql.MayTrigger, d.names.Plain(db.Events)).Scan(&may)
	if err != nil {
		return err
	}
	f.Hidden = may == 0
	for _, table := range []string{db.Events, db.Parked, db.Leases} {
		err := db.Each(ctx, tx, f.add("trigger", table), d.sql.Triggers, d.names.Plain(table))
		if err != nil {
			return err
		}
	}
	for i := range f.Intruders {
		f.Intruders[i].Name = d.names.Quote(f.Intruders[i].Name)
		f.Hidden = false // the server shows them
	}
	return nil
}

func (f *Order) sqlite(ctx context.Context, tx *sql.Tx, d *Database) error {
	for _, table := range []string{db.Events, db.Parked, db.Leases} {
		err := db.Each(ctx, tx, f.add("trigger", table), d.sql.Triggers,
			strings.ToLower(d.names.Plain(table)))
		if err != nil {
			return err
		}
	}
	return nil
}
