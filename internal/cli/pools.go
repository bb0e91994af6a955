package cli

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/internal/dbopen"
)

// A relay uses up to five connections at a time, one of them for its lease. Those of many sources in one database
// share a few more; they read one after another when all have work. Leases are renewed
// over connections of their own: behind slow reads they would be lost.
const (
	leastConnections = 4
	mostConnections  = 6

	// One more than sources whose lease rows may be locked at a time without harm to the others.
	mostLeaseConnections = 4
)

func connections(sources int) int { return min(leastConnections+sources-1, mostConnections) }

func leaseConnections(sources int) int { return min(sources+1, mostLeaseConnections) }

// ownConnections is how many of the connections one source may have at a time: so few that
// all others but one, each with all of its own, leave one to it. From seven sources on they
// can take them all, and then a lock's timeout bounds how long.
func ownConnections(sources int) int {
	if sources == 1 {
		return leastConnections
	}
	return max(1, (connections(sources)-1)/(sources-1))
}

// A source whose table or lease row somebody has locked holds a connection that another
// source may wait for. That ends after these times, and is tried again.
const (
	workLockTimeout = 2 * time.Second
	// A renewal waits for moves of this source's own, which hold the lease row's lock for as
	// long as they take: much less would starve it.
	leaseLockTimeout = time.Second
)

// pools are the connections to the databases of all sources, by URL.
type pools map[config.Secret]*pool

// pool is one database.
type pool struct {
	work, leases *dbopen.Target
	err          error // it could not be opened

	own    int // connections of each source
	queue  *queue
	shares []*sql.DB
}

// openPools connects to each database once. A database that cannot be reached is told
// by the first of its sources.
func openPools(ctx context.Context, sources []config.Source, log *slog.Logger) (pools, error) {
	count := map[config.Secret]int{}
	for _, s := range sources {
		count[s.DatabaseURL]++
	}
	all := pools{}
	var errs []error
	for _, s := range sources {
		if _, done := all[s.DatabaseURL]; done {
			continue
		}
		p := openPool(ctx, s.DatabaseURL, count[s.DatabaseURL], log)
		all[s.DatabaseURL] = p
		if p.err != nil {
			errs = append(errs, sourceError(s, p.err))
		}
	}
	return all, errors.Join(errs...)
}

func openPool(ctx context.Context, url config.Secret, sources int, log *slog.Logger) *pool {
	p := &pool{own: ownConnections(sources)}
	open := func(size int, lockTimeout time.Duration) (*dbopen.Target, error) {
		return dbopen.Open(ctx, url.Reveal(), dbopen.WithExisting(), dbopen.WithMaxOpen(size), dbopen.WithLockTimeout(lockTimeout))
	}
	if p.work, p.err = open(connections(sources), workLockTimeout); p.err != nil {
		return p
	}
	p.queue = &queue{log: log.With("database", p.work.Redacted, "connections", connections(sources), "sources", sources)}
	p.leases, p.err = open(leaseConnections(sources), leaseLockTimeout)
	return p
}

// share returns the database as one source sees it, for its work and for its lease.
func (p *pool) share() (work dbopen.Target, leases *sql.DB) {
	work = *p.work
	work.DB = dbopen.Share(p.work.DB, p.own, p.queue)
	leases = dbopen.Share(p.leases.DB, 1, p.queue)
	p.shares = append(p.shares, work.DB, leases)
	return work, leases
}

// close ends all connections. The relays have ended: nothing is left to write.
func (all pools) close() {
	for _, p := range all {
		for _, share := range p.shares {
			_ = share.Close()
		}
		for _, t := range []*dbopen.Target{p.work, p.leases} {
			if t != nil {
				_ = t.DB.Close()
			}
		}
	}
}

// queue logs when sources begin to wait for a connection, and when they no longer do.
type queue struct {
	log *slog.Logger

	mu    sync.Mutex
	since time.Time // zero: none waits
}

// Waiting implements dbopen.Queue.
func (q *queue) Waiting() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.since.IsZero() {
		q.since = time.Now()
		q.log.Warn("sources wait for a connection to the database: others hold them all, in slow statements or behind locks; `relay doctor` names who holds locks")
	}
}

// Served implements dbopen.Queue.
func (q *queue) Served() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.since.IsZero() {
		q.log.Info("connections to the database are free again", "after", time.Since(q.since).Round(time.Millisecond))
		q.since = time.Time{}
	}
}
