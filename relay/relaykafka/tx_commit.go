package relaykafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/internal/kafkarules"
	"github.com/postroom/postroom/relay"
)

// txItem is a record on its way through a transaction, or a manifest: that has no record.
// It is the kgo record's context, by which the promise finds it.
type txItem struct {
	context.Context

	tx     *transaction
	record *relay.Record
	wire   kgo.Record
	size   int64

	answered bool // needs tx.mu
	err      error
}

// transaction is one at work.
type transaction struct {
	session   *txSession
	number    int64
	items     []*txItem
	manifests []*txItem
	began     time.Time

	failed  context.CancelCauseFunc // called with the first error
	settled chan struct{}           // closed when every promise has run

	mu       sync.Mutex // for what follows, which promises write
	open     int        // promises that have not run
	err      error      // the first
	producer producer   // that the broker took the records from
	torn     bool       // it was more than one
}

// producer is an identity that InitProducerID gave, and each commit may renew.
type producer struct {
	id    int64
	epoch int16
}

// transact publishes the items in one transaction, acknowledges them, and reports
// whether the session lives on.
func (s *txSession) transact(items []*txItem) bool {
	s.number++
	t := &transaction{session: s, number: s.number, items: items, began: time.Now(), settled: make(chan struct{})}
	err := s.client.BeginTransaction()
	if err == nil {
		if err = t.fill(); err == nil {
			err = t.commit()
		}
		if errors.Is(err, errTimedOut) {
			err = t.diagnose(err)
			s.sink.txSize.timedOut(items)
		}
		if err != nil {
			t.abort(err)
		}
	}
	if err != nil {
		t.fail(err)
		return false
	}
	s.sink.txSize.through(time.Since(t.began))
	s.committed(t)
	for _, it := range items {
		if it.wire.Offset >= 0 {
			it.record.SetPosition(it.wire.Partition, it.wire.Offset)
		}
		it.record.SetTransaction(t.number)
		s.ack(it.record, nil)
	}
	return true
}

// fill produces the records and their manifest, and waits until the broker has all of
// them.
func (t *transaction) fill() error {
	s := t.session
	ctx, cancel := context.WithDeadlineCause(s.life, t.began.Add(s.sink.cfg.transactionTimeout), errTimedOut)
	defer cancel()
	ctx, t.failed = context.WithCancelCause(ctx)
	defer t.failed(nil)

	t.addManifests()
	t.open = len(t.items) + len(t.manifests)
	for _, list := range [][]*txItem{t.items, t.manifests} {
		for _, it := range list {
			it.tx = t
			// Does not block: the session bounds what it hands over, and kgo does not.
			s.client.Produce(context.Background(), &it.wire, txPromise)
		}
	}
	err := s.client.Flush(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.err != nil:
		return t.err
	case err != nil:
		return context.Cause(ctx)
	}
	return nil
}

func (t *transaction) addManifests() {
	s := t.session
	m := manifest{
		Source: s.source.ID, Owner: s.source.Owner, Epoch: s.source.Epoch,
		Transaction: t.number, Rows: make([]relay.Sent, len(t.items)),
	}
	for i, it := range t.items {
		m.Rows[i] = relay.Sent{ID: it.record.ID, EventID: it.record.EventID}
	}
	for _, value := range m.split(int(s.topic.limit) - batchFraming) {
		it := &txItem{Context: context.Background(), wire: kgo.Record{Topic: s.topic.name, Value: value}}
		it.wire.Context = it
		t.manifests = append(t.manifests, it)
	}
}

// txPromise is called by kgo once for each record.
func txPromise(r *kgo.Record, err error) {
	it := r.Context.(*txItem)
	it.tx.note(it, producer{r.ProducerID, r.ProducerEpoch}, err)
}

func (t *transaction) note(it *txItem, from producer, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	it.answered, it.err = true, err
	switch {
	case err != nil:
		if t.err == nil {
			t.err = err
			t.failed(err)
		}
	case t.producer == producer{}:
		t.producer = from
	default:
		t.torn = t.torn || t.producer != from
	}
	if t.open--; t.open == 0 {
		close(t.settled)
	}
}

