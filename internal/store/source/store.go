package source

import (
	"database/sql"
	"embed"

	"github.com/postroom/postroom/internal/db"
)

//go:embed *.sql
var files embed.FS

// statements are those that every dialect has. The .sql files give the reasons.
type statements struct {
	Lease, Oldest, CountEvents, EstimateEvents, CountParked string
	Relays, Name, Lock, Rename, Identity, SetIdentity       string
	Scheduled, ScheduledOfTopic                             string

	TraceScheduled, TraceWaiting, TraceParked, TraceArchive, TraceDrops string
	CountAhead, CountBehind, ArchivedSince                              string
}

// sqliteStatements are SQLite's alone.
type sqliteStatements struct{ BeginWriting string }

// Store asks the tables of one source. Safe for concurrent use.
type Store struct {
	pool   *sql.DB
	names  db.Names
	sql    statements
	sqlite sqliteStatements // empty elsewhere
}

// New returns the store of the installation n. It fails on names that are not valid.
func New(pool *sql.DB, n db.Names) (*Store, error) {
	if err := n.Validate(); err != nil {
		return nil, err
	}
	s := &Store{pool: pool, names: n}
	all := []any{&s.sql}
	return s, db.Load(files, n, db.For(n.Dialect, all, all, []any{&s.sql, &s.sqlite})...)
}
