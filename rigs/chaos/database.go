//go:build unix

package chaos

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"strings"

	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/outbox"
)

// database is the database of one run. The relays and the writers have different users, so that the
// connections of each can be cut.
type database struct {
	sql      flavor
	dialect  outbox.Dialect
	admin    *sql.DB
	adminURL string
	name     string
	relayURL string
	writers  *sql.DB
	users    map[Kind]string // kind of trouble → the user whose connections it cuts
}

// flavor has the SQL that differs between the two databases.
type flavor struct {
	createUser string // name, password
	grants     []string
	// connections lists the connections of a user, and cut ends one of them.
	connections, cut string
	earlyID          string
	insertEvent      string
	// patience bounds how long a session waits for a lock. lockTable locks outbox_events exclusively, and
	// unlockTable unlocks it.
	patience    string
	lockTable   []string
	unlockTable string
	placeholder func(i int) string
}

func (f flavor) bind(query string) string {
	parts := strings.Split(query, "?")
	var b strings.Builder
	for i, part := range parts[:len(parts)-1] {
		b.WriteString(part + f.placeholder(i+1))
	}
	return b.String() + parts[len(parts)-1]
}

// flavors returns them by database. The relay's user gets the rights that docs/tables.md lists, and the same
// rights on tables of later versions.
func flavors() map[string]flavor {
	return map[string]flavor{
		PostgreSQL: {
			createUser: "CREATE ROLE %[1]s LOGIN PASSWORD '%[2]s'",
			grants: []string{
				"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO %[2]s",
				"GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO %[2]s",
			},
			connections: "SELECT pid FROM pg_stat_activity WHERE usename = $1 ORDER BY pid",
			cut:         "SELECT pg_terminate_backend(%d)",
			earlyID:     "SELECT pg_current_xact_id()",
			insertEvent: "INSERT INTO outbox_events (event_id, topic, event_key, event_type, payload, headers) " +
				"VALUES ($1, $2, $3, $4, $5, $6)",
			patience:    "SET lock_timeout = '5s'",
			lockTable:   []string{"BEGIN", "LOCK TABLE outbox_events IN ACCESS EXCLUSIVE MODE"},
			unlockTable: "ROLLBACK",
			placeholder: func(i int) string { return fmt.Sprint("$", i) },
		},
		MariaDB: {
			createUser: "CREATE USER '%[1]s'@'%%' IDENTIFIED BY '%[2]s'",
			grants: []string{
				"GRANT SELECT, INSERT, UPDATE, DELETE ON %[1]s.* TO '%[2]s'@'%%'",
				"GRANT PROCESS ON *.* TO '%[2]s'@'%%'",
			},
			connections: "SELECT id FROM information_schema.processlist WHERE user = ? ORDER BY id",
			cut:         "KILL %d",
			earlyID:     "INSERT INTO chaos_early (note) VALUES ('x')",
			insertEvent: "INSERT INTO outbox_events (event_id, topic, event_key, event_type, payload, headers) " +
				"VALUES (?, ?, ?, ?, ?, ?)",
			patience:    "SET lock_wait_timeout = 5, innodb_lock_wait_timeout = 5",
			lockTable:   []string{"LOCK TABLES outbox_events WRITE"},
			unlockTable: "UNLOCK TABLES",
			placeholder: func(int) string { return "?" },
		},
	}
}

// tables are those of the service that the writers simulate. Each transaction writes a row of chaos_ledger.
// The row shows whether a transaction committed whose answer to COMMIT was lost.
func tables() []string {
	return []string{
		"CREATE TABLE chaos_aggregates (id int PRIMARY KEY, version bigint NOT NULL)",
		"CREATE TABLE chaos_ledger (writer int NOT NULL, number int NOT NULL, PRIMARY KEY (writer, number))",
		"CREATE TABLE chaos_early (note varchar(8) NOT NULL)",
	}
}

