package relaywatermill

import (
	"context"
	"errors"
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/postroom/postroom/relay"
)

// Sink publishes through a Watermill publisher. New creates it. It is safe for concurrent use. It does not
// close the publisher, because the publisher belongs to the caller.
type Sink struct {
	publisher message.Publisher
	options   Options
}

var _ relay.Sink = (*Sink)(nil)

// New returns a sink for a publisher. The error names the invalid option.
func New(publisher message.Publisher, options Options) (*Sink, error) {
	if publisher == nil {
		return nil, errors.New("relaywatermill: the publisher is nil")
	}
	options = options.withDefaults()
	if err := options.validate(); err != nil {
		return nil, err
	}
	return &Sink{publisher: publisher, options: options}, nil
}

// Check calls Options.Check. If that is nil, Check cannot ask anything and returns nil.
func (s *Sink) Check(ctx context.Context) error {
	if s.options.Check == nil {
		return nil
	}
	if err := s.options.Check(ctx); err != nil {
		return fmt.Errorf(
			"the Watermill publisher cannot be used: %w; check the broker's address and that it is up", err,
		)
	}
	return nil
}

// Open begins a session. It starts nothing, and does not fail.
//
// The session's Close waits for running calls of Publish, because nothing may be published after Close, and
// Watermill cannot abort a call. The contexts of their messages end, and a publisher may react to that. So a
// publisher needs time limits of its own, well below the relay's lease.
func (s *Sink) Open(_ context.Context, ack relay.Ack) (relay.Session, error) {
	return newSession(s, ack), nil
}
