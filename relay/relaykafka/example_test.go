package relaykafka_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	_ "modernc.org/sqlite" // a driver: the application chooses it

	"github.com/postroom/postroom/migrations"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
)

// An event of the outbox goes to Kafka. In this example Kafka runs in the same process.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	if err != nil {
		log.Fatal(err)
	}
	defer kafka.Close()
	db := openShop(ctx)
	defer func() { _ = db.Close() }()

	sink, err := relaykafka.New(relaykafka.Config{Brokers: kafka.ListenAddrs()})
	if err != nil {
		log.Fatal(err)
	}
	r, err := relay.New(relay.Config{DB: db, Dialect: relay.SQLite, Sink: sink})
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()

	client, err := kgo.NewClient(kgo.SeedBrokers(kafka.ListenAddrs()...), kgo.ConsumeTopics("orders"))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	for _, record := range client.PollFetches(ctx).Records() {
		fmt.Printf("%s %s %s\n", record.Topic, record.Key, record.Value)
	}
	stop()
	fmt.Println(<-ended)
	// Output:
	// orders o-1 {"total":42}
	// <nil>
}

// openShop returns a database with one waiting event.
func openShop(ctx context.Context) *sql.DB {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	// Each connection would have its own database in memory.
	db.SetMaxOpenConns(1)
	_, err = migrations.Apply(ctx, db, outbox.SQLite, migrations.Options{}) // as `relay migrate up`
	if err != nil {
		log.Fatal(err)
	}
	ob, err := outbox.New(outbox.SQLite)
	if err != nil {
		log.Fatal(err)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := ob.Add(ctx, tx, outbox.Event{Topic: "orders", Key: "o-1", Payload: []byte(`{"total":42}`)}); err != nil {
		log.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		log.Fatal(err)
	}
	return db
}
