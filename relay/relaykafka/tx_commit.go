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

// txItem is a record on its way through a transaction, or a manifest, which has no relay record. It is also
// the kgo record's context. Through it the promise finds the item.
type txItem struct {
	context.Context

	tx     *transaction
	record *relay.Record
	wire   kgo.Record
	size   int64

	answered bool // needs tx.mu
	err      error
}

// transaction is one transaction that is being filled, committed or aborted.
type transaction struct {
	session   *txSession
	number    int64
	items     []*txItem
	manifests []*txItem
	began     time.Time

	failed  context.CancelCauseFunc // called with the first error
	settled chan struct{}           // closed when every promise has run

	mu       sync.Mutex // for the fields below, which promises write
	open     int        // number of promises that have not run
	err      error      // the first error
	producer producer   // the producer from which the broker accepted the records
	torn     bool       // the records came from more than one producer
}

// producer is an identity from InitProducerID. Each commit may renew it.
type producer struct {
	id    int64
	epoch int16
}

// transact publishes the items in one transaction, acknowledges them, and reports whether the session can go
// on.
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

// fill produces the records and their manifest, and waits until the broker has all of them.
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
			// Produce does not block: the session bounds the number of records, and kgo has no bound of its
			// own.
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

// commit ends a transaction after the broker has all of its records.
//
// All records must have come from the producer that commits. After some errors kgo asks for a new epoch by
// itself and sends the remaining records under that epoch. This is right for a producer without transactions.
// In a transaction it loses records: for the new epoch, the broker aborts the records that it has got by
// then. The commit would then contain only the remaining records, and its manifest would name all of them.
// The records of the first part would be lost (hazard partly-aborted-transaction).
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

// awaitPartitions waits until kgo knows the partitions of the topics that the session produces to for the
// first time. kgo v1.22 stores the partitions only after it has handed on the records that waited for them
// (storePartitionsUpdate). The broker may have those records before that. EndTransaction restarts the
// sequences of all partitions for the new epoch. If it ran at that moment, it would miss the partitions that
// are not stored yet, and the next transaction would fail with OUT_OF_ORDER_SEQUENCE_NUMBER.
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

// abort tries to abort the transaction, so that consumers need not wait for its timeout. It returns when kgo
// has released the records.
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

// fail acknowledges the records of a transaction that was not committed, or whose outcome is not known.
// Records that the broker rejected get a rejection, and the other records are not at fault. If the broker
// rejected none, all records get the transaction's error.
func (t *transaction) fail(err error) {
	s := t.session
	rejected := false
	for _, it := range t.items {
		rejected = rejected || isRejection(it.err)
	}
	switch {
	case rejected, s.life.Err() != nil && !isFenced(err):
		err = relay.ErrGivenUp
	default:
		err = t.explain(err)
	}
	for _, it := range t.items {
		if isRejection(it.err) {
			s.sink.validator.failed(it.wire.Topic, it.err)
			s.ack(it.record, classify(it.record, it.err))
		} else {
			s.ack(it.record, err)
		}
	}
}

// explain says what a transaction's failure means. It is needed because the broker gives the same answer to a
// producer that was fenced by another one, and to a producer whose transaction was aborted because it timed
// out.
func (t *transaction) explain(err error) error {
	s, lasted := t.session, time.Since(t.began)
	for _, it := range t.manifests {
		if isRejection(it.err) {
			return fmt.Errorf("kafka rejects the manifest, topic %s: %w; the relay's user needs Write and Describe "+
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
