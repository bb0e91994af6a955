package relay

import (
	"embed"

	"github.com/postroom/postroom/internal/db"
)

//go:embed *.sql
var files embed.FS

// statements are the statements that every dialect has. The .sql files give the reasons.
type statements struct {
	ReadHeader, ReadGaps, ReadTail        string
	EventsUpTo, EventSizes, ParkedSizes   string
	CopyRow, DeleteRow                    string
	DeleteRun, DeleteEvents               string
	ArchiveEvents, ArchiveParked          string
	Purge, CountOld                       string
	Inspect, NameSource                   string
	ClaimLease, ClaimedLease, RenewLease  string
	LeaseOwner, LockLease                 string
	ReleaseLease, HandOverLease           string
	LeaseState                            string
	SetMode, SetPosition, SetHalted       string
	SetUnreachable, SetOutage, SetTopics  string
	UsedTopics, Checkpoint, SetCheckpoint string

	Heartbeat, Members, ForgetMembers, Leave string

	HasRequests, HasDrops, CheckDrops       string
	LastParked, ParkedWindow, NotOvertaken  string
	SentParked, BlockedKeys, Park, Orphans  string
	Candidates, FirstNotRetried, ReadParked string
	ParkedKeys, DeleteParked, Release       string
	MarkOvertaken, Reject, BlockLater       string
	LockDrops, RecordDrops                  string
	UntilDue, DueRows, LockDue              string
	CopyDue, DeleteDue                      string
}

// serverStatements are the statements of databases with users and with several writers: PostgreSQL and MySQL.
type serverStatements struct {
	LockHolders, TryLockKeys, LastGivenID             string
	FirstParked, Followers                            string
	CheckArchiveDelete, CheckArchiveInsert            string
	CheckParkInsert, CheckParkUpdate, CheckParkDelete string
}

// twoStepStatements are needed on MySQL and SQLite, for what PostgreSQL does in one statement.
type twoStepStatements struct {
	DeleteArchived, DeleteMoved string
	OtherMembers                string
}

type postgresStatements struct {
	OpenWriters, CheckSequence string
}

type mysqlStatements struct {
	LockLeaseRow, GlobalVariable                 string
	Sessions, StartTransaction, OpenTransactions string
	HasQueryID, HasProcessPrivilege              string
}

type sqliteStatements struct {
	FirstWrite, FirstRows, CheckArchive string
}

// allStatements has the statements of one dialect. Fields that the dialect does not use are empty.
type allStatements struct {
	statements
	server   serverStatements
	twoStep  twoStepStatements
	postgres postgresStatements
	mysql    mysqlStatements
	sqlite   sqliteStatements
}

func load(n db.Names) (all allStatements, err error) {
	err = db.Load(files, n, db.For(n.Dialect,
		[]any{&all.statements, &all.server, &all.postgres},
		[]any{&all.statements, &all.server, &all.twoStep, &all.mysql},
		[]any{&all.statements, &all.twoStep, &all.sqlite})...)
	return all, err
}
