package inbox

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// Outcome is what Process did with a message.
type Outcome int

const (
	// Failed means: the message was not handled, and the error says why. Deliver it again.
	Failed Outcome = iota
	// Applied means: the handler's effect is committed.
	Applied
	// Duplicate means: an earlier delivery was handled, so nothing was done.
	Duplicate
	// Parked means: the message is set aside in inbox_parked, because its handler failed for good
	// or because its key is blocked. Acknowledge it: `relay inbox parked` shows and retries it.
	Parked
)

// String returns "failed", "applied", "duplicate" or "parked", for logs and metrics.
func (o Outcome) String() string {
	switch o {
	case Failed:
		return "failed"
	case Applied:
		return "applied"
	case Duplicate:
		return "duplicate"
	case Parked:
		return "parked"
	}
	return "Outcome(" + strconv.Itoa(int(o)) + ")"
}

// ErrHandlerEndedTx is returned by Process when the transaction that accepted the message ended before the handler
// returned. The handler committed it or rolled it back itself, by a method or in SQL. Or, on MySQL, it ran DDL, or
// did not return the error of a deadlock, after which the server rolls back. Process does not run the handler
// again, because a part of its effect may be committed. Correct the handler: it must leave Commit and Rollback to
// Process, and return every error of the database.
//
// With ProcessBatch such a Commit has committed the ids of the whole batch. Messages that the handler had not
// reached then count as handled. (inboxkafka and inboxwatermill.RunBatch run the first message alone, and so detect
// such a handler before they give it a batch.)
var ErrHandlerEndedTx = errors.New("the handler ended the transaction: remove its Commit or Rollback, Process does " +
	"that (MySQL ends it at DDL, and in a deadlock: return every error of the database)")

// AttemptsError is returned by Process when the handler has failed in all its attempts and the message cannot be
// parked.
type AttemptsError struct {
	Consumer  string
	MessageID string
	Attempts  int   // how often the handler was run and failed
	Err       error // of the last attempt
}

func (e *AttemptsError) Error() string {
	times := "once"
	if e.Attempts != 1 {
		times = strconv.Itoa(e.Attempts) + " times"
	}
	return fmt.Sprintf("inbox: consumer %q failed %s on message %q: %v", e.Consumer, times, e.MessageID, e.Err)
}

// Unwrap returns the error of the last attempt.
func (e *AttemptsError) Unwrap() error { return e.Err }

// PanicError is the error of a handler that panicked; the panic counts as a failed attempt.
type PanicError struct {
	Value any    // what the handler panicked with
	Stack []byte // where, as runtime/debug.Stack prints it; not part of Error

	frames string // the handler's part of it, without arguments: they may contain bytes of a payload
}

func (e *PanicError) Error() string { return fmt.Sprintf("the handler panicked: %v", e.Value) }

// Unwrap returns the value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// newPanicError is called by the function that recovers.
func newPanicError(value any) *PanicError {
	return &PanicError{Value: value, Stack: debug.Stack(), frames: handlerFrames()}
}

// handlerFrames lists the functions between the panic and the inbox.
func handlerFrames() string {
	pcs := make([]uintptr, 128)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	var b strings.Builder
	for panicked := false; ; {
		f, more := frames.Next()
		switch {
		case strings.HasSuffix(f.Function, "/inbox.(*unitOfWork).call"):
			return b.String()
		case panicked:
			fmt.Fprintf(&b, "%s\n\t%s:%d\n", f.Function, f.File, f.Line)
		}
		panicked = panicked || f.Function == "runtime.gopanic"
		if !more {
			return b.String()
		}
	}
}

// stackTitle separates a panic's text from its stack, if a row has both.
const stackTitle = "\n\nThe stack of the panic:\n"

// reasonOf returns the text of an error for a row, on one line. For a panic the stack follows, if there is room.
func reasonOf(err error) string {
	text := strings.ReplaceAll(err.Error(), "\n", "; ") // joined errors
	var p *PanicError
	if !errors.As(err, &p) || p.frames == "" {
		return text
	}
	if most := maxError / 2; len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text + stackTitle + p.frames
}

// withoutStack returns a reason without the stack that reasonOf may have appended.
func withoutStack(reason string) string {
	text, _, _ := strings.Cut(reason, stackTitle)
	return text
}

// stackOf returns the stack of a panic for the log.
func stackOf(err error) []any {
	var p *PanicError
	if !errors.As(err, &p) {
		return nil
	}
	return []any{"stack", p.frames}
}
