package inbox

import (
	"context"

	"github.com/postroom/postroom/internal/db"
)

// TxMark tells one transaction from every other one of its database. "": not known yet.
type TxMark string

// A handler can end its transaction by SQL text, which database/sql does not notice, and MySQL rolls one back by
// itself when it is the victim of a deadlock, and goes on with the next statement outside any transaction. Then the
// ids are gone, or committed without the rest, and COMMIT succeeds all the same.
//
// PostgreSQL's mark is the transaction's number, which an INSERT of ids returns on its way; the others' is a savepoint.
// PostgreSQL could use a savepoint too; there it would be a subtransaction, with a number of its own, around all that
// the handler writes.

// MarkTx marks the transaction that tx is in, unless the mark that an insert returned says which it is.
func (s *Store) MarkTx(ctx context.Context, tx db.Queryer, known TxMark) (TxMark, error) {
	if s.names.Dialect != db.PostgreSQL {
		return known, exec(ctx, tx, s.sql.MarkTx)
	}
	if known != "" {
		return known, nil
	}
	err := one(ctx, tx, []any{&known}, s.sql.MarkTx)
	return known, err
}

// SameTx reports whether tx is still in the transaction that was marked, and forgets the mark. If it is, and done is a
// row, it deletes the attempts at that row's message: on PostgreSQL in the same round trip.
func (s *Store) SameTx(ctx context.Context, tx db.Queryer, mark TxMark, done *Row) (same bool, err error) {
	if s.names.Dialect == db.PostgreSQL {
		query, args := s.sql.SameTx, []any{string(mark)}
		if done != nil {
			query, args = s.postgres.SameTxDone, []any{done.Consumer, done.MessageID, string(mark), string(mark)}
		}
		err = one(ctx, tx, []any{&same}, query, args...)
		return same, err
	}
	if err := exec(ctx, tx, s.sql.SameTx); err != nil {
		const noSuchSavepoint, sqliteError = 1305, 1
		if db.MySQLNumber(err) == noSuchSavepoint || db.SQLiteCode(err) == sqliteError {
			return false, nil
		}
		return false, err
	}
	if done == nil {
		return true, nil
	}
	return true, s.DeleteAttempts(ctx, tx, *done)
}