// commit ends a transaction whose records the broker has, all of them.
//
// They must have come from one producer, and it must be the one that commits. After some
// errors kgo asks for a new epoch by itself and sends on, which is right for a producer
// without transactions. Here the broker aborts, for the new epoch, what it had got
// by then: the transaction that is committed would hold the rest alone, its manifest
// would name all, and the records of the first part would be lost (hazard partly-aborted-transaction).
func (t *transaction) commit() error {
	s := t.session
	ctx, cancel := context.WithTimeoutCause(s.grace, commitTimeout, errNoAnswer)
	defer cancel()
	id, epoch, err := s.client.ProducerID(ctx)
	switch {
	case err != nil:
		return orCause(ctx, err)
	case t.torn || t.producer != producer{id, epoch}:
		return errEpochChanged
	}
	if err := t.awaitPartitions(ctx); err != nil {
		return err
	}
	if err := s.client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return orCause(ctx, err)
	}
	return nil
}

// awaitPartitions waits until kgo shows the partitions of topics that the session produces to
// for the first time. kgo v1.22 stores them only after it has handed on the records that
// waited for them (storePartitionsUpdate). A broker may have those before that: then
// EndTransaction, which has the sequences of all partitions begin anew with the new epoch,
// does not find these partitions, and the next transaction fails with
// OUT_OF_ORDER_SEQUENCE_NUMBER.
func (t *transaction) awaitPartitions(ctx context.Context) error {
	for _, list := range [][]*txItem{t.items, t.manifests} {
		for _, it := range list {
			for !t.session.shown[it.wire.Topic] {
				if leader, _, err := t.session.client.PartitionLeader(it.wire.Topic, it.wire.Partition); leader >= 0 ||
					err != nil {
					t.session.shown[it.wire.Topic] = true
					break
				}
				select {
				case <-ctx.Done():
					return context.Cause(ctx)
				case <-time.After(time.Millisecond):
				}
			}
		}
	}
	return nil
}

// abort does what it can so that consumers need not wait for the transaction's timeout,
// and returns when kgo has let go of the records.
func (t *transaction) abort(reason error) {
	s := t.session
	ctx, cancel := context.WithTimeout(s.grace, abortTimeout)
	defer cancel()
	if !isFenced(reason) && s.client.AbortBufferedRecords(ctx) == nil {
		if err := s.client.EndTransaction(ctx, kgo.TryAbort); err != nil {
			s.sink.log.Debug(
				"could not abort a transaction; the next session does", "transaction", t.number, "error", err,
			)
		}
	}
	s.closeClient()
	<-t.settled
}

// fail acknowledges the records of a transaction that was not committed, or not so that
// we know it. Those that the broker refused are rejections, and the others are not to
// blame; without any, all have the transaction's error.
func (t *transaction) fail(err error) {
	s := t.session
	refused := false
	for _, it := range t.items {
		refused = refused || isRefusal(it.err)
	}
	switch {
	case refused, s.life.Err() != nil && !isFenced(err):
		err = relay.ErrGivenUp
	default:
		err = t.explain(err)
	}
	for _, it := range t.items {
		if isRefusal(it.err) {
			s.sink.validator.failed(it.wire.Topic, it.err)
			s.ack(it.record, classify(it.record, it.err))
		} else {
			s.ack(it.record, err)
		}
	}
}

// explain says what a transaction's failure means. The broker answers alike to a
// producer that was fenced by another and to one whose transaction it has aborted for
// its age.
func (t *transaction) explain(err error) error {
	s, lasted := t.session, time.Since(t.began)
	for _, it := range t.manifests {
		if isRefusal(it.err) {
			return fmt.Errorf("kafka refuses the manifest, topic %s: %w; the relay's user needs Write and Describe "+
				"on it, and its max.message.bytes must not be lowered while the relay runs", s.topic.name, it.err)
		}
	}
	switch {
	case isFenced(err) && lasted < s.sink.cfg.transactionTimeout:
		return fmt.Errorf(
			"%w (source %s, transactional id %s): %w", relay.ErrFenced, s.source.Source, transactionalID(s.source.ID),
			err,
		)
	case isFenced(err):
		return fmt.Errorf("%w: %w", errTimedOut, err)
	}
	hint := ""
	var answer *kerr.Error
	if errors.As(err, &answer) {
		if advice := kafkarules.Outage(answer.Code); advice != "" {
			hint = "; " + advice
		}
	}
	return fmt.Errorf("kafka did not commit a transaction of source %s: %w%s", s.source.Source, err, hint)
}
