package dialect

import (
	"context"
	"database/sql"
	"strings"
)

// DoctorOrder is what stands between a writer's INSERT, or the relay's reads and
// deletes, and the tables.
type DoctorOrder struct {
	Intruders []DoctorIntruder
	// Hidden: the user may not see triggers.
	Hidden bool
}

// DoctorIntruder is a trigger, a rule or row-level security on one of the tables.
type DoctorIntruder struct {
	Kind  string // trigger, rule, row security
	Table string // default name
	Name  string // as SQL writes it; of row security empty
	// Applies: row security hides rows from this user.
	Applies bool
}

// Order looks for what may change, hide or refuse rows.
func (d *Doctor) Order(ctx context.Context) (DoctorOrder, error) {
	var found DoctorOrder
	err := d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		switch d.names.Dialect {
		case PostgreSQL:
			return found.postgres(ctx, tx, d.names)
		case MySQL:
			return found.mysql(ctx, tx, d.names)
		}
		return found.sqlite(ctx, tx, d.names)
	})
	return found, err
}

func (f *DoctorOrder) add(kind, table string) func(*sql.Rows) error {
	return func(rows *sql.Rows) error {
		i := DoctorIntruder{Kind: kind, Table: table}
		err := rows.Scan(&i.Name, &i.Applies)
		f.Intruders = append(f.Intruders, i)
		return err
	}
}

func (f *DoctorOrder) postgres(ctx context.Context, tx *sql.Tx, n Names) error {
	for _, table := range []string{Events, Parked, Leases} {
		for kind, query := range map[string]string{
			"trigger":      "SELECT quote_ident(tgname), false FROM pg_trigger WHERE tgrelid = to_regclass($1::text) AND NOT tgisinternal AND tgenabled <> 'D' ORDER BY 1",
			"rule":         "SELECT quote_ident(rulename), false FROM pg_rewrite WHERE ev_class = to_regclass($1::text) AND rulename <> '_RETURN' AND ev_enabled <> 'D' ORDER BY 1",
			"row security": "SELECT '', row_security_active(oid) FROM pg_class WHERE oid = to_regclass($1::text) AND relrowsecurity",
		} {
			if err := each(ctx, tx, f.add(kind, table), query, n.Table(table)); err != nil {
				return err
			}
		}
	}
	return nil
}

// mysql: without the TRIGGER privilege the server shows no trigger, and no sign of it.
func (f *DoctorOrder) mysql(ctx context.Context, tx *sql.Tx, n Names) error {
	var may int
	const grantee = `CONCAT('''', SUBSTRING_INDEX(CURRENT_USER(), '@', 1), '''@''', SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '''')`
	err := tx.QueryRowContext(ctx, `SELECT
	(SELECT COUNT(*) FROM information_schema.user_privileges WHERE privilege_type = 'TRIGGER' AND grantee = `+grantee+`)
	+ (SELECT COUNT(*) FROM information_schema.schema_privileges WHERE privilege_type = 'TRIGGER' AND DATABASE() LIKE table_schema AND grantee = `+grantee+`)
	+ (SELECT COUNT(*) FROM information_schema.table_privileges WHERE privilege_type = 'TRIGGER' AND table_schema = DATABASE()
		AND table_name = ? AND grantee = `+grantee+`)`, n.Plain(Events)).Scan(&may)
	if err != nil {
		return err
	}
	f.Hidden = may == 0
	for _, table := range []string{Events, Parked, Leases} {
		err := each(ctx, tx, f.add("trigger", table), "SELECT trigger_name, 0 FROM information_schema.triggers WHERE event_object_schema = DATABASE() AND event_object_table = ? ORDER BY 1", n.Plain(table))
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

func (f *DoctorOrder) sqlite(ctx context.Context, tx *sql.Tx, n Names) error {
	for _, table := range []string{Events, Parked, Leases} {
		err := each(ctx, tx, f.add("trigger", table), `SELECT '"' || replace(name, '"', '""') || '"', 0 FROM sqlite_master WHERE type = 'trigger' AND lower(tbl_name) = ? ORDER BY 1`,
			strings.ToLower(n.Plain(table)))
		if err != nil {
			return err
		}
	}
	return nil
}
