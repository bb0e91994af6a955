package inboxkafka_test

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/internal/dbtest"
)

// Behind pgbouncer in transaction mode what pgx prepares by default is on another connection. The error names the
// setting, and with it all messages are applied.
func TestTheSettingForPgxBehindAPoolerIsNamedAndWorks(t *testing.T) {
	const setting = "default_query_exec_mode=cache_describe"
	for name, with := range map[string]bool{"without": false, "with": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, dbtest.PgBouncer(t), 4)
			url := strings.Split(w.URL, "?")[0] + "?sslmode=disable"
			if with {
				url += "&" + setting
			}
			db, err := sql.Open("pgx", url)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			cfg := w.config(t, inboxkafka.PerMessage)
			cfg.DB = db
			for p := range int32(4) {
				w.produce(t, p, ids(string(rune('a'+p)), 100)...)
			}
			r := consume(t, cfg, w.effect)
			if with {
				w.awaitEffects(t, 400)
				r.end(t)
				return
			}
			require.ErrorContains(t, r.wait(t), setting)
		})
	}
}
