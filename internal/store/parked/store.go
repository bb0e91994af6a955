package parked

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/postroom/postroom/internal/db"
)

// Entry is a parked row as an operator sees it.
type Entry struct {
	Seq      int64
	ID       string // of the event or of the message
	Topic    string
	Key      *string // nil: none
	Type     string
	Headers  string // a JSON object
	Attempts int
	Error    string
	State    string
	ParkedAt time.Time

	PayloadSize int64  // in bytes; -1: no payload
	Payload     []byte // the first bytes of it; Find alone fills it

	// Of outbox_parked.
	EventRow  int64 // the row's id in outbox_events, until it was parked
	CreatedAt time.Time
	Overtaken bool // later events of its key were delivered before it

	// Of inbox_parked.
	Consumer string
	Position *Position // nil: the transport has none
}

// Position is where a message was read.
type Position struct {
	Topic     string
	Partition int32
	Offset    int64
}

func (e Entry) sameKey(other Entry) bool {
	return e.Key != nil && other.Key != nil && *e.Key == *other.Key && e.Topic == other.Topic &&
		e.Consumer == other.Consumer
}

// ofKey chooses the rows of e's key. e must have a key.
func (e Entry) ofKey() Filter { return Filter{Consumer: e.Consumer, Topic: e.Topic, Key: e.Key} }

// Filter chooses parked rows. Its zero value chooses all.
type Filter struct {
	Consumer string  // "": all; of inbox_parked alone
	Topic    string  // "": all
	Key      *string // nil: all
	State    string  // "": all
}

// ID is how people name a parked row: by its seq, or by the id of the event or the message. Several rows can have
// the latter.
type ID struct {
	Seq  int64
	Name string // used if Seq is 0
}

// String returns the id as it was given.
func (id ID) String() string {
	if id.Seq != 0 {
		return strconv.FormatInt(id.Seq, 10)
	}
	return id.Name
}

func (id ID) names(e Entry) bool { return e.Seq == id.Seq || id.Seq == 0 && e.ID == id.Name }

// Store reads and marks the parked rows of one table. Safe for concurrent use.
type Store struct {
	pool  *sql.DB
	names db.Names
	sql   statements
	table
}

// table describes what differs between the tables.
type table struct {
	name string // by default
	scan func(*sql.Rows) (Entry, error)

	ofFilter func(*where, Filter) // adds the conditions of a filter that the tables have not in common
	idArg    func(name string) any

	// retriesBlocked: a retry by ids marks a blocked row too, unless it follows another of the named ones.
	retriesBlocked bool
	// needsForce: a retry needs Request.Force for rows that were overtaken.
	needsForce bool
	markList   func(Request) string // the statement that marks the rows in a list
	markFilter func(context.Context, Request) (int64, error)
}

func newStore(pool *sql.DB, n db.Names) (*Store, error) {
	return &Store{pool: pool, names: n}, n.Validate()
}

// List returns the first rows that f chooses, limit of them at the most and without payloads, and whether there
// are more.
func (s *Store) List(ctx context.Context, f Filter, limit int) (entries []Entry, more bool, err error) {
	w := s.where(f)
	entries, err = s.entries(ctx, s.pool, s.sql.List, w, 0, limit+1)
	if len(entries) > limit {
		return entries[:limit], true, err
	}
	return entries, false, err
}

// Find returns the row that id names among those that f chooses, with the first payload bytes of its payload. It
// fails with a *MissingError or an *AmbiguousError.
func (s *Store) Find(ctx context.Context, f Filter, id ID, payload int) (Entry, error) {
	entries, err := s.entries(ctx, s.pool, s.sql.Find, s.where(f).named([]ID{id}), payload)
	if err == nil {
		err = resolved([]ID{id}, entries)
	}
	if err != nil {
		return Entry{}, err
	}
	return entries[0], nil
}

// Place is the position of a row among the parked rows of its key.
type Place struct {
	First      int64  // seq of the key's first row
	FirstState string // and its state
	Rows       int64  // of the key, up to db.CountLimit
}

// PlaceOf returns a row's place. It is zero for a row without a key.
func (s *Store) PlaceOf(ctx context.Context, e Entry) (p Place, err error) {
	if e.Key == nil {
		return p, nil
	}
	w := s.where(e.ofKey())
	p.First, p.FirstState, err = s.first(ctx, s.pool, w)
	if err != nil || p.First == 0 {
		return p, err // 0: delivered meanwhile
	}
	p.Rows, err = s.count(ctx, w)
	return p, err
}

// entries reads rows. args follow those of w.
func (s *Store) entries(
	ctx context.Context, q db.Querier, statement string, w *where, payload int, args ...any,
) ([]Entry, error) {
	var all []Entry
	err := db.Each(ctx, q, func(rows *sql.Rows) error {
		e, err := s.scan(rows)
		all = append(all, e)
		return err
	}, w.in(statement, db.Values{"bytes": payload}), append(w.args, args...)...)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.names.Plain(s.name), err)
	}
	return all, nil
}

// first returns the first row that w chooses; 0: there is none.
func (s *Store) first(ctx context.Context, q rowQuerier, w *where) (seq int64, state string, err error) {
	err = q.QueryRowContext(ctx, w.in(s.sql.First, nil), w.args...).Scan(&seq, &state)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, "", nil
	}
	return seq, state, err
}

func (s *Store) count(ctx context.Context, w *where) (rows int64, err error) {
	err = s.pool.QueryRowContext(ctx, w.in(s.sql.Count, nil), w.args...).Scan(&rows)
	return rows, err
}

// rowQuerier is a *sql.DB or a *sql.Tx.
type rowQuerier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}
