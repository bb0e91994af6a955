package relaykafka_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
)

// openValidator opens a session of a sink.
func openValidator(t *testing.T, cfg relaykafka.Config) (relay.Validator, *answers) {
	t.Helper()
	session, got := open(t, cfg)
	return session.(relay.Validator), got
}

// eventually waits until holds returns true.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	require.Eventually(t, holds, patience, 5*time.Millisecond, what)
}

func TestTheValidatorKnowsWhatNoTopicTakes(t *testing.T) {
	cluster := fakeKafka(t, kfake.SeedTopics(1, "orders"))
	validator, _ := openValidator(t, relaykafka.Config{Brokers: cluster.ListenAddrs(), BatchMaxBytes: 10_000})
	withHeaders := func(text string) *relay.Record {
		r := record(1, "orders", "k", nil)
		r.Headers = []byte(text)
		return r
	}
	for name, test := range map[string]struct {
		record *relay.Record
		says   string // empty: not rejected
	}{
		"a plain record":            {record(1, "orders", "k", []byte("p")), ""},
		"a tombstone":               {record(1, "orders", "", nil), ""},
		"a topic never seen":        {record(1, "who-knows", "k", nil), ""},
		"headers":                   {withHeaders(`{"a":"b"}`), ""},
		"headers with spaces":       {withHeaders(" {\"a\":\"b\"}\n"), ""},
		"headers that are a list":   {withHeaders(`["a"]`), "not a JSON object"},
		"headers that are a string": {withHeaders(`"{}"`), "not a JSON object"},
		"a payload that is large":   {record(1, "orders", "k", make([]byte, 10_000)), "BatchMaxBytes"},
		"headers that are large":    {withHeaders(`{"a":"` + strings.Repeat("y", 10_000) + `"}`), "BatchMaxBytes"},
		"large text, small headers": {withHeaders(`{"a":"` + strings.Repeat(`\u0041`, 2_000) + `"}`), ""},
		"a name with a slash":       {record(1, "what/name", "k", nil), "names are"},
		"a name that is too long":   {record(1, strings.Repeat("x", 250), "k", nil), "names are"},
		"a name that is a folder":   {record(1, "..", "k", nil), "names are"},
	} {
		t.Run(name, func(t *testing.T) {
			err := validator.Validate(test.record)
			if test.says == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, test.says)
				require.NotContains(t, err.Error(), "yyyy", "payloads and headers stay out of errors")
			}
		})
	}
}

// The size that the validator computes is exactly the size that a broker compares with max.message.bytes.
func TestTheValidatorsSizesAreTheBrokers(t *testing.T) {
	const limit = 2_000
	topic := dbtest.Topic(t, 4)
	brokers := realBrokers(t)
	setLimit(t, brokers, topic, "2000")
	validator, got := openValidator(t, relaykafka.Config{Brokers: brokers})
	known := record(1, topic, "k", make([]byte, limit+1))
	eventually(t, "the limit is known", func() bool { return validator.Validate(known) != nil })

	for name, make := range map[string]func(payload int) *relay.Record{
		"with a key": func(n int) *relay.Record { return record(10, topic, "key", make([]byte, n)) },
		"keyless":    func(n int) *relay.Record { return record(11, topic, "", make([]byte, n)) },
		"with headers": func(n int) *relay.Record {
			r := record(12, topic, strings.Repeat("k", 100), make([]byte, n))
			r.Headers = []byte(`{"a":"b","long":"` + strings.Repeat("ü", 100) + `","escaped":"\u0041"}`)
			return r
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := limit
			for validator.Validate(make(n)) != nil {
				n--
			}
			fits, large := make(n), make(n+1)
			session := validator
			session.Deliver(t.Context(), []*relay.Record{fits})
			require.NoError(t, got.wait(t, fits)[0], "what is not refused fits")
			require.ErrorIs(t, produceAlone(t, brokers, large), kerr.MessageTooLarge, "what is refused does not")
		})
	}
}

