package relay

import (
	"context"
	"database/sql"
	"time"
)

// Note is what the owner writes into the lease row, for its successors and for those who look at the source.
type Note struct {
	Field Field
	Value string
}

// Field is where a note is kept.
type Field int

// The fields of the lease row for notes.
const (
	FieldMode Field = iota
	FieldPosition
	FieldHalted
	FieldUnreachable
	FieldOutage
	FieldTopics
)

// Mode notes the mode that the source is relayed in. It comes after whatever a
// change of mode asks for is done: a claim that wrote it would make a successor
// believe so after a crash in between (hazard mode-switch).
func Mode(mode string) Note { return Note{FieldMode, mode} }

// Position notes where the next owner finds what transactions have sent: a JSON object whose meaning is
// the sink's.
func Position(position []byte) Note { return Note{FieldPosition, string(position)} }

// Halted notes why the source stopped. The next claim clears it.
func Halted(reason string) Note { return Note{FieldHalted, reason} }

// SinkUnreachable notes that the owner cannot reach its sink, and since when, or that it can. A claim clears it.
func SinkUnreachable(unreachable bool) Note {
	since := ""
	if unreachable {
		since = time.Now().UTC().Format(time.RFC3339)
	}
	return Note{FieldUnreachable, since}
}

// SinkOutage notes since when the owner's sink has failed, and why it does now, or, without a reason, that it works.
// A claim clears it.
func SinkOutage(since time.Time, reason string) Note {
	return Note{FieldOutage, encodeOutage(since, reason)}
}

// UsedTopics notes which topics the source has events for: a JSON object of the last day (2006-01-02,
// UTC) by topic.
func UsedTopics(topics []byte) Note { return Note{FieldTopics, string(topics)} }

// Note writes a note, or returns ErrLeaseLost or ErrServerChanged.
func (s Leases) Note(ctx context.Context, l Lease, n Note) error {
	statement := map[Field]string{
		FieldMode: s.sql.SetMode, FieldPosition: s.sql.SetPosition, FieldHalted: s.sql.SetHalted,
		FieldUnreachable: s.sql.SetUnreachable, FieldOutage: s.sql.SetOutage, FieldTopics: s.sql.SetTopics,
	}[n.Field]
	return s.Fenced(ctx, l, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, statement, n.Value)
		return err
	})
}
