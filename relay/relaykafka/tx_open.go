package relaykafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/postroom/postroom/relay"
)

var _ relay.Transactional = (*Sink)(nil)

// OpenTransactional implements relay.Transactional. Exactly-once depends on the order of its
// steps. When InitProducerID has returned, the broker has ended any transaction of an
// earlier session, and takes no more records from it. Only then does OpenTransactional ask
// where the manifests end (hazard commit-before-fence).
func (s *Sink) OpenTransactional(
	ctx context.Context, src relay.Identity, position []byte, ack relay.Ack,
) (relay.TransactionalSession, error) {
	if src.ID == uuid.Nil { // all sources without an id would fence one another
		return nil, fmt.Errorf(
			"%w: source %s has no identity: run `relay source new-identity`", relay.ErrUnusable, src.Source,
		)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.cfg.openTimeout, errOpening)
	defer cancel()
	session := newTxSession(s, src, ack)
	client, err := newAnyClient(s.cfg,
		kgo.TransactionalID(transactionalID(src.ID)),
		kgo.TransactionTimeout(s.cfg.transactionTimeout),
		kgo.ProducerBatchMaxBytesFn(session.batchMaxBytes),
		// The broker sends this error while it still writes the end of the previous transaction. That takes a
		// few milliseconds.
		kgo.ConcurrentTransactionsBackoff(5*time.Millisecond),
		kgo.RetryBackoffFn(txRetryBackoff),
	)
	if err != nil {
		return nil, err
	}
	session.client = client
	if err := session.takeOver(ctx, position); err != nil {
		client.Close()
		return nil, fmt.Errorf("open source %s (%s) for exactly-once: %w", src.Source, src.ID, err)
	}
	session.start()
	return session, nil
}

func (s *txSession) takeOver(ctx context.Context, kept []byte) (err error) {
	admin := kadm.NewClient(s.client)
	if err := s.sink.checkTransactions(ctx, s.client); err != nil {
		return err
	}
	if s.topic, err = s.sink.openManifest(ctx, admin, s.source.ID); err != nil {
		return err
	}
	s.manifestLimit.Store(s.topic.limit)
	if err := s.initProducer(ctx); err != nil {
		return err
	}
	if s.span, err = s.sink.manifestSpan(ctx, admin, s.topic, kept); err != nil {
		return err
	}
	if s.span.kept {
		s.confirmed, s.aged = s.span.from, s.span.aged
	}
	return nil
}

// checkTransactions returns an error if the broker is too old. Since version 3 of
// InitProducerID a producer sends its epoch, so that a fenced one cannot return by mistake.
func (s *Sink) checkTransactions(ctx context.Context, client *kgo.Client) error {
	request := kmsg.NewPtrApiVersionsRequest()
	request.ClientSoftwareName, request.ClientSoftwareVersion = "postroom", "1"
	answer, err := request.RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(answer.ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("ask kafka at %s what it can do: %w", s.addresses(), orCause(ctx, err))
	}
	versions := make(map[int16]int16, len(answer.ApiKeys))
	for _, api := range answer.ApiKeys {
		versions[api.ApiKey] = api.MaxVersion
	}
	for _, needed := range []struct {
		key     kmsg.Key
		version int16
	}{{kmsg.InitProducerID, 3}, {kmsg.AddPartitionsToTxn, 0}, {kmsg.EndTxn, 0}} {
		if have, ok := versions[needed.key.Int16()]; !ok || have < needed.version {
			return fmt.Errorf("%w: kafka at %s is too old for exactly-once mode, or has no transactions: it needs %s "+
				"version %d (Kafka 2.5); use --mode at-least-once",
				relay.ErrUnusable, s.addresses(), needed.key.Name(), needed.version)
		}
	}
	s.adviseTransactions(answer.FinalizedFeatures)
	return nil
}

// adviseTransactions logs once that transaction.version 2 is safer: with it, a record that a broker receives
// late cannot join the producer's next transaction (KIP-890).
func (s *Sink) adviseTransactions(features []kmsg.ApiVersionsResponseFinalizedFeature) {
	for _, feature := range features {
		if feature.Name == "transaction.version" && feature.MaxVersionLevel >= 2 {
			return
		}
	}
	s.advised.Do(func() {
		s.log.Warn("kafka's feature transaction.version is below 2: exactly-once mode works, and is safer with it: "+
			"kafka-features.sh upgrade --feature transaction.version=2",
			"brokers", s.addresses())
	})
}

// initProducer fences earlier sessions and has their open transaction aborted.
func (s *txSession) initProducer(ctx context.Context) error {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		id, _, err := s.client.ProducerID(ctx)
		if err == nil && id < 0 {
			err = errors.New("kafka gave no producer id")
		}
		if err == nil {
			return nil
		}
		if err := s.initRejected(err); err != nil {
			return err
		}
		var broker *kerr.Error
		if errors.As(err, &broker) && !broker.Retriable || !pause(ctx, wait) {
			return s.notFenced(ctx, err)
		}
	}
}

// notFenced says what may be wrong. While the broker cannot end the previous transaction, it answers
// CONCURRENT_TRANSACTIONS, and kgo repeats the request until ctx ends.
func (s *txSession) notFenced(ctx context.Context, err error) error {
	id := transactionalID(s.source.ID)
	if ctx.Err() == nil {
		return fmt.Errorf("fence earlier producers of %s: %w", id, err)
	}
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	reason := "the coordinator of its transactions does not answer, or cannot end the one before because a partition " +
		"of it has no leader"
	if described, err := kadm.NewClient(s.client).DescribeTransactions(asking, id); err == nil {
		if t := described[id]; t.Err == nil && t.State != "" && len(t.Topics) > 0 {
			reason = fmt.Sprintf("the coordinator of its transactions, broker %d, has the one before in state %s and "+
				"has still to end it in %s; "+
				"see that these have a leader (kafka-topics.sh --bootstrap-server %s --describe --topic …), and "+
				"restart broker %d if they have",
				t.Coordinator, t.State, partitionList(t.Topics), strings.Join(s.sink.cfg.Brokers, ","), t.Coordinator)
		}
	}
	return fmt.Errorf("fence earlier producers of %s: %w: %s", id, context.Cause(ctx), reason)
}

// partitionList names all partitions, or only some of them if there are many.
func partitionList(topics kadm.TopicsSet) string {
	const most = 5
	var names []string
	for _, t := range topics.Sorted() {
		for _, p := range t.Partitions {
			names = append(names, fmt.Sprintf("topic %s, partition %d", t.Topic, p))
		}
	}
	if len(names) > most {
		names = append(names[:most], fmt.Sprintf("%d more", len(names)-most))
	}
	return strings.Join(names, "; ")
}

func (s *txSession) initRejected(err error) error {
	id := transactionalID(s.source.ID)
	switch {
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		return s.sink.missingACL("Write", "transactional-id", id, err)
	case errors.Is(err, kerr.InvalidTransactionTimeout):
		return fmt.Errorf("%w: kafka at %s allows transactions for less than %s: raise the brokers' "+
			"transaction.max.timeout.ms: %w",
			relay.ErrUnusable, s.sink.addresses(), s.sink.cfg.transactionTimeout, err)
	}
	return nil
}

// txRetryBackoff begins with a short wait: the broker may also answer to records that it still writes the end
// of the previous transaction.
func txRetryBackoff(failures int) time.Duration {
	return min(5*time.Millisecond<<min(max(failures-1, 0), 8), retryBackoff(failures))
}

// orCause returns the reason why ctx ended, if it has ended, instead of an error that
// follows from it.
func orCause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
