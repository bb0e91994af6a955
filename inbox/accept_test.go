package inbox_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/migrations"
)

func TestAMessageIsFreshOnceAndADuplicateAfterwards(t *testing.T) {
	eachLayout(t, func(t *testing.T, b bench) {
		ib := b.inbox(t, "billing")
		m := inbox.Message{ID: "018f6d2a-0000-7000-8000-000000000001"}
		require.True(t, b.accept(t, ib, m))
		require.False(t, b.accept(t, ib, m))
		require.False(t, b.accept(t, ib, m))

		tx := b.begin(t)
		other := inbox.Message{ID: "018f6d2a-0000-7000-8000-000000000002"}
		fresh, err := ib.Accept(t.Context(), tx, other)
		require.NoError(t, err)
		require.True(t, fresh)
		fresh, err = ib.Accept(t.Context(), tx, other)
		require.NoError(t, err)
		require.False(t, fresh, "twice in one transaction")
		_, err = tx.ExecContext(t.Context(), "INSERT INTO effects VALUES ('usable')")
		require.NoError(t, err, "a duplicate leaves the transaction usable")
	})
}

func TestARollbackMakesTheMessageFreshAgain(t *testing.T) {
	eachLayout(t, func(t *testing.T, b bench) {
		ib := b.inbox(t, "billing")
		m := inbox.Message{ID: "m"}
		tx := b.begin(t)
		fresh, err := ib.Accept(t.Context(), tx, m)
		require.NoError(t, err)
		require.True(t, fresh)
		require.NoError(t, tx.Rollback())
		require.True(t, b.accept(t, ib, m))
	})
}

func TestASecondTransactionWaitsForTheFirstWithTheSameMessage(t *testing.T) {
	cases := []struct {
		name   string
		commit bool
		fresh  bool
	}{
		{"the first commits: the second is a duplicate", true, false},
		{"the first rolls back: the second is fresh", false, true},
	}
	eachLayout(t, func(t *testing.T, b bench) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				ib, m := b.inbox(t, "billing"), inbox.Message{ID: c.name}
				first := b.begin(t)
				fresh, err := ib.Accept(t.Context(), first, m)
				require.NoError(t, err)
				require.True(t, fresh)

				type answer struct {
					fresh bool
					err   error
				}
				second := make(chan answer, 1)
				go func() {
					var a answer
					defer func() { second <- a }()
					tx, err := b.DB.BeginTx(context.Background(), nil)
					if a.err = err; err != nil {
						return
					}
					defer func() { _ = tx.Rollback() }()
					a.fresh, a.err = ib.Accept(context.Background(), tx, m)
				}()
				b.untilWaiting(t)
				require.Empty(t, second, "the second must wait")
				if c.commit {
					require.NoError(t, first.Commit())
				} else {
					require.NoError(t, first.Rollback())
				}
				got := <-second
				require.NoError(t, got.err)
				require.Equal(t, c.fresh, got.fresh)
			})
		}
	})
}

func TestTheWaitForAnotherTransactionEndsWithTheContext(t *testing.T) {
	eachLayout(t, func(t *testing.T, b bench) {
		if b.Dialect == db.SQLite {
			t.Log("a second SQLite writer waits in BEGIN, before Accept")
			return
		}
		ib, m := b.inbox(t, "billing"), inbox.Message{ID: "m"}
		_, err := ib.Accept(t.Context(), b.begin(t), m)
		require.NoError(t, err)
		second := b.begin(t)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := ib.Accept(ctx, second, m)
			done <- err
		}()
		b.untilWaiting(t)
		cancel()
		require.Error(t, <-done)
	})
}

