// Package inboxgorm runs gorm handlers through an inbox, so that a message takes
// effect once. What package inbox promises holds here too: the handler's writes and
// the record of the message's id are one transaction.
//
//	invoice := func(ctx context.Context, tx *gorm.DB) error { return tx.Create(&Invoice{…}).Error }
//	outcome, err := inboxgorm.Process(ctx, ib, db, inbox.Message{ID: id}, invoice)
//
// It needs the *gorm.DB of a gorm driver over database/sql, as gorm's drivers for
// PostgreSQL, MySQL and SQLite are. PrepareStmt, SkipDefaultTransaction and nested
// transactions (savepoints) work as elsewhere in gorm.
package inboxgorm
