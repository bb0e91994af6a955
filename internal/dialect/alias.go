package dialect

import "github.com/postroom/postroom/internal/db"

// What moved to internal/db, under its old names. They go when the last subject has left this package.
type (
	Dialect = db.Dialect
	Names   = db.Names
	Execer  = db.Execer

	momentText = db.Moment
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
	Archive   = db.Archive
	Scheduled = db.Scheduled
	Drops     = db.Drops

	InboxEvents   = db.InboxEvents
	InboxAttempts = db.InboxAttempts
	InboxBlocked  = db.InboxBlocked
	InboxParked   = db.InboxParked
	InboxExpiry   = db.InboxExpiry
)

// See internal/db.
var (
	IsSerialization = db.IsSerialization
	IsMissingTable  = db.IsMissingTable
	IsRefused       = db.IsRefused
	IsDenied        = db.IsDenied
	IsTimeout       = db.IsTimeout
)
