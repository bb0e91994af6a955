package invariants

import (
	"context"
	"fmt"
	"time"
)

// patience is how long a broker may take to answer.
const patience = 5 * time.Second

// rest tells whether anything is under way. The other rows may change until it holds.
func (a *Auditor) rest(ctx context.Context, b *books) (Row, error) {
	row := Row{Name: "rest", Reason: "Nothing is under way: no event is in an outbox, no consumer has anything left " +
		"to read, and no order waits. Until then the other rows may change."}
	waiting, err := a.sum(ctx, a.all(),
		"SELECT (SELECT COUNT(*) FROM outbox_events) + (SELECT COUNT(*) FROM outbox_scheduled)")
	if err != nil {
		return row, err
	}
	ofMails, err := a.sum(ctx, a.shardNames(), "SELECT COUNT(*) FROM mail_outbox_events")
	if err != nil {
		return row, err
	}
	retried, err := a.sum(ctx, a.all(), "SELECT COUNT(*) FROM inbox_parked WHERE state IN ('retry', 'drop')")
	if err != nil {
		return row, err
	}
	mails, err := a.mailsUnderWay(ctx)
	if err != nil {
		return row, err
	}
	open := 0
	for _, s := range b.streams {
		if !s.AtRest() {
			open++
		}
	}
	lag, err := a.lag(ctx)
	if err != nil {
		row.Figures = "Kafka does not answer: " + err.Error()
		return row, nil
	}
	row.Holds = waiting+ofMails+retried+mails+lag == 0 && open == 0
	row.Figures = fmt.Sprintf("%d events in the outboxes of %d databases, %d left to read, %d mails under way, "+
		"%d messages wait for a retry, %d orders are under way",
		waiting+ofMails, len(a.databases), lag, mails, retried, open)
	return row, nil
}

// mailsUnderWay is how many mails have left the outbox and have not arrived. RabbitMQ need not be asked: what has
// arrived is in the database of notifications, as an e-mail, a handled message or a parked one.
func (a *Auditor) mailsUnderWay(ctx context.Context) (int64, error) {
	sent, err := a.sum(ctx, a.shardNames(), "SELECT COUNT(*) FROM mail_outbox_archive")
	if err != nil {
		return 0, err
	}
	var arrived int64
	err = a.numbers(ctx, "notifications", `SELECT COUNT(*) FROM (SELECT message_id FROM emails
		UNION SELECT message_id FROM inbox_events UNION SELECT message_id FROM inbox_parked) arrived`, &arrived)
	return max(0, sent-arrived), err
}

// parked finds what nobody will try again by itself.
func (a *Auditor) parked(ctx context.Context, _ *books) (Row, error) {
	row := Row{Name: "parked", Reason: "No event was rejected by a broker, and no message failed for good."}
	events, err := a.sum(ctx, a.all(), "SELECT COUNT(*) FROM outbox_parked")
	if err != nil {
		return row, err
	}
	mails, err := a.sum(ctx, a.shardNames(), "SELECT COUNT(*) FROM mail_outbox_parked")
	if err != nil {
		return row, err
	}
	messages, err := a.sum(ctx, a.all(), "SELECT COUNT(*) FROM inbox_parked")
	row.Holds = events+mails+messages == 0
	row.Figures = fmt.Sprintf("%d events, %d messages", events+mails, messages)
	return row, err
}
