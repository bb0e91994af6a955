// Command withtx is compiled by a test of package outbox.
package main

import (
	"context"
	"database/sql"

	"github.com/postroom/postroom/outbox"
)

func write(ctx context.Context, ob *outbox.Outbox, tx *sql.Tx) error {
	return ob.Add(ctx, tx, outbox.Event{Topic: "orders"})
}

func main() { _ = write }
