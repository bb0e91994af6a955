package kafkatx

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Find returns what is open in the partitions, the oldest of each partition first. A
// transaction that has just been ended may be among them. With an error, it is what those
// leaders tell that answered.
func Find(ctx context.Context, admin *kadm.Client, partitions kadm.TopicsSet) ([]Open, error) {
	described, failure := admin.DescribeProducers(ctx, partitions)
	if failure != nil {
		failure = fmt.Errorf("ask for the producers of partitions: %w", failure)
	}
	var list []Open // of the leaders that answered
	described.EachPartition(func(p kadm.DescribedProducersPartition) {
		if p.Err != nil {
			failure = fmt.Errorf("ask for the producers of topic %s, partition %d: %w", p.Topic, p.Partition, p.Err)
		}
		for _, producer := range p.ActiveProducers {
			if producer.CurrentTxnStartOffset >= 0 {
				list = append(list, open(producer))
			}
		}
	})
	if len(list) > 0 {
		Sort(list)
		coordinators(ctx, admin, list)
	}
	return list, failure
}

// Sort sorts by topic, partition and offset.
func Sort(list []Open) {
	slices.SortFunc(list, func(a, b Open) int {
		return cmp.Or(
			cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition),
			cmp.Compare(a.StartOffset, b.StartOffset),
		)
	})
}

func open(p kadm.DescribedProducer) Open {
	o := Open{
		Topic: p.Topic, Partition: p.Partition, ProducerID: p.ProducerID, ProducerEpoch: p.ProducerEpoch,
		StartOffset: p.CurrentTxnStartOffset,
	}
	if p.LastTimestamp > 0 {
		o.LastWrite = time.UnixMilli(p.LastTimestamp)
	}
	return o
}

// coordinators adds what the transactions' coordinators say.
func coordinators(ctx context.Context, admin *kadm.Client, list []Open) {
	all := func(s State) {
		for i := range list {
			list[i].State = s
		}
	}
	var producers []int64
	for _, o := range list {
		producers = append(producers, o.ProducerID)
	}
	slices.Sort(producers)
	listed, err := admin.ListTransactions(ctx, slices.Compact(producers), nil)
	if err != nil {
		all(Unknown)
		return
	}
	if len(listed) == 0 {
		all(Unseen)
		return
	}
	// A transactional id may get another producer id, when its epochs are used up; then the
	// transaction is the former's, and hangs or is Unseen.
	described, err := admin.DescribeTransactions(ctx, listed.TransactionalIDs()...)
	if err != nil {
		all(Unknown)
		return
	}
	byProducer := make(map[int64]kadm.DescribedTransaction, len(described))
	for _, t := range described {
		if t.Err == nil {
			byProducer[t.ProducerID] = t
		}
	}
	for i := range list {
		o := &list[i]
		if t, ok := byProducer[o.ProducerID]; ok {
			o.judge(t)
		} else {
			o.State = Unseen
		}
	}
}

// judge compares what is open in the partition with what is open by the coordinator's account.
func (o *Open) judge(t kadm.DescribedTransaction) {
	o.TransactionalID, o.Said, o.Coordinator = t.TxnID, t.State, t.Coordinator
	o.Timeout = time.Duration(t.TimeoutMillis) * time.Millisecond
	if t.StartTimestamp > 0 {
		o.Since = time.UnixMilli(t.StartTimestamp)
	}
	_, here := t.Topics[o.Topic][o.Partition]
	switch {
	case !here:
		o.State = Hanging
	case t.State == "Ongoing" && t.ProducerEpoch == o.ProducerEpoch:
		o.State = Running
	case t.State == "Ongoing":
		o.State = Hanging
	case t.State == "PrepareCommit", t.State == "PrepareAbort", t.State == "PrepareEpochFence":
		o.State = Ending
	default:
		o.State = Hanging
	}
}
