package relaykafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/postroom/postroom/internal/kafkarules"
	"github.com/postroom/postroom/internal/kafkatopic"
	"github.com/postroom/postroom/relay"
)

// validator knows which records Kafka would refuse, before they are sent: because of their size, their headers, their
// topic, or a missing key. A Sink has one validator for all its sessions. A refusal ends a session, and the next one
// must not send the topic's other records to be refused one after another.
//
// A record that the validator knows nothing against is sent, and the broker decides. While a session is open,
// keepUpToDate asks Kafka again, so that a topic takes records as soon as it is created, allowed or given a higher
// limit.
//
// Safe for concurrent use.
type validator struct {
	cfg Config
	log *slog.Logger

	last atomic.Pointer[topicState] // asked for last: the next record mostly is of the same topic

	mu             sync.Mutex // for what follows, and for what a topicState says it is for
	topics         map[string]*topicState
	unreported     []string      // topics that were found to be missing, and not told of
	settingsHidden bool          // it was told that topics' settings cannot be seen
	wake           chan struct{} // there is a topic to ask Kafka about
}

// topicState is what is known of one topic.
type topicState struct {
	topic          string
	limit          atomic.Int64 // max.message.bytes; 0: not known
	inSync         atomic.Int64 // min.insync.replicas; 0: not known
	denied         atomic.Pointer[error]
	wanted         atomic.Bool // since keepUpToDate looked last
	settingRefused atomic.Bool // a record was refused for one of the topic's settings
	compacted      atomic.Bool // records without a key are refused
	missing        atomic.Bool // fresh metadata has denied the topic
	// partitions counts them, 0: not known; leaderless names those without a leader, nil: none.
	partitions atomic.Int32
	leaderless atomic.Pointer[[]int32]

	// These need validator.mu.
	unanswered   chan struct{} // closed, and then nil, when Kafka was asked
	askedAt      time.Time
	metadataAt   time.Time // metadata was asked for
	askedAgainAt time.Time // by askAgain, last: only an answer to a later question ends the wait
	created      time.Time
	deniedAt     time.Time // the denial began,
	wantedAt     time.Time // and somebody asked for the topic last
	since        time.Time // fresh metadata has denied the topic, without a pause,
	until        time.Time // and did so last
}

func newValidator(cfg Config) *validator {
	return &validator{cfg: cfg, log: cfg.Logger, topics: make(map[string]*topicState), wake: make(chan struct{}, 1)}
}

// state returns what is known of a topic, and has Kafka asked about a new one.
func (v *validator) state(topic string) *topicState {
	t := v.last.Load()
	if t == nil || t.topic != topic {
		t = v.stateOrNew(topic)
		v.last.Store(t)
	}
	if !t.wanted.Load() {
		t.wanted.Store(true)
	}
	return t
}

