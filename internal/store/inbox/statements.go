package inbox

import "embed"

//go:embed *.sql
var files embed.FS

// statements are those that every dialect has. The .sql files give the reasons.
type statements struct {
	InsertMessage, InsertMessages, HasMessage                            string
	MarkTx, SameTx                                                       string
	ReturnAttempt, NoteAttempt, DeleteAttempts, DeleteOldAttempts        string
	Park, Block, LockBlocked, BlockedKeys, Unblock, RetryParked          string
	Requests, FirstParked, ParkedOfKey, RequestedOfKey                   string
	ClaimParked, BlockFollowers, UnclaimParked, FailParked               string
	DeleteParked, ReadParked, HasParked                                  string
	ClaimSpan, UnclaimSpan, ReadSpan, DeleteSpan                         string
	ClaimPartition, ReadClaim, LockClaim, MoveOffset, LowestOffsets      string
	ReadGroups, ReadGroupsOlder, InsertGroup, ReplaceGroup               string
	SetApplied, RaiseApplied, RemoveOffset, RaiseGroups, RaiseGroupsRow  string
	Expired, DeleteMessages, OldestMessage, ParkedIDs                    string
	OfConsumer, StatusEvents, NextConsumer, StatusAttempts, StatusParked string
	StatusBlocked, StatusOffsets, StatusOffsetsOlder, StatusBackfills    string
	TraceEvents, TraceAttempts, TraceParked                              string
}

// postgresStatements are PostgreSQL's alone.
type postgresStatements struct {
	SameTxDone, StartAttempt, StartBatch  string
	TableBlocks                           string
	SampleBlocks, SampleEvents, LockWaits string
	Layout                                string
}

// dailyStatements are those of a table in daily partitions, which PostgreSQL alone has.
type dailyStatements struct {
	InsertMessageDaily, InsertMessagesDaily, StartAttemptDaily   string
	ExpiredUndated, ExpiredStrays, DeleteMessagesDaily           string
	OldestUndated, OldestStray, OldestOfDay                      string
	LimitLockWait, MissingDays, EndedDays, DayAges, DayGroups    string
	SetExpiry, ShortestRetention                                 string
	LockDay, TruncateDay, LockAllDays, DayHasRows, DropDay       string
	CreateDay, AttachDay, OwnDay                                 string
	LockTable, RenameTable, RenameIndex                          string
	CreateTable, CommentTable, CreateUndated, CreateStrays       string
	CreateExpiry, CommentExpiry, CopyRights, FirstDays, CopyRows string
	DropBefore                                                   string
}

// countStatements count attempts in two steps, a read and a write, where one statement cannot do both: on MySQL and
// SQLite.
type countStatements struct {
	ReadAttempts, CountAttempt string
	ReadBatch, CountBatch      string
}

// mysqlStatements are those of MySQL and MariaDB alone.
type mysqlStatements struct {
	WrittenMessages, StatementLimit   string
	EstimateEvents                    string
	LockWaitsMariaDB, LockWaitsMySQL8 string
}
