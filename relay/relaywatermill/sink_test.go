package relaywatermill_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaytest"
	"github.com/postroom/postroom/relay/relaywatermill"
)

func TestSinkKeepsTheRelaysPromises(t *testing.T) {
	for _, lanes := range []int{1, 3, 512} {
		t.Run(fmt.Sprintf("%d lanes", lanes), func(t *testing.T) {
			relaytest.Sink(t, func(t *testing.T) relaytest.Target {
				fake := newFake()
				return relaytest.Target{
					Sink:      newSink(t, fake, relaywatermill.Options{Lanes: lanes, Buffer: 500, Rejected: rejected}),
					Topics:    [2]string{"one", "two"},
					Published: fake.published,
					Refuse:    fake.refuse,
					Outage:    fake.outage,
					Rejects:   true,
					Buffer:    500,
					KeepsNull: true,
				}
			})
		})
	}
}

func newSink(t *testing.T, publisher message.Publisher, options relaywatermill.Options) *relaywatermill.Sink {
	t.Helper()
	sink, err := relaywatermill.New(publisher, options)
	require.NoError(t, err)
	return sink
}

func record(id int64, key string) *relay.Record {
	r := &relay.Record{ID: id, EventID: uuid.New(), Topic: "orders", Payload: []byte("p"), CreatedAt: time.Now()}
	if key != "" {
		r.Key = []byte(key)
	}
	return r
}

// Lanes are for publishers that wait for their broker at every message: eight messages must be in progress at
// the same time.
func TestRecordsOfDifferentKeysArePublishedInParallel(t *testing.T) {
	for name, key := range map[string]func(int) string{
		"different keys": func(i int) string { return fmt.Sprint("key-", i) },
		"no keys":        func(int) string { return "" },
	} {
		t.Run(name, func(t *testing.T) {
			var arrived atomic.Int64
			together := make(chan struct{})
			fake := newFake()
			fake.before = func(string, *message.Message) error {
				if arrived.Add(1) == 8 {
					close(together)
				}
				<-together
				return nil
			}
			sink := newSink(t, fake, relaywatermill.Options{})
			ack, answers := collect(64) // some of 64 keys share a lane, but not all but seven
			session, err := sink.Open(t.Context(), ack)
			require.NoError(t, err)
			var records []*relay.Record
			for i := range 64 {
				records = append(records, record(int64(i), key(i)))
			}
			session.Deliver(t.Context(), records)
			for range 64 {
				require.NoError(t, (<-answers).err)
			}
			session.Close()
		})
	}
}

// Publish cannot be aborted, so Close waits: nothing may be published after Close.
func TestCloseWaitsForAPublishThatIsUnderWay(t *testing.T) {
	fake := newFake()
	fake.blind = true
	fake.entered = make(chan struct{}, 1)
	restore := fake.outage(t)
	sink := newSink(t, fake, relaywatermill.Options{})
	ack, answers := collect(2)
	session, err := sink.Open(t.Context(), ack)
	require.NoError(t, err)
	session.Deliver(t.Context(), []*relay.Record{record(1, "k"), record(2, "k")})
	<-fake.entered
	closed := make(chan struct{})
	go func() {
		session.Close()
		close(closed)
	}()
	select {
	case <-closed:
		require.Fail(t, "Close returned while a message was being published")
	case <-time.After(50 * time.Millisecond): // long enough for a Close that does not wait
	}
	restore()
	<-closed
	require.ErrorIs(t, (<-answers).err, relay.ErrGivenUp)
	require.ErrorIs(t, (<-answers).err, relay.ErrGivenUp)
	require.Empty(t, fake.published(t, "orders"))
}

// A stop ends a Deliver that waits for room. The records that it had accepted are published in the time that
// the relay gives them. If they were given up, each stop under load would leave a lease behind and end with
// relay.ErrNotDrained.
func TestAStoppedDeliverTakesNoMoreAndPublishesWhatItTook(t *testing.T) {
	entered, release := make(chan struct{}, 8), make(chan struct{})
	fake := newFake()
	fake.before = func(string, *message.Message) error {
		entered <- struct{}{}
		<-release
		return nil
	}
	ack, answers := collect(9)
	session, err := newSink(t, fake, relaywatermill.Options{Buffer: 3}).Open(t.Context(), ack)
	require.NoError(t, err)
	var records []*relay.Record
	for i := range 8 {
		records = append(records, record(int64(i), "k"))
	}
	ctx, cancel := context.WithCancel(t.Context())
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		session.Deliver(ctx, records)
	}()
	<-entered // it is of one key, so the other accepted records wait behind it
	cancel()
	<-returned
	late := record(8, "k")
	session.Deliver(t.Context(), []*relay.Record{late})
	got := make(map[*relay.Record]error)
	take := func(n int) {
		for range n {
			a := <-answers
			got[a.record] = a.err
		}
	}
	take(len(records) - 3 + 1)
	close(release)
	take(3)
	session.Close()
	for i, r := range records {
		if i < 3 {
			require.NoError(t, got[r], "row %d was taken", i)
		} else {
			require.ErrorIs(t, got[r], context.Canceled, "row %d was not taken", i)
		}
	}
	require.ErrorIs(t, got[late], relay.ErrGivenUp, "it must not overtake what was not taken")
	require.Len(t, fake.published(t, "orders"), 3)
}

