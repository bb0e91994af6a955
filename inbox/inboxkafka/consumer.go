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

// Consumer is a member of a consumer group. Make one with New; it runs once at a time.
type Consumer struct {
	cfg     Config
	log     *slog.Logger
	running sync.Mutex
	decoded decoded

	goexits, graceExceeded atomic.Int64
}

// New checks cfg, all of it at once, and returns a Consumer. It talks to nobody.
func New(cfg Config) (*Consumer, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("inboxkafka: %w", err)
	}
	return &Consumer{cfg: cfg, log: cfg.Logger.With("consumer", cfg.Inbox.Consumer(), "group", cfg.Group)}, nil
}

// ErrRunning is returned by Run while another Run of the same Consumer goes on.
var ErrRunning = errors.New("inboxkafka: the consumer runs already: make another one for a second member of the group")

// Run handles messages one at a time until ctx ends, or until an error that no
// repetition mends. It returns nil when ctx ended and everything under way was finished
// or rolled back.
//
// h writes through tx alone and leaves its end to the inbox; see inbox.Process. Its ctx
// ends when the partition has to be given up; that is not before Config.Grace has passed. For a
// parked message that an operator had retried it ends with Run's.
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

// RunBatch is Run for a handler that takes many messages at once: all fresh, of one
// partition, in order. With PerMessage each batch has one message, and so it has when
// the inbox looks for the message at fault in a batch that failed.
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
	if err := c.cfg.Inbox.Check(ctx, c.cfg.DB); err != nil {
		return fmt.Errorf("inboxkafka: %w", err)
	}
	if c.cfg.Mode == OffsetsInDatabase {
		if err := c.cfg.Inbox.CheckOffsets(ctx, c.cfg.DB); err != nil {
			return fmt.Errorf("inboxkafka: %w", err)
		}
	}

	for {
		m := c.newMember(ctx, one, many)
		if err := m.connect(); err != nil {
			return fmt.Errorf("inboxkafka: %w", err)
		}
		if err := m.consume(); !errors.Is(err, errRejoin) {
			return err
		}
		c.log.Info("inboxkafka: joining the group again, to take back a partition that another member took in the database")
	}
}

// Counts are what handlers did since New that no handler should. Counters in the sense of a metrics library.
type Counts struct {
	// Goexits are handlers that ended their goroutine.
	Goexits int64
	// GraceExceeded are partitions that a handler, which ignores its context, has kept for longer than twice
	// Config.Grace.
	GraceExceeded int64
}

// Counts returns what was counted up to now. Safe for use by many goroutines.
func (c *Consumer) Counts() Counts {
	return Counts{Goexits: c.goexits.Load(), GraceExceeded: c.graceExceeded.Load()}
}

// names knows which consumers run in this process, with which tables. It has to be one
// for the process: the mistake that it finds is made in two places that do not know of
// one another.
var names = struct {
	sync.Mutex
	tables map[string]string // by consumer
	count  map[string]int
}{tables: make(map[string]string), count: make(map[string]int)}

// claimName refuses a consumer name that runs with other tables: half of its messages
// would be done here, and half there.
func claimName(ib *inbox.Inbox) (release func(), err error) {
	name, tables := ib.Consumer(), ib.Tables()
	names.Lock()
	defer names.Unlock()
	if other, ok := names.tables[name]; ok && other != tables {
		return nil, fmt.Errorf("inboxkafka: consumer %q runs in this process with the tables %s, and this one has %s: two "+
			"handlers need two names", name, other, tables)
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
