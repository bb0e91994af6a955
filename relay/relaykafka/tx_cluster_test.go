//go:build unix

package relaykafka_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"

	"github.com/postroom/postroom/internal/kafkatest"
	"github.com/postroom/postroom/relay"
	"github.com/postroom/postroom/relay/relaykafka"
)

// These tests need a cluster of their own, for rights, replicas, and features that are switched back.
func TestExactlyOnceOnAClusterOfItsOwn(t *testing.T) {
	cluster := kafkatest.Start(t, kafkatest.Options{Nodes: 3, Secure: true})
	ctx, cancel := context.WithTimeout(context.Background(), kafkatest.StartTimeout)
	defer cancel()
	for _, name := range []string{"orders.placed", "orders.paid"} {
		require.NoError(t, cluster.CreateTopic(
			ctx, name, [][]int32{{1, 2, 3}, {2, 3, 1}, {3, 1, 2}}, map[string]string{"min.insync.replicas": "2"},
		))
	}
	t.Run(
		"a manifest topic has three replicas, of which two must be in sync",
		func(t *testing.T) { replicated(t, cluster) },
	)
	t.Run(
		"the rights in docs/kafka.md are what it takes, and each of them is needed",
		func(t *testing.T) { rights(t, cluster) },
	)
	t.Run(
		"a partition without a leader is named, and when it is back the records are sent once",
		func(t *testing.T) { leaderGone(t, cluster) },
	)
	t.Run("transactions work with transaction.version 1 and 0", func(t *testing.T) { oldFeature(t, cluster) })
}

func replicated(t *testing.T, cluster *kafkatest.Cluster) {
	w := newTxWorld(t, cluster.Brokers())
	w.open(nil).commit(numbered(1, 50, 7, "orders.placed")...)
	topics, err := w.admin.ListTopics(w.ctx(), w.manifest())
	require.NoError(t, err)
	require.Equal(t, 3, topics[w.manifest()].Partitions.NumReplicas())
	require.Equal(t, "2", w.setting(w.manifest(), "min.insync.replicas"))

	w = newTxWorld(t, cluster.Brokers())
	w.cfg.ManifestReplicas = 1
	w.open(nil)
	topics, err = w.admin.ListTopics(w.ctx(), w.manifest())
	require.NoError(t, err)
	require.Equal(t, 1, topics[w.manifest()].Partitions.NumReplicas())
	require.Equal(t, "1", w.setting(w.manifest(), "min.insync.replicas"))
}

// right is one operation of a kafka-acls.sh command.
type right struct{ operation, resource, name, pattern string }

