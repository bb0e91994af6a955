package inbox

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/postroom/postroom/internal/db"
)

// ParkedRow is a row of inbox_parked as the consumer writes and reads it.
type ParkedRow struct {
	Row
	Seq      int64 // the database's
	Topic    string
	Key      *string // nil: none
	Type     string
	Headers  string // a JSON object
	Payload  []byte // nil: none
	Attempts int
	Error    string
	State    string
}

// Park writes a row.
func (s *Store) Park(ctx context.Context, tx db.Execer, p ParkedRow) error {
	var key, payload any
	if p.Key != nil {
		key = s.names.KeyArg(*p.Key)
	}
	if p.Payload != nil {
		payload = p.Payload
	}
	args := append(s.keys(p.Consumer, p.MessageID, p.Topic), key, p.Type, p.Headers, payload)
	args = append(append(args, s.positionArgs(p.Position)...), p.Attempts, p.Error, p.State)
	return exec(ctx, tx, s.sql.Park, args...)
}

// StatementLimit returns how many bytes a statement and its arguments may have, as the server is set;
// 0: more than anybody writes.
func (s *Store) StatementLimit(ctx context.Context, tx db.Queryer) (limit int64, err error) {
	if s.names.Dialect != db.MySQL {
		return 0, nil
	}
	err = one(ctx, tx, []any{&limit}, s.mysql.StatementLimit)
	return limit, err
}

// Block blocks a key, and locks its row.
func (s *Store) Block(ctx context.Context, tx db.Execer, consumer, topic, key string) error {
	return exec(ctx, tx, s.sql.Block, s.keys(consumer, topic, key)...)
}

// LockBlocked locks the row of a blocked key until the transaction ends, and
// reports whether there is one.
func (s *Store) LockBlocked(ctx context.Context, tx db.Queryer, consumer, topic, key string) (bool, error) {
	args := s.keys(consumer, topic, key)
	if s.names.Dialect == db.SQLite { // its statement is a write
		n, err := affected(ctx, tx, s.sql.LockBlocked, args...)
		return n > 0, err
	}
	return exists(ctx, tx, s.sql.LockBlocked, args...)
}

// Unblock lets a key go on, unless parked rows of it are left after seq, the last that was removed: then the first of
// them, if it was blocked, is to be retried. Were it left for later, nobody would ask for it once whoever replays the
// key has stopped between two rows. The key's row must be locked, and seq was its first.
func (s *Store) Unblock(ctx context.Context, tx db.Queryer, consumer, topic, key string, after int64) error {
	var seq int64
	var state string
	err := one(ctx, tx, []any{&seq, &state}, s.sql.FirstParked, append(s.keys(consumer, topic, key), after)...)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return exec(ctx, tx, s.sql.Unblock, s.keys(consumer, topic, key)...)
	case err == nil && state == db.ParkedBlocked:
		return exec(ctx, tx, s.sql.RetryParked, s.names.KeyArg(consumer), seq)
	}
	return err
}

// BlockedKeys returns those of the keys of a topic that are blocked, and locks their rows.
func (s *Store) BlockedKeys(ctx context.Context, tx db.Queryer, consumer, topic string, keys []string) (
	map[string]bool, error,
) {
	blocked := map[string]bool{}
	const most = 1000
	for some := range slices.Chunk(keys, most) {
		query := db.Fill(s.sql.BlockedKeys, db.Values{"keys": s.list(2, len(some))})
		found, err := texts(ctx, tx, query, append(s.keys(consumer, topic), s.keys(some...)...)...)
		if err != nil {
			return nil, err
		}
		for _, key := range found {
			blocked[key] = true
		}
	}
	return blocked, nil
}
