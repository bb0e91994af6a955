package facts

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/store/source"
)

// Lease is the row of outbox_leases. Its times are by the database's clock.
type Lease struct {
	Source   string // "" until the first relay set it
	SourceID string
	Owner    string // "": nobody
	Epoch    int64
	Expires  bool          // the lease has an end
	Left     time.Duration // time until the end; negative: the end has passed
	TTL      time.Duration // length of the last claim; 0: never claimed, or by an old build
	Mode     string        // "" before the first claim
	Halted   string        // why the source stopped; "": it did not
	Blind    string        // since when its owner has not reached the sink, in RFC 3339; "": it does
	Outage   source.Outage // outage of the owner's sink
	Position string        // where the sink's transactions stood, as JSON; "": nothing kept
	// Topics are the topics that recently had events, each with its last day (2006-01-02, UTC).
	Topics map[string]string
}

// Lease reads the lease row. It returns sql.ErrNoRows if there is no row.
func (d *Database) Lease(ctx context.Context) (Lease, error) {
	var l Lease
	err := d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var name, owner, mode, halted, position, topics, blind, outage sql.NullString
		var left, ttl sql.NullInt64
		err := tx.QueryRowContext(ctx, d.sql.Lease).Scan(
			&name, &l.SourceID, &owner, &l.Epoch, &left, &mode, &halted, &ttl, &position, &topics, &blind, &outage,
		)
		l.Source, l.Owner, l.Mode = name.String, owner.String, mode.String
		l.Halted, l.Position = halted.String, position.String
		l.Blind = blind.String
		l.Expires, l.Left, l.TTL = left.Valid, db.Micros(left), db.Micros(ttl)
		l.Outage = source.ParseOutage(outage)
		// Invalid hints are ignored.
		if json.Unmarshal([]byte(topics.String), &l.Topics) != nil {
			l.Topics = nil
		}
		return err
	})
	return l, err
}

// Relay is a live relay process, from its row in outbox_relays.
type Relay struct {
	ID    string
	Host  string
	Owned int64
	Seen  time.Duration // time since its last heartbeat
}

// RelayProcesses lists the relay processes that had a heartbeat within the last hour, the latest first.
func (d *Database) RelayProcesses(ctx context.Context) ([]Relay, error) {
	var relays []Relay
	err := d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return db.Each(ctx, tx, func(rows *sql.Rows) error {
			var r Relay
			var seen sql.NullInt64
			err := rows.Scan(&r.ID, &r.Host, &r.Owned, &seen)
			r.Seen = db.Micros(seen)
			relays = append(relays, r)
			return err
		}, d.sql.RelayProcesses)
	})
	return relays, err
}

// MigrationLock is the lock of a running migration.
type MigrationLock struct {
	Owner string
	Left  time.Duration
}

// MigrationLock returns who holds the migration lock, or nil if nobody does.
func (d *Database) MigrationLock(ctx context.Context) (*MigrationLock, error) {
	var owner sql.NullString
	var left sql.NullInt64
	err := d.look(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, d.sql.MigrationLock).Scan(&owner, &left)
	})
	if errors.Is(err, sql.ErrNoRows) || db.IsMissingTable(err) {
		return nil, nil // another tool created the tables
	}
	if err != nil || !owner.Valid || left.Int64 <= 0 {
		return nil, err
	}
	return &MigrationLock{Owner: owner.String, Left: db.Micros(left)}, nil
}
