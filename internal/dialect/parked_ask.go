package dialect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// askAtOnce is how many rows a statement marks. The owner's transactions wait for the
// rows that it locks while they hold the lease row, so it must be short.
const askAtOnce = 5000

// ParkedAsk asks the owner to send rows again or to drop them: the rows in IDs, or, if
// there are none, those that Filter chooses. A retry by filter means the failed rows,
// whose followers follow by themselves; a drop by filter means all of them.
type ParkedAsk struct {
	State  string // ParkRetry, ParkDrop
	IDs    []ParkedID
	Filter ParkedFilter
	// Force sends rows again though later events of their keys were delivered.
	Force bool
	// Reason for a drop; it goes before the row's error.
	Reason string
}

// ParkedAnswer says what an ask did.
type ParkedAnswer struct {
	Found     bool  // rows that it speaks of are there
	Marked    int64 // rows whose state was set
	Followers int64 // rows that wait behind them; 200,000 stands for that many or more
}

// AskParked sets the state of parked rows: all that are asked for, or, with an error
// that says why, none. Only a database failure half-way through more than some
// thousand rows leaves a part; the same ask again does the rest.
func AskParked(ctx context.Context, db *sql.DB, n Names, ask ParkedAsk) (ParkedAnswer, error) {
	if err := n.Validate(); err != nil {
		return ParkedAnswer{}, err
	}
	a := asking{db: db, names: n, ask: ask}
	if len(ask.IDs) == 0 {
		return a.byFilter(ctx)
	}
	var answer ParkedAnswer
	err := a.resolve(ctx)
	if err == nil {
		err = again(ctx, func() (err error) {
			answer, err = a.byID(ctx)
			return err
		})
	}
	return answer, err
}

// asking is one ask under way.
type asking struct {
	db    *sql.DB
	names Names
	ask   ParkedAsk
}

func (a *asking) byID(ctx context.Context) (answer ParkedAnswer, err error) {
	tx, err := a.db.BeginTx(ctx, nil)
	if err != nil {
		return answer, err
	}
	defer tx.Rollback() // after Commit it does nothing
	rows, err := a.locked(ctx, tx)
	if err != nil {
		return answer, err
	}
	if err := a.allowed(ctx, tx, rows); err != nil {
		return answer, err
	}
	seqs := make([]int64, len(rows))
	for i, e := range rows {
		seqs[i] = e.Seq
	}
	if answer.Marked, err = a.mark(ctx, tx, seqs); err != nil {
		return answer, err
	}
	if err := tx.Commit(); err != nil {
		return answer, fmt.Errorf("commit: %w", err)
	}
	answer.Found = true
	answer.Followers, err = a.followersOf(ctx, rows)
	return answer, err
}

// resolve turns the ids of events into those of rows. No index has the former, and the
// statement that locks rows must not go through all of them: it would wait, on MySQL, for
// each that the relay has locked, with the others locked meanwhile.
func (a *asking) resolve(ctx context.Context) error {
	byEvent := func(id ParkedID) bool { return id.Seq == 0 }
	if !slices.ContainsFunc(a.ask.IDs, byEvent) {
		return nil
	}
	w := &where{names: a.names}
	w.named(a.ask.IDs)
	rows, err := queryParked(ctx, a.db, a.names, parkedView(a.names, "NULL")+w.sql()+" ORDER BY seq", w.args)
	if err != nil {
		return err
	}
	if err := resolved(a.ask.IDs, rows); err != nil {
		return err
	}
	ids := make([]ParkedID, len(rows))
	for i, e := range rows {
		ids[i].Seq = e.Seq
	}
	a.ask.IDs = ids
	return nil
}

// locked returns the rows that are asked for and keeps them as they are.
func (a *asking) locked(ctx context.Context, tx *sql.Tx) ([]ParkedEntry, error) {
	w := &where{names: a.names}
	w.named(a.ask.IDs)
	rows, err := queryParked(ctx, tx, a.names, parkedView(a.names, "NULL")+w.sql()+" ORDER BY seq"+forUpdate(a.names), w.args)
	if err != nil {
		return nil, err
	}
	return rows, resolved(a.ask.IDs, rows)
}

