// Package doctorkafka queries a Kafka cluster for internal/doctor, with franz-go. It changes nothing. It
// sends only requests for metadata, settings, versions and offsets of groups, and these never make a broker
// create a topic.
package doctorkafka

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/postroom/postroom/internal/doctor"
	"github.com/postroom/postroom/internal/groupoffset"
)

// Kafka is a cluster. Safe for concurrent use.
type Kafka struct {
	client *kgo.Client
	admin  *kadm.Client
}

var _ doctor.Kafka = (*Kafka)(nil)

// New returns the cluster to which client connects. The caller closes client.
func New(client *kgo.Client) *Kafka { return &Kafka{client: client, admin: kadm.NewClient(client)} }

// Cluster describes the brokers. Its versions are those of the oldest broker.
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
			err = v.Err // the checks of partitions report a broker that is down
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

// Committed returns the offsets of groups.
func (k *Kafka) Committed(ctx context.Context, groups ...string) ([]doctor.GroupOffset, error) {
	var all []doctor.GroupOffset
	for _, of := range k.admin.FetchManyOffsets(ctx, groups...) {
		if of.Err != nil {
			return nil, fmt.Errorf("ask for the offsets of group %q: %w", of.Group, of.Err)
		}
		for _, at := range of.Fetched.Sorted() {
			if at.Err != nil {
				return nil, fmt.Errorf("ask for the offsets of group %q in topic %q, partition %d: %w",
					of.Group, at.Topic, at.Partition, at.Err)
			}
			all = append(all, doctor.GroupOffset{
				Group: of.Group, Topic: at.Topic, Partition: at.Partition, At: at.At,
				Mark: groupoffset.ParseMark(at.Metadata),
			})
		}
	}
	return all, nil
}

// Topics describes topics, with their settings. It builds the requests itself, because those of kadm fail as
// a whole if our user has no access to one of the topics.
func (k *Kafka) Topics(ctx context.Context, names ...string) (map[string]doctor.Topic, error) {
	request := kmsg.NewPtrMetadataRequest()
	for _, name := range names {
		one := kmsg.NewMetadataRequestTopic()
		one.Topic = kmsg.StringPtr(name)
		request.Topics = append(request.Topics, one)
	}
	response, err := request.RequestWith(ctx, k.client)
	if err != nil {
		return nil, fmt.Errorf("ask for the topics: %w", err)
	}
	topics := make(map[string]doctor.Topic, len(names))
	for _, name := range names {
		topics[name] = doctor.Topic{Missing: true}
	}
	var exist []string
	for _, described := range response.Topics {
		if described.Topic == nil {
			continue
		}
		t := doctor.Topic{}
		err := kerr.ErrorForCode(described.ErrorCode)
		switch {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			t.Missing = true
		case denied(err):
			t.Denied = true
		case err != nil && !errors.Is(err, kerr.LeaderNotAvailable): // the partitions report it themselves
			t.Err = err
		default:
			exist = append(exist, *described.Topic)
			t.Partitions = partitions(described.Partitions)
			if described.TopicID != [16]byte{} {
				t.ID = base64.RawURLEncoding.EncodeToString(described.TopicID[:])
			}
		}
		topics[*described.Topic] = t
	}
	if len(exist) == 0 {
		return topics, nil
	}
	return topics, k.configs(ctx, topics, exist)
}

func denied(err error) bool {
	return errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.ClusterAuthorizationFailed)
}

func partitions(described []kmsg.MetadataResponseTopicPartition) []doctor.Partition {
	list := make([]doctor.Partition, len(described))
	for i, p := range described {
		list[i] = doctor.Partition{ID: p.Partition, Leader: p.Leader, Replicas: len(p.Replicas), InSync: len(p.ISR)}
		if errors.Is(kerr.ErrorForCode(p.ErrorCode), kerr.LeaderNotAvailable) {
			list[i].Leader = -1
		}
	}
	slices.SortFunc(list, func(a, b doctor.Partition) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// configs adds the settings of topics that exist. If our user may not read the settings of a topic, that
// topic has an error, and the others still get theirs.
func (k *Kafka) configs(ctx context.Context, topics map[string]doctor.Topic, names []string) error {
	request := kmsg.NewPtrDescribeConfigsRequest()
	for _, name := range names {
		one := kmsg.NewDescribeConfigsRequestResource()
		one.ResourceType, one.ResourceName = kmsg.ConfigResourceTypeTopic, name
		request.Resources = append(request.Resources, one)
	}
	response, err := request.RequestWith(ctx, k.client)
	if err != nil {
		return fmt.Errorf("ask for the topics' settings: %w", err)
	}
	for _, r := range response.Resources {
		t := topics[r.ResourceName]
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			t.ConfigErr, t.ConfigDenied = err, denied(err)
		} else {
			t.Config = map[string]string{}
			for _, c := range r.Configs {
				if c.Value != nil {
					t.Config[c.Name] = *c.Value
				}
			}
		}
		topics[r.ResourceName] = t
	}
	return nil
}
