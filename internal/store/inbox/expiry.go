package inbox

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// DayGroup is the rows of one consumer and one Kafka partition in a day, with what the consumer has written into
// inbox_expiry.
type DayGroup struct {
	Consumer  string
	Position  *Position // with the highest offset; nil: rows without a position
	Rows      int64
	Youngest  time.Duration // since the last of them was applied
	HasExpiry bool          // the consumer has written what it needs
	ExpiryAge time.Duration // since it did so last
	Retention time.Duration
	Below     sql.NullInt64
}

// expiryValidFor is for how long an expiry counts. What a group has committed may go back
// while the consumer is down, by an operator's hand or because the topic was made anew: so
// nobody drops for long what a consumer that is down may read again, and nobody drops rows
// that are younger than the expiry.
const expiryValidFor = 24 * time.Hour

// keptBecause says what keeps the group's rows, "" for nothing.
func (g DayGroup) keptBecause() string {
	switch {
	case !g.HasExpiry && g.Position == nil:
		return fmt.Sprintf("consumer %q has not recorded for how long it needs its rows; check that its KeepPruned "+
			"runs", g.Consumer)
	case !g.HasExpiry:
		return fmt.Sprintf("consumer %q has not recorded how far it is in %s/%d; check that its KeepPruned runs",
			g.Consumer, g.Position.Topic, g.Position.Partition)
	case g.Youngest < g.Retention:
		return fmt.Sprintf("consumer %q applied a message %s ago, and keeps rows for %s",
			g.Consumer, g.Youngest.Round(time.Second), g.Retention)
	case g.ExpiryAge >= g.Youngest || g.ExpiryAge > expiryValidFor:
		return fmt.Sprintf("consumer %q has recorded nothing for %s; check that its KeepPruned runs",
			g.Consumer, g.ExpiryAge.Round(time.Second))
	case g.Position != nil && (!g.Below.Valid || g.Position.Offset >= g.Below.Int64):
		return fmt.Sprintf("consumer %q may read offset %d of %s/%d again: its group has not committed far "+
			"enough beyond",
			g.Consumer, g.Position.Offset, g.Position.Topic, g.Position.Partition)
	}
	return ""
}

// Groups reads a day's rows, with the expiry of their consumers.
func (d *Days) Groups(ctx context.Context, q db.Queryer, day string) (all []DayGroup, err error) {
	err = db.Each(ctx, q, func(rows *sql.Rows) error {
		var g DayGroup
		var at nullPosition
		var retention, youngest, recorded sql.NullInt64
		err := rows.Scan(&g.Consumer, &at.topic, &at.partition, &at.offset, &g.Rows, &youngest, &retention, &g.Below,
			&recorded)
		g.Position, g.HasExpiry = at.value(), retention.Valid
		g.Youngest, g.ExpiryAge, g.Retention = db.Micros(youngest), db.Micros(recorded), db.Micros(retention)
		all = append(all, g)
		return err
	}, db.Fill(d.daily.DayGroups, db.Values{"day": literal(day)}))
	return all, err
}

// SetExpiry records that the consumer no longer needs rows that are older than retention and, of
// a Kafka partition, below an offset. at is nil for its rows without a position.
func (d *Days) SetExpiry(ctx context.Context, q db.Execer, consumer string, retention time.Duration, at *Position,
	below int64,
) error {
	topic, part, limit := "", int32(-1), sql.NullInt64{}
	if at != nil {
		topic, part, limit = at.Topic, at.Partition, sql.NullInt64{Int64: below, Valid: true}
	}
	return exec(ctx, q, d.daily.SetExpiry, consumer, topic, part, retention.Microseconds(), limit)
}

// ShortestRetention returns the shortest retention in inbox_expiry, 0 if there is none.
func (d *Days) ShortestRetention(ctx context.Context, q db.Queryer) (time.Duration, error) {
	var us int64
	err := one(ctx, q, []any{&us}, d.daily.ShortestRetention)
	return time.Duration(us) * time.Microsecond, err
}
