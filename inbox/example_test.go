package inbox_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	_ "modernc.org/sqlite" // a driver: the application chooses it

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/migrations"
)

// A message is delivered twice. The handler's writes and the message's id are one transaction, so it takes effect once.
func ExampleInbox_Process() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	// Each connection would have a database in memory of its own.
	db.SetMaxOpenConns(1)
	_, err = migrations.Apply(ctx, db, inbox.SQLite, migrations.Options{}) // as `relay migrate up`
	if err != nil {
		log.Fatal(err)
	}
	if _, err := db.ExecContext(ctx, "CREATE TABLE invoices (order_id TEXT)"); err != nil {
		log.Fatal(err)
	}

	ib, err := inbox.New(inbox.SQLite, "billing")
	if err != nil {
		log.Fatal(err)
	}
	m := inbox.Message{ID: "0197f9a3-5d4e-7c11-8f3a-2b6c9d0e1f42", Topic: "orders", Key: "o-1"}
	for range 2 {
		outcome, err := ib.Process(ctx, db, m, func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO invoices (order_id) VALUES (?)", m.Key)
			return err
		})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(outcome) // acknowledge the message now
	}
	// Output:
	// applied
	// duplicate
}
