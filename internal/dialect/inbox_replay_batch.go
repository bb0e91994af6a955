package dialect

import (
	"context"
	"database/sql"
)

// InboxWaiting is a parked row of a key, without what is large in it.
type InboxWaiting struct {
	Seq      int64
	State    string
	Attempts int
	Size     int64 // bytes of payload and headers

	MessageID string
	Error     string // of one that is to be dropped: the reason, and why it was parked
}

// WaitingParked returns the first rows of a key after seq, most of them at the most, or those asked for alone.
// The key must be locked (LockBlocked), and nothing read in tx before that: by an older snapshot what was parked
// while tx waited for the lock is not there.
//
// After is what makes the look cheap: rows that were just deleted stay in the index until the database has
// cleaned up behind the oldest snapshot, and a look from the key's beginning would walk over each of them again.
func (i *Inbox) WaitingParked(
	ctx context.Context, tx Queryer, consumer, topic, key string, after int64, askedOnly bool, most int,
) (waiting []InboxWaiting, err error) {
	size := "COALESCE(octet_length(payload), 0) + octet_length(headers::text)"
	switch i.names.Dialect {
	case MySQL:
		size = "COALESCE(LENGTH(payload), 0) + LENGTH(headers)"
	case SQLite:
		size = "COALESCE(length(payload), 0) + length(headers)"
	}
	query := "SELECT seq, state, attempts, " + size + ", message_id, CASE WHEN state = 'drop' THEN error ELSE '' END" +
		" FROM {inbox_parked} WHERE consumer = ? AND topic = ? AND event_key = ? AND seq > ?"
	if askedOnly {
		query += " AND state IN ('retry', 'drop')"
	}
	rows, err := tx.QueryContext(ctx, i.text(query+" ORDER BY seq LIMIT ?"),
		i.bytes(consumer), i.bytes(topic), i.bytes(key), after, most)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var w InboxWaiting
		if err := rows.Scan(&w.Seq, &w.State, &w.Attempts, &w.Size, &w.MessageID, &w.Error); err != nil {
			return nil, err
		}
		waiting = append(waiting, w)
	}
	return waiting, rows.Err()
}

// InboxSpan is the rows of a key from one seq to another, both included.
type InboxSpan struct {
	Consumer, Topic, Key string
	From, To             int64
}

const ofSpan = " WHERE consumer = ? AND topic = ? AND event_key = ? AND seq >= ? AND seq <= ?"

func (i *Inbox) spanArgs(s InboxSpan) []any {
	return []any{i.bytes(s.Consumer), i.bytes(s.Topic), i.bytes(s.Key), s.From, s.To}
}

// ClaimParkedSpan begins an attempt at rows that have had none: its first is 'failed' from now on, and all
// have an attempt, until it succeeds. So one that kills the process is not begun again by itself, and the rows of
// it run alone from then on. The key must be locked. It returns how many rows it claimed.
func (i *Inbox) ClaimParkedSpan(ctx context.Context, tx Execer, s InboxSpan) (int64, error) {
	args := append([]any{s.From}, i.spanArgs(s)...)
	return i.affected(ctx, tx, "UPDATE {inbox_parked} SET state = CASE WHEN seq = ? THEN 'failed' ELSE state END, attempts = 1"+
		ofSpan+" AND attempts = 0 AND state IN ('retry', 'blocked')", args...)
}

// UnclaimParkedSpan takes back what ClaimParkedSpan did to the rows of the span that are left.
func (i *Inbox) UnclaimParkedSpan(ctx context.Context, db Execer, s InboxSpan) error {
	return i.exec(ctx, db, "UPDATE {inbox_parked} SET state = CASE WHEN state = 'failed' THEN 'retry' ELSE state END, attempts = 0"+
		ofSpan+" AND attempts = 1", i.spanArgs(s)...)
}

// ReadParkedSpan returns the rows of a span whole, in order. The key must be locked.
func (i *Inbox) ReadParkedSpan(ctx context.Context, tx Queryer, s InboxSpan) (found []InboxParkedRow, err error) {
	rows, err := tx.QueryContext(ctx, i.text("SELECT seq, "+i.parkedColumns()+" FROM {inbox_parked}"+ofSpan+" ORDER BY seq"),
		i.spanArgs(s)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		p := InboxParkedRow{InboxRow: InboxRow{Consumer: s.Consumer}}
		if err := p.scan(func(dest ...any) error { return rows.Scan(append([]any{&p.Seq}, dest...)...) }); err != nil {
			return nil, err
		}
		found = append(found, p)
	}
	return found, rows.Err()
}

// DeleteParkedSpan deletes the rows of a span, in a transaction that has deleted the row gone before: none, if that one
// is there again because the transaction was ended. It returns how many. (A LIMIT keeps MySQL from taking the derived
// table apart, which it would refuse.)
func (i *Inbox) DeleteParkedSpan(ctx context.Context, tx Execer, s InboxSpan, gone int64) (int64, error) {
	args := append(i.spanArgs(s), i.bytes(s.Consumer), gone)
	return i.affected(ctx, tx, "DELETE FROM {inbox_parked}"+ofSpan+
		" AND NOT EXISTS (SELECT 1 FROM (SELECT seq FROM {inbox_parked} WHERE consumer = ? AND seq = ? LIMIT 1) AS first)", args...)
}

// HasParked reports whether a row is there, by the transaction's own deletes too.
func (i *Inbox) HasParked(ctx context.Context, tx Queryer, consumer string, seq int64) (bool, error) {
	return i.found(ctx, tx, i.names.Expand("SELECT 1 FROM {inbox_parked} WHERE consumer = ? AND seq = ?"), i.bytes(consumer), seq)
}

// parkedColumns are what scan reads.
func (i *Inbox) parkedColumns() string {
	headers := "headers"
	if i.names.Dialect == PostgreSQL {
		headers = "headers::text"
	}
	return "message_id, topic, event_key, event_type, " + headers +
		", payload, payload IS NOT NULL, kafka_topic, kafka_partition, kafka_offset, attempts, error, state"
}

// scan fills in all but Seq and Consumer.
func (p *InboxParkedRow) scan(scan func(dest ...any) error) error {
	var key, topic sql.NullString
	var partition sql.NullInt32
	var offset sql.NullInt64
	var has bool
	if err := scan(&p.MessageID, &p.Topic, &key, &p.Type, &p.Headers, &p.Payload, &has,
		&topic, &partition, &offset, &p.Attempts, &p.Error, &p.State); err != nil {
		return err
	}
	if has && p.Payload == nil {
		p.Payload = []byte{} // some drivers make no difference
	}
	if key.Valid {
		p.Key = &key.String
	}
	if topic.Valid && partition.Valid && offset.Valid {
		p.Position = &InboxPosition{Topic: topic.String, Partition: partition.Int32, Offset: offset.Int64}
	}
	return nil
}
