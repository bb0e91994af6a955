package inboxkafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
)

// Committed returns what inbox.PruneOptions.Committed asks for: a function that reads
// from the cluster of client which offset group has committed for a partition; -1 where
// it has committed none. The client is anyone's and stays open. Safe for many goroutines.
func Committed(client *kgo.Client, group string) func(ctx context.Context, topic string, partition int32) (int64, error) {
	admin := kadm.NewClient(client)
	return func(ctx context.Context, topic string, partition int32) (int64, error) {
		offsets, err := admin.FetchOffsetsForTopics(ctx, group, topic)
		if errors.Is(err, kerr.UnknownTopicOrPartition) {
			return -1, nil
		}
		if err != nil {
			return 0, fmt.Errorf("inboxkafka: read the committed offsets of group %q: %w", group, err)
		}
		of, ok := offsets.Lookup(topic, partition)
		switch {
		case !ok || errors.Is(of.Err, kerr.UnknownTopicOrPartition):
			return -1, nil
		case of.Err != nil:
			return 0, fmt.Errorf("inboxkafka: read the offset that group %q has committed for topic %q, partition %d: %w", group, topic, partition, of.Err)
		}
		return of.At, nil
	}
}

// keepPruned is the job that Config.Retention asks for. With OffsetsInDatabase too it goes
// by Kafka's offsets: they are committed after the database's, and so lie below them.
func (m *member) keepPruned() {
	retention := inbox.Retention{
		PruneOptions: inbox.PruneOptions{Retention: m.cfg.Retention, Margin: m.cfg.Margin, Committed: Committed(m.client, m.cfg.Group)},
		OnPruned:     m.cfg.OnPruned,
	}
	if err := m.cfg.Inbox.KeepPruned(m.ctx, m.cfg.DB, retention); err != nil {
		m.fail(fmt.Errorf("inboxkafka: Config.Retention: %w", err))
	}
}
