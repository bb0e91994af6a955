// Package relays moves the events of all services from their outboxes to the brokers, in one process: a relay for each
// database to Kafka, and one more for each database of orders, whose second outbox has the mails for RabbitMQ.
//
// Two such processes may run. They share the outboxes, and when one dies, the other takes over its part.
package relays

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/rules"
	"github.com/postroom/postroom/migrations"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
	"github.com/postroom/postroom/relay/relaywatermill"
	"github.com/postroom/postroom/relay/relaywatermill/watermillamqp"
)

// MailPrefix is before the names of the tables of the second outbox of orders. A relay sends all events of an outbox to
// one broker, so that events for another broker need an outbox of their own.
const MailPrefix = "mail_"

// ArchiveFor is how long delivered events are kept in the databases.
const ArchiveFor = time.Hour

// Source is a database with an outbox.
type Source struct {
	Name  string // unique, for example orders-2
	URL   string
	Mails bool // there is a second outbox, with mails
}

// ParseSources reads sources from a text such as "stock=postgres://… orders-1+mails=postgres://…".
func ParseSources(text string) (sources []Source, err error) {
	for _, field := range strings.Fields(text) {
		name, url, found := strings.Cut(field, "=")
		name, mails := strings.CutSuffix(name, "+mails")
		if !found || name == "" || url == "" {
			// The text has passwords, and so it is not in the error.
			return nil, errors.New("sources: want NAME=URL or NAME+mails=URL, with spaces between them")
		}
		sources = append(sources, Source{Name: name, URL: url, Mails: mails})
	}
	return sources, nil
}

// Service relays the sources. Make it with New.
type Service struct {
	databases []*kit.DB
	relays    []*relay.Relay
	closeMail func() error
}

// Config says what is relayed, and where to.
type Config struct {
	Sources []Source
	Kafka   kit.Kafka
	Mails   kit.Mails
	Lease   time.Duration   // how long an owner may be silent; default: relay.Config.LeaseTTL's
	Faults  *Faults         // for the demonstration; nil: none
	Rules   *rules.Switches // for the demonstration; nil: all are on
	Logger  *slog.Logger
}

// New opens the sources. The caller calls Close.
func New(ctx context.Context, cfg Config) (_ *Service, err error) {
	s := &Service{closeMail: func() error { return nil }}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	kafka, err := relaykafka.New(relaykafka.Config{Brokers: cfg.Kafka.Brokers, Logger: cfg.Logger})
	if err != nil {
		return nil, err
	}
	mails, err := s.mailSink(cfg.Mails, cfg.Kafka.Topic(events.Mails))
	if err != nil {
		return nil, err
	}
	toKafka, toMails := withFaults(kafka, cfg.Faults, cfg.Rules), withFaults(mails, cfg.Faults, cfg.Rules)
	member := relay.NewMember() // this process, for all its relays: two processes then own about as many sources each
	for _, source := range cfg.Sources {
		db, err := kit.Open(ctx, source.URL)
		if err != nil {
			return nil, fmt.Errorf("source %s: %w", source.Name, err)
		}
		s.databases = append(s.databases, db)
		config := relay.Config{
			DB: db.SQL, Dialect: db.Dialect, Sink: toKafka, Source: source.Name, Member: member,
			LeaseTTL: cfg.Lease, Logger: cfg.Logger,
			// A relay that is stopped while a broker is away gives up after this time. The next one can begin when the
			// lease has expired, after 5 s. Longer leases, for SQLite, are for transactions that last for seconds.
			DrainTimeout: 2 * time.Second,
			// Delivered events are kept for a while, so that the page can show where each one went. They have names and
			// addresses, and an erased customer must not stay here for long.
			Archive: true, ArchiveFor: ArchiveFor,
		}
		if err := s.add(config); err != nil {
			return nil, err
		}
		if !source.Mails {
			continue
		}
		config.Sink, config.Source, config.TablePrefix = toMails, source.Name+"-mails", MailPrefix
		options := migrations.Options{Prefix: MailPrefix, Only: migrations.OutboxOnly}
		if _, err := migrations.Apply(ctx, db.SQL, db.Dialect, options); err != nil {
			return nil, err
		}
		if err := s.add(config); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *Service) add(config relay.Config) error {
	r, err := relay.New(config)
	if err != nil {
		return fmt.Errorf("source %s: %w", config.Source, err)
	}
	s.relays = append(s.relays, r)
	return nil
}

func (s *Service) mailSink(mails kit.Mails, topic string) (relay.Sink, error) {
	if mails.URL == "" {
		return relaywatermill.New(mails.InProcess, relaywatermill.Options{})
	}
	// The queue must be there before the first event: one that no queue takes is rejected.
	if err := mails.Declare(topic); err != nil {
		return nil, err
	}
	sink, err := watermillamqp.New(watermillamqp.Config{URL: mails.URL})
	if err != nil {
		return nil, err
	}
	s.closeMail = sink.Close
	return sink, nil
}

// Run relays until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	parts := make([]func(context.Context) error, len(s.relays))
	for i, r := range s.relays {
		parts[i] = r.Run
	}
	return kit.Run(ctx, parts...)
}

// Close closes the databases and the connection to RabbitMQ, after Run has returned.
func (s *Service) Close() error {
	err := s.closeMail()
	for _, db := range s.databases {
		err = errors.Join(err, db.Close())
	}
	return err
}
