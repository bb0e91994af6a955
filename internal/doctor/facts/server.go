package facts

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// Server is the server that answers. It also says whether several nodes accept writes.
type Server struct {
	Version string
	User    string // in the spelling of GRANT
	Standby bool   // read-only: may lag behind a primary
	// Isolation is the isolation level of our transactions, for example "read committed". It is empty on
	// SQLite.
	Isolation string

	// These are for MySQL and MariaDB.
	AutoIncrement int64  // auto_increment_increment
	Cluster       string // Galera, group replication; empty: neither
	Nodes         int64  // number of nodes, if the cluster reports it
	SinglePrimary bool   // the cluster accepts writes on one node only
	SQLMode       string // SQL mode of new sessions
}

// Server describes the server.
func (d *Database) Server(ctx context.Context) (Server, error) {
	var s Server
	err := d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		read := db.For(d.names.Dialect, s.postgres, s.mysql, s.sqlite)
		return read(ctx, tx, d)
	})
	return s, err
}

func (s *Server) postgres(ctx context.Context, tx *sql.Tx, d *Database) error {
	return tx.QueryRowContext(ctx, d.sql.Server).Scan(&s.Version, &s.User, &s.Standby, &s.Isolation)
}

func (s *Server) sqlite(ctx context.Context, tx *sql.Tx, d *Database) error {
	return tx.QueryRowContext(ctx, d.sql.Server).Scan(&s.Version)
}

func (s *Server) mysql(ctx context.Context, tx *sql.Tx, d *Database) error {
	var user string
	if err := tx.QueryRowContext(ctx, d.sql.Server).Scan(&s.Version, &user); err != nil {
		return err
	}
	name, host, _ := cutLast(user, "@")
	s.User = fmt.Sprintf("'%s'@'%s'", name, host)
	v, err := mysqlVariables(ctx, tx, "read_only", "auto_increment_increment", "sql_mode", "tx_isolation",
		"transaction_isolation",
		"wsrep_on", "group_replication_group_name", "group_replication_single_primary_mode")
	if err != nil {
		return err
	}
	s.Standby = on(v["read_only"])
	s.AutoIncrement, _ = strconv.ParseInt(v["auto_increment_increment"], 10, 64)
	s.SQLMode = v["sql_mode"]
	switch {
	case on(v["wsrep_on"]):
		s.Cluster = "Galera"
	case v["group_replication_group_name"] != "":
		s.Cluster, s.SinglePrimary = "group replication", on(v["group_replication_single_primary_mode"])
	}
	if s.Cluster == "Galera" {
		var ignored string
		// A node that does not report the cluster's size is not an error.
		_ = tx.QueryRowContext(ctx, d.mysql.ClusterSize).Scan(&ignored, &s.Nodes)
	}
	return s.mysqlIsolation(ctx, tx, v)
}

// mysqlIsolation reads the session's isolation level. The variable has two names.
func (s *Server) mysqlIsolation(ctx context.Context, tx *sql.Tx, global map[string]string) error {
	name := "transaction_isolation"
	if _, ok := global[name]; !ok {
		name = "tx_isolation" // MariaDB before 11.1
	}
	err := tx.QueryRowContext(ctx, "SELECT @@SESSION."+name).Scan(&s.Isolation)
	s.Isolation = strings.ToLower(strings.ReplaceAll(s.Isolation, "-", " "))
	return err
}

// mysqlVariables reads global variables. A variable that the server does not know is not in the result.
func mysqlVariables(ctx context.Context, tx *sql.Tx, names ...string) (map[string]string, error) {
	values := map[string]string{}
	err := db.Each(ctx, tx, func(rows *sql.Rows) error {
		var name, value string
		err := rows.Scan(&name, &value)
		values[strings.ToLower(name)] = value
		return err
	}, "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('"+strings.Join(names, "', '")+"')")
	return values, err
}

// on parses a switch from the output of SHOW VARIABLES.
func on(value string) bool { return value == "1" || strings.EqualFold(value, "ON") }

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// Clock measures how far the database's clock is ahead of now's clock (negative: behind). uncertainty is the
// largest error: half of the fastest of a few round trips. On SQLite both are zero, because the database uses
// the host's clock.
func (d *Database) Clock(ctx context.Context, now func() time.Time) (ahead, uncertainty time.Duration, err error) {
	if d.names.Dialect == db.SQLite {
		return 0, 0, nil
	}
	query := db.For(d.names.Dialect, d.postgres.Clock, d.mysql.Clock, "")
	const tries = 4 // the first round trip may also prepare the statement
	err = d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for i := range tries {
			var theirs int64
			before := now()
			if err := tx.QueryRowContext(ctx, query).Scan(&theirs); err != nil {
				return err
			}
			half := now().Sub(before) / 2
			if i == 0 || half < uncertainty {
				ahead, uncertainty = time.UnixMicro(theirs).Sub(before.Add(half)), half
			}
		}
		return nil
	})
	return ahead, uncertainty, err
}
