//go:build unix

package chaos

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/internal/dbtest"
)

// These tests check that the judge finds the faults of a consumer without the inbox, on the tables of a run.
// They also check that the inbox prevents the fault in the same interleaving.

// naiveSite is a bank in a database, and a topic's partition as a list.
type naiveSite struct {
	t    *testing.T
	db   *sql.DB
	bank bank
	ib   *inbox.Inbox
	sent []Transfer
	log  []inbox.Message
}

const naiveTransfers = 40

// onBoth runs the test on PostgreSQL and MariaDB. All sites of one test use one database. With copies, every
// fourth message of the partition is sent again behind all others.
func onBoth(t *testing.T, test func(t *testing.T, site func(mode BankMode, withCopies bool) *naiveSite)) {
	for name, open := range map[string]func(testing.TB) dbtest.Database{
		PostgreSQL: dbtest.PostgreSQL, MariaDB: dbtest.MariaDB,
	} {
		t.Run(name, func(t *testing.T) {
			d := dbtest.Migrate(t, open(t))
			test(t, func(mode BankMode, withCopies bool) *naiveSite {
				s := &naiveSite{t: t, db: d.DB, bank: bank{mode: mode, postgres: name == PostgreSQL}}
				require.NoError(t, s.bank.create(t.Context(), s.db))
				var err error
				s.ib, err = inbox.New(d.Dialect, mode.consumer())
				require.NoError(t, err)
				s.send(withCopies)
				return s
			})
		})
	}
}

func (s *naiveSite) send(withCopies bool) {
	for n := range naiveTransfers {
		s.sent = append(s.sent, transfer(11, n))
	}
	all := slices.Clone(s.sent)
	for n := 0; withCopies && n < naiveTransfers; n += 4 {
		all = append(all, s.sent[n])
	}
	for offset, each := range all {
		value, err := json.Marshal(each)
		require.NoError(s.t, err)
		s.log = append(s.log, inbox.Message{
			ID: each.ID, Topic: "bank", Key: fmt.Sprint(each.From), Payload: value,
			Position: &inbox.Position{Topic: "bank", Partition: 0, Offset: int64(offset)},
		})
	}
}

func (s *naiveSite) handle(ctx context.Context, tx *sql.Tx, messages []inbox.Message) error {
	return (&bankMember{bank: s.bank}).handle(ctx, tx, messages)
}

// judge returns the faults that the judge of a run finds in the bank.
func (s *naiveSite) judge() string {
	found, err := s.bank.read(s.t.Context(), s.db)
	require.NoError(s.t, err)
	return strings.Join(CheckBank(s.sent, found), "\n")
}

func TestTheJudgeCatchesAConsumerWithoutAnInbox(t *testing.T) {
	onBoth(t, func(t *testing.T, site func(BankMode, bool) *naiveSite) {
		s := site(PerMessage, true)
		tx, err := s.db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		require.NoError(t, s.handle(t.Context(), tx, s.log))
		require.NoError(t, tx.Commit())
		require.Contains(t, s.judge(), fmt.Sprintf("%d transfers applied more than once", naiveTransfers/4))
		require.Contains(t, s.judge(), "accounts with a wrong balance")

		s = site(PerBatch, true)
		_, err = s.ib.ProcessBatch(t.Context(), s.db, s.log, s.handle)
		require.NoError(t, err)
		require.Empty(t, s.judge(), "and has nothing to say of the same messages through the inbox")
	})
}

// Hazard group-restarts.
// Member A is declared dead after it has read its position and polled. Member B takes the partition over,
// reads the same position, handles all messages and moves the position. Then A goes on, applies what it had
// polled, and sets the position back.
func TestTheJudgeCatchesOffsetsCommittedWithoutTheEpoch(t *testing.T) {
	onBoth(t, func(t *testing.T, site func(BankMode, bool) *naiveSite) {
		s := site(Offsets, false)
		for _, statement := range []string{
			"CREATE TABLE naive_position (next_offset int NOT NULL)", "INSERT INTO naive_position VALUES (0)",
		} {
			_, err := s.db.ExecContext(t.Context(), statement)
			require.NoError(t, err)
		}
		read := func() (next int) {
			require.NoError(t, s.db.QueryRowContext(t.Context(), "SELECT next_offset FROM naive_position").Scan(&next))
			return next
		}
		commit := func(from, to int) {
			tx, err := s.db.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			require.NoError(t, s.handle(t.Context(), tx, s.log[from:to]))
			_, err = tx.ExecContext(t.Context(), fmt.Sprintf("UPDATE naive_position SET next_offset = %d", to))
			require.NoError(t, err)
			require.NoError(t, tx.Commit())
		}
		a, b := read(), read()
		commit(b, naiveTransfers)
		commit(a, 10) // A is the zombie
		require.Equal(t, 10, read(), "and whoever comes next begins here")
		require.Contains(t, s.judge(), "10 transfers applied more than once")
		require.Contains(t, s.judge(), "accounts with a wrong balance")

		s = site(OffsetsAlone, false)
		hold := func() *inbox.PartitionClaim {
			h, err := s.ib.ClaimPartition(t.Context(), s.db, "bank", 0)
			require.NoError(t, err)
			return h
		}
		held := func(h *inbox.PartitionClaim, to int) error {
			next, _ := h.Next()
			_, err := s.ib.ProcessBatch(
				t.Context(), s.db, s.log[next:to], s.handle, inbox.WithPartitionClaim(h), inbox.WithoutIDs(),
			)
			return err
		}
		zombie, owner := hold(), hold()
		require.NoError(t, held(owner, naiveTransfers))
		require.ErrorIs(t, held(zombie, 10), inbox.ErrFenced)
		next, known := hold().Next()
		require.True(t, known)
		require.EqualValues(t, naiveTransfers, next)
		require.Empty(t, s.judge(), "the epoch fences the same zombie")
	})
}
