package inbox

import (
	"context"
	"database/sql"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/inbox"
)

// Policy says what happens to a message whose attempts have all failed, and to the later messages of its key.
type Policy string

// The policies.
const (
	// BlockKey parks the message, and then every later message of its topic and key, so that none is handled before
	// it. Other keys are not affected. The default.
	BlockKey Policy = "block-key"
	// Skip parks the message alone: later ones of its key are handled before it.
	Skip Policy = "skip"
	// Halt parks nothing: Process returns an *AttemptsError, and the message is
	// delivered again.
	Halt Policy = "halt"
)

// parking is what parking messages needs of a database.
type parking interface {
	Park(ctx context.Context, tx db.Execer, row store.ParkedRow) error
	// StatementLimit returns how many bytes a statement and its arguments may have; 0: any number.
	StatementLimit(ctx context.Context, tx db.Queryer) (int64, error)
	// Block blocks a key, and locks its row.
	Block(ctx context.Context, tx db.Execer, consumer, topic, key string) error
	// LockBlocked locks the row of a key, and reports whether the key is blocked.
	LockBlocked(ctx context.Context, tx db.Queryer, consumer, topic, key string) (bool, error)
	// BlockedKeys returns those of the keys that are blocked, and locks their rows.
	BlockedKeys(ctx context.Context, tx db.Queryer, consumer, topic string, keys []string) (map[string]bool, error)
}

// blocks reports whether a failed message makes later ones wait.
func (ib *Inbox) blocks(m Message) bool { return ib.policy == BlockKey && m.Key != "" }

// parkFailed parks m in tx, which has accepted it.
func (ib *Inbox) parkFailed(ctx context.Context, tx *sql.Tx, m Message, attempts int, reason string) error {
	if ib.blocks(m) {
		if err := ib.store.Block(ctx, tx, ib.consumer, m.Topic, keyText(m.Key)); err != nil {
			return err
		}
	}
	row, err := ib.park(ctx, tx, m, db.ParkedFailed, attempts, reason)
	if err != nil || ib.deadLetter == nil {
		return err
	}
	if row.Payload == nil {
		m.Payload = nil // what is too large for inbox_parked is too large for the outbox
	}
	return ib.deadLetter(ctx, tx, m, attempts, row.Error)
}

// parkBehind parks m in tx, which has accepted it, if its key is still blocked.
func (ib *Inbox) parkBehind(ctx context.Context, tx *sql.Tx, m Message) (bool, error) {
	blocked, err := ib.store.LockBlocked(ctx, tx, ib.consumer, m.Topic, keyText(m.Key))
	if err != nil || !blocked {
		return false, err
	}
	_, err = ib.park(ctx, tx, m, db.ParkedBlocked, 0, "")
	return true, err
}

func (ib *Inbox) park(ctx context.Context, tx *sql.Tx, m Message, state string, attempts int, reason string) (
	store.ParkedRow, error) {
	room, err := ib.room(ctx, tx, m)
	if err != nil {
		return store.ParkedRow{}, err
	}
	row, err := ib.parkedRow(m, state, attempts, reason, room)
	if err != nil {
		return row, err
	}
	return row, ib.store.Park(ctx, tx, row)
}

// room returns how many bytes of headers and payload fit into a statement. A driver may write the arguments into the
// statement, where a byte may take two.
func (ib *Inbox) room(ctx context.Context, tx *sql.Tx, m Message) (int, error) {
	const (
		small = 256 << 10 // no server is set to less than a megabyte
		rest  = 16 << 10  // ids, topics, key, error
	)
	size := len(m.Payload)
	for name, value := range m.Headers {
		size += len(name) + len(value)
	}
	if size < small/8 { // JSON may write a byte as six
		return small, nil
	}
	limit, err := ib.store.StatementLimit(ctx, tx)
	if err != nil || limit == 0 {
		return 1 << 30, err
	}
	return max(int(limit)/2-rest, 0), nil
}