func setLimit(t *testing.T, brokers []string, topic, bytes string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	require.NoError(t, err)
	defer client.Close()
	admin := kadm.NewClient(client)
	_, err = admin.AlterTopicConfigs(
		t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &bytes}}, topic,
	)
	require.NoError(t, err)
	eventually(t, "the limit is set", func() bool {
		topics, err := admin.DescribeTopicConfigs(t.Context(), topic)
		require.NoError(t, err)
		for _, setting := range topics[0].Configs {
			if setting.Key == "max.message.bytes" {
				return setting.MaybeValue() == bytes
			}
		}
		return false
	})
}

// produceAlone sends a record without the validator.
func produceAlone(t *testing.T, brokers []string, r *relay.Record) error {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ProducerBatchCompression(kgo.NoCompression()))
	require.NoError(t, err)
	defer client.Close()
	wire := &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Payload}
	headers, err := r.AppendWireHeaders(nil)
	require.NoError(t, err)
	for _, h := range headers {
		wire.Headers = append(wire.Headers, kgo.RecordHeader{Key: h.Name, Value: []byte(h.Value)})
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return client.ProduceSync(ctx, wire).FirstErr()
}

// A batch of records that fit one by one must not be rejected as a whole.
func TestBatchesForANarrowTopicAreNarrow(t *testing.T) {
	cluster := fakeKafka(t)
	require.NoError(t, cluster.CreateTopic("narrow", 1, map[string]string{"max.message.bytes": "1000"}))
	session, got := open(t, relaykafka.Config{Brokers: cluster.ListenAddrs()})
	refused := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "narrow", Observe: true, Count: -1})
	var records []*relay.Record
	for id := range int64(100) {
		records = append(records, record(id, "narrow", "k", make([]byte, 300)))
	}
	session.Deliver(t.Context(), records)
	for _, err := range got.wait(t, records...) {
		require.NoError(t, err)
	}
	require.Greater(t, refused.Hits(), 10, "they did not fit into one batch")
	require.Len(t, consume(t, "narrow", cluster.ListenAddrs()...), 100)
}

func TestALimitThatIsRaisedTakesEffectWithoutARestart(t *testing.T) {
	cluster := fakeKafka(t)
	require.NoError(t, cluster.CreateTopic("narrow", 1, map[string]string{"max.message.bytes": "1000"}))
	validator, got := openValidator(
		t, relaykafka.Config{Brokers: cluster.ListenAddrs(), UnknownTopicAfter: 100 * time.Millisecond},
	)
	large := record(1, "narrow", "k", make([]byte, 2_000))
	eventually(t, "the limit is known", func() bool { return validator.Validate(large) != nil })
	require.ErrorContains(t, validator.Validate(large), "raise its max.message.bytes")
	setLimit(t, cluster.ListenAddrs(), "narrow", "3000")
	eventually(t, "the new limit is known", func() bool { return validator.Validate(large) == nil })
	validator.Deliver(t.Context(), []*relay.Record{large})
	require.NoError(t, got.wait(t, large)[0])
}

// If the user may not read the limits, the broker decides, and the log says once which right to grant.
func TestWithoutDescribeConfigsTheBrokerValidates(t *testing.T) {
	cluster := fakeKafka(t, kfake.SeedTopics(1, "orders", "others"))
	setLimit(t, cluster.ListenAddrs(), "orders", "1000")
	cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Err: kerr.TopicAuthorizationFailed, Count: -1})
	log := newJournal()
	validator, got := openValidator(t, relaykafka.Config{Brokers: cluster.ListenAddrs(), Logger: slog.New(log)})
	small, other := record(1, "orders", "k", nil), record(2, "others", "k", nil)
	validator.Deliver(t.Context(), []*relay.Record{small, other})
	for _, err := range got.wait(t, small, other) {
		require.NoError(t, err)
	}
	large := record(3, "orders", "k", make([]byte, 2_000))
	require.NoError(t, validator.Validate(large))
	validator.Deliver(t.Context(), []*relay.Record{large})
	err := got.wait(t, large)[0]
	require.ErrorIs(t, err, relay.ErrRejected)
	require.ErrorIs(t, err, kerr.MessageTooLarge)
	require.Len(t, log.with("DescribeConfigs"), 1)
}

