package backfill_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	_ "modernc.org/sqlite" // a driver: the application chooses it

	"github.com/postroom/postroom/migrations"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/outbox/backfill"
)

// All customers are sent to a new consumer, through the outbox, while the service goes on writing.
func ExampleRun() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	// Each connection would have a database in memory of its own.
	db.SetMaxOpenConns(1)
	_, err = migrations.Apply(ctx, db, outbox.SQLite, migrations.Options{}) // as `relay migrate up`
	if err != nil {
		log.Fatal(err)
	}
	if _, err := db.ExecContext(ctx, `CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, version INTEGER);
		INSERT INTO customers (name, version) VALUES ('Ada', 3), ('Grace', 1), ('Edsger', 5)`); err != nil {
		log.Fatal(err)
	}

	progress, err := backfill.Run(ctx, db, outbox.SQLite, backfill.Config{
		Name:     "customers",
		Position: "id",
		Query: `SELECT id, 'customers' AS topic, CAST(id AS TEXT) AS event_key, 'customer.changed' AS event_type,
			CAST(json_object('id', id, 'name', name, 'version', version) AS BLOB) AS payload FROM customers`,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("rows sent:", progress.Sent, "finished:", progress.Finished)
	// Output: rows sent: 3 finished: true
}