// stateOrNew makes the state of a new topic. One whose name Kafka does not allow is not kept: such
// names are without number, and there is nothing to learn of them.
func (v *validator) stateOrNew(topic string) *topicState {
	if !kafkatopic.Valid(topic) {
		return &topicState{topic: topic}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	t, ok := v.topics[topic]
	if !ok {
		t = &topicState{topic: topic, unanswered: make(chan struct{}), created: time.Now()}
		v.topics[topic] = t
		wake(v.wake)
	}
	return t
}

// Validate implements relay.Validator.
func (v *validator) Validate(r *relay.Record) error {
	t := v.state(r.Topic)
	if err := t.deniedReason(); err != nil {
		return err
	}
	if err := t.wantsKey(r.Key); err != nil {
		return err
	}
	if kafkarules.MostSize(r) <= v.most(t) && kafkarules.MayBeObject(r.Headers) {
		return nil
	}
	headers, err := r.AppendWireHeaders(make([]relay.Header, 0, 8))
	if err != nil {
		return err
	}
	return v.fits(t, kafkarules.AloneSize(r, headers))
}

// deniedReason returns why Kafka refuses all records of the topic.
func (t *topicState) deniedReason() error {
	if reason := t.denied.Load(); reason != nil {
		return *reason
	}
	if !kafkatopic.Valid(t.topic) {
		return fmt.Errorf("topic %q cannot exist: %s", t.topic, kafkatopic.Rule)
	}
	return nil
}

// wantsKey returns why a compacted topic refuses a record with that key: it has none. A
// broker would refuse the batch that it is in.
func (t *topicState) wantsKey(key []byte) error {
	if key != nil || !t.compacted.Load() {
		return nil
	}
	t.settingRefused.Store(true)
	return fmt.Errorf("topic %s is compacted, and the event has no key: give it one, or take compact out of the "+
		"topic's cleanup.policy", t.topic)
}

// most is the largest batch for the topic. Ours rules where the topic takes more.
func (v *validator) most(t *topicState) int {
	most := min(int64(v.cfg.BatchMaxBytes), maxBatchBytes-requestFraming)
	if limit := t.limit.Load(); limit > 0 {
		most = min(most, limit)
	}
	return int(most)
}

// fits returns nil if a batch of that size may be sent to the topic.
func (v *validator) fits(t *topicState, size int) error {
	most := v.most(t)
	if size <= most {
		return nil
	}
	if limit := t.limit.Load(); limit == int64(most) && limit < int64(v.cfg.BatchMaxBytes) {
		t.settingRefused.Store(true)
		err := kafkarules.TooLargeForTopic(t.topic, size, most)
		if size > int(v.cfg.BatchMaxBytes) {
			err = fmt.Errorf(
				"%w, and Config.BatchMaxBytes (--kafka-max-message-bytes), which is %d", err, v.cfg.BatchMaxBytes,
			)
		}
		return err
	}
	return fmt.Errorf("a record for topic %s makes a batch of %d bytes (before compression), and batches are limited "+
		"to %d: raise Config.BatchMaxBytes (--kafka-max-message-bytes) together with the brokers' message.max.bytes "+
		"or the topic's max.message.bytes",
		t.topic, size, most)
}

// batchMaxBytes is asked by kgo when it first sees a partition of a topic. Batches of
// records that fit one by one must fit too.
func (v *validator) batchMaxBytes(topic string) int32 {
	if topic == "" { // kgo checks its configuration
		return v.cfg.BatchMaxBytes
	}
	return int32(max(v.most(v.state(topic))+kgoFraming, smallestBatch))
}

// answerWait bounds awaitAnswer: what it spares is a refusal that is found out and mended.
const answerWait = time.Second

// awaitAnswer waits until Kafka was asked about the topic, though not for long: batches that
// are larger than its limit would be refused with all that is in them, and kgo asks
// batchMaxBytes once.
func (v *validator) awaitAnswer(t *topicState, ends ...context.Context) {
	v.mu.Lock()
	unanswered := t.unanswered
	v.mu.Unlock()
	if unanswered == nil {
		return
	}
	wake(v.wake)
	ctx, cancel := context.WithTimeout(context.Background(), answerWait)
	defer cancel()
	for _, end := range ends {
		defer context.AfterFunc(end, cancel)()
	}
	select {
	case <-unanswered:
	case <-ctx.Done():
	}
}

// validateEncoded is Validate for a record that is encoded. Where it would refuse, and what it knows
// is not fresh, it has Kafka asked again: sessions that end with a refusal may be too
// short for keepUpToDate.
func (v *validator) validateEncoded(t *topicState, key []byte, size int, ends ...context.Context) error {
	err := v.check(t, key, size)
	if err == nil || !kafkatopic.Valid(t.topic) || !v.stale(t) {
		return err
	}
	v.askAgain(t)
	v.awaitAnswer(t, ends...)
	return v.check(t, key, size)
}

func (v *validator) check(t *topicState, key []byte, size int) error {
	if err := t.deniedReason(); err != nil {
		return err
	}
	if err := t.wantsKey(key); err != nil {
		return err
	}
	return v.fits(t, size)
}

func (v *validator) stale(t *topicState) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return time.Since(t.askedAt) >= v.reviewEvery()
}

