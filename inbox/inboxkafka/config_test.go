package inboxkafka_test

import (
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
)

func valid(t *testing.T) inboxkafka.Config {
	t.Helper()
	ib, err := inbox.New(inbox.SQLite, "billing")
	require.NoError(t, err)
	return inboxkafka.Config{Inbox: ib, DB: new(sql.DB), Brokers: []string{"localhost:1"}, Group: "g",
		Topics: []string{"orders"}}
}

func TestMisuseIsRefusedWithTheReason(t *testing.T) {
	cases := []struct {
		name   string
		change func(*inboxkafka.Config)
		reason string
	}{
		{"no inbox", func(c *inboxkafka.Config) { c.Inbox = nil }, "Inbox is nil"},
		{"no database", func(c *inboxkafka.Config) { c.DB = nil }, "DB is nil"},
		{"no brokers", func(c *inboxkafka.Config) { c.Brokers = nil }, "Brokers"},
		{"no group", func(c *inboxkafka.Config) { c.Group = "" }, "Group"},
		{"no topics", func(c *inboxkafka.Config) { c.Topics = nil }, "Topics"},
		{"an unknown mode", func(c *inboxkafka.Config) { c.Mode = "bulk" }, `Mode "bulk"`},
		{"lanes over one offset", func(c *inboxkafka.Config) {
			c.Mode, c.KeyConcurrency = inboxkafka.OffsetsInDatabase, 2
		}, "pass a message that is not handled yet"},
		{"exactly-once topics that are not consumed", func(c *inboxkafka.Config) {
			c.Mode, c.ExactlyOnceTopics = inboxkafka.OffsetsInDatabase, []string{"payments"}
		}, `"payments", which is not in Topics`},
		{"exactly-once topics in another mode", func(c *inboxkafka.Config) { c.ExactlyOnceTopics = []string{"orders"} },
			"ids of messages"},
		{"a batch that the inbox does not take", func(c *inboxkafka.Config) { c.MaxBatch = inbox.MaxBatch + 1 },
			"MaxBatch"},
		{"an unknown policy", func(c *inboxkafka.Config) { c.OnUndecodable = "skip" }, "OnUndecodable"},
		{"an unknown reset", func(c *inboxkafka.Config) { c.ResetOffset = "newest" }, "ResetOffset"},
	}
	_, err := inboxkafka.New(valid(t))
	require.NoError(t, err)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			cfg := valid(t)
			c.change(&cfg)
			_, err := inboxkafka.New(cfg)
			require.ErrorContains(t, err, c.reason)
		})
	}
	_, err = inboxkafka.New(inboxkafka.Config{})
	require.ErrorContains(t, err, "Inbox is nil")
	require.ErrorContains(t, err, "Topics is empty", "all mistakes at once")
}
