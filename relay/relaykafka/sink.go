package relaykafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/postroom/postroom/internal/kafkarules"
	"github.com/postroom/postroom/relay"
)

// Sink publishes to one Kafka cluster. New creates it. Its methods are safe for concurrent use. A Sink holds
// no connection: its sessions do.
type Sink struct {
	cfg       Config
	log       *slog.Logger
	validator *validator
	txSize    *txSize
	advised   sync.Once // about transaction.version
}

var _ relay.Sink = (*Sink)(nil)

// New checks cfg and returns a Sink. It does not connect. Check does that. The error names every invalid
// field.
func New(cfg Config) (*Sink, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	client, err := newClient(cfg)
	if err != nil {
		return nil, err
	}
	client.Close()
	return &Sink{cfg: cfg, log: cfg.Logger, validator: newValidator(cfg), txSize: newTxSize(cfg)}, nil
}

// newClient makes a client without transactions.
func newClient(cfg Config, extra ...kgo.Opt) (*kgo.Client, error) {
	client, err := newAnyClient(cfg, extra...)
	if err != nil {
		return nil, err
	}
	if id, _ := client.OptValue(kgo.TransactionalID).(string); id != "" {
		client.Close()
		return nil, fmt.Errorf("relaykafka: Config.ExtraOptions has kgo.TransactionalID %q: leave it out, "+
			"exactly-once mode makes one from the source's id", id)
	}
	return client, nil
}

func newAnyClient(cfg Config, extra ...kgo.Opt) (*kgo.Client, error) {
	client, err := kgo.NewClient(append(cfg.clientOptions(), extra...)...)
	if err != nil {
		return nil, fmt.Errorf(
			"relaykafka: franz-go rejects the configuration: %w; see Config.Brokers and Config.ExtraOptions", err,
		)
	}
	if err := checkClient(client); err != nil {
		client.Close()
		return nil, err
	}
	return client, nil
}

// Check connects, authenticates, and asks for the cluster's brokers, first through
// Config.Brokers and then at an address that the cluster advertises. It ends with ctx at
// the latest. If ctx has no deadline and a broker accepts the connection but does not
// answer, Check takes 10 s. The error names the addresses and what to try.
func (s *Sink) Check(ctx context.Context) error {
	bound, cancel := context.WithCancel(ctx)
	defer cancel()
	client, err := s.checkingClient(bound)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Ping(ctx); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx) // rather than that a connection was closed
		}
		return fmt.Errorf("kafka at %s cannot be used: %w; %s", s.addresses(), err, s.hint(err))
	}
	return s.checkAdvertised(ctx, client)
}

// checkingClient makes a client whose connections are closed when ctx ends. This is needed because kgo
// ignores the context during the first requests of a connection.
func (s *Sink) checkingClient(ctx context.Context) (*kgo.Client, error) {
	plain, err := newClient(s.cfg)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	type dialer = func(context.Context, string, string) (net.Conn, error)
	dial, ok := plain.OptValue(kgo.Dialer).(dialer) // with TLS, if that is configured
	if !ok {
		return nil, errors.New("relaykafka: franz-go does not tell its dialer")
	}
	return newClient(s.cfg, kgo.RequestRetries(1), kgo.DialTLSConfig(nil),
		kgo.Dialer(func(dialing context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(dialing, network, address)
			if err == nil {
				context.AfterFunc(ctx, func() { _ = conn.Close() })
			}
			return conn, err
		}))
}

// checkAdvertised finds a misconfiguration that Ping does not find: a broker answers at the
// configured address, but advertises another address that cannot be reached.
func (s *Sink) checkAdvertised(ctx context.Context, client *kgo.Client) error {
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = []kmsg.MetadataRequestTopic{}
	var errs []error
	for _, broker := range client.DiscoveredBrokers() {
		_, err := broker.Request(ctx, request)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return fmt.Errorf("kafka at %s answers, but knows no brokers yet: wait until the cluster is up", s.addresses())
	}
	return fmt.Errorf("kafka at %s answers, but no broker can be reached at the address it advertises: %w; check "+
		"advertised.listeners",
		s.addresses(), errors.Join(errs...))
}

func (s *Sink) addresses() string { return strings.Join(s.cfg.Brokers, ", ") }

func (s *Sink) hint(err error) string {
	switch {
	case errors.Is(
		err, kerr.SaslAuthenticationFailed,
	), errors.Is(err, kerr.UnsupportedSaslMechanism), errors.Is(err, kerr.IllegalSaslState):
		return kafkarules.CheckLogin
	case errors.Is(err, context.DeadlineExceeded):
		return "it did not answer in time: check the address, the port, and whether the listener wants TLS or SASL"
	case len(s.cfg.SASL) > 0: // some brokers just close the connection
		return "check that the broker is up, the address and the port, the SASL mechanism, the user and the " +
			"password, and whether the listener wants TLS"
	default:
		return "check that the broker is up, the address and the port, and whether the listener wants TLS or SASL"
	}
}

// Open makes the producer of a session. It does not connect, so it does not fail while
// Kafka cannot be reached.
func (s *Sink) Open(_ context.Context, ack relay.Ack) (relay.Session, error) {
	session := newSession(s, ack)
	client, err := newClient(s.cfg, append(session.watcher.clientOptions(),
		kgo.ProducerOnDataLossDetected(session.lostByBroker),
		kgo.ProducerBatchMaxBytesFn(s.validator.batchMaxBytes))...)
	if err != nil {
		return nil, err
	}
	session.start(client)
	return session, nil
}

// lostByBroker is called by kgo when a broker has forgotten this producer. kgo goes on with a
// new epoch, and keeps the order.
func (s *session) lostByBroker(topic string, partition int32) {
	s.sink.log.Warn("kafka has lost what it knew of this producer: records of this partition may be there twice, or "+
		"be lost if the broker lost acknowledged data",
		"topic", topic, "partition", partition)
}

// jitter returns a random part of d.
func jitter(d time.Duration) time.Duration { return rand.N(d + 1) }
