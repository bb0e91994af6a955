package dialect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Parked messages, the operator's side: it reads rows of inbox_parked and sets their
// state. Rows come and go only through the consumer.

// InboxPosition is where Kafka had a message.
type InboxPosition struct {
	Topic     string
	Partition int32
	Offset    int64
}

// InboxParkedEntry is a row of inbox_parked as an operator sees it.
type InboxParkedEntry struct {
	Seq       int64
	Consumer  string
	MessageID string
	Topic     string
	Key       *string // nil: none
	Type      string
	Headers   string
	Position  *InboxPosition // nil: the transport has none
	Attempts  int
	Error     string
	ParkedAt  time.Time
	State     string

	PayloadSize int64 // -1: no payload
	// Payload is filled in by FindInboxParked: the first bytes of it.
	Payload []byte
}

func (e InboxParkedEntry) sameKey(other InboxParkedEntry) bool {
	return e.Key != nil && other.Key != nil && *e.Key == *other.Key && e.Topic == other.Topic && e.Consumer == other.Consumer
}

// InboxParkedFilter chooses parked messages. Its zero value chooses all.
type InboxParkedFilter struct {
	Consumer string  // "": all
	Topic    string  // "": all
	Key      *string // nil: all
	State    string  // "": all
}

// InboxParkedID is how people name a parked message: by seq, or by the message's id,
// which several consumers can have parked.
type InboxParkedID struct {
	Seq       int64
	MessageID string // used if Seq is 0
}

// String returns the id as it was given.
func (id InboxParkedID) String() string {
	if id.Seq != 0 {
		return strconv.FormatInt(id.Seq, 10)
	}
	return strconv.Quote(id.MessageID)
}

func (id InboxParkedID) names(e InboxParkedEntry) bool {
	return e.Seq == id.Seq || id.Seq == 0 && e.MessageID == id.MessageID
}

// ListInboxParked returns the first rows that f chooses, limit of them at the most and
// without payloads, and whether there are more.
func ListInboxParked(ctx context.Context, db *sql.DB, n Names, f InboxParkedFilter, limit int) (entries []InboxParkedEntry, more bool, err error) {
	if err := n.Validate(); err != nil {
		return nil, false, err
	}
	w := inboxChosen(n, f)
	entries, err = inboxParked(n, ctx, db, "NULL", w.sql()+" ORDER BY seq LIMIT "+w.arg(limit+1), w.args)
	if len(entries) > limit {
		return entries[:limit], true, err
	}
	return entries, false, err
}

// FindInboxParked returns the row that id names, of f's consumer if it has one, with the
// first payload bytes of its payload. An error names an id that is not there, or that
// stands for several rows.
func FindInboxParked(ctx context.Context, db *sql.DB, n Names, f InboxParkedFilter, id InboxParkedID, payload int) (InboxParkedEntry, error) {
	if err := n.Validate(); err != nil {
		return InboxParkedEntry{}, err
	}
	part := map[Dialect]string{
		PostgreSQL: "substring(payload FROM 1 FOR %d)", MySQL: "SUBSTRING(payload, 1, %d)", SQLite: "substr(CAST(payload AS BLOB), 1, %d)",
	}[n.Dialect]
	w := inboxChosen(n, f)
	w.inboxNamed([]InboxParkedID{id})
	entries, err := inboxParked(n, ctx, db, fmt.Sprintf(part, payload), w.sql()+" ORDER BY seq", w.args)
	if err == nil {
		err = inboxResolved([]InboxParkedID{id}, entries)
	}
	if err != nil {
		return InboxParkedEntry{}, err
	}
	return entries[0], nil
}

// InboxParkedAsk asks the consumer to run messages again or to drop them: those in IDs,
// or, if there are none, those that Filter chooses. A retry by filter means the failed
// ones and the first of each key, whose followers follow by themselves; a drop by filter
// means all of them.
type InboxParkedAsk struct {
	State  string // ParkRetry, ParkDrop
	IDs    []InboxParkedID
	Filter InboxParkedFilter // with IDs: its consumer
	Reason string            // for a drop; it goes before the row's error
}

