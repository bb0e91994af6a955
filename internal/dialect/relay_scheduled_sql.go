package dialect

import "strings"

// scheduledSQL is where the dialects differ about scheduled events.
type scheduledSQL struct {
	until string // microseconds until the first row is due
	due   string // the rows that are due, up to their conditions

	time  func(param string) string                            // a parameter that was read as text
	lock  func(due []dueRow) (query string, args []any)        // locks the rows that are due and free
	named func(seqs []int64) (fromAndWhere string, args []any) // these rows
}

func newScheduledSQL(n Names) (s scheduledSQL) {
	switch n.Dialect {
	case PostgreSQL:
		s = scheduledPostgres(n)
	case MySQL:
		s = scheduledMySQL(n)
	case SQLite:
		s = scheduledSQLite(n)
	}
	s.until, s.due = n.Expand(s.until), n.Expand(s.due)
	return s
}

// statement_timestamp and not clock_timestamp: what is read anew for each row cannot be
// looked up in an index, and every row that is not due would be looked at.
func scheduledPostgres(n Names) scheduledSQL {
	named := func(list []int64) (string, []any) {
		return " FROM {outbox_scheduled} WHERE seq = ANY($1::text::bigint[])", []any{intsArray(list)}
	}
	return scheduledSQL{
		until: `SELECT (extract(epoch FROM deliver_at - statement_timestamp()) * 1000000)::bigint
FROM {outbox_scheduled} ORDER BY deliver_at, seq LIMIT 1`,
		due: `SELECT seq, event_id::text, topic, event_key, ` + n.TimeText("deliver_at") + `
FROM {outbox_scheduled} WHERE deliver_at <= statement_timestamp()`,
		time: func(param string) string { return param + "::text::timestamptz" },
		lock: func(due []dueRow) (string, []any) {
			from, args := named(seqsOf(due))
			return n.Expand("SELECT seq" + from + " AND deliver_at <= statement_timestamp() FOR UPDATE SKIP LOCKED"), args
		},
		named: named,
	}
}

// Rows are locked by way of the index of event_id, as Cancel does it. By the primary
// key the two could deadlock: Cancel has the index's entry and waits for the row; we have
// the row, and our DELETE waits for the entry.
//
// FORCE INDEX and a join, whose lookups are for one row each. A small table would be scanned (and
// by stale statistics every table is small), and a range, even one of IN, looks at the
// row behind it: both wait for rows that somebody else has locked.
func scheduledMySQL(n Names) scheduledSQL {
	const from = "FROM {outbox_scheduled} FORCE INDEX ({outbox_scheduled_due_idx}) "
	return scheduledSQL{
		until: "SELECT TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), deliver_at) " + from + "ORDER BY deliver_at, seq LIMIT 1",
		due: "SELECT seq, event_id, topic, event_key, DATE_FORMAT(deliver_at, '%Y-%m-%d %H:%i:%s.%f') " + from +
			"WHERE deliver_at <= UTC_TIMESTAMP(6)",
		time: func(param string) string { return param },
		lock: func(due []dueRow) (string, []any) {
			ids := make([]string, len(due))
			for i, d := range due {
				ids[i] = d.eventID
			}
			return n.Expand("SELECT s.seq" + mysqlByEventID(ids) + " WHERE s.deliver_at <= UTC_TIMESTAMP(6) FOR UPDATE SKIP LOCKED"), nil
		},
		named: func(list []int64) (string, []any) {
			return " FROM JSON_TABLE('" + intsJSON(list) + `', '$[*]' COLUMNS (number BIGINT PATH '$')) AS named
STRAIGHT_JOIN {outbox_scheduled} AS s FORCE INDEX (PRIMARY) ON s.seq = named.number`, nil
		},
	}
}

// mysqlByEventID looks up scheduled rows, called s, by their event ids. The ids stand in
// the text: they are hexadecimal digits and hyphens.
func mysqlByEventID(ids []string) string {
	return ` FROM JSON_TABLE('["` + strings.Join(ids, `", "`) + `"]', '$[*]' COLUMNS (event_id CHAR(36) PATH '$')) AS named
STRAIGHT_JOIN {outbox_scheduled} AS s FORCE INDEX ({outbox_scheduled_event_id_key})
  ON s.event_id = CONVERT(named.event_id USING ascii) COLLATE ascii_bin`
}

// SQLite has one writer, which is the transaction that looks: nothing is locked by others.
func scheduledSQLite(n Names) scheduledSQL {
	const now = "strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'"
	named := func(list []int64) (string, []any) {
		return " FROM {outbox_scheduled} WHERE seq IN (SELECT value FROM json_each(?))", []any{intsJSON(list)}
	}
	return scheduledSQL{
		until: `SELECT CASE WHEN deliver_at <= ` + now + ` THEN 0
  ELSE CAST((julianday(deliver_at) - julianday('now')) * 86400000000 AS INTEGER) END
FROM {outbox_scheduled} ORDER BY deliver_at, seq LIMIT 1`,
		due:  "SELECT seq, event_id, topic, event_key, '' || deliver_at FROM {outbox_scheduled} WHERE deliver_at <= " + now,
		time: func(param string) string { return param },
		lock: func(due []dueRow) (string, []any) {
			from, args := named(seqsOf(due))
			return n.Expand("SELECT seq" + from + " AND deliver_at <= " + now), args
		},
		named: named,
	}
}

func seqsOf(due []dueRow) []int64 {
	list := make([]int64, len(due))
	for i, d := range due {
		list[i] = d.seq
	}
	return list
}

// intsList is a list for IN, intsArray the text of a PostgreSQL array.
func intsList(list []int64) string  { return strings.Trim(intsJSON(list), "[]") }
func intsArray(list []int64) string { return "{" + intsList(list) + "}" }