// Hazard compacted-topic.
func TestACompactedTopicIsWarnedOfOnce(t *testing.T) {
	cluster := fakeKafka(t)
	require.NoError(t, cluster.CreateTopic("state", 1, map[string]string{"cleanup.policy": "compact"}))
	log := newJournal()
	sink := newSink(t, relaykafka.Config{Brokers: cluster.ListenAddrs(), Logger: slog.New(log)})
	for id := range int64(2) {
		got := newAnswers()
		session, err := sink.Open(t.Context(), got.ack)
		require.NoError(t, err)
		r := record(id, "state", "k", nil)
		session.Deliver(t.Context(), []*relay.Record{r})
		require.NoError(t, got.wait(t, r)[0])
		session.Close()
	}
	lines := log.with("compacted")
	require.Len(t, lines, 1)
	require.Contains(t, lines[0], "topic=state")
	require.Contains(t, lines[0], "exactly-once")
}

// Otherwise a broker would reject the batch, and end the session, once for each such event.
func TestTheValidatorKnowsThatACompactedTopicWantsKeys(t *testing.T) {
	cluster := fakeKafka(t)
	require.NoError(t, cluster.CreateTopic("state", 1, map[string]string{"cleanup.policy": "compact,delete"}))
	produced := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "state", Observe: true, Count: -1})
	for _, mode := range []string{"at least once", "exactly once"} {
		t.Run(mode, func(t *testing.T) {
			sink := newSink(t, relaykafka.Config{Brokers: cluster.ListenAddrs()})
			got := newAnswers()
			open := func() (relay.Session, error) { return sink.Open(t.Context(), got.ack) }
			if mode == "exactly once" {
				open = func() (relay.Session, error) {
					return sink.OpenTransactional(
						t.Context(), relay.Identity{Source: "default", ID: uuid.New()}, nil, got.ack,
					)
				}
			}
			session, err := open()
			require.NoError(t, err)
			defer session.Close()
			validator := session.(relay.Validator)
			before := produced.Hits()
			keyless, keyed := record(1, "state", "", []byte("p")), record(2, "state", "k", []byte("p"))
			eventually(t, "the policy is known", func() bool { return validator.Validate(keyless) != nil })
			require.NoError(t, validator.Validate(keyed))
			validator.Deliver(t.Context(), []*relay.Record{keyless})
			err = got.wait(t, keyless)[0]
			require.ErrorIs(t, err, relay.ErrRejected)
			require.ErrorContains(t, err, "topic state is compacted, and the event has no key")
			require.Equal(t, before, produced.Hits(), "requests to the broker")
		})
	}
}

func TestATopicThatIsNotCompactedAnyMoreTakesKeylessEventsAgain(t *testing.T) {
	brokers := realBrokers(t)
	topic := dbtest.Topic(t, 1)
	set := func(policy string) {
		client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
		require.NoError(t, err)
		defer client.Close()
		change := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "cleanup.policy", Value: &policy}}
		_, err = kadm.NewClient(client).AlterTopicConfigs(t.Context(), change, topic)
		require.NoError(t, err)
	}
	set("compact")
	validator, _ := openValidator(t, relaykafka.Config{Brokers: brokers})
	keyless := record(1, topic, "", nil)
	eventually(t, "the policy is known", func() bool { return validator.Validate(keyless) != nil })
	set("delete")
	eventually(t, "and that it has changed", func() bool { return validator.Validate(keyless) == nil })
}

