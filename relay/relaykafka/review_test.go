package relaykafka_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
)

// Hazard answer-before-retry.
// A topic is created and its parked events are sent again at once, before the validator checks denied topics
// by itself.
func TestAReviewKnowsATopicThatWasJustCreated(t *testing.T) {
	for _, mode := range []relay.Mode{relay.AtLeastOnce, relay.ExactlyOnce} {
		t.Run(string(mode), func(t *testing.T) {
			cluster := fakeKafka(t, kfake.SeedTopics(1, "orders"))
			sink := newSink(
				t, relaykafka.Config{Brokers: cluster.ListenAddrs(), UnknownTopicAfter: 200 * time.Millisecond},
			)
			got := newAnswers()
			var session relay.Session
			var err error
			if mode == relay.ExactlyOnce {
				session, err = sink.OpenTransactional(
					t.Context(), relay.Identity{Source: "default", ID: uuid.New()}, nil, got.ack,
				)
			} else {
				session, err = sink.Open(t.Context(), got.ack)
			}
			require.NoError(t, err)
			defer session.Close()
			validator := session.(relay.Revalidator)
			var refused []*relay.Record
			for i := range 1000 {
				refused = append(refused, record(int64(i+1), fmt.Sprint("late", i), "k", nil))
			}
			validator.(relay.Lanes).Learn(t.Context(), refused)
			eventually(t, "they are refused", func() bool {
				for _, r := range refused {
					if validator.Validate(r) == nil {
						return false
					}
				}
				return true
			})
			asked := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Observe: true, Count: -1})
			for _, topic := range []string{"late0", "late999"} {
				require.NoError(t, cluster.CreateTopic(topic, 1, nil))
			}
			validator.Revalidate(t.Context(), refused)
			require.NoError(t, validator.Validate(refused[0]))
			require.NoError(t, validator.Validate(refused[999]))
			require.ErrorContains(t, validator.Validate(refused[1]), "topic late1 does not exist")
			require.Less(t, asked.Hits(), 50, "requests")
		})
	}
}
