package dialect

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Old says which rows of a table are to be purged: those whose column Time is longer
// ago than Age, by the database's clock.
type Old struct {
	table, time string
	Age         time.Duration
}

// Table is the default name of the table.
func (o Old) Table() string { return o.table }

// OldArchived are the archived events delivered longer ago than age.
func OldArchived(age time.Duration) Old { return Old{Archive, "delivered_at", age} }

// OldDrops are the notes of events dropped longer ago than age.
func OldDrops(age time.Duration) Old { return Old{Drops, "dropped_at", age} }

// condition names no volatile function: clock_timestamp() would be called for each row,
// and its result cannot be looked up in an index.
func (o Old) condition(d Dialect) string {
	switch d {
	case PostgreSQL:
		return o.time + " < now() - " + strconv.FormatInt(o.Age.Microseconds(), 10) + " * interval '1 microsecond'"
	case MySQL:
		return o.time + " < UTC_TIMESTAMP(6) - INTERVAL " + strconv.FormatInt(o.Age.Microseconds(), 10) + " MICROSECOND"
	}
	return o.time + " < " + sqliteNow(strconv.FormatInt(-o.Age.Milliseconds(), 10))
}

// Purge deletes at most limit rows, the oldest first, and returns how many they were.
// Fewer than limit: no more are left.
func (r *Relay) Purge(ctx context.Context, o Old, limit int) (int64, error) {
	return affected(r.db.ExecContext(ctx, r.names.Expand(o.purge(r.names.Dialect, limit))))
}

func (o Old) purge(d Dialect, limit int) string {
	oldest := fmt.Sprintf("{%s} WHERE %s ORDER BY %s LIMIT %d", o.table, o.condition(d), o.time, limit)
	switch d {
	case PostgreSQL:
		// ANY (ARRAY …), not IN: the planner takes IN for a join, and by stale statistics
		// reads the whole table for it.
		return fmt.Sprintf("DELETE FROM {%s} WHERE seq = ANY (ARRAY(SELECT seq FROM %s))", o.table, oldest)
	case MySQL:
		return "DELETE FROM " + oldest
	}
	return fmt.Sprintf("DELETE FROM {%s} WHERE seq IN (SELECT seq FROM %s)", o.table, oldest)
}

// CountOld counts the rows that Purge would delete.
func (r *Relay) CountOld(ctx context.Context, o Old) (n int64, err error) {
	count := fmt.Sprintf("SELECT COUNT(*) FROM {%s} WHERE %s", o.table, o.condition(r.names.Dialect))
	err = r.db.QueryRowContext(ctx, r.names.Expand(count)).Scan(&n)
	return n, err
}

// CheckArchive fails if the archive is not there, or the user may not write, read or
// purge it. The statements name no row. SQLite has no users, and a statement that
// writes would wait for a writer.
func (r *Relay) CheckArchive(ctx context.Context) error {
	statements := []string{"DELETE FROM {outbox_archive} WHERE seq = -1"}
	if r.names.Dialect == SQLite {
		statements[0] = "SELECT seq FROM {outbox_archive} WHERE seq = -1"
	} else {
		statements = append(statements, "INSERT INTO {outbox_archive} ("+archiveColumns+") SELECT "+archiveColumns+" FROM {outbox_archive} WHERE seq = -1")
	}
	var errs []error
	for _, s := range statements {
		_, err := r.db.ExecContext(ctx, r.names.Expand(s))
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
