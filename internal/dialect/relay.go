package dialect

import (
	"database/sql"

	"github.com/postroom/postroom/internal/store/relay"
)

// What moved to internal/store/relay, and what the files that are left here still ask of it. It goes with them.
type (
	Member = relay.Member
)

// Relay is internal/store/relay's, with what relay_trace.go needs.
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
