package doctor

import (
	"errors"
	"fmt"

	"github.com/postroom/postroom/internal/dialect"
	"github.com/postroom/postroom/migrations"
)

// reach says what could not be reached or looked at.
func reach(f *Facts, found *findings) {
	if f.OpenErr != nil {
		found.add(Problem, "database.unreachable", f.Where, short(f.OpenErr.Error()),
			"no relay can read this source either, if it runs where you are", f.relay("status"))
	}
	if f.SinkErr != nil {
		found.add(Problem, "sink.unreachable", f.At, short(f.SinkErr.Error()),
			"events wait in their table until it is back; nothing is lost", kafkaVersions(f)...)
	}
	if f.Pooler {
		version := "its version cannot be seen from here"
		if f.PoolerVersion != "" {
			version = "it says " + f.PoolerVersion
		}
		found.add(Note, "database.pooler", f.Where, "a pooler stands before the database: "+version,
			"the relay works through pgbouncer of any version; your own programs need 1.21 or later, and max_prepared_statements set there, for prepared statements")
	}
}

func kafkaVersions(f *Facts) []string {
	if len(f.Brokers) == 0 {
		return nil
	}
	return []string{f.kafkaTool("kafka-broker-api-versions.sh")}
}

// unanswered says which questions had no answer.
func unanswered(f *Facts, found *findings) {
	status := f.relay("status")
	if f.Inbox != nil {
		status = f.relay("inbox status")
	}
	for _, m := range f.Missing {
		switch {
		case dialect.IsDenied(m.Err), errors.Is(m.Err, errHidden), errors.Is(m.Err, migrations.ErrNoAccess):
			found.add(Note, "look.denied", m.Subject, fmt.Sprintf("%s could not be looked at: %s", m.Subject, short(m.Err.Error())),
				"what is wrong there would not be found", m.Do...)
		case dialect.IsTimeout(m.Err):
			found.add(Warning, "look.slow", m.Subject, fmt.Sprintf("%s could not be looked at within %s", m.Subject, duration(f.Timeout)),
				"the server is overloaded, or something holds a lock: see the findings about transactions", f.again()+" --timeout 30s")
		case errors.Is(m.Err, errNoBrokers):
			found.add(Note, "look.skipped", m.Subject, m.Subject+" were not looked at: "+m.Err.Error(),
				"a database that was restored to an earlier state would not be found", f.again()+" --kafka-brokers HOST:PORT")
		case errors.Is(m.Err, errSkipped):
			found.add(Note, "look.skipped", m.Subject, m.Subject+" was not looked at: "+m.Err.Error(), "what is wrong there would not be found", f.again()+" --timeout 30s")
		default:
			found.add(Warning, "look.failed", m.Subject, fmt.Sprintf("%s could not be looked at: %s", m.Subject, short(m.Err.Error())),
				"what is wrong there would not be found", status)
		}
	}
}

var (
	// errHidden: the server answers, and keeps to itself what belongs to others.
	errHidden = errors.New("the server shows it only to users with the right")
	// errNoBrokers: Kafka cannot be asked.
	errNoBrokers = errors.New("no brokers were named")
	// errSkipped: too much went unanswered before.
	errSkipped = errors.New("the database did not answer earlier questions in time")
)
