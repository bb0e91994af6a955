package relay

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/postroom/postroom/internal/dialect"
)

// recentTopics are the topics that a source had events for in the last days. The owner keeps
// them in the lease row's hints, so that relay doctor judges a topic also while no event
// for it waits. Losing them costs nothing else.
//
// Only the reader touches them.
type recentTopics struct {
	days    map[string]string // topic → the last day of it (UTC), as 2006-01-02
	last    string            // the topic that was noted last
	changed bool
	loaded  bool      // this session has read what the lease row keeps
	due     time.Time // not written before
}

// These bound what is kept. A topic is written when it is new, and once a day.
const (
	recentTopicsMost  = 200
	recentTopicsEvery = 10 * time.Second
)

// note takes in the topics of records.
func (u *recentTopics) note(records []*Record, now time.Time) {
	if len(records) == 0 {
		return
	}
	today := now.UTC().Format(time.DateOnly)
	for _, r := range records {
		if r.Topic == u.last && u.days[r.Topic] == today {
			continue
		}
		u.last = r.Topic
		if u.days[r.Topic] == today || len(u.days) >= 2*recentTopicsMost {
			continue
		}
		if u.days == nil {
			u.days = make(map[string]string)
		}
		u.days[r.Topic], u.changed = today, true
	}
}

// trim forgets topics of long ago, and the oldest where there are too many.
func (u *recentTopics) trim(now time.Time) {
	since := now.Add(-dialect.UsedTopicsFor).UTC().Format(time.DateOnly)
	maps.DeleteFunc(u.days, func(_, day string) bool { return day < since })
	if len(u.days) <= recentTopicsMost {
		return
	}
	names := slices.SortedFunc(maps.Keys(u.days), func(a, b string) int {
		return cmp.Or(cmp.Compare(u.days[b], u.days[a]), cmp.Compare(a, b))
	})
	for _, name := range names[recentTopicsMost:] {
		delete(u.days, name)
	}
}

// saveTopics writes the topics into the lease row, if there is news. It fails silently:
// delivery does not depend on it.
func (s *session) saveTopics(ctx context.Context, now time.Time) {
	u := &s.relay.recentTopics
	if !u.changed || now.Before(u.due) {
		return
	}
	u.due = now.Add(recentTopicsEvery)
	ctx, cancel := context.WithTimeout(ctx, s.relay.cfg.answerTimeout)
	defer cancel()
	if err := s.writeTopics(ctx, u, now); err != nil {
		s.keeper.endIfLost(err)
		u.due = now.Add(time.Minute)
		s.relay.log.Debug("could not keep the topics in use for relay doctor", "error", err)
	}
}

func (s *session) writeTopics(ctx context.Context, u *recentTopics, now time.Time) error {
	if !u.loaded {
		kept, err := s.relay.store.UsedTopics(ctx)
		if err != nil {
			return err
		}
		for topic, day := range kept {
			u.days[topic] = max(u.days[topic], day)
		}
		u.loaded = true
	}
	u.trim(now)
	text, err := json.Marshal(u.days)
	if err != nil {
		return err
	}
	if err := s.relay.store.SetUsedTopics(ctx, s.lease, text); err != nil {
		return err
	}
	u.changed = false
	return nil
}
