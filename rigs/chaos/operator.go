//go:build unix

package chaos

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/internal/kafkatx"
)

// A broker that is killed while it ends a transaction may come back without knowing about it. Then markers
// are missing, and nobody will write them. Consumers cannot read past the open transaction, and neither can a
// relay in exactly-once mode. The relay's log and doctor name the command that ends it. This operator does
// what they say, after the transaction has hung for as long as a person would need to be sure. It must not
// touch a transaction that only takes long to end.
const (
	hangsFor  = 15 * time.Second
	lookAfter = 3 * time.Second
)

// operate ends hanging transactions until ctx ends.
func (r *run) operate(ctx context.Context) {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(r.servers.Address(Kafka), ",")...))
	if err != nil {
		r.log.say("operator", "cannot ask Kafka: %v", err)
		return
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	first := map[string]time.Time{}
	for pause(ctx, lookAfter); ctx.Err() == nil; pause(ctx, lookAfter) {
		still := map[string]time.Time{}
		for _, o := range hanging(ctx, admin) {
			since, known := first[o.Key()]
			if !known {
				since = time.Now()
			}
			still[o.Key()] = since
			if time.Since(since) >= hangsFor {
				err := endHanging(ctx, admin, o)
				r.log.say("operator", "%s: ended it (error: %v)", o.What(), err)
				if err == nil {
					r.trouble.count(func(b *Blows) { b.Hanging++ })
				}
			}
		}
		first = still
	}
}

// hanging lists the transactions that no coordinator knows. It lists none while a broker is down.
func hanging(ctx context.Context, admin *kadm.Client) (list []kafkatx.Open) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	topics, err := admin.ListTopics(ctx)
	if err != nil {
		return nil
	}
	all, _ := kafkatx.Find(ctx, admin, topics.TopicsSet())
	for _, o := range all {
		if o.State == kafkatx.Hanging {
			list = append(list, o)
		}
	}
	return list
}

// endHanging does what `kafka-transactions.sh abort` does.
func endHanging(ctx context.Context, admin *kadm.Client, o kafkatx.Open) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var where kadm.TopicsSet
	where.Add(o.Topic, o.Partition)
	marker := kadm.TxnMarkers{ProducerID: o.ProducerID, ProducerEpoch: o.ProducerEpoch, Topics: where}
	described, err := admin.DescribeProducers(ctx, where)
	if err != nil {
		return err
	}
	described.EachProducer(func(p kadm.DescribedProducer) {
		if p.ProducerID == o.ProducerID {
			marker.CoordinatorEpoch = max(p.CoordinatorEpoch, 0)
		}
	})
	answers, err := admin.WriteTxnMarkers(ctx, marker)
	answers.EachPartition(func(p kadm.TxnMarkersPartitionResponse) { err = errors.Join(err, p.Err) })
	return err
}
