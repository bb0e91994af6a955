//go:build unix

package chaos

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/internal/dbopen"
)

// How fast a member is taken for dead: a process that is stopped for longer loses its
// partitions to others while it holds messages in hand.
const (
	bankSession   = 2 * time.Second
	bankHeartbeat = 300 * time.Millisecond
	bankRebalance = 3 * time.Second
	bankFetch     = 200 // messages at once
)

// BankConsumer is one consumer process: a member of each mode's group.
type BankConsumer struct {
	Brokers, DatabaseURL, Topic, Group string
	Out                                io.Writer
}

// Run consumes until ctx ends.
func (c BankConsumer) Run(ctx context.Context) error {
	target, err := dbopen.Open(ctx, c.DatabaseURL, dbopen.WithMaxOpen(2*len(bankModes())))
	if err != nil {
		return err
	}
	defer func() { _ = target.DB.Close() }() // the process ends
	log := slog.New(slog.NewTextHandler(c.Out, nil))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	errs := make([]error, len(bankModes()))
	for i, mode := range bankModes() {
		ib, err := inbox.New(target.Dialect, "bank-"+string(mode), inbox.WithLogger(log))
		if err != nil {
			return err
		}
		m := &bankMember{mode: mode, inbox: ib, db: target.DB, log: log.With("mode", string(mode)), postgres: target.Dialect == inbox.PostgreSQL}
		running.Go(func() {
			defer cancel() // a process that is half at work helps nobody
			errs[i] = m.run(ctx, c)
		})
	}
	log.Info("started")
	running.Wait()
	return errors.Join(errs...)
}

// bankMember is a member of one mode's group.
type bankMember struct {
	mode     BankMode
	inbox    *inbox.Inbox
	db       *sql.DB
	log      *slog.Logger
	postgres bool
}

func (m *bankMember) run(ctx context.Context, c BankConsumer) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(c.Brokers, ",")...), kgo.ConsumeTopics(c.Topic), kgo.ConsumerGroup(c.Group+"-"+string(m.mode)),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(bankSession), kgo.HeartbeatInterval(bankHeartbeat), kgo.RebalanceTimeout(bankRebalance),
		kgo.FetchMaxWait(100*time.Millisecond),
	)
	if err != nil {
		return err
	}
	defer client.CloseAllowingRebalance()
	for ctx.Err() == nil {
		fetches := client.PollRecords(ctx, bankFetch)
		if fetches.IsClientClosed() {
			return nil
		}
		var failed error
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if failed == nil && len(p.Records) > 0 {
				failed = m.handle(ctx, p.Records)
			}
		})
		if failed != nil {
			client.AllowRebalance()
			if ctx.Err() != nil {
				return nil // unfinished messages are delivered again
			}
			return failed // and here, by the process that follows
		}
		// The database comes first. An offset that is refused is no harm: the messages
		// come again and are duplicates.
		if err := client.CommitRecords(ctx, fetches.Records()...); err != nil && ctx.Err() == nil {
			m.log.Warn("offsets not committed", "error", err)
		}
		client.AllowRebalance()
	}
	return nil
}

func (m *bankMember) handle(ctx context.Context, records []*kgo.Record) error {
	messages := make([]inbox.Message, len(records))
	transfers := make([]Transfer, len(records))
	for i, r := range records {
		if err := json.Unmarshal(r.Value, &transfers[i]); err != nil {
			return err
		}
		messages[i] = inbox.Message{ID: transfers[i].ID, Position: &inbox.Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}}
	}
	if m.mode == PerBatch {
		return m.batch(ctx, messages, transfers)
	}
	for i, message := range messages {
		_, err := m.inbox.Process(ctx, m.db, message, func(ctx context.Context, tx *sql.Tx) error {
			return m.apply(ctx, tx, transfers[i:i+1])
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// batch handles the messages in one transaction, as often as it takes: a server that is
// out of reach, a deadlock and a COMMIT without an answer all end with the same try again.
func (m *bankMember) batch(ctx context.Context, messages []inbox.Message, transfers []Transfer) error {
	for {
		err := m.batchOnce(ctx, messages, transfers)
		if err == nil || ctx.Err() != nil {
			return err
		}
		m.log.Warn("the batch failed, trying again", "error", err)
		pause(ctx, 100*time.Millisecond)
	}
}

func (m *bankMember) batchOnce(ctx context.Context, messages []inbox.Message, transfers []Transfer) error {
	tx, err := m.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	fresh, err := m.inbox.AcceptBatch(ctx, tx, messages)
	if err != nil {
		return err
	}
	var unseen []Transfer
	for i, t := range transfers {
		if fresh[i] {
			unseen = append(unseen, t)
		}
	}
	if len(unseen) > 0 {
		if err := m.apply(ctx, tx, unseen); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// apply writes the transfers to the ledger and moves the money, accounts in the order of
// their numbers: other partitions' transfers meet the same rows.
func (m *bankMember) apply(ctx context.Context, tx *sql.Tx, transfers []Transfer) error {
	change := make(map[int]int64)
	var rows []string
	var args []any
	for i, t := range transfers {
		change[t.From] -= t.Amount
		change[t.To] += t.Amount
		row := "(?, ?, ?, ?)"
		if m.postgres {
			row = fmt.Sprintf("($%d, $%d, $%d, $%d)", 4*i+1, 4*i+2, 4*i+3, 4*i+4)
		}
		rows = append(rows, row)
		args = append(args, t.ID, t.From, t.To, t.Amount)
	}
	insert := "INSERT INTO " + m.mode.table("ledger") + " (message_id, from_account, to_account, amount) VALUES " + strings.Join(rows, ", ")
	if _, err := tx.ExecContext(ctx, insert, args...); err != nil {
		return err
	}
	type move struct {
		account int
		amount  int64
	}
	var moves []move
	for account, amount := range change {
		moves = append(moves, move{account, amount})
	}
	slices.SortFunc(moves, func(a, b move) int { return cmp.Compare(a.account, b.account) })
	for _, each := range moves {
		_, err := tx.ExecContext(ctx, fmt.Sprintf("UPDATE %s SET balance = balance + %d WHERE id = %d", m.mode.table("accounts"), each.amount, each.account))
		if err != nil {
			return err
		}
	}
	return nil
}
