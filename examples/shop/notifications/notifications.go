// Package notifications owns the e-mails of the shop, in a database that no other service can open. It gets its events
// over RabbitMQ with Watermill's Router, and uses database/sql.
//
// RabbitMQ delivers a message again when the acknowledgement was lost. The inbox recognises it, so that there is one
// e-mail for each event.
package notifications

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/rules"
	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxwatermill"
	"github.com/postroom/postroom/inbox/inboxwatermill/watermillamqp"
)

// tables are the service's own. No index keeps an e-mail from being there twice: that is the inbox's task. The rows
// have neither name nor address, so that nothing of a customer who is erased stays here.
var tables = []string{`CREATE TABLE IF NOT EXISTS emails (
	message_id VARCHAR(255) NOT NULL,
	order_id   VARCHAR(36)  NOT NULL,
	kind       VARCHAR(40)  NOT NULL,
	made_at    BIGINT       NOT NULL)`} // milliseconds since 1970

// Email is an e-mail as clients see it.
type Email struct {
	OrderID string    `json:"order_id"`
	Kind    string    `json:"kind"`
	MadeAt  time.Time `json:"made_at"`
}

// Service is the notifications service. Make it with New.
type Service struct {
	db    *kit.DB
	inbox *inbox.Inbox
	topic string
	mails kit.Mails
	log   *slog.Logger

	// Rules are the switches of the demonstration. Set it before Run; nil: all rules are followed.
	Rules   *rules.Switches
	handled atomic.Int64 // in the naive way
}

// New makes the service's tables in its database, and returns the service.
func New(ctx context.Context, db *kit.DB, kafka kit.Kafka, mails kit.Mails, log *slog.Logger) (*Service, error) {
	if err := db.Exec(ctx, tables...); err != nil {
		return nil, err
	}
	ib, err := inbox.New(db.Dialect, "notifications", inbox.WithLogger(log))
	if err != nil {
		return nil, err
	}
	return &Service{db: db, inbox: ib, topic: kafka.Topic(events.Mails), mails: mails, log: log}, nil
}

// Run handles messages until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	return kit.Run(ctx,
		kit.Again(s.log, s.handleMessages),
		// Messages that failed for good are parked. This runs them again when an operator asks for it.
		func(ctx context.Context) error { return inboxwatermill.Replay(ctx, s.inbox, s.db.SQL, s.handle) })
}

func (s *Service) handleMessages(ctx context.Context) error {
	if err := s.mails.Declare(s.topic); err != nil {
		return err
	}
	subscriber, err := s.mails.Subscriber()
	if err != nil {
		return err
	}
	// A router that ends with its context leaves the subscriber open.
	defer func() { _ = subscriber.Close() }()
	logger := watermill.NewSlogLogger(s.log)
	router, err := message.NewRouter(message.RouterConfig{}, logger)
	if err != nil {
		return err
	}
	router.AddMiddleware(s.unlessNaive)
	// The middleware runs the handler in a transaction that also has the message's id, and the router acknowledges the
	// message after the commit. The other way round a crash between the two would lose the e-mail.
	router.AddConsumerHandler("notifications", s.topic, subscriber, s.handle).
		AddMiddleware(inboxwatermill.Middleware(s.inbox, s.db.SQL, inboxwatermill.WithKey(watermillamqp.Key)))
	return router.Run(ctx)
}

// handle writes an e-mail. It does not send it: if the handler ran again, after a lost commit, it would send a second
// one. A sender would read the rows, and mark each as sent.
func (s *Service) handle(msg *message.Message) error {
	var mail events.MailRequested
	if err := json.Unmarshal(msg.Payload, &mail); err != nil {
		return fmt.Errorf("read a mail: %w", err)
	}
	_, err := inboxwatermill.MustTx(msg.Context()).ExecContext(msg.Context(), s.db.Bind(
		"INSERT INTO emails (message_id, order_id, kind, made_at) VALUES (?, ?, ?, ?)"),
		msg.UUID, mail.OrderID, mail.Kind, time.Now().UnixMilli())
	return err
}

// Handler answers:
//
//	GET /emails/{order_id}  the e-mails about an order, oldest first
func (s *Service) Handler() http.Handler {
	mux := &kit.Mux{}
	mux.HandleFunc("GET /emails/{order_id}", func(w http.ResponseWriter, r *http.Request) error {
		emails, err := s.emails(r.Context(), r.PathValue("order_id"))
		if err != nil {
			return err
		}
		return kit.WriteJSON(w, http.StatusOK, emails)
	})
	return mux
}

func (s *Service) emails(ctx context.Context, orderID string) ([]Email, error) {
	rows, err := s.db.SQL.QueryContext(ctx, s.db.Bind(
		"SELECT order_id, kind, made_at FROM emails WHERE order_id = ? ORDER BY made_at, kind"), orderID)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	emails := []Email{}
	for rows.Next() {
		email, err := scan(rows)
		if err != nil {
			return nil, err
		}
		emails = append(emails, email)
	}
	return emails, rows.Err()
}

func scan(rows *sql.Rows) (email Email, err error) {
	var madeAt int64
	err = rows.Scan(&email.OrderID, &email.Kind, &madeAt)
	email.MadeAt = time.UnixMilli(madeAt).UTC()
	return email, err
}
