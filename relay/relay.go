package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/postroom/postroom/internal/dialect"
)

// Relay forwards the events of one source to one sink. Make one with New and call Run.
type Relay struct {
	cfg    Config
	store  store
	log    *slog.Logger
	health *health

	spread    *spread
	beatFails bool      // the last heartbeat did
	beatOff   time.Time // until then none is tried

	running atomic.Bool
	wake    chan struct{}

	// carried are events that were delivered in an earlier turn of this process and
	// whose delete is not known to have committed. Only Run's goroutine touches it.
	carried []dialect.Delivered
	// unparked are the same out of outbox_parked.
	unparked []dialect.DeliveredParked
	// overtaken are events that were refused in company, after later ones of their key
	// had been delivered.
	overtaken map[uuid.UUID]string // event → topic; until it is parked, or its topic's trial is over
	unsure    uuid.UUID            // owner of a claim whose answer was lost
	cameBack  bool                 // ids did: what the lease row says is proved is not true

	topics topicList
	used   usedTopics
	sight  sight

	scheduleOff sync.Once // it was said that scheduled events cannot be moved
	otherMode   sync.Once // it was said that this relay would switch exactly-once off
}

// store is what the relay needs of a database.
type store interface {
	// Table is the outbox table's name, for messages.
	Table() string
	// Inspect describes the installation, and names the source if it has no name yet.
	Inspect(ctx context.Context, name string) (dialect.Source, error)
	leases
	members
	// Read visits rows in ascending order of id, all from one snapshot.
	Read(ctx context.Context, q dialect.ReadQuery, visit func(*dialect.Row) bool) (dialect.ReadInfo, error)
	// Below visits which rows there are up to an id, in ascending order.
	Below(ctx context.Context, id int64, limit int, visit func(dialect.Event) bool) error
	// TornReads reports whether a read must be followed by a second one over its gaps.
	TornReads() bool
	// Writers lists the transactions that may still fill a gap seen before the call.
	Writers(ctx context.Context) (dialect.Writers, error)
	// DeleteNamed removes delivered rows, or says that the lease is not held.
	DeleteNamed(ctx context.Context, l dialect.Lease, events []dialect.Event) (int64, error)
	// Waiting returns those of the events that are in the table.
	Waiting(ctx context.Context, events []dialect.Event) ([]dialect.Delivered, error)
	// Delete removes delivered rows while the lease is held.
	Delete(ctx context.Context, l dialect.Lease, d dialect.Deletion) (int64, error)
	// Renumber gives a row the next id.
	Renumber(ctx context.Context, l dialect.Lease, row dialect.Event) error
	// Lockers names the sessions that may have locked rows of the table.
	Lockers(ctx context.Context) ([]string, error)
	archives
	schedule
	parkedStore
}

// parkedStore moves rows to outbox_parked and out of it.
type parkedStore interface {
	// Settle returns when no transaction that moves rows is open any more.
	Settle(ctx context.Context, l dialect.Lease) error
	// BlockedKeys visits the next part of the keys with parked rows, and says where to go on.
	BlockedKeys(ctx context.Context, after dialect.BlockedPart, visit func(topic string, key []byte)) (dialect.BlockedPart, bool, error)
	// Blocked returns those of the keys that have parked rows.
	Blocked(ctx context.Context, keys []dialect.EventKey) ([]dialect.EventKey, error)
	// Overtake marks a part of what is parked as overtaken by later events of its keys, and says where to go on.
	Overtake(ctx context.Context, l dialect.Lease, after int64) (next int64, more bool, err error)
	Park(ctx context.Context, l dialect.Lease, rows []dialect.Parking) (int64, error)
	Refuse(ctx context.Context, l dialect.Lease, rows []dialect.Refusal) error
	Asked(ctx context.Context) (bool, error)
	DropAsked(ctx context.Context, l dialect.Lease, limit int) ([]dialect.Dropped, []dialect.EventKey, error)
	Replayable(ctx context.Context, limit int, visit func(*dialect.ParkedRow) bool) error
	Unpark(ctx context.Context, l dialect.Lease, rows []dialect.DeliveredParked) ([]dialect.EventKey, error)
	// SentParked looks in the next part of the parked rows for events that transactions have named.
	SentParked(ctx context.Context, sent *dialect.SentEvents, after int64) (found []dialect.DeliveredParked, next int64, more bool, err error)
}

type leases interface {
	Claim(ctx context.Context, c dialect.Claim) (dialect.Lease, bool, error)
	Renew(ctx context.Context, l dialect.Lease, ttl time.Duration) error
	Held(ctx context.Context, l dialect.Lease) (bool, error)
	// HandOver releases the lease, in favour of another process or of nobody.
	HandOver(ctx context.Context, l dialect.Lease, heir uuid.UUID) error
	Halt(ctx context.Context, l dialect.Lease, reason string) error
	SetMode(ctx context.Context, l dialect.Lease, mode string) error
	SetPosition(ctx context.Context, l dialect.Lease, position []byte) error
	// NoteBlind says in the lease row whether the owner cannot reach its sink.
	NoteBlind(ctx context.Context, l dialect.Lease, blind bool) error
	// NoteOutage says in the lease row since when the sink fails and why, or that it works.
	NoteOutage(ctx context.Context, l dialect.Lease, since time.Time, reason string) error
	// UsedTopics and SetUsedTopics keep which topics there were events for lately.
	UsedTopics(ctx context.Context) (map[string]string, error)
	SetUsedTopics(ctx context.Context, l dialect.Lease, topics []byte) error
	// Proved and SetProved keep which ids no start has to ask for.
	Proved(ctx context.Context, l dialect.Lease) ([]byte, error)
	SetProved(ctx context.Context, l dialect.Lease, proved []byte) error
}

