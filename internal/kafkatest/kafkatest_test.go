//go:build unix

package kafkatest_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/internal/kafkatest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func timed(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), kafkatest.StartTimeout)
	t.Cleanup(cancel)
	return ctx
}

func produce(ctx context.Context, t *testing.T, topic string, opts ...kgo.Opt) error {
	t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.UnknownTopicRetries(-1))...)
	require.NoError(t, err)
	defer client.Close()
	return client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("v")}).FirstErr()
}

func TestAClusterSurvivesTheDeathOfItsNodes(t *testing.T) {
	c := kafkatest.Start(t, kafkatest.Options{Nodes: 2})
	ctx := timed(t)
	require.NoError(t, c.CreateTopic(ctx, "lonely", [][]int32{{2}}, nil))
	require.NoError(t, c.CreateTopic(ctx, "kept", [][]int32{{2, 1}}, map[string]string{"min.insync.replicas": "2"}))
	require.NoError(t, c.AwaitInSync(ctx, "kept", 2))
	plain := kgo.SeedBrokers(c.Brokers()...)
	require.NoError(t, produce(ctx, t, "lonely", plain))

	victim := c.Node(2)
	require.NoError(t, victim.Kill())
	require.Zero(t, victim.PID())
	require.NoError(t, victim.Kill(), "a second time")
	require.NoError(t, c.AwaitInSync(ctx, "kept", 1))
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	require.Error(t, produce(short, t, "lonely", plain), "its only replica is dead")

	require.NoError(t, victim.Start(ctx))
	require.NotZero(t, victim.PID())
	require.NoError(t, c.AwaitLeaders(ctx, "lonely"))
	require.NoError(t, c.AwaitInSync(ctx, "kept", 2))
	require.NoError(t, produce(ctx, t, "lonely", plain))
	admin, err := c.Admin()
	require.NoError(t, err)
	ends, err := admin.ListEndOffsets(ctx, "lonely")
	require.NoError(t, err)
	end, _ := ends.Lookup("lonely", 0)
	require.EqualValues(t, 2, end.Offset, "what was acknowledged before the kill is there")

	require.NoError(t, c.KillAll())
	require.NoError(t, c.StartAll(ctx))
	require.NoError(t, produce(ctx, t, "lonely", plain))
}

func TestASecureListenerAsksForUsersAndTheirRights(t *testing.T) {
	c := kafkatest.Start(t, kafkatest.Options{Secure: true})
	ctx := timed(t)
	require.NoError(t, c.CreateTopic(ctx, "orders", [][]int32{{1}}, nil))
	require.NoError(t, c.SetUser(ctx, "relay", "secret"))
	come := func(password string) error {
		opts := []kgo.Opt{kgo.SeedBrokers(c.SecureBrokers()...), kgo.SASL(kafkatest.Credentials("relay", password))}
		client, err := kgo.NewClient(opts...)
		require.NoError(t, err)
		defer client.Close()
		if err := client.Ping(ctx); err != nil {
			return err
		}
		return produce(ctx, t, "orders", opts...)
	}
	require.ErrorIs(t, come("wrong"), kerr.SaslAuthenticationFailed)
	require.ErrorIs(t, come("secret"), kerr.TopicAuthorizationFailed)
	require.NoError(t, c.Allow(ctx, "relay", "orders", kadm.OpWrite, kadm.OpDescribe))
	require.NoError(t, come("secret"))
	require.NoError(t, c.Forbid(ctx, "relay", "orders", kadm.OpWrite, kadm.OpDescribe))
	require.ErrorIs(t, come("secret"), kerr.TopicAuthorizationFailed)
	require.NoError(t, c.DeleteUser(ctx, "relay"))
	require.ErrorIs(t, come("secret"), kerr.SaslAuthenticationFailed)

	require.NoError(t, c.DeleteTopic(ctx, "orders"))
	require.NoError(t, c.CreateTopic(ctx, "orders", [][]int32{{1}}, nil), "the name is free again")
}
