package relaykafka

import (
	"fmt"
	"time"

	"github.com/postroom/postroom/relay"
)

var _ relay.Waiter = (*txSession)(nil)

// waitingFor is what records of a transactional session wait for.
type waitingFor struct {
	since   time.Time
	records int
	topic   string // that is not there; "" for a transaction
}

// Waiting implements relay.Waiter.
func (s *txSession) Waiting() error {
	for _, w := range []*waitingFor{s.underWay.Load(), s.missing.Load()} {
		switch {
		case w == nil || time.Since(w.since) < outageAfter:
		case w.topic != "":
			return fmt.Errorf("kafka at %s denies topic %s since %s; %d records wait for it and others like it: %s",
				s.sink.addresses(), w.topic, w.since.UTC().Format(time.RFC3339), w.records, createIt)
		default:
			return fmt.Errorf("kafka at %s has not completed a transaction of %d records since %s; is each broker up, and reachable from here at the address that it advertises?",
				s.sink.addresses(), w.records, w.since.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// noteHeld notes what is held back, and since when.
func (s *txSession) noteHeld() {
	if len(s.held) == 0 {
		s.missing.Store(nil)
		return
	}
	now := &waitingFor{since: time.Now(), records: len(s.held), topic: s.held[0].wire.Topic}
	if before := s.missing.Load(); before != nil && before.topic == now.topic {
		now.since = before.since
	}
	s.missing.Store(now)
}
