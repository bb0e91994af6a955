// Package doctorkafka asks a Kafka cluster what internal/doctor wants to know, with
// franz-go. It changes nothing: it sends metadata, configuration and version requests
// alone, and never has a topic created by asking for it.
package doctorkafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/postroom/postroom/internal/doctor"
)

// Kafka is a cluster. Safe for concurrent use.
type Kafka struct{ admin *kadm.Client }

var _ doctor.Kafka = (*Kafka)(nil)

// New returns the cluster that client leads to. The caller closes client.
func New(client *kgo.Client) *Kafka { return &Kafka{admin: kadm.NewClient(client)} }

// Cluster describes the brokers. The oldest broker counts.
func (k *Kafka) Cluster(ctx context.Context) (doctor.Cluster, error) {
	cluster := doctor.Cluster{InitProducerID: -1}
	meta, err := k.admin.BrokerMetadata(ctx)
	if err != nil {
		return cluster, fmt.Errorf("ask for the brokers: %w", err)
	}
	cluster.Brokers = len(meta.Brokers)
	versions, err := k.admin.ApiVersions(ctx)
	if err != nil {
		return cluster, fmt.Errorf("ask for the brokers' versions: %w", err)
	}
	answered := 0
	for _, v := range versions {
		if v.Err != nil {
			err = v.Err // a broker that is down shows at its partitions
			continue
		}
		answered++
		_, highest, known := v.KeyVersions(kmsg.InitProducerID.Int16())
		if !known {
			highest = -1
		}
		if answered == 1 || highest < cluster.InitProducerID {
			cluster.InitProducerID = highest
		}
		for _, feature := range v.Raw().FinalizedFeatures {
			if feature.Name == "transaction.version" {
				cluster.TransactionVersion = feature.MaxVersionLevel
			}
		}
	}
	if answered == 0 {
		return cluster, fmt.Errorf("ask for the brokers' versions: %w", err)
	}
	return cluster, nil
}

// Topics describes topics, with their settings.
func (k *Kafka) Topics(ctx context.Context, names ...string) (map[string]doctor.Topic, error) {
	details, err := k.admin.ListTopicsWithInternal(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("ask for the topics: %w", err)
	}
	topics := make(map[string]doctor.Topic, len(names))
	var exist []string
	for _, name := range names {
		detail, ok := details[name]
		t := doctor.Topic{Missing: !ok || errors.Is(detail.Err, kerr.UnknownTopicOrPartition)}
		switch {
		case t.Missing:
		case denied(detail.Err):
			t.Denied = true
		case detail.Err != nil:
			t.Err = detail.Err
		default:
			exist = append(exist, name)
			t.Partitions = partitions(detail)
		}
		topics[name] = t
	}
	if len(exist) == 0 {
		return topics, nil
	}
	return topics, k.configs(ctx, topics, exist)
}

func denied(err error) bool {
	return errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.ClusterAuthorizationFailed)
}

func partitions(detail kadm.TopicDetail) []doctor.Partition {
	var list []doctor.Partition
	for _, p := range detail.Partitions.Sorted() {
		one := doctor.Partition{ID: p.Partition, Leader: p.Leader, Replicas: len(p.Replicas), InSync: len(p.ISR)}
		if errors.Is(p.Err, kerr.LeaderNotAvailable) {
			one.Leader = -1
		}
		list = append(list, one)
	}
	return list
}

// configs adds the settings of topics that exist. A topic whose settings are closed to
// us says so; the others are told all the same.
func (k *Kafka) configs(ctx context.Context, topics map[string]doctor.Topic, names []string) error {
	resources, err := k.admin.DescribeTopicConfigs(ctx, names...)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("ask for the topics' settings: %w", err)
	}
	for _, name := range names {
		t := topics[name]
		r, rerr := resources.On(name, nil)
		if rerr == nil {
			rerr = r.Err
		}
		switch {
		case err != nil:
			t.ConfigErr, t.ConfigDenied = err, denied(err)
		case rerr != nil:
			t.ConfigErr, t.ConfigDenied = rerr, denied(rerr)
		default:
			t.Config = map[string]string{}
			for _, c := range r.Configs {
				t.Config[c.Key] = c.MaybeValue()
			}
		}
		topics[name] = t
	}
	return nil
}
