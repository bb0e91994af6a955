package relaykafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/internal/kafkatx"
	"github.com/postroom/postroom/relay"
)

// position is what the relay keeps for us in its lease row. It says that the deletion of every row that the
// manifests below Offset name is committed. It also identifies the log, because a topic that was deleted and
// created again counts from 0 (hazard lost-manifest).
type position struct {
	Cluster string `json:"cluster"`
	Topic   string `json:"topic"` // its id
	Offset  int64  `json:"offset"`
	// Manifests below Aged are not needed since the time Since, in milliseconds. They may be removed when
	// that was long enough ago. It is kept here so that a restart does not start the time again.
	Aged  int64 `json:"aged,omitempty"`
	Since int64 `json:"since,omitempty"`
}

func (t manifestTopic) position(offset int64) position {
	return position{Cluster: t.cluster, Topic: t.id.String(), Offset: offset}
}

func (p position) encode() []byte {
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // two strings and a number
	}
	return text
}

// sameLog reports whether p is a position in the topic as it exists now.
func (t manifestTopic) sameLog(p position) bool {
	return t.id != (kadm.TopicID{}) && t.named(p)
}

func (t manifestTopic) named(p position) bool {
	return p.Cluster == t.cluster && p.Topic == t.id.String()
}

// span is the part of the manifest topic that Sent reads.
type span struct {
	start    int64 // first offset of the topic
	from, to int64 // the offsets to read
	kept     bool  // from is the position that the relay had kept
	aged     aged  // as kept with it
}

// aged is an offset, and the time at which the position in the lease row was already above it.
type aged struct {
	offset int64
	since  time.Time // zero: there is none
}

// manifestSpan finds the span. Call it after InitProducerID has returned: then the log ends behind the last
// transaction that an earlier session could commit.
func (s *Sink) manifestSpan(ctx context.Context, admin *kadm.Client, topic manifestTopic, kept []byte) (span, error) {
	end, err := offsetOf(ctx, admin.ListEndOffsets, topic.name)
	if err != nil {
		return span{}, fmt.Errorf("ask where manifest topic %s ends: %w", topic.name, err)
	}
	start, err := offsetOf(ctx, admin.ListStartOffsets, topic.name)
	if err != nil {
		return span{}, fmt.Errorf("ask where manifest topic %s begins: %w", topic.name, err)
	}
	whole := span{start: start, from: start, to: end}
	if len(kept) == 0 {
		return whole, nil
	}
	var p position
	switch err := json.Unmarshal(kept, &p); {
	case topic.id == kadm.TopicID{}: // before Kafka 2.8 nothing tells a recreated topic from the old one
	case err != nil:
		s.log.Warn(
			"the position kept in the lease row cannot be read; reading all manifests", "topic", topic.name, "error",
			err,
		)
	case !topic.sameLog(p):
		s.log.Warn("the lease row tells of another manifest topic than the one that is there: it was deleted, or "+
			"this is another cluster. Rows that only the other one names are sent again",
			"topic", topic.name, "topic_id", topic.id, "cluster", topic.cluster, "kept_topic_id", p.Topic,
			"kept_cluster", p.Cluster)
	case p.Offset > end:
		s.log.Warn("the lease row tells of manifests behind the end of the manifest topic: kafka has lost some. Rows "+
			"that only those name are sent again",
			"topic", topic.name, "kept_offset", p.Offset, "end", end)
	case p.Offset < start:
		return span{}, s.manifestsGone(topic, p.Offset, start)
	default:
		whole.from, whole.kept = p.Offset, true
		if p.Since > 0 && p.Aged <= p.Offset {
			whole.aged = aged{p.Aged, time.UnixMilli(p.Since)}
		}
	}
	return whole, nil
}

func (s *Sink) manifestsGone(topic manifestTopic, from, start int64) error {
	return fmt.Errorf("%w: the lease row asks for the manifests from offset %d on, and manifest topic %s begins at "+
		"%d: the database is older than the manifests that are left (set back to a backup, or to a standby that "+
		"lagged by more than Config.ManifestKeep, %s), so rows in it may have been sent and nothing tells which; to "+
		"send them again, and accept duplicates, run `relay source new-identity`",
		relay.ErrUnusable, from, topic.name, start, s.cfg.ManifestKeep)
}

func offsetOf(
	ctx context.Context, list func(context.Context, ...string) (kadm.ListedOffsets, error), topic string,
) (int64, error) {
	offsets, err := list(ctx, topic)
	if err != nil {
		return 0, err
	}
	listed, ok := offsets.Lookup(topic, 0)
	switch {
	case !ok:
		return 0, errors.New("kafka did not answer for partition 0")
	case listed.Err != nil:
		return 0, listed.Err
	}
	return listed.Offset, nil
}

// readManifests calls visit for each manifest of the span, in order. It returns nil only when it has seen the
// span's last offset, because a list that ends too early would let rows be sent twice. It asks for control
// records too, because a transaction ends with one, which is then the last offset.
func (s *Sink) readManifests(
	ctx context.Context, topic manifestTopic, part span, visit func(offset int64, m *manifest) error,
) error {
	if part.from >= part.to {
		return nil
	}
	client, err := newClient(s.cfg,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic.name: {0: kgo.NewOffset().At(part.from)}}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // a gap in the log is an error, and must not be skipped
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.DisableFetchSessions(), // a session would have to be ended at the broker
	)
	if err != nil {
		return err
	}
	defer client.Close()
	for next := part.from; next < part.to; {
		fetches, err := s.poll(ctx, client)
		if errors.Is(err, errNoManifests) {
			err = s.standsStill(ctx, client, topic.name, err)
		}
		if err != nil {
			return fmt.Errorf("read manifest topic %s: got to offset %d of %d: %w", topic.name, next, part.to, err)
		}
		for _, failed := range fetches.Errors() {
			if errors.Is(failed.Err, kerr.TopicAuthorizationFailed) {
				return s.missingACL("Read", "topic", topic.name, failed.Err)
			}
			return fmt.Errorf("read manifest topic %s from offset %d: %w", topic.name, next, failed.Err)
		}
		for records := fetches.RecordIter(); !records.Done() && next < part.to; {
			r := records.Next()
			next = r.Offset + 1
			if r.Attrs.IsControl() || r.Offset >= part.to {
				continue
			}
			m, err := decodeManifest(r.Value)
			if err != nil {
				return fmt.Errorf("%w: the manifest at offset %d of topic %s cannot be read: %w; nothing but this "+
					"relay may write to that topic: run `relay doctor`",
					relay.ErrUnusable, r.Offset, topic.name, err)
			}
			if err := visit(r.Offset, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// standsStill checks whether an open transaction blocks the reader. Nothing behind an open transaction may be
// read. The error names that transaction.
func (s *Sink) standsStill(ctx context.Context, client *kgo.Client, topic string, err error) error {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	found, errFind := kafkatx.Find(ctx, kadm.NewClient(client), kadm.TopicsSet{topic: {0: {}}})
	if len(found) > 0 {
		return &kafkatx.Error{Open: found[0], Bootstrap: strings.Join(s.cfg.Brokers, ",")}
	}
	if errFind != nil {
		return fmt.Errorf("%w (%w)", err, errFind)
	}
	return err
}

// poll waits for records. It detects that no broker answers, because kgo does not report that.
func (s *Sink) poll(ctx context.Context, client *kgo.Client) (kgo.Fetches, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.cfg.openTimeout, errNoManifests)
	defer cancel()
	fetches := client.PollFetches(ctx)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return fetches, nil
}
