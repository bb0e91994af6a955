package dialect

import (
	"database/sql"
	"errors"
	"fmt"
)

// errDescending would be a planner's doing: the statements are written so that ids ascend.
var errDescending = errors.New("the database returned rows out of order")

// visitRows scans the header, a row with id 0 whose topic says 'standby' or 'primary'
// and whose type names the server, and then the rows. columns lists where the eight
// columns of a row go.
//
// When the gaps' part was cut by its limit, what follows it must not be used: a row
// above the head could overtake one of the same key in a gap that was not reached.
func visitRows(rows *stream, q ReadQuery, visit func(*Row) bool,
	columns func(*Row, *sql.NullTime) []any) (info ReadInfo, err error) {
	defer func() { err = errors.Join(err, rows.leave()) }()
	var row Row
	var created sql.NullTime
	into := columns(&row, &created)
	last, fromGaps := int64(-1), 0
	for rows.Next() {
		row.Key, row.Payload, row.Headers = nil, nil, nil
		if err := rows.Scan(into...); err != nil {
			return info, err
		}
		if row.ID <= last {
			return info, fmt.Errorf("%w: id %d after %d", errDescending, row.ID, last)
		}
		last = row.ID
		if row.ID == 0 {
			info = ReadInfo{Server: row.Type, Standby: row.Topic == "standby"}
			continue
		}
		if row.ID <= q.Head {
			fromGaps++
		} else if fromGaps >= q.Limit {
			return info, nil
		}
		row.CreatedAt = created.Time
		if !visit(&row) {
			return info, nil
		}
	}
	return info, rows.Err()
}
