package inbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/postroom/postroom/internal/db"
)

// InsertMessage writes the row and reports true, or reports false when a committed
// row, or one of this transaction, has the same consumer and message id. PostgreSQL says in which transaction it
// did so, for MarkTx.
func (s *Store) InsertMessage(ctx context.Context, tx db.Queryer, row Row) (fresh bool, mark TxMark, err error) {
	args := append(s.keys(row.Consumer, row.MessageID), s.positionArgs(row.Position)...)
	if s.hasDaily {
		args = append(args, messageDay(row.MessageID))
	}
	if s.names.Dialect == db.PostgreSQL {
		err = one(ctx, tx, []any{&mark}, s.sql.InsertMessage, args...)
		if errors.Is(err, sql.ErrNoRows) {
			return false, "", nil
		}
		return err == nil, mark, s.moved(err)
	}
	n, err := affected(ctx, tx, s.sql.InsertMessage, args...)
	if s.names.Dialect == db.MySQL && db.IsDuplicate(err) {
		return false, "", nil // the table has one unique key: it is this one
	}
	return n == 1, "", err
}

// InsertMessages writes the rows of one consumer that are not there yet, and returns the ids of those that it wrote. No
// id may come twice. Like InsertMessage it waits for transactions that hold one of the ids uncommitted, and says in
// which transaction it wrote. One statement, on MySQL two.
func (s *Store) InsertMessages(ctx context.Context, tx db.Queryer, consumer string, rows []Row) (
	written map[string]bool, mark TxMark, err error,
) {
	// Sorted by id: two batches that share ids wait for one another in one order, and not in a circle.
	rows = slices.Clone(rows)
	slices.SortFunc(rows, func(a, b Row) int { return strings.Compare(a.MessageID, b.MessageID) })
	switch s.names.Dialect {
	case db.PostgreSQL:
		args := append([]any{consumer}, s.messageArrays(rows)...)
		written, err = writtenMessages(ctx, tx, len(rows), &mark, s.sql.InsertMessages, args...)
		return written, mark, s.moved(err)
	case db.MySQL:
		written, err = s.insertWithToken(ctx, tx, consumer, rows)
		return written, "", err
	case db.SQLite:
		list, err := messageList(rows, func(s string) string { return s })
		if err != nil {
			return nil, "", err
		}
		written, err = writtenMessages(ctx, tx, len(rows), nil, s.sql.InsertMessages, consumer, list)
		return written, "", err
	}
	return nil, "", fmt.Errorf("InsertMessages has no case for dialect %q", string(s.names.Dialect))
}

// insertWithToken is InsertMessages on MySQL: a token of its own tells which rows it wrote.
func (s *Store) insertWithToken(ctx context.Context, tx db.Queryer, consumer string, rows []Row) (
	map[string]bool, error,
) {
	list, err := messageList(rows, func(s string) string { return fmt.Sprintf("%X", s) })
	if err != nil {
		return nil, err
	}
	token := uuid.NewString()
	if err := exec(ctx, tx, s.sql.InsertMessages, s.names.KeyArg(consumer), token, list); err != nil {
		return nil, err
	}
	return writtenMessages(ctx, tx, len(rows), nil, s.mysql.WrittenMessages, list, s.names.KeyArg(consumer), token)
}

// writtenMessages reads the ids that a statement returns, and beside them the mark of the transaction, if mark is not
// nil.
func writtenMessages(ctx context.Context, q db.Querier, most int, mark *TxMark, query string, args ...any) (
	map[string]bool, error,
) {
	written := make(map[string]bool, most)
	var id string
	var number sql.RawBytes // the same in each row
	dest := []any{&id}
	if mark != nil {
		dest = append(dest, &number)
	}
	err := db.Each(ctx, q, func(rows *sql.Rows) error {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		if written[id] = true; len(written) == 1 && mark != nil {
			*mark = TxMark(number)
		}
		return nil
	}, query, args...)
	if err != nil {
		return nil, err
	}
	return written, nil
}

// HasMessage reports whether a committed row of inbox_events has the consumer and message id of row.
func (s *Store) HasMessage(ctx context.Context, q db.Queryer, row Row) (bool, error) {
	return exists(ctx, q, s.sql.HasMessage, s.keys(row.Consumer, row.MessageID)...)
}

// messageArrays writes the columns of rows as PostgreSQL's array literals: ids, topics, partitions and offsets, and the
// days of a table that has them.
func (s *Store) messageArrays(rows []Row) []any {
	var columns [5]array
	for _, row := range rows {
		columns[0].text(row.MessageID)
		if p := row.Position; p != nil {
			columns[1].text(p.Topic)
			columns[2].literal(fmt.Sprint(p.Partition))
			columns[3].literal(fmt.Sprint(p.Offset))
		} else {
			for i := 1; i <= 3; i++ {
				columns[i].literal("NULL")
			}
		}
		if s.hasDaily {
			columns[4].text(messageDay(row.MessageID))
		}
	}
	count := 4
	if s.hasDaily {
		count = 5
	}
	args := make([]any, count)
	for i := range args {
		args[i] = columns[i].String()
	}
	return args
}

// array writes an array literal of PostgreSQL.
type array struct{ b strings.Builder }

func (a *array) literal(element string) {
	separator := byte(',')
	if a.b.Len() == 0 {
		separator = '{'
	}
	a.b.WriteByte(separator)
	a.b.WriteString(element)
}

func (a *array) text(element string) {
	a.literal(`"`)
	for i := range len(element) {
		if element[i] == '"' || element[i] == '\\' {
			a.b.WriteByte('\\')
		}
		a.b.WriteByte(element[i])
	}
	a.b.WriteByte('"')
}

// String returns the literal.
func (a *array) String() string {
	if a.b.Len() == 0 {
		return "{}"
	}
	return a.b.String() + "}"
}

// textArray writes an array literal of texts.
func textArray(elements []string) string {
	var a array
	for _, e := range elements {
		a.text(e)
	}
	return a.String()
}

// messageList writes rows as a JSON array of [id, topic, partition, offset].
func messageList(rows []Row, text func(string) string) (string, error) {
	list := make([][4]any, len(rows))
	for n, row := range rows {
		list[n][0] = text(row.MessageID)
		if p := row.Position; p != nil {
			list[n][1], list[n][2], list[n][3] = text(p.Topic), p.Partition, p.Offset
		}
	}
	encoded, err := json.Marshal(list)
	return string(encoded), err
}
