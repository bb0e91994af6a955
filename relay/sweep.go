package relay

import (
	"context"
	"time"

	"github.com/postroom/postroom/internal/dialect"
)

// sweepDue: every so often, and more seldom while there is a backlog to read.
func (s *session) sweepDue(last time.Time, found, limit int) bool {
	every := s.relay.cfg.sweepEvery
	if found >= limit {
		every *= 6
	}
	return s.head > 0 && time.Since(last) >= every
}

// inGaps is how many rows a look from the start allows for, beside those in flight: rows
// may have been committed into gaps since the last read.
const inGaps = 1000

// sweep looks from the start for rows that no read will ever ask for: below the head,
// outside every gap, and not in flight. There are none, unless ids went back (a
// restore, TRUNCATE … RESTART IDENTITY) or the application chose an id itself. It is a
// safety net and delivers nothing: when it finds one, everything is read again from the
// start, in order.
func (s *session) sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.relay.cfg.answerTimeout)
	defer cancel()
	held, _, _ := s.flights.counts()
	s.flights.beginRead()
	defer s.flights.endRead()
	stray, strange := int64(0), false
	next := 0
	err := s.relay.store.Below(ctx, s.head, held+inGaps, func(row dialect.Event) bool {
		inFlight, same := s.flights.lookup(row.ID, row.EventID)
		if inFlight {
			strange = !same
			return same
		}
		for next < len(s.gaps.gaps) && s.gaps.gaps[next].Hi < row.ID {
			next++
		}
		if next < len(s.gaps.gaps) && s.gaps.gaps[next].Lo <= row.ID {
			return true
		}
		stray = row.ID
		return false
	})
	switch {
	case err != nil:
		return err
	case strange:
		return errCameBack
	case stray != 0:
		s.relay.log.Warn("a row appeared below those already read: its id was chosen by hand, or ids went back; reading from the start",
			"table", s.relay.store.Table(), "row", stray, "head", s.head)
		s.startOver()
	}
	return nil
}
