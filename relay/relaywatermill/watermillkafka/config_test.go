package watermillkafka_test

import (
	"errors"
	"testing"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/relay/relaywatermill/watermillkafka"
)

func TestAWrongConfigurationNamesTheField(t *testing.T) {
	ok := []string{"127.0.0.1:1"}
	configure := func(change func(*sarama.Config)) watermillkafka.Config {
		return watermillkafka.Config{Brokers: ok, Configure: func(c *sarama.Config) error { change(c); return nil }}
	}
	for _, wrong := range []struct {
		name string
		cfg  watermillkafka.Config
		says string
	}{
		{"no brokers", watermillkafka.Config{}, "Config.Brokers"},
		{"no port", watermillkafka.Config{Brokers: []string{"host"}}, "Config.Brokers"},
		{"a list in one string", watermillkafka.Config{Brokers: []string{"a:1,b:2"}}, "Config.Brokers"},
		{"tiny messages", watermillkafka.Config{Brokers: ok, MaxMessageBytes: 1}, "Config.MaxMessageBytes"},
		{"a negative patience", watermillkafka.Config{Brokers: ok, UnknownTopicAfter: -1}, "Config.UnknownTopicAfter"},
		{
			"fewer acks", configure(func(c *sarama.Config) { c.Producer.RequiredAcks = sarama.WaitForLocal }),
			"RequiredAcks",
		},
		{"no idempotence", configure(func(c *sarama.Config) { c.Producer.Idempotent = false }), "Idempotent"},
		{"many requests at a time", configure(func(c *sarama.Config) { c.Net.MaxOpenRequests = 5 }), "MaxOpenRequests"},
		{"what sarama rejects", configure(func(c *sarama.Config) { c.Producer.Timeout = -1 }), "sarama rejects"},
		{"a Configure that fails", watermillkafka.Config{
			Brokers: ok, Configure: func(*sarama.Config) error { return errors.New("no password") },
		}, "no password"},
	} {
		t.Run(wrong.name, func(t *testing.T) {
			_, err := watermillkafka.New(wrong.cfg)
			require.ErrorContains(t, err, wrong.says)
		})
	}
}
