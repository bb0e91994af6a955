//go:build unix

package chaos

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/internal/dbopen"
)

// These set how fast the broker declares a member dead. A process that is paused for longer loses its
// partitions to other members while it is handling messages.
const (
	bankSession   = 2 * time.Second
	bankHeartbeat = 300 * time.Millisecond
	bankRebalance = 3 * time.Second
	bankGrace     = time.Second
	bankBatch     = 200 // messages in a batch
	// bankConnections of a process are fewer than its lanes when it has all partitions.
	bankConnections = 16
)

// BankConsumer is one consumer process. It is a member of each mode's group.
type BankConsumer struct {
	Brokers, DatabaseURL, Topic string
	Out                         io.Writer
}

// Run consumes until ctx ends.
func (c BankConsumer) Run(ctx context.Context) error {
	target, err := dbopen.Open(ctx, c.DatabaseURL, dbopen.WithMaxOpen(bankConnections))
	if ctx.Err() != nil && err != nil {
		return nil // it was told to stop before it had started
	}
	if err != nil {
		return err
	}
	defer func() { _ = target.DB.Close() }() // the process ends
	log := slog.New(slog.NewTextHandler(c.Out, nil))
	var members []*bankMember
	for _, mode := range bankModes() {
		m, err := c.member(mode, target, log.With("mode", string(mode)))
		if err != nil {
			return err
		}
		members = append(members, m)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	errs := make([]error, len(members))
	for i, m := range members {
		running.Go(func() {
			defer cancel() // end the whole process, because one that works only in part would hide the fault
			errs[i] = m.consumer.RunBatch(ctx, m.handle)
		})
	}
	log.Info("started")
	running.Wait()
	return errors.Join(errs...)
}

// bankMember is a member of one mode's group.
type bankMember struct {
	bank
	consumer *inboxkafka.Consumer
}

func (c BankConsumer) member(mode BankMode, target *dbopen.Target, log *slog.Logger) (*bankMember, error) {
	ib, err := inbox.New(target.Dialect, mode.consumer(), inbox.WithLogger(log))
	if err != nil {
		return nil, err
	}
	topic := mode.topic(c.Topic)
	config := inboxkafka.Config{
		Inbox: ib, DB: target.DB, Brokers: strings.Split(c.Brokers, ","), Group: mode.group(c.Topic),
		Topics:   []string{topic},
		Mode:     map[BankMode]inboxkafka.Mode{PerMessage: inboxkafka.PerMessage, PerBatch: inboxkafka.Batch}[mode],
		MaxBatch: bankBatch, Grace: bankGrace, Logger: log,
		Options: []kgo.Opt{
			kgo.SessionTimeout(bankSession), kgo.HeartbeatInterval(bankHeartbeat), kgo.RebalanceTimeout(bankRebalance),
			kgo.FetchMaxWait(100 * time.Millisecond),
		},
	}
	if mode.inDatabase() {
		config.Mode = inboxkafka.OffsetsInDatabase
	} else {
		config.KeyConcurrency = 2
	}
	if mode == OffsetsAlone {
		config.ExactlyOnceTopics = config.Topics
	}
	consumer, err := inboxkafka.New(config)
	if err != nil {
		return nil, err
	}
	return &bankMember{bank: bank{mode: mode, postgres: target.Dialect == inbox.PostgreSQL}, consumer: consumer}, nil
}

// group returns the name of the mode's consumer group.
func (m BankMode) group(topic string) string { return topic + "-" + string(m) }

func (m *bankMember) handle(ctx context.Context, tx *sql.Tx, messages []inbox.Message) error {
	transfers := make([]Transfer, len(messages))
	for i, message := range messages {
		if err := json.Unmarshal(message.Payload, &transfers[i]); err != nil {
			return fmt.Errorf("message %s: %w", message.ID, err)
		}
	}
	return m.apply(ctx, tx, transfers)
}
