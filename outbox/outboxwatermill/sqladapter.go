package outboxwatermill

import (
	"context"
	stdsql "database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill-sql/v3/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"github.com/postroom/postroom/internal/db"
	store "github.com/postroom/postroom/internal/store/outbox"
	"github.com/postroom/postroom/outbox"
	"github.com/postroom/postroom/relay"
)

// MetadataKey is the metadata of the Subscriber's messages that has the event's key. The
// message of an event without a key does not have it. The prefix is reserved, so no
// event's own header has this name.
const MetadataKey = "postroom_key"

// Errors of NewSQLAdapter and of its InsertQuery.
var (
	ErrStrictKeyOrder = errors.New("StrictKeyOrder takes its locks in a statement of its own, and watermill-sql's " +
		"Publisher sends one statement per Publish: use NewPublisher")
	ErrUnsupported     = errors.New("watermill-sql/v3 speaks PostgreSQL and MySQL: use NewPublisher")
	ErrTooManyMessages = errors.New("too many or too large messages for one Publish of watermill-sql, which sends " +
		"one statement: publish them in several calls")
)

// errForeignAdapter is logged by a Subscriber that has only one of its two adapters from here.
var errForeignAdapter = errors.New(
	"outboxwatermill: the Subscriber needs the same SQLAdapter as SchemaAdapter and as OffsetsAdapter",
)

// SQLAdapter is both the SchemaAdapter and the OffsetsAdapter of watermill-sql/v3 over
// outbox_events. All topics share that one table. Package migrations makes it, so leave
// AutoInitializeSchema and InitializeSchema off (they do nothing here). SQLAdapter is
// safe for concurrent use.
//
//	adapter, err := outboxwatermill.NewSQLAdapter(ob)
//	pub, err := sql.NewPublisher(tx, sql.PublisherConfig{SchemaAdapter: adapter}, logger)
//	sub, err := sql.NewSubscriber(db, sql.SubscriberConfig{SchemaAdapter: adapter, OffsetsAdapter: adapter}, logger)
//
// watermill-sql's Publisher ignores the messages' contexts. Publisher of this package
// uses them. The package comment says what watermill-sql's Subscriber promises.
type SQLAdapter struct {
	ob    *outbox.Outbox
	queue *store.Queue
	conv  converter
}

var (
	_ sql.SchemaAdapter  = (*SQLAdapter)(nil)
	_ sql.OffsetsAdapter = (*SQLAdapter)(nil)
)

// NewSQLAdapter returns the adapter for ob's tables, with its prefix, schema and
// limits. It rejects an ob with StrictKeyOrder (ErrStrictKeyOrder), because
// watermill-sql's Publisher cannot keep that order, and SQLite (ErrUnsupported).
func NewSQLAdapter(ob *outbox.Outbox, opts ...Option) (*SQLAdapter, error) {
	s := ob.Settings()
	if s.Dialect == outbox.SQLite {
		return nil, fmt.Errorf("outboxwatermill: dialect %q: %w", s.Dialect, ErrUnsupported)
	}
	if s.StrictKeyOrder {
		return nil, fmt.Errorf("outboxwatermill: %w", ErrStrictKeyOrder)
	}
	queue, err := store.NewQueue(db.Names{Dialect: s.Dialect, Prefix: s.TablePrefix, Schema: s.Schema})
	if err != nil {
		return nil, fmt.Errorf("outboxwatermill: %w", err)
	}
	return &SQLAdapter{ob: ob, queue: queue, conv: newConverter(opts)}, nil
}

// InsertQuery implements sql.SchemaAdapter. Its errors are those of Publisher, and
// ErrTooManyMessages for messages that do not fit into one statement.
func (a *SQLAdapter) InsertQuery(topic string, msgs message.Messages) (sql.Query, error) {
	events, err := a.conv.events(topic, msgs)
	if err != nil {
		return sql.Query{}, err
	}
	// Add itself writes the statement, so that its checks and its SQL are used here too.
	var rec recorder
	if err := a.ob.Add(context.Background(), &rec, events...); err != nil {
		return sql.Query{}, fmt.Errorf("outboxwatermill: %w", err)
	}
	switch len(rec.queries) {
	case 1:
		return rec.queries[0], nil
	case 0:
		return sql.Query{Query: "SELECT 1"}, nil // a Publish without messages
	}
	return sql.Query{}, fmt.Errorf(
		"outboxwatermill: %d messages for topic %q: %w", len(msgs), topic, ErrTooManyMessages,
	)
}

