package inboxkafka_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/inbox"
	"github.com/postroom/postroom/inbox/inboxkafka"
	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbtest"
	"github.com/postroom/postroom/internal/doctor"
	"github.com/postroom/postroom/internal/doctor/doctorkafka"
)

// eachModeAndDatabase is eachModeAndServer with SQLite, and a consumer's name for each.
func eachModeAndDatabase(t *testing.T, fn func(t *testing.T, w world, cfg inboxkafka.Config)) {
	t.Helper()
	for _, mode := range allModes {
		for flavor, open := range map[string]func(testing.TB) dbtest.Database{
			dbtest.FlavorPostgreSQL15: dbtest.PostgreSQL, dbtest.FlavorMariaDB: dbtest.MariaDB,
			dbtest.FlavorSQLite: dbtest.SQLite,
		} {
			t.Run(string(mode)+" on "+flavor, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, open(t), 1)
				cfg := w.config(t, mode)
				cfg.Inbox = w.named(t, w.topic)
				fn(t, w, cfg)
			})
		}
	}
}

// backUp keeps the tables as they are now, for restore.
func (w world) backUp(t *testing.T) {
	t.Helper()
	for _, table := range []string{"effects", "inbox_events", "inbox_offsets"} {
		w.exec(t, "CREATE TABLE saved_"+table+" AS SELECT * FROM "+table)
	}
}

func (w world) restore(t *testing.T) {
	t.Helper()
	for _, table := range []string{"effects", "inbox_events"} {
		w.exec(t, "DELETE FROM "+table+" WHERE message_id NOT IN (SELECT message_id FROM saved_"+table+")")
	}
	w.exec(t, "DELETE FROM inbox_offsets")
	w.exec(t, "INSERT INTO inbox_offsets SELECT * FROM saved_inbox_offsets")
}

// Hazard restored-consumer-database.
// The database is restored to an earlier state, and the group's offset is ahead of what it knows. Where the offset
// lives in Kafka, Run says so, with the command; where it lives in the database, all is applied again by itself.
func TestARestoredDatabaseLosesNoEffects(t *testing.T) {
	eachModeAndDatabase(t, func(t *testing.T, w world, cfg inboxkafka.Config) {
		all := ids("a", 20)
		w.produce(t, 0, all[:5]...)
		r := consume(t, cfg, w.effect)
		w.awaitEffects(t, 5)
		r.end(t)
		w.backUp(t)
		w.produce(t, 0, all[5:15]...)
		r = consume(t, cfg, w.effect)
		w.awaitEffects(t, 15)
		r.end(t)
		require.EqualValues(t, 15, w.committed(t))
		w.restore(t)
		require.Len(t, w.effects(t), 5)
		w.produce(t, 0, all[15:]...)

		if cfg.Mode == inboxkafka.OffsetsInDatabase {
			require.Empty(t, w.doctor(t), "it goes on by itself")
		} else {
			found := w.doctor(t)
			require.Len(t, found, 1)
			require.Contains(t, found[0].What, "by 10 offsets in 1 partition (0)")
			require.Contains(t, found[0].Do[0], "--group "+cfg.Group+" --topic "+w.topic+
				":0 --reset-offsets --to-offset 5 --execute")
			err := consume(t, cfg, w.effect).wait(t)
			require.ErrorContains(t, err, "the offset of group \""+cfg.Group+
				"\" is 15, but the database has only the messages below 5")
			require.ErrorContains(t, err, "restored to an earlier state")
			require.ErrorContains(t, err, "--group "+cfg.Group+" --topic "+w.topic+
				":0 --reset-offsets --to-offset 5 --execute")
			require.Len(t, w.effects(t), 5)
			w.commit(t, 0, 5) // what the command does
			require.Empty(t, w.doctor(t))
		}
		r = consume(t, cfg, w.effect)
		require.Equal(t, all, w.awaitEffects(t, 20))
		r.end(t)
		require.Empty(t, w.doctor(t))
	})
}

