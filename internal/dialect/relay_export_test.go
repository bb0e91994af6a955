package dialect

// ReadSQL is the statement of Read, with its arguments.
func (r *Relay) ReadSQL(q ReadQuery) (string, []any) {
	switch s := r.sql.(type) {
	case *postgresRelay:
		if len(q.Gaps) == 0 {
			return s.tail, []any{q.Limit, q.Head}
		}
		lo, hi := postgresArrays(q.Gaps)
		return s.withGaps, []any{q.Limit, q.Head, lo, hi, postgresAsleep(q)}
	case *mysqlRelay:
		return s.names.Expand(s.readStatement(q)), nil
	}
	statement := sqliteHeader + "\nUNION ALL " + sqliteGaps + "\nUNION ALL " + sqliteTail
	return r.names.Expand(statement), []any{gapsJSON(q.Gaps), q.Limit, q.Head, q.Limit}
}

// DeleteRunSQL is the statement that deletes a run.
func (r *Relay) DeleteRunSQL() string {
	return r.names.Expand(map[Dialect]string{PostgreSQL: postgresDeleteRun, MySQL: mysqlDeleteRun, SQLite: sqliteDeleteRun}[r.names.Dialect])
}

// DeleteEventsSQL is the statement that deletes events one by one.
func (r *Relay) DeleteEventsSQL() string {
	return r.names.Expand(map[Dialect]string{PostgreSQL: postgresDeleteEvents, MySQL: mysqlDeleteEvents, SQLite: sqliteDeleteEvents}[r.names.Dialect])
}

// ArchiveSQL is the statement that moves rows into the archive, with its arguments.
func (r *Relay) ArchiveSQL(rows []Delivered) (string, []any) {
	if r.names.Dialect == PostgreSQL {
		return r.names.Expand(postgresArchive), deliveredArrays(rows)
	}
	list, err := deliveredJSON(rows)
	if err != nil {
		panic(err)
	}
	return r.names.Expand(map[Dialect]string{MySQL: mysqlArchive, SQLite: sqliteArchive}[r.names.Dialect]), []any{list}
}

// PurgeSQL is the statement of Purge.
func (r *Relay) PurgeSQL(o Old, limit int) string {
	return r.names.Expand(o.purge(r.names.Dialect, limit))
}

// ParkedSQL has the statements over outbox_parked, by what they do, with the types of
// their arguments on PostgreSQL and arguments to plan them with.
func (r *Relay) ParkedSQL() map[string]ParkedStatement {
	p := r.parked
	const pairs, seqs = `[[3, "0b7e4a52-3a0a-4d0c-9d3c-0e8f9a1b2c3d"], [4, "0b7e4a52-3a0a-4d0c-9d3c-0e8f9a1b2c3d"]]`, `[3, 4]`
	const rows = `[[3, "0b7e4a52-3a0a-4d0c-9d3c-0e8f9a1b2c3d", "failed", "no", 0]]`
	const refusals = `[[3, "0b7e4a52-3a0a-4d0c-9d3c-0e8f9a1b2c3d", "no", 1]]`
	all := map[string]ParkedStatement{
		"blocked":    {p.blocked, "text, text, bigint, bigint", r.blockedArgs(BlockedPart{Topic: "orders", Key: []byte("k"), Seq: 50_000})},
		"overtake":   {p.overtake, "text", []any{seqs}},
		"unmarked":   {r.names.Expand(r.unmarked()), "bigint, bigint, bigint", []any{1000, 2000, 5000}},
		"sent":       {p.sent, "bigint, bigint, bigint, bigint", []any{1000, 2000, 1, 90_000}},
		"orphans":    {p.orphans, "bigint", []any{99_000}},
		"candidates": {p.candidates, "bigint, bigint", []any{0, 1000}},
		"turns":      {p.turns, "text", []any{seqs}},
		"replay":     {p.replay, "text", []any{seqs}},
		"keys":       {p.keys, "text", []any{pairs}},
		"remove":     {p.remove, "text", []any{pairs}},
		"release":    {p.release, "text", []any{seqs}},
		"refuse":     {p.refuse, "text", []any{refusals}},
		"block":      {p.block, "text", []any{refusals}},
		"dropped":    {p.dropped, "bigint", []any{1000}},
		"record":     {p.record, "text", []any{seqs}},
		"asked":      {r.names.Expand(askedParked), "", nil},
	}
	for i, statement := range p.move {
		all["move "+string(rune('1'+i))] = ParkedStatement{statement, "text", []any{rows}}
	}
	switch r.names.Dialect {
	case PostgreSQL:
		all["heads"] = ParkedStatement{r.names.Expand(postgresHeads), "text", []any{`[["orders", "k"], ["orders", "j"]]`}}
		all["followers"] = ParkedStatement{r.names.Expand(postgresFollowers), "text, bigint", []any{seqs, 5000}}
	case MySQL:
		all["heads"] = ParkedStatement{r.names.Expand(mysqlHeads), "", []any{`[["6f7264657273", "6b"]]`}}
		all["followers"] = ParkedStatement{r.names.Expand(mysqlFollowers), "", []any{5000, seqs}}
	case SQLite:
		all["first"] = ParkedStatement{r.names.Expand(sqliteFirst), "", []any{"orders", "k", 5000}}
	}
	return all
}

// ParkedStatement is a statement to plan.
type ParkedStatement struct {
	SQL   string
	Types string
	Args  []any
}

// TraceSQL is the statement that looks for an event in a table.
func (r *Relay) TraceSQL(table string) string { return r.traceSQL(table, "seq") }

// CountArchivedSQL is the statement of CountArchived, with its arguments.
func (r *Relay) CountArchivedSQL(s Selection) (string, []any) {
	q := r.selected(s)
	return r.countArchived(q), q.args
}

// MySQLRowWait begins statements that EXPLAIN does not take with it.
const MySQLRowWait = mysqlRowWait
