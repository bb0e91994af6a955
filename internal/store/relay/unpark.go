package relay

import (
	"context"
	"database/sql"
	"slices"

	"github.com/postroom/postroom/internal/db"
)

// DeliveredParked names a parked row that was delivered, and where the sink put it.
type DeliveredParked struct {
	ParkedEvent
	Size      int64 // in bytes, approximate
	Partition int32
	Offset    int64
	Placed    bool // the sink has set Partition and Offset
}

// releaseAtOnce is how many blocked rows one transaction sets to retry. The transaction holds the lease row
// locked, and must end long before the lease does. Later rows are released when these are gone.
const releaseAtOnce = 5000

// Unpark deletes rows that were delivered, each only if it still holds that event. It skips rows that are
// gone. If the first remaining row of a key is blocked, the rows before it have been delivered. Then Unpark
// sets the key's blocked rows up to its first failed one to retry (some thousands at a time, at least the
// first). It returns the keys that have no row any more: they are unblocked. After an error some of the rows
// may be gone, and all rows of the returned keys are gone.
//
// With an archive it moves the rows there in the same transactions, of some MiB each.
func (s Parked) Unpark(ctx context.Context, l Lease, rows []DeliveredParked) (freed []db.EventKey, err error) {
	for part := range moves(rows, func(d DeliveredParked) int64 { return d.Size }) {
		var keys []db.EventKey
		err := s.fencedAgain(ctx, l, func(tx *sql.Tx) (err error) {
			if err := s.archiveParked(ctx, tx, part); err != nil {
				return err
			}
			keys, err = s.unpark(ctx, tx, part)
			return err
		})
		if err != nil {
			return freed, err
		}
		freed = append(freed, keys...)
	}
	return freed, nil
}

// archiveParked copies rows to the archive, if there is one. Nobody else deletes rows between the copy and
// the delete: only the owner deletes, and it has the lease row locked.
func (s Parked) archiveParked(ctx context.Context, tx *sql.Tx, rows []DeliveredParked) error {
	if !s.archive {
		return nil
	}
	places := make([]Delivered, len(rows)) // seq takes the place of id
	for i, p := range rows {
		places[i] = Delivered{Event: Event{ID: p.Seq, EventID: p.EventID},
			Partition: p.Partition, Offset: p.Offset, Placed: p.Placed}
	}
	_, err := tx.ExecContext(ctx, s.sql.ArchiveParked, s.deliveredArgs(places)...)
	return err
}

func (s Parked) unpark(ctx context.Context, tx *sql.Tx, rows []DeliveredParked) ([]db.EventKey, error) {
	list := parkedJSON(rows)
	keys, err := s.parkedKeys(ctx, tx, list)
	if err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, s.sql.DeleteParked, list...); err != nil {
		return nil, err
	}
	return s.follow(ctx, tx, keys)
}

// parkedKeys returns the distinct topics and keys of rows.
func (s Parked) parkedKeys(ctx context.Context, tx *sql.Tx, list []any) (keys []db.EventKey, err error) {
	seen := make(map[db.EventKey]bool)
	err = db.Each(ctx, tx, func(rows *sql.Rows) error {
		var k db.EventKey
		if err := rows.Scan(&k.Topic, &k.Key); err != nil {
			return err
		}
		if !seen[k] {
			seen[k] = true
			keys = append(keys, k)
		}
		return nil
	}, s.sql.ParkedKeys, list...)
	return keys, err
}

// follow looks at keys whose rows were deleted. It frees the keys without a row. If the first row of a key is
// blocked, it releases that row and the blocked rows behind it.
func (s Parked) follow(ctx context.Context, tx *sql.Tx, keys []db.EventKey) (freed []db.EventKey, err error) {
	if len(keys) == 0 {
		return nil, nil
	}
	heads, err := s.dialect.firstParked(ctx, tx, keys)
	if err != nil {
		return nil, err
	}
	var blocked []parkedHead
	for _, h := range heads {
		switch {
		case h.seq == 0:
			freed = append(freed, h.key)
		case h.state == db.ParkedBlocked:
			blocked = append(blocked, h)
		}
	}
	for part := range slices.Chunk(blocked, releaseAtOnce) {
		ready, err := s.dialect.followers(ctx, tx, part, max(1, releaseAtOnce/len(blocked)))
		if err != nil {
			return nil, err
		}
		if _, err := tx.ExecContext(ctx, s.sql.Release, intsJSON(ready)); err != nil {
			return nil, err
		}
	}
	return freed, nil
}
