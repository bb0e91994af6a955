package inbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// Defaults of the options.
const (
	DefaultMaxAttempts = 5
	DefaultBackoffMin  = 100 * time.Millisecond
	DefaultBackoffMax  = 10 * time.Second
)

// Option changes a default of New.
type Option func(*config)

type config struct {
	names      db.Names
	consumer   string
	attempts   int
	backoff    backoff
	policy     Policy
	daily      bool
	dead       deadLetters
	log        *slog.Logger
	stallAfter time.Duration
	turn       time.Duration
	sleep      func(ctx context.Context, d time.Duration) error
}

func (c *config) validate() error {
	if err := c.names.Validate(); err != nil {
		return err
	}
	if c.consumer == "" {
		return errors.New("no consumer: give the handler's name, such as \"billing\"")
	}
	if err := checkText("consumer", c.consumer, MaxConsumer); err != nil {
		return err
	}
	if c.attempts < 1 {
		return fmt.Errorf("WithMaxAttempts(%d): want 1 or more", c.attempts)
	}
	if c.backoff.min <= 0 || c.backoff.max < c.backoff.min {
		return fmt.Errorf("WithBackoff(%s, %s): want 0 < min ≤ max", c.backoff.min, c.backoff.max)
	}
	switch c.policy {
	case BlockKey, Skip, Halt:
	default:
		return fmt.Errorf("WithOnFailure(%q): want %q, %q or %q", c.policy, BlockKey, Skip, Halt)
	}
	if c.daily && c.names.Dialect != PostgreSQL {
		return fmt.Errorf("WithDailyPartitions: only PostgreSQL has them, not %s", c.names.Dialect)
	}
	return c.dead.validate()
}

// WithTablePrefix puts a prefix of at most 30 characters of a-z, 0-9 and _ before the names of the tables. Use the same
// prefix for the migrations.
func WithTablePrefix(prefix string) Option { return func(c *config) { c.names.Prefix = prefix } }

// WithSchema names the PostgreSQL schema of the tables. Default: the first schema in the connection's search_path that
// has them.
func WithSchema(schema string) Option { return func(c *config) { c.names.Schema = schema } }

// WithMaxAttempts sets how often Process runs a handler that fails, before it parks the message. Default:
// DefaultMaxAttempts. With 1, a killed process costs every message that it was handling its only attempt, so they are
// parked (unless a batch was one attempt for all of them). With 2 or more, they run once more, alone.
func WithMaxAttempts(n int) Option { return func(c *config) { c.attempts = n } }

// WithBackoff sets the pauses of Process between two attempts. The first pause is about min, each further one is
// twice as long, up to max. Each pause is shortened at random by up to half, so that consumers that failed together
// do not repeat together. The same pauses are used while the database is out of reach. Defaults: DefaultBackoffMin
// and DefaultBackoffMax.
//
// The message is held for the sum of the pauses. For a Kafka consumer keep the sum well below max.poll.interval.ms
// (5 minutes by default); otherwise the group takes the partition away.
func WithBackoff(minimum, maximum time.Duration) Option {
	return func(c *config) { c.backoff = backoff{min: minimum, max: maximum} }
}

// WithOnFailure sets what happens to a message whose attempts have all failed. Default: BlockKey.
func WithOnFailure(p Policy) Option { return func(c *config) { c.policy = p } }

// WithLogger sets where Process logs failed attempts of the handler, and the beginning and end of an outage of the
// database. Default: slog.Default().
func WithLogger(log *slog.Logger) Option {
	return func(c *config) {
		if log != nil {
			c.log = log
		}
	}
}
