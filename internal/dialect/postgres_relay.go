package dialect

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

type postgresRelay struct {
	relayBase
	tail, withGaps, removeRun, removeEvents, writersOf string
}

func newPostgresRelay(b relayBase) *postgresRelay {
	return &postgresRelay{
		relayBase:    b,
		tail:         b.names.Expand(postgresHeader + "UNION ALL\n" + postgresTail),
		withGaps:     b.names.Expand(postgresHeader + "UNION ALL\n" + postgresGaps + "UNION ALL\n" + postgresTail),
		removeRun:    b.names.Expand(postgresDeleteRun),
		removeEvents: b.names.Expand(postgresDeleteEvents),
		writersOf:    postgresWriters,
	}
}

// A read is one statement, so one snapshot: header, gaps and tail see the same
// commits. The header is a row with id 0 that names the server.
//
// The gaps are looked up one by one: LATERAL with a LIMIT keeps the planner from
// walking the whole index and comparing each row with each gap, which it would
// prefer because it cannot know that gaps are empty.
//
// No ORDER BY over the whole: PostgreSQL's Append returns its parts in turn, each
// sorted by its index, and every gap lies below the head. Read checks that ids
// ascend, and fails if a planner ever does otherwise.
const (
	// postgresServer names the server and its history: a restart and a promotion change it.
	postgresServer = `extract(epoch FROM pg_postmaster_start_time())::text
  || '/' || CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END`

	postgresHeader = `SELECT 0::bigint, NULL::bytea, CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END,
       NULL::text, ` + postgresServer + `, NULL::bytea, NULL::text, NULL::timestamptz
`
	//
	// A gap whose transactions all run, by the statement's own snapshot, has no row to show:
	// what lies there is not walked over. (A transaction's number stays the same when it is
	// prepared, and those of its savepoints end with it.)
	postgresGaps = `(SELECT e.* FROM unnest($3::text::bigint[], $4::text::bigint[], $5::text::text[]) AS gap (lo, hi, asleep)
  CROSS JOIN LATERAL (
    SELECT id, uuid_send(event_id), topic, event_key, event_type, payload, headers::text, created_at
    FROM {outbox_events} WHERE id BETWEEN gap.lo AND gap.hi ORDER BY id LIMIT $1::bigint
  ) e
  WHERE gap.asleep = '' OR EXISTS (SELECT FROM unnest(gap.asleep::xid8[]) AS t (number) WHERE pg_visible_in_snapshot(t.number, pg_current_snapshot()))
  ORDER BY e.id LIMIT $1::bigint)
`
	postgresTail = `(SELECT id, uuid_send(event_id), topic, event_key, event_type, payload, headers::text, created_at
 FROM {outbox_events} WHERE id > $2::bigint ORDER BY id LIMIT $1::bigint)`

	// Nobody waits long for a row that somebody else has locked: it costs no round trip,
	// and holds behind a pooler too. The setting ends with the transaction.
	postgresRowWait = `
  AND (SELECT set_config('lock_timeout', '500ms', true)) <> ''`

	postgresDeleteRun = `DELETE FROM {outbox_events}
WHERE id BETWEEN $1 AND $2
  AND EXISTS (SELECT 1 FROM {outbox_events} AS last WHERE last.id = $2 AND last.event_id = $3::uuid)
  AND EXISTS (SELECT 1 FROM {outbox_leases} WHERE id = 1 AND owner = $4 AND epoch = $5 AND $6 = ` + postgresServer + `)` + postgresRowWait

	postgresDeleteEvents = `DELETE FROM {outbox_events} AS e
USING unnest($1::text::bigint[], $2::text::uuid[]) AS delivered (id, event_id)
WHERE e.id = delivered.id AND e.event_id = delivered.event_id
  AND EXISTS (SELECT 1 FROM {outbox_leases} WHERE id = 1 AND owner = $3 AND epoch = $4 AND $5 = ` + postgresServer + `)` + postgresRowWait

	// An INSERT takes RowExclusiveLock on the table before it takes an id, and
	// keeps it until its transaction has ended. A transaction that is prepared
	// keeps it too, under the same virtual transaction id; only what was prepared
	// before the server was restarted has none, and shows as '-1/xid'.
	//
	// A session that is idle in its transaction has executed nothing since its state
	// changed, and a prepared transaction, whose locks have no process, never does. Of
	// other users' sessions only those are told who may read all statistics.
	// Of the numbers that a transaction holds the oldest is its own, the others are its
	// savepoints'. They have 32 bits, those of a snapshot 64.
	postgresWriters = `WITH held AS MATERIALIZED (
  SELECT * FROM pg_locks WHERE granted AND (locktype = 'transactionid' AND mode = 'ExclusiveLock'
    OR locktype = 'relation' AND mode = 'RowExclusiveLock' AND relation = $1::text::regclass
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())))
SELECT l.virtualtransaction, coalesce(min(CASE WHEN l.pid IS NULL THEN 'prepared'
    WHEN a.state LIKE 'idle in transaction%' THEN a.pid || ' since ' || a.state_change END), ''),
  coalesce((array_agg(l.transactionid ORDER BY age(l.transactionid) DESC) FILTER (WHERE l.locktype = 'transactionid'))[1]::text, '0')::bigint,
  pg_snapshot_xmax(pg_current_snapshot())::text::bigint
FROM held l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
GROUP BY l.virtualtransaction HAVING bool_or(l.locktype = 'relation')`

	postgresGiven = `(SELECT CASE WHEN has_sequence_privilege(s.name, 'SELECT, USAGE') THEN pg_sequence_last_value(s.name::regclass) END
 FROM (SELECT pg_get_serial_sequence($1, 'id') AS name) AS s)`
)

