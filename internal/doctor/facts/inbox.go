package facts

import (
	"context"
	"database/sql"
	"time"

	"github.com/postroom/postroom/internal/db"
	inboxstore "github.com/postroom/postroom/internal/store/inbox"
)

// InboxTables reports which tables of the inbox exist; see Tables.
func (d *Database) InboxTables(ctx context.Context) (Tables, error) {
	return d.tables(ctx, append(append(consumerTables(), db.InboxReplicaRows, db.InboxRuns), d.dailyTables()...))
}

// consumerTables returns the default names of the tables that every consumer needs.
func consumerTables() []string {
	return []string{db.InboxEvents, db.InboxAttempts, db.InboxBlocked, db.InboxParked, db.InboxOffsets}
}

// dailyTables returns the tables of daily partitions that a consumer reads or writes by name. MySQL has none
// of them, and could not report that they are missing.
func (d *Database) dailyTables() []string {
	if d.names.Dialect != db.PostgreSQL {
		return nil
	}
	return []string{db.InboxExpiry, db.InboxUndated, db.InboxStrays}
}

// InboxGrants lists the rights that a consumer's user lacks; see Grants.
func (d *Database) InboxGrants(ctx context.Context, tables Tables) ([]Grant, error) {
	rights := map[string][]string{}
	for _, table := range consumerTables() {
		rights[table] = []string{"SELECT", "INSERT", "UPDATE", "DELETE"}
	}
	rights[db.InboxExpiry] = []string{"SELECT", "INSERT", "UPDATE"}
	rights[db.InboxUndated], rights[db.InboxStrays] = []string{"SELECT"}, []string{"SELECT"}
	return d.grants(ctx, tables, wanted{tables: append(consumerTables(), d.dailyTables()...), rights: rights})
}

// InboxVacuum does what Vacuum does, for the table from which messages are purged row by row.
func (d *Database) InboxVacuum(ctx context.Context, l inboxstore.Layout) (Vacuum, string, error) {
	table := db.InboxEvents
	if l.Daily {
		table = db.InboxUndated
	}
	v, err := d.vacuum(ctx, table)
	return v, table, err
}

// Blocked is a contradiction between inbox_blocked and inbox_parked, for one key.
type Blocked struct {
	Consumer, Topic, Key string
	// Seq is a parked message that waits for nothing. It is 0 if the key is blocked and has no parked
	// message.
	Seq int64
	// Head is true if the message is the first of its key, and the key is blocked.
	Head bool
}

// LooseKeys lists up to 20 blocked keys without a parked message, up to 20 parked messages that wait behind a
// key which is not blocked, and up to 20 messages that wait although they are the first of a blocked key.
func (d *Database) LooseKeys(ctx context.Context) (loose []Blocked, err error) {
	err = d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		loose = nil
		for _, query := range []string{d.sql.EmptyKeys, d.sql.WaitingMessages, d.sql.WaitingHeads} {
			err := db.Each(ctx, tx, func(rows *sql.Rows) error {
				var b Blocked
				var key sql.NullString
				err := rows.Scan(&b.Consumer, &b.Topic, &key, &b.Seq, &b.Head)
				b.Key = key.String
				loose = append(loose, b)
				return err
			}, query)
			if err != nil {
				return err
			}
		}
		return nil
	})
	return loose, err
}

// Days describes the daily partitions.
type Days struct {
	// Ahead is how many days after today have a partition, up to the first day without one. It is -1 if today
	// has none.
	Ahead   int
	Strays  bool                     // there are messages in the default partition
	Told    map[string]time.Duration // the retention that each consumer has reported
	Overdue []inboxstore.Day         // oldest days that ended two days before every retention, and why they stay
}

// Days queries the daily partitions.
func (d *Database) Days(ctx context.Context) (v Days, err error) {
	tables, err := inboxstore.New(d.names)
	if err != nil {
		return v, err
	}
	days := tables.Days(d.limit)
	err = d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		v = Days{Told: map[string]time.Duration{}}
		err := tx.QueryRowContext(ctx, d.postgres.Days,
			d.names.Table(db.InboxEvents), d.names.Prefix+db.InboxDay).Scan(&v.Ahead, &v.Strays)
		if err != nil {
			return err
		}
		var longest time.Duration
		err = db.Each(ctx, tx, func(rows *sql.Rows) error {
			var consumer string
			var us int64
			err := rows.Scan(&consumer, &us)
			v.Told[consumer] = time.Duration(us) * time.Microsecond
			longest = max(longest, v.Told[consumer])
			return err
		}, d.postgres.Retentions)
		if err != nil {
			return err
		}
		old, err := days.Ended(ctx, tx, longest+2*24*time.Hour)
		if err != nil {
			return err
		}
		for _, day := range old[:min(len(old), 3)] {
			is, err := days.Check(ctx, tx, day)
			if err != nil {
				return err
			}
			v.Overdue = append(v.Overdue, is)
		}
		return nil
	})
	return v, err
}

// InboxWaits lists sessions that wait for a lock on the tables on which consumers block one another, the
// longest wait first.
func (d *Database) InboxWaits(ctx context.Context) (waits []inboxstore.LockWait, err error) {
	tables, err := inboxstore.New(d.names)
	if err != nil {
		return nil, err
	}
	err = d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		waits, err = tables.LockWaits(ctx, tx)
		return err
	})
	return waits, err
}