func TestIDsThatAreNotTheSameBytesAreDifferentMessages(t *testing.T) {
	long := strings.Repeat("x", inbox.MaxMessageID-1)
	ids := []string{
		"ABC", "abc", "ABC ", "ABC  ", " ABC", "ABC\t",
		long + "a", long + "b", // 255 bytes, differing in the last
		"é", "e\u0301", "É", "ß", "ss", "straße", "日本語", "日本", "😀", "😁", "İ", "i", "ı",
		strings.Repeat("😀", 63), strings.Repeat("ü", 127),
		`'; DROP TABLE inbox_events; --`, `a\b`, `a"b`, "a`b", "?", "$1", "%", "_", "\x01", "\u200b",
		"1", "01", "1.0", "0x31", "+1", "1e0", "NULL", "null",
	}
	eachLayout(t, func(t *testing.T, b bench) {
		ib := b.inbox(t, "billing")
		for _, id := range ids {
			require.True(t, b.accept(t, ib, inbox.Message{ID: id}), "%q is a new message", id)
		}
		for _, id := range ids {
			require.False(t, b.accept(t, ib, inbox.Message{ID: id}), "%q is known", id)
		}
		require.Equal(t, len(ids), b.count(t, "SELECT count(*) FROM inbox_events"))
	})
}

func TestConsumersAreIndependent(t *testing.T) {
	long := strings.Repeat("c", inbox.MaxConsumer-1)
	consumers := []string{"billing", "Billing", "billing ", "mail", "bücher", long + "1", long + "2"}
	eachLayout(t, func(t *testing.T, b bench) {
		for _, consumer := range consumers {
			ib := b.inbox(t, consumer)
			require.Equal(t, consumer, ib.Consumer())
			require.True(t, b.accept(t, ib, inbox.Message{ID: "m"}), "%q", consumer)
			require.False(t, b.accept(t, ib, inbox.Message{ID: "m"}), "%q", consumer)
		}
	})
}

func TestThePositionIsStored(t *testing.T) {
	eachLayout(t, func(t *testing.T, b bench) {
		ib := b.inbox(t, "billing")
		topic := strings.Repeat("ö", inbox.MaxTopic)
		at := inbox.Position{Topic: topic, Partition: 7, Offset: 1 << 40}
		b.accept(t, ib, inbox.Message{ID: "with", Position: &at})
		b.accept(t, ib, inbox.Message{ID: "without"})
		require.Equal(t, 1, b.count(t, "SELECT count(*) FROM inbox_events WHERE message_id = 'without' "+
			"AND kafka_topic IS NULL AND kafka_partition IS NULL AND kafka_offset IS NULL"))

		var (
			stored    string
			partition int32
			offset    int64
		)
		row := b.DB.QueryRowContext(t.Context(),
			"SELECT kafka_topic, kafka_partition, kafka_offset FROM inbox_events WHERE message_id = 'with'")
		require.NoError(t, row.Scan(&stored, &partition, &offset))
		require.Equal(t, topic, stored)
		require.Equal(t, int32(7), partition)
		require.Equal(t, int64(1<<40), offset)
	})
}

func TestAPrefixAndASchemaNameOtherTables(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		options := migrations.Options{Prefix: "shop_", Only: migrations.InboxOnly}
		opts := []inbox.Option{inbox.WithTablePrefix("shop_")}
		table := "shop_inbox_events"
		if db.Dialect == inbox.PostgreSQL {
			options.Schema = "messages"
			opts = append(opts, inbox.WithSchema("messages"))
			table = "messages." + table
		}
		_, err := migrations.Apply(t.Context(), db.DB, db.Dialect, options)
		require.NoError(t, err)
		ib := b.inbox(t, "billing", opts...)
		require.True(t, b.accept(t, ib, inbox.Message{ID: "m"}))
		require.False(t, b.accept(t, ib, inbox.Message{ID: "m"}))
		require.Equal(t, 1, b.count(t, "SELECT count(*) FROM "+table))
		deleted, err := ib.Prune(t.Context(), db.DB, inbox.PruneOptions{Retention: 1e9 * 3600})
		require.NoError(t, err)
		require.Zero(t, deleted)
	})
}