// AskInboxParked sets the state of parked messages: of all that are asked for, or, with
// an error that says why, of none.
func AskInboxParked(ctx context.Context, db *sql.DB, n Names, ask InboxParkedAsk) (answer ParkedAnswer, err error) {
	if err := n.Validate(); err != nil {
		return answer, err
	}
	a := inboxAsking{names: n, ask: ask}
	err = again(ctx, func() (err error) {
		answer, err = a.run(ctx, db)
		return err
	})
	return answer, err
}

type inboxAsking struct {
	names Names
	ask   InboxParkedAsk
}

func (a *inboxAsking) run(ctx context.Context, db *sql.DB) (answer ParkedAnswer, err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return answer, err
	}
	defer tx.Rollback() // after Commit it does nothing
	if len(a.ask.IDs) > 0 {
		answer, err = a.byID(ctx, tx)
	} else {
		answer, err = a.byFilter(ctx, tx)
	}
	if err != nil {
		return answer, err
	}
	if err := tx.Commit(); err != nil {
		return answer, fmt.Errorf("commit: %w", err)
	}
	return answer, nil
}

func (a *inboxAsking) byID(ctx context.Context, tx *sql.Tx) (answer ParkedAnswer, err error) {
	w := inboxChosen(a.names, a.ask.Filter)
	w.inboxNamed(a.ask.IDs)
	rows, err := inboxParked(a.names, ctx, tx, "NULL", w.sql()+" ORDER BY seq"+forUpdate(a.names), w.args)
	if err == nil {
		err = inboxResolved(a.ask.IDs, rows)
	}
	if err != nil {
		return answer, err
	}
	answer.Found = true
	var refused []error
	seen := map[string]bool{}
	for _, e := range rows {
		first, state, err := a.before(ctx, tx, e, rows)
		if err != nil {
			return answer, err
		}
		if first != 0 {
			refused = append(refused, a.behind(e, first, state))
			continue
		}
		if lane := e.Consumer + "\x00" + e.Topic + "\x00"; e.Key != nil && !seen[lane+*e.Key] {
			seen[lane+*e.Key] = true
			followers, err := a.followers(ctx, tx, InboxParkedFilter{Consumer: e.Consumer, Topic: e.Topic, Key: e.Key, State: ParkBlocked})
			if err != nil {
				return answer, err
			}
			answer.Followers += followers
		}
	}
	if err := errors.Join(refused...); err != nil {
		return answer, err
	}
	for i, e := range rows {
		if a.ask.State == ParkRetry && e.State == ParkBlocked && slices.ContainsFunc(rows[:i], e.sameKey) {
			continue // it follows
		}
		w := &where{names: a.names}
		w.and("seq = " + w.arg(e.Seq))
		marked, err := a.mark(ctx, tx, w, "'failed', 'blocked', 'drop'")
		if err != nil {
			return answer, err
		}
		answer.Marked += marked
		if marked > 0 && e.State == ParkBlocked && answer.Followers > 0 {
			answer.Followers-- // marked itself
		}
	}
	return answer, nil
}

// before returns the first row that must go before e and is not asked for: an earlier one
// of its key, if the key stands still. Where the consumer skips, no key does.
func (a *inboxAsking) before(ctx context.Context, tx *sql.Tx, e InboxParkedEntry, asked []InboxParkedEntry) (first int64, state string, err error) {
	if e.Key == nil {
		return 0, "", nil
	}
	w := inboxChosen(a.names, InboxParkedFilter{Consumer: e.Consumer, Topic: e.Topic, Key: e.Key})
	w.and("seq < " + w.arg(e.Seq))
	w.and(a.names.Expand("EXISTS (SELECT 1 FROM {inbox_blocked} AS b WHERE b.consumer = p.consumer AND b.topic = p.topic AND b.event_key = p.event_key)"))
	if a.ask.State == ParkDrop {
		w.and("state <> 'drop'")
	}
	var others []string
	for _, other := range asked {
		if other.Seq < e.Seq && e.sameKey(other) {
			others = append(others, w.arg(other.Seq))
		}
	}
	if len(others) > 0 {
		w.and("seq NOT IN (" + strings.Join(others, ", ") + ")")
	}
	query := a.names.Expand("SELECT seq, state FROM {inbox_parked} AS p") + w.sql() + " ORDER BY seq LIMIT 1"
	err = tx.QueryRowContext(ctx, query, w.args...).Scan(&first, &state)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, "", nil
	}
	return first, state, err
}

