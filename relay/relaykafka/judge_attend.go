package relaykafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/postroom/postroom/internal/kafkarules"
)

const (
	settingsEvery = time.Minute
	askAgainAfter = 5 * time.Second // when there was no answer
	tryAfter      = time.Minute     // of brokers that do not say what we may do
	forgetAfter   = 10 * time.Minute
)

// attend keeps the judge up to date until ctx ends: it learns the settings of topics that
// it was asked about, and looks again at those that are denied. atLeastOnce has it warn
// of compacted topics (hazard compacted-topic).
func (j *judge) attend(ctx context.Context, client *kgo.Client, atLeastOnce bool) {
	ticker := time.NewTicker(min(j.reviewEvery(), j.askEvery()))
	defer ticker.Stop()
	for ctx.Err() == nil {
		began := time.Now()
		denied, others := j.due(began)
		j.review(ctx, client, denied, began)
		j.explore(ctx, client, time.Now())
		for part := range slices.Chunk(j.existing(others, began), askAtOnce) {
			j.learn(ctx, client, part, began, atLeastOnce)
		}
		select {
		case <-ctx.Done():
		case <-j.wake:
		case <-ticker.C:
		}
	}
}

// due returns the topics to look at: the denied ones, and those whose settings are not
// known or not fresh. Denied ones for which nobody asks any more are forgotten, because
// names that do not exist are without number.
func (j *judge) due(now time.Time) (denied, others []*verdict) {
	j.mu.Lock()
	defer j.mu.Unlock()
	every := j.reviewEvery()
	for name, v := range j.topics {
		age := now.Sub(v.askedAt)
		switch {
		case v.denied.Load() != nil:
			if v.wanted.Swap(false) {
				v.wantedAt = now
			}
			if now.Sub(v.wantedAt) >= forgetAfter {
				v.answered(now)
				delete(j.topics, name)
				j.last.CompareAndSwap(v, nil)
			} else if v.unanswered != nil || age >= every && len(denied) < askAtOnce {
				denied = append(denied, v)
			}
		case v.unanswered != nil, v.tight.Load() && age >= every,
			v.wanted.Load() && (age >= settingsEvery || v.limit.Load() == 0 && !j.blind && age >= askAgainAfter):
			v.wanted.Store(false)
			others = append(others, v)
		}
	}
	return denied, others
}

// existing leaves out the topics that are missing: they have no settings.
func (j *judge) existing(topics []*verdict, began time.Time) []*verdict {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.DeleteFunc(topics, func(v *verdict) bool {
		missing := v.missing.Load()
		if missing {
			v.answered(began)
		}
		return missing
	})
}

// answered ends the wait of await, unless the topic was doubted after the question began: that
// answer may be older than the doubt, and attend asks once more (hazard answer-before-retry). It needs j.mu.
func (v *verdict) answered(began time.Time) {
	v.askedAt = time.Now()
	if v.unanswered != nil && !v.doubted.After(began) {
		close(v.unanswered)
		v.unanswered = nil
	}
}

const (
	minInSync     = "min.insync.replicas"
	cleanupPolicy = "cleanup.policy"
)

// learn fetches settings of topics. What it cannot fetch stays as it is.
func (j *judge) learn(ctx context.Context, client *kgo.Client, topics []*verdict, began time.Time, atLeastOnce bool) {
	if len(topics) == 0 {
		return
	}
	request := kmsg.NewPtrDescribeConfigsRequest()
	for _, v := range topics {
		resource := kmsg.NewDescribeConfigsRequestResource()
		resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, v.topic
		resource.ConfigNames = []string{maxMessageBytes, minInSync, cleanupPolicy}
		request.Resources = append(request.Resources, resource)
	}
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	settings := make(map[string]map[string]string)
	response, err := request.RequestWith(ctx, client)
	if err == nil {
		for _, resource := range response.Resources {
			if err := kerr.ErrorForCode(resource.ErrorCode); err != nil {
				j.unseen(resource.ResourceName, err)
				continue
			}
			values := make(map[string]string)
			for _, setting := range resource.Configs {
				if setting.Value != nil {
					values[setting.Name] = *setting.Value
				}
			}
			settings[resource.ResourceName] = values
		}
	}
	for _, v := range topics {
		if values, ok := settings[v.topic]; ok {
			j.note(v, values, atLeastOnce)
		}
		j.mu.Lock()
		v.answered(began)
		j.mu.Unlock()
	}
}