// reviewEvery is for how long a record may still be refused after Kafka would take it: a
// topic was created or allowed, or its limit was raised.
func (v *validator) reviewEvery() time.Duration {
	return max(min(2*time.Second, v.cfg.UnknownTopicAfter), time.Millisecond)
}

// failed learns from the error of a record what concerns all records of its topic.
func (v *validator) failed(topic string, err error) {
	switch {
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		v.deny(
			topic,
			fmt.Errorf("kafka refuses topic %s: %w; %s", topic, kerr.TopicAuthorizationFailed, kafkarules.WriteACL),
		)
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.InvalidRecord):
		v.askAgain(v.state(topic))
	}
}

// askAgain has Kafka asked anew about the topic, now.
func (v *validator) askAgain(t *topicState) {
	v.mu.Lock()
	defer v.mu.Unlock()
	t.askedAgainAt = time.Now()
	if t.unanswered == nil {
		t.unanswered = make(chan struct{})
	}
	wake(v.wake)
}

// askAgainAll has Kafka asked about the records' topics, all together, and waits for the answers,
// though not for long.
func (v *validator) askAgainAll(records []*relay.Record, ends ...context.Context) {
	doubted := make(map[string]*topicState)
	for _, r := range records {
		if doubted[r.Topic] == nil && kafkatopic.Valid(r.Topic) {
			t := v.state(r.Topic)
			doubted[r.Topic] = t
			v.askAgain(t)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerWait)
	defer cancel()
	for _, t := range doubted {
		v.awaitAnswer(t, append(ends[:len(ends):len(ends)], ctx)...)
	}
}

// deny refuses the topic's records from now on, until keepUpToDate finds that it takes them.
func (v *validator) deny(topic string, reason error) {
	if v.markDenied(topic, reason) {
		v.log.Warn("records of a topic are rejected until kafka takes them", "topic", topic, "error", reason)
	}
}

// markDenied is deny without a line in the log, and reports whether it is news.
func (v *validator) markDenied(topic string, reason error) (fresh bool) {
	t := v.state(topic)
	v.mu.Lock()
	defer v.mu.Unlock()
	if fresh = t.denied.Swap(&reason) == nil; fresh {
		t.deniedAt, t.wantedAt = time.Now(), time.Now()
	}
	return fresh
}

// allow ends a denial.
func (v *validator) allow(t *topicState) {
	if t.denied.Swap(nil) != nil {
		v.log.Info("a topic takes records again", "topic", t.topic)
	}
}

// noteMissing notes that fresh metadata denied the topic just now, and says for how long it
// has, and whether that is long enough to believe it. A denial that is not repeated for
// a while starts over: nobody looked in between.
func (v *validator) noteMissing(topic string, now time.Time) (time.Duration, bool) {
	t := v.state(topic)
	v.mu.Lock()
	defer v.mu.Unlock()
	after := v.cfg.UnknownTopicAfter
	if t.since.IsZero() || now.Sub(t.until) > after {
		t.since = now
	}
	if !t.missing.Swap(true) {
		v.unreported = append(v.unreported, topic)
	}
	t.until = now
	lasted := now.Sub(t.since)
	return lasted, lasted >= after
}

// clearMissing forgets what noteMissing noted of topics that were seen, or could not be asked for.
func (v *validator) clearMissing(topics ...string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, topic := range topics {
		if t, ok := v.topics[topic]; ok {
			t.since = time.Time{}
			t.missing.Store(false)
		}
	}
}

// isMissing tells whether fresh metadata has denied the topic.
func (v *validator) isMissing(topic string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	t, ok := v.topics[topic]
	return ok && !t.since.IsZero()
}
