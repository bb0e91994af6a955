package relaykafka

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// watcher watches the records of one client that get no answer. kgo retries them without
// a limit. So the watcher has to find out that a topic does not exist, and what the
// records of an outage wait for.
type watcher struct {
	validator *validator
	client    *kgo.Client
	shut      func() // ends the session, because a topic's records are rejected

	mu     sync.Mutex        // for the map, and for the topics' marks
	topics map[string]*topic // only Deliver writes it, and so reads it without the lock
	fresh  chan struct{}     // wakes run: there is a topic that may not exist
	every  time.Duration     // time between two looks

	outage  atomic.Pointer[error] // the outage for which records wait
	failure atomic.Pointer[error] // ends the session as soon as that is allowed
	trouble trouble               // the client's last connection error
}

// topic is what a session knows about one topic.
type topic struct {
	name    string
	state   *topicState
	done    atomic.Int64 // records acknowledged; promises write it
	denied  atomic.Pointer[error]
	marks   []*mark // of the outstanding records, in order of time; needs the watcher's mu
	current *mark   // the last mark; only Deliver uses it

	// Only the watcher uses these fields.
	seen   int64 // value of done at the last look
	exists bool
	told   bool // a failed creation is logged
}

// mark counts the records of one topic and one Deliver that have no answer yet.
type mark struct {
	at   time.Time
	left atomic.Int64
}

func newWatcher(j *validator, shut func()) *watcher {
	return &watcher{validator: j, shut: shut, topics: make(map[string]*topic), fresh: make(chan struct{}, 1),
		every: max(min(time.Second, j.cfg.UnknownTopicAfter/10), time.Millisecond)}
}

// topic returns the topic of that name, and whether it is new. Only Deliver calls it.
func (w *watcher) topic(name string) (t *topic, isNew bool) {
	if t, ok := w.topics[name]; ok {
		return t, false
	}
	t = &topic{name: name, state: w.validator.state(name)}
	w.mu.Lock()
	w.topics[name] = t
	w.mu.Unlock()
	if w.validator.cfg.CreateTopics || w.validator.isMissing(name) {
		wake(w.fresh)
	}
	return t, true
}

// handOver counts a record that Deliver, which began at that time, is about to produce.
func (w *watcher) handOver(t *topic, began time.Time) *mark {
	if t.current == nil || t.current.at != began {
		t.current = &mark{at: began}
		w.mu.Lock()
		t.marks = append(t.marks, t.current)
		w.mu.Unlock()
	}
	t.current.left.Add(1)
	return t.current
}

// clientOptions are hooks that tell the watcher of the client's connections and errors.
func (w *watcher) clientOptions() []kgo.Opt {
	return []kgo.Opt{kgo.WithLogger(clientLogger{log: w.validator.log, trouble: &w.trouble}), kgo.WithHooks(&w.trouble)}
}

const (
	metadataTimeout = 10 * time.Second
	outageAfter     = 10 * time.Second // how long a record has no answer
)

// run looks at the topics about once a second, until ctx ends.
func (w *watcher) run(ctx context.Context, client *kgo.Client) {
	w.client = client
	ticker := time.NewTicker(w.every)
	defer ticker.Stop()
	for {
		fresh := false
		select {
		case <-ctx.Done():
			return
		case <-w.fresh:
			fresh = true
		case <-ticker.C:
		}
		w.look(ctx, time.Now(), fresh)
	}
}

// waiting is a topic whose records get no answer.
type waiting struct {
	*topic
	records int64     // outstanding
	since   time.Time // the oldest of them is
}

// look asks Kafka about the topics that wait. A topic waits when it has records without an
// answer, and either no answer came since the last look (if fresh is set: none at all), or
// one of the records has waited for long.
func (w *watcher) look(ctx context.Context, now time.Time, fresh bool) {
	list, known := w.waiting(now, fresh)
	if len(list) == 0 {
		w.outage.Store(nil)
		return
	}
	asking, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	names := make([]string, 0, len(list)+1)
	for _, t := range list {
		names = append(names, t.name)
	}
	if known != nil {
		names = append(names, known.name)
	}
	answers, err := askTopics(asking, w.client, false, names...)
	if ctx.Err() != nil {
		return // the session has ended
	}
	if err == nil && known != nil && unknown(answers[known.name].err) {
		// The topic has just taken records: a broker that does not know it is not up to date.
		err = fmt.Errorf("topic %s, which is known to exist: %w", known.name, answers[known.name].err)
	}
	if err != nil {
		w.validator.clearMissing(names...)
	} else {
		for _, t := range list {
			w.consider(asking, t.topic, answers[t.name])
		}
		w.validator.logMissing()
	}
	w.report(time.Now(), list, answers, err) // the requests may have taken long
}

// waiting returns the topics that wait and, if there is one, a topic that is known to
// exist. It is asked about too.
func (w *watcher) waiting(now time.Time, fresh bool) (list []waiting, known *topic) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.topics {
		done := t.done.Load()
		moved := done != t.seen
		t.seen = done
		t.exists = t.exists || moved
		records, since := t.outstanding()
		age := now.Sub(since)
		// Records that were sent just now are no reason to ask. In a steady flow they would
		// hide one that waits.
		stuck := records > 0 && (!moved && (age >= w.every || fresh && done == 0) || age >= w.validator.cfg.outageAfter)
		if stuck {
			list = append(list, waiting{topic: t, records: records, since: since})
		} else if t.exists {
			known = t
		}
	}
	slices.SortFunc(list, func(a, b waiting) int { return a.since.Compare(b.since) })
	return list, known
}

// outstanding counts the topic's records without an answer, and forgets the marks whose records all have one.
// It needs the watcher's mu.
func (t *topic) outstanding() (records int64, since time.Time) {
	last := len(t.marks) - 1
	kept := t.marks[:0]
	for i, m := range t.marks {
		left := m.left.Load()
		if left > 0 && records == 0 {
			since = m.at
		}
		records += left
		if left > 0 || i == last { // Deliver may still be adding to the last one
			kept = append(kept, m)
		}
	}
	clear(t.marks[len(kept):])
	t.marks = kept
	return records, since
}

// consider acts on what Kafka says about a topic whose records wait.
func (w *watcher) consider(ctx context.Context, t *topic, answer topicAnswer) {
	switch {
	case answer.err == nil:
		t.exists = true
		w.validator.noteTopic(t.name, answer)
	case !unknown(answer.err): // kgo reports the error with the records
	case w.validator.cfg.CreateTopics:
		w.create(ctx, t)
	default:
		if lasted, long := w.validator.noteMissing(t.name, time.Now()); long {
			w.reject(t, notThere(t.name, lasted))
		}
	}
}

func (w *watcher) create(ctx context.Context, t *topic) {
	err := createTopic(ctx, w.client, w.validator.cfg, t.name)
	switch {
	case err == nil:
		w.validator.log.Info("created a topic", "topic", t.name)
		w.validator.askAgain(t.state)
		w.client.ForceMetadataRefresh()
	case createRejected(err):
		w.reject(t, notCreated(t.name, err))
	case !t.told:
		t.told = true
		w.validator.log.Warn("a topic could not be created; trying again", "topic", t.name, "error", err)
	}
}

// reject rejects the topic's records, and ends the session.
func (w *watcher) reject(t *topic, reason error) {
	t.denied.Store(&reason)
	w.validator.deny(t.name, reason)
	w.shut()
}
