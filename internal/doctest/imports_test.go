package doctest

// imports tells which package a name in a Go block means.
func imports() map[string]string {
	known := map[string]string{
		"context": "context",
		"errors":  "errors",
		"fmt":     "fmt",
		"http":    "net/http",
		"json":    "encoding/json",
		"log":     "log",
		"os":      "os",
		"signal":  "os/signal",
		"slog":    "log/slog",
		"sql":     "database/sql",
		"strings": "strings",
		"syscall": "syscall",
		"testing": "testing",
		"time":    "time",

		"cqrs":    "github.com/ThreeDotsLabs/watermill/components/cqrs",
		"gorm":    "gorm.io/gorm",
		"kgo":     "github.com/twmb/franz-go/pkg/kgo",
		"message": "github.com/ThreeDotsLabs/watermill/message",
		"pgx":     "github.com/jackc/pgx/v5",
		"require": "github.com/stretchr/testify/require",
		"uuid":    "github.com/google/uuid",
	}
	for _, ours := range []string{
		"inbox", "inbox/inboxgorm", "inbox/inboxkafka", "inbox/inboxwatermill", "inbox/replica", "migrations",
		"outbox", "outbox/backfill", "outbox/outboxgorm", "outbox/outboxpgx", "outbox/outboxtest",
		"outbox/outboxwatermill",
		"relay", "relay/relaykafka", "relay/relaywatermill", "relay/relaywatermill/watermillkafka",
		"relay/relaywatermill/watermillamqp", "relay/relaytest",
	} {
		known[lastElement(ours)] = module + "/" + ours
	}
	return known
}
