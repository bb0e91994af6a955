package migrations

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
)

// Check compares versions that this build does not have yet.
func TestVersionsAreComparedPerHalf(t *testing.T) {
	p := &plan{names: db.Names{Dialect: PostgreSQL}, needed: map[Scope]int64{OutboxOnly: 3, InboxOnly: 2}}
	for _, name := range []string{"00001_outbox.sql", "00002_inbox.sql", "00003_outbox_a.sql", "00004_outbox_b.sql",
		"00005_inbox_c.sql"} {
		version, scope, err := parseName(name)
		require.NoError(t, err)
		p.files = append(p.files, file{version: version, name: name, scope: scope})
		p.newest = version
	}
	for name, c := range map[string]struct {
		scope   Scope
		applied []string
		want    error
	}{
		"all there": {OutboxOnly, []string{"00001_outbox.sql", "00003_outbox_a.sql",
			"00004_outbox_b.sql"}, nil},
		"one behind":                      {OutboxOnly, []string{"00001_outbox.sql", "00003_outbox_a.sql"}, nil},
		"one that is needed is not there": {OutboxOnly, []string{"00001_outbox.sql"}, ErrTooOld},
		"behind by what is not needed":    {InboxOnly, []string{"00002_inbox.sql"}, nil},
		"none of the scope": {OutboxOnly, []string{"00002_inbox.sql", "00005_inbox_c.sql"},
			ErrNotMigrated},
		"nothing at all":                {InboxOnly, nil, ErrNotMigrated},
		"the other scope is far behind": {InboxOnly, []string{"00001_outbox.sql", "00002_inbox.sql"}, nil},
		"one newer": {InboxOnly, []string{"00002_inbox.sql", "00005_inbox_c.sql",
			"00006_inbox_d.sql"}, nil},
		"two newer": {InboxOnly, []string{"00002_inbox.sql", "00005_inbox_c.sql",
			"00006_inbox_d.sql", "00007_inbox_e.sql"}, ErrTooNew},
		"two newer of the other scope": {InboxOnly, []string{"00002_inbox.sql", "00005_inbox_c.sql",
			"00006_outbox_d.sql", "00007_outbox_e.sql"}, nil},
		"a newer name that tells no scope": {InboxOnly, []string{"00002_inbox.sql", "00005_inbox_c.sql",
			"00006_inbox_d.sql", "00007_replica.sql"}, ErrTooNew},
		"one behind and one newer is a skew": {InboxOnly, []string{"00002_inbox.sql", "00006_inbox_d.sql"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var applied []appliedVersion
			for _, file := range c.applied {
				var version int64
				for _, digit := range file[:5] {
					version = version*10 + int64(digit-'0')
				}
				applied = append(applied, appliedVersion{version: version, name: file, at: time.Now()})
			}
			err := p.compare(c.scope, applied)
			if c.want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, c.want)
		})
	}
}

func TestAPartialErrorSaysWhatWasAppliedBefore(t *testing.T) {
	why := errors.New("disk full")
	err := error(
		&PartialError{
			Applied: []Result{{File: "00001_outbox.sql"}}, Version: 2, File: "00002_inbox.sql", Err: why,
			atomic: true,
		},
	)
	require.ErrorIs(t, err, why)
	require.Equal(
		t, "00002_inbox.sql failed (it was rolled back; applied before it: 00001_outbox.sql): disk full", err.Error(),
	)
}
