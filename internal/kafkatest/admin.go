//go:build unix

package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Admin returns a client that may do everything. Close of the cluster closes it.
func (c *Cluster) Admin() (*kadm.Client, error) {
	client, err := c.plainClient()
	if err != nil {
		return nil, err
	}
	return kadm.NewClient(client), nil
}

func (c *Cluster) plainClient() (*kgo.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client == nil {
		client, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers()...), kgo.DisableClientMetrics(),
			kgo.MetadataMinAge(50*time.Millisecond), kgo.RequestTimeoutOverhead(5*time.Second))
		if err != nil {
			return nil, err
		}
		c.client = client
	}
	return c.client, nil
}

// CreateTopic creates a topic whose partition i is kept by the brokers replicas[i], the
// first of them leading, and waits until each has its leader. Settings are the topic's.
func (c *Cluster) CreateTopic(ctx context.Context, name string, replicas [][]int32, settings map[string]string) error {
	client, err := c.plainClient()
	if err != nil {
		return err
	}
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, -1, -1
	for i, brokers := range replicas {
		assignment := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		assignment.Partition, assignment.Replicas = int32(i), brokers
		topic.ReplicaAssignment = append(topic.ReplicaAssignment, assignment)
	}
	for name, value := range settings {
		setting := kmsg.NewCreateTopicsRequestTopicConfig()
		setting.Name, setting.Value = name, &value
		topic.Configs = append(topic.Configs, setting)
	}
	request := kmsg.NewPtrCreateTopicsRequest()
	request.TimeoutMillis = 30_000
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("kafkatest: create topic %s: %w", name, err)
	}
	for _, t := range response.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return fmt.Errorf("kafkatest: create topic %s: %w", name, err)
		}
	}
	return c.AwaitLeaders(ctx, name)
}

// AwaitLeaders waits until every broker that answers says that each partition of the
// topic has a leader.
func (c *Cluster) AwaitLeaders(ctx context.Context, topic string) error {
	return c.await(ctx, "each partition of "+topic+" has a leader", func(t kmsg.MetadataResponseTopic) bool {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 || p.Leader < 0 {
				return false
			}
		}
		return t.ErrorCode == 0 && len(t.Partitions) > 0
	}, topic)
}

// AwaitInSync waits until every broker that answers says that each partition of the
// topic has this many in-sync replicas.
func (c *Cluster) AwaitInSync(ctx context.Context, topic string, replicas int) error {
	return c.await(
		ctx, fmt.Sprintf("each partition of %s has %d in-sync replicas", topic, replicas),
		func(t kmsg.MetadataResponseTopic) bool {
			for _, p := range t.Partitions {
				if len(p.ISR) != replicas {
					return false
				}
			}
			return t.ErrorCode == 0 && len(t.Partitions) > 0
		},
		topic,
	)
}

// AwaitGone waits until every broker that answers denies the topic.
func (c *Cluster) AwaitGone(ctx context.Context, topic string) error {
	return c.await(ctx, "topic "+topic+" is gone", func(t kmsg.MetadataResponseTopic) bool {
		return t.ErrorCode == kerr.UnknownTopicOrPartition.Code
	}, topic)
}

// await asks the nodes that run until all of them say so.
func (c *Cluster) await(
	ctx context.Context, what string,
	holds func(kmsg.MetadataResponseTopic) bool, topic string,
) error {
	client, err := c.plainClient()
	if err != nil {
		return err
	}
	request := kmsg.NewPtrMetadataRequest()
	wanted := kmsg.NewMetadataRequestTopic()
	wanted.Topic = &topic
	request.Topics = append(request.Topics, wanted)
	for {
		asked, agreed := 0, 0
		for i, broker := range client.SeedBrokers() {
			if c.nodes[i].PID() == 0 {
				continue
			}
			asked++
			asking, cancel := context.WithTimeout(ctx, 5*time.Second)
			response, err := request.RequestWith(asking, broker)
			cancel()
			if err == nil && len(response.Topics) == 1 && holds(response.Topics[0]) {
				agreed++
			}
		}
		if asked > 0 && agreed == asked {
			return nil
		}
		pause := time.NewTimer(50 * time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return fmt.Errorf("kafkatest: waiting until %s: %w", what, context.Cause(ctx))
		}
	}
}

// DeleteTopic deletes a topic and waits until every broker denies it.
func (c *Cluster) DeleteTopic(ctx context.Context, name string) error {
	admin, err := c.Admin()
	if err != nil {
		return err
	}
	if _, err := admin.DeleteTopic(ctx, name); err != nil {
		return fmt.Errorf("kafkatest: delete topic %s: %w", name, err)
	}
	return c.AwaitGone(ctx, name)
}

// SetUser makes a user of the secure listener, or gives it another password. Connections
// that are open stay so until they have to authenticate again, as the setting
// connections.max.reauth.ms says.
func (c *Cluster) SetUser(ctx context.Context, name, password string) error {
	return c.alterUser(
		ctx, nil, []kadm.UpsertSCRAM{{User: name, Mechanism: kadm.ScramSha256, Iterations: 4096, Password: password}},
	)
}

// DeleteUser takes a user away.
func (c *Cluster) DeleteUser(ctx context.Context, name string) error {
	return c.alterUser(ctx, []kadm.DeleteSCRAM{{User: name, Mechanism: kadm.ScramSha256}}, nil)
}

func (c *Cluster) alterUser(ctx context.Context, del []kadm.DeleteSCRAM, set []kadm.UpsertSCRAM) error {
	admin, err := c.Admin()
	if err != nil {
		return err
	}
	altered, err := admin.AlterUserSCRAMs(ctx, del, set)
	if err == nil {
		err = altered.Error()
	}
	if err != nil {
		return fmt.Errorf("kafkatest: alter a user: %w", err)
	}
	return nil
}

// Credentials are what kgo needs to come as a user of the secure listener.
func Credentials(name, password string) sasl.Mechanism {
	return scram.Auth{User: name, Pass: password}.AsSha256Mechanism()
}

// Allow gives a user operations on a topic.
func (c *Cluster) Allow(ctx context.Context, user, topic string, operations ...kadm.ACLOperation) error {
	admin, err := c.Admin()
	if err != nil {
		return err
	}
	created, err := admin.CreateACLs(ctx, acl(user, topic, operations))
	for _, one := range created {
		err = errors.Join(err, one.Err)
	}
	if err != nil {
		return fmt.Errorf("kafkatest: allow %s on topic %s: %w", user, topic, err)
	}
	return nil
}

// Forbid takes back what Allow gave.
func (c *Cluster) Forbid(ctx context.Context, user, topic string, operations ...kadm.ACLOperation) error {
	admin, err := c.Admin()
	if err != nil {
		return err
	}
	deleted, err := admin.DeleteACLs(ctx, acl(user, topic, operations))
	for _, one := range deleted {
		err = errors.Join(err, one.Err)
	}
	if err != nil {
		return fmt.Errorf("kafkatest: forbid %s topic %s: %w", user, topic, err)
	}
	return nil
}

func acl(user, topic string, operations []kadm.ACLOperation) *kadm.ACLBuilder {
	return kadm.NewACLs().Topics(topic).ResourcePatternType(kadm.ACLPatternLiteral).
		Operations(operations...).Allow("User:" + user).AllowHosts("*")
}
