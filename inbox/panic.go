package inbox

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// PanicError is what a handler that panicked failed with; it counts as an attempt.
type PanicError struct {
	Value any    // what the handler panicked with
	Stack []byte // where, as runtime/debug.Stack prints it; not part of Error

	frames string // the handler's part of it, without arguments, which may hold a payload's bytes
}

func (e *PanicError) Error() string { return fmt.Sprintf("the handler panicked: %v", e.Value) }

// Unwrap returns the value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// newPanicError is for the function that recovers.
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
		case strings.HasSuffix(f.Function, "/inbox.(*unit).call"):
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

// stackTitle stands between a panic's text and its stack, where both are kept.
const stackTitle = "\n\nThe stack of the panic:\n"

// reasonOf is an error as a row keeps it, on one line: of a panic with the stack below, for
// which there must be room.
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

// withoutStack is a reason without the stack that reasonOf may have added.
func withoutStack(reason string) string {
	text, _, _ := strings.Cut(reason, stackTitle)
	return text
}

// stackOf is what the log says of a panic beside its text.
func stackOf(err error) []any {
	var p *PanicError
	if !errors.As(err, &p) {
		return nil
	}
	return []any{"stack", p.frames}
}
