//go:build unix

package chaos

import (
	"context"
	"database/sql"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/postroom/postroom/internal/history"
	"github.com/postroom/postroom/internal/steady"
	"github.com/postroom/postroom/outbox"
)

// writers simulate a service: each transaction changes aggregates and writes their events. It locks the
// aggregates first, so the writers of a key wait for one another.
type writers struct {
	settings Settings
	plan     Plan
	db       *database
	outbox   *outbox.Outbox
	topics   []string
	account  *account
	log      *timeline
	from     int // number of each writer's first transaction
}

// run writes until writing ends. Then it finishes the open transactions. If ctx ends, it aborts them.
func (w *writers) run(ctx, writing context.Context) {
	var all sync.WaitGroup
	for writer := range w.settings.Writers {
		all.Go(func() { w.write(ctx, writing, writer) })
	}
	all.Wait()
}

// eventsPerTransaction is the mean number of events that a transaction of the plan commits: three, less those
// that are rolled back.
const eventsPerTransaction = 2.7

// write makes transactions at the writer's share of the rate. The writers start one after another.
func (w *writers) write(ctx, writing context.Context, writer int) {
	every := time.Duration(
		float64(w.settings.Writers) * eventsPerTransaction / w.settings.rate() * float64(time.Second),
	)
	load := steady.Load{First: every * time.Duration(writer) / time.Duration(w.settings.Writers), Every: every}
	_ = load.Run(writing, func(n int) error { // nothing returns an error
		w.transaction(ctx, writer, w.from+n)
		return nil
	})
}

// transaction does what the plan says, and records how it ended.
func (w *writers) transaction(ctx context.Context, writer, number int) {
	planned := w.plan.Transaction(writer, number)
	done := written{transactionName: transactionName{writer, number}}
	tx, err := w.db.writers.BeginTx(ctx, nil)
	if err == nil {
		defer func() { _ = tx.Rollback() }() // after COMMIT it does nothing
		done.events, err = w.fill(ctx, tx, planned, done.transactionName)
	}
	switch {
	case err != nil:
		w.account.noteTrouble()
		w.log.say(fmt.Sprint("writer-", writer), "transaction %d failed: %v", number, err)
		pause(ctx, 20*time.Millisecond) // do not retry a failing server in a tight loop
	case planned.Rollback:
		_ = tx.Rollback() // a cut connection rolls back as well
	default:
		if err := tx.Commit(); err != nil {
			done.outcome = unknown
			w.log.say(fmt.Sprint("writer-", writer), "transaction %d: no answer to COMMIT: %v", number, err)
		} else {
			done.outcome = committed
		}
	}
	w.account.note(done)
}

// fill does everything in a transaction except its end, and returns the events that it wrote.
func (w *writers) fill(
	ctx context.Context, tx *sql.Tx, planned Transaction, name transactionName,
) ([]history.Event, error) {
	if planned.EarlyID {
		if _, err := tx.ExecContext(ctx, w.db.sql.earlyID); err != nil {
			return nil, fmt.Errorf("take a transaction id: %w", err)
		}
	}
	versions := make([]int64, len(planned.Keys))
	for i, key := range planned.Keys {
		lock := w.db.sql.bind("SELECT version FROM chaos_aggregates WHERE id = ? FOR UPDATE")
		if err := tx.QueryRowContext(ctx, lock, key).Scan(&versions[i]); err != nil {
			return nil, fmt.Errorf("lock aggregate %d: %w", key, err)
		}
	}
	pause(ctx, planned.Think)
	events, rows := w.events(planned, versions, name)
	if err := w.insert(ctx, tx, planned.PlainSQL, rows); err != nil {
		return events, err
	}
	for i, key := range planned.Keys {
		if _, err := tx.ExecContext(
			ctx, w.db.sql.bind("UPDATE chaos_aggregates SET version = ? WHERE id = ?"), versions[i], key,
		); err != nil {
			return events, fmt.Errorf("change aggregate %d: %w", key, err)
		}
	}
	if _, err := tx.ExecContext(
		ctx, w.db.sql.bind("INSERT INTO chaos_ledger (writer, number) VALUES (?, ?)"), name.writer, name.number,
	); err != nil {
		return events, fmt.Errorf("write the ledger: %w", err)
	}
	pause(ctx, planned.Hold)
	return events, nil
}

func (w *writers) insert(ctx context.Context, tx *sql.Tx, plain bool, rows []outbox.Event) error {
	if !plain {
		return w.outbox.Add(ctx, tx, rows...)
	}
	for _, row := range rows {
		if err := w.db.insertPlain(ctx, tx, row); err != nil {
			return fmt.Errorf("insert event %s: %w", row.ID, err)
		}
	}
	return nil
}

// events makes the events of a transaction, and raises the versions of its keys.
func (w *writers) events(
	planned Transaction, versions []int64, name transactionName,
) (events []history.Event, rows []outbox.Event) {
	for _, p := range planned.Events {
		e := history.Event{ID: p.ID, Topic: w.topics[0]}
		if p.Key >= 0 {
			versions[p.Key]++
			key := planned.Keys[p.Key]
			e.Topic, e.Key, e.Version = w.topics[key%len(w.topics)], fmt.Sprint("key-", key), versions[p.Key]
		}
		payload := body{
			Key: e.Key, Version: e.Version, Writer: name.writer, Transaction: name.number,
			Padding: strings.Repeat("x", p.Padding),
		}.encode()
		e.Sum = crc32.ChecksumIEEE(payload)
		events = append(events, e)
		rows = append(rows, outbox.Event{
			ID: e.ID, Topic: e.Topic, Key: e.Key, Type: "aggregate.changed", Payload: payload,
			Headers: map[string]string{"version": strconv.FormatInt(e.Version, 10)},
		})
	}
	return events, rows
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