// note takes over a topic's settings.
func (j *judge) note(v *verdict, values map[string]string, atLeastOnce bool) {
	number := func(name string) int64 {
		n, err := strconv.ParseInt(values[name], 10, 64)
		if err != nil {
			return 0 // a broker that does not have it
		}
		return n
	}
	if limit := number(maxMessageBytes); limit != v.limit.Swap(limit) {
		v.tight.Store(false)
	}
	v.inSync.Store(number(minInSync))
	compacted := strings.Contains(values[cleanupPolicy], "compact")
	was := v.compacted.Swap(compacted)
	if was && !compacted {
		v.tight.Store(false)
	}
	if compacted && !was && atLeastOnce {
		j.log.Warn("a topic is compacted: after a crash or a take-over, an older value of a key may be sent again "+
			"after a newer one, and stay; use exactly-once mode for it",
			"topic", v.topic)
	}
}

// unseen tells once that limits cannot be seen: then the broker's refusals have to do.
func (j *judge) unseen(topic string, err error) {
	if !errors.Is(err, kerr.TopicAuthorizationFailed) && !errors.Is(err, kerr.ClusterAuthorizationFailed) {
		return
	}
	j.mu.Lock()
	told := j.blind
	j.blind = true
	j.mu.Unlock()
	if !told {
		j.log.Warn("topics' max.message.bytes cannot be seen, so that records which are too large for their topic "+
			"are found out only by sending them; give the relay's user DescribeConfigs on its topics",
			"topic", topic, "error", err)
	}
}

// review looks again at topics that are denied.
func (j *judge) review(ctx context.Context, client *kgo.Client, denied []*verdict, began time.Time) {
	if len(denied) == 0 {
		return
	}
	names := make([]string, len(denied))
	for i, v := range denied {
		names[i] = v.topic
	}
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	answers, err := askTopics(ctx, client, true, names...) // an error is an outage: what was denied stays so
	now := time.Now()
	for _, v := range denied {
		answer, ok := answers[v.topic]
		cannotTell := answer.err == nil && answer.allowed == unknownOperations && now.Sub(v.deniedAt) < tryAfter
		if err == nil && ok && !cannotTell {
			j.reconsider(ctx, client, v, answer)
		}
		j.mu.Lock()
		v.answered(began)
		j.mu.Unlock()
		if v.denied.Load() == nil {
			j.doubt(v) // its settings are not known
		}
	}
}

// reconsider ends a denial, or brings its reason up to date.
func (j *judge) reconsider(ctx context.Context, client *kgo.Client, v *verdict, answer topicAnswer) {
	switch {
	case answer.err == nil && answer.writable():
		j.exist(v.topic)
		j.allow(v)
	case answer.err == nil, errors.Is(answer.err, kerr.TopicAuthorizationFailed):
		j.because(
			v,
			fmt.Errorf("kafka refuses topic %s: %w; %s", v.topic, kerr.TopicAuthorizationFailed, kafkarules.WriteACL),
		)
	case unknown(answer.err) && j.cfg.CreateTopics:
		if err := createTopic(ctx, client, j.cfg, v.topic); err == nil {
			j.log.Info("created a topic", "topic", v.topic)
		} else if createRefused(err) {
			j.because(v, notCreated(v.topic, err))
		}
	case unknown(answer.err):
		j.because(v, fmt.Errorf("topic %s does not exist: %s", v.topic, createIt))
	}
}

// because changes the reason of a denial.
func (j *judge) because(v *verdict, reason error) {
	if known := v.denied.Load(); known != nil && (*known).Error() != reason.Error() {
		v.denied.Store(&reason)
	}
}

const createIt = "create it, or use --create-topics (Config.CreateTopics)"

func notThere(topic string, denied time.Duration) error {
	return fmt.Errorf(
		"topic %s does not exist (kafka has denied it for %s): %s", topic, denied.Round(100*time.Millisecond), createIt,
	)
}

func notCreated(topic string, err error) error {
	return fmt.Errorf("topic %s does not exist, and cannot be created: %w; create it by hand", topic, err)
}
