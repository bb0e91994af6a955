package relaykafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/postroom/postroom/relay"
)

// A source has a manifest topic of its own, with one partition: in a shared partition a
// reader stops at the oldest open transaction, whoever's it is. It never expires by
// itself (hazard lost-manifest): a manifest is what keeps rows from being sent twice, and it is
// removed by Forget, when the deletion of its rows is known to be committed.

// manifestTopicName is the topic, transactionalID the transactional.id, of a source. They
// go by its id, because names repeat between services.
func manifestTopicName(source uuid.UUID) string { return "postroom.manifest." + source.String() }
func transactionalID(source uuid.UUID) string   { return "postroom." + source.String() }

// manifestTopic is what a session has found out about its manifest topic.
type manifestTopic struct {
	name    string
	id      kadm.TopicID // zero: a cluster older than Kafka 2.8
	cluster string
	limit   int32 // bytes of a batch that it takes, and that a manifest needs at most
}

// manifestSettings are what a manifest topic must have. Only these: hosted clusters
// refuse to create a topic that sets more than they know.
func manifestSettings() []setting {
	return []setting{{"cleanup.policy", "delete"}, {"retention.ms", "-1"}, {"retention.bytes", "-1"}}
}

type setting struct{ name, value string }

const (
	maxMessageBytes = "max.message.bytes"
	// manifestSegment bounds the disk that removed manifests still take: a broker
	// frees whole segments, and never the one it writes to.
	manifestSegment = 64 << 20
	topicPause      = 100 * time.Millisecond
)

// openManifest finds the source's manifest topic, or makes it, and checks that it will
// keep what is written to it.
func (s *Sink) openManifest(ctx context.Context, admin *kadm.Client, source uuid.UUID) (manifestTopic, error) {
	topic := manifestTopic{name: manifestTopicName(source)}
	details, err := s.findManifest(ctx, admin, &topic)
	if err != nil {
		return topic, err
	}
	if n := len(details.Partitions); n != 1 {
		return topic, fmt.Errorf("%w: manifest topic %s has %d partitions, and must have 1: was it made by hand? "+
			"delete it while the relay is down and the outbox is drained (kafka-topics.sh --bootstrap-server %s "+
			"--delete --topic %s), and the relay makes it anew",
			relay.ErrUnusable, topic.name, n, s.cfg.Brokers[0], topic.name)
	}
	return topic, s.checkManifest(ctx, admin, &topic)
}

// findManifest returns the topic's details once it exists and has a leader.
func (s *Sink) findManifest(ctx context.Context, admin *kadm.Client, topic *manifestTopic) (kadm.TopicDetail, error) {
	for created := false; ; {
		metadata, err := admin.Metadata(ctx, topic.name)
		if err != nil {
			return kadm.TopicDetail{}, fmt.Errorf("look for manifest topic %s: %w", topic.name, err)
		}
		details := metadata.Topics[topic.name]
		switch {
		case details.Err == nil && hasLeaders(details):
			topic.id, topic.cluster = details.ID, metadata.Cluster
			return details, nil
		case errors.Is(details.Err, kerr.TopicAuthorizationFailed):
			return details, s.missingACL("Describe", "topic", topic.name, details.Err)
		case details.Err != nil && !kerr.IsRetriable(details.Err):
			return details, fmt.Errorf("look for manifest topic %s: %w", topic.name, details.Err)
		case unknown(details.Err) && !created:
			// Just after a restart brokers deny topics that exist: then somebody
			// "was faster", and the loop goes on until the topic is seen.
			if err := s.createManifest(ctx, admin, topic.name, len(metadata.Brokers)); err != nil {
				return details, err
			}
			created = true
		}
		if !pause(ctx, topicPause) {
			return details, fmt.Errorf("manifest topic %s has no leader yet: %w", topic.name, context.Cause(ctx))
		}
	}
}

func hasLeaders(details kadm.TopicDetail) bool {
	for _, p := range details.Partitions {
		if p.Err != nil || p.Leader < 0 {
			return false
		}
	}
	return len(details.Partitions) > 0
}

// createManifest succeeds, too, where somebody else was faster.
func (s *Sink) createManifest(ctx context.Context, admin *kadm.Client, name string, brokers int) error {
	replicas, err := s.manifestReplicas(ctx, admin, name, brokers)
	if err != nil {
		return err
	}
	insync := "1"
	if replicas >= 3 {
		insync = "2"
	}
	configs := map[string]*string{
		"min.insync.replicas": &insync,
		maxMessageBytes:       kadm.StringPtr(strconv.Itoa(defaultBatchMaxBytes)),
		"segment.bytes":       kadm.StringPtr(strconv.Itoa(manifestSegment)),
	}
	for _, wanted := range manifestSettings() {
		configs[wanted.name] = kadm.StringPtr(wanted.value)
	}
	_, err = admin.CreateTopic(ctx, 1, replicas, configs, name)
	if err == nil {
		s.log.Info("created a manifest topic", "topic", name, "replicas", replicas, "min_insync_replicas", insync)
	}
	return s.createFailed(name, replicas, err)
}

