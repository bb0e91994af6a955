package dialect

import "github.com/postroom/postroom/internal/db"

// What moved to internal/db, under its old names. They go when the last subject has left this package.
type (
	Dialect = db.Dialect
	Names   = db.Names
	Execer  = db.Execer
	Queryer = db.Queryer

	EventKey = db.EventKey

	object         = db.Object
	momentText     = db.Moment
	movedPartition = db.MovedPartition
)

// See internal/db.
const (
	PostgreSQL = db.PostgreSQL
	MySQL      = db.MySQL
	SQLite     = db.SQLite

	MaxPrefix      = db.MaxPrefix
	NothingListens = db.NothingListens

	Events    = db.Events
	Parked    = db.Parked
	Leases    = db.Leases
	KeyLocks  = db.KeyLocks
	Archive   = db.Archive
	Scheduled = db.Scheduled
	Drops     = db.Drops

	InboxEvents   = db.InboxEvents
	InboxAttempts = db.InboxAttempts
	InboxBlocked  = db.InboxBlocked
	InboxParked   = db.InboxParked
	InboxOffsets  = db.InboxOffsets
	InboxExpiry   = db.InboxExpiry
	inboxRuns     = db.InboxRuns
	inboxUndated  = db.InboxUndated
	inboxStrays   = db.InboxStrays
	inboxDay      = db.InboxDay
	inboxBefore   = db.InboxBefore
)

// See internal/db.
var (
	ValidIdentifier     = db.ValidIdentifier
	IsMissingTable      = db.IsMissingTable
	IsMissingColumn     = db.IsMissingColumn
	IsPreparedStatement = db.IsPreparedStatement
	IsRefused           = db.IsRefused
	IsSyntax            = db.IsSyntax
	IsDuplicate         = db.IsDuplicate
	IsSerialization     = db.IsSerialization
	IsLockTimeout       = db.IsLockTimeout
	IsBusy              = db.IsBusy
	IsTxAborted         = db.IsTxAborted
	IsDenied            = db.IsDenied
	IsConnection        = db.IsConnection
	IsTimeLimit         = db.IsTimeLimit
	IsStatementLimit    = db.IsStatementLimit
	IsUnavailable       = db.IsUnavailable
	IsTimeout           = db.IsTimeout
	IsTxDone            = db.IsTxDone

	sqlState       = db.SQLState
	mysqlNumber    = db.MySQLNumber
	sqliteCode     = db.SQLiteCode
	constraintName = db.ConstraintName
	chain          = db.Chain
	writeNumbered  = db.WriteNumbered
	micros         = db.Micros
)
