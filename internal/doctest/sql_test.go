package doctest

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/dbtest"
)

func TestEverySQLBlockSaysHowItIsTested(t *testing.T) {
	for _, b := range blocks(t, "sql") {
		how, ok := b.directive("test")
		words := strings.Fields(how)
		require.True(t, ok && len(words) > 1, "%s: write <!-- test: postgresql mysql sqlite insert --> before it", b)
		for _, dialect := range words[:len(words)-1] {
			require.Contains(t, []string{"postgresql", "mysql", "sqlite"}, dialect, "%s", b)
		}
		// Package migrations tests grants, with a user that has just those, and scheduling.
		require.Contains(t, []string{"insert", "grants", "schedule"}, words[len(words)-1], "%s", b)
	}
}

func TestAnInsertOfTheDocsIsAnEvent(t *testing.T) {
	dbtest.EachMigrated(t, func(t *testing.T, db dbtest.Database) {
		tried := 0
		for _, b := range blocks(t, "sql") {
			how, _ := b.directive("test")
			words := strings.Fields(how)
			if !slices.Contains(words, "insert") || !slices.Contains(words, string(db.Dialect)) {
				continue
			}
			tried++
			run(t, db, b)
			var events int
			require.NoError(t, db.DB.QueryRowContext(
				t.Context(), "SELECT count(*) FROM outbox_events WHERE topic = 'orders'",
			).Scan(&events))
			require.Equal(t, tried, events, "%s", b)
		}
		require.Positive(t, tried)
	})
}

// run runs a block's statements on one connection, without its comments.
func run(t *testing.T, db dbtest.Database, b block) {
	t.Helper()
	conn, err := db.DB.Conn(t.Context())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	var code strings.Builder
	for line := range strings.SplitSeq(b.code, "\n") {
		if !strings.HasPrefix(strings.TrimSpace(line), "--") {
			code.WriteString(line + "\n")
		}
	}
	for statement := range strings.SplitSeq(code.String(), ";\n") {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		_, err := conn.ExecContext(t.Context(), statement)
		require.NoError(t, err, "%s: %s", b, statement)
	}
}
