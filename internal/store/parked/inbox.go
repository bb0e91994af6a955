package parked

import (
	"context"
	"database/sql"

	"github.com/postroom/postroom/internal/db"
)

// inboxTable is inbox_parked. It has the rows of all consumers; which keys are blocked is in inbox_blocked.
type inboxTable struct {
	*Store
	own inboxStatements
}

// Inbox returns the parked messages of the installation n. It fails on names that are not valid.
func Inbox(pool *sql.DB, n db.Names) (*Store, error) {
	s, err := newStore(pool, n)
	if err != nil {
		return nil, err
	}
	i := &inboxTable{Store: s}
	s.table = table{
		name: db.InboxParked, scan: scanMessage,
		ofFilter: i.ofFilter, idArg: n.KeyArg,
		retriesBlocked: true,
		markList:       i.markList, markFilter: i.markFilter,
	}
	return s, load("inbox", n, &s.sql, &i.own)
}

func scanMessage(rows *sql.Rows) (e Entry, err error) {
	var topic sql.NullString
	var partition sql.NullInt32
	var offset, size sql.NullInt64
	err = rows.Scan(&e.Seq, &e.Consumer, &e.ID, &e.Topic, &e.Key, &e.Type, &e.Headers, &topic, &partition, &offset,
		&e.Attempts, &e.Error, (*db.Moment)(&e.ParkedAt), &e.State, &size, &e.Payload)
	if topic.Valid && partition.Valid && offset.Valid {
		e.Position = &Position{Topic: topic.String, Partition: partition.Int32, Offset: offset.Int64}
	}
	e.PayloadSize = sizeOf(size)
	return e, err
}

func (i *inboxTable) ofFilter(w *where, f Filter) {
	if f.Consumer != "" {
		w.and(i.own.OfConsumer, i.names.KeyArg(f.Consumer))
	}
	if f.Topic != "" {
		w.and(i.sql.OfTopic, i.names.KeyArg(f.Topic))
	}
}

func (i *inboxTable) markList(r Request) string {
	if r.State == db.ParkedDrop {
		return i.sql.MarkDrop
	}
	return i.sql.MarkRetry
}

// markFilter marks all rows of a key in one statement, so that the order is kept (hazard dropped-head).
func (i *inboxTable) markFilter(ctx context.Context, r Request) (marked int64, err error) {
	w, statement := i.byFilter(r), i.own.RetryAll
	args := w.args
	if r.State == db.ParkedDrop {
		statement, args = i.own.DropAll, append([]any{r.note()}, w.args...)
	}
	err = again(ctx, func() error {
		marked, err = db.Affected(i.pool.ExecContext(ctx, w.in(statement, nil), args...))
		return err
	})
	return marked, err
}
