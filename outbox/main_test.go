package outbox_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/outbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Each test starts with an empty outbox; they share the migrated database, because making
// that takes longer than most of them.
func TestOnEveryDatabase(t *testing.T) {
	tests := []struct {
		name string
		run  func(t *testing.T, db dbtest.Database)
	}{
		{"Add writes the event as it was given", addWritesTheEventAsItWasGiven},
		{"Add fills in ids that ascend", addFillsInIDsThatAscend},
		{"Add honours a cancelled context", addHonoursACancelledContext},
		{"Add stores what is absent as absent", addStoresWhatIsAbsentAsAbsent},
		{"Add keeps the order of more events than a statement takes", addKeepsTheOrderOfMoreEventsThanAStatementTakes},
		{"Add uses one statement and no other round trip", addUsesOneStatementAndNoOtherRoundTrip},
		{"Add keeps every byte of a payload", addKeepsEveryByteOfAPayload},
		{"Add keeps keys that differ in bytes only", addKeepsKeysThatDifferInBytesOnly},
		{"Add keeps headers whatever they contain", addKeepsHeadersWhateverTheyContain},
		{"Rolled back events are not there", rolledBackEventsAreNotThere},
		{"Add on a closed transaction says so", addOnAClosedTransactionSaysSo},
		{"What Add takes no constraint refuses", whatAddTakesNoConstraintRefuses},
		{"Add takes each part up to its limit", addTakesEachPartUpToItsLimit},
		{"The table refuses what is beyond its own limits", theTableRefusesWhatIsBeyondItsOwnLimits},
		{"Add splits payloads that together are too large", addSplitsPayloadsThatTogetherAreTooLarge},
		{"Add takes a payload of 16 MiB where the server does", addTakesAPayloadOf16MiBWhereTheServerDoes},
	}
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				_, err := db.DB.ExecContext(t.Context(), "DELETE FROM outbox_events")
				require.NoError(t, err)
				test.run(t, db)
			})
		}
	})
}

// untouchable is a transaction that no statement may reach.
type untouchable struct{ t testing.TB }

func (u untouchable) ExecContext(_ context.Context, query string, _ ...any) (sql.Result, error) {
	u.t.Errorf("a statement reached the database: %s", query)
	return nil, sql.ErrConnDone
}

func (u untouchable) QueryContext(_ context.Context, query string, _ ...any) (*sql.Rows, error) {
	u.t.Errorf("a query reached the database: %s", query)
	return nil, sql.ErrConnDone
}

func (u untouchable) Commit() error {
	u.t.Error("Commit is the caller's")
	return nil
}

func (u untouchable) Rollback() error {
	u.t.Error("Rollback is the caller's")
	return nil
}

// counting counts the statements of a transaction.
type counting struct {
	outbox.Tx
	statements int
}

func (c *counting) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	c.statements++
	return c.Tx.ExecContext(ctx, query, args...)
}

func (c *counting) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	c.statements++
	return c.Tx.QueryContext(ctx, query, args...)
}

// row is a row of outbox_events as any program would read it.
type row struct {
	ID      int64
	EventID uuid.UUID
	Topic   string
	Key     sql.NullString
	Type    string
	Payload []byte
	IsNull  bool // the payload is NULL
	Headers string
}

func newOutbox(t testing.TB, db dbtest.Database, opts ...outbox.Option) *outbox.Outbox {
	t.Helper()
	ob, err := outbox.New(db.Dialect, opts...)
	require.NoError(t, err)
	return ob
}

// inTx runs fn in a transaction and commits it.
func inTx(t testing.TB, db *sql.DB, fn func(tx *sql.Tx)) {
	t.Helper()
	tx := begin(t, db)
	fn(tx)
	require.NoError(t, tx.Commit())
}

// begin opens a transaction that is rolled back when the test ends, if it still is open.
func begin(t testing.TB, db *sql.DB) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

func add(t testing.TB, db dbtest.Database, ob *outbox.Outbox, events ...outbox.Event) {
	t.Helper()
	inTx(t, db.DB, func(tx *sql.Tx) { require.NoError(t, ob.Add(t.Context(), tx, events...)) })
}

func rowsOf(t testing.TB, db *sql.DB) []row { return rowsIn(t, db, "outbox_events") }

func rowsIn(t testing.TB, db *sql.DB, table string) []row {
	t.Helper()
	rows, err := db.QueryContext(t.Context(),
		"SELECT id, event_id, topic, event_key, event_type, payload, payload IS NULL, headers FROM "+table+
			" ORDER BY id")
	require.NoError(t, err)
	defer func() { _ = rows.Close() }()
	var all []row
	for rows.Next() {
		var r row
		var id string
		require.NoError(t, rows.Scan(&r.ID, &id, &r.Topic, &r.Key, &r.Type, &r.Payload, &r.IsNull, &r.Headers))
		r.EventID, err = uuid.Parse(id)
		require.NoError(t, err)
		all = append(all, r)
	}
	require.NoError(t, rows.Err())
	return all
}
