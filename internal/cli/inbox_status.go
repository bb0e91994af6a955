package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/ops"
	inboxstore "github.com/postroom/postroom/internal/store/inbox"
	"github.com/postroom/postroom/migrations"
)

func newInboxStatus(env *Env) *cobra.Command {
	var consumer string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "show each consumer's rows, deduplication window, parked messages and offsets",
		Long: `status reads the inbox tables of a consumer's database. For each consumer it shows the number of
messages that the inbox remembers, and how far back they go: in this window the inbox recognises
duplicates. It also shows the parked messages, the blocked keys, and the messages whose handling has
begun. Then it lists the Kafka partitions with the consumer group that reads them, and the backfills
that have not arrived completely.

status reads only a part of large tables. A number after "about" is an estimate. On PostgreSQL it
comes from a sample, and the window may be a little longer than shown; on MySQL it comes from the
optimizer.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return onInbox(env, cmd, checkConsumer(cmd.Flags(), consumer), func(ctx context.Context,
				d *database) error {
				s, err := inboxstore.ReadStatus(ctx, d.DB, d.names(), consumer)
				if err != nil {
					return err
				}
				if consumer != "" && len(s.Consumers) == 0 {
					return unknownConsumer(consumer)
				}
				var gone error
				if len(s.Absent) > 0 {
					gone = d.diagnose(ctx, migrations.InboxOnly)
				}
				return printInboxStatus(env, cmd, inboxStateOf(s), gone)
			})
		},
	}
	addInbox(cmd)
	cmd.Flags().StringVar(&consumer, "consumer", "", "`name` of the consumer (default: all)")
	return cmd
}

// inboxState is what `inbox status --json` prints. Its lists are never null.
type inboxState struct {
	Consumers []inboxConsumer `json:"consumers"`
	Offsets   []inboxOffset   `json:"offsets"`
	Backfills []inboxBackfill `json:"backfills"` // those that have not arrived completely
	// Absent lists missing tables: an older build did not create them, or somebody dropped them.
	Absent []string `json:"absent_tables"`
}

type inboxConsumer struct {
	Consumer  string     `json:"consumer"`
	Rows      int64      `json:"rows"`
	Window    float64    `json:"window_seconds"`
	Estimated bool       `json:"estimated"` // rows is an estimate; on PostgreSQL window too
	Oldest    *time.Time `json:"oldest_applied_at"`

	Parked       inboxParkedCounts `json:"parked"`
	ParkedAge    float64           `json:"oldest_parked_seconds"`
	OldestParked *time.Time        `json:"oldest_parked_at"`
	BlockedKeys  int64             `json:"blocked_keys"`

	Attempts      int64   `json:"attempts"`
	OldestAttempt float64 `json:"oldest_attempt_seconds"`
}

// inboxParkedCounts are the numbers of parked messages. Counting stops when their sum is 200,000.
type inboxParkedCounts struct {
	Failed  int64 `json:"failed"`
	Blocked int64 `json:"blocked"`
	Retry   int64 `json:"retry"`
	Drop    int64 `json:"drop"`
}

type inboxOffset struct {
	Consumer  string    `json:"consumer"`
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	Group     string    `json:"group"`          // empty: not known
	TopicID   string    `json:"topic_id"`       // Kafka's id of the topic; empty: not known
	Applied   *int64    `json:"applied_offset"` // all messages below it are handled; null: not known
	Next      *int64    `json:"next_offset"`    // the position, if the database keeps it
	Epoch     int64     `json:"epoch"`
	UpdatedAt time.Time `json:"updated_at"`

	age time.Duration
}

type inboxBackfill struct {
	Replica string    `json:"replica"`
	RunID   string    `json:"run_id"`
	Sent    *int64    `json:"sent"` // null: its end marker has not arrived
	HeardAt time.Time `json:"heard_at"`

	age time.Duration
}

// timeOrNull returns nil, which is null in JSON, for a zero time.
func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func inboxStateOf(s inboxstore.Status) inboxState {
	state := inboxState{
		Consumers: []inboxConsumer{}, Offsets: []inboxOffset{}, Backfills: []inboxBackfill{},
		Absent: append([]string{}, s.Absent...),
	}
	for _, c := range s.Consumers {
		state.Consumers = append(state.Consumers, inboxConsumer{
			Consumer: c.Consumer, Rows: c.Rows, Window: c.Window.Seconds(), Estimated: c.Estimated,
			Oldest: timeOrNull(c.Oldest),
			Parked: inboxParkedCounts{
				Failed: c.Parked[db.ParkedFailed], Blocked: c.Parked[db.ParkedBlocked],
				Retry: c.Parked[db.ParkedRetry], Drop: c.Parked[db.ParkedDrop],
			},
			ParkedAge: c.ParkedAge.Seconds(), OldestParked: timeOrNull(c.OldestParked),
			BlockedKeys: c.BlockedKeys,
			Attempts:    c.Attempts, OldestAttempt: c.OldestAttempt.Seconds(),
		})
	}
	for _, h := range s.Partitions {
		o := inboxOffset{
			Consumer: h.Consumer, Topic: h.Topic, Partition: h.Partition, Group: h.Group, TopicID: h.TopicID,
			Epoch: h.Epoch, UpdatedAt: h.UpdatedAt, age: h.Age,
		}
		if h.Applied.Valid {
			o.Applied = &h.Applied.Int64
		}
		if h.Next.Valid {
			o.Next = &h.Next.Int64
		}
		state.Offsets = append(state.Offsets, o)
	}
	for _, b := range s.Backfills {
		backfill := inboxBackfill{Replica: b.Replica, RunID: b.RunID, HeardAt: b.HeardAt, age: b.Age}
		if b.Sent.Valid {
			backfill.Sent = &b.Sent.Int64
		}
		state.Backfills = append(state.Backfills, backfill)
	}
	return state
}

// printInboxStatus prints s, and below it the missing tables. gone is the error if recorded tables were dropped.
func printInboxStatus(env *Env, cmd *cobra.Command, s inboxState, gone error) error {
	if wantsJSON(cmd) {
		return printJSON(env.Stdout, s)
	}
	var consumers, offsets, backfills [][]string
	for _, c := range s.Consumers {
		consumers = append(consumers, c.cells())
	}
	for _, o := range s.Offsets {
		offsets = append(offsets, []string{
			printable(o.Consumer), orDash(o.Group), printable(o.Topic), strconv.Itoa(int(o.Partition)),
			number(o.Applied), number(o.Next), strconv.FormatInt(o.Epoch, 10), roughly(o.age) + " ago",
		})
	}
	for _, b := range s.Backfills {
		backfills = append(backfills, []string{
			printable(b.Replica), printable(b.RunID), number(b.Sent), roughly(b.age) + " ago",
		})
	}
	first := true
	for _, t := range []struct {
		heading []string
		rows    [][]string
	}{
		{[]string{"CONSUMER", "ROWS", "WINDOW", "PARKED", "OLDEST PARKED", "BLOCKED KEYS", "ATTEMPTS"}, consumers},
		{[]string{"CONSUMER", "GROUP", "TOPIC", "PARTITION", "APPLIED BELOW", "NEXT OFFSET", "EPOCH", "MOVED"},
			offsets},
		{[]string{"REPLICA", "BACKFILL", "ROWS SENT", "LAST MESSAGE"}, backfills},
	} {
		if len(t.rows) == 0 {
			continue
		}
		if !first {
			if _, err := fmt.Fprintln(env.Stdout); err != nil {
				return err
			}
		}
		first = false
		if err := printTable(env.Stdout, t.heading, t.rows); err != nil {
			return err
		}
	}
	if first {
		sayEmpty(env, cmd, "the inbox tables are empty: no consumer has handled a message yet")
	}
	if gone != nil {
		_, err := fmt.Fprintln(env.Stderr, gone)
		return err
	}
	if len(s.Absent) > 0 {
		_, err := fmt.Fprintf(env.Stderr, "%s missing, because an older build created the tables: "+
			"run relay migrate up --only inbox\n", isOrAre(s.Absent))
		return err
	}
	return nil
}

func isOrAre(names []string) string {
	if len(names) == 1 {
		return names[0] + " is"
	}
	return strings.Join(names, " and ") + " are"
}

func (c inboxConsumer) cells() []string {
	about, window := "", "-"
	if c.Estimated {
		about = "about "
	}
	if c.Rows > 0 {
		window = about + roughly(seconds(c.Window))
	}
	oldest, attempts := "-", "-"
	if c.OldestParked != nil {
		oldest = roughly(seconds(c.ParkedAge)) + " ago"
	}
	if c.Attempts > 0 {
		attempts = fmt.Sprintf("%s, the oldest begun %s ago", ops.AtLeast(c.Attempts),
			roughly(seconds(c.OldestAttempt)))
	}
	keys := "-"
	if c.BlockedKeys > 0 {
		keys = ops.AtLeast(c.BlockedKeys)
	}
	return []string{
		printable(c.Consumer), about + strconv.FormatInt(c.Rows, 10), window, c.Parked.text(), oldest, keys, attempts,
	}
}

// text returns the counts as a cell of the table.
func (p inboxParkedCounts) text() string {
	return parkedCounts{p.Failed, p.Blocked, p.Retry + p.Drop}.text()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return printable(s)
}

func number(n *int64) string {
	if n == nil {
		return "-"
	}
	return strconv.FormatInt(*n, 10)
}
