package dialect

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strconv"
)

const (
	// maxListBytes keeps a statement's list below MariaDB's default max_allowed_packet of 16 MiB, even when
	// the driver puts the list into the text and has to escape every byte of it.
	maxListBytes = 7 << 19
	// rowOverhead is what a row adds to the list besides its values.
	rowOverhead = 128
)

// fitting says how many of the rows, with errors of these lengths, one statement takes;
// at least one. JSON makes up to six bytes of one.
func fitting[T any](rows []T, length func(T) int) int {
	size := 0
	for i, row := range rows {
		size += 6*min(length(row), maxParkError) + rowOverhead
		if i > 0 && size > maxListBytes {
			return i
		}
	}
	return len(rows)
}

// parkingsJSON lists rows as [[id, "event id", "state", "error", 0 or 1], …].
func parkingsJSON(rows []Parking) (string, error) {
	all := make([][5]any, len(rows))
	for i, p := range rows {
		all[i] = [5]any{p.ID, p.EventID, p.State, keptError(p.Error), digit(p.Overtaken)}
	}
	list, err := json.Marshal(all)
	return string(list), err
}

// refusalsJSON lists rows as [[seq, "event id", "reason", 0 or 1], …].
func refusalsJSON(rows []Refusal) (string, error) {
	all := make([][4]any, len(rows))
	for i, r := range rows {
		all[i] = [4]any{r.Seq, r.EventID, keptError(r.Reason), digit(r.Overtaken)}
	}
	list, err := json.Marshal(all)
	return string(list), err
}

func digit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// parkedJSON lists rows as [[seq, "event id"], …].
func parkedJSON(rows []DeliveredParked) (string, error) {
	events := make([]Event, len(rows))
	for i, p := range rows {
		events[i] = Event{ID: p.Seq, EventID: p.EventID}
	}
	return eventsJSON(events)
}

// intsJSON lists numbers as [1, 2, …].
func intsJSON(list []int64) string {
	b := []byte{'['}
	for i, n := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, n, 10)
	}
	return string(append(b, ']'))
}

// querier is a *sql.DB or a *sql.Tx.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// queryInts returns the numbers of a query's one column.
func queryInts(ctx context.Context, q querier, query string, args ...any) (all []int64, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, rows.Err()
}
