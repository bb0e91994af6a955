//go:build unix

package chaos

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// drain waits until each group has committed the end of every partition. A group commits
// an offset after the database has committed all that is below it: what is missing then
// is lost.
func (r *bankRun) drain(ctx context.Context) error {
	began := time.Now()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(r.servers.Address(kafka), ",")...))
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	waiting, cancel := context.WithTimeout(ctx, drainFor)
	defer cancel()
	for {
		left, err := r.behind(waiting, admin)
		switch {
		case err == nil && left == "":
			r.report.Drain = time.Since(began)
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case waiting.Err() != nil:
			r.problem("after %v without trouble the groups are not at the end: %s", drainFor, left)
			for number := range bankConsumers {
				r.problem("consumer-%d said last: %s", number, strings.Join(r.log.tail(fmt.Sprint("consumer-", number)), "\n    "))
			}
			return nil
		}
		pause(waiting, 200*time.Millisecond)
	}
}

// behind says which group is not at the end of which partition.
func (r *bankRun) behind(ctx context.Context, admin *kadm.Client) (left string, err error) {
	ends, err := admin.ListEndOffsets(ctx, r.topic)
	if err != nil {
		return "", err
	}
	if err := ends.Error(); err != nil {
		return "", err
	}
	for _, mode := range bankModes() {
		committed, err := admin.FetchOffsets(ctx, r.topic+"-"+string(mode))
		if err != nil {
			return "", err
		}
		ends.Each(func(end kadm.ListedOffset) {
			if at, ok := committed.Lookup(end.Topic, end.Partition); end.Offset > 0 && (!ok || at.At < end.Offset) {
				left += fmt.Sprintf("%s, partition %d: %d of %d; ", mode, end.Partition, at.At, end.Offset)
			}
		})
	}
	return left, nil
}

// judge reads the banks.
func (r *bankRun) judge(ctx context.Context, s Settings) error {
	for _, mode := range bankModes() {
		b, err := r.balances(ctx, mode)
		if err != nil {
			return err
		}
		for _, wrong := range CheckBank(r.sent, b) {
			r.report.Wrong = append(r.report.Wrong, fmt.Sprintf("%s: %s", mode, wrong))
		}
	}
	minutes := s.Duration.Minutes()
	for _, least := range []struct {
		what       string
		is, wanted int
	}{
		{"kills", r.report.Kills, int(7 * minutes)},
		{"pauses past the session", r.report.Pauses, int(5 * minutes)},
		{"clean leaves", r.report.Leaves, int(3 * minutes)},
		{"connections cut", r.report.Cuts, int(15 * minutes)},
		{"transfers", r.report.Transfers, int(3000 * minutes)},
		{"copies", r.report.Copies, r.report.Transfers * 3 / 10},
	} {
		if least.is < least.wanted {
			r.problem("%d %s, wanted were at least %d: the run proves too little", least.is, least.what, least.wanted)
		}
	}
	return nil
}

func (r *bankRun) balances(ctx context.Context, mode BankMode) (b Balances, err error) {
	b.Accounts = make(map[int]int64)
	accounts, err := r.db.admin.QueryContext(ctx, "SELECT id, balance FROM "+mode.table("accounts"))
	if err != nil {
		return b, err
	}
	defer func() { _ = accounts.Close() }() // accounts.Err has it
	for accounts.Next() {
		var id int
		var balance int64
		if err := accounts.Scan(&id, &balance); err != nil {
			return b, err
		}
		b.Accounts[id] = balance
	}
	if err := accounts.Err(); err != nil {
		return b, err
	}
	ledger, err := r.db.admin.QueryContext(ctx, "SELECT message_id, from_account, to_account, amount FROM "+mode.table("ledger"))
	if err != nil {
		return b, err
	}
	defer func() { _ = ledger.Close() }() // ledger.Err has it
	for ledger.Next() {
		var t Transfer
		if err := ledger.Scan(&t.ID, &t.From, &t.To, &t.Amount); err != nil {
			return b, err
		}
		b.Ledger = append(b.Ledger, t)
	}
	if err := ledger.Err(); err != nil {
		return b, err
	}
	b.Parked, err = r.db.count(ctx, "inbox_parked")
	return b, err
}
