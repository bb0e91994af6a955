package relay

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// mysql implements dialect for MySQL and MariaDB.
type mysql struct{ *conn }

func (m mysql) read(q ReadQuery) (string, []any) {
	statement := m.sql.ReadHeader
	if len(q.Gaps) > 0 {
		var gaps strings.Builder
		for i, g := range q.Gaps {
			if i > 0 {
				gaps.WriteString(" OR ")
			}
			if g.Lo == g.Hi {
				fmt.Fprintf(&gaps, "id = %d", g.Lo)
			} else {
				fmt.Fprintf(&gaps, "id BETWEEN %d AND %d", g.Lo, g.Hi)
			}
		}
		statement += "\nUNION ALL " +
			db.Fill(m.sql.ReadGaps, db.Values{"gaps": db.SQL(gaps.String()), "limit": q.Limit})
	}
	if !q.GapsOnly {
		statement += "\nUNION ALL " + db.Fill(m.sql.ReadTail, db.Values{"head": q.Head, "limit": q.Limit})
	}
	return statement, nil
}

func (m mysql) columns(row *Row) ([]any, func()) {
	var micros sql.NullInt64
	return append(row.columns(), &micros),
		func() { row.CreatedAt = time.UnixMicro(micros.Int64).UTC() }
}

func (m mysql) inspect(ctx context.Context) (Source, error) {
	var s Source
	var name sql.NullString
	var increment int64
	err := m.pool.QueryRowContext(ctx, m.sql.Inspect).Scan(&name, &s.SourceID, &s.Standby, &increment)
	if err != nil {
		return s, err
	}
	s.Name = name.String
	if increment > 1 {
		s.Unordered = fmt.Sprintf("auto_increment_increment is %d: with several writable nodes ids do not follow the "+
			"order of commits", increment)
	}
	s.Unordered += m.cluster(ctx)
	return s, nil
}

// cluster reports whether the server is a node of Galera or of group replication, which allow writes on
// several nodes.
func (m mysql) cluster(ctx context.Context) string {
	clusters := map[string]string{"wsrep_on": "Galera", "group_replication_group_name": "group replication"}
	for variable, name := range clusters {
		var ignored, value string
		statement := db.Fill(m.sql.mysql.GlobalVariable, db.Values{"variable": db.SQL(variable)})
		err := m.pool.QueryRowContext(ctx, statement).Scan(&ignored, &value)
		if err == nil && value != "" && !strings.EqualFold(value, "OFF") {
			return " the server is a node of " + name + ": keep all writers on one node"
		}
	}
	return ""
}

// checkSequence has nothing to do: InnoDB itself keeps AUTO_INCREMENT above the highest id, after an explicit
// id, a restart and a restore.
func (m mysql) checkSequence(context.Context) error { return nil }

func (m mysql) firstParked(ctx context.Context, q reader, keys []db.EventKey) ([]parkedHead, error) {
	return m.queryFirstParked(ctx, q, keys, func(k db.EventKey) []any {
		return []any{hex.EncodeToString([]byte(k.Topic)), hex.EncodeToString([]byte(k.Key))}
	})
}

func (m mysql) followers(ctx context.Context, tx *sql.Tx, heads []parkedHead, most int) ([]int64, error) {
	return m.queryFollowers(ctx, tx, most, seqsOfHeads(heads))
}

func (m mysql) blockedKeysArgs(after BlockedPart) []any {
	key := append([]byte{}, after.Key...) // an empty key must not become NULL
	return []any{after.Topic, after.Topic, key, key, after.Seq, blockedPartRows}
}
