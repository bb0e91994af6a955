package dialect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
)

// releaseAtOnce is how many blocked rows one transaction sets to retry: it holds the
// lease row locked, and must end long before the lease does. Later ones are released
// when these are gone.
const releaseAtOnce = 5000

// Replayable visits, in order of seq, at most limit rows in state retry whose turn it
// is, until visit returns false. It is the turn of a row when no earlier row of its
// topic and key is in another state than retry, or when it has no key, or is overtaken:
// an operator then gave up its order.
//
// Rows that visit leaves are not taken in, if that would take long: of what size they are is
// known only when they are here, so limit is to be small where they may be large.
//
// It returns a row again until Unpark, Refuse or DropAsked has taken it away.
func (r *Relay) Replayable(ctx context.Context, limit int, visit func(*ParkedRow) bool) error {
	var turn []int64
	after, page := int64(0), max(limit, candidatesAtOnce)
	for len(turn) < limit {
		asked, err := r.candidates(ctx, after, page)
		if err != nil {
			return err
		}
		if len(asked) > 0 {
			if turn, err = r.takeTurns(ctx, asked, turn, limit); err != nil {
				return err
			}
			after = asked[len(asked)-1].seq
		}
		if len(asked) < page {
			break
		}
	}
	if len(turn) == 0 {
		return nil
	}
	return r.replay(ctx, turn, visit)
}

// candidatesAtOnce is how many rows in state retry are looked at in one statement, without
// their payloads: those behind a failed row of their key are passed over.
const candidatesAtOnce = 100

type candidate struct {
	seq  int64
	key  EventKey
	free bool // has no key, or is overtaken
}

func (r *Relay) candidates(ctx context.Context, after int64, limit int) (all []candidate, err error) {
	rows, err := r.db.QueryContext(ctx, r.parked.candidates, after, limit)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var c candidate
		var key sql.NullString
		if err := rows.Scan(&c.seq, &c.key.Topic, &key, &c.free); err != nil {
			return nil, err
		}
		c.key.Key, c.free = key.String, c.free || !key.Valid
		all = append(all, c)
	}
	return all, rows.Err()
}