// SelectQuery implements sql.SchemaAdapter. It reads and locks the topic's oldest event.
// It reads one event at a time, because watermill-sql acknowledges only the last row that
// it read.
func (a *SQLAdapter) SelectQuery(topic, _ string, offsets sql.OffsetsAdapter) sql.Query {
	if offsets != sql.OffsetsAdapter(a) {
		return sql.Query{Query: "SELECT " + foreign}
	}
	return sql.Query{Query: a.queue.Next(), Args: []any{topic}}
}

// foreign is a row that UnmarshalMessage turns into errForeignAdapter. This interface has
// no other way to return an error.
const foreign = "-1, '', '', '', '', '', '{}', ''"

// UnmarshalMessage implements sql.SchemaAdapter. The message has the metadata that it
// would have after the relay and Kafka, and MetadataKey.
func (a *SQLAdapter) UnmarshalMessage(row sql.Scanner) (sql.Row, error) {
	var (
		rec         relay.Record
		id, created string
		key         stdsql.NullString
	)
	if err := row.Scan(&rec.ID, &id, &rec.Topic, &key, &rec.Type, &rec.Payload, &rec.Headers, &created); err != nil {
		return sql.Row{}, fmt.Errorf("outboxwatermill: scan an event: %w", err)
	}
	if rec.ID < 0 {
		return sql.Row{}, errForeignAdapter
	}
	var err error
	if rec.EventID, err = uuid.Parse(id); err != nil {
		return sql.Row{}, fmt.Errorf("outboxwatermill: row %d: event_id: %w", rec.ID, err)
	}
	if rec.CreatedAt, err = time.Parse(time.RFC3339Nano, created); err != nil {
		return sql.Row{}, fmt.Errorf("outboxwatermill: row %d: created_at: %w", rec.ID, err)
	}
	metadata, err := metadataOf(&rec)
	if err != nil {
		return sql.Row{}, fmt.Errorf("outboxwatermill: %w", err)
	}
	if key.Valid {
		metadata[MetadataKey] = key.String
	}
	msg := message.NewMessage(rec.EventID.String(), rec.Payload)
	msg.Metadata = metadata
	return sql.Row{Offset: rec.ID, UUID: []byte(msg.UUID), Payload: rec.Payload, Metadata: rec.Headers, Msg: msg}, nil
}

func metadataOf(rec *relay.Record) (message.Metadata, error) {
	headers, err := rec.AppendWireHeaders(nil)
	if err != nil {
		return nil, err
	}
	metadata := make(message.Metadata, len(headers))
	for _, h := range headers {
		if !strings.HasPrefix(h.Name, "_watermill_") { // the message's UUID has that already
			metadata[h.Name] = h.Value
		}
	}
	return metadata, nil
}

// SchemaInitializingQueries implements sql.SchemaAdapter and sql.OffsetsAdapter. It
// returns none, because package migrations makes the tables.
func (a *SQLAdapter) SchemaInitializingQueries(string) []sql.Query { return nil }

// SubscribeIsolationLevel implements sql.SchemaAdapter. It is READ COMMITTED. On a stricter
// level a row that another subscriber has just taken is an error, and on MySQL reads
// would lock the gaps into which writers insert.
func (a *SQLAdapter) SubscribeIsolationLevel() stdsql.IsolationLevel {
	return stdsql.LevelReadCommitted
}

// AckMessageQuery implements sql.OffsetsAdapter. It deletes the event by its id and its
// event id, so an offset of another table deletes nothing.
func (a *SQLAdapter) AckMessageQuery(_ string, row sql.Row, _ string) sql.Query {
	return sql.Query{Query: a.queue.Remove(), Args: []any{row.Offset, string(row.UUID)}}
}

// ConsumedMessageQuery implements sql.OffsetsAdapter. It returns none, because the row is
// locked already.
func (a *SQLAdapter) ConsumedMessageQuery(string, sql.Row, string, []byte) sql.Query {
	return sql.Query{}
}

// NextOffsetQuery implements sql.OffsetsAdapter. It returns none, because SelectQuery finds
// the next event by itself.
func (a *SQLAdapter) NextOffsetQuery(string, string) sql.Query { return sql.Query{} }

// BeforeSubscribingQueries implements sql.OffsetsAdapter. There are none.
func (a *SQLAdapter) BeforeSubscribingQueries(string, string) []sql.Query { return nil }

// recorder is a transaction that records statements and does not run them.
type recorder struct{ queries []sql.Query }

func (r *recorder) ExecContext(_ context.Context, query string, args ...any) (stdsql.Result, error) {
	r.queries = append(r.queries, sql.Query{Query: query, Args: args})
	return nil, nil
}

func (r *recorder) QueryContext(context.Context, string, ...any) (*stdsql.Rows, error) {
	return nil, errors.New("outboxwatermill: a recorder has no rows")
}

func (r *recorder) Commit() error { return nil }

func (r *recorder) Rollback() error { return nil }
