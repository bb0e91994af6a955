package inboxgorm_test

import (
	"context"
	"fmt"
	"log"

	"github.com/glebarez/sqlite"
	"gorm.io/gorm"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxgorm"
	"github.com/postroom/postroom/migrations"
)

// Invoice is the consumer's own.
type Invoice struct {
	ID      uint
	OrderID string
}

// A message is delivered twice, and makes one invoice.
func ExampleProcess() {
	ctx := context.Background()
	db, err := gorm.Open(sqlite.Open(":memory:"), &gorm.Config{})
	if err != nil {
		log.Fatal(err)
	}
	raw, err := db.DB()
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = raw.Close() }()
	// Each connection would have a database in memory of its own.
	raw.SetMaxOpenConns(1)
	if _, err := migrations.Apply(ctx, raw, inbox.SQLite, migrations.Options{}); err != nil { // as `relay migrate up`
		log.Fatal(err)
	}
	if err := db.AutoMigrate(&Invoice{}); err != nil {
		log.Fatal(err)
	}

	ib, err := inbox.New(inbox.SQLite, "billing")
	if err != nil {
		log.Fatal(err)
	}
	m := inbox.Message{ID: "0197f9a3-5d4e-7c11-8f3a-2b6c9d0e1f42", Topic: "orders", Key: "o-1"}
	for range 2 {
		outcome, err := inboxgorm.Process(ctx, ib, db, m, func(_ context.Context, tx *gorm.DB) error {
			return tx.Create(&Invoice{OrderID: m.Key}).Error
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