func (a *inboxAsking) behind(e InboxParkedEntry, first int64, state string) error {
	if state == ParkRetry || state == ParkDrop {
		return fmt.Errorf("row %d waits behind row %d of its key, which the consumer is about to %s: ask once it is gone, see `relay inbox parked show %d`", e.Seq, first, state, first)
	}
	reason := ""
	if a.ask.State == ParkDrop {
		reason = " --reason …"
	}
	return fmt.Errorf("row %d waits behind row %d of its key, which is %s: start with that one, relay inbox parked %s %d%s, or take all of the key with --topic and --key",
		e.Seq, first, state, a.ask.State, first, reason)
}

// byFilter takes keys whole, so that nothing is out of order. It is one statement: were the
// first rows of a key dropped before the others are marked, the consumer would run the others
// (hazard dropped-head).
func (a *inboxAsking) byFilter(ctx context.Context, tx *sql.Tx) (answer ParkedAnswer, err error) {
	w := inboxChosen(a.names, a.ask.Filter)
	if err := tx.QueryRowContext(ctx, a.names.Expand("SELECT EXISTS (SELECT 1 FROM {inbox_parked}")+w.sql()+")", w.args...).Scan(&answer.Found); err != nil || !answer.Found {
		return answer, err
	}
	states := "'failed', 'blocked', 'retry'"
	w = inboxChosen(a.names, a.ask.Filter)
	if a.ask.State == ParkRetry {
		states = "'failed', 'blocked'"
		w.and("(state = 'failed' OR " + inboxHeads(a.names) + ")")
	}
	if answer.Marked, err = a.mark(ctx, tx, w, states); err != nil {
		return answer, err
	}
	f := a.ask.Filter
	f.State = ParkBlocked
	answer.Followers, err = a.followers(ctx, tx, f)
	return answer, err
}

// inboxHeads is the condition of rows that are the first of their key: a blocked one waits behind
// nothing, and would for ever. MySQL updates no table that a subquery reads, but for one that it has written down.
func inboxHeads(n Names) string {
	return n.Expand("seq IN (SELECT head FROM (SELECT min(seq) AS head FROM {inbox_parked} WHERE event_key IS NOT NULL GROUP BY consumer, topic, event_key) AS heads)")
}

// followers counts rows, up to the limit beyond which counting takes seconds.
func (a *inboxAsking) followers(ctx context.Context, tx *sql.Tx, f InboxParkedFilter) (rows int64, err error) {
	w := inboxChosen(a.names, f)
	query := a.names.Expand("SELECT count(*) FROM (SELECT 1 FROM {inbox_parked}") + w.sql() + fmt.Sprintf(" LIMIT %d) AS counted", CountLimit)
	return rows, tx.QueryRowContext(ctx, query, w.args...).Scan(&rows)
}

// mark sets the state of the rows that w chooses and that are in one of the states.
func (a *inboxAsking) mark(ctx context.Context, tx *sql.Tx, w *where, states string) (int64, error) {
	set := "state = '" + ParkRetry + "'"
	args := w.args
	if a.ask.State == ParkDrop {
		states = strings.ReplaceAll(states, "'drop'", "'retry'")
		note := "dropped: " + keptError(a.ask.Reason) + "; parked because: "
		text := map[Dialect]string{
			PostgreSQL: fmt.Sprintf("left($%d::text || error, %d)", len(args)+1, maxParkError),
			MySQL:      fmt.Sprintf("LEFT(CONCAT(?, error), %d)", maxParkError),
			SQLite:     fmt.Sprintf("substr(? || error, 1, %d)", maxParkError),
		}[a.names.Dialect]
		set = "state = '" + ParkDrop + "', error = " + text
		if a.names.Dialect == PostgreSQL {
			args = append(slices.Clone(args), note)
		} else { // without numbers: in the order of the text
			args = append([]any{note}, args...)
		}
	}
	w.and("state IN (" + states + ")")
	result, err := tx.ExecContext(ctx, a.names.Expand("UPDATE {inbox_parked} SET "+set)+w.sql(), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}
