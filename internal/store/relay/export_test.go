package relay

import (
	"strings"

	"github.com/google/uuid"

	"github.com/postroom/postroom/internal/db"
)

// ReadSQL is the statement of Read, with its arguments.
func (s *Store) ReadSQL(q ReadQuery) (string, []any) { return s.dialect.read(q) }

// DeleteRunSQL is the statement that deletes a run, DeleteEventsSQL the one that deletes events one by one.
func (s *Store) DeleteRunSQL() string    { return strings.TrimPrefix(s.sql.DeleteRun, MySQLRowWait) }
func (s *Store) DeleteEventsSQL() string { return strings.TrimPrefix(s.sql.DeleteEvents, MySQLRowWait) }

// ArchiveSQL is the statement that moves rows into the archive, with its arguments.
func (s *Store) ArchiveSQL(rows []Delivered) (string, []any) {
	return strings.TrimPrefix(s.sql.ArchiveEvents, MySQLRowWait), s.deliveredArgs(rows)
}

// PurgeSQL is the statement of Purge.
func (s *Store) PurgeSQL(o Old, limit int) string { return s.fillOld(s.sql.Purge, o, limit) }

// MySQLRowWait is the beginning of statements. EXPLAIN does not accept it.
const MySQLRowWait = "/*M! SET STATEMENT innodb_lock_wait_timeout = 1 FOR */ "

// ParkedStatement is a statement whose plan is tested.
type ParkedStatement struct {
	SQL   string
	Types string
	Args  []any
}

// ParkedSQL has the statements for outbox_parked by their purpose, with the types of their arguments on
// PostgreSQL, and arguments for the planner.
func (s *Store) ParkedSQL() map[string]ParkedStatement {
	p := s.sql
	const id = `"0b7e4a52-3a0a-4d0c-9d3c-0e8f9a1b2c3d"`
	const pairs, seqs = `[[3, ` + id + `], [4, ` + id + `]]`, `[3, 4]`
	const rows = `[[3, "0b7e4a52-3a0a-4d0c-9d3c-0e8f9a1b2c3d", "failed", "no", 0]]`
	const rejections = `[[3, "0b7e4a52-3a0a-4d0c-9d3c-0e8f9a1b2c3d", "no", 1]]`
	after := BlockedPart{Topic: "orders", Key: []byte("k"), Seq: 50_000}
	all := map[string]ParkedStatement{
		"blocked":    {p.BlockedKeys, "text, text, bigint, bigint", s.dialect.blockedKeysArgs(after)},
		"overtake":   {p.MarkOvertaken, "text", []any{seqs}},
		"unmarked":   {p.NotOvertaken, "bigint, bigint, bigint", []any{1000, 2000, 5000}},
		"sent":       {p.SentParked, "bigint, bigint, bigint, bigint", []any{1000, 2000, 1, 90_000}},
		"orphans":    {p.Orphans, "bigint", []any{99_000}},
		"candidates": {p.Candidates, "bigint, bigint", []any{0, 1000}},
		"turns":      {p.FirstNotRetried, "text", []any{seqs}},
		"replay":     {p.ReadParked, "text", []any{seqs}},
		"keys":       {p.ParkedKeys, "text", []any{pairs}},
		"remove":     {p.DeleteParked, "text", []any{pairs}},
		"release":    {p.Release, "text", []any{seqs}},
		"reject":     {p.Reject, "text", []any{rejections}},
		"block":      {p.BlockLater, "text", []any{rejections}},
		"dropped":    {p.LockDrops, "bigint", []any{1000}},
		"record":     {p.RecordDrops, "text", []any{seqs}},
		"requests":   {p.HasRequests, "", nil},
		"move 1":     {p.Park, "text", []any{rows}},
	}
	if p.twoStep.DeleteMoved != "" {
		all["move 2"] = ParkedStatement{p.twoStep.DeleteMoved, "text", []any{rows}}
	}
	switch s.names.Dialect {
	case db.PostgreSQL:
		all["heads"] = ParkedStatement{p.server.FirstParked, "text", []any{`[["orders", "k"], ["orders", "j"]]`}}
		all["followers"] = ParkedStatement{p.server.Followers, "text, bigint", []any{seqs, 5000}}
	case db.MySQL:
		all["heads"] = ParkedStatement{p.server.FirstParked, "", []any{`[["6f7264657273", "6b"]]`}}
		all["followers"] = ParkedStatement{p.server.Followers, "", []any{5000, seqs}}
	case db.SQLite:
		all["first"] = ParkedStatement{p.sqlite.FirstRows, "", []any{"orders", "k", 5000}}
	}
	return all
}

// UntilDueSQL, DueSQL, LockDueSQL and MoveSQL return the statements of MoveDue, with n rows if it names rows.
// MoveSQL returns the INSERT and the DELETE.
func (s *Store) UntilDueSQL() string { return s.sql.UntilDue }

// DueSQL leaves out one key and, if behind is true, everything before a row.
func (s *Store) DueSQL(limit int, behind bool) (string, []any) {
	if !behind {
		return s.dueQuery(limit, nil, nil)
	}
	at := "2020-01-01T00:00:00.000000Z"[:db.For(s.names.Dialect, 27, 26, 27)]
	return s.dueQuery(limit, &dueRow{seq: 7, deliverAt: at}, []db.EventKey{{Topic: "orders", Key: "k"}})
}

// LockDueSQL locks n rows.
func (s *Store) LockDueSQL(n int) (string, []any) {
	due := make([]dueRow, n)
	for i := range due {
		due[i] = dueRow{seq: int64(i + 1), eventID: uuid.NewString()}
	}
	return s.lockDue(due)
}

// MoveSQL moves n rows.
func (s *Store) MoveSQL(n int) ([]string, []any) {
	seqs := make([]int64, n)
	for i := range seqs {
		seqs[i] = int64(i + 1)
	}
	return s.moveStatements(seqs)
}
