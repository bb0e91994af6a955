package dialect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// inboxChosen are the conditions of a filter; all compare by bytes.
func inboxChosen(n Names, f InboxParkedFilter) *where {
	w := &where{names: n}
	text := func(column, value string) {
		var v any = value
		if n.Dialect == MySQL { // whose columns are VARBINARY
			v = []byte(value)
		}
		w.and(column + " = " + w.arg(v))
	}
	if f.Consumer != "" {
		text("consumer", f.Consumer)
	}
	if f.Topic != "" {
		text("topic", f.Topic)
	}
	if f.Key != nil {
		text("event_key", *f.Key)
	}
	if f.State != "" {
		w.and("state = " + w.arg(f.State))
	}
	return w
}

func (w *where) inboxNamed(ids []InboxParkedID) {
	var named []string
	for _, id := range ids {
		switch {
		case id.Seq != 0:
			named = append(named, "seq = "+w.arg(id.Seq))
		case w.names.Dialect == MySQL:
			named = append(named, "message_id = "+w.arg([]byte(id.MessageID)))
		default:
			named = append(named, "message_id = "+w.arg(id.MessageID))
		}
	}
	w.and("(" + strings.Join(named, " OR ") + ")")
}

// inboxParked reads rows; rest is what follows FROM.
func inboxParked(n Names, ctx context.Context, q querier, payload, rest string, args []any) (entries []InboxParkedEntry, err error) {
	headers, size := "headers", "octet_length(payload)"
	switch n.Dialect {
	case PostgreSQL:
		headers = "headers::text"
	case SQLite:
		size = "length(CAST(payload AS BLOB))"
	}
	query := n.Expand("SELECT seq, consumer, message_id, topic, event_key, event_type, " + headers + ", kafka_topic, kafka_partition, kafka_offset, attempts, error, " +
		n.TimeText("parked_at") + ", state, " + size + ", " + payload + " FROM {inbox_parked}")
	rows, err := q.QueryContext(ctx, query+rest, args...)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", n.Plain(InboxParked), err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var e InboxParkedEntry
		var key, topic sql.NullString
		var partition sql.NullInt32
		var offset, bytes sql.NullInt64
		if err := rows.Scan(&e.Seq, &e.Consumer, &e.MessageID, &e.Topic, &key, &e.Type, &e.Headers, &topic, &partition, &offset,
			&e.Attempts, &e.Error, (*momentText)(&e.ParkedAt), &e.State, &bytes, &e.Payload); err != nil {
			return nil, fmt.Errorf("read %s: %w", n.Plain(InboxParked), err)
		}
		if key.Valid {
			e.Key = &key.String
		}
		if topic.Valid && partition.Valid && offset.Valid {
			e.Position = &InboxPosition{Topic: topic.String, Partition: partition.Int32, Offset: offset.Int64}
		}
		if e.PayloadSize = -1; bytes.Valid {
			e.PayloadSize = bytes.Int64
		}
		entries = append(entries, e)
	}
	return entries, rows.Err()
}

// inboxResolved says which ids name no row, or several.
func inboxResolved(ids []InboxParkedID, entries []InboxParkedEntry) error {
	var missing []string
	var errs []error
	for _, id := range ids {
		var found []string
		for _, e := range entries {
			if id.names(e) {
				found = append(found, strconv.FormatInt(e.Seq, 10))
			}
		}
		switch {
		case len(found) == 0:
			missing = append(missing, id.String())
		case len(found) > 1:
			errs = append(errs, fmt.Errorf("message %s is parked %d times: name one of the rows %s, or --consumer", id, len(found), strings.Join(found, ", ")))
		}
	}
	if len(missing) > 0 {
		errs = append(errs, fmt.Errorf("no message is parked as %s (handled, or dropped?): see `relay inbox parked list`", strings.Join(missing, ", ")))
	}
	return errors.Join(errs...)
}
