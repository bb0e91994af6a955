package migrations_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	_ "modernc.org/sqlite" // a driver: the application chooses it

	"github.com/postroom/postroom/migrations"
)

// A service makes the tables when it starts. It may do so each time: tables that are there stay as they are.
func ExampleApply() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	// Each connection would have a database in memory of its own.
	db.SetMaxOpenConns(1)

	for range 2 {
		results, err := migrations.Apply(ctx, db, migrations.SQLite, migrations.Options{})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("something to do:", len(results) > 0)
	}
	fmt.Println("check:", migrations.Check(ctx, db, migrations.SQLite, migrations.Options{}))
	// Output:
	// something to do: true
	// something to do: false
	// check: <nil>
}
