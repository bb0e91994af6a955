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

// replayLoop handles the parked messages that operators want to retry.
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
			m.log.Warn("inboxkafka: cannot retry parked messages, trying again", "error", err)
		}
	}
}

// replayMessage handles parked messages. It decodes a message that could not be decoded before, because the handler
// must not get raw bytes as a payload. Meanwhile another record may have brought a message with the same id.
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

// Committed returns a function for inbox.PruneOptions.Committed. The function reads the offset that group has committed
// for a partition, and returns -1 if there is none. Committed does not close the client. Safe for concurrent use.
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
			return 0, fmt.Errorf("inboxkafka: read the offset that group %q has committed for topic %q, partition "+
				"%d: %w",
				group, topic, partition, of.Err)
		}
		return of.At, nil
	}
}

// keepPruned deletes old ids, as Config.Retention says. It uses Kafka's offsets even with OffsetsInDatabase: they are
// committed after the database's offsets, so they are never above them.
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

// reachableEvery is the time between two searches for brokers and topics, until all are found.
const reachableEvery = 5 * time.Second

// warnUnreachable logs what a new consumer waits for. franz-go asks again and again, without an error, for a broker
// that does not answer and for a topic that does not exist. Without the log line, a consumer with a spelling mistake in
// one of them would look healthy.
func (m *member) warnUnreachable() {
	for logged := ""; ; {
		wrong := m.findMissing()
		if m.ctx.Err() != nil {
			return
		}
		switch {
		case wrong != "" && wrong != logged:
			m.log.Warn("inboxkafka: waiting: "+wrong, "brokers", strings.Join(m.cfg.Brokers, ","))
		case wrong == "" && logged != "":
			m.log.Info("inboxkafka: brokers and topics are available")
		}
		if logged = wrong; logged == "" {
			return // later outages are logged by the work that they stop
		}
		select {
		case <-m.ctx.Done():
			return
		case <-time.After(reachableEvery):
		}
	}
}

// findMissing returns a text that says what is missing, or an empty text.
func (m *member) findMissing() string {
	ctx, cancel := context.WithTimeout(m.ctx, reachableEvery)
	defer cancel()
	topics, err := kadm.NewClient(m.client).ListTopics(ctx, m.cfg.Topics...)
	if err != nil {
		return "no broker answers: check that they run, and check the addresses"
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
	return fmt.Sprintf("topics %q do not exist, or this user has no right to see them; the consumer reads them as "+
		"soon as they exist", missing)
}
