package dialect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// DoctorGrant is a right that the relay's user lacks.
type DoctorGrant struct {
	Right string // SELECT, …
	On    string // the table's default name; or what GRANT calls it
	SQL   string // the statement that gives it
	// Optional: the relay works without it, less well.
	Optional bool
}

// rights are what docs/tables.md gives to the relay's user, by table.
func rights() map[string][]string {
	all := []string{"SELECT", "INSERT", "UPDATE", "DELETE"}
	return map[string][]string{
		Events: {"SELECT", "INSERT", "DELETE"}, Leases: {"SELECT", "UPDATE"}, schemaTable: {"SELECT"},
		Parked: all, Archive: all, scheduledTable: all, relaysTable: all, dropsTable: all,
	}
}

// Grants lists the rights that this user lacks on the tables that are there. SQLite has
// no users.
func (d *Doctor) Grants(ctx context.Context, tables DoctorTables) ([]DoctorGrant, error) {
	return d.grants(ctx, tables, wanted{tables: outboxTables(d.names.Dialect), rights: rights(), relay: true})
}

// wanted are the rights that a program needs.
type wanted struct {
	tables []string
	rights map[string][]string
	relay  bool // and what a relay asks for besides
}

func (d *Doctor) grants(ctx context.Context, tables DoctorTables, w wanted) ([]DoctorGrant, error) {
	switch d.names.Dialect {
	case PostgreSQL:
		return d.postgresGrants(ctx, tables, w)
	case MySQL:
		return d.mysqlGrants(ctx, tables, w)
	}
	return nil, nil
}

func (d *Doctor) postgresGrants(ctx context.Context, tables DoctorTables, w wanted) ([]DoctorGrant, error) {
	var lacking []DoctorGrant
	err := d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var user string
		if err := tx.QueryRowContext(ctx, "SELECT quote_ident(current_user)").Scan(&user); err != nil {
			return err
		}
		grant := func(right, on, object string, optional bool) {
			lacking = append(lacking, DoctorGrant{Right: right, On: on, Optional: optional,
				SQL: fmt.Sprintf("GRANT %s ON %s TO %s;", right, object, user)})
		}
		if schema := d.names.Schema; schema != "" {
			// Without this even the tables' names lead nowhere.
			var may bool
			err := tx.QueryRowContext(ctx, "SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = $1::text", schema).Scan(&may)
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
				// By oid: by name it fails where the schema is closed to us.
				err := tx.QueryRowContext(ctx, "SELECT has_table_privilege(to_regclass($1::text)::oid, $2)", d.names.Table(table), right).Scan(&has)
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
		err := tx.QueryRowContext(ctx, `SELECT name FROM (SELECT pg_get_serial_sequence($1::text, 'id') AS name WHERE to_regclass($1::text) IS NOT NULL) s
WHERE NOT has_sequence_privilege(name, 'SELECT, USAGE')`, d.names.Table(Events)).Scan(&sequence)
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

// mysqlGrants asks the server to explain a statement that needs the right: it checks
// rights, also those of roles, and does not run it. No read-only transaction, in which
// the server would refuse before it looks; nothing is changed all the same.
func (d *Doctor) mysqlGrants(ctx context.Context, tables DoctorTables, w wanted) ([]DoctorGrant, error) {
	ctx, cancel := context.WithTimeout(ctx, d.limit)
	defer cancel()
	conn, err := d.conn(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	var user string
	if err := conn.QueryRowContext(ctx, "SELECT CURRENT_USER()").Scan(&user); err != nil {
		return nil, err
	}
	name, host, _ := cutLast(user, "@")
	account := fmt.Sprintf("'%s'@'%s'", name, host)
	column := map[string]string{
		InboxEvents: "consumer", InboxAttempts: "consumer", InboxBlocked: "consumer", InboxParked: "consumer", InboxOffsets: "consumer",
		Events: "topic", Leases: "owner", Parked: "topic", Archive: "topic", scheduledTable: "topic", relaysTable: "host", dropsTable: "topic",
	}
	var lacking []DoctorGrant
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
			if err := explain(ctx, conn, fmt.Sprintf(statement, d.names.Table(table))); IsDenied(err) {
				lacking = append(lacking, DoctorGrant{Right: right, On: table,
					SQL: fmt.Sprintf("GRANT %s ON %s TO %s;", right, d.names.Plain(table), account)})
			} else if ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
	}
	if !w.relay {
		return merge(lacking), nil
	}
	if may, err := (writersMySQL{db: d.db, names: d.names}).mayLook(ctx); err == nil && !may {
		lacking = append(lacking, DoctorGrant{Right: "PROCESS", On: "*.*", Optional: true, SQL: fmt.Sprintf("GRANT PROCESS ON *.* TO %s;", account)})
	}
	return merge(lacking), nil
}

// explain has the server plan a statement. Other errors than of rights do not matter
// here: a column without a default, a read-only server.
func explain(ctx context.Context, conn *sql.Conn, statement string) error {
	rows, err := conn.QueryContext(ctx, "EXPLAIN "+statement)
	if err != nil {
		return err
	}
	return rows.Close()
}

// merge makes one GRANT of several rights on one table.
func merge(lacking []DoctorGrant) []DoctorGrant {
	var merged []DoctorGrant
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
