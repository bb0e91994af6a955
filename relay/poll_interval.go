package relay

import "time"

// pollInterval says how long to wait between two reads: not at all while batches are full,
// briefly while rows trickle in, then twice as long each time, and longest once
// nothing has come for a while.
type pollInterval struct {
	max   time.Duration
	next  time.Duration
	quiet time.Time // of the first empty read in a row; zero: none
}

const (
	pollMin    = 2 * time.Millisecond
	pollQuiet  = 250 * time.Millisecond
	quietAfter = 10 * time.Second
)

func newPollInterval(cfg Config) pollInterval {
	return pollInterval{max: cfg.PollMax, next: min(pollMin, cfg.PollMax)}
}

// after returns the wait after a read that found this many new rows of at most limit.
func (p *pollInterval) after(found, limit int) time.Duration {
	if found > 0 {
		p.next, p.quiet = min(pollMin, p.max), time.Time{}
		if found*4 >= limit {
			return 0
		}
		return min(time.Millisecond, p.max)
	}
	now := time.Now()
	if p.quiet.IsZero() {
		p.quiet = now
	}
	if now.Sub(p.quiet) >= quietAfter {
		return max(pollQuiet, p.max)
	}
	wait := p.next
	p.next = min(2*p.next, p.max)
	return wait
}
