package outboxpgx_test

import (
	"context"
	"fmt"
	"log"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/outbox/outboxpgx"
)

// placeOrder runs in the caller's transaction, for example in that of pgx.BeginFunc(ctx, pool, …).
func placeOrder(ctx context.Context, tx pgx.Tx, ob *outbox.Outbox, id string, payload []byte) error {
	if _, err := tx.Exec(ctx, "INSERT INTO orders (id) VALUES ($1)", id); err != nil {
		return err
	}
	return outboxpgx.Add(ctx, ob, tx, outbox.Event{Topic: "orders", Key: id, Type: "order.placed", Payload: payload})
}

// An order and its event are two statements of one transaction of pgx. The transaction is a stand-in here, because pgx
// needs a server.
func ExampleAdd() {
	ctx := context.Background()
	ob, err := outbox.New(outbox.PostgreSQL)
	if err != nil {
		log.Fatal(err)
	}
	tx := &standIn{}
	if err := placeOrder(ctx, tx, ob, "o-1", []byte(`{"total":42}`)); err != nil {
		log.Fatal(err)
	}
	fmt.Println("statements in the transaction:", tx.statements)

	// pgx speaks PostgreSQL alone.
	ob, err = outbox.New(outbox.MySQL)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(placeOrder(ctx, tx, ob, "o-2", nil))
	// Output:
	// statements in the transaction: 2
	// outboxpgx: dialect "mysql": the outbox is not one for PostgreSQL, which is all that pgx speaks
}

// standIn is a transaction that counts its statements.
type standIn struct {
	pgx.Tx
	statements int
}

func (s *standIn) Exec(context.Context, string, ...any) (pgconn.CommandTag, error) {
	s.statements++
	return pgconn.NewCommandTag("INSERT 0 1"), nil
}
