package pacing

import "time"

// PollInterval says how long to wait between two reads of the table. While batches are full, there is no
// wait. While rows arrive now and then, the wait is short. Without rows it doubles each time, and is longest
// after a while without any.
type PollInterval struct {
	max        time.Duration
	next       time.Duration
	emptySince time.Time // the first empty read in a row; zero: the last read found rows
}

const (
	pollMin    = 2 * time.Millisecond
	pollQuiet  = 250 * time.Millisecond
	quietAfter = 10 * time.Second
)

// NewPollInterval returns a PollInterval that waits at most max while events arrive now and then.
func NewPollInterval(max time.Duration) PollInterval {
	return PollInterval{max: max, next: min(pollMin, max)}
}

// After returns the wait after a read that found this many new rows of at most limit.
func (p *PollInterval) After(found, limit int) time.Duration {
	if found > 0 {
		p.next, p.emptySince = min(pollMin, p.max), time.Time{}
		if found*4 >= limit {
			return 0
		}
		return min(time.Millisecond, p.max)
	}
	now := time.Now()
	if p.emptySince.IsZero() {
		p.emptySince = now
	}
	if now.Sub(p.emptySince) >= quietAfter {
		return max(pollQuiet, p.max)
	}
	wait := p.next
	p.next = min(2*p.next, p.max)
	return wait
}
