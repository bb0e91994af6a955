package relaykafka

import (
	"fmt"
	"time"

	"github.com/postroom/postroom/relay"
)

var _ relay.OutageReporter = (*txSession)(nil)

// waitingFor is a transaction that is under way.
type waitingFor struct {
	since   time.Time
	records int
}

// Outage implements relay.OutageReporter. Of topics that do not exist the judge tells.
func (s *txSession) Outage() error {
	w := s.underWay.Load()
	if w == nil || time.Since(w.since) < outageAfter {
		return nil
	}
	return fmt.Errorf("kafka at %s has not completed a transaction of %d records since %s; is each broker up, and "+
		"reachable from here at the address that it advertises?",
		s.sink.addresses(), w.records, w.since.UTC().Format(time.RFC3339))
}
