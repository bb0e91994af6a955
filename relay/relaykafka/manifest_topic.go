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

// Each source has a manifest topic of its own, with one partition. If sources shared a partition, a reader
// would stop at the oldest open transaction of any source. The topic has no retention time
// (hazard lost-manifest), because without its manifest a row may be sent twice. Forget removes a manifest
// when the deletion of its rows is known to be committed.

// manifestTopicName returns the name of a source's manifest topic, and transactionalID returns its
// transactional.id. Both contain the source's id, because different services may use the same source name.
func manifestTopicName(source uuid.UUID) string { return "postroom.manifest." + source.String() }
func transactionalID(source uuid.UUID) string   { return "postroom." + source.String() }

// manifestTopic is what a session knows about its manifest topic.
type manifestTopic struct {
	name    string
	id      kadm.TopicID // zero: a cluster older than Kafka 2.8
	cluster string
	limit   int32 // bytes: the largest batch that it accepts, or the largest manifest if that is smaller
}

// manifestSettings are the settings that a manifest topic must have. There are no others, because hosted
// clusters reject the creation of a topic with settings that they do not know.
func manifestSettings() []setting {
	return []setting{{"cleanup.policy", "delete"}, {"retention.ms", "-1"}, {"retention.bytes", "-1"}}
}

type setting struct{ name, value string }

const (
	maxMessageBytes = "max.message.bytes"
	// manifestSegment bounds the disk space that removed manifests still use. A broker frees only whole
	// segments, and never the active one.
	manifestSegment = 64 << 20
	topicPause      = 100 * time.Millisecond
)

// openManifest finds or creates the source's manifest topic, and checks that the topic keeps what is written
// to it.
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
			// Just after a restart brokers report that existing topics do not exist. Then the creation finds
			// that the topic exists already, and the loop goes on until the topic is visible.
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

// createManifest also succeeds if another process has created the topic first.
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

// manifestReplicas returns the number of replicas that Config asks for. Without that, it returns three, or
// the number of brokers if that is lower. It never returns fewer than the brokers' default, because the event
// topics have that many.
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
	return max(replicas, dry[name].ReplicationFactor), nil // -1 if we may not read the default
}

func (s *Sink) createFailed(name string, replicas int16, err error) error {
	switch {
	case err == nil, errors.Is(err, kerr.TopicAlreadyExists):
		return nil
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		return s.missingACL("Create", "topic", name, err)
	case createRejected(err):
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

// limitManifest sets the largest size of a batch of manifests.
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

// missingACL returns an error that names the right which the relay's user lacks, and how to grant it.
func (s *Sink) missingACL(operation, resource, name string, err error) error {
	return fmt.Errorf("%w: exactly-once mode needs %s on %s %s: %w; kafka-acls.sh --bootstrap-server %s --add "+
		"--allow-principal User:… --operation %s --%s %s (docs/kafka.md lists all)",
		relay.ErrUnusable, operation, resource, name, err, s.cfg.Brokers[0], operation, resource, name)
}

// pause waits for d, and reports whether ctx is still alive.
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
