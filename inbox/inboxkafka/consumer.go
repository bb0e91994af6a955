package inboxkafka

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/postroom/postroom/inbox"
)

// Consumer is a member of a consumer group. Create one with New. Only one Run at a time is allowed.
type Consumer struct {
	cfg            Config
	log            *slog.Logger
	running        sync.Mutex
	decodeFailures decodeFailures

	goexits, graceExceeded atomic.Int64
}

// New checks cfg, reports all mistakes at once, and returns a Consumer. It connects to nothing.
func New(cfg Config) (*Consumer, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("inboxkafka: %w", err)
	}
	return &Consumer{cfg: cfg, log: cfg.Logger.With("consumer", cfg.Inbox.Consumer(), "group", cfg.Group)}, nil
}

// ErrRunning is returned by Run while another Run of the same Consumer is active.
var ErrRunning = errors.New("inboxkafka: the consumer is already running: create another one for a second member of " +
	"the group")

// Run handles messages one at a time, until ctx ends or until an error that a retry cannot solve. It returns nil if ctx
// has ended and all transactions were finished or rolled back.
//
// h must write only through tx, and must neither commit nor roll back; see inbox.Process. Its ctx ends when the
// partition must be given up, and not before Config.Grace has passed. For a parked message that is retried it ends
// together with Run's ctx.
func (c *Consumer) Run(ctx context.Context, h inbox.Handler) error {
	if h == nil {
		return errors.New("inboxkafka: run: the handler is nil")
	}
	return c.run(ctx, h, func(ctx context.Context, tx *sql.Tx, ms []inbox.Message) error {
		for _, m := range ms {
			if err := h(ctx, tx, m); err != nil {
				return err
			}
		}
		return nil
	})
}

// RunBatch is Run for a handler that takes several messages at once. They are of one partition, in order, and none is a
// duplicate. A batch has only one message with PerMessage, and when the inbox searches a failed batch for the message
// at fault.
func (c *Consumer) RunBatch(ctx context.Context, h inbox.BatchHandler) error {
	if h == nil {
		return errors.New("inboxkafka: run: the handler is nil")
	}
	return c.run(ctx, func(ctx context.Context, tx *sql.Tx, m inbox.Message) error {
		return h(ctx, tx, []inbox.Message{m})
	}, h)
}

func (c *Consumer) run(ctx context.Context, one inbox.Handler, many inbox.BatchHandler) error {
	if !c.running.TryLock() {
		return ErrRunning
	}
	defer c.running.Unlock()
	if ctx.Err() != nil {
		return nil
	}
	release, err := claimName(c.cfg.Inbox)
	if err != nil {
		return err
	}
	defer release()
	if err := c.check(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // it was stopped while it asked
		}
		return fmt.Errorf("inboxkafka: %w", err)
	}
	for {
		m := c.newMember(ctx, one, many)
		if err := m.connect(); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("inboxkafka: %w", err)
		}
		if err := m.consume(); !errors.Is(err, errRejoin) {
			return err
		}
		c.log.Info("inboxkafka: joining the group again: another member has claimed a partition in the database, but " +
			"the group still assigns it to this member")
	}
}

// check asks the database for the tables of the inbox.
func (c *Consumer) check(ctx context.Context) error {
	err := c.cfg.Inbox.Check(ctx, c.cfg.DB)
	if err == nil && c.cfg.Mode == OffsetsInDatabase {
		err = c.cfg.Inbox.CheckOffsets(ctx, c.cfg.DB)
	}
	return err
}

// Counts counts what handlers did wrong since New, for metrics. The values only increase.
type Counts struct {
	// Goexits is how often a handler ended its goroutine (runtime.Goexit).
	Goexits int64
	// GraceExceeded is how often a handler ignored the end of its context for longer than twice Config.Grace, and so
	// kept a partition.
	GraceExceeded int64
}

// Counts returns the current values. Safe for concurrent use.
func (c *Consumer) Counts() Counts {
	return Counts{Goexits: c.goexits.Load(), GraceExceeded: c.graceExceeded.Load()}
}

// names has the consumers that run in this process, with their tables. It is global because it finds a mistake that is
// made in two independent places of one program.
var names = struct {
	sync.Mutex
	tables map[string]string // by consumer
	count  map[string]int
}{tables: make(map[string]string), count: make(map[string]int)}

// claimName fails if the consumer name already runs in this process with other tables. Each of the two would handle
// only a part of the messages.
func claimName(ib *inbox.Inbox) (release func(), err error) {
	name, tables := ib.Consumer(), ib.Tables()
	names.Lock()
	defer names.Unlock()
	if other, ok := names.tables[name]; ok && other != tables {
		return nil, fmt.Errorf("inboxkafka: consumer %q already runs in this process with the tables %s, but this "+
			"one has %s: two handlers need two names", name, other, tables)
	}
	names.tables[name] = tables
	names.count[name]++
	return func() {
		names.Lock()
		defer names.Unlock()
		if names.count[name]--; names.count[name] == 0 {
			delete(names.tables, name)
			delete(names.count, name)
		}
	}, nil
}
