package relay

import (
	"github.com/google/uuid"

	"github.com/postroom/postroom/relay/internal/assignment"
)

// Member is this operating system process among the processes that relay the same sources.
// Give all relays of one process the same Member: the members compare how many sources each
// of them owns, and share the sources evenly. A Member needs no closing, and is safe for
// concurrent use. Make one with NewMember.
type Member struct{ counts *assignment.Member }

// NewMember returns a Member with an id of its own. A process needs one; see Config.Member.
func NewMember() *Member { return &Member{assignment.NewMember()} }

// ID is the id of this process in the tables outbox_relays.
func (p *Member) ID() uuid.UUID { return p.counts.ID() }

// Owned is how many sources the process owns now.
func (p *Member) Owned() int { return p.counts.Owned() }