func (p *postgresRelay) read(ctx context.Context, q ReadQuery, visit func(*Row) bool) (ReadInfo, error) {
	statement, args := p.tail, []any{q.Limit, q.Head}
	if len(q.Gaps) > 0 {
		lo, hi := postgresArrays(q.Gaps)
		statement, args = p.withGaps, append(args, lo, hi, postgresAsleep(q))
	}
	if q.GapsOnly {
		args[1] = int64(math.MaxInt64)
	}
	rows, err := p.stream(ctx, statement, args...)
	if err != nil {
		return ReadInfo{}, err
	}
	return visitRows(rows, q, visit, func(row *Row, created *sql.NullTime) []any {
		return []any{&row.ID, &row.EventID, &row.Topic, &row.Key, &row.Type, &row.Payload, (*object)(&row.Headers), created}
	})
}

func postgresArrays(ranges []Range) (lo, hi string) {
	var l, h strings.Builder
	for i, r := range ranges {
		sep := byte(',')
		if i == 0 {
			sep = '{'
		}
		l.WriteByte(sep)
		h.WriteByte(sep)
		l.WriteString(strconv.FormatInt(r.Lo, 10))
		h.WriteString(strconv.FormatInt(r.Hi, 10))
	}
	return l.String() + "}", h.String() + "}"
}

// postgresAsleep is an array of arrays of xid8, as text.
func postgresAsleep(q ReadQuery) string {
	var b strings.Builder
	for i := range q.Gaps {
		b.WriteByte("{,"[min(i, 1)])
		b.WriteByte('"')
		if i < len(q.Asleep) && len(q.Asleep[i]) > 0 {
			for j, number := range q.Asleep[i] {
				b.WriteByte("{,"[min(j, 1)])
				b.WriteString(strconv.FormatUint(number, 10))
			}
			b.WriteByte('}')
		}
		b.WriteByte('"')
	}
	return b.String() + "}"
}

func (p *postgresRelay) deleteRun(ctx context.Context, l Lease, r Run) (int64, error) {
	return p.exec(ctx, p.removeRun, r.Lo, r.Last.ID, r.Last.EventID.String(), l.Owner.String(), l.Epoch, l.Server)
}

func (p *postgresRelay) deleteEvents(ctx context.Context, db execer, l Lease, events []Event) (int64, error) {
	var ids, eventIDs strings.Builder
	for i, e := range events {
		sep := byte(',')
		if i == 0 {
			sep = '{'
		}
		ids.WriteByte(sep)
		eventIDs.WriteByte(sep)
		ids.WriteString(strconv.FormatInt(e.ID, 10))
		eventIDs.WriteString(e.EventID.String())
	}
	return affected(db.ExecContext(ctx, p.removeEvents, ids.String()+"}", eventIDs.String()+"}", l.Owner.String(), l.Epoch, l.Server))
}

