package db_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
)

func TestFillPutsValuesInThePlacesOfTheirNames(t *testing.T) {
	require.Equal(t, `SELECT 1 FROM t WHERE a IN (3,-4) AND b > 5 AND c = '{"x": 1}' AND d = '{}' ORDER BY 1 LIMIT 7`,
		db.Fill(`SELECT 1 FROM t WHERE a IN ({list}) AND b > {number} AND c = '{"x": 1}' AND d = '{}' {order} `+
			`LIMIT {limit}`,
			db.Values{"list": []int64{3, -4}, "number": int64(5), "order": db.SQL("ORDER BY 1"), "limit": 7}))
	require.PanicsWithValue(
		t, "db.Fill: {missing} is <nil> in: SELECT {missing}", func() { db.Fill("SELECT {missing}", nil) },
	)
	require.Panics(
		t, func() { db.Fill("SELECT {text}", db.Values{"text": "O'Hara"}) }, "text is an argument, or an SQL",
	)
}

func TestLocksOfKeysAreTakenInOneOrder(t *testing.T) {
	a, b := db.EventKey{Topic: "orders", Key: "a"}, db.EventKey{Topic: "orders", Key: "b"}
	for _, d := range []db.Dialect{db.PostgreSQL, db.MySQL} {
		n := db.Names{Dialect: d}
		there, back := n.LockNumbers([]db.EventKey{a, b, a}), n.LockNumbers([]db.EventKey{b, a})
		require.Len(t, there, 2)
		require.Less(t, there[0], there[1])
		require.Equal(t, there, back)
		require.Contains(t, there, n.LockNumber(a))
	}
}
