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

// validator knows which records Kafka would reject, before they are sent: because of their size, their
// headers, their topic, or a missing key. A Sink has one validator for all its sessions, because a rejection
// ends a session. The next session must not send the topic's other records, each of which would be rejected
// in turn.
//
// A record against which the validator knows nothing is sent, and the broker decides. While a session is
// open, keepUpToDate asks Kafka again. So a topic accepts records as soon as it is created, is allowed, or
// has a higher limit.
//
// Safe for concurrent use.
type validator struct {
	cfg Config
	log *slog.Logger

	last atomic.Pointer[topicState] // topic of the last record; most often the next record has the same

	mu             sync.Mutex // for the fields below, and for the fields of topicState that say so
	topics         map[string]*topicState
	unreported     []string      // missing topics that are not in the log yet
	settingsHidden bool          // it is logged that the topics' settings cannot be read
	wake           chan struct{} // there is a topic to ask Kafka about
}

// topicState is what the validator knows about one topic.
type topicState struct {
	topic             string
	limit             atomic.Int64 // max.message.bytes; 0: not known
	inSync            atomic.Int64 // min.insync.replicas; 0: not known
	denied            atomic.Pointer[error]
	wanted            atomic.Bool // a record for it came since the last look of keepUpToDate
	rejectedBySetting atomic.Bool // a record was rejected because of one of the topic's settings
	compacted         atomic.Bool // records without a key are rejected
	missing           atomic.Bool // fresh metadata says that the topic does not exist
	// partitions is their number, 0 if it is not known. leaderless has the numbers of those without a leader.
	partitions atomic.Int32
	leaderless atomic.Pointer[[]int32]

	// These fields need validator.mu.
	unanswered   chan struct{} // closed, and then set to nil, when Kafka has been asked
	askedAt      time.Time
	metadataAt   time.Time // when metadata was last requested
	askedAgainAt time.Time // when askAgain was last called; only the answer to a later request ends the wait
	created      time.Time
	deniedAt     time.Time // when the topic was denied
	wantedAt     time.Time // when a record for the topic last came
	since        time.Time // since when fresh metadata has reported the topic missing, without interruption
	until        time.Time // when it last did so
}

func newValidator(cfg Config) *validator {
	return &validator{cfg: cfg, log: cfg.Logger, topics: make(map[string]*topicState), wake: make(chan struct{}, 1)}
}

// state returns what is known about a topic. For a new topic it has keepUpToDate ask Kafka.
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

// stateOrNew creates the state of a new topic. The state of a topic whose name Kafka does not allow is not
// kept, because there may be any number of such names, and Kafka has nothing to say about them.
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

// deniedReason returns why Kafka rejects all records of the topic.
func (t *topicState) deniedReason() error {
	if reason := t.denied.Load(); reason != nil {
		return *reason
	}
	if !kafkatopic.Valid(t.topic) {
		return fmt.Errorf("topic %q cannot exist: %s", t.topic, kafkatopic.Rule)
	}
	return nil
}

// wantsKey returns an error if the topic is compacted and there is no key. A broker would reject the whole
// batch of such a record.
func (t *topicState) wantsKey(key []byte) error {
	if key != nil || !t.compacted.Load() {
		return nil
	}
	t.rejectedBySetting.Store(true)
	return fmt.Errorf("topic %s is compacted, and the event has no key: give it one, or take compact out of the "+
		"topic's cleanup.policy", t.topic)
}

// most is the largest batch for the topic: the lower one of its limit and ours.
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
		t.rejectedBySetting.Store(true)
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

// batchMaxBytes is called by kgo when it first sees a partition of a topic. The limit must be low enough for
// batches of records that fit one by one.
func (v *validator) batchMaxBytes(topic string) int32 {
	if topic == "" { // kgo calls it without a topic while it checks its configuration
		return v.cfg.BatchMaxBytes
	}
	return int32(max(v.most(v.state(topic))+kgoFraming, smallestBatch))
}

// answerWait bounds awaitAnswer. It is short, because the wait only avoids a rejection that is noticed and
// repaired.
const answerWait = time.Second

// awaitAnswer waits a short time until Kafka has been asked about the topic. The wait is needed because kgo
// calls batchMaxBytes only once, and batches above the topic's limit would be rejected with all of their
// records.
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

// validateEncoded does what Validate does, for an encoded record. Before it rejects a record because of old
// knowledge, it has Kafka asked again, because sessions that end with a rejection may be too short for
// keepUpToDate.
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

// reviewEvery is how long a record may still be rejected after Kafka would accept it, because a topic was
// created or allowed, or its limit was raised.
func (v *validator) reviewEvery() time.Duration {
	return max(min(2*time.Second, v.cfg.UnknownTopicAfter), time.Millisecond)
}

// failed learns from a record's error what concerns all records of its topic.
func (v *validator) failed(topic string, err error) {
	switch {
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		v.deny(
			topic,
			fmt.Errorf("kafka rejects topic %s: %w; %s", topic, kerr.TopicAuthorizationFailed, kafkarules.WriteACL),
		)
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.InvalidRecord):
		v.askAgain(v.state(topic))
	}
}

// askAgain has keepUpToDate ask Kafka about the topic again, now.
func (v *validator) askAgain(t *topicState) {
	v.mu.Lock()
	defer v.mu.Unlock()
	t.askedAgainAt = time.Now()
	if t.unanswered == nil {
		t.unanswered = make(chan struct{})
	}
	wake(v.wake)
}

// askAgainAll has keepUpToDate ask Kafka about the records' topics in one go, and waits a short time for the
// answers.
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

// deny rejects the topic's records from now on, until keepUpToDate finds that the topic accepts them.
func (v *validator) deny(topic string, reason error) {
	if v.markDenied(topic, reason) {
		v.log.Warn("records of a topic are rejected until kafka takes them", "topic", topic, "error", reason)
	}
}

// markDenied does the same without a log line, and reports whether the denial is new.
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

// noteMissing notes that fresh metadata reported the topic missing just now. It returns for how long that
// has been so, and whether that is long enough to believe it. If the report is not repeated for a while, the
// time starts again, because nobody looked in between.
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

// clearMissing forgets the reports of noteMissing about topics that exist, or about which Kafka did not
// answer.
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

// isMissing reports whether fresh metadata says that the topic does not exist.
func (v *validator) isMissing(topic string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	t, ok := v.topics[topic]
	return ok && !t.since.IsZero()
}