// clock_timestamp is read again when the row's lock was waited for: the time of the
// transaction's start could be long past by then.
func (p *postgresRelay) claim(ctx context.Context, tx *sql.Tx, c Claim) (bool, error) {
	result, err := tx.ExecContext(ctx, p.names.Expand(`UPDATE {outbox_leases}
SET owner = $1, epoch = epoch + 1, mode = coalesce(mode, $2), expires_at = clock_timestamp() + $3::bigint * interval '1 microsecond',
    hints = (hints - 'halted' - 'blind' - 'outage') || jsonb_build_object('ttl_us', $3::bigint)
WHERE id = 1 AND (owner = $4 OR `+claimable(p.names, c.TTL)+`)`),
		c.Owner.String(), c.Mode, c.TTL.Microseconds(), c.Unsure.String())
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

func (p *postgresRelay) renew(ctx context.Context, l Lease, ttl time.Duration) (int64, error) {
	return p.exec(ctx, p.names.Expand(`UPDATE {outbox_leases}
SET expires_at = clock_timestamp() + $1::bigint * interval '1 microsecond'
WHERE id = 1 AND owner = $2 AND epoch = $3 AND $4 = `+postgresServer), ttl.Microseconds(), l.Owner.String(), l.Epoch, l.Server)
}

func (p *postgresRelay) inspect(ctx context.Context) (Source, error) {
	var s Source
	var name sql.NullString
	err := p.db.QueryRowContext(ctx, p.names.Expand(
		"SELECT source, source_id::text, pg_is_in_recovery() FROM {outbox_leases} WHERE id = 1")).
		Scan(&name, &s.SourceID, &s.Standby)
	s.Name = name.String
	return s, err
}

func (p *postgresRelay) writers(ctx context.Context) (Writers, error) {
	w, err := p.openWriters(ctx)
	if err != nil || !slices.ContainsFunc(w.Open, func(open Writer) bool { return open.Rest != "" }) {
		return w, err
	}
	var given sql.NullInt64
	err = p.db.QueryRowContext(ctx, "SELECT "+postgresGiven, p.names.Table(Events)).Scan(&given)
	w.Given = given.Int64
	return w, err
}

func (p *postgresRelay) openWriters(ctx context.Context) (Writers, error) {
	rows, err := p.db.QueryContext(ctx, p.writersOf, p.names.Table(Events))
	if err != nil {
		return Writers{}, err
	}
	defer rows.Close()
	w := Writers{Known: true}
	for rows.Next() {
		var id, rest string
		var number, next int64
		if err := rows.Scan(&id, &rest, &number, &next); err != nil {
			return Writers{}, err
		}
		if number > 0 { // it runs: within 2^31 of the next one
			number = next + int64(int32(uint32(number)-uint32(next)))
		}
		writer := Writer{ID: "prepared:" + id, Rest: rest, Number: uint64(number)}
		if !strings.HasPrefix(id, "-1/") {
			// After a restart the relay reads from the start, and forgets its gaps; but
			// it may look before it has read.
			writer = Writer{ID: id, Next: "prepared:", Rest: rest, Number: uint64(number)}
		}
		w.Open = append(w.Open, writer)
	}
	return w, rows.Err()
}

// sequence is checked where the relay may read the sequence; a user with SELECT on
// the table alone sees NULL, and goes unchecked. It looks above the sequence alone: the
// highest id of a table with deleted rows that a snapshot keeps is found behind all of them.
func (p *postgresRelay) sequence(ctx context.Context) error {
	var last, highest sql.NullInt64
	err := p.db.QueryRowContext(ctx, p.names.Expand("WITH given AS MATERIALIZED (SELECT "+postgresGiven+` AS id)
SELECT id, (SELECT max(e.id) FROM {outbox_events} AS e WHERE e.id > given.id) FROM given`), p.names.Table(Events)).
		Scan(&last, &highest)
	if err != nil {
		return fmt.Errorf("look at the id sequence: %w", err)
	}
	if last.Valid && highest.Valid && last.Int64 < highest.Int64 {
		return fmt.Errorf("%w: it stands at %d, and %s has id %d: was the database restored without its sequences? Run: SELECT setval('%s', %d)",
			ErrSequenceBehind, last.Int64, p.names.Plain(Events), highest.Int64, p.names.Plain(Events)+"_id_seq", highest.Int64)
	}
	return nil
}
