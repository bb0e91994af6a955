package relay

import (
	"errors"
	"slices"
	"time"
)

// A refusal names a batch: in it records are blamed for their neighbours
// (hazard rejected-batch), so only one that was refused alone is parked. A refusal also ends
// the session, and in exactly-once mode aborts a transaction. So once a record was refused
// among others, its topic is on trial: its rows go to the shelf, and from there to the sink in
// groups, in the order of their ids, each when nothing else of the topic is with the sink.
// Other topics go on beside it in full batches.
//
// A group that is refused halves the size of the next, and one that is delivered doubles
// it. So a record at fault is found in a few groups, a topic full of them costs one session
// each, and one that is mended is back at full speed soon. Sessions that end with a
// refusal are kept apart: see restShare.

// trials are those of one term, over its sessions.
type trials struct {
	topics map[string]*trial
	// failed is when a session ended with a refusal that no session has followed yet.
	failed time.Time
}

type trial struct {
	size    int       // of the next group
	good    int       // delivered since the last refusal
	refused time.Time // the last time
	out     []int64   // the group that is with the sink, by the in-flight set's ids
}

const (
	// trialGood and trialRest end a trial: as many records in a row were delivered, or
	// nothing was refused for as long and nothing waits.
	trialGood = 1000
	trialRest = 10 * time.Second

	// restShare is for how many times as long as it took to open a session after a refusal
	// the next group waits: at most a third of the time goes to refusals.
	restShare = 2
	restMost  = 2 * time.Second

	// trialAhead is how many rows are read for a group at least: most of them may have to
	// be parked behind others of their keys.
	trialAhead = 64
)

func newTrials() *trials { return &trials{topics: make(map[string]*trial)} }

// alone reports whether a refused record was all of its topic that the sink had.
func (ts *trials) alone(topic string, id int64) bool {
	t := ts.topics[topic]
	return t != nil && len(t.out) == 1 && t.out[0] == id
}

// refuse notes that so many records of a topic were refused in a session that has ended.
func (ts *trials) refuse(topic string, records int) {
	t := ts.topics[topic]
	if t == nil {
		t = &trial{size: records}
		ts.topics[topic] = t
	} else if len(t.out) > 0 {
		t.size = len(t.out)
	}
	t.size, t.good, t.refused = max(1, t.size/2), 0, time.Now()
}

// note notes when a session ended with a refusal.
func (ts *trials) note(failures []failure, now time.Time) {
	if slices.ContainsFunc(failures, func(f failure) bool { return errors.Is(f.err, ErrRejected) }) {
		ts.failed = now
	}
}

// rest returns when a session that opened now may send groups.
func (ts *trials) rest(now time.Time) time.Time {
	if ts.failed.IsZero() {
		return now
	}
	took := now.Sub(ts.failed)
	ts.failed = time.Time{}
	return now.Add(min(restShare*took, restMost))
}

// ended forgets what a session had out. What was not refused is read again.
func (ts *trials) ended() {
	for _, t := range ts.topics {
		t.out = nil
	}
}

// settle takes in a group that was delivered.
func (t *trial) settle() {
	t.good += len(t.out)
	if len(t.out) >= t.size {
		t.size = min(2*t.size, trialGood)
	}
	t.out = nil
}

// over reports whether the topic may go with the others again. idle: nothing of it waits.
func (t *trial) over(idle bool) bool {
	return t.good >= trialGood || idle && time.Since(t.refused) >= trialRest
}

// group returns how many of the first records may be tried together: not more than the
// trial's size, and at least once only one of each key, because a later one may be
// accepted while an earlier one is refused. In a transaction all are or none.
func (t *trial) group(records []*Record, transaction bool) int {
	most := min(t.size, len(records))
	if transaction {
		return most
	}
	seen := make(map[string]bool)
	for i, r := range records[:most] {
		if r.Key == nil {
			continue
		}
		if seen[string(r.Key)] {
			return i
		}
		seen[string(r.Key)] = true
	}
	return most
}
