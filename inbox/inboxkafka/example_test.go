package inboxkafka_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	_ "modernc.org/sqlite" // a driver: the application chooses it

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/migrations"
)

// A consumer group makes an invoice of each order. The topic has a copy of the first order: it takes effect once.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	brokers, closeKafka := kafkaWithOrders(ctx, "o-1", "o-1", "o-2")
	defer closeKafka()
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
	consumer, err := inboxkafka.New(inboxkafka.Config{
		Inbox: ib, DB: db,
		Brokers: brokers, Group: "billing", Topics: []string{"orders"},
		Mode:      inboxkafka.PerMessage,
		Retention: 7 * 24 * time.Hour, // how long ids are kept
		OnOutcome: func(m inbox.Message, o inbox.Outcome) {
			fmt.Println(m.Key, o)
			if m.Key == "o-2" {
				stop()
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	err = consumer.Run(ctx, func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO invoices (order_id) VALUES (?)", m.Key)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// o-1 applied
	// o-1 duplicate
	// o-2 applied
}

// kafkaWithOrders starts a Kafka in this process, and produces what a relay would.
func kafkaWithOrders(ctx context.Context, orders ...string) (brokers []string, closeKafka func()) {
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	if err != nil {
		log.Fatal(err)
	}
	producer, err := kgo.NewClient(kgo.SeedBrokers(kafka.ListenAddrs()...))
	if err != nil {
		log.Fatal(err)
	}
	defer producer.Close()
	for _, order := range orders {
		id := kgo.RecordHeader{Key: "_watermill_message_uuid", Value: []byte("the id of " + order)}
		r := &kgo.Record{Topic: "orders", Key: []byte(order), Headers: []kgo.RecordHeader{id}}
		if err := producer.ProduceSync(ctx, r).FirstErr(); err != nil {
			log.Fatal(err)
		}
	}
	return kafka.ListenAddrs(), kafka.Close
}
