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

// Recent has the topics for which a source had events in the last days. The owner keeps them in the lease
// row, so that relay doctor can check a topic even while no event for it waits. If they are lost, nothing
// else is affected. Recent is not safe for concurrent use.
type Recent struct {
	days    map[string]string // topic → its last day (UTC), as 2006-01-02
	last    string            // the topic that was noted last
	changed bool
	loaded  bool      // the content of the lease row is known
	due     time.Time // no write before this time
}

// Store stores the topics with the lease.
type Store interface {
	ReadNote(ctx context.Context, l store.Lease, field store.Field) ([]byte, error)
	Note(ctx context.Context, l store.Lease, n store.Note) error
}

// These bound the topics that are kept. A topic is written when it is new, and once a day.
const (
	keptTopics = 200
	saveEvery  = 10 * time.Second
	retryEvery = time.Minute
)

// Day is the day of a time in the format that Note takes.
func Day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// Note adds the topic of a record that was read on a day.
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

// Reload makes the next Save read the lease row first, because another owner may have written it.
func (r *Recent) Reload() { r.loaded = false }

// SaveDue reports whether there is a change to write.
func (r *Recent) SaveDue(now time.Time) bool { return r.changed && !now.Before(r.due) }

// Save writes the topics into the lease row, together with those that the row has already. After an error
// SaveDue waits longer.
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

// trim forgets old topics, and the oldest ones when there are too many.
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
