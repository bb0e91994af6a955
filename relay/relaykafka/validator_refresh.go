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
	askAgainAfter = 5 * time.Second // after a request without an answer
	tryAfter      = time.Minute     // for brokers that do not say what our user may do
	forgetAfter   = 10 * time.Minute
)

// keepUpToDate keeps the validator up to date until ctx ends. It fetches the settings of topics that the
// validator was asked about, and checks denied topics again. With atLeastOnce it logs a warning about
// compacted topics (hazard compacted-topic).
func (v *validator) keepUpToDate(ctx context.Context, client *kgo.Client, atLeastOnce bool) {
	ticker := time.NewTicker(min(v.reviewEvery(), v.askEvery()))
	defer ticker.Stop()
	for ctx.Err() == nil {
		began := time.Now()
		denied, others := v.due(began)
		v.recheckDenied(ctx, client, denied, began)
		v.fetchMetadata(ctx, client, time.Now())
		for part := range slices.Chunk(v.existing(others, began), askAtOnce) {
			v.fetchSettings(ctx, client, part, began, atLeastOnce)
		}
		select {
		case <-ctx.Done():
		case <-v.wake:
		case <-ticker.C:
		}
	}
}

// due returns the topics to check: the denied ones, and those whose settings are unknown or old. It forgets
// denied topics for which no more records come, because there may be any number of names that do not exist.
func (v *validator) due(now time.Time) (denied, others []*topicState) {
	v.mu.Lock()
	defer v.mu.Unlock()
	every := v.reviewEvery()
	for name, t := range v.topics {
		age := now.Sub(t.askedAt)
		switch {
		case t.denied.Load() != nil:
			if t.wanted.Swap(false) {
				t.wantedAt = now
			}
			if now.Sub(t.wantedAt) >= forgetAfter {
				t.answered(now)
				delete(v.topics, name)
				v.last.CompareAndSwap(t, nil)
			} else if t.unanswered != nil || age >= every && len(denied) < askAtOnce {
				denied = append(denied, t)
			}
		case t.unanswered != nil, t.rejectedBySetting.Load() && age >= every,
			t.wanted.Load() && (age >= settingsEvery ||
				t.limit.Load() == 0 && !v.settingsHidden && age >= askAgainAfter):
			t.wanted.Store(false)
			others = append(others, t)
		}
	}
	return denied, others
}

// existing leaves out missing topics, because they have no settings.
func (v *validator) existing(topics []*topicState, began time.Time) []*topicState {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.DeleteFunc(topics, func(t *topicState) bool {
		missing := t.missing.Load()
		if missing {
			t.answered(began)
		}
		return missing
	})
}

// answered ends the wait of awaitAnswer. If askAgain was called after the request began, it does not: the
// answer may be older than that call, and keepUpToDate asks once more (hazard answer-before-retry). It needs
// validator.mu.
func (t *topicState) answered(began time.Time) {
	t.askedAt = time.Now()
	if t.unanswered != nil && !t.askedAgainAt.After(began) {
		close(t.unanswered)
		t.unanswered = nil
	}
}

const (
	minInSync     = "min.insync.replicas"
	cleanupPolicy = "cleanup.policy"
)

// fetchSettings fetches settings of topics. Settings that it cannot fetch stay as they are.
func (v *validator) fetchSettings(
	ctx context.Context, client *kgo.Client, topics []*topicState, began time.Time, atLeastOnce bool,
) {
	if len(topics) == 0 {
		return
	}
	request := kmsg.NewPtrDescribeConfigsRequest()
	for _, t := range topics {
		resource := kmsg.NewDescribeConfigsRequestResource()
		resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, t.topic
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
				v.settingsDenied(resource.ResourceName, err)
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
	for _, t := range topics {
		if values, ok := settings[t.topic]; ok {
			v.setSettings(t, values, atLeastOnce)
		}
		v.mu.Lock()
		t.answered(began)
		v.mu.Unlock()
	}
}

// setSettings stores a topic's settings.
func (v *validator) setSettings(t *topicState, values map[string]string, atLeastOnce bool) {
	number := func(name string) int64 {
		n, err := strconv.ParseInt(values[name], 10, 64)
		if err != nil {
			return 0 // the broker does not have this setting
		}
		return n
	}
	if limit := number(maxMessageBytes); limit != t.limit.Swap(limit) {
		t.rejectedBySetting.Store(false)
	}
	t.inSync.Store(number(minInSync))
	compacted := strings.Contains(values[cleanupPolicy], "compact")
	was := t.compacted.Swap(compacted)
	if was && !compacted {
		t.rejectedBySetting.Store(false)
	}
	if compacted && !was && atLeastOnce {
		v.log.Warn("a topic is compacted: after a crash or a take-over, an older value of a key may be sent again "+
			"after a newer one, and stay; use exactly-once mode for it",
			"topic", t.topic)
	}
}

// settingsDenied logs once that limits cannot be read. Then only the broker's rejections show them.
func (v *validator) settingsDenied(topic string, err error) {
	if !errors.Is(err, kerr.TopicAuthorizationFailed) && !errors.Is(err, kerr.ClusterAuthorizationFailed) {
		return
	}
	v.mu.Lock()
	told := v.settingsHidden
	v.settingsHidden = true
	v.mu.Unlock()
	if !told {
		v.log.Warn("topics' max.message.bytes cannot be seen, so that records which are too large for their topic "+
			"are found out only by sending them; give the relay's user DescribeConfigs on its topics",
			"topic", topic, "error", err)
	}
}

// recheckDenied checks denied topics again.
func (v *validator) recheckDenied(ctx context.Context, client *kgo.Client, denied []*topicState, began time.Time) {
	if len(denied) == 0 {
		return
	}
	names := make([]string, len(denied))
	for i, t := range denied {
		names[i] = t.topic
	}
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	answers, err := askTopics(ctx, client, true, names...) // an error is an outage: denials stay
	now := time.Now()
	for _, t := range denied {
		answer, ok := answers[t.topic]
		cannotTell := answer.err == nil && answer.allowed == unknownOperations && now.Sub(t.deniedAt) < tryAfter
		if err == nil && ok && !cannotTell {
			v.applyRecheck(ctx, client, t, answer)
		}
		v.mu.Lock()
		t.answered(began)
		v.mu.Unlock()
		if t.denied.Load() == nil {
			v.askAgain(t) // its settings are not known
		}
	}
}

// applyRecheck ends a denial, or updates its reason.
func (v *validator) applyRecheck(ctx context.Context, client *kgo.Client, t *topicState, answer topicAnswer) {
	switch {
	case answer.err == nil && answer.writable():
		v.clearMissing(t.topic)
		v.allow(t)
	case answer.err == nil, errors.Is(answer.err, kerr.TopicAuthorizationFailed):
		v.setReason(
			t,
			fmt.Errorf("kafka rejects topic %s: %w; %s", t.topic, kerr.TopicAuthorizationFailed, kafkarules.WriteACL),
		)
	case unknown(answer.err) && v.cfg.CreateTopics:
		if err := createTopic(ctx, client, v.cfg, t.topic); err == nil {
			v.log.Info("created a topic", "topic", t.topic)
		} else if createRejected(err) {
			v.setReason(t, notCreated(t.topic, err))
		}
	case unknown(answer.err):
		v.setReason(t, fmt.Errorf("topic %s does not exist: %s", t.topic, createIt))
	}
}

// setReason changes the reason of a denial.
func (v *validator) setReason(t *topicState, reason error) {
	if known := t.denied.Load(); known != nil && (*known).Error() != reason.Error() {
		t.denied.Store(&reason)
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
