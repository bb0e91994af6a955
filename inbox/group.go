package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/postroom/postroom/internal/dialect"
)

// GroupPosition is what the consumer's database remembers of its Kafka group in one partition. Kafka's offset alone
// does not tell that the database was restored to an earlier state, that the topic is another one of the same name,
// or that two groups read it for one consumer. inboxkafka keeps and asks it.
type GroupPosition struct {
	Topic     string
	Partition int32
	// Group is the one that reads the partition for the consumer; empty: not known yet.
	Group string
	// TopicID is Kafka's id of the topic that the offsets are of; empty: not known yet, or the brokers have none.
	TopicID string
	// Applied: all messages below it are done; -1: not known. It is committed before Kafka's offset, which is never
	// higher, unless the database has lost what it knew.
	Applied int64
	// Next is the position of a consumer that keeps it in the database (ClaimPartition); -1: it lives in Kafka.
	Next int64
	// Noted is for RaiseApplied alone: what the caller noted last. Where Applied is below it now, the database has gone
	// back to an earlier state, and nothing is noted. 0: nothing was.
	Noted int64
}

// Done returns the offset below which all messages are known to be done; -1: not known.
func (p GroupPosition) Done() int64 { return max(p.Applied, p.Next) }

// GroupPositions returns what is remembered of topics. kept is false where tables of an older build, or
// missing rights, remember no groups: then only Next is known, or nothing.
func (ib *Inbox) GroupPositions(ctx context.Context, db *sql.DB, topics []string) (positions []GroupPosition, kept bool, err error) {
	rows, err := ib.store.ReadGroups(ctx, db, ib.consumer, topics, false)
	kept = err == nil
	if dialect.IsMissingColumn(err) {
		rows, err = ib.store.ReadGroups(ctx, db, ib.consumer, topics, true)
	}
	if dialect.IsMissingTable(err) || dialect.IsDenied(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, ib.groupError("read the group's positions", err)
	}
	for _, row := range rows {
		positions = append(positions, GroupPosition(row))
	}
	return positions, kept, nil
}

// ErrGroupChanged: another member has changed the position meanwhile. Read it again.
var ErrGroupChanged = errors.New("another member has changed it meanwhile")

// ClaimGroupPosition writes a partition's position, from what was read of it; nil: it was not there. In another
// topic than before (TopicID) the old offsets go. It fails with ErrGroupChanged if somebody else was faster.
func (ib *Inbox) ClaimGroupPosition(ctx context.Context, db *sql.DB, from *GroupPosition, to GroupPosition) error {
	var done bool
	var err error
	if from == nil {
		done, err = ib.store.InsertGroup(ctx, db, ib.consumer, dialect.InboxGroupPosition(to))
	} else {
		done, err = ib.store.ReplaceGroup(ctx, db, ib.consumer, dialect.InboxGroupPosition(*from), dialect.InboxGroupPosition(to))
	}
	if err == nil && !done {
		err = ErrGroupChanged
	}
	if err != nil {
		return ib.groupError(fmt.Sprintf("claim %s/%d for group %q", to.Topic, to.Partition, to.Group), err)
	}
	return nil
}

// RaiseApplied notes how far partitions have come, before Kafka is told: those of group whose topic is still the
// one of the TopicID. An offset that is further already stays. It reports whether all were noted.
func (ib *Inbox) RaiseApplied(ctx context.Context, db *sql.DB, group string, to []GroupPosition) (all bool, err error) {
	noted := int64(0)
	for begin := 0; begin < len(to); begin += dialect.MaxGroups {
		var rows []dialect.InboxGroupPosition
		for _, p := range to[begin:min(begin+dialect.MaxGroups, len(to))] {
			rows = append(rows, dialect.InboxGroupPosition(p))
		}
		n, err := ib.store.RaiseGroups(ctx, db, ib.consumer, group, rows)
		if err != nil {
			return false, ib.groupError("note how far the partitions have come", err)
		}
		noted += n
	}
	return noted == int64(len(to)), nil
}

// OffsetsTable names the table of offsets and groups, for messages.
func (ib *Inbox) OffsetsTable() string { return ib.names.Plain(dialect.InboxOffsets) }

func (ib *Inbox) groupError(what string, err error) error {
	if dialect.IsDenied(err) {
		return fmt.Errorf("inbox: %s of consumer %q in %s: %w (%w): GRANT SELECT, INSERT, UPDATE, DELETE ON %s: docs/tables.md",
			what, ib.consumer, ib.OffsetsTable(), err, ErrNoRights, ib.OffsetsTable())
	}
	return fmt.Errorf("inbox: %s of consumer %q in %s: %w%s", what, ib.consumer, ib.OffsetsTable(), err, hint(err))
}

// ErrNoRights: the database user lacks a right on the table of offsets.
var ErrNoRights = errors.New("the user lacks a right")
