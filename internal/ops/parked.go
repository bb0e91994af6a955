package ops

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/store/parked"
)

// Parked words what an operator may ask of the parked rows of one table, and why a request is rejected.
type Parked struct {
	Command string // what to type, without the verb
	One     string // what a row is: event or message

	done   string            // what may have become of a row that is not there
	about  map[string]string // what the owner of the rows is about to do, by state
	narrow string            // how to name one of several rows with the same id, besides by number
	quotes bool              // ids may have any characters
}

// ParkedEvents are those of outbox_parked.
var ParkedEvents = Parked{
	Command: "relay parked", One: "event", done: "delivered",
	about: map[string]string{db.ParkedRetry: "is about to be sent again", db.ParkedDrop: "is about to be dropped"},
}

// ParkedMessages are those of inbox_parked.
var ParkedMessages = Parked{
	Command: "relay inbox parked", One: "message", done: "handled", narrow: ", or --consumer", quotes: true,
	about: map[string]string{
		db.ParkedRetry: "the consumer is about to retry", db.ParkedDrop: "the consumer is about to drop",
	},
}

// Explain words the errors of package parked, and leaves other errors as they are.
func (p Parked) Explain(err error) error {
	switch e := err.(type) {
	case interface{ Unwrap() []error }: // several, joined
		changed, explained := false, slices.Clone(e.Unwrap())
		for i, each := range explained {
			explained[i] = p.Explain(each)
			changed = changed || explained[i] != each
		}
		if changed {
			return errors.Join(explained...)
		}
	case *parked.MissingError:
		ids := make([]string, len(e.IDs))
		for i, id := range e.IDs {
			ids[i] = p.id(id)
		}
		return fmt.Errorf("no %s is parked as %s (%s, or dropped?): see `%s list`",
			p.One, strings.Join(ids, ", "), p.done, p.Command)
	case *parked.AmbiguousError:
		return fmt.Errorf("%s %s is parked %d times: name one of the rows %s%s",
			p.One, p.id(e.ID), len(e.Seqs), parked.Seqs(e.Seqs), p.narrow)
	case *parked.BehindError:
		return p.behind(e)
	case *parked.OvertakenError:
		return p.overtaken(e)
	}
	return err
}

func (p Parked) id(id parked.ID) string {
	if id.Seq == 0 && p.quotes {
		return strconv.Quote(id.Name)
	}
	return id.String()
}

func (p Parked) behind(e *parked.BehindError) error {
	if about := p.about[e.FirstState]; about != "" {
		return fmt.Errorf("row %d waits behind row %d of its key, which %s: ask once it is gone, see `%s show %d`",
			e.Seq, e.First, about, p.Command, e.First)
	}
	return fmt.Errorf("row %d waits behind row %d of its key, which is %s: start with that one, %s, "+
		"or take all of the key with --topic and --key", e.Seq, e.First, e.FirstState, p.request(e.Request, e.First))
}

// request is what to type for one row.
func (p Parked) request(state string, seq int64) string {
	text := fmt.Sprintf("%s %s %d", p.Command, state, seq)
	if state == db.ParkedDrop {
		text += " --reason …"
	}
	return text
}

const overtakenMeans = "later events of this key were delivered before it; consumers may see an old value last"

func (p Parked) overtaken(e *parked.OvertakenError) error {
	if !e.ByFilter {
		return fmt.Errorf("row %d was overtaken: %s; add --force to send it all the same, or give it up: %s",
			e.Seq, overtakenMeans, p.request(db.ParkedDrop, e.Seq))
	}
	return fmt.Errorf("%s of these rows were overtaken, the first is row %d: %s; "+
		"add --force to send them all the same, or name the others by their ids", AtLeast(e.Rows), e.Seq,
		overtakenMeans)
}

// AtLeast words a count that stops at db.CountLimit.
func AtLeast(n int64) string {
	if n >= db.CountLimit {
		return fmt.Sprintf("%d or more", n)
	}
	return strconv.FormatInt(n, 10)
}
