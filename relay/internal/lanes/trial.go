package lanes

import (
	"time"

	"github.com/postroom/postroom/relay/internal/inflight"
)

// Trials are the trials of a term, for all of its sessions.
//
// The broker rejects a whole batch, also the records that have no fault (hazard rejected-batch). So only a
// record that was rejected alone is parked. A rejection also ends the session, and aborts the transaction
// in exactly-once mode. So when a record was rejected among others, its topic is on trial: its rows go to
// the shelf. From there they go to the sink in groups, in the order of their ids, and only when the sink
// has nothing else of the topic. Other topics go on in full batches.
//
// After a rejected group the next one is half as large, after a delivered group twice as large. So a faulty
// record is found in a few groups, and a topic is soon back at full speed when its fault is gone. If all
// records of a topic are faulty, each costs a session. There is a pause between sessions that end with a
// rejection: see restShare.
type Trials struct {
	// Topics has the trial of each topic that is on trial.
	Topics map[string]*Trial
	// failed is when a session ended with a rejection that no session has followed yet.
	failed time.Time
}

// Trial is the trial of one topic.
type Trial struct {
	size     int               // size of the next group
	good     int               // records delivered since the last rejection
	rejected time.Time         // time of the last rejection
	out      []*inflight.Entry // the group that the sink has
}

const (
	// trialGood and trialRest end a trial. It ends when trialGood records in a row were delivered. It also
	// ends when nothing was rejected for trialRest and no row waits.
	trialGood = 1000
	trialRest = 10 * time.Second

	// restShare sets the pause after a rejection, as a multiple of the time that it took to open a session.
	// So at most a third of the time is spent on rejections.
	restShare = 2
	restMost  = 2 * time.Second

	// readAhead is how many rows are read for a group, at least. Most of them may have to be parked behind
	// others of their keys.
	readAhead = 64
)

// NewTrials returns Trials without a topic.
func NewTrials() *Trials { return &Trials{Topics: make(map[string]*Trial)} }

// Alone reports whether a rejected record was the only one of its topic that the sink had.
func (ts *Trials) Alone(e *inflight.Entry) bool {
	t := ts.Topics[e.Lane.Topic.Name]
	return t != nil && len(t.out) == 1 && t.out[0] == e
}

// Reject notes how many records of a topic were rejected in a session that has ended.
func (ts *Trials) Reject(topic string, records int) {
	t := ts.Topics[topic]
	if t == nil {
		t = &Trial{size: records}
		ts.Topics[topic] = t
	} else if len(t.out) > 0 {
		t.size = len(t.out)
	}
	t.size, t.good, t.rejected = max(1, t.size/2), 0, time.Now()
}

// NoteRejection notes that a session ends with a rejection.
func (ts *Trials) NoteRejection(now time.Time) { ts.failed = now }

// Rest returns the time from which on a session that opened now may send groups.
func (ts *Trials) Rest(now time.Time) time.Time {
	if ts.failed.IsZero() {
		return now
	}
	took := now.Sub(ts.failed)
	ts.failed = time.Time{}
	return now.Add(min(restShare*took, restMost))
}

// SessionEnded forgets the groups that a session has sent. The records that were not rejected are read again.
func (ts *Trials) SessionEnded() {
	for _, t := range ts.Topics {
		t.out = nil
	}
}

// Sent adds a record to the group that the sink gets.
func (t *Trial) Sent(e *inflight.Entry) { t.out = append(t.out, e) }

// Settle notes that the group was delivered.
func (t *Trial) Settle() {
	t.good += len(t.out)
	if len(t.out) >= t.size {
		t.size = min(2*t.size, trialGood)
	}
	t.out = nil
}

// Over reports whether the topic may be sent with the others again. idle says that no row of it waits.
func (t *Trial) Over(idle bool) bool {
	return t.good >= trialGood || idle && time.Since(t.rejected) >= trialRest
}

// ReadAhead is how many rows to read for the next group.
func (t *Trial) ReadAhead() int { return max(2*t.size, readAhead) }

// Group returns how many of the first records, with these keys, form the next group. It is at most the
// trial's size. In at-least-once mode the group has only one record of each key, because the broker may
// accept a later record and reject an earlier one. In a transaction it accepts all or none.
func (t *Trial) Group(keys [][]byte, transaction bool) int {
	most := min(t.size, len(keys))
	if transaction {
		return most
	}
	seen := make(map[string]bool)
	for i, key := range keys[:most] {
		if key == nil {
			continue
		}
		if seen[string(key)] {
			return i
		}
		seen[string(key)] = true
	}
	return most
}
