// Package eventstore keeps each order as a stream of events, and the stream is the only truth about it.
//
// Append promises two things. The events go to version expected+1 and on, or nothing is written and the error tells the
// current version: of two writers that decided by the same version one wins. And the events that are appended are
// written to the outbox in the same transaction, so that what is stored is published, and nothing else is.
//
// A snapshot is a cache. Delete the rows of order_snapshots when the state gets another shape.
package eventstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/outbox"
)

// Tables makes the tables that are not there yet.
var Tables = []string{
	// The head of each stream. Who moves it holds its row until the commit, so that the appends to a stream come one
	// after another. The outbox asks for that too: it keeps the order in which the writers of a key commit.
	`CREATE TABLE IF NOT EXISTS order_streams (
		stream   VARCHAR(36) NOT NULL PRIMARY KEY,
		customer VARCHAR(64) NOT NULL,
		version  BIGINT      NOT NULL,
		at_rest  SMALLINT    NOT NULL,
		UNIQUE (customer, stream)
	)`,
	`CREATE TABLE IF NOT EXISTS order_events (
		stream  VARCHAR(36) NOT NULL,
		version BIGINT      NOT NULL,
		type    VARCHAR(64) NOT NULL,
		body    TEXT        NOT NULL,
		PRIMARY KEY (stream, version)
	)`,
	`CREATE TABLE IF NOT EXISTS order_snapshots (
		stream  VARCHAR(36) NOT NULL PRIMARY KEY,
		version BIGINT      NOT NULL,
		state   TEXT        NOT NULL
	)`,
}

// Event is one fact of a stream. Its Body, in JSON, is what others get as well.
type Event struct {
	Type string
	Body []byte
}

// Change is what one transaction adds to a stream.
type Change struct {
	Stream   string // the order's id, and the key of its events on the wire
	Customer string
	Expected int64 // the version that the decision was made on; 0: the stream must be new
	Events   []Event
	AtRest   bool          // nothing more happens to the order after the events, unless somebody asks for it
	Cause    inbox.Message // what the change answers; zero: somebody's request
}

// ConflictError means that the stream is not at the version that was expected. Nothing was written: load the stream
// again, and decide again.
type ConflictError struct {
	Stream            string
	Expected, Current int64
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("order %s is at version %d, not at %d", e.Stream, e.Current, e.Expected)
}

// Queryer reads: a *sql.DB, which sees what was committed, or a *sql.Tx, which sees its own writes as well.
type Queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Store appends to streams and reads them.
type Store struct {
	db     *kit.DB
	outbox *outbox.Outbox
	topic  string
}

// New returns a Store over db that publishes to topic through ob, an outbox in the same database.
func New(db *kit.DB, ob *outbox.Outbox, topic string) *Store {
	return &Store{db: db, outbox: ob, topic: topic}
}

// Append writes c's events to the stream and to the outbox. The error is a *ConflictError if somebody else was faster;
// then roll back.
func (s *Store) Append(ctx context.Context, tx *sql.Tx, c Change) error {
	if err := s.moveHead(ctx, tx, c); err != nil {
		return err
	}
	published := make([]outbox.Event, len(c.Events))
	for i, e := range c.Events {
		insert := s.db.Bind("INSERT INTO order_events (stream, version, type, body) VALUES (?, ?, ?, ?)")
		version := c.Expected + int64(i) + 1
		if _, err := tx.ExecContext(ctx, insert, c.Stream, version, e.Type, string(e.Body)); err != nil {
			return fmt.Errorf("append to order %s: %w", c.Stream, err)
		}
		published[i] = outbox.Event{Topic: s.topic, Key: c.Stream, Type: e.Type, Payload: e.Body}
	}
	if c.Cause.ID != "" {
		published = inbox.WithCausation(c.Cause, published...)
	}
	return s.outbox.Add(ctx, tx, published...)
}

