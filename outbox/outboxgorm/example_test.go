package outboxgorm_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/glebarez/sqlite"
	"gorm.io/gorm"

	"github.com/postroom/postroom/migrations"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/outbox/outboxgorm"
)

// Order is the shop's own.
type Order struct {
	ID    string `gorm:"primaryKey"`
	Cents int64
}

// An order and its event are written in gorm's transaction. The second order is rolled back, and its event with it.
func ExampleAdd() {
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
	if _, err := migrations.Apply(ctx, raw, outbox.SQLite, migrations.Options{}); err != nil { // as `relay migrate up`
		log.Fatal(err)
	}
	if err := db.AutoMigrate(&Order{}); err != nil {
		log.Fatal(err)
	}
	ob, err := outbox.New(outbox.SQLite)
	if err != nil {
		log.Fatal(err)
	}

	for _, order := range []Order{{ID: "o-1", Cents: 4200}, {ID: "o-2", Cents: -1}} {
		err := db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
			if err := tx.Create(&order).Error; err != nil {
				return err
			}
			event := outbox.Event{Topic: "orders", Key: order.ID, Type: "order.placed", Payload: []byte(`{}`)}
			if err := outboxgorm.Add(ctx, ob, tx, event); err != nil {
				return err
			}
			if order.Cents < 0 {
				return errors.New("an order of nothing")
			}
			return nil
		})
		fmt.Println(order.ID, err)
	}
	var events int64
	if err := db.Table("outbox_events").Count(&events).Error; err != nil {
		log.Fatal(err)
	}
	fmt.Println("events that wait for the relay:", events)
	// Output:
	// o-1 <nil>
	// o-2 an order of nothing
	// events that wait for the relay: 1
}
