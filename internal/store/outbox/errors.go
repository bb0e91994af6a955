package outbox

import (
	"database/sql/driver"
	"errors"

	"github.com/postroom/postroom/internal/db"
)

// IsPacketTooLarge reports whether a statement was larger than max_allowed_packet of the MySQL server
// (error 1153) or of the driver (an error without a number).
func IsPacketTooLarge(err error) bool {
	if db.MySQLNumber(err) == 1153 {
		return true
	}
	for _, e := range db.Chain(err) {
		if e.Error() == "packet for query is too large. Try adjusting the `Config.MaxAllowedPacket`" {
			return true
		}
	}
	return false
}

// IsConnectionLost reports whether the connection broke in the middle of a statement.
// MySQL closes it after a packet that is too large. Sometimes the client notices that before it has
// read the server's reason.
func IsConnectionLost(err error) bool {
	if errors.Is(err, driver.ErrBadConn) {
		return true
	}
	for _, e := range db.Chain(err) {
		if e.Error() == "invalid connection" { // go-sql-driver's ErrInvalidConn
			return true
		}
	}
	return false
}

// IsOutOfLocks reports whether PostgreSQL's table of locks is full
// (max_locks_per_transaction): "out of shared memory".
func IsOutOfLocks(err error) bool { return db.SQLState(err) == "53200" }
