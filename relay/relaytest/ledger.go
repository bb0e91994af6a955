package relaytest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/relay"
)

// ledger counts acknowledgements.
type ledger struct {
	mu      sync.Mutex
	answers map[*relay.Record][]error
	changed chan struct{} // closed and replaced at every acknowledgement
}

func newLedger() *ledger {
	return &ledger{answers: make(map[*relay.Record][]error), changed: make(chan struct{})}
}

func (l *ledger) ack(r *relay.Record, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers[r] = append(l.answers[r], err)
	close(l.changed)
	l.changed = make(chan struct{})
}

// waitFor waits until each of the records is acknowledged.
func (l *ledger) waitFor(t testing.TB, patience time.Duration, records []*relay.Record) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		l.mu.Lock()
		missing, changed := l.missing(records), l.changed
		l.mu.Unlock()
		if missing == 0 {
			return
		}
		select {
		case <-changed:
		case <-deadline.C:
			require.FailNow(t, "records were not acknowledged", "%d of %d are missing after %s", missing, len(records),
				patience)
		}
	}
}

func (l *ledger) missing(records []*relay.Record) int {
	missing := 0
	for _, r := range records {
		if len(l.answers[r]) == 0 {
			missing++
		}
	}
	return missing
}

// answer returns the single acknowledgement of r.
func (l *ledger) answer(t testing.TB, r *relay.Record) error {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	require.Len(t, l.answers[r], 1, "acknowledgements of row %d for %s", r.ID, r.Topic)
	return l.answers[r][0]
}

// exactlyOnce checks that each record has one acknowledgement, and that no other record has any.
func (l *ledger) exactlyOnce(t testing.TB, records []*relay.Record) {
	t.Helper()
	for _, r := range records {
		_ = l.answer(t, r)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	require.Len(t, l.answers, len(records), "records that were acknowledged")
}

// delivered returns the records that were acknowledged without an error.
func (l *ledger) delivered(t testing.TB, records []*relay.Record) []*relay.Record {
	t.Helper()
	var list []*relay.Record
	for _, r := range records {
		if l.answer(t, r) == nil {
			list = append(list, r)
		}
	}
	return list
}

// maker makes records with ascending row ids.
type maker struct{ last int64 }

func (m *maker) record(topic, key string, payload []byte) *relay.Record {
	m.last++
	r := &relay.Record{
		ID: m.last, EventID: uuid.New(), Topic: topic, Type: "thing.happened",
		Payload: payload, CreatedAt: time.Now(),
	}
	if key != "" {
		r.Key = []byte(key)
	}
	return r
}

// records makes n records over the given number of keys.
func (m *maker) records(topic string, n, keys int) []*relay.Record {
	list := make([]*relay.Record, n)
	for i := range list {
		list[i] = m.record(topic, fmt.Sprintf("key-%d", i%keys), fmt.Appendf(nil, "payload-%d", i))
	}
	return list
}
