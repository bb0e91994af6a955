package inbox

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// sort parks the fresh messages whose keys stand still, in tx, and returns the others. Those that are
// not fresh have the outcomes that were intended, if a COMMIT had no answer: it took effect.
func (b *batch) sort(ctx context.Context, tx *sql.Tx, ms []Message, fresh []bool, intended []Outcome) ([]Outcome, []Message, *failure) {
	blocked, err := b.blockedKeys(ctx, tx, ms, fresh)
	if err != nil {
		return nil, nil, databaseFailure(fmt.Errorf("read the keys that stand still: %w%s", err, hint(err)))
	}
	outcomes, run := make([]Outcome, len(ms)), make([]Message, 0, len(ms))
	for n, m := range ms {
		switch {
		case !fresh[n] && intended != nil:
			outcomes[n] = intended[n]
		case !fresh[n]:
			outcomes[n] = Duplicate
		case m.Key != "" && blocked[m.Topic+"\x00"+keyText(m.Key)]:
			if _, err := b.ib.park(ctx, tx, m, "blocked", 0, ""); err != nil {
				return nil, nil, databaseFailure(fmt.Errorf("park message %q in %s: %w%s", m.ID, b.ib.parked, err, hint(err)))
			}
			outcomes[n] = Parked
		default:
			outcomes[n], run = Applied, append(run, m)
		}
	}
	return outcomes, run, nil
}

// blockedKeys returns which of the messages' keys stand still, as topic, NUL, key, and
// locks them. None did when the batch began is no answer once a message is found done: a
// member that was declared dead may have parked it since, and the next one of its key waits behind it.
func (b *batch) blockedKeys(ctx context.Context, tx *sql.Tx, ms []Message, fresh []bool) (_ map[string]bool, err error) {
	b.blocked = b.blocked || slices.Contains(fresh, false)
	if !b.blocked {
		return nil, nil
	}
	byTopic := map[string][]string{}
	var topics []string
	for n, m := range ms {
		if !fresh[n] || m.Key == "" {
			continue
		}
		if _, ok := byTopic[m.Topic]; !ok {
			topics = append(topics, m.Topic)
		}
		byTopic[m.Topic] = append(byTopic[m.Topic], keyText(m.Key))
	}
	slices.Sort(topics)
	over := b.ib.watch(ctx, b.db, &b.stall, "lane", b.lane, "messages", len(ms))
	defer func() { over(err) }()
	blocked := map[string]bool{}
	for _, topic := range topics {
		keys := byTopic[topic]
		slices.SortFunc(keys, strings.Compare)
		found, err := b.ib.store.BlockedKeys(ctx, tx, b.ib.consumer, topic, slices.Compact(keys))
		if err != nil {
			return nil, err
		}
		for key := range found {
			blocked[topic+"\x00"+key] = true
		}
	}
	return blocked, nil
}
