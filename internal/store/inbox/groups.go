package inbox

import (
	"context"
	"strings"

	"github.com/postroom/postroom/internal/db"
)

// GroupPosition is what a row of inbox_offsets tells of the consumer's Kafka group in one partition.
type GroupPosition struct {
	Topic     string
	Partition int32
	Group     string // empty: not known, as the next
	TopicID   string
	Applied   int64 // all messages below it are done; -1: not known
	Next      int64 // the position, where it lives here: all below it are done, and nothing else; -1: it lives in Kafka
	Noted     int64 // for RaiseGroups alone: Applied is not below it, unless the database has gone back
}

// ReadGroups returns a consumer's rows of the topics; with older of a table that has no columns for groups yet.
func (s *Store) ReadGroups(ctx context.Context, q db.Queryer, consumer string, topics []string, older bool) (
	[]GroupPosition, error,
) {
	if len(topics) == 0 {
		return nil, nil
	}
	query := s.sql.ReadGroups
	if older {
		query = s.sql.ReadGroupsOlder
	}
	return db.Rows(ctx, q, func(g *GroupPosition) []any {
		return []any{&g.Topic, &g.Partition, &g.Group, &g.TopicID, &g.Applied, &g.Next}
	}, db.Fill(query, db.Values{"topics": s.list(1, len(topics))}), append(s.keys(consumer), s.keys(topics...)...)...)
}

// InsertGroup makes a partition's row; false: it is there.
func (s *Store) InsertGroup(ctx context.Context, q db.Execer, consumer string, g GroupPosition) (bool, error) {
	err := exec(ctx, q, s.sql.InsertGroup, append(s.keys(consumer, g.Topic),
		g.Partition, s.orNull(g.Group), s.orNull(g.TopicID), orNoOffset(g.Applied))...)
	if db.IsDuplicate(err) {
		return false, nil
	}
	return err == nil, err
}

// ReplaceGroup changes a partition's row from what was read of it; false: it has changed since. In the same topic
// the applied offset never falls. An offset that is kept here stays, or goes if to has none, and with it all claims.
func (s *Store) ReplaceGroup(ctx context.Context, q db.Execer, consumer string, from, to GroupPosition) (bool, error) {
	set, args := s.sql.SetApplied, []any{s.orNull(to.Group), s.orNull(to.TopicID), orNoOffset(to.Applied)}
	if from.TopicID == to.TopicID || from.TopicID == "" {
		set = s.sql.RaiseApplied
		args = append(args, orNoOffset(to.Applied))
	}
	if to.Next < 0 {
		set += ", " + s.sql.RemoveOffset
	}
	args = append(append(args, s.keys(consumer, from.Topic)...), from.Partition)
	args = append(args, s.keys(from.Group, from.TopicID)...)
	n, err := affected(ctx, q, s.names.Numbered(db.Fill(s.sql.ReplaceGroup, db.Values{"set": db.SQL(set)})), args...)
	return n > 0, err
}

// MaxGroups is the most partitions that RaiseGroups takes: SQLite's limit of SELECTs in a UNION.
const MaxGroups = 500

// RaiseGroups notes in one statement how far partitions have come, in those that are still read by the same group
// in the same topic, and where they were noted to be at least. It returns how many they are.
func (s *Store) RaiseGroups(ctx context.Context, q db.Execer, consumer, group string, to []GroupPosition) (
	int64, error,
) {
	var rows []any
	for _, g := range to {
		rows = append(rows, s.names.KeyArg(g.Topic), g.Partition, s.names.KeyArg(g.TopicID), g.Applied, g.Noted)
	}
	more := db.SQL(strings.Repeat(" "+s.sql.RaiseGroupsRow, len(to)-1))
	query := db.Fill(s.sql.RaiseGroups, db.Values{"rows": more})
	return affected(ctx, q, s.names.Numbered(query), append(rows, s.keys(consumer, group)...)...)
}

// orNull is a name's argument, and NULL for an empty name.
func (s *Store) orNull(name string) any {
	if name == "" {
		return nil
	}
	return s.names.KeyArg(name)
}

// orNoOffset is NULL for an offset that is not known.
func orNoOffset(n int64) any {
	if n < 0 {
		return nil
	}
	return n
}
