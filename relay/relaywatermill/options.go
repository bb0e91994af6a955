package relaywatermill

import (
	"context"
	"errors"
	"fmt"

	"github.com/postroom/postroom/relay"
)

// Options say how records become messages and what errors mean. The zero value of each field is its default.
type Options struct {
	// Lanes is the highest number of messages that are published at the same time. A key always has the same
	// lane. More lanes help publishers that wait for their broker, until the broker is busy. Default 512. It
	// was measured with watermill-kafka on a local Kafka: 1 lane published 2,600 events/s, 64 lanes 33,000
	// and 512 lanes 90,000. An idle lane costs nothing. At most 65,536.
	Lanes int

	// Buffer is how many unacknowledged records a session accepts. Deliver blocks at that number. Default
	// 32,768.
	Buffer int

	// KeyMetadata is a name under which the key is added to the metadata, for publishers that do not use the
	// context. Default "": the key is not added. Metadata are text: a key is copied byte for byte, and some
	// brokers reject bytes that are not UTF-8.
	KeyMetadata string

	// Rejected reports whether an error of Publish means that the broker will never accept this message, so
	// that only its record is affected. Every other error is an outage, after which the relay tries again.
	// Rejected is called from many goroutines. Default nil: every error is an outage.
	Rejected func(topic string, err error) bool

	// Validate returns why the broker would reject a record, if that is known without
	// sending it: the record is larger than a limit, for example. The relay parks such a
	// record at once, and sends the others in full batches. Validate must not block.
	// Default nil: the broker decides.
	Validate func(r *relay.Record) error

	// Check is called by the sink's Check, to find out whether the broker can be reached. Default nil:
	// Watermill cannot ask a publisher, so a wrong address is noticed with the first record.
	Check func(ctx context.Context) error
}

const (
	defaultLanes  = 512
	defaultBuffer = 32_768
	maxLanes      = 65_536
)

func (o Options) withDefaults() Options {
	if o.Lanes == 0 {
		o.Lanes = defaultLanes
	}
	if o.Buffer == 0 {
		o.Buffer = defaultBuffer
	}
	return o
}

func (o Options) validate() error {
	var errs []error
	if o.Lanes < 1 || o.Lanes > maxLanes {
		errs = append(errs, fmt.Errorf(
			"relaywatermill: Options.Lanes is %d: it must be from 1 to %d, or 0 for the default", o.Lanes, maxLanes,
		))
	}
	if o.Buffer < 1 {
		errs = append(
			errs,
			fmt.Errorf("relaywatermill: Options.Buffer is %d: it must be positive, or 0 for the default", o.Buffer),
		)
	}
	return errors.Join(errs...)
}
