package notifications

import (
	"context"
	"database/sql"
	"errors"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/postroom/postroom/examples/shop/rules"
	"github.com/postroom/postroom/inbox/inboxwatermill"
)

var errDied = errors.New("the process died before the acknowledgement (rule inbox is off)")

// unlessNaive runs the handler with its inbox, unless the rule is off.
func (s *Service) unlessNaive(withInbox message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		if s.Rules.On(rules.Inbox) {
			return withInbox(msg)
		}
		return nil, s.handleNaively(msg)
	}
}

// handleNaively writes the e-mail and remembers nothing. When the process dies after the commit, and before RabbitMQ
// has the acknowledgement, the message comes again. In this demonstration that happens to each third message.
func (s *Service) handleNaively(msg *message.Message) error {
	ctx := msg.Context()
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		msg.SetContext(inboxwatermill.WithTx(ctx, tx))
		defer msg.SetContext(context.WithoutCancel(ctx))
		return s.handle(msg)
	})
	if err == nil && s.handled.Add(1)%3 == 0 {
		err = errDied
	}
	return err
}
