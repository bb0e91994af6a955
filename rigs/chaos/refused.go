//go:build unix

package chaos

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math/rand/v2"

	"github.com/google/uuid"

	"github.com/postroom/postroom/internal/history"
	"github.com/postroom/postroom/outbox"
)

// The numbers of the writers of rejected events in the ledger.
const (
	burstWriter = -1
	// acceptedWriter writes one event when nothing is rejected any more.
	acceptedWriter = -2
)

// refusals writes bursts of events to a topic that rejects every one of them. It keeps an account of its own:
// its committed events must be parked, and must never arrive.
type refusals struct {
	plan    Plan
	db      *database
	outbox  *outbox.Outbox
	topic   string
	account account
	log     *timeline
}

// refuse writes one burst.
func (t *trouble) refuse(ctx context.Context, blow Trouble) {
	outcome, err := t.refused.write(ctx, blow.Number)
	if err != nil {
		t.log.say("trouble", "%s: burst %d: %v", blow.Kind, blow.Number, err) // its connection may have been cut
	}
	if outcome == committed {
		t.log.say("trouble", "%s: burst %d", blow.Kind, blow.Number)
		t.count(func(b *Blows) { b.Bursts++ })
	}
}

// write writes a burst in one transaction, and records how it ended.
func (r *refusals) write(ctx context.Context, number int) (outcome, error) {
	return r.commit(ctx, r.db.writers, &r.account, transactionName{burstWriter, number}, r.plan.Burst(number))
}

// writeAccepted writes an event of a new key, and records it as one that must arrive. The writers have ended.
func (r *refusals) writeAccepted(ctx context.Context, arrives *account) error {
	_, err := r.commit(ctx, r.db.admin, arrives, transactionName{acceptedWriter, -1}, []PlannedEvent{{ID: uuid.New()}})
	return err
}

func (r *refusals) commit(ctx context.Context, db *sql.DB, account *account, name transactionName,
	planned []PlannedEvent) (outcome, error) {
	done := written{transactionName: name}
	defer func() { account.note(done) }()
	tx, err := db.BeginTx(ctx, nil)
	if err == nil {
		defer func() { _ = tx.Rollback() }() // after COMMIT it does nothing
		done.events, err = r.fill(ctx, tx, name, planned)
	}
	if err != nil {
		account.noteTrouble()
		return done.outcome, err
	}
	done.outcome = committed
	if err = tx.Commit(); err != nil {
		done.outcome = unknown
	}
	return done.outcome, err
}

func (r *refusals) fill(ctx context.Context, tx *sql.Tx, name transactionName,
	planned []PlannedEvent) (events []history.Event, err error) {
	var rows []outbox.Event
	for _, p := range planned {
		e := history.Event{ID: p.ID, Topic: r.topic}
		if p.Key >= 0 {
			e.Key, e.Version = fmt.Sprintf("refused-%d-%d", name.number, p.Key), 1
		}
		// The padding is random, so that it does not become small when it is compressed.
		padding := make([]byte, p.Padding)
		_, _ = rand.NewChaCha8([32]byte(append(p.ID[:], p.ID[:]...))).Read(padding) // never fails
		payload := body{Key: e.Key, Version: e.Version, Writer: name.writer, Transaction: name.number,
			Padding: base64.StdEncoding.EncodeToString(padding)}.encode()
		e.Sum = crc32.ChecksumIEEE(payload)
		events = append(events, e)
		rows = append(rows, outbox.Event{ID: e.ID, Topic: e.Topic, Key: e.Key, Type: "burst.refused", Payload: payload})
	}
	if err := r.outbox.Add(ctx, tx, rows...); err != nil {
		return events, err
	}
	_, err = tx.ExecContext(
		ctx, r.db.sql.bind("INSERT INTO chaos_ledger (writer, number) VALUES (?, ?)"), name.writer, name.number,
	)
	return events, err
}

// settle removes the bursts from the ledger, and returns the events of the committed ones.
func (r *refusals) settle(ledger map[transactionName]bool) ([]history.Event, Account, error) {
	bursts := make(map[transactionName]bool)
	for name := range ledger {
		if name.writer == burstWriter {
			bursts[name] = true
			delete(ledger, name)
		}
	}
	return r.account.settle(bursts)
}

// parked returns the events in outbox_parked, in the order in which they were parked.
func (d *database) parked(ctx context.Context) (events []history.Event, err error) {
	rows, err := d.admin.QueryContext(ctx, "SELECT event_id, topic, event_key, payload FROM outbox_parked ORDER BY seq")
	if err != nil {
		return nil, fmt.Errorf("read the parked events: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err reports the error
	for rows.Next() {
		var id string
		var key sql.NullString
		var payload []byte
		var e history.Event
		if err := rows.Scan(&id, &e.Topic, &key, &payload); err != nil {
			return nil, err
		}
		e.ID, _ = uuid.Parse(id) // a value that is not an id was never written
		e.Key, e.Sum = key.String, crc32.ChecksumIEEE(payload)
		var b body
		if json.Unmarshal(payload, &b) == nil {
			e.Version = b.Version
		}
		events = append(events, e)
	}
	return events, rows.Err()
}