// documentedRights are the rights that docs/kafka.md lists for exactly-once mode.
func documentedRights(t *testing.T) (list []right) {
	t.Helper()
	text, err := os.ReadFile("../../docs/kafka.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "\n## Rights\n") // those for every mode come first
	require.True(t, found)
	commands := regexp.MustCompile(`(?m)^kafka-acls\.sh .*User:relay.*$`).FindAllString(section, -1)
	require.NotEmpty(t, commands)
	for _, command := range commands {
		words := strings.Fields(command)
		r := right{pattern: "literal"}
		var operations []string
		for i := 0; i+1 < len(words); i++ {
			switch words[i] {
			case "--operation":
				operations = append(operations, words[i+1])
			case "--topic", "--transactional-id":
				r.resource, r.name = words[i], words[i+1]
			case "--resource-pattern-type":
				r.pattern = words[i+1]
			}
		}
		require.NotEmpty(t, operations, command)
		for _, operation := range operations {
			r.operation = operation
			list = append(list, r)
		}
	}
	return list
}

func (r right) acl(t *testing.T) *kadm.ACLBuilder {
	t.Helper()
	operation, err := kmsg.ParseACLOperation(r.operation)
	require.NoError(t, err)
	pattern := kadm.ACLPatternLiteral
	if r.pattern == "prefixed" {
		pattern = kadm.ACLPatternPrefixed
	}
	b := kadm.NewACLs().ResourcePatternType(pattern).Operations(operation).Allow("User:relay").AllowHosts("*")
	if r.resource == "--transactional-id" {
		return b.TransactionalIDs(r.name)
	}
	return b.Topics(r.name)
}

func rights(t *testing.T, cluster *kafkatest.Cluster) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*kafkatest.StartTimeout)
	defer cancel()
	require.NoError(t, cluster.SetUser(ctx, "relay", "secret"))
	admin, err := cluster.Admin()
	require.NoError(t, err)
	documented := documentedRights(t)
	for _, r := range documented {
		give(t, admin, r)
	}
	// Each broker learns the rights by itself, so answers change for a while.
	settle := func(t *testing.T, want func(error) bool) (err error) {
		for good := 0; good < 3; {
			if err = asRelay(t, cluster); want(err) {
				good++
			} else {
				good = 0
			}
			require.NoError(t, ctx.Err(), "last: %v", err)
		}
		return err
	}
	works := func(err error) bool { return err == nil }
	require.NoError(t, settle(t, works))
	for _, r := range documented {
		t.Run("without "+r.operation+" on "+r.resource+" "+r.name, func(t *testing.T) {
			deleted, err := admin.DeleteACLs(ctx, r.acl(t))
			require.NoError(t, err)
			require.Len(t, deleted[0].Deleted, 1)
			err = settle(t, func(err error) bool { return err != nil })
			require.ErrorContains(t, err, r.operation)
			require.ErrorContains(t, err, "AUTHORIZATION_FAILED")
			give(t, admin, r)
		})
	}
	require.NoError(t, settle(t, works))
}

func give(t *testing.T, admin *kadm.Client, r right) {
	t.Helper()
	created, err := admin.CreateACLs(context.Background(), r.acl(t))
	require.NoError(t, err)
	for _, one := range created {
		require.NoError(t, one.Err)
	}
}

// asRelay does everything that a relay of a new source does, with its user's rights. It returns the first
// error, or the first warning in the log.
func asRelay(t *testing.T, cluster *kafkatest.Cluster) error {
	t.Helper()
	w, log := newTxWorld(t, cluster.SecureBrokers()), new(complaints)
	w.admin = nil // anonymous connections have no rights here
	w.cfg.Logger = slog.New(log)
	w.cfg.SASL = []sasl.Mechanism{kafkatest.Credentials("relay", "secret")}
	w.cfg.ManifestKeep = 1
	turn, err := w.tryOpen(nil)
	if err != nil {
		return err
	}
	defer turn.Close()
	for i := range int64(2) {
		if err := turn.deliver(record(i+1, "orders.placed", "k", nil))[0]; err != nil {
			return err
		}
	}
	if err := forget(w, turn, turn.Confirm(2)); err != nil {
		return err
	}
	turn.Close()
	next, err := w.tryOpen(nil)
	if err != nil {
		return err
	}
	defer next.Close()
	if err := next.deliver(record(3, "orders.placed", "k", nil))[0]; err != nil {
		return err
	}
	next.Close()
	third, err := w.tryOpen(nil)
	if err != nil {
		return err
	}
	defer third.Close()
	if err := third.Sent(w.ctx(), func([]relay.Sent) error { return nil }); err != nil {
		return err
	}
	return log.first()
}

// complaints is a log handler that keeps the first warning as an error.
type complaints struct {
	mu  sync.Mutex
	err error
}

func (c *complaints) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn
}
func (c *complaints) WithAttrs([]slog.Attr) slog.Handler { return c }
func (c *complaints) WithGroup(string) slog.Handler      { return c }
func (c *complaints) Handle(_ context.Context, r slog.Record) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = errors.New(r.Message)
		r.Attrs(func(a slog.Attr) bool {
			c.err = fmt.Errorf("%w %s=%v", c.err, a.Key, a.Value)
			return true
		})
	}
	return nil
}

