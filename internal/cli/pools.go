package cli

import (
	"context"
	"errors"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/internal/dbopen"
)

// A relay uses up to five connections at a time, one of them for its lease. Those of many sources in one database
// share a few more; they read one after another when all have work. Leases are renewed
// over connections of their own: behind slow reads they would be lost.
const (
	leastConnections = 4
	mostConnections  = 6
	leaseConnections = 2
)

func connections(sources int) int { return min(leastConnections+sources-1, mostConnections) }

// pools are the connections to the databases of all sources, by URL.
type pools map[config.Secret]*pool

// pool is one database.
type pool struct {
	work, leases *dbopen.Target
	err          error // it could not be opened
}

// openPools connects to each database once. A database that cannot be reached is told
// by the first of its sources.
func openPools(ctx context.Context, sources []config.Source) (pools, error) {
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
		p := openPool(ctx, s.DatabaseURL, connections(count[s.DatabaseURL]))
		all[s.DatabaseURL] = p
		if p.err != nil {
			errs = append(errs, sourceError(s, p.err))
		}
	}
	return all, errors.Join(errs...)
}

func openPool(ctx context.Context, url config.Secret, size int) *pool {
	p := &pool{}
	if p.work, p.err = dbopen.Open(ctx, url.Reveal(), dbopen.WithExisting(), dbopen.WithMaxOpen(size)); p.err != nil {
		return p
	}
	p.leases, p.err = dbopen.Open(ctx, url.Reveal(), dbopen.WithExisting(), dbopen.WithMaxOpen(leaseConnections))
	return p
}

// close ends all connections. The relays have ended: nothing is left to write.
func (all pools) close() {
	for _, p := range all {
		for _, t := range []*dbopen.Target{p.work, p.leases} {
			if t != nil {
				_ = t.DB.Close()
			}
		}
	}
}