// allowed says which rows cannot be asked for, and why.
func (a *asking) allowed(ctx context.Context, tx *sql.Tx, rows []ParkedEntry) error {
	var errs []error
	for _, e := range rows {
		if a.ask.State == ParkRetry && e.Overtaken && e.State != ParkRetry && !a.ask.Force {
			errs = append(errs, fmt.Errorf("row %d was overtaken: %s; add --force to send it all the same, or give it up: relay parked drop %d --reason …",
				e.Seq, overtakenMeans, e.Seq))
			continue
		}
		if e.Key == nil || e.Overtaken {
			continue // in no order, or no longer
		}
		first, state, err := a.before(ctx, tx, e, rows)
		if err != nil {
			return err
		}
		if first != 0 {
			errs = append(errs, a.behind(e, first, state))
		}
	}
	return errors.Join(errs...)
}

const overtakenMeans = "later events of this key were delivered before it; consumers may see an old value last"

func (a *asking) behind(e ParkedEntry, first int64, state string) error {
	verb := a.ask.State
	if state == ParkRetry {
		return fmt.Errorf("row %d waits behind row %d of its key, which is about to be sent again: ask once it is gone, see `relay parked show %d`", e.Seq, first, first)
	}
	reason := ""
	if verb == ParkDrop {
		reason = " --reason …"
	}
	return fmt.Errorf("row %d waits behind row %d of its key, which is %s: start with that one, relay parked %s %d%s, or take all of the key with --topic and --key",
		e.Seq, first, state, verb, first, reason)
}

// before returns the first row of the key that must go before e and is not asked for.
func (a *asking) before(ctx context.Context, tx *sql.Tx, e ParkedEntry, asked []ParkedEntry) (first int64, state string, err error) {
	key := string(e.Key)
	w := chosen(a.names, ParkedFilter{Topic: e.Topic, Key: &key})
	w.and("seq < " + w.arg(e.Seq))
	if a.ask.State == ParkRetry {
		w.and("state = 'failed'") // the others follow it
	} else {
		w.and("state <> 'drop'")
	}
	var others []string
	for _, other := range asked {
		if other.Seq < e.Seq && other.Topic == e.Topic && slices.Equal(other.Key, e.Key) {
			others = append(others, w.arg(other.Seq))
		}
	}
	if len(others) > 0 {
		w.and("seq NOT IN (" + strings.Join(others, ", ") + ")")
	}
	query := a.names.Expand("SELECT seq, state FROM {outbox_parked}") + w.sql() + " ORDER BY seq LIMIT 1"
	err = tx.QueryRowContext(ctx, query, w.args...).Scan(&first, &state)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, "", nil
	}
	return first, state, err
}

// followersOf counts the blocked rows of the rows' keys.
func (a *asking) followersOf(ctx context.Context, rows []ParkedEntry) (total int64, err error) {
	seen := make(map[EventKey]bool)
	for _, e := range rows {
		key := string(e.Key)
		if k := (EventKey{Topic: e.Topic, Key: key}); e.Key == nil || seen[k] {
			continue
		} else {
			seen[k] = true
		}
		count, err := countParked(ctx, a.db, chosen(a.names, ParkedFilter{Topic: e.Topic, Key: &key, State: ParkBlocked}))
		if err != nil {
			return total, err
		}
		total += count
	}
	return total, nil
}

func (a *asking) byFilter(ctx context.Context) (answer ParkedAnswer, err error) {
	w := chosen(a.names, a.ask.Filter)
	query := a.names.Expand("SELECT EXISTS (SELECT 1 FROM {outbox_parked}") + w.sql() + ")"
	if err := a.db.QueryRowContext(ctx, query, w.args...).Scan(&answer.Found); err != nil || !answer.Found {
		return answer, err
	}
	if err := a.nothingOvertaken(ctx); err != nil {
		return answer, err
	}
	if answer.Marked, err = a.markAll(ctx); err != nil {
		return answer, err
	}
	f := a.ask.Filter
	if f.State == "" || f.State == ParkBlocked {
		f.State = ParkBlocked
		answer.Followers, err = countParked(ctx, a.db, chosen(a.names, f))
	}
	return answer, err
}

// nothingOvertaken refuses a retry without force of rows that lost their place.
func (a *asking) nothingOvertaken(ctx context.Context) error {
	if a.ask.State != ParkRetry || a.ask.Force {
		return nil
	}
	w := chosen(a.names, a.ask.Filter)
	w.and("state = 'failed'")
	w.and(isTrue(a.names, "overtaken"))
	firsts, err := queryInts(ctx, a.db, a.names.Expand("SELECT seq FROM {outbox_parked}")+w.sql()+" ORDER BY seq LIMIT 1", w.args...)
	if err != nil || len(firsts) == 0 {
		return err
	}
	rows, err := countParked(ctx, a.db, w)
	if err != nil {
		return err
	}
	count := strconv.FormatInt(rows, 10)
	if rows >= CountLimit {
		count += " or more"
	}
	return fmt.Errorf("%s of these rows were overtaken, the first is row %d: %s; add --force to send them all the same, or name the others by their ids",
		count, firsts[0], overtakenMeans)
}

