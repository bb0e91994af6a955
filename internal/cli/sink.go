package cli

import (
	"log/slog"
	"strings"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
)

// sink is a relay's sink with its address, for the log.
type sink struct {
	relay.Sink
	address string // holds no secret
	close   func()
}

func newSink(c config.Sink, log *slog.Logger) (*sink, error) {
	return newKafkaSink(c.Kafka, log)
}

func newKafkaSink(c config.Kafka, log *slog.Logger) (*sink, error) {
	tls, err := c.TLSConfig()
	if err != nil {
		return nil, err
	}
	s, err := relaykafka.New(relaykafka.Config{
		Brokers:      c.Brokers,
		TLS:          tls,
		SASL:         mechanisms(c.SASL),
		CreateTopics: c.CreateTopics,
		Logger:       log,

		BatchMaxBytes: c.MaxMessageBytes,
	})
	if err != nil {
		return nil, err
	}
	return &sink{Sink: s, address: "kafka at " + strings.Join(c.Brokers, ","), close: func() {}}, nil
}

func mechanisms(c config.SASL) []sasl.Mechanism {
	user, password := c.Username, c.Password.Reveal()
	switch c.Mechanism {
	case "plain":
		return []sasl.Mechanism{plain.Auth{User: user, Pass: password}.AsMechanism()}
	case "scram-sha-256":
		return []sasl.Mechanism{scram.Auth{User: user, Pass: password}.AsSha256Mechanism()}
	case "scram-sha-512":
		return []sasl.Mechanism{scram.Auth{User: user, Pass: password}.AsSha512Mechanism()}
	}
	return nil
}
