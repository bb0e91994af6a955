package facts

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/postroom/postroom/internal/db"
)

// Grant is a right that the relay's user lacks.
type Grant struct {
	Right string // SELECT, …
	On    string // the table's default name, or the name that GRANT uses
	SQL   string // the statement that grants it
	// Optional rights are not needed, but without them the relay works less well.
	Optional bool
}

// rights are the rights that docs/tables.md gives the relay's user, by table.
func rights() map[string][]string {
	all := []string{"SELECT", "INSERT", "UPDATE", "DELETE"}
	return map[string][]string{
		db.Events: {"SELECT", "INSERT", "DELETE"}, db.Leases: {"SELECT", "UPDATE"}, db.Schema: {"SELECT"},
		db.Parked: all, db.Archive: all, db.Scheduled: all, db.Relays: all, db.Drops: all,
	}
}

// Grants lists the rights that this user lacks on the tables that exist. SQLite has no users.
func (d *Database) Grants(ctx context.Context, tables Tables) ([]Grant, error) {
	return d.grants(ctx, tables, wanted{tables: outboxTables(d.names.Dialect), rights: rights(), relay: true})
}

// wanted are the rights that a program needs.
type wanted struct {
	tables []string
	rights map[string][]string
	relay  bool // and the rights that only a relay needs
}

func (d *Database) grants(ctx context.Context, tables Tables, w wanted) ([]Grant, error) {
	read := db.For(d.names.Dialect, d.postgresGrants, d.mysqlGrants, noGrants)
	return read(ctx, tables, w)
}

// noGrants is for SQLite, which has no users.
func noGrants(context.Context, Tables, wanted) ([]Grant, error) { return nil, nil }

func (d *Database) postgresGrants(ctx context.Context, tables Tables, w wanted) ([]Grant, error) {
	var lacking []Grant
	err := d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var user string
		if err := tx.QueryRowContext(ctx, d.postgres.CurrentUser).Scan(&user); err != nil {
			return err
		}
		grant := func(right, on, object string, optional bool) {
			lacking = append(lacking, Grant{Right: right, On: on, Optional: optional,
				SQL: fmt.Sprintf("GRANT %s ON %s TO %s;", right, object, user)})
		}
		if schema := d.names.Schema; schema != "" {
			var may bool
			err := tx.QueryRowContext(ctx, d.postgres.SchemaRight, schema).Scan(&may)
			if err == nil && !may {
				grant("USAGE", "SCHEMA "+schema, "SCHEMA "+schema, false)
			}
			if err != nil || !may {
				return ignoreNoRows(err)
			}
		}
		for _, table := range w.tables {
			for _, right := range w.rights[table] {
				var has sql.NullBool
				err := tx.QueryRowContext(ctx, d.postgres.TableRight, d.names.Table(table), right).Scan(&has)
				if err != nil {
					return err
				}
				if tables[table] && has.Valid && !has.Bool {
					grant(right, table, d.names.Plain(table), false)
				}
			}
		}
		if !w.relay {
			return nil
		}
		var sequence sql.NullString
		err := tx.QueryRowContext(ctx, d.postgres.SequenceRight, d.names.Table(db.Events)).Scan(&sequence)
		if err == nil && sequence.Valid {
			grant("SELECT", "SEQUENCE "+sequence.String, "SEQUENCE "+sequence.String, true)
		}
		return ignoreNoRows(err)
	})
	return merge(lacking), err
}

func ignoreNoRows(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}

// mysqlGrants asks the server to explain a statement that needs the right. For that the server checks rights,
// including those of roles, but does not run the statement. A read-only transaction cannot be used, because
// in it the server would fail before it checks the rights. Even so, nothing is changed.
func (d *Database) mysqlGrants(ctx context.Context, tables Tables, w wanted) ([]Grant, error) {
	ctx, cancel := context.WithTimeout(ctx, d.limit)
	defer cancel()
	conn, err := d.conn(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	var user string
	if err := conn.QueryRowContext(ctx, d.mysql.CurrentUser).Scan(&user); err != nil {
		return nil, err
	}
	name, host, _ := cutLast(user, "@")
	account := fmt.Sprintf("'%s'@'%s'", name, host)
	column := map[string]string{
		db.InboxEvents: "consumer", db.InboxAttempts: "consumer", db.InboxBlocked: "consumer",
		db.InboxParked: "consumer", db.InboxOffsets: "consumer",
		db.Events: "topic", db.Leases: "owner", db.Parked: "topic", db.Archive: "topic", db.Scheduled: "topic",
		db.Relays: "host", db.Drops: "topic",
	}
	var lacking []Grant
	for _, table := range w.tables {
		for _, right := range w.rights[table] {
			statement := map[string]string{
				"SELECT": "SELECT 1 FROM %s WHERE FALSE",
				"INSERT": "INSERT INTO %s () VALUES ()",
				"UPDATE": "UPDATE %s SET " + column[table] + " = '' WHERE FALSE",
				"DELETE": "DELETE FROM %s WHERE FALSE",
			}[right]
			if !tables[table] {
				continue
			}
			if err := explain(ctx, conn, fmt.Sprintf(statement, d.names.Table(table))); db.IsDenied(err) {
				lacking = append(lacking, Grant{Right: right, On: table,
					SQL: fmt.Sprintf("GRANT %s ON %s TO %s;", right, d.names.Plain(table), account)})
			} else if ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
	}
	if !w.relay {
		return merge(lacking), nil
	}
	var n int
	if err := d.db.QueryRowContext(ctx, d.mysql.HasProcess).Scan(&n); err == nil && n == 0 {
		lacking = append(lacking, Grant{
			Right: "PROCESS", On: "*.*", Optional: true, SQL: fmt.Sprintf("GRANT PROCESS ON *.* TO %s;", account),
		})
	}
	return merge(lacking), nil
}

// explain has the server plan a statement. It ignores errors that are not about rights, such as a column
// without a default or a read-only server.
func explain(ctx context.Context, conn *sql.Conn, statement string) error {
	rows, err := conn.QueryContext(ctx, "EXPLAIN "+statement)
	if err != nil {
		return err
	}
	return rows.Close()
}

// merge combines several rights on one table into one GRANT.
func merge(lacking []Grant) []Grant {
	var merged []Grant
	for _, g := range lacking {
		if last := len(merged) - 1; last >= 0 && merged[last].On == g.On {
			m := &merged[last]
			m.SQL = strings.Replace(m.SQL, "GRANT "+m.Right, "GRANT "+m.Right+", "+g.Right, 1)
			m.Right += ", " + g.Right
			continue
		}
		merged = append(merged, g)
	}
	return merged
}
