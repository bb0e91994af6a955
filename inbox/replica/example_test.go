package replica_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	_ "modernc.org/sqlite" // a driver: the application chooses it

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/replica"
	"github.com/postroom/postroom/migrations"
)

// Version 2 of a row arrives before version 1. The replica keeps version 2.
func ExampleReplica_Apply() {
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
	if _, err := db.ExecContext(ctx, "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT)"); err != nil {
		log.Fatal(err)
	}
	customers, err := replica.New(inbox.SQLite, replica.Config{
		Table: "customers", Key: []string{"id"}, Columns: []string{"name"},
	})
	if err != nil {
		log.Fatal(err)
	}

	// Consumers pass customers.Handler(replica.DecodeMessage) to the inbox, which calls Apply in its transaction.
	for _, c := range []replica.Change{
		{Version: 2, Values: map[string]any{"id": 7, "name": "Ada Lovelace"}},
		{Version: 1, Values: map[string]any{"id": 7, "name": "Ada Byron"}},
	} {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			log.Fatal(err)
		}
		result, err := customers.Apply(ctx, tx, c)
		if err != nil {
			log.Fatal(err)
		}
		if err := tx.Commit(); err != nil {
			log.Fatal(err)
		}
		fmt.Printf("version %d: applied %d, stale %d\n", c.Version, result.Applied, result.Stale)
	}
	var name string
	if err := db.QueryRowContext(ctx, "SELECT name FROM customers WHERE id = 7").Scan(&name); err != nil {
		log.Fatal(err)
	}
	fmt.Println(name)
	// Output:
	// version 2: applied 1, stale 0
	// version 1: applied 0, stale 1
	// Ada Lovelace
}
