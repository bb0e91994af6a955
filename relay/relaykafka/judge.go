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

// judge knows, without sending it, that Kafka would refuse a record: because of its
// size, its headers, its topic, or its lack of a key. A Sink has one, which remembers over sessions: after
// a refusal the relay opens another, and none of the topic's records should have to find
// out anew.
//
// It never refuses what Kafka would take, as far as it knows; what it does not know goes
// out, and the broker decides. While a session is open, attend keeps it up to date, so
// that a topic that was created, allowed or widened takes records again by itself.
//
// Safe for concurrent use.
type judge struct {
	cfg Config
	log *slog.Logger

	last atomic.Pointer[verdict] // asked for last: the next record mostly is of the same topic

	mu     sync.Mutex // for what follows, and for what verdicts say it is for
	topics map[string]*verdict
	untold []string      // topics that were found to be missing, and not told of
	blind  bool          // it was told that topics' settings cannot be seen
	wake   chan struct{} // there is a topic to ask Kafka about
}

// verdict is what is known of one topic.
type verdict struct {
	topic     string
	limit     atomic.Int64 // max.message.bytes; 0: not known
	inSync    atomic.Int64 // min.insync.replicas; 0: not known
	denied    atomic.Pointer[error]
	wanted    atomic.Bool // since attend looked last
	tight     atomic.Bool // a record was refused for one of the topic's settings
	compacted atomic.Bool // records without a key are refused
	missing   atomic.Bool // fresh metadata has denied the topic
	// partitions counts them, 0: not known; leaderless names those without a leader, nil: none.
	partitions atomic.Int32
	leaderless atomic.Pointer[[]int32]

	// These need judge.mu.
	unanswered chan struct{} // closed, and then nil, when Kafka was asked
	askedAt    time.Time
	exploredAt time.Time // metadata was asked for
	doubted    time.Time // last, by doubt: only an answer to a later question ends the wait
	created    time.Time
	deniedAt   time.Time // the denial began,
	wantedAt   time.Time // and somebody asked for the topic last
	since      time.Time // fresh metadata has denied the topic, without a pause,
	until      time.Time // and did so last
}

func newJudge(cfg Config) *judge {
	return &judge{cfg: cfg, log: cfg.Logger, topics: make(map[string]*verdict), wake: make(chan struct{}, 1)}
}

// of returns the verdict on a topic, and sees to it that Kafka is asked about a new one.
func (j *judge) of(topic string) *verdict {
	v := j.last.Load()
	if v == nil || v.topic != topic {
		v = j.find(topic)
		j.last.Store(v)
	}
	if !v.wanted.Load() {
		v.wanted.Store(true)
	}
	return v
}

// find makes a verdict for a new topic. One whose name Kafka does not allow is not kept: such
// names are without number, and there is nothing to learn of them.
func (j *judge) find(topic string) *verdict {
	if !kafkatopic.Valid(topic) {
		return &verdict{topic: topic}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	v, ok := j.topics[topic]
	if !ok {
		v = &verdict{topic: topic, unanswered: make(chan struct{}), created: time.Now()}
		j.topics[topic] = v
		wake(j.wake)
	}
	return v
}

// Validate implements relay.Validator.
func (j *judge) Validate(r *relay.Record) error {
	v := j.of(r.Topic)
	if err := v.refusal(); err != nil {
		return err
	}
	if err := v.wantsKey(r.Key); err != nil {
		return err
	}
	if kafkarules.MostSize(r) <= j.most(v) && kafkarules.MayBeObject(r.Headers) {
		return nil
	}
	headers, err := r.AppendWireHeaders(make([]relay.Header, 0, 8))
	if err != nil {
		return err
	}
	return j.fits(v, kafkarules.AloneSize(r, headers))
}

// refusal returns why Kafka refuses all records of the topic.
func (v *verdict) refusal() error {
	if reason := v.denied.Load(); reason != nil {
		return *reason
	}
	if !kafkatopic.Valid(v.topic) {
		return fmt.Errorf("topic %q cannot exist: %s", v.topic, kafkatopic.Rule)
	}
	return nil
}

// wantsKey returns why a compacted topic refuses a record with that key: it has none. A
// broker would refuse the batch that it is in.
func (v *verdict) wantsKey(key []byte) error {
	if key != nil || !v.compacted.Load() {
		return nil
	}
	v.tight.Store(true)
	return fmt.Errorf("topic %s is compacted, and the event has no key: give it one, or take compact out of the "+
		"topic's cleanup.policy", v.topic)
}

// most is the largest batch for the topic. Ours rules where the topic takes more.
func (j *judge) most(v *verdict) int {
	most := min(int64(j.cfg.BatchMaxBytes), maxBatchBytes-requestFraming)
	if limit := v.limit.Load(); limit > 0 {
		most = min(most, limit)
	}
	return int(most)
}

// fits returns nil if a batch of that size may be sent to the topic.
func (j *judge) fits(v *verdict, size int) error {
	most := j.most(v)
	if size <= most {
		return nil
	}
	if limit := v.limit.Load(); limit == int64(most) && limit < int64(j.cfg.BatchMaxBytes) {
		v.tight.Store(true)
		err := kafkarules.TooLargeForTopic(v.topic, size, most)
		if size > int(j.cfg.BatchMaxBytes) {
			err = fmt.Errorf(
				"%w, and Config.BatchMaxBytes (--kafka-max-message-bytes), which is %d", err, j.cfg.BatchMaxBytes,
			)
		}
		return err
	}
	return fmt.Errorf("a record for topic %s makes a batch of %d bytes (before compression), and batches are limited "+
		"to %d: raise Config.BatchMaxBytes (--kafka-max-message-bytes) together with the brokers' message.max.bytes "+
		"or the topic's max.message.bytes",
		v.topic, size, most)
}

// batchMaxBytes is asked by kgo when it first sees a partition of a topic. Batches of
// records that fit one by one must fit too.
func (j *judge) batchMaxBytes(topic string) int32 {
	if topic == "" { // kgo checks its configuration
		return j.cfg.BatchMaxBytes
	}
	return int32(max(j.most(j.of(topic))+kgoFraming, smallestBatch))
}

// answerWait bounds await: what it spares is a refusal that is found out and mended.
const answerWait = time.Second

// await waits until Kafka was asked about the topic, though not for long: batches that
// are larger than its limit would be refused with all that is in them, and kgo asks
// batchMaxBytes once.
func (j *judge) await(v *verdict, ends ...context.Context) {
	j.mu.Lock()
	unanswered := v.unanswered
	j.mu.Unlock()
	if unanswered == nil {
		return
	}
	wake(j.wake)
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

// admit is Validate for a record that is encoded. Where it would refuse, and what it knows
// is not fresh, it has Kafka asked again: sessions that end with a refusal may be too
// short for attend.
func (j *judge) admit(v *verdict, key []byte, size int, ends ...context.Context) error {
	err := j.refuses(v, key, size)
	if err == nil || !kafkatopic.Valid(v.topic) || !j.stale(v) {
		return err
	}
	j.doubt(v)
	j.await(v, ends...)
	return j.refuses(v, key, size)
}

func (j *judge) refuses(v *verdict, key []byte, size int) error {
	if err := v.refusal(); err != nil {
		return err
	}
	if err := v.wantsKey(key); err != nil {
		return err
	}
	return j.fits(v, size)
}

func (j *judge) stale(v *verdict) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return time.Since(v.askedAt) >= j.reviewEvery()
}

// reviewEvery is for how long a record may still be refused after Kafka would take it: a
// topic was created or allowed, or its limit was raised.
func (j *judge) reviewEvery() time.Duration {
	return max(min(2*time.Second, j.cfg.UnknownTopicAfter), time.Millisecond)
}

// failed learns from the error of a record what concerns all records of its topic.
func (j *judge) failed(topic string, err error) {
	switch {
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		j.deny(
			topic,
			fmt.Errorf("kafka refuses topic %s: %w; %s", topic, kerr.TopicAuthorizationFailed, kafkarules.WriteACL),
		)
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.InvalidRecord):
		j.doubt(j.of(topic))
	}
}

