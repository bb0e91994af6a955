package dialect

import (
	"context"
	"database/sql"
)

// DeliveredParked names a parked row that was delivered, and where the sink put it.
type DeliveredParked struct {
	ParkedEvent
	Size      int64 // about; in bytes
	Partition int32
	Offset    int64
	Placed    bool // the sink told Partition and Offset
}

// The lists are those of the statements in relay_archive.go, with seq in the place of id.
const (
	postgresArchiveParked = `INSERT INTO {outbox_archive} (` + archiveColumns + `)
SELECT ` + archiveSelected + `delivered.kafka_partition, delivered.kafka_offset
FROM unnest($1::text::bigint[], $2::text::uuid[], $3::text::int[], $4::text::bigint[]) AS delivered (seq, event_id, kafka_partition, kafka_offset)
JOIN {outbox_parked} AS e ON e.seq = delivered.seq AND e.event_id = delivered.event_id
ORDER BY e.seq`

	mysqlArchiveParked = `INSERT INTO {outbox_archive} (` + archiveColumns + `)
SELECT ` + archiveSelected + `delivered.kafka_partition, delivered.kafka_offset
FROM JSON_TABLE(?, '$[*]' COLUMNS (seq BIGINT PATH '$[0]', event_id CHAR(36) PATH '$[1]',
  kafka_partition INT PATH '$[2]', kafka_offset BIGINT PATH '$[3]')) AS delivered
STRAIGHT_JOIN {outbox_parked} AS e FORCE INDEX (PRIMARY) ON e.seq = delivered.seq AND e.event_id = CONVERT(delivered.event_id USING ascii) COLLATE ascii_bin
ORDER BY delivered.seq`

	sqliteArchiveParked = `INSERT INTO {outbox_archive} (` + archiveColumns + `)
SELECT ` + archiveSelected + `json_extract(delivered.value, '$[2]'), json_extract(delivered.value, '$[3]')
FROM json_each(?) AS delivered CROSS JOIN {outbox_parked} AS e
  ON e.seq = json_extract(delivered.value, '$[0]') AND e.event_id = json_extract(delivered.value, '$[1]')
ORDER BY e.seq`
)

// UnparkArchiving is Unpark, and puts the rows into outbox_archive in the same transaction.
func (r *Relay) UnparkArchiving(ctx context.Context, l Lease, rows []DeliveredParked) ([]EventKey, error) {
	_, freed, err := r.unparkParts(ctx, l, rows, r.unparkArchiving)
	return freed, err
}

// unparkParts unparks rows, some MiB in a transaction.
func (r *Relay) unparkParts(ctx context.Context, l Lease, rows []DeliveredParked,
	unpark func(context.Context, *sql.Tx, []DeliveredParked) (int64, []EventKey, error)) (deleted int64, freed []EventKey, err error) {
	for part := range moves(rows, func(d DeliveredParked) int64 { return d.Size }) {
		var n int64
		var keys []EventKey
		err := r.fenced(ctx, l, func(tx *sql.Tx) (err error) {
			n, keys, err = unpark(ctx, tx, part)
			return err
		})
		if err != nil {
			return deleted, freed, err
		}
		deleted, freed = deleted+n, append(freed, keys...)
	}
	return deleted, freed, nil
}

// unparkArchiving copies and deletes. Between the two statements nobody else deletes:
// only the owner does, and it has the lease row locked.
func (r *Relay) unparkArchiving(ctx context.Context, tx *sql.Tx, rows []DeliveredParked) (int64, []EventKey, error) {
	places := make([]Delivered, len(rows))
	for i, p := range rows {
		places[i] = Delivered{Event: Event{ID: p.Seq, EventID: p.EventID}, Partition: p.Partition, Offset: p.Offset, Placed: p.Placed}
	}
	statement, args := postgresArchiveParked, deliveredArrays(places)
	if r.names.Dialect != PostgreSQL {
		list, err := deliveredJSON(places)
		if err != nil {
			return 0, nil, err
		}
		statement, args = map[Dialect]string{MySQL: mysqlArchiveParked, SQLite: sqliteArchiveParked}[r.names.Dialect], []any{list}
	}
	if _, err := tx.ExecContext(ctx, r.names.Expand(statement), args...); err != nil {
		return 0, nil, err
	}
	return r.unpark(ctx, tx, rows)
}
