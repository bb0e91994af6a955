//go:build unix

package chaos

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// trouble makes the trouble of a plan.
type trouble struct {
	settings Settings
	plan     Plan
	servers  *Servers
	db       *database
	fleet    *fleet
	refused  *refusals
	log      *timeline

	brokerBusy atomic.Bool
	calm       atomic.Bool   // no more blows
	quiet      atomic.Int32  // how many blows need that no other blow falls
	held       time.Duration // how long the plan's clock was stopped

	mu       sync.Mutex
	blows    Blows
	err      error // an error of the servers: the run cannot go on
	progress time.Time
}

// run makes trouble until enough reports true or ctx ends. It returns when no relay is paused any more and
// the broker is up.
func (t *trouble) run(ctx context.Context, enough func() bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var under sync.WaitGroup
	under.Go(func() { t.watch(ctx) })
	start := time.Now()
	for blow := range t.plan.Troubles() {
		pause(ctx, time.Until(start.Add(blow.At+t.held)))
		t.breathe(ctx, enough)
		if ctx.Err() != nil || enough() || t.failed() != nil {
			break
		}
		under.Go(func() { t.make(ctx, blow) })
	}
	cancelled := ctx.Err()
	// Pauses end, and a broker that is down is started again.
	t.calm.Store(true)
	under.Wait()
	return errors.Join(t.failed(), cancelled)
}

// If no relay lives long enough to deliver, the run proves nothing. This happens on a busy machine. So when
// nothing has been delivered for starvedFor, the plan's clock stops until something is delivered, but at most
// for breath.
const (
	starvedFor = 4 * time.Second
	breath     = 12 * time.Second
)

func (t *trouble) breathe(ctx context.Context, enough func() bool) {
	began := time.Now()
	for t.quiet.Load() > 0 && ctx.Err() == nil {
		pause(ctx, 20*time.Millisecond)
	}
	rested := time.Now()
	t.held += rested.Sub(began)
	if began.Sub(t.delivered()) < starvedFor {
		return
	}
	for time.Since(rested) < breath && t.delivered().Before(began) && !enough() && ctx.Err() == nil {
		pause(ctx, 20*time.Millisecond)
	}
	t.held += time.Since(rested)
	t.log.say("trouble", "held back for %v, until something was delivered", time.Since(began).Round(time.Millisecond))
}

// watch records when something was delivered: when the lowest id in the outbox rises, or the outbox is empty.
func (t *trouble) watch(ctx context.Context) {
	highest := int64(0)
	for ; !t.calm.Load() && ctx.Err() == nil; pause(ctx, 100*time.Millisecond) {
		id, err := t.db.lowest(ctx)
		if err == nil && (id == 0 || id > highest) {
			highest = max(highest, id)
			t.mu.Lock()
			t.progress = time.Now()
			t.mu.Unlock()
		}
	}
}

func (t *trouble) delivered() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.progress
}

func (t *trouble) failed() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

func (t *trouble) count(add func(b *Blows)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	add(&t.blows)
}

func (t *trouble) counts() Blows {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.blows
}

func (t *trouble) make(ctx context.Context, blow Trouble) {
	switch blow.Kind {
	case KillRelay:
		t.kill(ctx, blow)
	case PauseRelay:
		t.pause(ctx, blow)
	case CutRelay, CutWriter:
		t.cut(ctx, blow)
	case KillBroker, RestartBroker:
		t.broker(ctx, blow)
	case LockTable, LockRow, LockLease:
		t.lock(ctx, blow)
	case RefusedEvents:
		t.refuse(ctx, blow)
	case BlindOwner:
		if t.settings.Relays > 1 { // with one relay there is none to hand over to
			t.blind(ctx, blow)
		}
	}
}

// aimFor is how long a blow waits for a relay that is at work. After that a kill hits any relay.
const aimFor = 700 * time.Millisecond

func (t *trouble) kill(ctx context.Context, blow Trouble) {
	for end := time.Now().Add(2 * aimFor); time.Now().Before(end); pause(ctx, 20*time.Millisecond) {
		any := time.Until(end) < aimFor
		if hit, owner := t.fleet.kill(blow, any); hit {
			t.count(func(b *Blows) {
				b.Kills++
				if owner {
					b.OwnerKills++
				}
			})
			return
		}
	}
}

func (t *trouble) pause(ctx context.Context, blow Trouble) {
	for end := time.Now().Add(aimFor); time.Now().Before(end); pause(ctx, 20*time.Millisecond) {
		resume, owner := t.fleet.stop(blow)
		if resume == nil {
			continue
		}
		began := time.Now()
		pause(ctx, blow.For)
		if resume() && time.Since(began) > t.settings.LeaseTTL {
			t.count(func(b *Blows) {
				b.Pauses++
				if owner {
					b.OwnerPauses++
				}
			})
		}
		return
	}
}