// doctor returns what relay inbox doctor finds about the group's offsets.
func (w world) doctor(t *testing.T) (found []doctor.Finding) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.brokers...))
	require.NoError(t, err)
	defer client.Close()
	report := doctor.ExamineInbox(t.Context(), doctor.Source{
		DB: w.DB, Names: db.Names{Dialect: w.Dialect}, Sink: doctorkafka.New(client), Brokers: w.brokers,
	}, doctor.InboxOptions{})
	for _, f := range report.Findings {
		if f.Check == "inbox.offsets" || strings.Contains(f.Subject, "offsets in Kafka") {
			found = append(found, f)
		}
	}
	return found
}

// Hazard restored-consumer-database.
// The backup is of a time before the consumer began, or another database takes its place: the database knows nothing,
// and the mark beside the group's offset says that a consumer of this name had noted it in its database.
func TestADatabaseOfATimeBeforeTheConsumerLosesNoEffects(t *testing.T) {
	eachModeAndDatabase(t, func(t *testing.T, w world, cfg inboxkafka.Config) {
		w.produce(t, 0, "a", "b")
		w.backUp(t)
		r := consume(t, cfg, w.effect)
		w.awaitEffects(t, 2)
		r.end(t)
		require.EqualValues(t, 2, w.committed(t))
		w.restore(t)
		w.produce(t, 0, "c")
		err := consume(t, cfg, w.effect).wait(t)
		require.ErrorContains(t, err, "the offset of group \""+cfg.Group+
			"\" is 2, but the database has nothing of the partition")
		require.ErrorContains(t, err, "--group "+cfg.Group+" --topic "+w.topic+
			":0 --reset-offsets --to-earliest --execute")
		require.Empty(t, w.effects(t))
		want := []string{"a", "b", "c"}
		if cfg.Mode == inboxkafka.PerMessage {
			cfg.AdoptOffsets, want = true, []string{"c"} // the error's other way
		} else {
			w.commit(t, 0, 0) // what the command does
		}
		r = consume(t, cfg, w.effect)
		require.Equal(t, want, w.awaitEffects(t, len(want)))
		r.end(t)
	})
}

// Hazard restored-consumer-database.
// The database goes back under a member that runs: it is restored, or fails over to a copy that lags. What was lost is
// not passed over, and Kafka's offset stays.
func TestADatabaseThatGoesBackEndsAMember(t *testing.T) {
	for what, goBack := range map[string]string{
		"has only the messages below 1":       "UPDATE inbox_offsets SET applied_offset = 1",
		"has nothing of the partition":        "DELETE FROM inbox_offsets",
		"is 2, but the database has only the": "UPDATE inbox_offsets SET applied_offset = 0",
	} {
		w := newWorld(t, dbtest.SQLite(t), 1)
		cfg := w.config(t, inboxkafka.Batch)
		w.produce(t, 0, "a", "b")
		r := consume(t, cfg, w.effect)
		w.awaitCommitted(t, 2)
		w.exec(t, goBack)
		w.produce(t, 0, "c")
		require.ErrorContains(t, r.wait(t), what)
		require.EqualValues(t, 2, w.committed(t))
		require.ErrorContains(t, consume(t, cfg, w.effect).wait(t),
			"the offset of group \""+cfg.Group+"\" is 2, but the database has")
	}
}

