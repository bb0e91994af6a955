package migrations

import (
	"errors"
	"fmt"
	"strings"
)

// These are the errors of Check and Apply, for errors.Is. The returned errors say more: which table, which
// versions, and what to do.
var (
	// ErrNotMigrated is returned by Check if the tables were never created. The message ends with the command
	// that creates them.
	ErrNotMigrated = errors.New("tables are not migrated")
	// ErrTableGone is returned by Diagnose if a table was created and does not exist any more. The message
	// says which table, and where its statements are.
	ErrTableGone = errors.New("a table is gone")
	// ErrTooOld is returned by Check if the tables are older than those of the previous release.
	ErrTooOld = errors.New("tables are too old")
	// ErrTooNew is returned by Check if the tables are more than one version newer than this build.
	ErrTooNew = errors.New("tables are too new")
	// ErrNoAccess is returned if the database user lacks a right. The message says which.
	ErrNoAccess = errors.New("missing right")
	// ErrLockLost is returned by Apply if its process was paused for so long that another process took over.
	// What Apply had begun was rolled back, or is repeated by the other process.
	ErrLockLost = errors.New("lost the migration lock to another process")
)

// PartialError says that a file failed, and what was applied before it.
type PartialError struct {
	Applied []Result // files applied before the failure; may be empty
	Version int64    // of the file that failed
	File    string   // that failed, for example 00002_inbox.sql
	Err     error    // why it failed

	atomic bool // nothing of the file is left
}

// Error says what failed, why, and in which state the tables are.
func (e *PartialError) Error() string {
	applied := "nothing"
	if len(e.Applied) > 0 {
		names := make([]string, len(e.Applied))
		for i, r := range e.Applied {
			names[i] = r.File
		}
		applied = strings.Join(names, ", ")
	}
	state := "it was rolled back"
	if !e.atomic {
		state = "its statements before the failed one stay, and are repeated by the next run"
	}
	return fmt.Sprintf("%s failed (%s; applied before it: %s): %v", e.File, state, applied, e.Err)
}

// Unwrap returns why the file failed.
func (e *PartialError) Unwrap() error { return e.Err }

// hintError is a sentinel with a message of its own. The message ends with what to do next.
type hintError struct {
	message string
	kind    error // one of the sentinels above
	cause   error // the database's error; may be nil
}

func (e *hintError) Error() string { return e.message }

func (e *hintError) Unwrap() []error {
	if e.cause == nil {
		return []error{e.kind}
	}
	return []error{e.kind, e.cause}
}
