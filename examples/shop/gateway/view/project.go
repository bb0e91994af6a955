// Package view is the read model of the gateway: one row for each order, with what all services know about it, fed by
// their events. A request is one query, where asking the services would be four calls.
//
// Its position is its own: it is in the same database and moves in the same transaction as the rows. So the model can
// be built again from the topics, beside the live one (rebuild.go).
package view

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/gateway/cache"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
)

// Topics are those that the model is made of.
func Topics() []string {
	return []string{events.Orders, events.Payments, events.Stock, events.Customers}
}

// Model is the read model. Make it with New. Safe for concurrent use.
type Model struct {
	db    *kit.DB
	kafka kit.Kafka
	raise func(context.Context, cache.Versions) error
	log   *slog.Logger
}

// New makes the tables. raise gets the new version of each entity before the transaction that wrote it commits (see
// package cache); while it fails, the model waits.
func New(
	ctx context.Context, db *kit.DB, kafka kit.Kafka, raise func(context.Context, cache.Versions) error,
	log *slog.Logger,
) (*Model, error) {
	if err := db.Exec(ctx, tables...); err != nil {
		return nil, err
	}
	m := &Model{db: db, kafka: kafka, raise: raise, log: log}
	return m, db.Tx(ctx, func(tx *sql.Tx) error {
		_, err := db.InsertNew(ctx, tx, "view_generations", []string{"generation", "state"}, 1, live)
		return err
	})
}

// consumer returns the consumer that fills a generation. Each generation has its own name, and so its own position.
func (m *Model) consumer(generation int64) (*inboxkafka.Consumer, error) {
	name := m.consumerName(generation)
	ib, err := inbox.New(m.db.Dialect, name, inbox.WithLogger(m.log))
	if err != nil {
		return nil, err
	}
	var topics []string
	for _, topic := range Topics() {
		topics = append(topics, m.kafka.Topic(topic))
	}
	return inboxkafka.New(inboxkafka.Config{
		Inbox: ib, DB: m.db.SQL, Brokers: m.kafka.Brokers, Group: name, Topics: topics, Logger: m.log,
		Mode: inboxkafka.OffsetsInDatabase, MaxBatch: 100, Grace: 2 * time.Second, Options: m.kafka.Options(),
	})
}

func (m *Model) consumerName(generation int64) string {
	return fmt.Sprintf("%sorder-view-%d", m.kafka.Prefix, generation)
}

// project applies a batch of one partition to a generation.
func (m *Model) project(generation int64) inbox.BatchHandler {
	return func(ctx context.Context, tx *sql.Tx, ms []inbox.Message) error {
		if filled, err := m.isFilled(ctx, tx, generation); err != nil || !filled {
			return err // another gateway has switched, or has even deleted this generation
		}
		// Other partitions have events of the same orders and customers. All transactions lock rows in the order of
		// their keys, first orders and then customers, so that none waits for one that waits for it. The order of the
		// events within a key stays.
		ms = slices.SortedStableFunc(slices.Values(ms), func(a, b inbox.Message) int {
			return cmp.Compare(a.Key, b.Key)
		})
		floors, changes := cache.Versions{}, map[string]int64{}
		for _, message := range ms {
			if message.Topic == m.kafka.Topic(events.Customers) {
				if err := m.projectCustomer(ctx, tx, generation, message, floors); err != nil {
					return err
				}
				continue
			}
			customer, err := m.projectOrder(ctx, tx, generation, message, floors)
			if err != nil {
				return fmt.Errorf("%s %s: %w", message.Type, message.ID, err)
			}
			if customer != "" {
				changes[customer]++
			}
		}
		for _, customer := range slices.Sorted(maps.Keys(changes)) {
			revision, err := m.countChanges(ctx, tx, generation, customer, changes[customer])
			if err != nil {
				return err
			}
			floors[ofGeneration("orders-of", generation, customer)] = revision
		}
		return m.raiseUntilItWorks(ctx, floors)
	}
}

// projectOrder applies an event to its order, and returns the customer if the order changed.
func (m *Model) projectOrder(
	ctx context.Context, tx *sql.Tx, generation int64, message inbox.Message, floors cache.Versions,
) (customer string, err error) {
	of, err := kit.Decode[events.Of](message)
	if err != nil {
		return "", err
	}
	r, err := m.lock(ctx, tx, generation, of)
	if err != nil {
		return "", err
	}
	if err := m.note(ctx, tx, generation, of.OrderID, message); err != nil {
		return "", err
	}
	changed, err := r.apply(message)
	if err != nil || !changed {
		return "", err
	}
	r.revision++
	floors[ofGeneration("order", generation, of.OrderID)] = r.revision
	return of.Customer, m.save(ctx, tx, generation, r)
}

func (m *Model) projectCustomer(
	ctx context.Context, tx *sql.Tx, generation int64, message inbox.Message, floors cache.Versions,
) error {
	c, err := kit.Decode[events.Customer](message)
	if err != nil {
		return err
	}
	changed, err := m.saveCustomer(ctx, tx, generation, c)
	if changed {
		floors["customer:"+c.ID] = c.Version
	}
	return err
}

// note writes the event into the order's timeline.
func (m *Model) note(ctx context.Context, tx *sql.Tx, generation int64, order string, message inbox.Message) error {
	position := ""
	if p := message.Position; p != nil {
		position = fmt.Sprintf("%d@%d", p.Partition, p.Offset)
	}
	_, err := m.db.InsertNew(ctx, tx, "order_timeline",
		[]string{"generation", "order_id", "message_id", "topic", "type", "cause", "position", "applied_at"},
		generation, order, message.ID, strings.TrimPrefix(message.Topic, m.kafka.Prefix), message.Type,
		message.Headers["causation_id"], position, time.Now().UnixMilli())
	return err
}

// raiseUntilItWorks does not give up: a change that the cache does not know of must not become visible. While Redis is
// away, requests are answered from the rows as they are, or, if they ask for a later version, by the services.
func (m *Model) raiseUntilItWorks(ctx context.Context, floors cache.Versions) error {
	for {
		err := m.raise(ctx, floors)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
