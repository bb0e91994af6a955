package relaykafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// topic is what a session knows about one topic.
type topic struct {
	name   string
	sent   atomic.Int64 // records handed to kgo, by Deliver
	done   atomic.Int64 // records acknowledged, by promises
	denied atomic.Pointer[error]

	// The watcher's own.
	seen   int64 // done, when it looked last
	stuck  time.Time
	exists bool
	told   bool // of a failed creation
}

// topicOf returns the session's topic of that name. Only Deliver calls it.
func (s *session) topicOf(name string) *topic {
	if t, ok := s.topics[name]; ok {
		return t
	}
	t := &topic{name: name}
	s.topicsMu.Lock()
	s.topics[name] = t
	s.topicsMu.Unlock()
	if s.sink.cfg.CreateTopics || s.sink.denials.knows(name) {
		select {
		case s.newTopic <- struct{}{}:
		default:
		}
	}
	return t
}

const (
	metadataTimeout = 10 * time.Second
	outageAfter     = 10 * time.Second // without an acknowledgement, before it is logged
)

// watch looks after topics whose records do not come back, until the session fails or
// is closed. kgo itself retries for ever; it is for the watcher to see that a
// topic does not exist, and to tell the log about an outage. It then has kgo drop what
// was never sent, and waits for the answers to the rest.
func (s *session) watch() {
	ticker := time.NewTicker(max(min(time.Second, s.sink.cfg.UnknownTopicAfter/10), time.Millisecond))
	defer ticker.Stop()
	w := watcher{session: s}
	for {
		fresh := false
		select {
		case <-s.gate.Done():
			// Ends when nothing is buffered, or with Close; Close deals with the rest.
			_ = s.client.AbortBufferedRecords(s.life)
			return
		case <-s.newTopic:
			fresh = true
		case <-ticker.C:
		}
		w.look(time.Now(), fresh)
	}
}

type watcher struct {
	session *session
	told    bool // that there is an outage
}

// look asks Kafka for the topics that wait: records are out, and none came back since
// the last look, or at all if fresh is set.
func (w *watcher) look(now time.Time, fresh bool) {
	waiting, known := w.session.waitingTopics(now, fresh)
	if len(waiting) == 0 {
		if w.told {
			w.told = false
			w.session.sink.log.Info("kafka takes records again", "brokers", w.session.sink.addresses())
		}
		return
	}
	ctx, cancel := context.WithTimeout(w.session.gate, metadataTimeout)
	defer cancel()
	answers, err := askTopics(ctx, w.session.client, names(waiting, known))
	if err == nil && known != nil && unknown(answers[known.name]) {
		// A broker that denies a topic which has just taken records knows nothing yet.
		err = fmt.Errorf("topic %s, which is known to exist: %w", known.name, answers[known.name])
	}
	if err != nil {
		w.session.sink.denials.clear(names(waiting, nil)...)
		w.report(time.Now(), waiting, err)
		return
	}
	for _, t := range waiting {
		w.judge(ctx, t, answers[t.name])
	}
	w.report(time.Now(), waiting, nil) // asking may have taken long
}

// waitingTopics returns the topics that wait and, if there is one, a topic known to
// exist to ask for beside them.
func (s *session) waitingTopics(now time.Time, fresh bool) (waiting []*topic, known *topic) {
	s.topicsMu.Lock()
	defer s.topicsMu.Unlock()
	for _, t := range s.topics {
		done := t.done.Load()
		moved := done != t.seen
		t.seen = done
		idle := t.sent.Load() == done
		if moved || idle {
			t.stuck = time.Time{}
			t.exists = t.exists || moved
		} else if t.stuck.IsZero() {
			t.stuck = now
		}
		// The first look only notes the count, so that a record on its way is not asked about.
		if !idle && !moved && (now.After(t.stuck) || fresh && done == 0) {
			waiting = append(waiting, t)
		} else if t.exists {
			known = t
		}
	}
	return waiting, known
}

