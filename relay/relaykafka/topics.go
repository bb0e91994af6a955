package relaykafka

import (
	"context"
	"errors"
	"math"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// topicAnswer is what metadata says about a topic.
type topicAnswer struct {
	err        error
	partitions []kmsg.MetadataResponseTopicPartition
	allowed    int32 // a bit for each operation that our user may do, or unknownOperations
}

const unknownOperations = math.MinInt32 // from brokers before 2.3

// writable reports whether our user may write to the topic. It is also true if the broker does not say so:
// then only sending a record can show it.
func (a topicAnswer) writable() bool {
	return a.allowed == unknownOperations || a.allowed&(1<<kmsg.ACLOperationWrite) != 0
}

// askTopics fetches metadata from the brokers and uses no cache. With withRights it also asks which
// operations our user may do, which costs the broker one look-up for each operation.
func askTopics(
	ctx context.Context, client *kgo.Client, withRights bool, topics ...string,
) (map[string]topicAnswer, error) {
	request := kmsg.NewPtrMetadataRequest()
	request.IncludeTopicAuthorizedOperations = withRights
	for _, name := range topics {
		wanted := kmsg.NewMetadataRequestTopic()
		wanted.Topic = kmsg.StringPtr(name)
		request.Topics = append(request.Topics, wanted)
	}
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return nil, err
	}
	answers := make(map[string]topicAnswer, len(topics))
	for _, t := range response.Topics {
		if t.Topic != nil {
			answers[*t.Topic] = topicAnswer{
				err: kerr.ErrorForCode(t.ErrorCode), partitions: t.Partitions, allowed: t.AuthorizedOperations,
			}
		}
	}
	return answers, nil
}

func unknown(err error) bool { return errors.Is(err, kerr.UnknownTopicOrPartition) }

// createTopic also succeeds if the topic exists already.
func createTopic(ctx context.Context, client *kgo.Client, cfg Config, name string) error {
	response, err := kadm.NewClient(client).CreateTopic(ctx, cfg.TopicPartitions, cfg.TopicReplicas, nil, name)
	if err == nil {
		err = response.Err
	}
	if errors.Is(err, kerr.TopicAlreadyExists) {
		return nil
	}
	return err
}

// createRejected reports whether another attempt would fail too.
func createRejected(err error) bool {
	for _, rejection := range []error{
		kerr.InvalidTopicException, kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed,
		kerr.PolicyViolation,
	} {
		if errors.Is(err, rejection) {
			return true
		}
	}
	return false
}
