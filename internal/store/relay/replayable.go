package relay

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/postroom/postroom/internal/db"
)

// Replayable visits at most limit rows in state retry that may be sent now, in order of seq, until visit
// returns false. A row may be sent if every earlier row of its topic and key is in state retry. It may also
// be sent if it has no key, or is overtaken: then an operator has given up its order.
//
// Rows after the one at which visit returned false are not read from the server if that would take long. The
// size of a row is known only when the row has arrived, so limit should be small where rows may be large.
//
// Replayable returns a row again until Unpark, Reject or DropRequested has removed it from the state retry.
func (s Parked) Replayable(ctx context.Context, limit int, visit func(*ParkedRow) bool) error {
	var turn []int64
	after, page := int64(0), max(limit, candidatesAtOnce)
	for len(turn) < limit {
		found, err := s.candidates(ctx, after, page)
		if err != nil {
			return err
		}
		if len(found) > 0 {
			if turn, err = s.takeTurns(ctx, found, turn, limit); err != nil {
				return err
			}
			after = found[len(found)-1].seq
		}
		if len(found) < page {
			break
		}
	}
	if len(turn) == 0 {
		return nil
	}
	return s.readParked(ctx, turn, visit)
}

// candidatesAtOnce is how many rows in state retry one statement looks at, without their payloads. Many of
// them may be skipped, because they are behind a failed row of their key.
const candidatesAtOnce = 100

type candidate struct {
	seq  int64
	key  db.EventKey
	free bool // it has no key, or is overtaken
}

func (s Parked) candidates(ctx context.Context, after int64, limit int) (all []candidate, err error) {
	err = db.Each(ctx, s.pool, func(rows *sql.Rows) error {
		var c candidate
		var key sql.NullString
		if err := rows.Scan(&c.seq, &c.key.Topic, &key, &c.free); err != nil {
			return err
		}
		c.key.Key, c.free = key.String, c.free || !key.Valid
		all = append(all, c)
		return nil
	}, s.sql.Candidates, after, limit)
	return all, err
}

// takeTurns adds to turn, which ascends, those rows that may be sent now. It looks only once for each key,
// because a look steps over the key's earlier rows.
func (s Parked) takeTurns(ctx context.Context, found []candidate, turn []int64, limit int) ([]int64, error) {
	first := make(map[db.EventKey]int64)
	var looks []int64
	for _, c := range found {
		if _, seen := first[c.key]; !seen && !c.free {
			first[c.key] = c.seq
			looks = append(looks, c.seq)
		}
	}
	stops, err := s.firstNotRetried(ctx, looks)
	if err != nil {
		return nil, err
	}
	for _, c := range found {
		if len(turn) == limit {
			break
		}
		stop := int64(0)
		if !c.free {
			stop = stops[first[c.key]]
		}
		if stop == 0 || c.seq < stop {
			turn = append(turn, c.seq)
		}
	}
	return turn, nil
}

// firstNotRetried returns for each row the seq of the first row of its key that is in another state than
// retry. 0: there is none.
func (s Parked) firstNotRetried(ctx context.Context, seqs []int64) (map[int64]int64, error) {
	if len(seqs) == 0 {
		return nil, nil
	}
	stops := make(map[int64]int64, len(seqs))
	err := db.Each(ctx, s.pool, func(rows *sql.Rows) error {
		var seq int64
		var stop sql.NullInt64
		err := rows.Scan(&seq, &stop)
		stops[seq] = stop.Int64
		return err
	}, s.sql.FirstNotRetried, intsJSON(seqs))
	return stops, err
}

func (s Parked) readParked(ctx context.Context, turn []int64, visit func(*ParkedRow) bool) (err error) {
	rows, err := s.stream(ctx, s.sql.ReadParked, intsJSON(turn))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.leave()) }()
	seq := int64(0)
	for rows.Next() {
		var p ParkedRow
		into, finish := s.dialect.columns(&p.Row)
		if err := rows.Scan(append([]any{&p.Seq, &p.Overtaken, &p.Attempts}, into...)...); err != nil {
			return err
		}
		finish()
		if p.Seq <= seq {
			return fmt.Errorf("%w: seq %d after %d", errDescending, p.Seq, seq)
		}
		seq = p.Seq
		if !visit(&p) {
			return nil
		}
	}
	return rows.Err()
}
