package inbox

import (
	"context"
	"database/sql"
	"fmt"
)

// LowestPositions returns, of each Kafka partition that rows of the consumer come from, the
// lowest of their positions: below it nothing is known, or not any more. It reads all rows of the
// consumer once. inboxkafka asks it when a group begins.
func (ib *Inbox) LowestPositions(ctx context.Context, db *sql.DB) ([]Position, error) {
	lowest, err := ib.store.LowestOffsets(ctx, db, ib.consumer)
	if err != nil {
		return nil, fmt.Errorf("inbox: read the lowest positions of %q in %s: %w%s", ib.consumer, ib.table, err, hint(err))
	}
	positions := make([]Position, len(lowest))
	for i, at := range lowest {
		positions[i] = Position{Topic: at.Topic, Partition: at.Partition, Offset: at.Offset}
	}
	return positions, nil
}