// newDatabase creates and migrates a database. The caller calls close.
func newDatabase(ctx context.Context, s Settings, server string) (*database, error) {
	random := make([]byte, 6)
	_, _ = rand.Read(random) // never fails
	d := describe(s, "chaos_"+hex.EncodeToString(random), server)
	err := d.create(ctx, server)
	for _, step := range []func(context.Context, Settings) error{d.open, d.migrate, d.addUsers, d.connect} {
		if err == nil {
			err = step(ctx, s)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("make the database of the run: %w", errors.Join(err, d.close()))
	}
	return d, nil
}

// describe names the parts of a database, whether or not it exists.
func describe(s Settings, name, server string) *database {
	d := &database{sql: flavors()[s.Database], name: name, adminURL: withUser(server, name, nil)}
	d.users = map[Kind]string{CutRelay: name + "_relay", CutWriter: name + "_writer"}
	d.relayURL = withUser(server, name, url.UserPassword(d.users[CutRelay], password))
	return d
}

const password = "chaos" // of users on a server of our own that listens only on loopback

func (d *database) create(ctx context.Context, server string) error {
	system, err := dbopen.Open(ctx, server)
	if err != nil {
		return err
	}
	_, err = system.DB.ExecContext(ctx, "CREATE DATABASE "+d.name)
	return errors.Join(err, system.DB.Close())
}

func (d *database) open(ctx context.Context, _ Settings) error {
	target, err := dbopen.Open(ctx, d.adminURL)
	if err == nil {
		d.admin, d.dialect = target.DB, target.Dialect
	}
	return err
}

func withUser(server, database string, user *url.Userinfo) string {
	u, err := url.Parse(server)
	if err != nil {
		panic(err) // dev/services printed it, so it is valid
	}
	u.Path = "/" + database
	if user != nil {
		u.User = user
	}
	return u.String()
}

// migrate creates the relay's tables in the way an operator does, and the service's tables.
func (d *database) migrate(ctx context.Context, s Settings) error {
	cmd := exec.CommandContext(ctx, s.Binary, "migrate", "up", "--only", "outbox")
	cmd.Env = environment("POSTROOM_DATABASE_URL=" + d.adminURL)
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("relay migrate up: %w\n%s", err, said)
	}
	for _, statement := range tables() {
		if _, err := d.admin.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	var rows []string
	for key := range allKeys {
		rows = append(rows, fmt.Sprintf("(%d, 0)", key))
	}
	_, err := d.admin.ExecContext(ctx, "INSERT INTO chaos_aggregates (id, version) VALUES "+strings.Join(rows, ", "))
	return err
}

func (d *database) addUsers(ctx context.Context, _ Settings) error {
	for _, user := range d.users {
		statements := []string{fmt.Sprintf(d.sql.createUser, user, password)}
		for _, grant := range d.sql.grants {
			statements = append(statements, fmt.Sprintf(grant, d.name, user))
		}
		for _, statement := range statements {
			if _, err := d.admin.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
	}
	return nil
}

// connect opens the writers' pool: one connection for each writer, and one for the bursts of rejected events.
func (d *database) connect(ctx context.Context, s Settings) error {
	target, err := dbopen.Open(
		ctx, withUser(d.adminURL, d.name, url.UserPassword(d.users[CutWriter], password)),
		dbopen.WithMaxOpen(s.Writers+1),
	)
	if err == nil {
		d.writers = target.DB
	}
	return err
}

// cutOne ends one connection that this kind of trouble is for, from the server's side. It returns false if
// there was none.
func (d *database) cutOne(ctx context.Context, kind Kind, pick uint64) (bool, error) {
	ids, err := d.connections(ctx, kind)
	if err != nil || len(ids) == 0 {
		return false, err
	}
	_, err = d.admin.ExecContext(ctx, fmt.Sprintf(d.sql.cut, ids[pick%uint64(len(ids))]))
	return err == nil, err
}

func (d *database) connections(ctx context.Context, kind Kind) (ids []int64, err error) {
	rows, err := d.admin.QueryContext(ctx, d.sql.connections, d.users[kind])
	if err != nil {
		return nil, fmt.Errorf("list the connections of %s: %w", d.users[kind], err)
	}
	defer func() { _ = rows.Close() }() // rows.Err reports the error
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// count counts the rows of a table.
func (d *database) count(ctx context.Context, table string) (n int64, err error) {
	if err := d.admin.QueryRowContext(ctx, "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		return 0, fmt.Errorf("count %s: %w", table, err)
	}
	return n, nil
}

// lowest returns the lowest id in the outbox. 0: it is empty.
func (d *database) lowest(ctx context.Context) (id int64, err error) {
	err = d.admin.QueryRowContext(ctx, "SELECT COALESCE(min(id), 0) FROM outbox_events").Scan(&id)
	return id, err
}

// endWriters closes the writers' connections, which ends every open transaction.
func (d *database) endWriters() error {
	pool := d.writers
	d.writers = nil
	return pool.Close()
}

// lease describes the lease row, for the report about an outbox that does not become empty.
func (d *database) lease(ctx context.Context) string {
	var owner, expires, mode sql.NullString
	var epoch int64
	err := d.admin.QueryRowContext(ctx, "SELECT owner, epoch, expires_at, mode FROM outbox_leases WHERE id = 1").Scan(
		&owner, &epoch, &expires, &mode,
	)
	if err != nil {
		return fmt.Sprintf("the lease cannot be read: %v", err)
	}
	return fmt.Sprintf("lease: owner %q, epoch %d, until %s, mode %s", owner.String, epoch, expires.String, mode.String)
}

func (d *database) ledger(ctx context.Context) (map[transactionName]bool, error) {
	rows, err := d.admin.QueryContext(ctx, "SELECT writer, number FROM chaos_ledger")
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err reports the error
	found := make(map[transactionName]bool)
	for rows.Next() {
		var t transactionName
		if err := rows.Scan(&t.writer, &t.number); err != nil {
			return nil, err
		}
		found[t] = true
	}
	return found, rows.Err()
}

// insertPlain writes an event with plain SQL, like a service in another language.
func (d *database) insertPlain(ctx context.Context, tx *sql.Tx, e outbox.Event) error {
	var key any
	if e.Key != "" {
		key = e.Key
	}
	_, err := tx.ExecContext(
		ctx, d.sql.insertEvent, e.ID.String(), e.Topic, key, e.Type, e.Payload, headerJSON(e.Headers),
	)
	return err
}

// close closes the pools. The server and its data are removed after the runs.
func (d *database) close() error {
	var errs []error
	for _, db := range []*sql.DB{d.writers, d.admin} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}
