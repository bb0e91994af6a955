package inboxkafka

import (
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/inbox"
)

// With franz-go's default a resumed partition waits 5 s for the fetch of idle ones.
func TestAFetchWaitsBrieflyAtTheBrokerUnlessOptionsSayOtherwise(t *testing.T) {
	for name, c := range map[string]struct {
		options []kgo.Opt
		want    time.Duration
	}{
		"by default":          {nil, fetchWait},
		"as the options have": {[]kgo.Opt{kgo.FetchMaxWait(time.Second)}, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Brokers: []string{"127.0.0.1:1"}, Group: "g", Topics: []string{"t"},
				Options: c.options}.withDefaults()
			m := (&Consumer{cfg: cfg, log: cfg.Logger}).newMember(t.Context(), nil, nil)
			require.NoError(t, m.connect())
			defer m.client.CloseAllowingRebalance()
			defer m.cancel()
			require.Equal(t, c.want, m.client.OptValue(kgo.FetchMaxWait))
		})
	}
}

// unconnected is a member whose client has no broker.
func unconnected(t *testing.T, cfg Config) *member {
	t.Helper()
	cfg.Brokers, cfg.Group, cfg.Topics, cfg.Logger = []string{"127.0.0.1:1"}, "g", []string{"t"},
		slog.New(slog.DiscardHandler)
	m := (&Consumer{cfg: cfg.withDefaults(), log: slog.New(slog.DiscardHandler)}).newMember(t.Context(), nil, nil)
	require.NoError(t, m.connect())
	t.Cleanup(func() { m.cancel(); m.client.CloseAllowingRebalance() })
	return m
}

// Hazard rebalance-during-poll.
// Were a rebalance let in between a poll and the handing over of what it brought, records that were fetched
// for an earlier assignment would be taken for the start of the next one, and their offsets for done.
func TestWhatWasPolledIsOursUntilItIsHandedOver(t *testing.T) {
	require.Equal(t, true, unconnected(t, Config{}).client.OptValue(kgo.BlockRebalanceOnPoll))
}

// groupErrors gets a value for each failed attempt to join a group.
type groupErrors chan struct{}

func (g groupErrors) OnGroupManageError(error) { g <- struct{}{} }

// franz-go's Close ends with a poll. If that poll finds an error that nobody has polled, it blocks rebalances for ever.
// A goroutine that leaves the group, and gets a processor only then, would never end.
func TestNothingWaitsForARebalanceOfAClosedClient(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t"))
	require.NoError(t, err)
	defer kafka.Close()
	kafka.ControlKey(kmsg.JoinGroup.Int16(), func(request kmsg.Request) (kmsg.Response, error, bool) {
		kafka.KeepControl()
		response := request.ResponseKind().(*kmsg.JoinGroupResponse)
		response.ErrorCode = kerr.InconsistentGroupProtocol.Code
		return response, nil, true
	})
	failures := make(groupErrors, 10)
	cfg := Config{Brokers: kafka.ListenAddrs(), Group: "g", Topics: []string{"t"},
		Options: []kgo.Opt{kgo.WithHooks(failures)}, Logger: slog.New(slog.DiscardHandler)}.withDefaults()
	m := (&Consumer{cfg: cfg, log: cfg.Logger}).newMember(t.Context(), nil, nil)
	require.NoError(t, m.connect())
	defer m.cancel()
	for range 2 { // after the second failure, the first one can be polled
		<-failures
	}
	m.leave()
	//lint:ignore SA1012 with nil the client starts the goroutine that leaves, and returns
	_ = m.client.LeaveGroupContext(nil)
}

func TestWhatFranzGoDoesNotMendEndsRun(t *testing.T) {
	for name, c := range map[string]struct {
		reset Offset
		err   error
		says  string
	}{
		"lost records": {"", &kgo.ErrDataLoss{Topic: "t"},
			"set ResetOffset to say where to continue"},
		"lost records, with a place to go on": {Earliest, &kgo.ErrDataLoss{Topic: "t"}, ""},
		"a position outside the log":          {"", kerr.OffsetOutOfRange, "set ResetOffset to say where to continue"},
		"a batch that is too large to decompress": {Latest, &kgo.ErrDecompressTooLarge{},
			"kgo.MaxDecompressBatchBytes"},
		"a broker that does not answer":        {"", kerr.RequestTimedOut, ""},
		"a topic that is unknown for a moment": {"", kerr.UnknownTopicID, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := unconnected(t, Config{ResetOffset: c.reset})
			m.fetchFailed("t", 0, c.err)
			if c.says == "" {
				require.NoError(t, m.failure)
				require.NoError(t, m.ctx.Err())
				return
			}
			require.ErrorContains(t, m.failure, c.says)
			require.ErrorIs(t, m.failure, c.err)
			require.Error(t, m.ctx.Err())
		})
	}
}

func TestATopicIsGoneWhenItWasDeniedWithoutAPause(t *testing.T) {
	for name, c := range map[string]struct {
		pause func(m *member) // in the middle
		gone  bool
	}{
		"without a pause": {func(*member) {}, true},
		"with records":    {func(m *member) { m.dispatch(recordOf("t")) }, false},
		"with a pause, in which nobody wrote to it": {func(*member) { time.Sleep(6 * time.Second) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := (&Consumer{cfg: Config{}.withDefaults()}).newMember(t.Context(), nil, nil)
				defer m.cancel()
				for range 15 {
					require.False(t, m.topicGone("t"))
					time.Sleep(time.Second)
				}
				c.pause(m)
				for range 14 {
					require.False(t, m.topicGone("t"))
					time.Sleep(time.Second)
				}
				time.Sleep(2 * time.Second)
				require.Equal(t, c.gone, m.topicGone("t"))
			})
		})
	}
}

func recordOf(topic string) kgo.Fetches {
	return kgo.Fetches{{Topics: []kgo.FetchTopic{{Topic: topic,
		Partitions: []kgo.FetchPartition{{Records: []*kgo.Record{{}}}}}}}}
}

// A lane that stands still keeps the position, and the other lanes' messages above it pile up: done, but
// remembered.
func TestAPartitionIsPausedWhenTooMuchIsAboveItsPosition(t *testing.T) {
	m := unconnected(t, Config{KeyConcurrency: 2, MaxBatch: 1, Buffer: 1000})
	p := &partition{m: m, name: partitionName{"t", 0}, lanes: []*lane{{}, {}}}
	for _, l := range p.lanes {
		l.wake = sync.NewCond(&p.mu)
	}
	paused := func() bool { return len(m.client.PauseFetchPartitions(nil)["t"]) > 0 }
	p.add([]*kgo.Record{{Offset: 0}})
	for n := int64(1); !paused(); n++ {
		require.Less(t, n, int64(20_000))
		p.add([]*kgo.Record{{Offset: n}})
		p.lanes[0].queue, p.lanes[1].queue, p.records = nil, nil, 0
		p.finished([]waiting{{&kgo.Record{}, uint64(n)}}, nil, []inbox.Outcome{inbox.Applied})
	}
	require.Len(t, p.low.open, 16_000)
	p.finished([]waiting{{&kgo.Record{}, 0}}, nil, []inbox.Outcome{inbox.Applied})
	require.Empty(t, p.low.open)
	require.False(t, paused())
}
