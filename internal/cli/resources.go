package cli

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/relay"
)

// A relay uses up to five connections at a time, one of them for its lease. The relays of many sources in one
// database share a few more. When all of them have work, they read one after another. Leases are renewed over
// connections of their own, because a renewal that waits behind slow reads would lose the lease.
const (
	leastConnections = 4
	mostConnections  = 6

	// Up to three locked lease rows at a time do not delay the renewals of the other sources.
	mostLeaseConnections = 4
)

func connections(sources int) int { return min(leastConnections+sources-1, mostConnections) }

func leaseConnections(sources int) int { return min(sources+1, mostLeaseConnections) }

// ownConnections is how many connections one source may use at a time. It is so small that one connection is left
// for a source even if all others use as many as they may. With seven sources or more the others can use all
// connections; then the lock timeout limits how long a source waits.
func ownConnections(sources int) int {
	if sources == 1 {
		return leastConnections
	}
	return max(1, (connections(sources)-1)/(sources-1))
}

// A source whose table or lease row is locked keeps a connection that another source may need. These timeouts end
// its statement, and the source tries again.
const (
	workLockTimeout = 2 * time.Second
	// A renewal also waits for this source's own moves of rows, which lock the lease row while they run. With a
	// much shorter timeout the renewal would never succeed.
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

// openPools connects to each database once. If a database cannot be reached, the error names its first source.
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
		return dbopen.Open(ctx, url.Reveal(),
			dbopen.WithExisting(), dbopen.WithMaxOpen(size), dbopen.WithLockTimeout(lockTimeout))
	}
	if p.work, p.err = open(connections(sources), workLockTimeout); p.err != nil {
		return p
	}
	p.queue = &queue{log: log.With(
		"database", p.work.Redacted, "connections", connections(sources), "sources", sources)}
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

// close closes all connections. It is called after the relays have ended, so nothing is left to write.
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

// queue logs when sources begin to wait for a connection, and when none waits any more.
type queue struct {
	log *slog.Logger

	mu    sync.Mutex
	since time.Time // zero: no source waits
}

// Waiting implements dbopen.Queue.
func (q *queue) Waiting() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.since.IsZero() {
		q.since = time.Now()
		q.log.Warn("sources wait for a connection to the database: all are in use, by slow statements or statements " +
			"that wait for locks; `relay doctor` names the sessions that hold locks")
	}
}

// Served implements dbopen.Queue.
func (q *queue) Served() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.since.IsZero() {
		q.log.Info("no source waits for a connection to the database any more", "after",
			time.Since(q.since).Round(time.Millisecond))
		q.since = time.Time{}
	}
}

// The windows limit the memory that is in use, and it is small compared with what the relay allocates for a short
// time. With Go's default the garbage collector would run very often, so the heap may grow fivefold, up to a limit
// that keeps the process below 128 MB with one source. GOGC and GOMEMLIMIT take precedence.
//
// Many sources share the memory that three would use. They rarely all have a backlog at the same time, and when
// they do, the broker limits their speed.
const (
	heapGrowth      = 400
	memoryOfProgram = 32 << 20
	memoryOfSource  = 48 << 20
	memoryOfIdle    = 256 << 10 // for each further source: its clients of the database and the broker
	fullWindows     = 3
)

func tuneMemory(sources int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(heapGrowth)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit(sources))
	}
}

func memoryLimit(sources int) int64 {
	full := min(sources, fullWindows)
	return memoryOfProgram + int64(full)*memoryOfSource + int64(sources-full)*memoryOfIdle
}

// windowOf divides the windows of three sources between many. Up to three sources have the relay's default each.
// A window of 1 MiB still holds some thousand small events.
func windowOf(sources int) relay.Window {
	full := relay.DefaultWindow()
	if sources <= fullWindows {
		return full
	}
	share := func(n int) int { return n * fullWindows / sources }
	return relay.Window{
		MaxInFlight:      max(share(full.MaxInFlight), 2000),
		BatchSize:        max(share(full.BatchSize), 500),
		MaxInFlightBytes: max(int64(share(int(full.MaxInFlightBytes))), 1<<20),
	}
}
