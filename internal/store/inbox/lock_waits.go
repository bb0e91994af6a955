package inbox

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// LockWait is a session that waits for a lock on a table of the inbox, and one that holds it, or waits for it before
// it.
type LockWait struct {
	Waiter int64
	For    time.Duration
	Holder LockHolder
}

// LockHolder is a session that others wait for.
type LockHolder struct {
	Session int64         // 0: none; a prepared transaction
	User    string        // and the rest: "" where the server does not tell
	Name    string        // of the application
	Host    string        // that it is connected from
	State   string        // as the server calls it
	Age     time.Duration // of its transaction
}

// String says who it is, for people.
func (h LockHolder) String() string {
	if h.Session == 0 {
		return "a prepared transaction"
	}
	var about []string
	for _, part := range []struct{ name, value string }{{"user", h.User}, {"application", h.Name}, {"from", h.Host}} {
		if part.value != "" {
			about = append(about, part.name+" "+part.value)
		}
	}
	if h.State != "" {
		about = append(about, h.State)
	}
	about = append(about, "its transaction begun "+h.Age.Round(time.Second).String()+" ago")
	return fmt.Sprintf("session %d (%s)", h.Session, strings.Join(about, ", "))
}

// End is the statement that ends it.
func (h LockHolder) End(d db.Dialect) string {
	const mysqlPrepared = "XA RECOVER; -- then XA ROLLBACK or XA COMMIT"
	if h.Session == 0 {
		return db.For(d, "SELECT * FROM pg_prepared_xacts; -- then ROLLBACK PREPARED or COMMIT PREPARED",
			mysqlPrepared, mysqlPrepared)
	}
	kill := fmt.Sprintf("KILL %d;", h.Session)
	return db.For(d, fmt.Sprintf("SELECT pg_terminate_backend(%d);", h.Session), kill, kill)
}

// LockWaits lists sessions that wait for a lock on the tables where consumers wait for one another (inbox_events,
// inbox_offsets and inbox_blocked), the longest first. On PostgreSQL it sees those of the caller's own user, or all
// with pg_read_all_stats; MySQL wants the right PROCESS. SQLite has none: its writers are turned away.
func (s *Store) LockWaits(ctx context.Context, q db.Queryer) (waits []LockWait, err error) {
	queries := db.For(s.names.Dialect,
		[]string{s.postgres.LockWaits}, []string{s.mysql.LockWaitsMariaDB, s.mysql.LockWaitsMySQL8}, nil)
	for _, query := range queries {
		waits, err = readLockWaits(ctx, q, query,
			s.names.Table(db.InboxEvents), s.names.Table(db.InboxOffsets), s.names.Table(db.InboxBlocked))
		if err == nil || db.IsDenied(err) {
			break
		}
	}
	return waits, err
}

func readLockWaits(ctx context.Context, q db.Queryer, query string, args ...any) (waits []LockWait, err error) {
	err = db.Each(ctx, q, func(rows *sql.Rows) error {
		var w LockWait
		var waiting, age sql.NullInt64
		h := &w.Holder
		err := rows.Scan(&w.Waiter, &waiting, &h.Session, &h.User, &h.Name, &h.Host, &h.State, &age)
		w.For, h.Age = db.Micros(waiting), db.Micros(age)
		waits = append(waits, w)
		return err
	}, query, args...)
	return waits, err
}
