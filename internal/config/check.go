package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/kafkatopic"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaywatermill/watermillamqp"
)

// CheckSources returns what prevents a command from opening the sources.
func (c *Config) CheckSources() error {
	p := &problems{}
	c.checkSources(p)
	return p.err()
}

// CheckInbox returns what prevents a command from opening the inbox, if one was given.
func (c *Config) CheckInbox() error {
	if c.Inbox.DatabaseURL == "" {
		return nil
	}
	name := c.origins["inbox.database_url"]
	d, err := dbopen.DialectOf(c.Inbox.DatabaseURL.Reveal())
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := (db.Names{Dialect: d, Prefix: c.Inbox.TablePrefix, Schema: c.Inbox.Schema}).Validate(); err != nil {
		return fmt.Errorf("the inbox of %s: %w", name, err)
	}
	return nil
}

// CheckRun returns what prevents `relay run` from starting.
func (c *Config) CheckRun() error {
	p := &problems{}
	c.checkSources(p)
	c.checkSink(p)
	c.checkDelivery(p)
	return p.err()
}

func (c *Config) checkSources(p *problems) {
	for i, s := range c.Sources {
		if s.DatabaseURL == "" {
			if s.urlName == "" { // else it could not be read, and has its error already
				p.add("no database: set %s", c.waysToSet(s))
			}
			continue
		}
		d, err := dbopen.DialectOf(s.DatabaseURL.Reveal())
		if err != nil {
			p.add("%s: %w", s.urlName, err)
			continue
		}
		names := db.Names{Dialect: d, Prefix: s.TablePrefix, Schema: s.Schema}
		if err := names.Validate(); err != nil {
			p.add("source %q: %w", s.Name, err)
		}
		for _, other := range c.Sources[:i] {
			if other.Name == s.Name {
				p.add("%s.name and %s.name are both %q: give each source a name of its own", other.key, s.key, s.Name)
			}
			if other.DatabaseURL == s.DatabaseURL && other.TablePrefix == s.TablePrefix && other.Schema == s.Schema {
				p.add(
					"%s and %s are the same table: give one of them another database, table_prefix or schema",
					other.key, s.key,
				)
			}
		}
	}
}

func (c *Config) waysToSet(s Source) string {
	if len(c.Sources) > 1 {
		return s.key + ".database_url"
	}
	return find("source.database_url").anyOf()
}

func (c *Config) checkSink(p *problems) {
	kafka, amqp := len(c.Sink.Kafka.Brokers) > 0, c.Sink.AMQP.URL != ""
	_, triedKafka := c.origins["sink.kafka.brokers"]
	_, triedAMQP := c.origins["sink.amqp.url"]
	switch {
	case kafka && amqp:
		p.add(
			"two sinks are named, %s and %s: keep one of them", c.origins["sink.kafka.brokers"],
			c.origins["sink.amqp.url"],
		)
	case !kafka && !amqp && !triedKafka && !triedAMQP:
		p.add(
			"no sink: set %s; for RabbitMQ, %s", find("sink.kafka.brokers").anyOf(), find("sink.amqp.url").anyOf(),
		)
	case amqp:
		c.checkAMQP(p)
	}
	if _, err := c.Sink.Kafka.TLSConfig(); err != nil {
		p.add("sink.kafka.tls: %w", err)
	}
	c.Sink.Kafka.SASL.check(p)
}

func (c *Config) checkAMQP(p *problems) {
	name := c.origins["sink.amqp.url"]
	if _, err := watermillamqp.Address(c.Sink.AMQP.URL.Reveal()); err != nil {
		p.add("%s: %w", name, err)
	}
	if c.Delivery.Mode == relay.ExactlyOnce {
		p.add(
			"%s: %s mode needs Kafka's transactions, and RabbitMQ has none: leave it out; consumers with an inbox "+
				"drop the copies",
			c.origins["delivery.mode"], relay.ExactlyOnce,
		)
	}
	for _, s := range settings() {
		if given, ok := c.origins[s.key]; ok && strings.HasPrefix(s.key, "sink.kafka.") {
			p.add("%s: it is for Kafka, and %s names RabbitMQ: leave one of them out", given, name)
		}
	}
}

func (s SASL) check(p *problems) {
	const name = "sink.kafka.sasl"
	if s.Mechanism == "" {
		if s.Username != "" || s.Password != "" {
			p.add("%s.mechanism is missing: set it to plain, scram-sha-256 or scram-sha-512", name)
		}
		return
	}
	if s.Username == "" || s.Password == "" {
		p.add(
			"%s: %s needs username and password: set POSTROOM_KAFKA_SASL_USERNAME and "+
				"POSTROOM_KAFKA_SASL_PASSWORD_FILE, or the keys under %s",
			name, s.Mechanism, name,
		)
	}
}

// notInKafka reports whether a pattern of Kafka's topics cannot have r.
func notInKafka(r rune) bool { return r != '*' && !kafkatopic.Allowed(r) }

func (c *Config) checkDelivery(p *problems) {
	for _, topic := range c.Delivery.Topics {
		if err := relay.CheckTopicPattern(topic); err != nil {
			p.add("%s: %w", c.origins["delivery.topics"], err)
		} else if c.Sink.AMQP.URL == "" && strings.ContainsFunc(topic, notInKafka) {
			p.add(
				"%s: %q: Kafka's topics have letters, digits, dots, underscores and hyphens; commas go between topics",
				c.origins["delivery.topics"], topic,
			)
		}
	}
	if name, given := c.origins["delivery.archive_for"]; given && !c.Delivery.Archive {
		p.add("%s: the archive is off: set %s too, or leave it out", name, find("delivery.archive").anyOf())
	}
	if c.adminListen != "" {
		p.add(
			"%s: the admin server is not in this version: leave it out; `relay status` tells the state",
			c.origins["admin.listen"],
		)
	}
}

// TLSConfig returns the client's TLS settings, nil when TLS is off. Certificates of
// brokers are always checked.
func (k Kafka) TLSConfig() (*tls.Config, error) {
	t := k.TLS
	if !t.Enabled {
		if t.CAFile != "" || t.CertFile != "" || t.KeyFile != "" {
			return nil, errors.New("files are named and TLS is off: set enabled to true (POSTROOM_KAFKA_TLS_ENABLED)")
		}
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", withoutOp(err))
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file: %s holds no certificate in PEM format", t.CAFile)
		}
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		return nil, errors.New("cert_file and key_file belong together: set both or neither")
	}
	if t.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("cert_file and key_file: %w", withoutOp(err))
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	return cfg, nil
}
