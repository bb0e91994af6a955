package relay

import (
	"context"
	"errors"

	store "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/relay/internal/inflight"
)

// outcome is the result of a session.
type outcome struct {
	outage      error             // the first failure that was not a rejection
	rejected    []*RejectedError  // records that were rejected alone, or would be
	rejection   bool              // a record was rejected, alone or as part of a batch
	undelivered int               // records that were given up when the session was closed
	leftover    []store.Delivered // delivered rows that are not known to be deleted
	progress    bool              // a record was delivered
}

func (s *session) outcome() outcome {
	out := outcome{leftover: s.inFlight.Leftover(), progress: s.inFlight.DeliveredTotal() > 0}
	if s.halted != nil {
		out.rejected = append(out.rejected, s.halted)
	}
	rejectedTogether := make(map[string]int) // by topic: records that were rejected as part of a batch
	for i, f := range s.inFlight.Failures() {
		switch {
		case errors.Is(f.Err, ErrRejected):
			out.rejection = true
			topic := f.Entry.Lane.Topic.Name
			overtaken := s.overtaken(f.Entry)
			if s.isolation.trials.Alone(f.Entry) {
				out.rejected = append(out.rejected, &RejectedError{Table: s.table, ID: f.Entry.ID,
					EventID: f.Entry.EventID, Topic: topic, Err: f.Err, Overtaken: overtaken, hash: f.Entry.Hash,
					seq: f.Entry.Seq})
			} else if overtaken {
				s.relay.overtaken[f.Entry.EventID] = topic
			}
			rejectedTogether[topic]++
		case errors.Is(f.Err, context.Canceled) && i >= s.failuresBeforeStop: // the sink never accepted them
		case errors.Is(f.Err, ErrGivenUp):
			out.undelivered++
		case out.outage == nil:
			out.outage = f.Err
			out.undelivered++
		default:
			out.undelivered++
		}
	}
	for topic, n := range rejectedTogether {
		s.isolation.trials.Reject(topic, n)
	}
	s.isolation.trials.SessionEnded()
	return out
}

// overtaken reports whether later events of a rejected record's key were delivered, now or when
// it was rejected as part of a batch.
func (s *session) overtaken(e *inflight.Entry) bool {
	_, known := s.relay.overtaken[e.EventID]
	return known || s.inFlight.Overtaken(e)
}
