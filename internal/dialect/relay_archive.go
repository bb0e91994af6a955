package dialect

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Delivered names a row that was delivered, and where the sink put it.
type Delivered struct {
	Event
	Size      int64 // about; in bytes
	Partition int32
	Offset    int64
	Placed    bool // the sink told Partition and Offset
}

// The move into outbox_archive and the delete are one statement, or one transaction:
// an event is never in neither table, nor in both. Payloads stay in the server. Rows go
// in ascending order of id, so that the archive's seq keeps the order of each key.
const (
	postgresArchive = `WITH gone AS (
  DELETE FROM {outbox_events} AS e
  USING unnest($1::text::bigint[], $2::text::uuid[], $3::text::int[], $4::text::bigint[]) AS delivered (id, event_id, kafka_partition, kafka_offset)
  WHERE e.id = delivered.id AND e.event_id = delivered.event_id` + postgresRowWait + `
  RETURNING e.id, e.event_id, e.topic, e.event_key, e.event_type, e.payload, e.headers, e.created_at,
            delivered.kafka_partition, delivered.kafka_offset
)
INSERT INTO {outbox_archive} (` + archiveColumns + `)
SELECT ` + archiveColumns + ` FROM gone ORDER BY id`

	archiveColumns = `id, event_id, topic, event_key, event_type, payload, headers, created_at, kafka_partition, kafka_offset`

	archiveSelected = `e.id, e.event_id, e.topic, e.event_key, e.event_type, e.payload, e.headers, e.created_at, `

	// FOR UPDATE: the DELETE that follows removes exactly the rows that were copied.
	// ORDER BY the list's id, and not the row's: only the list is sorted then, before
	// the join, and no payload. FORCE INDEX as in mysqlDeleteEvents.
	mysqlArchive = `INSERT INTO {outbox_archive} (` + archiveColumns + `)
SELECT ` + archiveSelected + `delivered.kafka_partition, delivered.kafka_offset
FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]', event_id CHAR(36) PATH '$[1]',
  kafka_partition INT PATH '$[2]', kafka_offset BIGINT PATH '$[3]')) AS delivered
STRAIGHT_JOIN {outbox_events} AS e FORCE INDEX (PRIMARY) ON e.id = delivered.id AND e.event_id = CONVERT(delivered.event_id USING ascii) COLLATE ascii_bin
ORDER BY delivered.id FOR UPDATE`

	// SQLite's one writer is this transaction: nothing changes between the two.
	sqliteArchive = `INSERT INTO {outbox_archive} (` + archiveColumns + `)
SELECT ` + archiveSelected + `json_extract(delivered.value, '$[2]'), json_extract(delivered.value, '$[3]')
FROM json_each(?) AS delivered CROSS JOIN {outbox_events} AS e
  ON e.id = json_extract(delivered.value, '$[0]') AND e.event_id = json_extract(delivered.value, '$[1]')
ORDER BY e.id`
)

// DeleteArchiving removes delivered rows as Delete does, each only if it still is that
// event, and puts them into outbox_archive in the same breath. It returns how many it
// removed, with an error too: it moves some MiB at a time (see maxMoveBytes), because each
// transaction holds the lease row locked (hazard stale-fence). ErrLeaseLost: another owner has
// the lease, and since it has nothing was done.
func (r *Relay) DeleteArchiving(ctx context.Context, l Lease, rows []Delivered) (removed int64, err error) {
	rows = slices.SortedFunc(slices.Values(rows), func(a, b Delivered) int { return cmp.Compare(a.ID, b.ID) })
	rows = slices.CompactFunc(rows, func(a, b Delivered) bool { return a.Event == b.Event })
	for part := range moves(rows, func(d Delivered) int64 { return d.Size }) {
		var n int64
		err := r.Fenced(ctx, l, func(tx *sql.Tx) (err error) {
			n, err = r.archive(ctx, tx, part)
			return err
		})
		if err != nil {
			return removed, err
		}
		removed += n
	}
	return removed, nil
}

// ArchiveSent is DeleteArchiving for events of which nothing else is known. Most of them
// are gone, as a rule.
func (r *Relay) ArchiveSent(ctx context.Context, l Lease, events []Event) (int64, error) {
	rows, err := r.Waiting(ctx, events)
	if err != nil {
		return 0, err
	}
	return r.DeleteArchiving(ctx, l, rows)
}

func (r *Relay) archive(ctx context.Context, tx *sql.Tx, rows []Delivered) (int64, error) {
	if r.names.Dialect == PostgreSQL {
		return affected(tx.ExecContext(ctx, r.names.Expand(postgresArchive), deliveredArrays(rows)...))
	}
	move, remove := mysqlRowWait+mysqlArchive, mysqlDeleteNamed
	if r.names.Dialect == SQLite {
		move, remove = sqliteArchive, sqliteDeleteNamed
	}
	list, err := deliveredJSON(rows)
	if err != nil {
		return 0, err
	}
	archived, err := affected(tx.ExecContext(ctx, r.names.Expand(move), list))
	if err != nil {
		return 0, err
	}
	removed, err := affected(tx.ExecContext(ctx, r.names.Expand(remove), list))
	if err == nil && removed != archived {
		err = fmt.Errorf("%d delivered rows of %s went into %s and %d were deleted, so nothing was done: look for a trigger on either table",
			archived, r.names.Plain(Events), r.names.Plain(Archive), removed)
	}
	return removed, err
}

// deliveredArrays are the four arguments of postgresArchive.
func deliveredArrays(rows []Delivered) []any {
	var columns [4]strings.Builder
	for i, d := range rows {
		partition, offset := "NULL", "NULL"
		if d.Placed {
			partition, offset = strconv.FormatInt(int64(d.Partition), 10), strconv.FormatInt(d.Offset, 10)
		}
		for c, value := range [...]string{strconv.FormatInt(d.ID, 10), d.EventID.String(), partition, offset} {
			columns[c].WriteByte("{,"[min(i, 1)])
			columns[c].WriteString(value)
		}
	}
	args := make([]any, len(columns))
	for c := range columns {
		args[c] = columns[c].String() + "}"
	}
	return args
}

// deliveredJSON lists rows as [[id, "event id", partition, offset], …], the last two
// only where they are known: what is missing becomes NULL.
func deliveredJSON(rows []Delivered) (string, error) {
	list := make([][]any, len(rows))
	for i, d := range rows {
		list[i] = []any{d.ID, d.EventID}
		if d.Placed {
			list[i] = append(list[i], d.Partition, d.Offset)
		}
	}
	text, err := json.Marshal(list)
	return string(text), err
}

// affected is how many rows a statement changed.
func affected(result sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}
