package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/inbox"
)

// Defaults of PruneOptions.
const (
	DefaultMargin    = 100_000
	DefaultBatchSize = 1_000
)

// PruneOptions says which rows Prune may delete.
type PruneOptions struct {
	// Retention is how long a row is kept at least, by the database's clock: the
	// window in which duplicates are recognised. Required; more than the longest
	// time after which a message may come again, replays and retries included.
	Retention time.Duration

	// Committed returns the offset that the consumer's Kafka group has committed
	// for a partition: the next one it will read. Negative: it has committed none, and
	// nothing of the partition is deleted. Required when messages have a Position:
	// a consumer that was down for longer than Retention goes on reading where it
	// stopped, and without its rows would apply again what it had applied. Called
	// once for each partition and Prune.
	Committed func(ctx context.Context, topic string, partition int32) (int64, error)

	// Margin is how far below the committed offset, in offsets, a row must be to be
	// deleted. It covers copies of a message that lie further on in its partition,
	// as a relay leaves after a crash. 0: DefaultMargin; negative: none.
	Margin int64

	// BatchSize is the most rows that one statement deletes, at most 30,000.
	// 0: DefaultBatchSize.
	BatchSize int
}

// Errors of Prune, found with errors.Is.
var (
	// ErrNoRetention: Retention is not positive.
	ErrNoRetention = errors.New("no retention: say how long rows must be kept")
	// ErrNoCommitted: rows that have a Kafka position were kept, because
	// Committed is nil. Rows without one were deleted.
	ErrNoCommitted = errors.New("rows with a Kafka position were kept: set PruneOptions.Committed to the group's " +
		"committed offsets")
)

// expiredMessages is what pruning needs of a database.
type expiredMessages interface {
	// ExpiredMessages returns the next rows older than age, and where to go on from.
	ExpiredMessages(ctx context.Context, q db.Queryer, consumer string, age time.Duration, from store.Cursor,
		limit int) ([]store.Expired, store.Cursor, error)
	// DeleteMessages deletes those of the ids that are still older than age.
	DeleteMessages(ctx context.Context, q db.Execer, consumer string, age time.Duration, ids []string) (int64, error)
	// ParkedIDs returns which of the ids, one or more, are those of parked messages.
	ParkedIDs(ctx context.Context, q db.Queryer, consumer string, ids []string) (map[string]bool, error)
	// OldestMessage returns the age of the oldest row, 0 if there is none.
	OldestMessage(ctx context.Context, q db.Queryer, consumer string) (time.Duration, error)
	// DeleteOldAttempts forgets attempts that were begun longer than age ago.
	DeleteOldAttempts(ctx context.Context, q db.Execer, consumer string, age time.Duration, limit int) (int64, error)
}

// Prune deletes the consumer's rows that no delivery can need any more: not of a parked
// message, older than the retention and, for those that came from Kafka, further below the offset that
// the group has committed than the margin. It returns how many it deleted, which is
// right beside an error too.
//
// It deletes in small statements, each a transaction of its own, and holds no lock in
// between: run it from a ticker while consumers work, in as many processes as you
// like. What it reads: on PostgreSQL the table once, from front to back; elsewhere
// the expired rows by index.
//
// It also forgets what was counted of messages that did not come again, which is not in its number: those whose last
// attempt was begun a day ago, or before the retention if that is less. Such a row goes when
// a group's offset is moved past a message, or a topic is deleted. If the message does come again, its
// attempts are counted anew.
//
// With daily partitions it makes those of the next days, drops whole days that no consumer needs any more, and deletes
// rows of the rest: see WithDailyPartitions.
//
// An error of Committed ends it; the rest is for the next run. A topic that was
// deleted and made again has old rows with high offsets: they are kept until the
// new topic's offsets have passed them.
func (ib *Inbox) Prune(ctx context.Context, db *sql.DB, o PruneOptions) (int64, error) {
	if err := o.defaults(); err != nil {
		return 0, fmt.Errorf("inbox: prune %s for %q: %w", ib.table, ib.consumer, err)
	}
	p := pruner{ib: ib, db: db, options: o, limits: map[partition]int64{}}
	err := p.walk(ctx)
	if err == nil && ib.days != nil {
		err = p.dropDays(ctx)
	}
	if err == nil {
		err = p.forgetAttempts(ctx)
	}
	if err == nil && p.unguarded > 0 {
		err = fmt.Errorf("%d %w", p.unguarded, ErrNoCommitted)
	}
	if err != nil {
		return p.deleted, fmt.Errorf("inbox: prune %s for %q: %w%s", ib.table, ib.consumer, err, hint(err))
	}
	return p.deleted, nil
}