func (t *trouble) cut(ctx context.Context, blow Trouble) {
	hit, err := t.db.cutOne(ctx, blow.Kind, blow.Pick)
	if err != nil {
		t.log.say("trouble", "%s: %v", blow.Kind, err) // it may have ended by itself in the meantime
		return
	}
	if !hit {
		return
	}
	t.log.say("trouble", "%s", blow.Kind)
	// On RabbitMQ a connection has channels and unconfirmed messages.
	if t.settings.Broker == RabbitMQ && t.servers.ways[blow.Pick%uint64(len(t.servers.ways))].cut() {
		t.count(func(b *Blows) { b.BrokerCuts++ })
	}
	t.count(func(b *Blows) {
		if blow.Kind == CutRelay {
			b.RelayCuts++
		} else {
			b.WriterCuts++
		}
	})
}

func (t *trouble) broker(ctx context.Context, blow Trouble) {
	if !t.brokerBusy.CompareAndSwap(false, true) {
		return
	}
	defer t.brokerBusy.Store(false)
	t.log.say("trouble", "%s", blow.Kind)
	// The run must find a broker at its end, so a restart that has begun is finished.
	if err := t.servers.restartBroker(context.WithoutCancel(ctx), blow.Kind == KillBroker); err != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.err = errors.Join(t.err, err)
		return
	}
	t.log.say("trouble", "the broker is up again")
	t.count(func(b *Blows) {
		if blow.Kind == KillBroker {
			b.BrokerKills++
		} else {
			b.BrokerRestarts++
		}
	})
}

// lock locks what the blow names, and holds the lock. Only locks that were held to the end are counted.
func (t *trouble) lock(ctx context.Context, blow Trouble) {
	held := func() {
		t.log.say("trouble", "%s, for %v", blow.Kind, blow.For.Round(time.Millisecond))
		pause(ctx, blow.For)
		t.log.say("trouble", "%s ends", blow.Kind)
	}
	var err error
	switch blow.Kind {
	case LockTable:
		err = t.db.lockTable(ctx, held)
	case LockLease:
		err = t.db.lockRow(ctx, "outbox_leases", 1, held)
	default:
		err = t.lockEvent(ctx, blow, held)
	}
	if err != nil {
		t.log.say("trouble", "%s: %v", blow.Kind, err) // others had it, or it was delivered in the meantime
		return
	}
	t.count(func(b *Blows) {
		switch blow.Kind {
		case LockTable:
			b.TableLocks++
		case LockLease:
			b.LeaseLocks++
		default:
			b.RowLocks++
		}
	})
}

// lockEvent locks one of the first rows of outbox_events. The row may be delivered, or locked by the relay
// that deletes it, before it can be locked. Then lockEvent tries another row.
func (t *trouble) lockEvent(ctx context.Context, blow Trouble, held func()) error {
	err := errors.New("no row was waiting")
	for end := time.Now().Add(4 * aimFor); time.Now().Before(end) && err != nil; pause(ctx, 20*time.Millisecond) {
		var id int64
		if id, err = t.db.nthEvent(ctx, blow.Pick%20); err == nil {
			err = t.db.lockRow(ctx, "outbox_events", id, held)
		}
	}
	return err
}

// session runs a function in a database session of its own. The session waits for a lock for some seconds at
// most, and ends with the function.
func (d *database) session(ctx context.Context, run func(*sql.Conn) error) error {
	conn, err := d.admin.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() {
		// The pool does not get the connection back, so that settings and locks end with it.
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	}()
	if _, err := conn.ExecContext(ctx, d.sql.patience); err != nil {
		return err
	}
	return run(conn)
}

// lockTable locks outbox_events against all other sessions while held runs, as a migration does.
func (d *database) lockTable(ctx context.Context, held func()) error {
	return d.session(ctx, func(conn *sql.Conn) error {
		for _, statement := range d.sql.lockTable {
			if _, err := conn.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		held()
		_, err := conn.ExecContext(ctx, d.sql.unlockTable)
		return err
	})
}

// lockRow locks the row of a table with an id while held runs, as a forgotten SELECT … FOR UPDATE does.
func (d *database) lockRow(ctx context.Context, table string, id int64, held func()) error {
	return d.session(ctx, func(conn *sql.Conn) error {
		tx, err := conn.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // nothing was changed
		if err := tx.QueryRowContext(
			ctx, fmt.Sprintf("SELECT id FROM %s WHERE id = %d FOR UPDATE", table, id),
		).Scan(&id); err != nil {
			return fmt.Errorf("lock row %d of %s: %w", id, table, err)
		}
		held()
		return nil
	})
}

// nthEvent returns the id of the n-th row of outbox_events, counted from 0.
func (d *database) nthEvent(ctx context.Context, n uint64) (id int64, err error) {
	err = d.admin.QueryRowContext(
		ctx, fmt.Sprintf("SELECT id FROM outbox_events ORDER BY id LIMIT 1 OFFSET %d", n),
	).Scan(&id)
	return id, err
}
