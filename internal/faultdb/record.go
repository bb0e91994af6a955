package faultdb

import (
	"runtime"
	"slices"
	"strings"
	"sync"
)

// Separator stands after each statement in a file of statements.
const Separator = "\n;;\n"

// Recorder keeps every distinct statement that Postroom's own code sends. Statements of tests,
// of test helpers and of other modules are left out. It is safe for concurrent use.
type Recorder struct {
	// Each is called once for each statement, when it is first sent; nil: nobody wants to know.
	Each func(statement string)

	mu   sync.Mutex
	seen map[string]bool
}

// Hook records the statement, and never fails it. It is a Hook for Open.
func (r *Recorder) Hook(statement string) Fault {
	r.mu.Lock()
	defer r.mu.Unlock()
	if statement == Begin || statement == Commit || statement == Rollback || r.seen[statement] || !sentByPostroom() {
		return Fault{}
	}
	if r.seen == nil {
		r.seen = make(map[string]bool)
	}
	r.seen[statement] = true
	if r.Each != nil {
		r.Each(statement)
	}
	return Fault{}
}

// Statements returns what was recorded, sorted.
func (r *Recorder) Statements() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for statement := range r.seen {
		all = append(all, statement)
	}
	slices.Sort(all)
	return all
}

const module = "github.com/postroom/postroom/"

// sentByPostroom reports whether the function that called database/sql is Postroom's own, and no
// test's. database/sql calls the driver in the caller's goroutine, so the function is on the stack.
func sentByPostroom() bool {
	callers := make([]uintptr, 64)
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers)])
	for {
		frame, more := frames.Next()
		if name := frame.Function; !strings.HasPrefix(name, module+"internal/faultdb") &&
			!strings.HasPrefix(name, "database/sql.") &&
			!strings.HasPrefix(name, module+"internal/dbopen") {
			return strings.HasPrefix(name, module) && !strings.HasPrefix(name, module+"internal/dbtest") &&
				!strings.HasSuffix(frame.File, "_test.go")
		}
		if !more {
			return false
		}
	}
}
