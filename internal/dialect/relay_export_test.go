package dialect

// ReadSQL is the statement of Read, with its arguments.
func (r *Relay) ReadSQL(q ReadQuery) (string, []any) {
	switch s := r.sql.(type) {
	case *postgresRelay:
		if len(q.Gaps) == 0 {
			return s.tail, []any{q.Limit, q.Head}
		}
		lo, hi := postgresArrays(q.Gaps)
		return s.withGaps, []any{q.Limit, q.Head, lo, hi}
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
