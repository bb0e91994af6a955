package relay

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/postroom/postroom/internal/db"
)

// Run is a run of consecutive ids, all acknowledged, that ends at the row Last.
type Run struct {
	Lo   int64
	Last Event
}

// Deletion names delivered rows, as runs and single events. Rows names the same rows one by one for the
// archive.
type Deletion struct {
	Runs   []Run
	Events []Event
	Rows   []Delivered
}

// Delivered names a row that was delivered, and where the sink put it.
type Delivered struct {
	Event
	Size      int64 // in bytes, approximate
	Partition int32
	Offset    int64
	Placed    bool // the sink has set Partition and Offset
}

// Delete removes delivered rows while the lease is held, on the server that granted it, and returns how many
// it removed. It does not say why it removed fewer than d names. DeleteDelivered says that. A run is removed
// only if its last row still holds that event, and a single row only if it does, because after a failover the
// same ids may belong to other events.
//
// With an archive it moves the rows of d.Rows there, as DeleteDelivered does.
func (s Events) Delete(ctx context.Context, l Lease, d Deletion) (int64, error) {
	if s.archive {
		return s.moveToArchive(ctx, l, d.Rows)
	}
	var total int64
	for _, run := range d.Runs {
		n, err := s.deleteRun(ctx, l, run)
		if err != nil {
			return total, err
		}
		total += n
	}
	if len(d.Events) > 0 {
		n, err := s.deleteEvents(ctx, s.pool, l, d.Events)
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}

// deleteRun deletes a range, and checks the event of its last row alone. Its ids were all acknowledged, and a row
// keeps its id until it is deleted. Where ids went back (TRUNCATE … RESTART IDENTITY, a restore), they are given
// again in ascending order: while the last row still holds its event, no lower id has another (hazard reused-ids).
func (s Events) deleteRun(ctx context.Context, l Lease, r Run) (int64, error) {
	last, event, owner := r.Last.ID, r.Last.EventID.String(), l.Owner.String()
	return db.Affected(s.pool.ExecContext(ctx, s.sql.DeleteRun, db.For(s.names.Dialect,
		[]any{r.Lo, last, event, owner, l.Epoch, l.Server},
		[]any{r.Lo, last, last, event, owner, l.Epoch, l.Server, last - r.Lo + 1},
		[]any{r.Lo, last, last, event, owner, l.Epoch})...))
}

func (s Events) deleteEvents(ctx context.Context, q execer, l Lease, events []Event) (int64, error) {
	args := append(db.For(s.names.Dialect, eventArrays, eventsJSON, eventsJSON)(events), l.Owner.String(), l.Epoch)
	if s.names.Dialect != db.SQLite {
		args = append(args, l.Server)
	}
	return db.Affected(q.ExecContext(ctx, s.sql.DeleteEvents, args...))
}

// DeleteDelivered removes delivered rows, each only if it still holds that event. After it has returned
// without an error, none of them is left on the server that granted the lease. ErrLeaseLost and
// ErrServerChanged say that it removed nothing.
//
// With an archive it moves the rows there, some MiB in a transaction (see maxMoveBytes), because each
// transaction holds the lease row locked (hazard stale-fence). It returns how many rows it removed, even with
// an error.
func (s Events) DeleteDelivered(ctx context.Context, l Lease, rows []Delivered) (int64, error) {
	if s.archive {
		return s.moveToArchive(ctx, l, rows)
	}
	events := make([]Event, len(rows))
	for i, row := range rows {
		events[i] = row.Event
	}
	return s.deleteNamed(ctx, l, events)
}

// deleteNamed checks the lease after the delete, on the same connection. If the lease is still held then, the
// rows that the delete did not find were not in the table. It does not lock the lease row, because the delete
// may wait for a row.
func (s Events) deleteNamed(ctx context.Context, l Lease, events []Event) (removed int64, err error) {
	err = s.inTx(ctx, func(tx *sql.Tx) error {
		if removed, err = s.deleteEvents(ctx, tx, l, events); err != nil {
			return err
		}
		return s.checkLease(ctx, tx, l, s.sql.LeaseOwner)
	})
	if err != nil {
		return 0, err
	}
	return removed, nil
}

// moveToArchive moves rows, each only if it still holds that event.
func (s Events) moveToArchive(ctx context.Context, l Lease, rows []Delivered) (removed int64, err error) {
	rows = slices.SortedFunc(slices.Values(rows), func(a, b Delivered) int { return cmp.Compare(a.ID, b.ID) })
	rows = slices.CompactFunc(rows, func(a, b Delivered) bool { return a.Event == b.Event })
	for part := range moves(rows, func(d Delivered) int64 { return d.Size }) {
		var n int64
		err := s.Fenced(ctx, l, func(tx *sql.Tx) (err error) {
			n, err = s.archivePart(ctx, tx, part)
			return err
		})
		if err != nil {
			return removed, err
		}
		removed += n
	}
	return removed, nil
}

func (s Events) archivePart(ctx context.Context, tx *sql.Tx, rows []Delivered) (int64, error) {
	args := s.deliveredArgs(rows)
	archived, err := db.Affected(tx.ExecContext(ctx, s.sql.ArchiveEvents, args...))
	if err != nil || s.sql.twoStep.DeleteArchived == "" {
		return archived, err
	}
	removed, err := db.Affected(tx.ExecContext(ctx, s.sql.twoStep.DeleteArchived, args...))
	if err == nil && removed != archived {
		err = fmt.Errorf("%d delivered rows of %s went into %s and %d were deleted, so nothing was done: look for a "+
			"trigger on either table", archived, s.names.Plain(db.Events), s.names.Plain(db.Archive), removed)
	}
	return removed, err
}

// deliveredArgs are the arguments of ArchiveEvents and ArchiveParked.
func (c *conn) deliveredArgs(rows []Delivered) []any {
	return db.For(c.names.Dialect, deliveredArrays, deliveredJSON, deliveredJSON)(rows)
}
