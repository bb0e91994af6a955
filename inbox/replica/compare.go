package replica

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/replica"
)

// Comparison declares what Compare compares.
type Comparison struct {
	Source        *sql.DB
	SourceDialect inbox.Dialect
	// Query is a SELECT that returns the rows that the replica should have: the columns of Key and the others, with the
	// column names of the replica's table. It must return each key once.
	Query string

	Replica        *sql.DB
	ReplicaDialect inbox.Dialect
	// Table is the replica's table. Schema is its schema, on PostgreSQL; default: the search_path.
	Table, Schema string
	// Key lists the columns of the key.
	Key []string
	// JSON lists columns that are compared as JSON on both sides. It is needed only if neither side has a type for JSON
	// (MariaDB's JSON is LONGTEXT).
	JSON []string

	// Wait is the time between the first and the second check of a difference. It must be longer than an event takes
	// from the source to the replica. Default: 10 s.
	Wait time.Duration
	// RowsPerSecond limits the rate at which each side is read. 0: no limit.
	RowsPerSecond int
	// MaxRows limits the memory: it is the number of rows of each side that are compared one by one. A row takes about
	// 200 bytes. Default: 100,000.
	MaxRows int
	// Progress is called every 100,000 rows and at the end of each step, from one goroutine.
	Progress func(CompareProgress)
}

// CompareProgress says how far Compare has got.
type CompareProgress struct {
	Step string // source, replica, source again, …
	Rows int64  // read in this step
}

// Kinds of differences.
const (
	Missing   = "missing"   // the source has the row, the replica does not
	Extra     = "extra"     // the replica has a row that the source does not have
	Different = "different" // both have the row, with different values
)

// Difference is a row that differs between the two sides.
type Difference struct {
	Kind string `json:"kind"`
	// Key has the values of the key's columns, as text.
	Key []string `json:"key"`
}

// Compared is the result of Compare.
type Compared struct {
	SourceRows  int64        `json:"source_rows"`
	ReplicaRows int64        `json:"replica_rows"`
	Chunks      int          `json:"chunks_different"` // chunks whose rows were compared
	Differences []Difference `json:"differences"`      // sorted by key
	// InFlight is the number of rows that differed first, and later were equal or had changed in the replica.
	InFlight int `json:"in_flight"`
	// Left is the number of chunks that differ but were not compared row by row, because of MaxRows.
	Left int `json:"chunks_left"`
}

// Equal reports whether no difference was found.
func (c Compared) Equal() bool { return len(c.Differences) == 0 && c.Left == 0 }

// Compare finds the rows in which a replica differs from its source. The two databases may be of different kinds:
// numbers, times, JSON, UUIDs and booleans are compared by meaning, and all other values by their bytes.
//
// It reads each side once, in any order, with one statement, and sums the rows up in chunks. A chunk is a range of the
// hash of the key, so it does not depend on the databases' collations. Then it compares the chunks that differ row by
// row. After Wait it checks these differences once more. It reports those that remain and whose row in the replica has
// not changed. All others are events in flight.
//
// It writes nothing, and needs SELECT on what it reads. It returns ErrConfig for a mistake in c.
func Compare(ctx context.Context, c Comparison) (Compared, error) {
	c.Wait = cmp.Or(c.Wait, 10*time.Second)
	c.MaxRows = cmp.Or(c.MaxRows, 100_000)
	if err := c.check(); err != nil {
		return Compared{}, err
	}
	s, err := newComparer(ctx, c)
	if err != nil {
		return Compared{}, fmt.Errorf("compare %s: %w", c.Table, err)
	}
	done, err := s.run(ctx)
	if err != nil {
		err = fmt.Errorf("compare %s: %w", c.Table, err)
	}
	return done, err
}

