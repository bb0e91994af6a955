package relay

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
)

// outdated rejects the topics that were missing when it last asked, as relaykafka does.
type outdated struct {
	*testSink
	mu      sync.Mutex
	missing map[string]bool // missing in Kafka
	known   map[string]bool // known to be missing, from the last answer
	reviews int
}

func (o *outdated) Open(ctx context.Context, ack Ack) (Session, error) {
	s, err := o.testSink.Open(ctx, ack)
	return &outdatedSession{s, o}, err
}

type outdatedSession struct {
	Session
	*outdated
}

func (o *outdatedSession) Validate(r *Record) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known[r.Topic] {
		return fmt.Errorf("topic %s does not exist", r.Topic)
	}
	return nil
}

func (o *outdatedSession) Revalidate(_ context.Context, refused []*Record) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.reviews++
	for _, r := range refused {
		if !o.missing[r.Topic] {
			delete(o.known, r.Topic)
		}
	}
}

func newOutdated(b *bench, topics ...string) *outdated {
	o := &outdated{testSink: b.sink, missing: make(map[string]bool), known: make(map[string]bool)}
	for _, topic := range topics {
		o.missing[topic], o.known[topic] = true, true
	}
	return o
}

// Hazard answer-before-retry.
// Interleaving: the sink asked about the topic and learnt that it is missing. The topic is created. The
// operator has its events sent again. The sink's knowledge is older than the operator's request.
func TestARetryRightAfterTheTopicWasCreatedIsDelivered(t *testing.T) {
	b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	sink := newOutdated(b, "late", "never")
	r := b.relay()
	r.cfg.Sink = sink
	b.commitTo("late", "k", "k1", "k2")
	b.commitTo("never", "n", "n1")
	stop := start(t, r)
	b.parkedAre("k1 failed", "k2 blocked", "n1 failed")
	sink.mu.Lock()
	require.Zero(t, sink.reviews, "an event that is parked for the first time is not asked for again")
	delete(sink.missing, "late")
	sink.mu.Unlock()
	attempts := b.attempts(t, "n1")
	b.ask("retry", "state = 'failed'")
	eventually(t, "the other topic is judged again", func() bool { return b.attempts(t, "n1") > attempts })
	b.parkedAre("n1 failed")
	b.published("k1", "k2")
	require.NoError(t, stop())
}

func TestARetryForManyMissingTopicsAsksOnceForARound(t *testing.T) {
	const topics = 2 * replayRows
	b := newBench(t, dbtest.Migrate(t, dbtest.SQLite(t)))
	names := make([]string, topics)
	for i := range names {
		names[i] = fmt.Sprint("missing-", i)
	}
	sink := newOutdated(b, names...)
	r := b.relay()
	r.cfg.Sink = sink
	b.exec(`WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 1999)
		INSERT INTO outbox_events (topic, payload) SELECT 'missing-' || i, 'x' || i FROM n`)
	stop := start(t, r)
	last := fmt.Sprint("x", topics-1)
	eventually(t, "they are parked", func() bool { return b.scalar("SELECT count(*) FROM outbox_parked") == topics })
	attempts := b.attempts(t, last)
	b.ask("retry", "state = 'failed'")
	eventually(t, "all are judged again", func() bool { return b.attempts(t, last) > attempts })
	require.NoError(t, stop())
	require.LessOrEqual(t, sink.reviews, 20, "questions for %d topics", topics)
}