func (c *complaints) first() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// leaderGone kills the node with the only replica of a topic.
func leaderGone(t *testing.T, cluster *kafkatest.Cluster) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*kafkatest.StartTimeout)
	defer cancel()
	require.NoError(t, cluster.CreateTopic(ctx, "alone", [][]int32{{3}}, nil))
	w := newTxWorld(t, cluster.Brokers()[:2])
	w.cfg = relaykafka.WithTransactionTimeout(w.cfg, 5*time.Second)
	records := numbered(1, 40, 7, "alone")
	left := records
	again := func() (last error) {
		turn, err := w.tryOpen(nil)
		if err != nil {
			return err // the coordinator of its transactions must move first
		}
		defer turn.Close()
		if err := turn.Sent(ctx, func(rows []relay.Sent) error {
			left = slices.DeleteFunc(left, func(r *relay.Record) bool {
				return slices.Contains(rows, relay.Sent{ID: r.ID, EventID: r.EventID})
			})
			return nil
		}); err != nil {
			return err
		}
		var failed []*relay.Record
		for i, err := range turn.deliver(left...) {
			if err != nil {
				failed, last = append(failed, left[i]), err
			}
		}
		left = failed
		return last
	}
	for left = records[:20]; len(left) > 0; require.NoError(t, ctx.Err()) {
		_ = again()
	}
	require.NoError(t, cluster.Node(3).Kill())
	left = slices.Clone(records[20:])
	for {
		err := again()
		require.NoError(t, ctx.Err(), "last: %v", err)
		require.NotEmpty(t, left)
		if err != nil && strings.Contains(err.Error(), "no leader for partition 0 of 1: start broker 3") {
			require.ErrorContains(t, err, "topic alone")
			require.NotErrorIs(t, err, relay.ErrRejected)
			require.NotErrorIs(t, err, relay.ErrFenced)
			break
		}
	}
	require.NoError(t, cluster.Node(3).Start(ctx))
	for len(left) > 0 {
		err := again()
		require.NoError(t, ctx.Err(), "last: %v", err)
	}
	require.Equal(t, wantedIDs(records...), eventIDs(committed(t, w.brokers, "alone")))
}

// oldFeature runs without KIP-890: a separate request adds partitions to a transaction, and a producer keeps
// its epoch from one transaction to the next.
func oldFeature(t *testing.T, cluster *kafkatest.Cluster) {
	for _, version := range []int16{1, 0} {
		w := newTxWorld(t, cluster.Brokers())
		const unsafeDowngrade = 3
		done, err := w.admin.UpdateFeatures(w.ctx(), false, kadm.FeatureUpdate{
			Feature: "transaction.version", MaxVersionLevel: version, UpgradeType: unsafeDowngrade,
		})
		require.NoError(t, err)
		require.NoError(t, done.Error())
		w.awaitFeature(version)

		first := w.open(nil)
		topic := fmt.Sprint("version-", version)
		require.NoError(t, cluster.CreateTopic(w.ctx(), topic, [][]int32{{1, 2, 3}, {2, 3, 1}}, nil))
		records := numbered(1, 60, 7, topic)
		for i := 0; i < 40; i += 10 {
			first.commit(records[i : i+10]...)
		}
		second := w.open(nil)
		for _, err := range first.deliver(records[40:]...) {
			require.ErrorIs(t, err, relay.ErrFenced)
		}
		require.Equal(t, sentOf(records[:40]...), second.sent())
		second.commit(records[40:]...)
		require.Equal(t, wantedIDs(records...), eventIDs(committed(t, w.brokers, topic)))
		fight(t, w, topic, 600)
	}
}

// awaitFeature waits until every broker has the version of transaction.version.
func (w *txWorld) awaitFeature(version int16) {
	w.t.Helper()
	for {
		answers, err := w.admin.ApiVersions(w.ctx())
		require.NoError(w.t, err)
		agreed := 0
		for _, answer := range answers {
			require.NoError(w.t, answer.Err)
			has := int16(0)
			for _, f := range answer.Raw().FinalizedFeatures {
				if f.Name == "transaction.version" {
					has = f.MaxVersionLevel
				}
			}
			if has == version {
				agreed++
			}
		}
		if agreed == len(answers) && agreed > 0 {
			return
		}
		require.NoError(w.t, w.ctx().Err())
	}
}
