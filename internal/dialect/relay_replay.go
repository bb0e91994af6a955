package dialect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/postroom/postroom/internal/store/outbox"
)

// Selection says which archived events are meant: those for which all of it holds.
type Selection struct {
	Since, Until time.Time // delivered at Since or later, before Until; zero: no bound
	Topic        string    // "": any
	Key          *string   // nil: any
	Events       []uuid.UUID

	// After < seq <= UpTo. UpTo is to be set before anything is put back: what is put
	// back is delivered and archived once more, under higher numbers, and a selection
	// that took these in would never end.
	After, UpTo int64
}

// Archived names a row of the archive.
type Archived struct {
	Seq   int64
	Bytes int64 // of the payload
}

// Matched is what a selection finds.
type Matched struct{ Count, First, Last int64 } // First and Last are seqs; 0: none

// Now returns the database's clock, which delivered_at is measured by.
func (r *Relay) Now(ctx context.Context) (time.Time, error) {
	now := map[Dialect]string{PostgreSQL: "clock_timestamp()", MySQL: "UTC_TIMESTAMP(6)", SQLite: sqliteNow("0")}[r.names.Dialect]
	var text string
	if err := r.db.QueryRowContext(ctx, "SELECT "+r.names.TimeText(now)).Scan(&text); err != nil {
		return time.Time{}, err
	}
	return time.Parse(time.RFC3339Nano, text)
}

// LastArchived returns the highest seq of the archive, 0 if it is empty.
func (r *Relay) LastArchived(ctx context.Context) (seq int64, err error) {
	err = r.db.QueryRowContext(ctx, r.names.Expand("SELECT COALESCE(MAX(seq), 0) FROM {outbox_archive}")).Scan(&seq)
	return seq, err
}

// CountArchived counts what s selects, each event once.
func (r *Relay) CountArchived(ctx context.Context, s Selection) (m Matched, err error) {
	q := r.selected(s)
	err = r.db.QueryRowContext(ctx, r.countArchived(q), q.args...).Scan(&m.Count, &m.First, &m.Last)
	return m, err
}

func (r *Relay) countArchived(q *query) string {
	return r.names.Expand("SELECT COUNT(*), COALESCE(MIN(a.seq), 0), COALESCE(MAX(a.seq), 0)\n" + q.text.String())
}

// ListArchived lists the first rows that s selects, in order of seq, at most limit.
func (r *Relay) ListArchived(ctx context.Context, s Selection, limit int) (list []Archived, err error) {
	statement, args := r.listArchived(s, limit)
	rows, err := r.db.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var a Archived
		if err := rows.Scan(&a.Seq, &a.Bytes); err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, rows.Err()
}

func (r *Relay) listArchived(s Selection, limit int) (string, []any) {
	q := r.selected(s)
	return r.names.Expand(fmt.Sprintf("SELECT a.seq, COALESCE(LENGTH(a.payload), 0)\n%s\nORDER BY a.seq LIMIT %d", q.text.String(), limit)), q.args
}

// MissingArchived returns those of ids that the archive does not have, in their order.
func (r *Relay) MissingArchived(ctx context.Context, ids []uuid.UUID) (missing []uuid.UUID, err error) {
	rows, err := r.db.QueryContext(ctx, r.names.Expand("SELECT DISTINCT event_id FROM {outbox_archive} WHERE event_id IN "+uuidList(ids)))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	there := make(map[uuid.UUID]bool)
	for rows.Next() {
		var id uuid.UUID
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		there[id] = true
	}
	for _, id := range ids {
		if !there[id] && !slices.Contains(missing, id) {
			missing = append(missing, id)
		}
	}
	return missing, rows.Err()
}

// uuidList writes ids into the text: they are hexadecimal digits.
func uuidList(ids []uuid.UUID) string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = "'" + id.String() + "'"
	}
	return "(" + strings.Join(texts, ", ") + ")"
}

// query is a statement in the making.
type query struct {
	names Names
	text  strings.Builder
	args  []any
}

// and adds a condition with one argument, in the place of %s.
func (q *query) and(condition string, arg any) {
	q.args = append(q.args, arg)
	fmt.Fprintf(&q.text, " AND "+condition, q.names.Param(len(q.args)))
}

