package chaos

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/postroom/postroom/internal/history"
)

// These are the databases that a run may use, with the names that dev/services has for them.
const (
	PostgreSQL = "postgres"
	MariaDB    = "mariadb"
)

// These are the brokers that a run may use.
const (
	Kafka    = "kafka"
	RabbitMQ = "rabbitmq"
)

// Mode is a mode of delivery, with the name that relay run has for it.
type Mode = history.Mode

// The modes.
const (
	AtLeastOnce = history.AtLeastOnce
	ExactlyOnce = history.ExactlyOnce
)

// Consumers in place of a mode asks for the run of consumers, RunBank, which has no relay.
const Consumers Mode = "consumers"

// Settings say what one run does. Every field is required unless it says otherwise.
type Settings struct {
	Database string // PostgreSQL or MariaDB
	Broker   string // Kafka or RabbitMQ; empty: Kafka
	Mode     Mode
	// Duration is how long there is trouble. A run that has not reached its minimums by then goes on, at most
	// for the same time again, or for three minutes.
	Duration time.Duration
	Seed     uint64
	LeaseTTL time.Duration
	Relays   int
	Writers  int
	// MinKills, MinPauses and MinEvents fail a run that has not done enough to prove anything. 0: no minimum.
	MinKills, MinPauses, MinEvents int

	Binary string // the relay command
	Dir    string // where the run's log is kept and, after a failure, its cases
	// Say gets a line every few seconds. Log, if given, gets every line of the log.
	Say func(format string, args ...any)
	Log io.Writer
}

// Validate returns an error that names every invalid setting.
func (s Settings) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(
		slices.Contains([]string{PostgreSQL, MariaDB}, s.Database), "database %q: want %s or %s", s.Database,
		PostgreSQL, MariaDB,
	)
	check(
		slices.Contains([]Mode{AtLeastOnce, ExactlyOnce, Consumers}, s.Mode), "mode %q: want %s, %s or %s", s.Mode,
		AtLeastOnce, ExactlyOnce, Consumers,
	)
	check(
		slices.Contains([]string{"", Kafka, RabbitMQ}, s.Broker), "broker %q: want %s or %s", s.Broker, Kafka, RabbitMQ,
	)
	check(
		s.Broker != RabbitMQ || s.Mode == AtLeastOnce, "mode %q: with %s only %s", s.Mode, RabbitMQ, AtLeastOnce,
	)
	check(s.Duration >= time.Second, "duration %v: want at least 1s", s.Duration)
	check(s.LeaseTTL >= 500*time.Millisecond, "lease-ttl %v: want at least 500ms", s.LeaseTTL)
	check(s.Relays >= 1 && s.Relays <= 20, "relays %d: want 1 to 20", s.Relays)
	check(s.Writers >= 1 && s.Writers <= 100, "writers %d: want 1 to 100", s.Writers)
	check(min(s.MinKills, s.MinPauses, s.MinEvents) >= 0, "a minimum is negative")
	return errors.Join(errs...)
}

func (s Settings) plan() Plan {
	return Plan{Seed: s.Seed, Relays: s.Relays, LeaseTTL: s.LeaseTTL}
}

// rate is how many events a second the writers aim at. It is above what the minimum needs, because the
// trouble costs some. It is never below what an ordinary service writes.
func (s Settings) rate() float64 {
	return max(500, 1.5*float64(s.MinEvents)/s.Duration.Seconds())
}