func (w *watcher) judge(ctx context.Context, t *topic, answer error) {
	s := w.session
	switch {
	case answer == nil:
		t.exists = true
		s.sink.denials.clear(t.name)
	case !unknown(answer): // kgo reports it with the records
	case s.sink.cfg.CreateTopics:
		w.create(ctx, t)
	default:
		lasted, long := s.sink.denials.deny(t.name, time.Now())
		if long {
			s.deny(t, fmt.Errorf("topic %s does not exist (kafka has denied it for %s): create it, or use --create-topics (Config.CreateTopics)",
				t.name, lasted.Round(100*time.Millisecond)))
		}
	}
}

func (w *watcher) create(ctx context.Context, t *topic) {
	s := w.session
	err := createTopic(ctx, s.client, s.sink.cfg, t.name)
	switch {
	case err == nil:
		s.sink.log.Info("created a topic", "topic", t.name)
		s.client.ForceMetadataRefresh()
	case createRefused(err):
		s.deny(t, fmt.Errorf("topic %s does not exist, and cannot be created: %w; create it by hand", t.name, err))
	case !t.told:
		t.told = true
		s.sink.log.Warn("a topic could not be created; trying again", "topic", t.name, "error", err)
	}
}

// deny rejects the topic's records, and ends the session.
func (s *session) deny(t *topic, reason error) {
	t.denied.Store(&reason)
	s.sink.log.Warn("records of a topic are rejected", "topic", t.name, "error", reason)
	s.shut()
}

// report logs an outage once, when it has lasted for outageAfter.
func (w *watcher) report(now time.Time, waiting []*topic, err error) {
	for _, t := range waiting {
		if w.told || t.stuck.IsZero() || now.Sub(t.stuck) < outageAfter || t.denied.Load() != nil {
			continue
		}
		w.told = true
		attrs := []any{"topic", t.name, "records", t.sent.Load() - t.done.Load(), "brokers", w.session.sink.addresses()}
		reason := err
		if reason == nil && w.session.sink.denials.knows(t.name) {
			reason = fmt.Errorf("topic %s does not exist, kafka says: create it, or use --create-topics (Config.CreateTopics)", t.name)
		}
		if reason != nil {
			attrs = append(attrs, slog.Any("error", reason))
		}
		w.session.sink.log.Warn("kafka does not acknowledge records; waiting, nothing is lost", attrs...)
	}
}

// lostByBroker is told by kgo that a broker has forgotten this producer. kgo goes on
// under a new epoch, in order.
func (s *session) lostByBroker(topic string, partition int32) {
	s.sink.log.Warn("kafka has lost what it knew of this producer: records of this partition may be there twice, or be lost if the broker lost acknowledged data",
		"topic", topic, "partition", partition)
}

func (d *denials) knows(topic string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.since[topic]
	return ok
}

func names(topics []*topic, more *topic) []string {
	list := make([]string, 0, len(topics)+1)
	for _, t := range topics {
		list = append(list, t.name)
	}
	if more != nil {
		list = append(list, more.name)
	}
	return list
}

// askTopics fetches metadata, past any cache, and returns each topic's error.
func askTopics(ctx context.Context, client *kgo.Client, topics []string) (map[string]error, error) {
	request := kmsg.NewPtrMetadataRequest()
	for _, name := range topics {
		wanted := kmsg.NewMetadataRequestTopic()
		wanted.Topic = kmsg.StringPtr(name)
		request.Topics = append(request.Topics, wanted)
	}
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return nil, err
	}
	answers := make(map[string]error, len(topics))
	for _, t := range response.Topics {
		if t.Topic != nil {
			answers[*t.Topic] = kerr.ErrorForCode(t.ErrorCode)
		}
	}
	return answers, nil
}

func unknown(err error) bool { return errors.Is(err, kerr.UnknownTopicOrPartition) }

// createTopic succeeds, too, where somebody else was faster.
func createTopic(ctx context.Context, client *kgo.Client, cfg Config, name string) error {
	response, err := kadm.NewClient(client).CreateTopic(ctx, cfg.TopicPartitions, cfg.TopicReplicas, nil, name)
	if err == nil {
		err = response.Err
	}
	if errors.Is(err, kerr.TopicAlreadyExists) {
		return nil
	}
	return err
}

// createRefused tells whether trying again is pointless.
func createRefused(err error) bool {
	for _, refused := range []error{
		kerr.InvalidTopicException, kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.PolicyViolation,
	} {
		if errors.Is(err, refused) {
			return true
		}
	}
	return false
}
