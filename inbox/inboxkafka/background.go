package inboxkafka

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
)

// replayLoop handles what operators asked to retry.
func (m *member) replayLoop() {
	ticker := time.NewTicker(m.cfg.ReplayEvery)
	defer ticker.Stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-ticker.C:
		}
		_, err := m.cfg.Inbox.Replay(m.ctx, m.cfg.DB, m.replayMessage)
		if err != nil && m.ctx.Err() == nil {
			m.log.Warn("inboxkafka: parked messages could not be retried, trying again", "error", err)
		}
	}
}

// replayMessage is the handler of parked messages. One that could not be decoded is decoded now: the handler must not
// get raw bytes for a payload. Its own id may have come by another record meanwhile.
func (m *member) replayMessage(ctx context.Context, tx *sql.Tx, parked inbox.Message) error {
	if parked.Position == nil || parked.ID != syntheticID(*parked.Position) {
		return m.one(ctx, tx, parked)
	}
	r := &kgo.Record{Topic: parked.Position.Topic, Partition: parked.Position.Partition, Offset: parked.Position.Offset,
		Value: parked.Payload}
	if parked.Key != "" {
		r.Key = []byte(parked.Key)
	}
	for name, value := range parked.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}
	decoded, err := m.decode(r)
	if err == nil {
		err = checkMessage(decoded)
	}
	if err != nil {
		return fmt.Errorf("it still cannot be decoded: %w", err)
	}
	decoded.Position, decoded.Topic, decoded.Key = parked.Position, parked.Topic, parked.Key
	fresh, err := m.cfg.Inbox.Accept(ctx, tx, decoded)
	if err != nil || !fresh {
		return err
	}
	return m.one(ctx, tx, decoded)
}

// Committed returns what inbox.PruneOptions.Committed asks for: a function that reads
// from the cluster of client which offset group has committed for a partition; -1 where
// it has committed none. The client is anyone's and stays open. Safe for many goroutines.
func Committed(
	client *kgo.Client, group string,
) func(ctx context.Context, topic string, partition int32) (int64, error) {
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
			return 0, fmt.Errorf("inboxkafka: read the offset that group %q has committed for topic %q, partition %d: %w",
				group, topic, partition, of.Err)
		}
		return of.At, nil
	}
}

// keepPruned is the job that Config.Retention asks for. With OffsetsInDatabase too it goes
// by Kafka's offsets: they are committed after the database's, and so lie below them.
func (m *member) keepPruned() {
	retention := inbox.Retention{
		PruneOptions: inbox.PruneOptions{Retention: m.cfg.Retention, Margin: m.cfg.Margin,
			Committed: Committed(m.client, m.cfg.Group)},
		OnPruned: m.cfg.OnPruned,
	}
	if err := m.cfg.Inbox.KeepPruned(m.ctx, m.cfg.DB, retention); err != nil {
		m.fail(fmt.Errorf("inboxkafka: Config.Retention: %w", err))
	}
}

// reachableEvery is how often brokers and topics are looked for until all are there, or the group has given us
// something.
const reachableEvery = 5 * time.Second

// warnUnreachable says what a consumer waits for that has just begun. franz-go asks for a broker that does not answer,
// and for a topic that does not exist, for ever and in silence, and a consumer with a spelling mistake in either would
// look healthy.
func (m *member) warnUnreachable() {
	for told := ""; ; {
		wrong := m.unreached()
		if m.ctx.Err() != nil {
			return
		}
		switch {
		case wrong != "" && wrong != told:
			m.log.Warn("inboxkafka: waiting: "+wrong, "brokers", strings.Join(m.cfg.Brokers, ","))
		case wrong == "" && told != "":
			m.log.Info("inboxkafka: brokers and topics are there")
		}
		if told = wrong; told == "" {
			return // later outages are told by what they stop
		}
		select {
		case <-m.ctx.Done():
			return
		case <-time.After(reachableEvery):
		}
	}
}

// unreached says what is not there; empty: everything is.
func (m *member) unreached() string {
	ctx, cancel := context.WithTimeout(m.ctx, reachableEvery)
	defer cancel()
	topics, err := kadm.NewClient(m.client).ListTopics(ctx, m.cfg.Topics...)
	if err != nil {
		return "no broker answers: are they up, and are the addresses right?"
	}
	var missing []string
	for _, topic := range m.cfg.Topics {
		if !topics.Has(topic) {
			missing = append(missing, topic)
		}
	}
	if len(missing) == 0 {
		return ""
	}
	slices.Sort(missing)
	return fmt.Sprintf("topics %q do not exist, or this user may not see them; they are consumed as soon as they are "+
		"there", missing)
}
