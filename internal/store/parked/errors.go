package parked

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// MissingError rejects ids that name no parked row.
type MissingError struct{ IDs []ID }

func (e *MissingError) Error() string { return "nothing is parked as " + join(e.IDs) }

// AmbiguousError rejects an id that several parked rows have.
type AmbiguousError struct {
	ID   ID
	Seqs []int64 // of these rows
}

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("%s is parked %d times, as rows %s", e.ID, len(e.Seqs), Seqs(e.Seqs))
}

// BehindError rejects a request for a row that waits behind another row of its key.
type BehindError struct {
	Seq        int64
	First      int64 // the row that must go first
	FirstState string
	Request    string // the state that was asked for
}

func (e *BehindError) Error() string {
	return fmt.Sprintf("row %d waits behind row %d of its key, which is %s", e.Seq, e.First, e.FirstState)
}

// OvertakenError rejects a request to send rows again without Request.Force: later events of their keys were delivered
// before them, and consumers may see an old value last.
type OvertakenError struct {
	Seq      int64 // of the row, or of the first one
	Rows     int64 // up to db.CountLimit
	ByFilter bool  // the filter chooses them, among others
}

func (e *OvertakenError) Error() string {
	return fmt.Sprintf("%d rows were overtaken, the first is row %d", e.Rows, e.Seq)
}

// Seqs returns numbers of rows as text for people.
func Seqs(seqs []int64) string {
	texts := make([]string, len(seqs))
	for i, seq := range seqs {
		texts[i] = strconv.FormatInt(seq, 10)
	}
	return strings.Join(texts, ", ")
}

func join(ids []ID) string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = id.String()
	}
	return strings.Join(texts, ", ")
}

// resolved returns an error for ids that name no row, or several.
func resolved(ids []ID, entries []Entry) error {
	var missing []ID
	var errs []error
	for _, id := range ids {
		var found []int64
		for _, e := range entries {
			if id.names(e) {
				found = append(found, e.Seq)
			}
		}
		switch {
		case len(found) == 0:
			missing = append(missing, id)
		case len(found) > 1:
			errs = append(errs, &AmbiguousError{ID: id, Seqs: found})
		}
	}
	if len(missing) > 0 {
		errs = append(errs, &MissingError{IDs: missing})
	}
	return errors.Join(errs...)
}
