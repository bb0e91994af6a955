package dialect

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/store/relay"
)

// What moved to internal/store/relay, and what the files that are left here still ask of it. It goes with them.
type (
	Outage = relay.Outage
	Member = relay.Member
)

// Relay is internal/store/relay's, with what relay_trace.go and source_admin.go need.
type Relay struct {
	*relay.Store
	db    *sql.DB
	names Names
}

// NewRelay returns the relay's side of an installation, which must be valid.
func NewRelay(pool *sql.DB, n Names) (*Relay, error) {
	s, err := relay.New(pool, n, relay.Options{})
	return &Relay{s, pool, n}, err
}

// See internal/store/relay.
const (
	ParkFailed  = relay.ParkFailed
	ParkBlocked = relay.ParkBlocked

	UsedTopicsFor = relay.UsedTopicsFor
)

// AliveFor is internal/store/relay's.
var AliveFor = relay.AliveFor

// claimable is the condition of a claim of no length, by this database's clock.
func claimable(n Names) string {
	return db.For(n.Dialect, `(owner IS NULL OR expires_at IS NULL OR expires_at < clock_timestamp()
  OR expires_at > clock_timestamp() + 2 * greatest(0::bigint, coalesce((hints->>'ttl_us')::bigint, 0)) * interval '1 microsecond')`,
		`(owner IS NULL OR expires_at IS NULL OR expires_at < UTC_TIMESTAMP(6)
  OR expires_at > UTC_TIMESTAMP(6) + INTERVAL 2 * GREATEST(0, COALESCE(CAST(JSON_VALUE(hints, '$.ttl_us') AS SIGNED), 0)) MICROSECOND)`,
		`(owner IS NULL OR expires_at IS NULL OR expires_at < `+sqliteNow("0")+`
  OR expires_at > `+sqliteNow("2 * max(0, coalesce(json_extract(hints, '$.ttl_us'), 0) / 1000)")+`)`)
}

func sqliteNow(plus string) string {
	return "strftime('%Y-%m-%dT%H:%M:%f', 'now', ((" + plus + ") / 1000.0) || ' seconds') || '000Z'"
}

// blindSince is empty or NULL if the owner reaches its sink.
func blindSince(n Names) string {
	return db.For(n.Dialect, "hints->>'blind'", "JSON_VALUE(hints, '$.blind')", "json_extract(hints, '$.blind')")
}

func outageOf(n Names) string {
	return db.For(n.Dialect, "hints->>'outage'", "JSON_EXTRACT(hints, '$.outage')", "json_extract(hints, '$.outage')")
}

// forUpdate locks the rows of a SELECT. SQLite needs none: the relay's connections
// begin with BEGIN IMMEDIATE, which shuts out every other writer.
func forUpdate(n Names) string { return db.For(n.Dialect, " FOR UPDATE", " FOR UPDATE", "") }

func (r *Relay) inTx(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := r.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit it does nothing
	if r.names.Dialect == SQLite {
		// A library user's connection may begin deferred: a first write takes the
		// lock before anything is read, or the later upgrade fails with SQLITE_BUSY.
		if _, err := tx.ExecContext(ctx, r.names.Expand("UPDATE {outbox_leases} SET epoch = epoch WHERE id = 1")); err != nil {
			return err
		}
	}
	if err := f(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}