// An offset that was set forward by hand is taken when somebody says so: by the statement of the error, or by
// AdoptOffsets.
func TestAGroupThatWasSetForwardNeedsConsent(t *testing.T) {
	eachModeAndDatabase(t, func(t *testing.T, w world, cfg inboxkafka.Config) {
		if cfg.Mode == inboxkafka.OffsetsInDatabase {
			return // whose position is not Kafka's: TestTheDatabasesPositionWinsOverTheGroups
		}
		w.produce(t, 0, "a", "b")
		r := consume(t, cfg, w.effect)
		w.awaitEffects(t, 2)
		r.end(t)
		w.produce(t, 0, "skipped", "c")
		w.commit(t, 0, 3)
		err := consume(t, cfg, w.effect).wait(t)
		require.ErrorContains(t, err, "somebody moved the offset forward")
		w.exec(t, regexp.MustCompile(`UPDATE .*`).FindString(err.Error()))
		r = consume(t, cfg, w.effect)
		require.Equal(t, []string{"a", "b", "c"}, w.awaitEffects(t, 3))
		r.end(t)

		w.produce(t, 0, "skipped too", "d")
		w.commit(t, 0, 5)
		require.ErrorContains(t, consume(t, cfg, w.effect).wait(t), "AdoptOffsets")
		cfg.AdoptOffsets = true
		r = consume(t, cfg, w.effect)
		require.Equal(t, []string{"a", "b", "c", "d"}, w.awaitEffects(t, 4))
		r.end(t)
	})
}

// Hazard two-groups.
// Two groups of one consumer would each apply a part of the messages. The second is refused, in any process, until it
// is said to be the first under another name; then the first is.
func TestASecondGroupOfAConsumerIsRefused(t *testing.T) {
	eachModeAndDatabase(t, func(t *testing.T, w world, cfg inboxkafka.Config) {
		w.produce(t, 0, "a")
		first := consume(t, cfg, w.effect)
		w.awaitEffects(t, 1)
		other := cfg
		other.Group += "-other"
		refusal := "Each message would be handled in only one of the groups"
		err := consume(t, other, w.effect).wait(t)
		require.ErrorContains(t, err, refusal)
		require.ErrorContains(t, err, "in group \""+cfg.Group+"\"")
		w.produce(t, 0, "b")
		w.awaitEffects(t, 2)
		first.end(t)

		// What was pruned is not read again: the new group goes on where the old one was.
		w.exec(t, "DELETE FROM inbox_events")
		w.produce(t, 0, "c")
		other.FormerGroup = cfg.Group
		second := consume(t, other, w.effect)
		require.Equal(t, []string{"a", "b", "c"}, w.awaitEffects(t, 3))
		require.ErrorContains(t, consume(t, cfg, w.effect).wait(t), refusal)
		second.end(t)
	})
}

// Hazard two-groups.
// A group that has taken the consumer over while the old one works ends that: it commits nothing of what is not noted.
func TestAGroupThatIsTakenOverWhileItRunsEnds(t *testing.T) {
	w := newWorld(t, dbtest.PostgreSQL(t), 1)
	cfg := w.config(t, inboxkafka.Batch)
	w.produce(t, 0, "a")
	r := consume(t, cfg, w.effect)
	w.awaitEffects(t, 1)
	w.awaitCommitted(t, 1)
	w.exec(t, "UPDATE inbox_offsets SET kafka_group = 'other'")
	w.produce(t, 0, "b")
	require.ErrorContains(t, r.wait(t), `in group "other"`)
	require.EqualValues(t, 1, w.committed(t))
}

// Hazard expired-group.
// An expired group goes on behind what the database says is done, and what was pruned of it is not applied again.
func TestAGroupThatHasExpiredGoesOnWhereItWas(t *testing.T) {
	eachModeAndDatabase(t, func(t *testing.T, w world, cfg inboxkafka.Config) {
		w.produce(t, 0, ids("a", 5)...)
		r := consume(t, cfg, w.effect)
		w.awaitEffects(t, 5)
		r.end(t)
		w.exec(t, "DELETE FROM inbox_events")
		_, err := kadm.NewClient(w.producer).DeleteGroup(t.Context(), cfg.Group)
		require.NoError(t, err)
		w.produce(t, 0, "b")
		cfg.StartOffset = inboxkafka.Latest
		r = consume(t, cfg, w.effect)
		require.Equal(t, append(ids("a", 5), "b"), w.awaitEffects(t, 6))
		r.end(t)
	})
}

