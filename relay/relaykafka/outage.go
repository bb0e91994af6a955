package relaykafka

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// report notes what blocks the oldest record that has had no answer for outageAfter, or that there is no
// such record. A missing topic is not an outage: the validator reports it (logMissing). err is the reason
// why Kafka could not be asked.
func (w *watcher) report(now time.Time, list []waiting, answers map[string]topicAnswer, err error) {
	list = slices.DeleteFunc(slices.Clone(list), func(t waiting) bool {
		return now.Sub(t.since) < w.validator.cfg.outageAfter || t.denied.Load() != nil || t.state.missing.Load()
	})
	if len(list) == 0 {
		w.outage.Store(nil)
		return
	}
	t, others := list[0], ""
	if len(list) > 1 {
		others = fmt.Sprintf(" and of %d more topics", len(list)-1)
	}
	if err == nil {
		err = w.explain(t, answers[t.name])
	}
	err = fmt.Errorf("kafka at %s has not acknowledged %d records of topic %s%s since %s; they are kept and sent "+
		"when it does: %w",
		strings.Join(w.validator.cfg.Brokers, ", "), t.records, t.name, others, t.since.UTC().Format(time.RFC3339), err)
	w.outage.Store(&err)
}

// Outage implements relay.OutageReporter.
func (w *watcher) Outage() error {
	for _, reason := range []*atomic.Pointer[error]{&w.failure, &w.outage} {
		if err := reason.Load(); err != nil {
			return *err
		}
	}
	return nil
}

var errNoReason = errors.New(
	"the brokers give no reason; is each of them reachable from here at the address that it advertises?",
)

// explain returns what is wrong with a topic. It looks at the topic's metadata first, and then at the
// connections.
func (w *watcher) explain(t waiting, answer topicAnswer) error {
	switch {
	case unknown(answer.err):
		return fmt.Errorf("the topic does not exist, kafka says: %s", createIt)
	case answer.err != nil:
		return answer.err
	}
	if err := leaderless(answer.partitions); err != nil {
		return err
	}
	if err := underReplicated(answer.partitions, t.state.inSync.Load()); err != nil {
		return err
	}
	if err := w.trouble.recent(t.since); err != nil {
		return err
	}
	return errNoReason
}

func leaderless(partitions []kmsg.MetadataResponseTopicPartition) error {
	var without []string
	var replicas []int32
	for _, p := range partitions {
		if p.Leader < 0 || errors.Is(kerr.ErrorForCode(p.ErrorCode), kerr.LeaderNotAvailable) {
			without = append(without, fmt.Sprint(p.Partition))
			replicas = append(replicas, p.OfflineReplicas...)
		}
	}
	if len(without) == 0 {
		return nil
	}
	return fmt.Errorf("no leader for partition %s of %d: start broker %s",
		strings.Join(without, ", "), len(partitions), brokerList(replicas))
}

func underReplicated(partitions []kmsg.MetadataResponseTopicPartition, wanted int64) error {
	var short []string
	var missing []int32
	for _, p := range partitions {
		if int64(len(p.ISR)) >= wanted {
			continue
		}
		short = append(short, fmt.Sprint(p.Partition))
		for _, replica := range p.Replicas {
			if !slices.Contains(p.ISR, replica) {
				missing = append(missing, replica)
			}
		}
	}
	if len(short) == 0 {
		return nil
	}
	return fmt.Errorf("partition %s of %d has fewer in-sync replicas than the %d of min.insync.replicas: look at "+
		"broker %s",
		strings.Join(short, ", "), len(partitions), wanted, brokerList(missing))
}

func brokerList(ids []int32) string {
	slices.Sort(ids)
	var names []string
	for _, id := range slices.Compact(ids) {
		names = append(names, fmt.Sprint(id))
	}
	return strings.Join(names, ", ")
}
