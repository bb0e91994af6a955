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

// What the judge knows of topics by their metadata: whether they are there, how many
// partitions they have, and which of these have no leader. Records that could do nothing
// but wait stay in the table (relay.Lanes), so it is for the judge to ask.

// askAtOnce is how many topics one request names.
const askAtOnce = 1000

// explore asks Kafka for the topics that it was not asked for yet, and for those that are
// missing or have partitions without a leader, until they are as they should be.
func (j *judge) explore(ctx context.Context, client *kgo.Client, now time.Time) {
	names, known := j.unexplored(now)
	for len(names) > 0 && ctx.Err() == nil {
		n := min(askAtOnce, len(names))
		j.ask(ctx, client, names[:n], known)
		names = names[n:]
	}
	j.tellMissing()
}

// unexplored lists the topics to ask for, and one that is known to exist.
func (j *judge) unexplored(now time.Time) (names []string, known string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for name, v := range j.topics {
		switch {
		case v.denied.Load() != nil:
		case v.partitions.Load() == 0 && v.exploredAt.IsZero(),
			(v.missing.Load() || v.leaderless.Load() != nil) && now.Sub(v.exploredAt) >= j.askEvery():
			v.exploredAt = now
			names = append(names, name)
		case v.partitions.Load() > 0 && !v.missing.Load():
			known = name
		}
	}
	return names, known
}

// askEvery is how often a topic is asked for that is not as it should be.
func (j *judge) askEvery() time.Duration {
	return max(min(time.Second, j.cfg.UnknownTopicAfter/10), time.Millisecond)
}

func (j *judge) ask(ctx context.Context, client *kgo.Client, names []string, known string) {
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	asked := names
	if known != "" {
		asked = append(names[:len(names):len(names)], known)
	}
	answers, err := askTopics(ctx, client, false, asked...)
	if err != nil || known != "" && unknown(answers[known].err) {
		j.exist(names...) // a broker that denies that one knows nothing yet
		j.forgetExplored(names)
		return
	}
	var refused []string
	var reason error // of the first
	for _, name := range names {
		switch answer := answers[name]; {
		case answer.err == nil:
			j.noteTopic(name, answer)
		case unknown(answer.err) && !j.cfg.CreateTopics:
			lasted, long := j.unknown(name, time.Now())
			if err := notThere(name, lasted); long && j.refuse(name, err) {
				refused = append(refused, name)
				if reason == nil {
					reason = err
				}
			}
		}
	}
	if reason != nil { // one line, not one for each
		j.log.Warn(
			"records of topics are rejected until kafka takes them", "topic", refused[0], "topics", len(refused),
			"error", reason,
		)
	}
}

// forgetExplored has topics asked for again, after there was no answer.
func (j *judge) forgetExplored(names []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, name := range names {
		if v, ok := j.topics[name]; ok && v.partitions.Load() == 0 {
			v.exploredAt = time.Time{}
		}
	}
}

// noteTopic takes over what metadata says of a topic that is there.
func (j *judge) noteTopic(name string, answer topicAnswer) {
	v := j.find(name)
	if v.missing.Load() {
		j.log.Info("topic " + name + " is there now: its events are sent")
	}
	j.exist(name)
	v.partitions.Store(int32(len(answer.partitions)))
	without := withoutLeader(answer.partitions)
	if len(without) == 0 {
		if v.leaderless.Swap(nil) != nil {
			j.log.Info("every partition of topic " + name + " has a leader again: its events are sent")
		}
		return
	}
	if v.leaderless.Swap(&without) == nil {
		j.log.Warn("partitions of topic "+name+" have no leader: their events stay in the table, others are sent",
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

// tellMissing writes one line about the topics that were found to be missing.
func (j *judge) tellMissing() {
	j.mu.Lock()
	names := j.untold
	j.untold = nil
	j.mu.Unlock()
	if len(names) == 0 {
		return
	}
	others := ""
	if len(names) > 1 {
		others = fmt.Sprintf(" and %d more", len(names)-1)
	}
	j.log.Warn(fmt.Sprintf("waiting for topic %s%s, which Kafka does not know: create it, or use --create-topics; "+
		"events for other topics are delivered",
		names[0], others), "rejected_after", j.cfg.UnknownTopicAfter)
}

// ready says whether records of a topic's partition can be sent, or refused, now.
func (j *judge) ready(topic string, partition int32) bool {
	j.mu.Lock()
	v := j.topics[topic]
	asking := v != nil && v.askedAt.IsZero() && time.Since(v.created) < answerWait // or Kafka is away
	j.mu.Unlock()
	switch {
	case v == nil, v.denied.Load() != nil:
		return true
	case v.missing.Load() && !j.cfg.CreateTopics, asking:
		return false
	}
	without := v.leaderless.Load()
	return without == nil || !slices.Contains(*without, partition)
}

// lanes implement relay.Lanes for a session. They belong to the goroutine that delivers.
type lanes struct {
	judge  *judge
	counts map[string]int32 // partitions, as they were when the session first saw the topic
	parts  kgo.TopicPartitioner
	key    kgo.Record // scratch
	last   string
	count  int32 // of last
}

// mostCounts bounds the topics that lanes remember.
const mostCounts = 100_000

func newLanes(j *judge) lanes {
	return lanes{judge: j, counts: make(map[string]int32), parts: kgo.StickyKeyPartitioner(nil).ForTopic("")}
}

// learn sees to it that the records' topics are known, as far as Kafka answers soon.
func (l *lanes) learn(records []*relay.Record, ends ...context.Context) {
	var fresh []*verdict
	last := ""
	for _, r := range records {
		if r.Topic == last {
			continue
		}
		last = r.Topic
		if _, known := l.counts[last]; !known && len(l.counts) < mostCounts {
			l.counts[last] = 0
			fresh = append(fresh, l.judge.of(last))
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
	for _, v := range fresh { // all were asked for before the first is waited for
		l.judge.await(v, append(ends[:len(ends):len(ends)], ctx)...)
		l.counts[v.topic] = v.partitions.Load()
	}
	l.last = ""
}

// manyTopics is from how many new topics on learn waits but briefly: the others go on, and
// these are not ready until there is an answer.
const manyTopics = 100

// lane is the partition that Kafka's partitioner chooses, -1 if it may choose any.
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
