package relaykafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/postroom/postroom/relay"
)

// txEnd says at which offset a committed transaction's manifests end.
type txEnd struct {
	number int64
	offset int64 // behind the last one
}

// Sent implements relay.TransactionalSession.
func (s *txSession) Sent(ctx context.Context, visit func([]relay.Sent) error) error {
	return s.sink.readManifests(ctx, s.topic, s.span, func(offset int64, m *manifest) error {
		if m.Source != s.source.ID {
			return fmt.Errorf("%w: the manifest at offset %d of topic %s is of source %s, and this is source %s "+
				"(%s): nothing but its own relay may write to that topic; run `relay doctor`",
				relay.ErrUnusable, offset, s.topic.name, m.Source, s.source.ID, s.source.Source)
		}
		return visit(m.Rows)
	})
}

// committed notes where the transaction's manifests are, before the transaction is acknowledged.
func (s *txSession) committed(t *transaction) {
	offset := int64(-1)
	for _, it := range t.manifests {
		offset = max(offset, it.wire.Offset)
	}
	if offset < 0 {
		return // the broker did not say; the end of the next transaction covers this one too
	}
	s.confirm.Lock()
	defer s.confirm.Unlock()
	s.ends = append(s.ends, txEnd{t.number, offset + 1})
}

// Confirm implements relay.TransactionalSession.
func (s *txSession) Confirm(n int64) []byte {
	s.confirm.Lock()
	defer s.confirm.Unlock()
	offset := s.span.to
	for len(s.ends) > 0 && s.ends[0].number <= n {
		offset = s.ends[0].offset
		s.ends = s.ends[1:]
	}
	if offset <= s.confirmed {
		return nil
	}
	s.confirmed = offset
	p := s.topic.position(offset)
	if !s.aged.since.IsZero() {
		p.Aged, p.Since = s.aged.offset, s.aged.since.UnixMilli()
	}
	return p.encode()
}

// Forget implements relay.TransactionalSession. A manifest stays for Config.ManifestKeep after a position
// behind it was kept, however old the manifest itself is. Its rows may have been deleted late, and a standby
// that is promoted may not have that deletion yet.
func (s *txSession) Forget(ctx context.Context, kept []byte) error {
	var p position
	if err := json.Unmarshal(kept, &p); err != nil {
		return fmt.Errorf("the position is not one of Confirm's: %w", err)
	}
	below := s.ageing(p, time.Now())
	return s.deleteManifests(ctx, kadm.NewClient(s.client), below)
}

// ageing notes that p is kept, and returns the offset below which manifests are old enough to be removed.
func (s *txSession) ageing(p position, now time.Time) (below int64) {
	s.confirm.Lock()
	defer s.confirm.Unlock()
	switch {
	case !s.topic.named(p) || p.Offset > s.confirmed: // of another log, or of an earlier session: wait for one of ours
		return 0
	case s.aged.since.IsZero():
	case now.Sub(s.aged.since) < s.sink.cfg.ManifestKeep:
		return 0
	default:
		below = s.aged.offset
	}
	s.aged = aged{p.Offset, now}
	return below
}

func (s *txSession) deleteManifests(ctx context.Context, admin *kadm.Client, below int64) error {
	if below <= s.span.start {
		return nil
	}
	offsets := make(kadm.Offsets)
	offsets.AddOffset(s.topic.name, 0, below, -1)
	answers, err := admin.DeleteRecords(ctx, offsets)
	if err == nil {
		answer, _ := answers.Lookup(s.topic.name, 0)
		err = answer.Err
	}
	switch {
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return fmt.Errorf("manifests below offset %d of topic %s cannot be removed, and take up disk: the relay's "+
			"user needs Delete on the topic: %w", below, s.topic.name, err)
	case err != nil:
		return fmt.Errorf("remove manifests below offset %d of topic %s: %w", below, s.topic.name, err)
	}
	return nil
}
