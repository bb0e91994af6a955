package dbopen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/postroom/postroom/internal/db"
)

// openError says which database could not be opened, why, and what to try, on one line.
type openError struct {
	where, hint string
	err         error
}

func (e *openError) Error() string {
	return fmt.Sprintf("%s: cannot connect: %s (%s)", e.where, oneLine(e.err), e.hint)
}

func (e *openError) Unwrap() error { return e.err }

func cannotOpen(where string, err error, timeout time.Duration) error {
	return &openError{where: where, err: err, hint: hint(err, timeout)}
}

// oneLine joins the lines of a driver's error, one for each address and attempt, without duplicates.
func oneLine(err error) string {
	var lines []string
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, " ")
}

// hint says what to try.
func hint(err error, timeout time.Duration) string {
	var (
		pg     *pgconn.PgError
		my     *mysql.MySQLError
		dns    *net.DNSError
		netErr net.Error
	)
	switch {
	case errors.As(err, &pg):
		return postgresHint(pg.Code)
	case errors.As(err, &my):
		return mysqlHint(my.Number)
	case errors.As(err, &dns):
		return "the host's name is not known: check it in the URL"
	case db.IsRefused(err):
		return db.NothingListens
	case errors.Is(err, context.Canceled):
		return "the program was told to stop"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return fmt.Sprintf(
			"no answer within %s: check host and port, firewalls, and whether the server is overloaded", timeout,
		)
	case errors.Is(err, os.ErrPermission):
		return "check the permissions of the file or socket"
	}
	return "check the URL, and the server's log"
}

func postgresHint(code string) string {
	switch code {
	case "28P01", "28000":
		return "check user and password in the URL, and the server's pg_hba.conf"
	case "3D000":
		return "the database does not exist: create it, or check its name in the URL"
	case "53300":
		return "the server has no connection left: raise max_connections, or use a pooler"
	case "57P03":
		return "the server is starting or stopping: try again"
	}
	return "see the server's log"
}

func mysqlHint(number uint16) string {
	switch number {
	case 1045, 1698:
		return "check user and password in the URL"
	case 1044:
		return "the user has no rights on this database: grant them, or check the database's name"
	case 1049:
		return "the database does not exist: create it, or check its name in the URL"
	case 1040, 1203:
		return "the server has no connection left: raise max_connections"
	case 1193:
		return "a parameter in the URL is unknown to the server: see https://github.com/go-sql-driver/mysql#parameters"
	}
	return "see the server's log"
}