// manifestReplicas is as many replicas as Config says, else three or as many as there
// are brokers, but never fewer than the brokers' default: that is what the topics of the
// events have.
func (s *Sink) manifestReplicas(ctx context.Context, admin *kadm.Client, name string, brokers int) (int16, error) {
	if s.cfg.ManifestReplicas > 0 {
		return s.cfg.ManifestReplicas, nil
	}
	replicas := int16(min(brokers, 3))
	dry, err := admin.ValidateCreateTopics(ctx, 1, -1, nil, name)
	if err == nil {
		err = dry[name].Err
	}
	if err := s.createFailed(name, -1, err); err != nil {
		return 0, err
	}
	return max(replicas, dry[name].ReplicationFactor), nil // -1 where we may not know
}

func (s *Sink) createFailed(name string, replicas int16, err error) error {
	switch {
	case err == nil, errors.Is(err, kerr.TopicAlreadyExists):
		return nil
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		return s.missingACL("Create", "topic", name, err)
	case createRefused(err):
		return fmt.Errorf("%w: manifest topic %s cannot be created: %w; create it by hand with 1 partition, %s",
			relay.ErrUnusable, name, err, wantedSettings(","))
	case errors.Is(err, kerr.InvalidReplicationFactor):
		return fmt.Errorf("manifest topic %s cannot be created with %d replicas: %w; are all brokers up? "+
			"(Config.ManifestReplicas sets another number)", name, replicas, err)
	}
	return fmt.Errorf("create manifest topic %s: %w", name, err)
}

// checkManifest compares the topic's settings with those it must have.
func (s *Sink) checkManifest(ctx context.Context, admin *kadm.Client, topic *manifestTopic) error {
	answers, err := admin.DescribeTopicConfigs(ctx, topic.name)
	var found kadm.ResourceConfig
	if err == nil {
		found, err = answers.On(topic.name, nil)
	}
	if err == nil {
		err = found.Err
	}
	if errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.ClusterAuthorizationFailed) {
		return s.missingACL("DescribeConfigs", "topic", topic.name, err)
	}
	if err != nil {
		return fmt.Errorf("ask for the settings of manifest topic %s: %w", topic.name, err)
	}
	values := make(map[string]string, len(found.Configs))
	for _, c := range found.Configs {
		values[c.Key] = c.MaybeValue()
	}
	for _, wanted := range manifestSettings() {
		if have := values[wanted.name]; have != wanted.value {
			return fmt.Errorf("%w: manifest topic %s has %s=%s and needs %s, or manifests could be gone while rows "+
				"that they name are still in the outbox: kafka-configs.sh --bootstrap-server %s --alter "+
				"--entity-type topics --entity-name %s --add-config %s",
				relay.ErrUnusable, topic.name, wanted.name, have, wanted.value, s.cfg.Brokers[0], topic.name,
				wantedSettings(","))
		}
	}
	return s.limitManifest(topic, values[maxMessageBytes])
}

// limitManifest sets how large a batch of manifests may be.
func (s *Sink) limitManifest(topic *manifestTopic, found string) error {
	topic.limit = min(s.cfg.BatchMaxBytes, maxManifest)
	if theirs, err := strconv.ParseInt(found, 10, 32); err == nil {
		topic.limit = min(topic.limit, int32(theirs))
	}
	if topic.limit < smallestBatch {
		return fmt.Errorf("%w: manifest topic %s has %s=%s, too little for a manifest: kafka-configs.sh "+
			"--bootstrap-server %s --alter --entity-type topics --entity-name %s --add-config %s=%d",
			relay.ErrUnusable, topic.name, maxMessageBytes, found, s.cfg.Brokers[0], topic.name, maxMessageBytes,
			defaultBatchMaxBytes)
	}
	return nil
}

func wantedSettings(separator string) string {
	var list []string
	for _, wanted := range manifestSettings() {
		list = append(list, wanted.name+"="+wanted.value)
	}
	return strings.Join(list, separator)
}

// missingACL says which right the relay's user lacks, and how to give it.
func (s *Sink) missingACL(operation, resource, name string, err error) error {
	return fmt.Errorf("%w: exactly-once mode needs %s on %s %s: %w; kafka-acls.sh --bootstrap-server %s --add "+
		"--allow-principal User:… --operation %s --%s %s (docs/kafka.md lists all)",
		relay.ErrUnusable, operation, resource, name, err, s.cfg.Brokers[0], operation, resource, name)
}

// pause waits for d, and reports whether ctx lives on.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
