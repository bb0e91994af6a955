//go:build unix

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
)

// The topic without copies is one that a relay writes in exactly-once mode, out of an outbox
// table, as a topic must be that is declared so. The relay is stopped in the middle again and again,
// and rides out the broker's restarts: the topic has aborted transactions, and ends of them.

// onceTurn is how long the relay is left alone.
var onceTurn = span{2 * time.Second, 5 * time.Second}

// relayOnce relays until ctx ends.
func (r *bankRun) relayOnce(ctx context.Context) {
	rng := rand.New(rand.NewPCG(r.settings.Seed, 0x0ce))
	log := slog.New(slog.NewTextHandler(&sayer{r.log, "relay"}, nil))
	for ctx.Err() == nil {
		turn, cancel := context.WithTimeout(ctx, onceTurn.pick(rng))
		if err := r.relayTurn(turn, log); err != nil && turn.Err() == nil {
			r.log.say("relay", "%v", err) // the broker is away when it starts
			pause(turn, 200*time.Millisecond)
		}
		cancel()
		r.count(func(b *BankReport) { b.Turns++ })
	}
}

func (r *bankRun) relayTurn(ctx context.Context, log *slog.Logger) error {
	sink, err := relaykafka.New(relaykafka.Config{Brokers: strings.Split(r.servers.Address(kafka), ","), Logger: log})
	if err != nil {
		return err
	}
	// It has no time to drain: what is under way is aborted.
	one, err := relay.New(relay.Config{
		DB: r.db.admin, Dialect: r.db.dialect, Sink: sink, Mode: relay.ExactlyOnce, LeaseTTL: 500 * time.Millisecond, DrainTimeout: time.Millisecond, Logger: log,
	})
	if err != nil {
		return err
	}
	if err := one.Run(ctx); !errors.Is(err, relay.ErrNotDrained) {
		return err
	}
	return nil
}

// sayer writes lines to the timeline.
type sayer struct {
	log  *timeline
	noun string
}

func (s *sayer) Write(line []byte) (int, error) {
	s.log.say(s.noun, "%s", strings.TrimSuffix(string(line), "\n"))
	return len(line), nil
}

var _ io.Writer = (*sayer)(nil)

// write puts a transfer into the outbox, for the topic without copies.
func (r *bankRun) write(ctx context.Context, ob *outbox.Outbox, t Transfer) error {
	value, _ := json.Marshal(t) // numbers and a string
	tx, err := r.db.admin.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	event := outbox.Event{Topic: OffsetsAlone.topic(r.topic), Key: fmt.Sprint(t.From), Payload: value}
	if err := ob.Add(ctx, tx, event); err != nil {
		return err
	}
	return tx.Commit()
}

// awaitRelayed waits until the relay has sent everything.
func (r *bankRun) awaitRelayed(ctx context.Context) error {
	for {
		left, err := r.db.count(ctx, "outbox_events")
		if err != nil || left == 0 {
			return err
		}
		pause(ctx, 100*time.Millisecond)
	}
}
