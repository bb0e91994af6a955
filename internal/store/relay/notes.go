package relay

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Note is text that the owner writes into the lease row, for its successors and for operators.
type Note struct {
	Field Field
	Value string
}

// Field is the column in which a note is kept.
type Field int

// The fields of the lease row for notes.
const (
	FieldMode Field = iota
	FieldPosition
	FieldHalted
	FieldUnreachable
	FieldOutage
	FieldTopics
	FieldCheckpoint
)

// Mode notes the mode in which the source is relayed. The owner writes it only after it has done everything
// that a change of the mode needs. If the claim wrote it, a crash in between would make the successor believe
// that this was done (hazard mode-switch).
func Mode(mode string) Note { return Note{FieldMode, mode} }

// Position notes where the next owner finds what transactions have sent. It is a JSON object that only the
// sink understands.
func Position(position []byte) Note { return Note{FieldPosition, string(position)} }

// Halted notes why the source stopped. The next claim clears it.
func Halted(reason string) Note { return Note{FieldHalted, reason} }

// SinkUnreachable notes that the owner cannot reach its sink, and since when, or that it can reach it. A
// claim clears the note.
func SinkUnreachable(unreachable bool) Note {
	since := ""
	if unreachable {
		since = time.Now().UTC().Format(time.RFC3339)
	}
	return Note{FieldUnreachable, since}
}

// SinkOutage notes since when the owner's sink has failed, and the current reason. Without a reason it notes
// that the sink works. A claim clears the note.
func SinkOutage(since time.Time, reason string) Note {
	return Note{FieldOutage, encodeOutage(since, reason)}
}

// UsedTopics notes for which topics the source has events. It is a JSON object with the last day (2006-01-02,
// UTC) of each topic.
func UsedTopics(topics []byte) Note { return Note{FieldTopics, string(topics)} }

// Checkpoint notes which ids no start has to read. It is a JSON object that only the relay understands.
func Checkpoint(checkpoint []byte) Note { return Note{FieldCheckpoint, string(checkpoint)} }

// Note writes a note, or returns ErrLeaseLost or ErrServerChanged. A checkpoint is an exception, because it
// is written in one statement with each renewal of the lease. If another owner has the lease, or another
// server answers than the one that granted it, Note writes no checkpoint and returns no error. The checkpoint
// is not true there.
func (s Leases) Note(ctx context.Context, l Lease, n Note) error {
	if n.Field == FieldCheckpoint {
		_, err := s.leasePool.ExecContext(ctx, s.sql.SetCheckpoint, n.Value, l.Owner.String(), l.Epoch, l.Server)
		return err
	}
	statement := map[Field]string{
		FieldMode: s.sql.SetMode, FieldPosition: s.sql.SetPosition, FieldHalted: s.sql.SetHalted,
		FieldUnreachable: s.sql.SetUnreachable, FieldOutage: s.sql.SetOutage, FieldTopics: s.sql.SetTopics,
	}[n.Field]
	return s.Fenced(ctx, l, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, statement, n.Value)
		return err
	})
}

// ReadNote returns the last note of UsedTopics or Checkpoint, or nil if there is none. The other notes come
// with the claim, or are for people. ReadNote also returns no checkpoint if another owner has the lease, or
// another server answers than the one that granted it.
func (s Leases) ReadNote(ctx context.Context, l Lease, field Field) ([]byte, error) {
	var kept sql.NullString
	var err error
	switch field {
	case FieldTopics:
		err = s.leasePool.QueryRowContext(ctx, s.sql.UsedTopics).Scan(&kept)
	case FieldCheckpoint:
		err = s.leasePool.QueryRowContext(ctx, s.sql.Checkpoint, l.Owner.String(), l.Epoch, l.Server).Scan(&kept)
	default:
		return nil, fmt.Errorf("the relay does not read field %d of the lease row", field)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return hint(kept), err
}

// ParseTopics reads a note of UsedTopics and returns the last day of each topic. It returns nothing for an
// invalid note, because the note is only a hint.
func ParseTopics(note []byte) map[string]string {
	var days map[string]string
	if json.Unmarshal(note, &days) != nil {
		return nil
	}
	return days
}

// hint returns the text of a column of the lease row, or nil if it has none.
func hint(text sql.NullString) []byte {
	if !text.Valid || text.String == "null" {
		return nil
	}
	return []byte(text.String)
}
