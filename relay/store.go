package relay

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/postroom/postroom/internal/dialect"
)

// store is what the relay needs of a database: one interface for each part that uses it.
type store interface {
	installation
	leases
	leaseNotes
	members
	reads
	deletes
	archives
	schedule
	blockedKeyStore
	requests
}

// installation is what the checks at start and the log need.
type installation interface {
	// Table is the outbox table's name, for messages.
	Table() string
	// Inspect describes the installation, and names the source if it has no name yet.
	Inspect(ctx context.Context, name string) (dialect.Source, error)
	// Lockers names the sessions that may have locked rows of the table.
	Lockers(ctx context.Context) ([]string, error)
}

// leases is what the lease's keeper needs.
type leases interface {
	Claim(ctx context.Context, c dialect.Claim) (dialect.Lease, bool, error)
	Renew(ctx context.Context, l dialect.Lease, ttl time.Duration) error
	Held(ctx context.Context, l dialect.Lease) (bool, error)
	// HandOver releases the lease, in favour of another process or of nobody.
	HandOver(ctx context.Context, l dialect.Lease, heir uuid.UUID) error
}

// leaseNotes are what the owner writes into the lease row. It has 9 methods, because each note
// is a column or a hint of its own.
type leaseNotes interface {
	Halt(ctx context.Context, l dialect.Lease, reason string) error
	SetMode(ctx context.Context, l dialect.Lease, mode string) error
	SetPosition(ctx context.Context, l dialect.Lease, position []byte) error
	// NoteBlind says whether the owner cannot reach its sink.
	NoteBlind(ctx context.Context, l dialect.Lease, blind bool) error
	// NoteOutage says since when the sink fails and why, or that it works.
	NoteOutage(ctx context.Context, l dialect.Lease, since time.Time, reason string) error
	// UsedTopics and SetUsedTopics keep which topics there were events for lately.
	UsedTopics(ctx context.Context) (map[string]string, error)
	SetUsedTopics(ctx context.Context, l dialect.Lease, topics []byte) error
	// Proved and SetProved keep the checkpoint.
	Proved(ctx context.Context, l dialect.Lease) ([]byte, error)
	SetProved(ctx context.Context, l dialect.Lease, proved []byte) error
}

// reads is what the cursor needs.
type reads interface {
	// Read visits rows in ascending order of id, all from one snapshot.
	Read(ctx context.Context, q dialect.ReadQuery, visit func(*dialect.Row) bool) (dialect.ReadInfo, error)
	// TornReads reports whether Read may not see one snapshot, so that a second read over its
	// gaps has to follow.
	TornReads() bool
	// Writers lists the transactions that may still fill a gap seen before the call.
	Writers(ctx context.Context) (dialect.Writers, error)
	// Below visits which rows there are up to an id, in ascending order.
	Below(ctx context.Context, id int64, limit int, visit func(dialect.Event) bool) error
	// Renumber gives a row the next id.
	Renumber(ctx context.Context, l dialect.Lease, row dialect.Event) error
}

// deletes is what the deleter and exactly-once mode need.
type deletes interface {
	// Delete removes delivered rows while the lease is held.
	Delete(ctx context.Context, l dialect.Lease, d dialect.Deletion) (int64, error)
	// DeleteNamed removes delivered rows, or says that the lease is not held.
	DeleteNamed(ctx context.Context, l dialect.Lease, events []dialect.Event) (int64, error)
	// Waiting returns those of the events that are in the table.
	Waiting(ctx context.Context, events []dialect.Event) ([]dialect.Delivered, error)
}

// blockedKeyStore is what the quarantine needs to park events and to know the blocked keys.
type blockedKeyStore interface {
	// Settle returns when no transaction that moves rows is open any more.
	Settle(ctx context.Context, l dialect.Lease) error
	// BlockedKeys visits the next part of the keys with parked rows, and says where to go on.
	BlockedKeys(ctx context.Context, after dialect.BlockedPart, visit func(topic string, key []byte)) (
		next dialect.BlockedPart, more bool, err error)
	// Blocked returns those of the keys that have parked rows.
	Blocked(ctx context.Context, keys []dialect.EventKey) ([]dialect.EventKey, error)
	// Overtake marks a part of what is parked as overtaken by later events of its keys, and says
	// where to go on.
	Overtake(ctx context.Context, l dialect.Lease, after int64) (next int64, more bool, err error)
	// Park moves rows to outbox_parked.
	Park(ctx context.Context, l dialect.Lease, rows []dialect.Parking) (int64, error)
}

// requests is what the quarantine needs to do what operators ask for.
type requests interface {
	// Asked reports whether there is a request.
	Asked(ctx context.Context) (bool, error)
	// DropAsked deletes parked rows that operators want dropped.
	DropAsked(ctx context.Context, l dialect.Lease, limit int) ([]dialect.Dropped, []dialect.EventKey, error)
	// Replayable visits parked rows that operators want sent again.
	Replayable(ctx context.Context, limit int, visit func(*dialect.ParkedRow) bool) error
	// Refuse notes that the sink rejects parked rows again, and why.
	Refuse(ctx context.Context, l dialect.Lease, rows []dialect.Refusal) error
	// Unpark deletes parked rows that were delivered, and returns the keys that are free by it.
	Unpark(ctx context.Context, l dialect.Lease, rows []dialect.DeliveredParked) ([]dialect.EventKey, error)
	// SentParked looks in the next part of the parked rows for events that transactions have named.
	SentParked(ctx context.Context, sent *dialect.SentEvents, after int64) (
		found []dialect.DeliveredParked, next int64, more bool, err error)
}

// archives is what the relay needs of a database that keeps delivered events.
type archives interface {
	// CheckArchive fails if the archive is not there or may not be written.
	CheckArchive(ctx context.Context) error
	// DeleteArchiving moves delivered rows into the archive, if the lease is held.
	DeleteArchiving(ctx context.Context, l dialect.Lease, rows []dialect.Delivered) (int64, error)
	// ArchiveSent does so with what committed transactions have named.
	ArchiveSent(ctx context.Context, l dialect.Lease, events []dialect.Event) (int64, error)
	// UnparkArchiving does so out of outbox_parked.
	UnparkArchiving(ctx context.Context, l dialect.Lease, rows []dialect.DeliveredParked) ([]dialect.EventKey, error)
	// Purge deletes at most limit old rows.
	Purge(ctx context.Context, o dialect.Old, limit int) (int64, error)
}

// schedule is what the relay needs of a database to deliver events at their time.
type schedule interface {
	// MoveDue moves events that are due to where they are read, if the lease is held, and
	// says when to call again.
	MoveDue(ctx context.Context, l dialect.Lease, limit int) (moved int, next time.Duration, err error)
}

// members is what the relay needs of a database to assign the sources evenly.
type members interface {
	// Peek looks at the lease without a lock.
	Peek(ctx context.Context, ttl time.Duration) (dialect.LeaseState, error)
	// Members lists the processes that serve the source, with how long ago they were seen.
	Members(ctx context.Context) ([]dialect.Member, error)
	// Beat tells that this process lives, and returns the others that do.
	Beat(ctx context.Context, m dialect.Member, window time.Duration) ([]dialect.Member, error)
	// Leave takes this process's heartbeat back.
	Leave(ctx context.Context, id uuid.UUID) error
}