func (o *PruneOptions) defaults() error {
	if o.Retention <= 0 {
		return fmt.Errorf("%w (Retention is %s)", ErrNoRetention, o.Retention)
	}
	if o.BatchSize < 0 || o.BatchSize > store.MaxBatch {
		return fmt.Errorf("BatchSize %d: want 1 to %d, or 0 for %d", o.BatchSize, store.MaxBatch, DefaultBatchSize)
	}
	if o.BatchSize == 0 {
		o.BatchSize = DefaultBatchSize
	}
	switch {
	case o.Margin == 0:
		o.Margin = DefaultMargin
	case o.Margin < 0:
		o.Margin = 0
	}
	return nil
}

type partition struct {
	topic  string
	number int32
}

// pruner is one call of Prune.
type pruner struct {
	ib        *Inbox
	db        *sql.DB
	options   PruneOptions
	limits    map[partition]int64 // rows below this offset may go
	deleted   int64
	unguarded int64 // rows kept because Committed is nil
}

func (p *pruner) walk(ctx context.Context) error {
	var at store.Cursor
	for !at.Done() {
		var expired []store.Expired
		err := p.repeat(ctx, func() (err error) {
			expired, at, err = p.ib.store.ExpiredMessages(ctx, p.db, p.ib.consumer, p.options.Retention, at,
				p.options.BatchSize)
			return err
		})
		if err != nil {
			return fmt.Errorf("read expired rows: %w", err)
		}
		ids, err := p.deletable(ctx, expired)
		if err != nil {
			return err
		}
		if err := p.delete(ctx, ids); err != nil {
			return err
		}
	}
	return nil
}

// deletable returns the ids of the rows that no delivery can need any more.
func (p *pruner) deletable(ctx context.Context, expired []store.Expired) ([]string, error) {
	ids := make([]string, 0, len(expired))
	for _, m := range expired {
		if m.Position != nil {
			if p.options.Committed == nil {
				p.unguarded++
				continue
			}
			limit, err := p.limit(ctx, partition{m.Position.Topic, m.Position.Partition})
			if err != nil {
				return nil, err
			}
			if m.Position.Offset >= limit {
				continue
			}
		}
		ids = append(ids, m.MessageID)
	}
	return p.notParked(ctx, ids)
}

// notParked leaves out messages that are parked: delivered again without its row, such a one would be parked, and
// in the end run, twice.
func (p *pruner) notParked(ctx context.Context, ids []string) ([]string, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var parked map[string]bool
	for chunk := range slices.Chunk(ids, store.MaxBatch) {
		some, err := p.ib.store.ParkedIDs(ctx, p.db, p.ib.consumer, chunk)
		if isUnusable(err) {
			return ids, nil // who may not look there has parked nothing
		}
		if err != nil {
			return nil, fmt.Errorf("read which messages are parked: %w", err)
		}
		if parked == nil {
			parked = some
		}
		maps.Copy(parked, some)
	}
	return slices.DeleteFunc(ids, func(id string) bool { return parked[id] }), nil
}

// limit returns the offset below which rows of the partition may go.
func (p *pruner) limit(ctx context.Context, of partition) (int64, error) {
	if limit, known := p.limits[of]; known {
		return limit, nil
	}
	committed, err := p.options.Committed(ctx, of.topic, of.number)
	if err != nil {
		return 0, fmt.Errorf("ask for the committed offset of topic %q partition %d: %w", of.topic, of.number, err)
	}
	p.limits[of] = committed - p.options.Margin
	return p.limits[of], nil
}

func (p *pruner) delete(ctx context.Context, ids []string) error {
	for len(ids) > 0 {
		n := min(len(ids), p.options.BatchSize)
		err := p.repeat(ctx, func() error {
			deleted, err := p.ib.store.DeleteMessages(ctx, p.db, p.ib.consumer, p.options.Retention, ids[:n])
			p.deleted += deleted
			return err
		})
		if err != nil {
			return fmt.Errorf("delete %d rows: %w", n, err)
		}
		ids = ids[n:]
	}
	return nil
}

// leftBehind is how long after the start of its last attempt a message is given up for one that does not come again. A
// row of inbox_attempts has no position to hold against the committed offset. But one that goes too early does no
// more than begin the count anew, if it is older than the pauses between two attempts.
const leftBehind = 24 * time.Hour

func (p *pruner) forgetAttempts(ctx context.Context) error {
	age := max(min(p.options.Retention, leftBehind), 2*p.ib.retryWindow())
	for {
		var n int64
		err := p.repeat(ctx, func() (err error) {
			n, err = p.ib.store.DeleteOldAttempts(ctx, p.db, p.ib.consumer, age, p.options.BatchSize)
			return err
		})
		switch {
		case isUnusable(err):
			return nil // who may not write there has left nothing
		case err != nil:
			return fmt.Errorf("delete rows of %s that were left behind: %w", p.ib.attemptsTable, err)
		case n < int64(p.options.BatchSize):
			return nil
		}
	}
}