// markAll marks what the filter chooses, from the last row to the first: were the first
// rows of a key dropped before the others are marked, the relay would send the others.
func (a *asking) markAll(ctx context.Context) (marked int64, err error) {
	below := int64(0)
	for {
		w := chosen(a.names, a.ask.Filter)
		if a.ask.State == ParkRetry {
			w.and("state = 'failed'")
		} else {
			w.and("state <> 'drop'")
		}
		if below != 0 {
			w.and("seq < " + w.arg(below))
		}
		query := a.names.Expand("SELECT seq FROM {outbox_parked}") + w.sql() + " ORDER BY seq DESC LIMIT " + w.arg(askAtOnce)
		seqs, err := queryInts(ctx, a.db, query, w.args...)
		if err != nil || len(seqs) == 0 {
			return marked, err
		}
		var n int64
		err = again(ctx, func() error {
			n, err = a.mark(ctx, a.db, seqs)
			return err
		})
		if err != nil {
			return marked, fmt.Errorf("%d rows were marked, and then: %w", marked, err)
		}
		marked, below = marked+n, seqs[len(seqs)-1]
	}
}

// mark sets the state of rows, and returns how many changed.
func (a *asking) mark(ctx context.Context, q Execer, seqs []int64) (int64, error) {
	statement, args := markParked(a.names, a.ask, intsJSON(seqs))
	result, err := q.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// markParked is the statement that sets the state of listed rows. A retry leaves
// blocked rows as they are: they follow when the rows before them are delivered.
func markParked(n Names, ask ParkedAsk, list string) (string, []any) {
	w := &where{names: n}
	from := ""
	switch n.Dialect {
	case PostgreSQL:
		from = "json_array_elements_text(" + w.arg(list) + "::json) AS a (v)"
	case MySQL:
		from = "JSON_TABLE(" + w.arg(list) + ", '$[*]' COLUMNS (v BIGINT PATH '$')) AS a"
	}
	set := "state = '" + ParkRetry + "'"
	if ask.State == ParkDrop {
		note := w.arg("dropped: " + keptError(ask.Reason) + "; parked because: ")
		text := map[Dialect]string{
			PostgreSQL: "left(" + note + " || p.error, %d)", MySQL: "LEFT(CONCAT(" + note + ", p.error), %d)", SQLite: "substr(" + note + " || p.error, 1, %d)",
		}[n.Dialect]
		set = "state = '" + ParkDrop + "', error = " + fmt.Sprintf(text, maxParkError)
	}
	cond := "p.state IN ('failed', 'drop')"
	switch {
	case ask.State == ParkDrop:
		cond = "p.state <> 'drop'"
	case !ask.Force:
		cond += " AND NOT " + isTrue(n, "p.overtaken")
	}
	switch n.Dialect {
	case PostgreSQL:
		return n.Expand("UPDATE {outbox_parked} AS p SET " + set + " FROM " + from + " WHERE p.seq = a.v::bigint AND " + cond), w.args
	case MySQL:
		set = strings.Replace(strings.Replace(set, "state =", "p.state =", 1), ", error =", ", p.error =", 1)
		return n.Expand("UPDATE " + from + " STRAIGHT_JOIN {outbox_parked} AS p FORCE INDEX (PRIMARY) ON p.seq = a.v SET " + set + " WHERE " + cond), w.args
	}
	return n.Expand("UPDATE {outbox_parked} AS p SET " + set + " WHERE p.seq IN (SELECT value FROM json_each(" + w.arg(list) + ")) AND " + cond), w.args
}

// isTrue is a condition on a boolean column.
func isTrue(n Names, column string) string {
	if n.Dialect == PostgreSQL {
		return column
	}
	return "(" + column + " <> 0)"
}

// Owned reports whether a relay holds the lease now.
func Owned(ctx context.Context, db *sql.DB, n Names) (bool, error) {
	var s SourceStatus
	if err := s.readLease(ctx, db, n.Expand(statusQueries(n).lease)); err != nil {
		return false, fmt.Errorf("read %s: %w", n.Plain(Leases), err)
	}
	return s.Owner != "" && s.LeaseLeft > 0, nil
}