// doubt has Kafka asked anew about the topic, now.
func (j *judge) doubt(v *verdict) {
	j.mu.Lock()
	defer j.mu.Unlock()
	v.doubted = time.Now()
	if v.unanswered == nil {
		v.unanswered = make(chan struct{})
	}
	wake(j.wake)
}

// askAnew has Kafka asked about the records' topics, all together, and waits for the answers,
// though not for long.
func (j *judge) askAnew(records []*relay.Record, ends ...context.Context) {
	doubted := make(map[string]*verdict)
	for _, r := range records {
		if doubted[r.Topic] == nil && kafkatopic.Valid(r.Topic) {
			v := j.of(r.Topic)
			doubted[r.Topic] = v
			j.doubt(v)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerWait)
	defer cancel()
	for _, v := range doubted {
		j.await(v, append(ends[:len(ends):len(ends)], ctx)...)
	}
}

// deny refuses the topic's records from now on, until attend finds that it takes them.
func (j *judge) deny(topic string, reason error) {
	if j.refuse(topic, reason) {
		j.log.Warn("records of a topic are rejected until kafka takes them", "topic", topic, "error", reason)
	}
}

// refuse is deny without a line in the log, and reports whether it is news.
func (j *judge) refuse(topic string, reason error) (fresh bool) {
	v := j.of(topic)
	j.mu.Lock()
	defer j.mu.Unlock()
	if fresh = v.denied.Swap(&reason) == nil; fresh {
		v.deniedAt, v.wantedAt = time.Now(), time.Now()
	}
	return fresh
}

// allow ends a denial.
func (j *judge) allow(v *verdict) {
	if v.denied.Swap(nil) != nil {
		j.log.Info("a topic takes records again", "topic", v.topic)
	}
}

// unknown notes that fresh metadata denied the topic just now, and says for how long it
// has, and whether that is long enough to believe it. A denial that is not repeated for
// a while starts over: nobody looked in between.
func (j *judge) unknown(topic string, now time.Time) (time.Duration, bool) {
	v := j.of(topic)
	j.mu.Lock()
	defer j.mu.Unlock()
	after := j.cfg.UnknownTopicAfter
	if v.since.IsZero() || now.Sub(v.until) > after {
		v.since = now
	}
	if !v.missing.Swap(true) {
		j.untold = append(j.untold, topic)
	}
	v.until = now
	lasted := now.Sub(v.since)
	return lasted, lasted >= after
}

// exist forgets what unknown noted of topics that were seen, or could not be asked for.
func (j *judge) exist(topics ...string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, topic := range topics {
		if v, ok := j.topics[topic]; ok {
			v.since = time.Time{}
			v.missing.Store(false)
		}
	}
}

// suspects tells whether fresh metadata has denied the topic.
func (j *judge) suspects(topic string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	v, ok := j.topics[topic]
	return ok && !v.since.IsZero()
}
