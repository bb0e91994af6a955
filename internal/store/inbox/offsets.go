package inbox

import (
	"context"
	"database/sql"

	"github.com/postroom/postroom/internal/db"
)

// Claim is what inbox_offsets has of a partition.
type Claim struct {
	Epoch int64 // how often the partition was claimed
	Next  sql.NullInt64
}

// ClaimPartition gives a partition the next epoch, in tx, and returns its row. It waits
// for a transaction that is moving the offset, and so reads what that one leaves.
func (s *Store) ClaimPartition(ctx context.Context, tx db.Queryer, consumer, topic string, partition int32) (
	Claim, error,
) {
	query := s.sql.ClaimPartition
	if s.names.Dialect == db.MySQL { // has no RETURNING
		if err := exec(ctx, tx, query, append(s.keys(consumer, topic), partition)...); err != nil {
			return Claim{}, err
		}
		query = s.sql.ReadClaim
	}
	return s.readClaim(ctx, tx, query, consumer, topic, partition)
}

// ReadClaim returns a partition's row.
func (s *Store) ReadClaim(ctx context.Context, q db.Queryer, consumer, topic string, partition int32) (Claim, error) {
	return s.readClaim(ctx, q, s.sql.ReadClaim, consumer, topic, partition)
}

// LockClaim is ReadClaim that locks the row: as it is, and not as it was when the transaction's snapshot
// was taken, or before a COMMIT that is on its way.
func (s *Store) LockClaim(ctx context.Context, tx db.Queryer, consumer, topic string, partition int32) (Claim, error) {
	return s.readClaim(ctx, tx, s.sql.LockClaim, consumer, topic, partition)
}

func (s *Store) readClaim(ctx context.Context, q db.Queryer, query, consumer, topic string, partition int32) (
	c Claim, err error,
) {
	err = one(ctx, q, []any{&c.Epoch, &c.Next}, query, append(s.keys(consumer, topic), partition)...)
	return c, err
}

// MoveOffset sets the next offset of a partition that is claimed with epoch, if it is not beyond first yet, and not
// below known, where it was (-1: nowhere); false: it is, or another member has claimed the partition.
func (s *Store) MoveOffset(
	ctx context.Context, tx db.Execer, consumer, topic string, partition int32, epoch, known, first, next int64,
) (bool, error) {
	args := append(append([]any{next}, s.keys(consumer, topic)...), partition, epoch, known, first)
	n, err := affected(ctx, tx, s.sql.MoveOffset, args...)
	return n > 0, err
}

// LowestOffsets returns, of each partition that the consumer's rows come from, the lowest offset.
func (s *Store) LowestOffsets(ctx context.Context, q db.Queryer, consumer string) ([]Position, error) {
	return db.Rows(ctx, q, func(p *Position) []any { return []any{&p.Topic, &p.Partition, &p.Offset} },
		s.sql.LowestOffsets, s.names.KeyArg(consumer))
}
