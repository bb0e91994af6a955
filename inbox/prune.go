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
	// Retention is the shortest time that a row is kept, by the database's clock. It is the window in which
	// duplicates are recognised. Required. It must be longer than the longest time after which a message may come
	// again, with replays and retries.
	Retention time.Duration

	// Committed returns the offset that the consumer's Kafka group has committed for a partition, that is, the next
	// one that it will read. Negative: the group has committed none, and nothing of the partition is deleted. Prune
	// calls it once for each partition.
	//
	// Committed is required when messages have a Position. A consumer that was down for longer than Retention
	// continues where it stopped. If its rows were deleted, it would apply again what it has applied.
	Committed func(ctx context.Context, topic string, partition int32) (int64, error)

	// Margin is how many offsets a row must be below the committed offset to be deleted. It covers copies of a
	// message at higher offsets of its partition, which a relay can leave after a crash. 0: DefaultMargin;
	// negative: none.
	Margin int64

	// BatchSize is the most rows that one statement deletes, at most 30,000.
	// 0: DefaultBatchSize.
	BatchSize int
}

// Errors of Prune, for errors.Is.
var (
	// ErrNoRetention means: Retention is not positive.
	ErrNoRetention = errors.New("no retention: say how long rows must be kept")
	// ErrNoCommitted means: rows that have a Kafka position were kept, because Committed is nil. Rows without a
	// position were deleted.
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

// Prune deletes the rows of the consumer that no delivery can need any more. Such a row is older than the
// retention. If its message came from Kafka, it is also below the offset that the group has committed, by more than
// the margin. Rows of parked messages stay. Prune returns how many rows it deleted; the number is also right when
// there is an error.
//
// Prune deletes in small statements. Each is a transaction of its own, and no lock is held between them. You can
// run it from a ticker while consumers work, in as many processes as you like. On PostgreSQL it reads the table
// once, from front to back. On the other databases it reads the expired rows by index.
//
// Prune also deletes the counted attempts at messages that did not come again. They are not in the number that it
// returns. An attempt is deleted when it began more than a day ago, or more than the retention ago if that is
// shorter. Attempts are left behind when a group's offset is moved past a message, or when a topic is deleted. If
// the message does come again, its attempts are counted from 1.
//
// With daily partitions Prune creates the partitions of the next days, drops whole days that no consumer needs any
// more, and deletes rows of the other partitions: see WithDailyPartitions.
//
// An error of Committed ends Prune; the next run deletes the rest. When a topic was deleted and created again, the
// rows of the old topic have high offsets. They are kept until the offsets of the new topic are higher.
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
		err = p.deleteOldAttempts(ctx)
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

// notParked leaves out messages that are parked. If the row of such a message were deleted and the message came
// again, it would be parked twice, and in the end handled twice.
func (p *pruner) notParked(ctx context.Context, ids []string) ([]string, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var parked map[string]bool
	for chunk := range slices.Chunk(ids, store.MaxBatch) {
		some, err := p.ib.store.ParkedIDs(ctx, p.db, p.ib.consumer, chunk)
		if isUnusable(err) {
			return ids, nil // a user that may not read the table has parked nothing
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
		return 0, fmt.Errorf("read the committed offset of topic %q partition %d: %w", of.topic, of.number, err)
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

// oldAttempts is the age at which an attempt counts as left behind: its message does not come again. A row of
// inbox_attempts has no position that could be compared with the committed offset. If such a row is deleted too
// early, the count begins again at 1, which does no harm once the row is older than the pauses between two
// attempts.
const oldAttempts = 24 * time.Hour

func (p *pruner) deleteOldAttempts(ctx context.Context) error {
	age := max(min(p.options.Retention, oldAttempts), 2*p.ib.retryWindow())
	for {
		var n int64
		err := p.repeat(ctx, func() (err error) {
			n, err = p.ib.store.DeleteOldAttempts(ctx, p.db, p.ib.consumer, age, p.options.BatchSize)
			return err
		})
		switch {
		case isUnusable(err):
			return nil // a user that may not write the table has left no row
		case err != nil:
			return fmt.Errorf("delete old attempts of %s: %w", p.ib.attemptsTable, err)
		case n < int64(p.options.BatchSize):
			return nil
		}
	}
}

// repeat repeats a statement as long as the database ends it because of another transaction.
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

// ErrShortRetention means: rows would be deleted while the inbox still retries their messages.
var ErrShortRetention = errors.New("the retention is shorter than the retry window")

// Retention says how and how often KeepPruned prunes.
type Retention struct {
	PruneOptions

	// Every is the time between two rounds. 0: DefaultPruneEvery.
	Every time.Duration

	// OnPruned is called after each round, for metrics, in KeepPruned's goroutine. nil: it is not called.
	OnPruned func(Pruned)
}

// Pruned is one round of KeepPruned.
type Pruned struct {
	Deleted int64 // rows
	// Window is the age of the oldest row of the consumer that was kept, by the database's clock: how far back
	// duplicates are recognised. 0: there is no row.
	Window time.Duration
	Took   time.Duration
	Err    error // why the round ended early
}

// KeepPruned runs Prune at once and then every r.Every until ctx ends; then it returns nil. Run it in a goroutine
// beside the consumer, in as many processes as you like. When a round fails, KeepPruned logs it and calls OnPruned;
// the next round deletes the rest.
//
// It returns an error for options that Prune rejects. It returns ErrShortRetention for a retention that is shorter
// than the time for which this inbox retries a message: a copy that comes in that time would find no row.
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

// CheckRetention returns the error that KeepPruned would return for r at its start. It does not use the database.
func (ib *Inbox) CheckRetention(r Retention) error {
	if err := ib.checkRetention(&r); err != nil {
		return fmt.Errorf("inbox: keep %s pruned for %q: %w", ib.table, ib.consumer, err)
	}
	return nil
}

func (ib *Inbox) checkRetention(r *Retention) error {
	if r.Every < 0 {
		return fmt.Errorf("the time between rounds, Every, is %s: want a positive time, or 0 for %s", r.Every,
			DefaultPruneEvery)
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

// retryWindow is the sum of the longest pauses between the attempts at a message.
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