func TestMessagesCarryTheEventAndItsKey(t *testing.T) {
	var got *message.Message
	fake := newFake()
	fake.before = func(_ string, msg *message.Message) error { got = msg; return nil }
	sink := newSink(t, fake, relaywatermill.Options{KeyMetadata: "partition_key"})
	ack, answers := collect(1)
	session, err := sink.Open(t.Context(), ack)
	require.NoError(t, err)
	defer session.Close()
	r := record(1, "k")
	r.Type = "order.placed"
	r.Headers = []byte(`{"tenant":"blue"}`)
	session.Deliver(t.Context(), []*relay.Record{r})
	require.NoError(t, (<-answers).err)
	require.Equal(t, r.EventID.String(), got.UUID)
	require.Equal(t, []byte("p"), []byte(got.Payload))
	require.Equal(t, message.Metadata{
		"name": "order.placed", "tenant": "blue", "partition_key": "k",
		"postroom_created_at": r.CreatedAt.UTC().Format("2006-01-02T15:04:05.000000Z07:00"),
	}, got.Metadata)
	key, ok := relaywatermill.KeyFromContext(got.Context())
	require.True(t, ok)
	require.Equal(t, []byte("k"), key)

	session.Deliver(t.Context(), []*relay.Record{record(2, "")})
	require.NoError(t, (<-answers).err)
	_, ok = relaywatermill.KeyFromContext(got.Context())
	require.False(t, ok)
	require.NotContains(t, got.Metadata, "partition_key")
}

func TestAnErrorIsAnOutageUnlessItIsSaidToBeARejection(t *testing.T) {
	for name, options := range map[string]relaywatermill.Options{
		"an outage":   {},
		"a rejection": {Rejected: rejected},
	} {
		t.Run(name, func(t *testing.T) {
			fake := newFake()
			fake.refuse(t, "orders")
			ack, answers := collect(1)
			session, err := newSink(t, fake, options).Open(t.Context(), ack)
			require.NoError(t, err)
			defer session.Close()
			session.Deliver(t.Context(), []*relay.Record{record(7, "k")})
			got := (<-answers).err
			require.ErrorIs(t, got, errRefused)
			require.ErrorContains(t, got, "row 7")
			require.ErrorContains(t, got, "orders")
			require.Equal(t, options.Rejected != nil, errors.Is(got, relay.ErrRejected))
		})
	}
}

func TestCheckAsksTheGivenFunctionAndExplains(t *testing.T) {
	require.NoError(t, newSink(t, newFake(), relaywatermill.Options{}).Check(t.Context()))
	sink := newSink(t, newFake(), relaywatermill.Options{Check: func(context.Context) error { return errAway }})
	err := sink.Check(t.Context())
	require.ErrorIs(t, err, errAway)
	require.ErrorContains(t, err, "address")
}

func TestAWrongOptionIsNamed(t *testing.T) {
	_, err := relaywatermill.New(nil, relaywatermill.Options{})
	require.ErrorContains(t, err, "publisher is nil")
	_, err = relaywatermill.New(newFake(), relaywatermill.Options{Lanes: -1, Buffer: -1})
	require.ErrorContains(t, err, "Options.Lanes")
	require.ErrorContains(t, err, "Options.Buffer")
}

func TestAPublisherOfWatermillsOwnWorks(t *testing.T) {
	channel := gochannel.NewGoChannel(gochannel.Config{OutputChannelBuffer: 10}, watermill.NopLogger{})
	defer channel.Close()
	messages, err := channel.Subscribe(t.Context(), "orders")
	require.NoError(t, err)
	ack, answers := collect(1)
	session, err := newSink(t, channel, relaywatermill.Options{}).Open(t.Context(), ack)
	require.NoError(t, err)
	defer session.Close()
	r := record(1, "k")
	session.Deliver(t.Context(), []*relay.Record{r})
	require.NoError(t, (<-answers).err)
	msg := <-messages
	msg.Ack()
	require.Equal(t, r.EventID.String(), msg.UUID)
}

func FuzzOneKeyHasOneLane(f *testing.F) {
	f.Add("orders", []byte("k"), 3)
	f.Fuzz(func(t *testing.T, topic string, key []byte, lanes int) {
		lanes = 1 + int(uint(lanes)%1000)
		fake := newFake()
		ack, answers := collect(20)
		session, err := newSink(t, fake, relaywatermill.Options{Lanes: lanes}).Open(t.Context(), ack)
		require.NoError(t, err)
		defer session.Close()
		var records []*relay.Record
		for i := range 20 {
			r := record(int64(i), "")
			r.Topic, r.Key = topic, append([]byte{}, key...)
			records = append(records, r)
		}
		session.Deliver(t.Context(), records)
		for range records {
			require.NoError(t, (<-answers).err)
		}
		for i, m := range fake.published(t, topic) {
			require.Equal(t, records[i].EventID.String(), m.ID())
		}
	})
}
