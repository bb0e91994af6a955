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

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/assignment"
	"github.com/postroom/postroom/relay/internal/health"
	"github.com/postroom/postroom/relay/internal/pacing"
	"github.com/postroom/postroom/relay/internal/topics"
)

// Relay forwards the events of one source to one sink. Create it with New and call Run.
type Relay struct {
	cfg    Config
	store  database
	log    *slog.Logger
	health *health.Health

	singleSnapshot bool // a read of the store sees one snapshot

	assignment        *assignment.Assignment
	heartbeatFails    bool      // whether the last heartbeat failed
	noHeartbeatBefore time.Time // no heartbeat before this time

	running atomic.Bool
	wake    chan struct{}

	leftover leftover
	// overtaken are events that were rejected as part of a batch, after later ones of their key
	// had been delivered.
	overtaken   map[uuid.UUID]string // event → topic; until it is parked, or its topic's trial is over
	unsureOwner uuid.UUID            // owner of a claim whose answer was lost
	idsWentBack bool                 // after a failover or a restore: the checkpoint in the lease row is wrong

	topics       topics.Allowed
	recentTopics topics.Recent
	reach        reachability

	scheduleOffLogged sync.Once // it is logged that scheduled events cannot be moved
	otherModeLogged   sync.Once // it is logged that this relay would switch exactly-once off
}

// New returns a relay for cfg, or an error that names every invalid field. It does not connect to the
// database or the sink.
func New(cfg Config) (*Relay, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	st, err := store.New(cfg.DB, cfg.names(), store.Options{LeasePool: cfg.LeaseDB, Archive: cfg.Archive})
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	r := newRelay(cfg, st)
	r.singleSnapshot = st.SingleSnapshot()
	return r, nil
}

func newRelay(cfg Config, st database) *Relay {
	log := cfg.Logger.With("source", cfg.Source)
	return &Relay{
		cfg: cfg, store: st, log: log, health: health.New(log), wake: make(chan struct{}, 1),
		overtaken: make(map[uuid.UUID]string), topics: topics.NewAllowed(cfg.Topics),
		assignment: assignment.New(cfg.Member.counts, cfg.Source, cfg.LeaseTTL),
	}
}

// Wake makes a waiting relay read at once. A service that runs its relay in process
// calls it after it has committed. It never blocks and may be called at any time.
func (r *Relay) Wake() { pacing.Signal(r.wake) }

// Run relays until ctx ends. Then it drains: it stops reading, waits at most Config.DrainTimeout for records
// that the sink has not acknowledged, deletes the delivered rows, releases the lease and returns nil. If the
// time is too short, it returns an error that says so. Nothing is lost then, and the next owner may send
// those records again.
//
// Run returns an error at start, without waiting, when the sink or the database cannot be reached, when the
// tables are missing (ErrNotMigrated), when the database is a standby (ErrStandby) or its source has another
// name (ErrWrongSource). If somebody has locked the tables, Run waits for them. After the start it waits for
// the end of every outage of the sink or the database. With the policy Halt it returns a *RejectedError when
// the sink rejects an event.
//
// While another relay owns the source, Run waits to take over. Relays in several processes share their
// sources evenly among the processes that are alive, see Config.Member. Run may be called again after it has
// returned, but not twice at the same time.
func (r *Relay) Run(ctx context.Context) error {
	if !r.running.CompareAndSwap(false, true) {
		return errors.New("relay: Run is running already: make a relay for each source")
	}
	defer r.running.Store(false)
	if err := r.checkAtStart(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // the stop came before anything began
		}
		return fmt.Errorf("relay: source %q: %w", r.cfg.Source, err)
	}
	if err := r.runTerms(ctx); err != nil {
		return fmt.Errorf("relay: source %q: %w", r.cfg.Source, err)
	}
	return nil
}

// startTimeout bounds the checks at start, so that a wrong address gives an error soon.
const startTimeout = 10 * time.Second

// checkAtStart waits for tables that somebody has locked, because locked tables do exist.
func (r *Relay) checkAtStart(ctx context.Context) error {
	retry := pacing.NewBackoff(r.cfg.RetryMin, r.cfg.RetryMax)
	for {
		err := r.check(ctx)
		if !db.IsLockTimeout(err) || ctx.Err() != nil {
			return err
		}
		r.health.Paused(health.Database, err)
		retry.Wait(ctx)
	}
}

func (r *Relay) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	src, err := r.store.Inspect(ctx, r.cfg.Source)
	if err != nil {
		return r.explainAtStart(err)
	}
	if src.Standby {
		return ErrStandby
	}
	if src.Name != r.cfg.Source {
		return fmt.Errorf("%w: %s belongs to source %q; start this relay with that name, or give it a table of its "+
			"own (another prefix)",
			ErrWrongSource, r.cfg.table(), src.Name)
	}
	if src.Unordered != "" {
		r.log.Warn("no order is promised on this server", "reason", src.Unordered)
	}
	if src.ArchiveErr != nil {
		return explainArchive(&r.cfg, src.ArchiveErr)
	}
	return r.cfg.Sink.Check(ctx)
}