// New returns a relay for cfg, or an error that names every field that cannot be
// used. It does not talk to the database or the sink.
func New(cfg Config) (*Relay, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	st, err := dialect.NewRelay(cfg.DB, cfg.names())
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	return newRelay(cfg, st.WithLeaseDB(cfg.LeaseDB)), nil
}

func newRelay(cfg Config, st store) *Relay {
	log := cfg.Logger.With("source", cfg.Source)
	return &Relay{
		cfg: cfg, store: st, log: log, health: newHealth(log), wake: make(chan struct{}, 1),
		overtaken: make(map[uuid.UUID]string), topics: newTopicList(cfg.Topics),
		spread: newSpread(cfg.Process, cfg.Source, cfg.LeaseTTL),
	}
}

// Wake makes a waiting relay read at once. A service that runs its relay in process
// calls it after it has committed. It never blocks and may be called at any time.
func (r *Relay) Wake() { signal(r.wake) }

// Run relays until ctx ends, and then drains: it stops reading, waits for the records
// on their way for at most Config.DrainTimeout, deletes those that arrived, releases
// the lease and returns nil. When the time is not enough the error says so; nothing is
// lost, and the next owner may send those records again.
//
// At start it returns an error, at once, when the sink or the database cannot be
// reached, when the tables are missing (ErrNotMigrated), when the database is a standby
// (ErrStandby) or its source has another name (ErrWrongSource). Tables that somebody has
// locked for longer than a statement may wait are waited for. From then on it rides
// out outages of both. It returns a *RejectedError when the sink refuses an event.
//
// While another relay owns the source, Run waits to take over. Relays of one source in
// several processes spread their sources evenly over the live ones, see Config.Process. Run may be called again
// after it returned, but not twice at a time.
func (r *Relay) Run(ctx context.Context) error {
	if !r.running.CompareAndSwap(false, true) {
		return errors.New("relay: Run is running already: make a relay for each source")
	}
	defer r.running.Store(false)
	if err := r.checkAtStart(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // asked to stop before anything began
		}
		return fmt.Errorf("relay: source %q: %w", r.cfg.Source, err)
	}
	if err := r.turns(ctx); err != nil {
		return fmt.Errorf("relay: source %q: %w", r.cfg.Source, err)
	}
	return nil
}

// startTimeout bounds the checks at start: a wrong address should be told soon.
const startTimeout = 10 * time.Second

// checkAtStart waits for tables that somebody has locked: they are there.
func (r *Relay) checkAtStart(ctx context.Context) error {
	retry := newBackoff(r.cfg.RetryMin, r.cfg.RetryMax)
	for {
		err := r.check(ctx)
		if !dialect.IsLockTimeout(err) || ctx.Err() != nil {
			return err
		}
		r.health.paused(partDatabase, err)
		retry.wait(ctx)
	}
}

func (r *Relay) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	src, err := r.store.Inspect(ctx, r.cfg.Source)
	if err != nil {
		return r.explain(err)
	}
	if src.Standby {
		return ErrStandby
	}
	if src.Name != r.cfg.Source {
		return fmt.Errorf("%w: %s belongs to source %q; start this relay with that name, or give it a table of its own (another prefix)",
			ErrWrongSource, r.store.Table(), src.Name)
	}
	if src.Unordered != "" {
		r.log.Warn("no order is promised on this server", "reason", src.Unordered)
	}
	if err := r.checkArchive(ctx); err != nil {
		return err
	}
	return r.cfg.Sink.Check(ctx)
}

// turns claims the lease when it is free, and works through one turn after another.
func (r *Relay) turns(ctx context.Context) error {
	defer r.leave()
	retry := newBackoff(r.cfg.RetryMin, r.cfg.RetryMax)
	waiting := false
	for first := true; ctx.Err() == nil; first = false {
		var k *keeper
		wait, err := r.approach(ctx)
		if err == nil && wait == 0 {
			k, err = r.claim(ctx)
			wait = r.cfg.LeaseTTL / 20 // somebody was quicker
		}
		switch {
		case err != nil && ctx.Err() != nil:
			return nil
		case errors.Is(err, dialect.ErrSequenceBehind) && first:
			return err
		case dialect.IsDenied(err) && first:
			return r.explain(err)
		case err != nil:
			r.health.paused(partDatabase, err)
			retry.wait(ctx)
		case k == nil:
			r.health.resumed(partDatabase)
			if !waiting {
				r.log.Info("waiting: another relay owns this source")
			}
			waiting = true
			sleep(ctx, wait, nil)
		default:
			r.health.resumed(partDatabase)
			waiting = false
			began := time.Now()
			if done, err := r.turnOrHandOver(ctx, k); done {
				return err
			}
			if time.Since(began) > r.cfg.LeaseTTL { // sooner: two servers may answer in turn
				retry.reset()
			}
			retry.wait(ctx)
		}
	}
	return nil
}

func newOwner() uuid.UUID { return uuid.New() }