// repeat runs a statement again as long as the database ends it because of another one.
func (p *pruner) repeat(ctx context.Context, statement func() error) error {
	for n := 1; ; n++ {
		err := statement()
		if !db.IsSerialization(err) {
			return err
		}
		if p.ib.sleep(ctx, conflictBackoff.after(n)) != nil {
			return err
		}
	}
}

// DefaultPruneEvery is how often KeepPruned prunes.
const DefaultPruneEvery = time.Hour

// ErrShortRetention means: rows would be deleted while their messages are still tried.
var ErrShortRetention = errors.New("the retention is shorter than the retry window")

// Retention says how KeepPruned keeps the inbox small.
type Retention struct {
	PruneOptions

	// Every is the time between two rounds. 0: DefaultPruneEvery.
	Every time.Duration

	// OnPruned is told of each round, for metrics; nil: nobody is. Called from
	// KeepPruned's goroutine.
	OnPruned func(Pruned)
}

// Pruned is one round of KeepPruned.
type Pruned struct {
	Deleted int64 // rows
	// Window is the age of the consumer's oldest row that was kept, by the database's clock: how
	// far back duplicates are recognised. 0: there is no row.
	Window time.Duration
	Took   time.Duration
	Err    error // why the round ended early
}

// KeepPruned runs Prune at once and then from time to time until ctx ends, and returns nil
// then. Run it in a goroutine beside the consumer, in as many processes as you like. A round
// that fails is logged and told to OnPruned; the next one goes on with the rest.
//
// It refuses options that Prune refuses, and, with ErrShortRetention, a retention that is
// shorter than the time for which this inbox tries a message: a copy that is
// redelivered meanwhile would find no row.
func (ib *Inbox) KeepPruned(ctx context.Context, db *sql.DB, r Retention) error {
	if err := ib.checkRetention(&r); err != nil {
		return fmt.Errorf("inbox: keep %s pruned for %q: %w", ib.table, ib.consumer, err)
	}
	for {
		round := ib.pruneOnce(ctx, db, r)
		if ctx.Err() != nil {
			return nil
		}
		if round.Err != nil {
			ib.log.Warn("inbox: pruning ended early, the rest is for the next round", "deleted", round.Deleted, "error",
				round.Err)
		}
		if r.OnPruned != nil {
			r.OnPruned(round)
		}
		if ib.sleep(ctx, r.Every) != nil {
			return nil
		}
	}
}

// CheckRetention returns what KeepPruned would refuse r with, for a program that wants to know
// before it begins. It talks to nobody.
func (ib *Inbox) CheckRetention(r Retention) error {
	if err := ib.checkRetention(&r); err != nil {
		return fmt.Errorf("inbox: keep %s pruned for %q: %w", ib.table, ib.consumer, err)
	}
	return nil
}

func (ib *Inbox) checkRetention(r *Retention) error {
	if r.Every < 0 {
		return fmt.Errorf("time between rounds: Every is %s: want a time, or 0 for %s", r.Every, DefaultPruneEvery)
	}
	if r.Every == 0 {
		r.Every = DefaultPruneEvery
	}
	if options := r.PruneOptions; options.defaults() != nil {
		return options.defaults()
	}
	if window := ib.retryWindow(); r.Retention < window {
		return fmt.Errorf("%w: %s, but %d attempts take up to %s (WithMaxAttempts, WithBackoff)", ErrShortRetention,
			r.Retention, ib.attempts, window)
	}
	return nil
}

// retryWindow is the longest time that the pauses between the attempts at a message take.
func (ib *Inbox) retryWindow() (sum time.Duration) {
	pause := ib.backoff.min
	for range ib.attempts - 1 {
		sum += pause
		pause = min(2*pause, ib.backoff.max)
	}
	return sum
}

func (ib *Inbox) pruneOnce(ctx context.Context, db *sql.DB, r Retention) Pruned {
	start := time.Now()
	deleted, err := ib.Prune(ctx, db, r.PruneOptions)
	round := Pruned{Deleted: deleted, Err: err}
	if round.Window, err = ib.Window(ctx, db); round.Err == nil {
		round.Err = err
	}
	round.Took = time.Since(start)
	return round
}

// Window returns the age of the consumer's oldest row, by the database's clock: how far back
// duplicates are recognised. 0: there is no row. On PostgreSQL it reads the table once.
func (ib *Inbox) Window(ctx context.Context, db *sql.DB) (time.Duration, error) {
	age, err := ib.store.OldestMessage(ctx, db, ib.consumer)
	if err != nil {
		return 0, fmt.Errorf("inbox: read the oldest row of %s for %q: %w%s", ib.table, ib.consumer, err, hint(err))
	}
	return age, nil
}
