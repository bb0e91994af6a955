package dbtest

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Kafka returns the addresses of the test broker: host:port[,host:port…].
func Kafka(t testing.TB) string {
	t.Helper()
	return env(t, envKafka)
}

// Topic creates a topic on the test broker, deletes it when the test ends, and
// returns its name.
func Topic(t testing.TB, partitions int) string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(Kafka(t), ",")...))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	admin := kadm.NewClient(client)
	name := strings.ReplaceAll(freshName(t), "_", "-")
	_, err = admin.CreateTopic(t.Context(), int32(partitions), 1, nil, name)
	require.NoError(t, err)
	atEnd(t, func(ctx context.Context) {
		if _, err := admin.DeleteTopic(ctx, name); err != nil {
			t.Errorf("delete the test's topic %s: %v", name, err)
		}
	})
	return name
}
