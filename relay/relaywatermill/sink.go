package relaywatermill

import (
	"context"
	"errors"
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/postroom/postroom/relay"
)

// Sink publishes through a Watermill publisher. Make it with New. It is safe for
// concurrent use. It does not close the publisher: that is its owner's.
type Sink struct {
	publisher message.Publisher
	options   Options
}

var _ relay.Sink = (*Sink)(nil)

// New returns a sink on a publisher. The error names the option that is wrong.
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

// Check calls Options.Check. Without one, it has nothing to ask and returns nil.
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

// Open begins a turn. It starts nothing, and does not fail.
//
// Close of the session waits for the calls of Publish that are under way, because nothing
// may be published after it, and Watermill has no way to break them off. Their
// messages' contexts end, which publishers may go by. So a publisher needs time limits of
// its own, well below the relay's lease.
func (s *Sink) Open(_ context.Context, ack relay.Ack) (relay.Session, error) {
	return newSession(s, ack), nil
}
