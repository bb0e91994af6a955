package relay

import (
	"context"
	"encoding/json"
	"errors"
	"sync"

	"github.com/google/uuid"
)

// txBroker is a broker with transactions, in memory. Records become visible together with their manifest, and
// opening a session fences the earlier ones.
type txBroker struct {
	mu        sync.Mutex
	epoch     int
	committed []published
	manifests [][]Sent
	kept      int // manifests below this one were forgotten

	verdict func(*Record) error
	// blameAll makes a rejection concern every record of the topic, as in a batch.
	blameAll bool
	refused  [][]int64 // rows of the rejected transactions
	// beforeCommit runs without the lock, before a transaction is committed. An error aborts the transaction.
	// An error of afterCommit loses the answer.
	beforeCommit, afterCommit func() error
	onOpen                    func()
	// These remove a rule.
	forgetful bool // Sent names no row
}

type txSession struct {
	broker *txBroker
	epoch  int
	ack    Ack
	from   int
	number int64
	mu     sync.Mutex
	over   error
	topics map[string]bool // topics of the rejected records
	ends   map[int64]int   // transaction → number of manifests up to its end
}

type txPosition struct{ Manifests int }

func (b *txBroker) Check(context.Context) error { return nil }

func (b *txBroker) Open(_ context.Context, ack Ack) (Session, error) {
	return &txSession{broker: b, epoch: -1, ack: ack}, nil
}

func (b *txBroker) OpenTransactional(_ context.Context, _ Identity, position []byte,
	ack Ack) (TransactionalSession, error) {
	if b.onOpen != nil {
		b.onOpen()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.epoch++
	var p txPosition
	if position != nil {
		if err := json.Unmarshal(position, &p); err != nil {
			return nil, errors.Join(ErrUnusable, err)
		}
	}
	return &txSession{broker: b, epoch: b.epoch, ack: ack, from: p.Manifests, ends: map[int64]int{0: len(b.manifests)}},
		nil
}

func (s *txSession) Sent(_ context.Context, visit func([]Sent) error) error {
	s.broker.mu.Lock()
	manifests := s.broker.manifests[s.from:]
	s.broker.mu.Unlock()
	if s.broker.forgetful {
		return nil
	}
	for _, m := range manifests {
		if err := visit(m); err != nil {
			return err
		}
	}
	return nil
}

func (s *txSession) Deliver(_ context.Context, records []*Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over == nil && s.epoch < 0 {
		s.deliverPlainly(records)
		return
	}
	if s.over == nil {
		s.over = s.commit(records)
		if s.over == nil {
			return
		}
	}
	for _, r := range records {
		s.ack(r, s.blame(r))
	}
}

func (s *txSession) deliverPlainly(records []*Record) {
	for _, r := range records {
		s.broker.mu.Lock()
		s.broker.committed = append(s.broker.committed,
			published{id: r.ID, eventID: r.EventID, key: string(r.Key), value: string(r.Payload)})
		s.broker.mu.Unlock()
		s.ack(r, nil)
	}
}

// blame returns a rejection for the faulty record, and an outage for the others.
func (s *txSession) blame(r *Record) error {
	if s.broker.verdict != nil {
		if err := s.broker.verdict(r); err != nil {
			return err
		}
	}
	if s.broker.blameAll && errors.Is(s.over, ErrRejected) && s.topics[r.Topic] {
		return s.over
	}
	if errors.Is(s.over, ErrRejected) {
		return ErrGivenUp
	}
	return s.over
}

func (s *txSession) commit(records []*Record) error {
	b := s.broker
	if b.verdict != nil {
		var refused error
		s.topics = make(map[string]bool)
		for _, r := range records {
			if err := b.verdict(r); err != nil {
				refused, s.topics[r.Topic] = err, true
			}
		}
		if refused != nil {
			b.note(records)
			return refused
		}
	}
	if b.beforeCommit != nil {
		if err := b.beforeCommit(); err != nil {
			return err
		}
	}
	b.mu.Lock()
	if b.epoch != s.epoch {
		b.mu.Unlock()
		return ErrFenced
	}
	manifest := make([]Sent, len(records))
	for i, r := range records {
		b.committed = append(b.committed,
			published{id: r.ID, eventID: r.EventID, key: string(r.Key), value: string(r.Payload)})
		manifest[i] = Sent{ID: r.ID, EventID: r.EventID}
	}
	b.manifests = append(b.manifests, manifest)
	s.number++
	s.ends[s.number] = len(b.manifests)
	b.mu.Unlock()
	if b.afterCommit != nil {
		if err := b.afterCommit(); err != nil {
			return err
		}
	}
	for _, r := range records {
		r.SetTransaction(s.number)
	}
	for _, r := range records {
		s.ack(r, nil)
	}
	return nil
}

func (b *txBroker) note(refused []*Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ids := make([]int64, len(refused))
	for i, r := range refused {
		ids[i] = r.ID
	}
	b.refused = append(b.refused, ids)
}

func (s *txSession) Confirm(n int64) []byte {
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	if s.ends[n] <= s.from {
		return nil
	}
	s.from = s.ends[n]
	position, _ := json.Marshal(txPosition{s.from})
	return position
}

func (s *txSession) Forget(_ context.Context, position []byte) error {
	var p txPosition
	err := json.Unmarshal(position, &p)
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	s.broker.kept = p.Manifests
	return err
}

func (s *txSession) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over == nil {
		s.over = ErrGivenUp
	}
}

func (b *txBroker) values() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	values := []string{}
	for _, p := range b.committed {
		values = append(values, p.value)
	}
	return values
}

// twice lists the events that were committed more than once.
func (b *txBroker) twice() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	seen := make(map[uuid.UUID]bool)
	var twice []string
	for _, p := range b.committed {
		if seen[p.eventID] {
			twice = append(twice, p.value)
		}
		seen[p.eventID] = true
	}
	return twice
}