// A Sink remembers that a topic is denied. It checks the topic again, and accepts its records once the topic
// exists.
func TestADeniedTopicTakesRecordsOnceItIsCreated(t *testing.T) {
	cluster := fakeKafka(t, kfake.SeedTopics(1, "orders"))
	log := newJournal()
	sink := newSink(t, relaykafka.Config{
		Brokers: cluster.ListenAddrs(), UnknownTopicAfter: 200 * time.Millisecond, Logger: slog.New(log),
	})
	turn := func() (relay.Validator, *answers) {
		got := newAnswers()
		session, err := sink.Open(t.Context(), got.ack)
		require.NoError(t, err)
		t.Cleanup(session.Close)
		return session.(relay.Validator), got
	}
	first, got := turn()
	r := record(1, "late", "k", nil)
	require.NoError(t, first.Validate(r), "nobody has looked yet")
	first.Deliver(t.Context(), []*relay.Record{r})
	require.ErrorIs(t, got.wait(t, r)[0], relay.ErrRejected)
	first.Close()

	second, got := turn()
	require.ErrorContains(t, second.Validate(r), "topic late does not exist")
	require.NoError(t, second.Validate(record(2, "orders", "k", nil)), "another topic")
	require.NoError(t, cluster.CreateTopic("late", 1, nil))
	eventually(t, "the topic is found", func() bool { return second.Validate(r) == nil })
	again := record(3, "late", "k", nil)
	second.Deliver(t.Context(), []*relay.Record{again})
	require.NoError(t, got.wait(t, again)[0])
	require.Len(t, log.with("are rejected"), 1)
	require.Len(t, log.with("takes records again"), 1)
}

func TestADeniedTopicIsAllowedOnceTheUserMayWrite(t *testing.T) {
	allow := func(topic string, operation kmsg.ACLOperation) kfake.ACL {
		return kfake.ACL{
			Resource: kmsg.ACLResourceTypeTopic, Name: topic, Pattern: kmsg.ACLResourcePatternTypeLiteral,
			Operation: operation, Allow: true,
		}
	}
	cluster := fakeKafka(t, kfake.EnableSASL(), kfake.EnableACLs(), kfake.SeedTopics(1, "orders", "secret"),
		kfake.Superuser("PLAIN", "admin", "admin"),
		kfake.User(
			"PLAIN", "relay", "relay", allow("orders", kmsg.ACLOperationWrite),
			allow("secret", kmsg.ACLOperationDescribe),
		))
	validator, got := openValidator(t, relaykafka.Config{
		Brokers: cluster.ListenAddrs(), UnknownTopicAfter: 100 * time.Millisecond,
		SASL: []sasl.Mechanism{plain.Auth{User: "relay", Pass: "relay"}.AsMechanism()},
	})
	fine, secret := record(1, "orders", "k", nil), record(2, "secret", "k", nil)
	validator.Deliver(t.Context(), []*relay.Record{fine})
	require.NoError(t, got.wait(t, fine)[0])
	validator.Deliver(t.Context(), []*relay.Record{secret})
	err := got.wait(t, secret)[0]
	require.ErrorIs(t, err, relay.ErrRejected)
	require.ErrorIs(t, err, kerr.TopicAuthorizationFailed)
	require.ErrorIs(t, validator.Validate(secret), kerr.TopicAuthorizationFailed)
	require.ErrorContains(t, validator.Validate(secret), "Write and Describe")
	require.NoError(t, validator.Validate(fine), "another topic")

	admin, err := kgo.NewClient(
		kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.SASL(plain.Auth{User: "admin", Pass: "admin"}.AsMechanism()),
	)
	require.NoError(t, err)
	defer admin.Close()
	created, err := kadm.NewClient(admin).CreateACLs(t.Context(), kadm.NewACLs().Topics("secret").
		ResourcePatternType(kadm.ACLPatternLiteral).Operations(kadm.OpWrite).Allow("User:relay").AllowHosts())
	require.NoError(t, err)
	require.NoError(t, created[0].Err)
	eventually(t, "the right is seen", func() bool { return validator.Validate(secret) == nil })
}
