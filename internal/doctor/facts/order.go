package facts

import (
	"context"
	"database/sql"
	"strings"

	"github.com/postroom/postroom/internal/db"
)

// Order is what stands between a writer's INSERT, or the relay's reads and
// deletes, and the tables.
type Order struct {
	Intruders []Intruder
	// Hidden: the user may not see triggers.
	Hidden bool
}

// Intruder is a trigger, a rule or row-level security on one of the tables.
type Intruder struct {
	Kind  string // trigger, rule, row security
	Table string // default name
	Name  string // as SQL writes it; of row security empty
	// Applies: row security hides rows from this user.
	Applies bool
}

// Order looks for what may change, hide or refuse rows.
func (d *Database) Order(ctx context.Context) (Order, error) {
	var found Order
	err := d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		read := db.For(d.names.Dialect, found.postgres, found.mysql, found.sqlite)
		return read(ctx, tx, d.names)
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

func (f *Order) postgres(ctx context.Context, tx *sql.Tx, n db.Names) error {
	for _, table := range []string{db.Events, db.Parked, db.Leases} {
		for kind, query := range map[string]string{
			"trigger":      "SELECT quote_ident(tgname), false FROM pg_trigger WHERE tgrelid = to_regclass($1::text) AND NOT tgisinternal AND tgenabled <> 'D' ORDER BY 1",
			"rule":         "SELECT quote_ident(rulename), false FROM pg_rewrite WHERE ev_class = to_regclass($1::text) AND rulename <> '_RETURN' AND ev_enabled <> 'D' ORDER BY 1",
			"row security": "SELECT '', row_security_active(oid) FROM pg_class WHERE oid = to_regclass($1::text) AND relrowsecurity",
		} {
			if err := db.Each(ctx, tx, f.add(kind, table), query, n.Table(table)); err != nil {
				return err
			}
		}
	}
	return nil
}

// mysql: without the TRIGGER privilege the server shows no trigger, and no sign of it.
func (f *Order) mysql(ctx context.Context, tx *sql.Tx, n db.Names) error {
	var may int
	const grantee = `CONCAT('''', SUBSTRING_INDEX(CURRENT_USER(), '@', 1), '''@''', SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '''')`
	err := tx.QueryRowContext(ctx, `SELECT
	(SELECT COUNT(*) FROM information_schema.user_privileges WHERE privilege_type = 'TRIGGER' AND grantee = `+grantee+`)
	+ (SELECT COUNT(*) FROM information_schema.schema_privileges WHERE privilege_type = 'TRIGGER' AND DATABASE() LIKE table_schema AND grantee = `+grantee+`)
	+ (SELECT COUNT(*) FROM information_schema.table_privileges WHERE privilege_type = 'TRIGGER' AND table_schema = DATABASE()
		AND table_name = ? AND grantee = `+grantee+`)`, n.Plain(db.Events)).Scan(&may)
	if err != nil {
		return err
	}
	f.Hidden = may == 0
	for _, table := range []string{db.Events, db.Parked, db.Leases} {
		err := db.Each(ctx, tx, f.add("trigger", table), "SELECT trigger_name, 0 FROM information_schema.triggers WHERE event_object_schema = DATABASE() AND event_object_table = ? ORDER BY 1", n.Plain(table))
		if err != nil {
			return err
		}
	}
	for i := range f.Intruders {
		f.Intruders[i].Name = n.Quote(f.Intruders[i].Name)
		f.Hidden = false // it shows them
	}
	return nil
}

func (f *Order) sqlite(ctx context.Context, tx *sql.Tx, n db.Names) error {
	for _, table := range []string{db.Events, db.Parked, db.Leases} {
		err := db.Each(ctx, tx, f.add("trigger", table), `SELECT '"' || replace(name, '"', '""') || '"', 0 FROM sqlite_master WHERE type = 'trigger' AND lower(tbl_name) = ? ORDER BY 1`,
			strings.ToLower(n.Plain(table)))
		if err != nil {
			return err
		}
	}
	return nil
}