// Hazard restored-consumer-database.
// The note is first: while it cannot be written, Kafka's offset stays where it is, and what comes is applied.
func TestNoOffsetIsCommittedThatTheDatabaseDoesNotKnow(t *testing.T) {
	w := newWorld(t, dbtest.PostgreSQL(t), 1)
	cfg := w.config(t, inboxkafka.Batch)
	log := newLog()
	cfg.Logger = log.logger()
	w.produce(t, 0, "a")
	r := consume(t, cfg, w.effect)
	w.awaitCommitted(t, 1)
	w.exec(t, "ALTER TABLE inbox_offsets RENAME TO away")
	w.produce(t, 0, "b")
	w.awaitEffects(t, 2)
	log.awaits(t, "inboxkafka: offsets could not be committed; the next commit includes them", 1)
	require.EqualValues(t, 1, w.committed(t))
	w.exec(t, "ALTER TABLE away RENAME TO inbox_offsets")
	w.awaitCommitted(t, 2)
	require.Equal(t, 1,
		w.count(t, "SELECT count(*) FROM inbox_offsets WHERE applied_offset = 2 AND next_offset IS NULL"))
	r.end(t)
}

// A rolling upgrade: members of the build before, which note nothing, commit what they have done, and a new member
// takes the partition from them. Their mark tells the offset from that of a restored database.
func TestAnOffsetOfAnOlderBuildIsTaken(t *testing.T) {
	for _, mode := range []inboxkafka.Mode{inboxkafka.Batch, inboxkafka.PerMessage} {
		t.Run(string(mode), func(t *testing.T) {
			w := newWorld(t, dbtest.SQLite(t), 1)
			cfg := w.config(t, mode)
			w.produce(t, 0, "a")
			r := consume(t, cfg, w.effect)
			w.awaitEffects(t, 1)
			r.end(t)
			w.produce(t, 0, "b", "c", "d")
			w.exec(t, "INSERT INTO effects (message_id) VALUES ('b'), ('c')")
			offsets := kadm.Offsets{}
			offsets.Add(kadm.Offset{Topic: w.topic, At: 3, LeaderEpoch: -1,
				Metadata: `postroom-inbox consumer="billing" tables=sqlite:inbox_events`})
			require.NoError(t, kadm.NewClient(w.producer).CommitAllOffsets(t.Context(), cfg.Group, offsets))
			r = consume(t, cfg, w.effect)
			require.Equal(t, []string{"a", "b", "c", "d"}, w.awaitEffects(t, 4))
			r.end(t)
		})
	}
}

// Tables of an older build remember no groups: consumers work with them, and say so.
func TestTablesWithoutGroupsAreTold(t *testing.T) {
	eachModeAndDatabase(t, func(t *testing.T, w world, cfg inboxkafka.Config) {
		if w.Dialect != inbox.PostgreSQL {
			w.exec(t, "DROP TABLE inbox_offsets")
			w.exec(t, "CREATE TABLE inbox_offsets (consumer varchar(100), kafka_topic varchar(249), kafka_partition "+
				"int, next_offset bigint, epoch bigint, updated_at varchar(40), PRIMARY KEY (consumer, kafka_topic, "+
				"kafka_partition))")
		} else {
			w.exec(t, "ALTER TABLE inbox_offsets DROP COLUMN kafka_group, DROP COLUMN topic_id, DROP COLUMN "+
				"applied_offset")
		}
		log := newLog()
		cfg.Logger = log.logger()
		w.produce(t, 0, "a")
		r := consume(t, cfg, w.effect)
		w.awaitEffects(t, 1)
		w.awaitCommitted(t, 1)
		r.end(t)
		log.awaits(t, "inboxkafka: the database does not store the group's offsets, so the consumer cannot notice a "+
			"restored database, a recreated topic or a second group: run `relay migrate up --only inbox`, and grant "+
			"the rights of docs/tables.md",
			1)
		w.produce(t, 0, "b")
		r = consume(t, cfg, w.effect)
		require.Equal(t, []string{"a", "b"}, w.awaitEffects(t, 2))
		r.end(t)
	})
}