// selected is FROM and WHERE. An event that the archive has several times, because it was
// replayed before, counts where s meets it first: a copy would double it.
func (r *Relay) selected(s Selection) *query {
	q := &query{names: r.names}
	q.text.WriteString("FROM {outbox_archive} AS a WHERE a.seq > ")
	q.args = append(q.args, s.After)
	q.text.WriteString(r.names.Param(1))
	q.and("a.seq <= %s", s.UpTo)
	q.where("a", s)
	q.text.WriteString("\nAND NOT EXISTS (SELECT 1 FROM {outbox_archive} AS e WHERE e.event_id = a.event_id AND e.topic = a.topic AND e.seq < a.seq")
	q.where("e", s)
	q.text.WriteString(")")
	return q
}

func (q *query) where(table string, s Selection) {
	moment := "%s"
	if q.names.Dialect == PostgreSQL {
		moment = "%s::text::timestamptz"
	}
	if !s.Since.IsZero() {
		q.and(table+".delivered_at >= "+moment, s.Since.UTC().Format(q.names.TimeLayout()))
	}
	if !s.Until.IsZero() {
		q.and(table+".delivered_at < "+moment, s.Until.UTC().Format(q.names.TimeLayout()))
	}
	if s.Topic != "" {
		q.and(table+".topic = %s", s.Topic)
	}
	if s.Key != nil {
		var key any = *s.Key
		if q.names.Dialect == MySQL {
			key = []byte(*s.Key)
		}
		q.and(table+".event_key = %s", key)
	}
	if len(s.Events) > 0 {
		q.text.WriteString(" AND " + table + ".event_id IN " + uuidList(s.Events))
	}
}

// PutBack inserts these rows of the archive into outbox_events again, in order of seq, in
// one transaction, and returns how many: some may have been purged meanwhile. With newIDs
// each gets an event id of its own. created_at stays: consumers may judge by it which of
// two events is newer.
//
// It takes the locks of StrictKeyOrder first, whether the writers do or not, so that a
// replay comes before or after a writer's transaction and not in the middle of it (hazard move-beside-writer).
func (r *Relay) PutBack(ctx context.Context, rows []Archived, newIDs bool) (n int64, err error) {
	if len(rows) == 0 {
		return 0, nil
	}
	err = r.inTxAgain(ctx, func(tx *sql.Tx) error {
		n, err = r.putBack(ctx, tx, seqList(rows), newIDs)
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

func seqList(rows []Archived) string {
	var b strings.Builder
	for i, a := range rows {
		fmt.Fprintf(&b, "%c%d", "(,"[min(i, 1)], a.Seq)
	}
	return b.String() + ")"
}

const replayedColumns = "topic, event_key, event_type, payload, headers, created_at"

func (r *Relay) putBack(ctx context.Context, tx *sql.Tx, seqs string, newIDs bool) (int64, error) {
	box, err := outbox.New(r.names)
	if err != nil {
		return 0, err
	}
	keys, err := archivedKeys(ctx, tx, r.names.Expand("SELECT DISTINCT topic, event_key FROM {outbox_archive} WHERE event_key IS NOT NULL AND seq IN "+seqs))
	if err != nil {
		return 0, err
	}
	if err := box.LockKeys(ctx, tx, keys); err != nil {
		return 0, fmt.Errorf("lock the keys: %w", err)
	}
	columns := "event_id, " + replayedColumns
	if newIDs {
		columns = replayedColumns // the table's default makes them
	}
	return affected(tx.ExecContext(ctx, r.names.Expand(
		"INSERT INTO {outbox_events} ("+columns+") SELECT "+columns+" FROM {outbox_archive} WHERE seq IN "+seqs+" ORDER BY seq")))
}

func archivedKeys(ctx context.Context, tx *sql.Tx, query string) (keys []EventKey, err error) {
	rows, err := tx.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var k EventKey
		if err := rows.Scan(&k.Topic, &k.Key); err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, rows.Err()
}

// inTxAgain is inTx, and tries again when the database ended the transaction because of
// another one.
func (r *Relay) inTxAgain(ctx context.Context, f func(*sql.Tx) error) error {
	const tries = 4
	var err error
	for range tries {
		if err = r.inTx(ctx, f); err == nil || !IsSerialization(err) || ctx.Err() != nil {
			return err
		}
	}
	return err
}
