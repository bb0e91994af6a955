package relaykafka

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/postroom/postroom/relay"
)

// This file has what the validator learns from topics' metadata: whether they exist, how many partitions they
// have, and which partitions have no leader. The validator has to ask for it, because records that would only
// wait stay in the table (relay.Lanes), so that no producer would ask.

// askAtOnce is how many topics one request names.
const askAtOnce = 1000

// fetchMetadata asks Kafka about topics that it was not asked about yet. It asks again about topics that are
// missing or have partitions without a leader, until they are complete.
func (v *validator) fetchMetadata(ctx context.Context, client *kgo.Client, now time.Time) {
	names, known := v.withoutMetadata(now)
	for len(names) > 0 && ctx.Err() == nil {
		n := min(askAtOnce, len(names))
		v.fetchTopics(ctx, client, names[:n], known)
		names = names[n:]
	}
	v.logMissing()
}

// withoutMetadata lists the topics to ask about, and one topic that is known to exist.
func (v *validator) withoutMetadata(now time.Time) (names []string, known string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for name, t := range v.topics {
		switch {
		case t.denied.Load() != nil:
		case t.partitions.Load() == 0 && t.metadataAt.IsZero(),
			(t.missing.Load() || t.leaderless.Load() != nil) && now.Sub(t.metadataAt) >= v.askEvery():
			t.metadataAt = now
			names = append(names, name)
		case t.partitions.Load() > 0 && !t.missing.Load():
			known = name
		}
	}
	return names, known
}

// askEvery is how often an incomplete topic is checked.
func (v *validator) askEvery() time.Duration {
	return max(min(time.Second, v.cfg.UnknownTopicAfter/10), time.Millisecond)
}

func (v *validator) fetchTopics(ctx context.Context, client *kgo.Client, names []string, known string) {
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	asked := names
	if known != "" {
		asked = append(names[:len(names):len(names)], known)
	}
	answers, err := askTopics(ctx, client, false, asked...)
	if err != nil || known != "" && unknown(answers[known].err) {
		v.clearMissing(names...) // a broker that does not know an existing topic is not up to date
		v.retryMetadata(names)
		return
	}
	var rejected []string
	var reason error // the first error
	for _, name := range names {
		switch answer := answers[name]; {
		case answer.err == nil:
			v.noteTopic(name, answer)
		case unknown(answer.err) && !v.cfg.CreateTopics:
			lasted, long := v.noteMissing(name, time.Now())
			if err := notThere(name, lasted); long && v.markDenied(name, err) {
				rejected = append(rejected, name)
				if reason == nil {
					reason = err
				}
			}
		}
	}
	if reason != nil { // one line for all topics
		v.log.Warn(
			"records of topics are rejected until kafka takes them", "topic", rejected[0], "topics", len(rejected),
			"error", reason,
		)
	}
}

// retryMetadata has the topics asked about again, after a request without an answer.
func (v *validator) retryMetadata(names []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, name := range names {
		if t, ok := v.topics[name]; ok && t.partitions.Load() == 0 {
			t.metadataAt = time.Time{}
		}
	}
}

// noteTopic stores what metadata says about an existing topic.
func (v *validator) noteTopic(name string, answer topicAnswer) {
	t := v.stateOrNew(name)
	if t.missing.Load() {
		v.log.Info("topic " + name + " is there now: its events are sent")
	}
	v.clearMissing(name)
	t.partitions.Store(int32(len(answer.partitions)))
	without := withoutLeader(answer.partitions)
	if len(without) == 0 {
		if t.leaderless.Swap(nil) != nil {
			v.log.Info("every partition of topic " + name + " has a leader again: its events are sent")
		}
		return
	}
	if t.leaderless.Swap(&without) == nil {
		v.log.Warn("partitions of topic "+name+" have no leader: their events stay in the table, others are sent",
			"partitions", without, "reason", leaderless(answer.partitions))
	}
}

func withoutLeader(partitions []kmsg.MetadataResponseTopicPartition) (numbers []int32) {
	for _, p := range partitions {
		if p.Leader < 0 {
			numbers = append(numbers, p.Partition)
		}
	}
	return numbers
}

// logMissing writes one line about the topics that were found missing.
func (v *validator) logMissing() {
	v.mu.Lock()
	names := v.unreported
	v.unreported = nil
	v.mu.Unlock()
	if len(names) == 0 {
		return
	}
	others := ""
	if len(names) > 1 {
		others = fmt.Sprintf(" and %d more", len(names)-1)
	}
	v.log.Warn(fmt.Sprintf("waiting for topic %s%s, which Kafka does not know: create it, or use --create-topics; "+
		"events for other topics are delivered",
		names[0], others), "rejected_after", v.cfg.UnknownTopicAfter)
}

// ready reports whether records of a topic's partition can be sent, or rejected, now.
func (v *validator) ready(topic string, partition int32) bool {
	v.mu.Lock()
	t := v.topics[topic]
	// Without an answer after answerWait, Kafka cannot be reached.
	asking := t != nil && t.askedAt.IsZero() && time.Since(t.created) < answerWait
	v.mu.Unlock()
	switch {
	case t == nil, t.denied.Load() != nil:
		return true
	case t.missing.Load() && !v.cfg.CreateTopics, asking:
		return false
	}
	without := t.leaderless.Load()
	return without == nil || !slices.Contains(*without, partition)
}

// lanes implement relay.Lanes for a session. They belong to the goroutine that delivers.
type lanes struct {
	validator *validator
	counts    map[string]int32 // number of partitions when the session first saw the topic
	parts     kgo.TopicPartitioner
	key       kgo.Record // scratch
	last      string
	count     int32 // number of partitions of last
}

// mostCounts bounds the number of topics that lanes remember.
const mostCounts = 100_000

func newLanes(v *validator) lanes {
	return lanes{validator: v, counts: make(map[string]int32), parts: kgo.StickyKeyPartitioner(nil).ForTopic("")}
}

// learn has Kafka asked about the records' topics, and waits a short time for the answers.
func (l *lanes) learn(records []*relay.Record, ends ...context.Context) {
	var fresh []*topicState
	last := ""
	for _, r := range records {
		if r.Topic == last {
			continue
		}
		last = r.Topic
		if _, known := l.counts[last]; !known && len(l.counts) < mostCounts {
			l.counts[last] = 0
			fresh = append(fresh, l.validator.state(last))
		}
	}
	if len(fresh) == 0 {
		return
	}
	wait := answerWait
	if len(fresh) > manyTopics {
		wait = answerWait / 10
	}
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	for _, t := range fresh { // all are requested before the wait for the first begins
		l.validator.awaitAnswer(t, append(ends[:len(ends):len(ends)], ctx)...)
		l.counts[t.topic] = t.partitions.Load()
	}
	l.last = ""
}

// manyTopics is the number of new topics from which on learn waits only a short time. The other records go
// on, and those of the new topics are not ready until there is an answer.
const manyTopics = 100

// lane returns the partition that Kafka's partitioner chooses, or -1 if it may choose any.
func (l *lanes) lane(r *relay.Record) int32 {
	if r.Topic != l.last {
		l.last, l.count = r.Topic, l.counts[r.Topic]
	}
	if r.Key == nil || l.count == 0 {
		return -1
	}
	l.key.Key = r.Key
	return int32(l.parts.Partition(&l.key, int(l.count)))
}
