package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const usageText = `usage: go run . [drain | memory | latency | parked | archive | inbox | inbox-latency] [flags]

  drain     how fast the relay drains a backlog, beside a ceiling (the default)
  memory    the relay's peak memory while it drains a large backlog
  latency   commit to consumed at a steady rate, beside a bare loop
  parked    the drain of other keys, with and without many blocked events
  archive   the drain with the archive on and off
  inbox     how fast messages are applied: one by one, in batches, with offsets in the database, and bare COPY
  inbox-latency  produced to applied at a steady rate, in each mode of inboxkafka

go run . drain -h lists the flags of a benchmark.
`

// errMissed is returned by a benchmark that ran and found a figure out of bounds.
var errMissed = errors.New("missed")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := run(ctx, os.Args[1:], os.Stdout); {
	case err == nil:
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case errors.Is(err, errMissed):
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	default:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	name := "drain"
	if len(args) > 0 && args[0][0] != '-' {
		name, args = args[0], args[1:]
	}
	switch name {
	case "drain":
		return drainCommand(ctx, args, out)
	case "memory":
		return memoryCommand(ctx, args, out)
	case "latency":
		return latencyCommand(ctx, args, out)
	case "parked":
		return parkedCommand(ctx, args, out)
	case "archive":
		return archiveCommand(ctx, args, out)
	case "inbox":
		return inboxCommand(ctx, args, out)
	case "inbox-latency":
		return inboxLatencyCommand(ctx, args, out)
	}
	fmt.Fprint(os.Stderr, usageText)
	return fmt.Errorf("there is no benchmark %q", name)
}
