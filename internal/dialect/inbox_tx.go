package dialect

import "context"

// TxMark tells one transaction from every other one of its database. "": not known yet.
type TxMark string

// A handler can end its transaction by SQL text, which database/sql does not notice, and MySQL rolls one back by
// itself when it is the victim of a deadlock, and goes on with the next statement outside any transaction. Then the
// ids are gone, or committed without the rest, and COMMIT succeeds all the same.
//
// PostgreSQL numbers transactions, in 64 bits that do not come again, and an INSERT returns the number on its way.
// The others have none that every user may read (MySQL has no @@in_transaction, and innodb_trx needs a right), but a
// savepoint lives and dies with its transaction. PostgreSQL could do that too; there it would be a subtransaction,
// with a number of its own, around all that the handler writes.
const (
	markTxPostgres = "SELECT pg_current_xact_id()::text"
	sameTxPostgres = "COALESCE(pg_current_xact_id_if_assigned() = CAST(?::text AS xid8), false)"

	markTxSavepoint    = "SAVEPOINT postroom_inbox"
	releaseTxSavepoint = "RELEASE SAVEPOINT postroom_inbox"
)

// MarkTx marks the transaction that tx is in, unless the mark that an insert returned says which it is.
func (i *Inbox) MarkTx(ctx context.Context, tx Queryer, known TxMark) (TxMark, error) {
	if i.names.Dialect != PostgreSQL {
		return known, i.exec(ctx, tx, markTxSavepoint)
	}
	if known != "" {
		return known, nil
	}
	err := i.one(ctx, tx, []any{&known}, markTxPostgres)
	return known, err
}

// SameTx reports whether tx is still in the transaction that was marked, and forgets the mark. If it is, and done is a
// row, it deletes the attempts at that row's message: on PostgreSQL in the same round trip.
func (i *Inbox) SameTx(ctx context.Context, tx Queryer, mark TxMark, done *InboxRow) (same bool, err error) {
	if i.names.Dialect == PostgreSQL {
		if done == nil {
			err = i.one(ctx, tx, []any{&same}, i.names.Numbered("SELECT "+sameTxPostgres), string(mark))
			return same, err
		}
		err = i.one(ctx, tx, []any{&same}, i.names.Numbered("WITH done AS (DELETE FROM {inbox_attempts} WHERE consumer = ? AND message_id = ? AND "+
			sameTxPostgres+") SELECT "+sameTxPostgres), done.Consumer, done.MessageID, string(mark), string(mark))
		return same, err
	}
	if err := i.exec(ctx, tx, releaseTxSavepoint); err != nil {
		const noSuchSavepoint, sqliteError = 1305, 1
		if mysqlNumber(err) == noSuchSavepoint || sqliteCode(err) == sqliteError {
			return false, nil
		}
		return false, err
	}
	if done == nil {
		return true, nil
	}
	return true, i.DeleteAttempts(ctx, tx, *done)
}

// HasMessage reports whether a committed row of inbox_events has the consumer and message id of row.
func (i *Inbox) HasMessage(ctx context.Context, db Queryer, row InboxRow) (bool, error) {
	return i.found(ctx, db, "SELECT 1 FROM {inbox_events} WHERE consumer = ? AND message_id = ?",
		i.bytes(row.Consumer), i.bytes(row.MessageID))
}