// moveHead moves the stream's head from the expected version behind the new events, if it is there. While another
// transaction holds the head, it waits for its end, and then sees what that one left.
func (s *Store) moveHead(ctx context.Context, tx *sql.Tx, c Change) error {
	moved, err := s.tryToMoveHead(ctx, tx, c, c.Expected+int64(len(c.Events)))
	if err != nil {
		return fmt.Errorf("move the head of order %s: %w", c.Stream, err)
	}
	if moved {
		return nil
	}
	current, err := s.Version(ctx, tx, c.Stream)
	if err != nil {
		return err
	}
	return &ConflictError{Stream: c.Stream, Expected: c.Expected, Current: current}
}

func (s *Store) tryToMoveHead(ctx context.Context, tx *sql.Tx, c Change, to int64) (bool, error) {
	atRest := 0 // a number, because SQLite has no booleans
	if c.AtRest {
		atRest = 1
	}
	if c.Expected == 0 {
		columns := []string{"stream", "customer", "version", "at_rest"}
		return s.db.InsertNew(ctx, tx, "order_streams", columns, c.Stream, c.Customer, to, atRest)
	}
	result, err := tx.ExecContext(ctx, s.db.Bind(
		"UPDATE order_streams SET version = ?, at_rest = ? WHERE stream = ? AND version = ?"),
		to, atRest, c.Stream, c.Expected)
	if err != nil {
		return false, err
	}
	rows, err := result.RowsAffected()
	return rows == 1, err
}

// Version returns the version of a stream; 0: there is none.
func (s *Store) Version(ctx context.Context, q Queryer, stream string) (version int64, err error) {
	err = q.QueryRowContext(ctx, s.db.Bind("SELECT version FROM order_streams WHERE stream = ?"), stream).Scan(&version)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return version, err
}

// Events returns the events of a stream after a version, in order.
func (s *Store) Events(ctx context.Context, q Queryer, stream string, after int64) ([]Event, error) {
	rows, err := q.QueryContext(ctx, s.db.Bind(
		"SELECT type, body FROM order_events WHERE stream = ? AND version > ? ORDER BY version"), stream, after)
	if err != nil {
		return nil, fmt.Errorf("read order %s: %w", stream, err)
	}
	defer func() { _ = rows.Close() }()
	var events []Event
	for rows.Next() {
		var e Event
		if err := rows.Scan(&e.Type, &e.Body); err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, rows.Err()
}

// Rebuild makes a stream's state of its snapshot, if there is one, and of the events after it. Version 0: there is no
// such stream.
func Rebuild[S any](
	ctx context.Context, s *Store, q Queryer, stream string, apply func(S, Event) (S, error),
) (state S, version int64, err error) {
	var snapshot []byte
	err = q.QueryRowContext(ctx,
		s.db.Bind("SELECT version, state FROM order_snapshots WHERE stream = ?"), stream).Scan(&version, &snapshot)
	if err == nil {
		err = json.Unmarshal(snapshot, &state)
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return state, 0, fmt.Errorf("snapshot of order %s: %w", stream, err)
	}
	events, err := s.Events(ctx, q, stream, version)
	if err != nil {
		return state, 0, err
	}
	for _, e := range events {
		if state, err = apply(state, e); err != nil {
			return state, 0, fmt.Errorf("order %s, version %d: %w", stream, version+1, err)
		}
		version++
	}
	return state, version, nil
}

// Snapshot keeps a stream's state at a version, so that Rebuild need not begin at the first event. Call it in the
// transaction that has appended: it holds the head, so that no later snapshot is overwritten.
func (s *Store) Snapshot(ctx context.Context, tx *sql.Tx, stream string, version int64, state any) error {
	body, err := json.Marshal(state)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, s.db.Bind("DELETE FROM order_snapshots WHERE stream = ?"), stream); err != nil {
		return fmt.Errorf("snapshot of order %s: %w", stream, err)
	}
	_, err = tx.ExecContext(ctx, s.db.Bind(
		"INSERT INTO order_snapshots (stream, version, state) VALUES (?, ?, ?)"), stream, version, string(body))
	return err
}
