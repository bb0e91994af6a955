// Package inboxgorm runs handlers that use gorm through an inbox, so that each message takes effect once. As package
// inbox promises, the handler's writes and the row of the message's id are in one transaction.
//
//	invoice := func(ctx context.Context, tx *gorm.DB) error { return tx.Create(&Invoice{…}).Error }
//	outcome, err := inboxgorm.Process(ctx, ib, db, inbox.Message{ID: id}, invoice)
//
// The *gorm.DB must use a gorm driver on top of database/sql, such as gorm's drivers for PostgreSQL, MySQL and SQLite.
// PrepareStmt, SkipDefaultTransaction and nested transactions (savepoints) work as always in gorm.
package inboxgorm
