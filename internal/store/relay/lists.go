package relay

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/postroom/postroom/internal/db"
)

// A list is passed as one argument, so that the statement is the same for any number of rows. The argument is
// JSON. It is the text of PostgreSQL arrays where PostgreSQL's planner makes better plans with these.

// arrays writes the columns of n rows as the text of PostgreSQL arrays.
func arrays(columns, n int, value func(row, column int) string) []any {
	texts := make([]strings.Builder, columns)
	args := make([]any, columns)
	for c := range columns {
		for i := range n {
			texts[c].WriteByte("{,"[min(i, 1)])
			texts[c].WriteString(value(i, c))
		}
		args[c] = texts[c].String() + "}"
	}
	return args
}

// eventArrays are ids and event ids.
func eventArrays(events []Event) []any {
	return arrays(2, len(events), func(i, column int) string {
		if column == 0 {
			return strconv.FormatInt(events[i].ID, 10)
		}
		return events[i].EventID.String()
	})
}

// eventsJSON lists events as [[id, "event id"], …].
func eventsJSON(events []Event) []any {
	return listJSON(events, func(e Event) []any { return []any{e.ID, e.EventID} })
}

// deliveredArrays are ids, event ids, partitions and offsets.
func deliveredArrays(rows []Delivered) []any {
	return arrays(4, len(rows), func(i, column int) string {
		switch d := rows[i]; {
		case column == 0:
			return strconv.FormatInt(d.ID, 10)
		case column == 1:
			return d.EventID.String()
		case !d.Placed:
			return "NULL"
		case column == 2:
			return strconv.FormatInt(int64(d.Partition), 10)
		default:
			return strconv.FormatInt(d.Offset, 10)
		}
	})
}

// deliveredJSON lists rows as [[id, "event id", partition, offset], …]. It leaves out a partition and offset
// that are not known, and the database reads them as NULL.
func deliveredJSON(rows []Delivered) []any {
	return listJSON(rows, func(d Delivered) []any {
		if d.Placed {
			return []any{d.ID, d.EventID, d.Partition, d.Offset}
		}
		return []any{d.ID, d.EventID}
	})
}

// parkingsJSON lists rows as [[id, "event id", "state", "error", 0 or 1], …].
func parkingsJSON(rows []Parking) []any {
	return listJSON(rows, func(p Parking) []any {
		return []any{p.ID, p.EventID, p.State, db.KeepError(p.Error), digit(p.Overtaken)}
	})
}

// rejectionsJSON lists rows as [[seq, "event id", "reason", 0 or 1], …].
func rejectionsJSON(rows []Rejection) []any {
	return listJSON(rows, func(r Rejection) []any {
		return []any{r.Seq, r.EventID, db.KeepError(r.Reason), digit(r.Overtaken)}
	})
}

// parkedJSON lists rows as [[seq, "event id"], …].
func parkedJSON(rows []DeliveredParked) []any {
	return listJSON(rows, func(p DeliveredParked) []any { return []any{p.Seq, p.EventID} })
}

func intsJSON(list []int64) string { return "[" + db.Ints(list) + "]" }

// listJSON is the one argument of a statement that takes a list.
func listJSON[T any](rows []T, values func(T) []any) []any {
	list := make([][]any, len(rows))
	for i, row := range rows {
		list[i] = values(row)
	}
	text, err := json.Marshal(list)
	if err != nil {
		panic(err) // numbers, ids and strings cannot fail
	}
	return []any{string(text)}
}

func digit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// maxListBytes keeps a statement's list below MariaDB's max_allowed_packet.
const maxListBytes = 7 << 20 / 2

// fitting returns how many of the rows, with errors of these lengths, fit into one statement. It returns at
// least 1. It counts six bytes for each byte, the most that JSON makes of one.
func fitting[T any](rows []T, length func(T) int) int {
	const rowOverhead = 128 // ids and punctuation
	size := 0
	for i, row := range rows {
		size += 6*min(length(row), db.MaxParkedError) + rowOverhead
		if i > 0 && size > maxListBytes {
			return i
		}
	}
	return len(rows)
}