func TestMessagesThatCannotBeRecordedAreRefusedBeforeAnySQL(t *testing.T) {
	position := func(topic string, partition int32, offset int64) inbox.Message {
		return inbox.Message{ID: "m", Position: &inbox.Position{Topic: topic, Partition: partition, Offset: offset}}
	}
	cases := []struct {
		name    string
		message inbox.Message
		want    error
	}{
		{"without an id", inbox.Message{}, inbox.ErrNoID},
		{"an id of 256 bytes", inbox.Message{ID: strings.Repeat("x", 256)}, inbox.ErrTooLarge},
		{"an id of 128 characters in 256 bytes", inbox.Message{ID: strings.Repeat("ü", 128)}, inbox.ErrTooLarge},
		{"an id with a NUL", inbox.Message{ID: "a\x00b"}, inbox.ErrInvalidText},
		{"an id that is not UTF-8", inbox.Message{ID: "a\xff"}, inbox.ErrInvalidText},
		{"a position without a topic", position("", 0, 0), inbox.ErrInvalidPosition},
		{"a topic of 250 characters", position(strings.Repeat("t", 250), 0, 0), inbox.ErrInvalidPosition},
		{"a topic with a NUL", position("a\x00", 0, 0), inbox.ErrInvalidPosition},
		{"a topic that is not UTF-8", position("\xff", 0, 0), inbox.ErrInvalidPosition},
		{"a negative partition", position("t", -1, 0), inbox.ErrInvalidPosition},
		{"a negative offset", position("t", 0, -1), inbox.ErrInvalidPosition},
	}
	b := onSQLite(t)
	ib := b.inbox(t, "billing")
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tx := b.begin(t)
			_, err := ib.Accept(t.Context(), tx, c.message)
			require.ErrorIs(t, err, c.want)
			fresh, err := ib.Accept(t.Context(), tx, inbox.Message{ID: "good"})
			require.NoError(t, err, "the transaction is usable")
			require.True(t, fresh)
			require.NoError(t, tx.Rollback())

			outcome, err := ib.Process(t.Context(), b.DB, c.message, b.effect("m"))
			require.ErrorIs(t, err, c.want)
			require.Equal(t, inbox.Failed, outcome)
		})
	}
	require.Zero(t, b.effects(t))
	_, err := ib.Accept(t.Context(), nil, inbox.Message{ID: "m"})
	require.ErrorIs(t, err, inbox.ErrNoTransaction)
}

func TestMissingTablesEndedTransactionsAndMissingRightsSayWhatToDo(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db dbtest.Database) {
		b := newBench(t, db)
		ib := b.inbox(t, "billing")
		_, err := ib.Accept(t.Context(), b.begin(t), inbox.Message{ID: "m"})
		require.ErrorContains(t, err, "relay migrate up")
		require.ErrorContains(t, err, `message "m" of consumer "billing" to inbox_events`)
	})
	eachLayout(t, func(t *testing.T, b bench) {
		ib := b.inbox(t, "billing")
		tx := b.begin(t)
		require.NoError(t, tx.Commit())
		_, err := ib.Accept(t.Context(), tx, inbox.Message{ID: "m"})
		require.ErrorContains(t, err, "the transaction has ended")
		if b.Dialect == db.SQLite {
			return
		}
		poor := bench{Database: dbtest.Restricted(t, b.Database, "SELECT ON inbox_events")}
		_, err = ib.Accept(t.Context(), poor.begin(t), inbox.Message{ID: "m"})
		require.ErrorContains(t, err, "needs SELECT, INSERT, UPDATE and DELETE")
	})
}

func TestTheDocumentedRightsAreEnough(t *testing.T) {
	each(t, func(t *testing.T, b bench) {
		if b.Dialect == db.SQLite {
			t.Log("SQLite has no users")
			return
		}
		user := bench{Database: dbtest.Restricted(t, b.Database, "SELECT, INSERT, DELETE ON inbox_events",
			"INSERT ON effects")}
		ib := user.inbox(t, "billing")
		outcome, err := ib.Process(t.Context(), user.DB, inbox.Message{ID: "m"}, user.effect("m"))
		require.NoError(t, err)
		require.Equal(t, inbox.Applied, outcome)
		b.makeOlder(t, 48*3600e9)
		deleted, err := ib.Prune(t.Context(), user.DB, inbox.PruneOptions{Retention: 24 * 3600e9})
		require.NoError(t, err)
		require.Equal(t, int64(1), deleted)
	})
}
