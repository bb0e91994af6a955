// Package kafkatx says which Kafka transactions are open in partitions, and what to type
// about those that nobody ends. Consumers with read_committed, and the relay when it reads
// its manifests, get nothing that stands behind the oldest of them. It changes nothing.
package kafkatx

import (
	"fmt"
	"strings"
	"time"

	"github.com/postroom/postroom/internal/ops"
)

// Open is a transaction that is open in a partition, by its leader's account.
type Open struct {
	Topic         string
	Partition     int32
	ProducerID    int64 // negative: the leader did not tell
	ProducerEpoch int16
	StartOffset   int64     // of its first record there
	LastWrite     time.Time // by the producer's clock

	// State is what the transaction's coordinator says of it.
	State State
	// What follows is the coordinator's account too; empty if none shows us this producer.
	TransactionalID string
	Said            string // its own word for the state, such as CompleteAbort
	Coordinator     int32  // the broker
	Since           time.Time
	Timeout         time.Duration
}

// State is what becomes of an open transaction by itself.
type State int

// The states.
const (
	// Hanging: its coordinator has no such transaction open. Nobody will end it.
	Hanging State = iota
	// Unseen: no coordinator shows this user the producer. It hangs, or belongs to
	// somebody whose transactional ids this user may not describe.
	Unseen
	// Running: its producer can still commit it. The coordinator aborts it at Since + Timeout.
	Running
	// Ending: the coordinator has decided how it ends, and has not written that here.
	Ending
	// Unknown: the coordinators could not be asked.
	Unknown
)

// Key tells one from another.
func (o Open) Key() string {
	return fmt.Sprintf("%s/%d/%d/%d/%d/%d", o.Topic, o.Partition, o.ProducerID, o.ProducerEpoch, o.StartOffset, o.State)
}

// What says what is open, and why nobody ends it.
func (o Open) What() string {
	verb := "is open"
	if o.State == Hanging {
		verb = "hangs"
	}
	text := fmt.Sprintf(
		"a transaction %s in topic %s, partition %d, from offset %d on", verb, o.Topic, o.Partition, o.StartOffset,
	)
	if o.ProducerID < 0 {
		return text + "; whose it is, this user may not ask: it needs Read on the topic"
	}
	text += fmt.Sprintf(": of producer id %d, epoch %d", o.ProducerID, o.ProducerEpoch)
	if o.TransactionalID != "" {
		text += fmt.Sprintf(", transactional id %s", o.TransactionalID)
	}
	if !o.LastWrite.IsZero() {
		text += ", last written to at " + moment(o.LastWrite)
	}
	return text + "; " + o.account()
}

func (o Open) account() string {
	switch o.State {
	case Hanging:
		return fmt.Sprintf(
			"its coordinator, broker %d, has no such transaction open any more (state %s): nobody will end it",
			o.Coordinator, o.Said,
		)
	case Unseen:
		return "no coordinator shows this user a transaction of that producer: it hangs, or belongs to a program " +
			"whose transactional ids this user may not describe"
	case Running:
		return fmt.Sprintf(
			"its producer has had it open since %s; unless it ends it, kafka does at %s (its timeout is %s)",
			moment(o.Since), moment(o.Since.Add(o.Timeout)), o.Timeout,
		)
	case Ending:
		return fmt.Sprintf(
			"its coordinator, broker %d, has decided how it ends (%s) and has not got that written here since %s",
			o.Coordinator, o.Said, moment(o.Since),
		)
	}
	return "the coordinators could not be asked about it"
}

// Do are the commands that help. The command that ends a transaction comes after the one
// that makes sure.
func (o Open) Do(bootstrap string) []string {
	tool := "kafka-transactions.sh --bootstrap-server " + bootstrap
	// Without a limit, in minutes, find-hanging shows what is older than 15.
	hanging := " find-hanging --max-transaction-timeout 1"
	where, id := fmt.Sprintf(" --topic %s --partition %d", o.Topic, o.Partition), " --transactional-id "+
		ops.ShellWord(o.TransactionalID)
	switch o.State {
	case Hanging:
		return []string{fmt.Sprintf("%s abort%s --start-offset %d", tool, where, o.StartOffset)}
	case Unseen:
		return []string{tool + hanging + where,
			fmt.Sprintf("%s abort%s --start-offset %d", tool, where, o.StartOffset)}
	case Running:
		return []string{tool + " describe" + id,
			tool + " forceTerminateTransaction --transactionalId " + ops.ShellWord(o.TransactionalID)}
	case Ending:
		return []string{tool + " describe" + id}
	}
	return []string{tool + " describe-producers" + where, tool + hanging + where}
}

// Advice says what to do, in words.
func (o Open) Advice() string {
	switch o.State {
	case Hanging:
		return "end it: what it wrote there is dropped"
	case Unseen:
		return "if find-hanging lists it when an administrator asks, end it: what it wrote there is dropped"
	case Running:
		return "stop the program that it belongs to, wait, or have kafka end it (forceTerminateTransaction is in " +
			"Kafka 4.3, " +
			"and was not in 3.9)"
	case Ending:
		return fmt.Sprintf(
			"see that broker %d and the partition's leader reach each other, and restart broker %d if they do: "+
				"it writes the end when it starts. Do not abort it by hand: if it is decided that it commits, events "+
				"would be lost",
			o.Coordinator, o.Coordinator,
		)
	}
	return "ask as a user who may describe transactional ids"
}

// Error is an open transaction that stands in the way.
type Error struct {
	Open      Open
	Bootstrap string // the brokers' addresses, for commands
}

func (e *Error) Error() string {
	return e.Open.What() + "; " + e.Open.Advice() + ": " + strings.Join(e.Open.Do(e.Bootstrap), "; then ")
}

// OutageCause tells one from another for the relay's log.
func (e *Error) OutageCause() string { return e.Open.Key() }

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }
