package parked

import "embed"

//go:embed outbox/*.sql inbox/*.sql
var files embed.FS

// statements are those that both tables have in every dialect. The .sql files give the reasons.
type statements struct {
	List, Find, Lock, First, Count, Exists string

	// Conditions, of which {where} is made.
	OfTopic, OfKey, InState, WithSeq, WithID, Before, But string
	AheadOfRetry, AheadOfDrop                             string // rows of a key that a request must begin with
	RetriedByFilter, DroppedByFilter                      string // rows that a request by filter changes

	MarkRetry, MarkDrop string // of the rows in a list of seqs
}

// outboxStatements are those of outbox_parked alone.
type outboxStatements struct{ Overtaken, MarkRetryOvertaken, LastSeqs string }

// inboxStatements are those of inbox_parked alone.
type inboxStatements struct{ OfConsumer, RetryAll, DropAll string }
