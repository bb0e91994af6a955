package migrations_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	_ "modernc.org/sqlite" // a driver: the application chooses it

	"github.com/postroom/postroom/migrations"
)

// A service creates the tables when it starts. It may call Apply at each start: existing tables stay as they
// are.
func ExampleApply() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	// Each connection would have its own database in memory.
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
