package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

type settings struct {
	url     string
	brokers []string
	batch   int           // rows of a read, and of a delete
	window  int           // batches in memory
	follow  time.Duration // poll this often; 0: stop at the first empty read
	plain   bool          // records without headers
	id      string        // transactional.id: each batch is a transaction; empty: at least once
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "ceiling:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	cfg, err := parse(args)
	if err != nil {
		return err
	}
	rows, err := openTable(ctx, cfg.url)
	if err != nil {
		return err
	}
	defer rows.close()
	client, err := newProducer(cfg.brokers, cfg.id)
	if err != nil {
		return err
	}
	defer client.Close()
	if cfg.follow > 0 {
		err = follow(ctx, rows, client, cfg)
	} else {
		err = drain(ctx, rows, client, cfg)
	}
	if ctx.Err() != nil {
		return nil // asked to stop: what was left undone is not measured any more
	}
	if err == nil {
		<-ctx.Done()
	}
	return err
}

func parse(args []string) (settings, error) {
	cfg := settings{url: os.Getenv("POSTROOM_DATABASE_URL")}
	flags := flag.NewFlagSet("ceiling", flag.ContinueOnError)
	flags.IntVar(&cfg.batch, "batch", 5000, "rows of a read and of a delete")
	flags.IntVar(&cfg.window, "window", 4, "batches in memory")
	flags.DurationVar(&cfg.follow, "follow", 0, "poll this often instead of stopping at the first empty read")
	flags.BoolVar(&cfg.plain, "plain", false, "records without headers")
	flags.StringVar(&cfg.id, "transactional-id", "", "send each batch as a transaction under this id")
	if err := flags.Parse(args); err != nil {
		return cfg, err
	}
	if cfg.id != "" && cfg.follow > 0 {
		return cfg, errors.New("-transactional-id and -follow exclude each other")
	}
	if cfg.batch < 1 || cfg.window < 1 {
		return cfg, errors.New("-batch and -window must be positive")
	}
	brokers := os.Getenv("POSTROOM_KAFKA_BROKERS")
	if cfg.url == "" || brokers == "" {
		return cfg, errors.New("set POSTROOM_DATABASE_URL and POSTROOM_KAFKA_BROKERS")
	}
	cfg.brokers = strings.Split(brokers, ",")
	return cfg, nil
}

// newProducer has the settings that relaykafka has by default.
func newProducer(brokers []string, transactionalID string) (*kgo.Client, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(brokers...),
		kgo.RequiredAcks(kgo.AllISRAcks()), // idempotent, which is kgo's default
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerBatchMaxBytes(1_048_588),
		kgo.ProducerLinger(0),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.MaxBufferedRecords(math.MaxInt32), // the window bounds them
		kgo.DisableClientMetrics(),
	}
	if transactionalID != "" {
		opts = append(opts, kgo.TransactionalID(transactionalID), kgo.TransactionTimeout(10*time.Second))
	}
	return kgo.NewClient(opts...)
}
