package topics

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	store "github.com/postroom/postroom/internal/store/relay"
)

// Recent are the topics that a source had events for in the last days. The owner keeps them in
// the lease row, so that relay doctor can check a topic also while no event for it waits. Losing
// them costs nothing else. Recent is not safe for concurrent use.
type Recent struct {
	days    map[string]string // topic → the last day of it (UTC), as 2006-01-02
	last    string            // the topic that was noted last
	changed bool
	loaded  bool      // what the lease row keeps is known
	due     time.Time // not written before
}

// Store keeps the topics with the lease.
type Store interface {
	ReadNote(ctx context.Context, l store.Lease, field store.Field) ([]byte, error)
	Note(ctx context.Context, l store.Lease, n store.Note) error
}

// These bound what is kept. A topic is written when it is new, and once a day.
const (
	keptTopics = 200
	saveEvery  = 10 * time.Second
	retryEvery = time.Minute
)

// Day is the day of a time, as Note wants it.
func Day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// Note takes in the topic of a record that was read on a day.
func (r *Recent) Note(topic, day string) {
	if topic == r.last && r.days[topic] == day {
		return
	}
	r.last = topic
	if r.days[topic] == day || len(r.days) >= 2*keptTopics {
		return
	}
	if r.days == nil {
		r.days = make(map[string]string)
	}
	r.days[topic], r.changed = day, true
}

// Reload has the next Save read the lease row first: another owner may have written it.
func (r *Recent) Reload() { r.loaded = false }

// SaveDue reports whether there is news to write.
func (r *Recent) SaveDue(now time.Time) bool { return r.changed && !now.Before(r.due) }

// Save writes the topics into the lease row, together with those that it has already. After an
// error SaveDue waits longer.
func (r *Recent) Save(ctx context.Context, to Store, l store.Lease, now time.Time) error {
	r.due = now.Add(retryEvery)
	if !r.loaded {
		kept, err := to.ReadNote(ctx, l, store.FieldTopics)
		if err != nil {
			return err
		}
		for topic, day := range store.ParseTopics(kept) {
			r.days[topic] = max(r.days[topic], day)
		}
		r.loaded = true
	}
	r.trim(now)
	text, err := json.Marshal(r.days)
	if err != nil {
		return err
	}
	if err := to.Note(ctx, l, store.UsedTopics(text)); err != nil {
		return err
	}
	r.changed, r.due = false, now.Add(saveEvery)
	return nil
}

// trim forgets topics of long ago, and the oldest ones when there are too many.
func (r *Recent) trim(now time.Time) {
	since := Day(now.Add(-store.UsedTopicsFor))
	maps.DeleteFunc(r.days, func(_, day string) bool { return day < since })
	if len(r.days) <= keptTopics {
		return
	}
	names := slices.SortedFunc(maps.Keys(r.days), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.days[b], r.days[a]), cmp.Compare(a, b))
	})
	for _, name := range names[keptTopics:] {
		delete(r.days, name)
	}
}