// takeTurns adds to turn, which ascends, those whose turn it is. The database looks once per key,
// because a look steps over the key's earlier rows.
func (r *Relay) takeTurns(ctx context.Context, asked []candidate, turn []int64, limit int) ([]int64, error) {
	first := make(map[EventKey]int64)
	var looks []int64
	for _, c := range asked {
		if _, seen := first[c.key]; !seen && !c.free {
			first[c.key] = c.seq
			looks = append(looks, c.seq)
		}
	}
	stops, err := r.turns(ctx, looks)
	if err != nil {
		return nil, err
	}
	for _, c := range asked {
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

// turns says for each row what the first row of its key is that is in another state
// than retry; 0: none.
func (r *Relay) turns(ctx context.Context, seqs []int64) (_ map[int64]int64, err error) {
	if len(seqs) == 0 {
		return nil, nil
	}
	rows, err := r.db.QueryContext(ctx, r.parked.turns, intsJSON(seqs))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	stops := make(map[int64]int64, len(seqs))
	for rows.Next() {
		var seq int64
		var stop sql.NullInt64
		if err := rows.Scan(&seq, &stop); err != nil {
			return nil, err
		}
		stops[seq] = stop.Int64
	}
	return stops, rows.Err()
}

func (r *Relay) replay(ctx context.Context, turn []int64, visit func(*ParkedRow) bool) (err error) {
	rows, err := relayBase{db: r.db, names: r.names}.stream(ctx, r.parked.replay, intsJSON(turn))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.leave()) }()
	seq := int64(0)
	for rows.Next() {
		var p ParkedRow
		if err := r.parked.scan(rows.Rows, &p); err != nil {
			return err
		}
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

// Unpark deletes rows that were delivered, each only if it still holds that event;
// those that are gone are passed over. Where the first row of a key that is left is
// blocked, what was before it has been delivered, so the blocked rows up to the key's
// first failed one become retry (some thousands at a time; at least the first). It
// returns the keys of which no row is left: they are unblocked. After an error some of
// the rows may be gone, and those of the keys returned are.
func (r *Relay) Unpark(ctx context.Context, l Lease, rows []DeliveredParked) ([]EventKey, error) {
	_, freed, err := r.unparkParts(ctx, l, rows, r.unpark)
	return freed, err
}

func (r *Relay) unpark(ctx context.Context, tx *sql.Tx, rows []DeliveredParked) (deleted int64, freed []EventKey, err error) {
	list, err := parkedJSON(rows)
	if err != nil {
		return 0, nil, err
	}
	keys, err := queryKeys(ctx, tx, r.parked.keys, list)
	if err != nil {
		return 0, nil, err
	}
	result, err := tx.ExecContext(ctx, r.parked.remove, list)
	if err != nil {
		return 0, nil, err
	}
	if deleted, err = result.RowsAffected(); err != nil {
		return 0, nil, err
	}
	freed, err = r.follow(ctx, tx, keys)
	return deleted, freed, err
}

// queryKeys returns the distinct topics and keys of a query's rows.
func queryKeys(ctx context.Context, tx *sql.Tx, query, list string) (keys []EventKey, err error) {
	rows, err := tx.QueryContext(ctx, query, list)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	seen := make(map[EventKey]bool)
	for rows.Next() {
		var k EventKey
		if err := rows.Scan(&k.Topic, &k.Key); err != nil {
			return nil, err
		}
		if !seen[k] {
			seen[k] = true
			keys = append(keys, k)
		}
	}
	return keys, rows.Err()
}

// follow looks at keys of which rows were deleted: those without a row are freed, and
// where a blocked row is the first now, it and those behind it are released.
func (r *Relay) follow(ctx context.Context, tx *sql.Tx, keys []EventKey) (freed []EventKey, err error) {
	if len(keys) == 0 {
		return nil, nil
	}
	heads, err := r.parked.heads(ctx, tx, keys)
	if err != nil {
		return nil, err
	}
	var blocked []parkedHead
	for _, h := range heads {
		switch {
		case h.seq == 0:
			freed = append(freed, h.key)
		case h.state == ParkBlocked:
			blocked = append(blocked, h)
		}
	}
	for part := range slices.Chunk(blocked, releaseAtOnce) {
		ready, err := r.parked.followers(ctx, tx, part, max(1, releaseAtOnce/len(blocked)))
		if err != nil {
			return nil, err
		}
		if _, err := tx.ExecContext(ctx, r.parked.release, intsJSON(ready)); err != nil {
			return nil, err
		}
	}
	return freed, nil
}

// released collects, of the first rows of keys, the blocked ones before a failed one.
// The rows come by key, in order of seq.
type released struct {
	head   int64
	failed bool
	seqs   []int64
}

func (l *released) add(head, seq int64, state string) {
	if head != l.head {
		l.head, l.failed = head, false
	}
	l.failed = l.failed || state == ParkFailed
	if !l.failed && state == ParkBlocked {
		l.seqs = append(l.seqs, seq)
	}
}

// Refuse puts rows that were sent again and refused again back to failed, with one
// attempt more and the new error, and the later rows of their keys from retry to blocked.
// Overtaken is kept once set; overtaken rows stay in retry, for they wait for nobody.
// A row that is gone is passed over; one that is to be dropped by now stays so.
func (r *Relay) Refuse(ctx context.Context, l Lease, rows []Refusal) error {
	if len(rows) == 0 {
		return nil
	}
	return r.fenced(ctx, l, func(tx *sql.Tx) error {
		for rest := rows; len(rest) > 0; {
			n := fitting(rest, func(f Refusal) int { return len(f.Reason) })
			list, err := refusalsJSON(rest[:n])
			if err != nil {
				return err
			}
			for _, statement := range []string{r.parked.refuse, r.parked.block} {
				if _, err := tx.ExecContext(ctx, statement, list); err != nil {
					return err
				}
			}
			rest = rest[n:]
		}
		return nil
	})
}
