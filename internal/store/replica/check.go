package replica

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/postroom/postroom/internal/db"
)

// Key is how MySQL distinguishes the rows of a replica's table.
type Key struct {
	// Wrong is the reason why the table cannot hold a replica, and what to type. Empty: it can.
	Wrong string
	// Pads has the columns of the key in which "a" and "a " are the same.
	Pads []bool
}

// CheckTable lets the database plan the statement of Upsert, without rows. This checks that the
// table, its columns and the unique index of its key exist, and that the user may write to it.
func (r *Store) CheckTable(ctx context.Context, q db.Queryer) error {
	columns := r.list(slices.Concat(r.table.Key, r.table.Columns))
	rows, err := q.QueryContext(
		ctx,
		"EXPLAIN INSERT INTO "+r.name+" ("+columns+") SELECT "+columns+" FROM "+r.name+" WHERE 1 = 0"+r.overwrite(),
	)
	if err != nil {
		return err
	}
	for rows.Next() {
	}
	return errors.Join(rows.Err(), rows.Close())
}

// CheckKey looks at the table's keys on MySQL. ON DUPLICATE KEY UPDATE there acts on every
// unique index, and could write a row's values over another row. nil: the table does not
// exist; the statement that needs the table has the better error.
func (r *Store) CheckKey(ctx context.Context, tx db.Queryer) (*Key, error) {
	k := &Key{Pads: make([]bool, len(r.table.Key))}
	there, err := r.checkColumns(ctx, tx, k)
	if err != nil || !there {
		return nil, err
	}
	if k.Wrong == "" {
		k.Wrong, err = r.checkIndexes(ctx, tx)
	}
	return k, err
}

func (r *Store) checkColumns(ctx context.Context, tx db.Queryer, k *Key) (there bool, err error) {
	rows, err := tx.QueryContext(ctx, r.mysql.TableColumns, r.table.Table)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	for rows.Next() {
		there = true
		var name, kind, full, set, collation string
		if err := rows.Scan(&name, &kind, &full, &set, &collation); err != nil {
			return false, err
		}
		i := slices.Index(r.table.Key, strings.ToLower(name)) // MySQL's names of columns have no case
		if i < 0 || collation == "" {                         // a number, or bytes
			continue
		}
		if !strings.HasSuffix(collation, "_bin") {
			k.Wrong = fmt.Sprintf("the key's column %s has the collation %s, to which different keys are the same; "+
				"the order of versions is kept by bytes: ALTER TABLE %s MODIFY %s %s CHARACTER SET %s COLLATE %s_bin "+
				"NOT NULL",
				name, collation, r.table.Table, name, full, set, set)
		}
		// CHAR loses spaces at its end, whatever the collation.
		k.Pads[i] = kind == "char" || !strings.HasSuffix(collation, "_nopad_bin") && collation != "utf8mb4_0900_bin"
	}
	return there, rows.Err()
}

func (r *Store) checkIndexes(ctx context.Context, tx db.Queryer) (wrong string, err error) {
	rows, err := tx.QueryContext(ctx, r.mysql.UniqueIndexes, r.table.Table)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	indexes := map[string][]string{}
	for rows.Next() {
		var index string
		var column, prefix sql.NullString
		if err := rows.Scan(&index, &column, &prefix); err != nil {
			return "", err
		}
		column.String = strings.ToLower(column.String)
		if prefix.Valid || !column.Valid { // of the first characters, or of an expression
			column.String += "(…)"
		}
		indexes[index] = append(indexes[index], column.String)
	}
	if err := rows.Err(); err != nil {
		return "", err
	}
	key, found := slices.Sorted(slices.Values(r.table.Key)), false
	for _, name := range slices.Sorted(maps.Keys(indexes)) {
		if !slices.Equal(slices.Sorted(slices.Values(indexes[name])), key) {
			if name == "PRIMARY" {
				return fmt.Sprintf(
					"its primary key is (%s), and the replica's is (%s): declare the table's",
					strings.Join(indexes[name], ", "), strings.Join(r.table.Key, ", "),
				), nil
			}
			return fmt.Sprintf("the unique index %s is not of the key (%s): a row that has its values would be "+
				"written over another one. Drop it, or make it an index that is not unique: ALTER TABLE %s DROP "+
				"INDEX `%s`",
				name, strings.Join(r.table.Key, ", "), r.table.Table, name), nil
		}
		found = true
	}
	if !found {
		return fmt.Sprintf(
			"no unique index on exactly the key: every version would add a row: ALTER TABLE %s ADD PRIMARY KEY (%s)",
			r.table.Table, strings.Join(r.table.Key, ", "),
		), nil
	}
	return "", nil
}