// runTerms claims the lease when it is free, and works through one term after another.
func (r *Relay) runTerms(ctx context.Context) error {
	defer r.leave()
	retry := pacing.NewBackoff(r.cfg.RetryMin, r.cfg.RetryMax)
	waiting := false
	for first := true; ctx.Err() == nil; first = false {
		var t *term
		wait, err := r.waitForTurn(ctx)
		if err == nil && wait == 0 {
			t, err = r.claim(ctx)
			wait = r.cfg.LeaseTTL / 20 // another relay was faster
		}
		switch {
		case err != nil && ctx.Err() != nil:
			return nil
		case errors.Is(err, store.ErrSequenceBehind) && first:
			return err
		case db.IsDenied(err) && first:
			return r.explainAtStart(err)
		case err != nil:
			r.health.Paused(health.Database, err)
			retry.Wait(ctx)
		case t == nil:
			r.health.Resumed(health.Database)
			if !waiting {
				r.log.Info("waiting: another relay owns this source")
			}
			waiting = true
			pacing.Sleep(ctx, wait, nil)
		default:
			r.health.Resumed(health.Database)
			waiting = false
			began := time.Now()
			if done, err := r.runTermOrHandOver(ctx, t); done {
				return err
			}
			if time.Since(began) > r.cfg.LeaseTTL { // sooner: two servers may answer in turn
				retry.Reset()
			}
			retry.Wait(ctx)
		}
	}
	return nil
}

// runTermOrHandOver runs one term, and ends it early when another process should get the source.
func (r *Relay) runTermOrHandOver(ctx context.Context, t *term) (done bool, err error) {
	inTerm, handOver := context.WithCancelCause(ctx)
	balancing := make(chan struct{})
	r.assignment.Began(time.Now())
	r.reach.recorded, r.reach.cause = false, "" // a claim clears both in the lease row
	go func() {
		defer close(balancing)
		r.balance(inTerm, t.keeper, handOver)
	}()
	done, err = r.runTerm(inTerm, t)
	handOver(nil) // this also ends balance
	<-balancing
	r.assignment.Ended(time.Now())
	if !errors.Is(context.Cause(inTerm), errHandedOver) || ctx.Err() != nil {
		return done, err
	}
	if errors.Is(err, ErrNotDrained) {
		r.log.Warn("not handed over: the next owner waits until the lease has run out", "error", err)
		err = nil
	}
	return err != nil, err
}

// runTerm runs from one claim of the lease to the next. It opens one session of the sink after another, a new
// one after each outage. It reports whether Run is done.
//
// Each session starts with nothing in flight, and asks for every id that may have a row
// (hazard stored-cursor, hazard read-before-fencing, see checkpoint). What an earlier session or owner has
// read is only a hint, which may be wrong by now. Only the rows themselves count.
func (r *Relay) runTerm(ctx context.Context, t *term) (done bool, err error) {
	var keeping sync.WaitGroup
	keeping.Go(func() { t.renewLoop(t.saveCheckpoint) })
	keeping.Go(func() { r.purgeLoop(t.keeper) })
	keeping.Go(func() { newMover(r, t.keeper).run(ctx) })
	defer keeping.Wait()
	defer t.cancel(nil)
	r.log.Info("lease claimed", "epoch", t.lease.Epoch, "owner", t.lease.Owner)

	retry := pacing.NewBackoff(r.cfg.RetryMin, r.cfg.RetryMax)
	var fenced fencings
	for {
		out := outcome{}
		if err := r.leftover.delete(ctx, r.part(t), r.store); err != nil {
			t.endIfLost(err)
			r.health.Paused(health.Deletes, err)
		} else {
			s := newSession(r, t)
			s.inFlight.Adopt(r.leftover.events)
			r.leftover.events = nil
			out = s.run(ctx)
			r.leftover.events = append(r.leftover.events, out.leftover...)
		}
		switch {
		case t.active.Err() != nil:
			return r.finishWithoutLease(ctx, t, out)
		case len(out.rejected) > 0 && r.cfg.OnRejection == Halt:
			return true, r.halt(t, out)
		case ctx.Err() != nil:
			return true, r.finish(t, out)
		}
		if err := r.fatal(t.keeper, &fenced, out.outage); err != nil {
			return true, r.stopForOperator(t, out, err)
		}
		for _, rejected := range out.rejected {
			if err := r.parkRejected(t, rejected); err != nil {
				r.health.Paused(health.Database, err) // the next session rejects it again, and parks it then
			}
		}
		if out.progress {
			retry.Reset()
		}
		if out.outage != nil {
			r.health.Paused(health.Sink, out.outage)
		}
		// A rejection is not an outage: only the trial of its topic pauses then.
		if out.outage != nil || !out.progress && !out.rejection {
			retry.Wait(ctx) // when ctx ends, the next session notices it at once
		}
	}
}
