package replica

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/postroom/postroom/inbox"
	store "github.com/postroom/postroom/internal/store/replica"
)

// chunks is the number of chunks. The sums of both sides take 12 MB of memory. Of a million rows, each chunk has 4.
const chunks = 1 << 18

// digest is a hash of all values of a row.
type digest [2]uint64

// sum is the sum of the digests of a chunk's rows in the source, minus that in the replica. It is 0 if the rows are
// equal, in any order.
type sum struct {
	digest
	source, replica uint32
}

type side struct {
	name    string
	db      *sql.DB
	dialect inbox.Dialect
	query   string
}

// found is a row of a chunk that is compared row by row.
type found struct {
	digest digest
	texts  []string // of the key
}

type comparer struct {
	Comparison
	source, replica side
	columns         []string
	kinds           []kind
	sums            []sum
	again           bool // the rows of chunks are compared one by one
}

func (s *comparer) run(ctx context.Context) (done Compared, err error) {
	err = s.each(ctx, s.source, func(chunk uint32, d digest, _ string, _ []any) error {
		done.SourceRows++
		s.sums[chunk].source++
		s.sums[chunk].add(d, 1)
		return nil
	})
	if err != nil {
		return done, err
	}
	err = s.each(ctx, s.replica, func(chunk uint32, d digest, _ string, _ []any) error {
		done.ReplicaRows++
		s.sums[chunk].replica++
		s.sums[chunk].add(d, -1)
		return nil
	})
	if err != nil {
		return done, err
	}
	into := s.choose(&done)
	if done.Chunks == 0 {
		return done, nil
	}
	first, _, err := s.compareRows(ctx, into)
	if err != nil || len(first) == 0 {
		return done, err
	}
	if err := pause(ctx, s.Wait); err != nil {
		return done, err
	}
	second, replicas, err := s.compareRows(ctx, into)
	if err != nil {
		return done, err
	}
	for key, was := range first {
		is, still := second[key]
		// If the replica's row has changed, events of this key are in flight. If it has not changed while the source's
		// has, the replica is behind, and the row is reported.
		if !still || replicas[key].digest != was.before {
			done.InFlight++
			continue
		}
		done.Differences = append(done.Differences, is.Difference)
	}
	slices.SortFunc(done.Differences, func(a, b Difference) int { return slices.Compare(a.Key, b.Key) })
	return done, nil
}

func (s *sum) add(d digest, sign int) {
	if sign > 0 {
		s.digest[0] += d[0]
		s.digest[1] += d[1]
		return
	}
	s.digest[0] -= d[0]
	s.digest[1] -= d[1]
}

func (s *sum) differs() bool { return s.digest != digest{} || s.source != s.replica }

// choose selects chunks that differ: as many as MaxRows allows, and at least one.
func (s *comparer) choose(done *Compared) []bool {
	into := make([]bool, chunks)
	rows := 0
	for i := range s.sums {
		if !s.sums[i].differs() {
			continue
		}
		n := int(max(s.sums[i].source, s.sums[i].replica))
		if done.Chunks > 0 && rows+n > s.MaxRows {
			done.Left++
			continue
		}
		rows += n
		done.Chunks++
		into[i] = true
	}
	return into
}

// difference is a difference between two rows, with the digest of the replica's row when it was found.
type difference struct {
	Difference
	before digest
}

// compareRows compares the rows of the selected chunks one by one. It also returns the replica's rows.
func (s *comparer) compareRows(ctx context.Context, into []bool) (map[string]difference, map[string]found, error) {
	s.again = true
	source, err := s.collect(ctx, s.source, into)
	if err != nil {
		return nil, nil, err
	}
	replica, err := s.collect(ctx, s.replica, into)
	if err != nil {
		return nil, nil, err
	}
	out := map[string]difference{}
	for key, want := range source {
		have, there := replica[key]
		switch {
		case !there:
			out[key] = difference{Difference: Difference{Kind: Missing, Key: want.texts}}
		case have.digest != want.digest:
			out[key] = difference{Difference: Difference{Kind: Different, Key: want.texts}, before: have.digest}
		}
	}
	for key, have := range replica {
		if _, there := source[key]; !there {
			out[key] = difference{Difference: Difference{Kind: Extra, Key: have.texts}, before: have.digest}
		}
	}
	return out, replica, nil
}

func (s *comparer) collect(ctx context.Context, from side, into []bool) (map[string]found, error) {
	rows := map[string]found{}
	err := s.each(ctx, from, func(chunk uint32, d digest, key string, values []any) error {
		if !into[chunk] {
			return nil
		}
		row := found{digest: d}
		for i := range s.Key {
			row.texts = append(row.texts, string(plain(nil, values[i], s.kinds[i] == asBits)))
		}
		if _, twice := rows[key]; twice {
			return fmt.Errorf("%w: the %s has the key %q twice: --key must name a unique key", ErrConfig, from.name,
				row.texts)
		}
		rows[key] = row
		return nil
	})
	return rows, err
}

// each calls do for each row of one side. values is valid only during the call.
func (s *comparer) each(ctx context.Context, from side,
	do func(chunk uint32, d digest, key string, values []any) error) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends a statement whose rows were not all read
	stream, err := store.OpenStream(ctx, from.db, from.dialect, from.query)
	if err != nil {
		return fmt.Errorf("read the %s: %w", from.name, err)
	}
	defer func() { _ = stream.Close() }() // Err returns the error that matters
	values := make([]any, len(s.columns))
	into := make([]any, len(values))
	for i := range values {
		into[i] = &values[i]
	}
	var b []byte
	var rows int64
	start := time.Now()
	for stream.Next() {
		if err := stream.Scan(into...); err != nil {
			return fmt.Errorf("read the %s: %w", from.name, err)
		}
		var key int
		b, key = s.encode(b[:0], values)
		row, of := sha256.Sum256(b), sha256.Sum256(b[:key])
		d := digest{binary.BigEndian.Uint64(row[:]), binary.BigEndian.Uint64(row[8:])}
		if err := do(binary.BigEndian.Uint32(of[:])%chunks, d, string(b[:key]), values); err != nil {
			return err
		}
		if rows++; rows%1000 == 0 {
			if err := s.pace(ctx, from, rows, start); err != nil {
				return err
			}
		}
	}
	if err := stream.Err(); err != nil {
		return fmt.Errorf("read the %s: %w", from.name, err)
	}
	s.progress(from, rows)
	return nil
}

// encode appends a row's values, each with its length, and returns where the key ends.
func (s *comparer) encode(b []byte, values []any) (_ []byte, key int) {
	for i, v := range values {
		at := len(b)
		b = canonical(append(b, 0, 0, 0, 0), s.kinds[i], v)
		binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4))
		if i == len(s.Key)-1 {
			key = len(b)
		}
	}
	return b, key
}

// pace reports the progress, and waits as RowsPerSecond asks.
func (s *comparer) pace(ctx context.Context, from side, rows int64, start time.Time) error {
	if rows%100_000 == 0 {
		s.progress(from, rows)
	}
	if s.RowsPerSecond == 0 {
		return nil
	}
	due := start.Add(time.Duration(float64(rows) / float64(s.RowsPerSecond) * float64(time.Second)))
	return pause(ctx, time.Until(due))
}

func (s *comparer) progress(from side, rows int64) {
	if s.Progress == nil {
		return
	}
	step := from.name
	if s.again {
		step += " again"
	}
	s.Progress(CompareProgress{Step: step, Rows: rows})
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