func (c Comparison) check() error {
	switch {
	case c.Query == "" || c.Table == "" || len(c.Key) == 0:
		return fmt.Errorf("compare: %w: a query of the source, the replica's table and its key are required", ErrConfig)
	case c.Wait < 0 || c.RowsPerSecond < 0 || c.MaxRows < 0:
		return fmt.Errorf("compare: %w: the wait, the rate and the number of rows must not be negative", ErrConfig)
	case c.Schema != "" && c.ReplicaDialect != inbox.PostgreSQL:
		return fmt.Errorf("compare: %w: only PostgreSQL has schemas", ErrConfig)
	}
	names := append(slices.Clone(c.Key), c.Table)
	if c.Schema != "" {
		names = append(names, c.Schema)
	}
	for _, name := range names {
		if !db.ValidIdentifier(name) {
			return fmt.Errorf("compare: %w: name %q: want at most 63 of a-z, 0-9 and _, not starting with a digit",
				ErrConfig, name)
		}
	}
	return nil
}

// merged returns the kind by which two columns are compared. If one side has text, the type of the other side says what
// the text means. A value that does not fit the kind is compared as text.
func merged(a, b kind) kind {
	switch {
	case a == b || b == asText:
		return a
	case a == asText:
		return b
	case a == asBits || b == asBits:
		return asBits
	case a == asSingle || b == asSingle:
		return asSingle
	case a == asDouble || b == asDouble:
		return asDouble
	}
	return asText
}

func newComparer(ctx context.Context, c Comparison) (*comparer, error) {
	all, err := columnsOf(ctx, c.Source, c.SourceDialect,
		store.NoRows(store.CompareQuery(c.SourceDialect, c.Query, nil)))
	if err != nil {
		return nil, fmt.Errorf("the source's query: %w", err)
	}
	columns := slices.Clone(c.Key)
	for _, name := range all.names {
		if !db.ValidIdentifier(name) {
			return nil, fmt.Errorf("%w: the query has a column %q: give it the name of the replica's column (AS …)",
				ErrConfig, name)
		}
		if !slices.Contains(columns, name) {
			columns = append(columns, name)
		}
	}
	if len(columns) != len(all.names) {
		return nil, fmt.Errorf("%w: the query's columns %q must have each column of the key %q once", ErrConfig,
			all.names, c.Key)
	}
	for _, name := range c.JSON {
		if !slices.Contains(columns, name) {
			return nil, fmt.Errorf("%w: the query has no column %q, which is to be compared as JSON", ErrConfig, name)
		}
	}
	s := &comparer{Comparison: c, columns: columns, sums: make([]sum, chunks)}
	s.source = side{name: "source", db: c.Source, dialect: c.SourceDialect,
		query: store.CompareQuery(c.SourceDialect, c.Query, columns)}
	s.replica = side{name: "replica", db: c.Replica, dialect: c.ReplicaDialect,
		query: store.CompareTable(c.ReplicaDialect, c.Schema, c.Table, columns)}
	there, err := columnsOf(ctx, c.Replica, c.ReplicaDialect, store.NoRows(s.replica.query))
	if err != nil {
		return nil, fmt.Errorf("the replica's table (it needs the columns %q, and SELECT on them): %w", columns, err)
	}
	s.kinds = make([]kind, len(columns))
	for i, name := range columns {
		if slices.Contains(c.JSON, name) {
			s.kinds[i] = asJSON
			continue
		}
		s.kinds[i] = merged(all.kinds[slices.Index(all.names, name)], there.kinds[i])
	}
	return s, nil
}

// described has the columns of a query's result.
type described struct {
	names []string
	kinds []kind
}

func columnsOf(ctx context.Context, db *sql.DB, d inbox.Dialect, query string) (described, error) {
	stream, err := store.OpenStream(ctx, db, d, query)
	if err != nil {
		return described{}, err
	}
	out := described{names: stream.Names}
	for _, t := range stream.Types {
		out.kinds = append(out.kinds, kindOf(d, t))
	}
	stream.Next() // an error of the query may come only now
	return out, errors.Join(stream.Err(), stream.Close())
}
