package relay

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/relay"
)

// database is what the relay needs from a database. It has one interface for each part that uses it.
// internal/store/relay implements it.
type database interface {
	// Inspect describes the installation, and names the source if it has no name yet.
	Inspect(ctx context.Context, name string) (store.Source, error)

	leases
	fleet
	reads
	deletes
	upkeep
	parkingStore
	operatorRequests
}

// leases is what the owner needs to hold the lease, and to write notes into its row that outlive the term.
type leases interface {
	Claim(ctx context.Context, c store.Claim) (store.Lease, bool, error)
	Renew(ctx context.Context, l store.Lease, ttl time.Duration) error
	Held(ctx context.Context, l store.Lease) (bool, error)
	// HandOver releases the lease, for a certain process or for any.
	HandOver(ctx context.Context, l store.Lease, heir uuid.UUID) error
	// Note writes a note into the lease row: the mode, the sink's position, why the source stopped, and so on.
	Note(ctx context.Context, l store.Lease, n store.Note) error
	// ReadNote returns the topics that the source recently had events for, or the checkpoint.
	ReadNote(ctx context.Context, l store.Lease, field store.Field) ([]byte, error)
}

// fleet is what the relay needs to assign the sources evenly to the processes.
type fleet interface {
	// LeaseState looks at the lease without a lock.
	LeaseState(ctx context.Context, ttl time.Duration) (store.LeaseState, error)
	// Heartbeat writes that this process is alive, unless it is hidden, and returns the other processes that
	// are alive.
	Heartbeat(ctx context.Context, m store.Member, window time.Duration, hidden bool) ([]store.Member, error)
	// Leave removes this process's heartbeat.
	Leave(ctx context.Context, id uuid.UUID) error
}

// reads is what the cursor needs.
type reads interface {
	// Read visits rows in ascending order of id.
	Read(ctx context.Context, q store.ReadQuery, visit func(*store.Row) bool) (store.ReadInfo, error)
	// OpenWriters lists the transactions that may still fill a gap seen before the call.
	OpenWriters(ctx context.Context) (store.Writers, error)
	// EventsUpTo visits the events up to an id, in ascending order.
	EventsUpTo(ctx context.Context, id int64, limit int, visit func(store.Event) bool) error
	// Renumber gives a row the next id.
	Renumber(ctx context.Context, l store.Lease, row store.Event) error
}

// deletes is what the deleter and exactly-once mode need. With an archive, deleted rows move there.
type deletes interface {
	// Delete removes delivered rows while the lease is held.
	Delete(ctx context.Context, l store.Lease, d store.Deletion) (int64, error)
	// DeleteDelivered removes delivered rows, or returns an error that says that the lease is not held.
	DeleteDelivered(ctx context.Context, l store.Lease, rows []store.Delivered) (int64, error)
	// FindEvents returns those of the events that are in the table.
	FindEvents(ctx context.Context, events []store.Event) ([]store.Delivered, error)
	// LockHolders names the sessions that may have locked rows of the table.
	LockHolders(ctx context.Context) ([]string, error)
}

// upkeep is what a term does in addition to its sessions.
type upkeep interface {
	// Purge deletes at most limit old rows of the archive.
	Purge(ctx context.Context, o store.Old, limit int) (int64, error)
	// MoveDue moves due events to the table that the relay reads, if the lease is held, and says when to call
	// again.
	MoveDue(ctx context.Context, l store.Lease, limit int) (moved int, next time.Duration, err error)
}

// parkingStore is what the quarantine needs to park events and to know the blocked keys.
type parkingStore interface {
	// WaitForMoves returns when no transaction that moves rows is open any more.
	WaitForMoves(ctx context.Context, l store.Lease) error
	// ScanBlockedKeys visits the next part of the keys with parked rows, and says where to go on.
	ScanBlockedKeys(ctx context.Context, after store.BlockedPart, visit func(topic string, key []byte)) (
		next store.BlockedPart, more bool, err error)
	// FindBlockedKeys returns those of the keys that have parked rows.
	FindBlockedKeys(ctx context.Context, keys []db.EventKey) ([]db.EventKey, error)
	// MarkOvertaken marks a part of the parked rows as overtaken by later events of their keys, and says
	// where to go on.
	MarkOvertaken(ctx context.Context, l store.Lease, after int64) (next int64, more bool, err error)
	// Park moves rows to outbox_parked.
	Park(ctx context.Context, l store.Lease, rows []store.Parking) (int64, error)
}

// operatorRequests is what the quarantine needs to do what operators ask for.
type operatorRequests interface {
	// DropRequested looks for requests, and deletes parked rows that operators want dropped.
	DropRequested(ctx context.Context, l store.Lease, limit int) (store.Drops, error)
	// Replayable visits parked rows that operators want sent again.
	Replayable(ctx context.Context, limit int, visit func(*store.ParkedRow) bool) error
	// Reject notes that the sink rejects parked rows again, and why.
	Reject(ctx context.Context, l store.Lease, rows []store.Rejection) error
	// Unpark deletes parked rows that were delivered, and returns the keys that have no parked row any more.
	// With an archive the rows move there.
	Unpark(ctx context.Context, l store.Lease, rows []store.DeliveredParked) ([]db.EventKey, error)
	// FindSentParked looks in the next part of the parked rows for events that transactions have named.
	FindSentParked(ctx context.Context, sent *store.SentEvents, after int64) (
		found []store.DeliveredParked, next int64, more bool, err error)
}
