package doctor

import (
	"errors"
	"fmt"

	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/migrations"
)

// reach finds a database or a sink that cannot be reached, and a pooler.
func reach(f *Facts, found *findings) {
	if f.OpenErr != nil {
		found.add(Problem, "database.unreachable", f.Where, short(f.OpenErr.Error()),
			"a relay on this host cannot read this source either", f.relay("status"))
	}
	if f.SinkErr != nil {
		found.add(Problem, "sink.unreachable", f.At, short(f.SinkErr.Error()),
			"events wait in their table until it can be reached. No event is lost", kafkaVersions(f)...)
	}
	if f.Pooler {
		version := "its version is not known"
		if f.PoolerVersion != "" {
			version = "its version is " + f.PoolerVersion
		}
		found.add(Note, "database.pooler", f.Where, "the connection goes through a pooler: "+version,
			"the relay works with all versions of pgbouncer. For prepared statements your own programs need 1.21 or "+
				"later with max_prepared_statements")
	}
}

func kafkaVersions(f *Facts) []string {
	if len(f.Brokers) == 0 {
		return nil
	}
	return []string{f.kafkaTool("kafka-broker-api-versions.sh")}
}

// unanswered reports the queries that had no answer.
func unanswered(f *Facts, found *findings) {
	status := f.relay("status")
	if f.Inbox != nil {
		status = f.relay("inbox status")
	}
	for _, m := range f.Missing {
		switch {
		case db.IsDenied(m.Err), errors.Is(m.Err, errHidden), errors.Is(m.Err, migrations.ErrNoAccess):
			found.add(Note, "look.denied", m.Subject, fmt.Sprintf("%s could not be checked: %s", m.Subject,
				short(m.Err.Error())),
				"problems there are not found", m.Do...)
		case db.IsTimeout(m.Err):
			found.add(Warning, "look.slow", m.Subject, fmt.Sprintf("%s could not be checked within %s", m.Subject,
				duration(f.Timeout)),
				"the server is overloaded, or a transaction holds a lock: see the findings about transactions",
				f.again()+" --timeout 30s")
		case errors.Is(m.Err, errNoBrokers):
			found.add(Note, "look.skipped", m.Subject, m.Subject+" were not checked: "+m.Err.Error(),
				"a database that was restored to an earlier state is not found", f.again()+" --kafka-brokers HOST:PORT")
		case errors.Is(m.Err, errSkipped):
			found.add(Note, "look.skipped", m.Subject, m.Subject+" was not checked: "+m.Err.Error(),
				"problems there are not found", f.again()+" --timeout 30s")
		default:
			found.add(Warning, "look.failed", m.Subject, fmt.Sprintf("%s could not be checked: %s", m.Subject,
				short(m.Err.Error())),
				"problems there are not found", status)
		}
	}
}

var (
	// errHidden: the server answers, but hides the rows of other users.
	errHidden = errors.New("the server shows it only to users with a further right")
	// errNoBrokers: the configuration names no brokers.
	errNoBrokers = errors.New("no brokers are configured")
	// errSkipped: too many earlier queries had no answer.
	errSkipped = errors.New("the database did not answer earlier queries in time")
)
