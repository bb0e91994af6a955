//go:build unix

package main

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// The kinds of trouble.
const (
	killProcess  = "kill process"  // SIGKILL to a service or a relay
	stopProcess  = "stop process"  // SIGSTOP for longer than a lease and a session, then SIGCONT
	cutDatabase  = "cut database"  // connections of a service, from the server's side
	killKafka    = "kill kafka"    // SIGKILL, then a new start
	restartKafka = "restart kafka" // a clean one
	restartAMQP  = "restart rabbitmq"
	killRedis    = "kill redis" // all that was cached is lost
	rebuildViews = "rebuild read models"
)

// trouble is one blow.
type trouble struct {
	at     time.Duration // since the start
	kind   string
	target int
	while  time.Duration // of a stop
}

// stream is troubles of some kinds in turn, at random times.
type stream struct {
	kinds        []string
	first, every span
}

// span is a range of times, without its end.
type span struct{ from, to time.Duration }

func (s span) pick(rng *rand.Rand) time.Duration {
	return s.from + time.Duration(rng.Int64N(max(1, int64(s.to-s.from))))
}

const ms = time.Millisecond

// streams are more than 40 kills in 60 s, with every server down for a while. own: the servers are ours to kill.
func streams(own bool) []stream {
	all := []stream{
		{[]string{killProcess}, span{1000 * ms, 2000 * ms}, span{1000 * ms, 1500 * ms}},
		{[]string{stopProcess}, span{2000 * ms, 5000 * ms}, span{5000 * ms, 8000 * ms}},
		{[]string{cutDatabase}, span{1500 * ms, 3000 * ms}, span{1500 * ms, 3500 * ms}},
		{[]string{rebuildViews}, span{20_000 * ms, 25_000 * ms}, span{45_000 * ms, 90_000 * ms}},
	}
	if own {
		all = append(all,
			stream{[]string{killKafka, restartKafka}, span{8000 * ms, 14_000 * ms}, span{25_000 * ms, 32_000 * ms}},
			stream{[]string{restartAMQP}, span{16_000 * ms, 22_000 * ms}, span{40_000 * ms, 55_000 * ms}},
			stream{[]string{killRedis}, span{5000 * ms, 10_000 * ms}, span{12_000 * ms, 20_000 * ms}})
	}
	return all
}

// plan yields all troubles of a seed in the order of time, without end.
func plan(seed uint64, own bool) iter.Seq[trouble] {
	return func(yield func(trouble) bool) {
		all := streams(own)
		next, rngs, counts := make([]trouble, len(all)), make([]*rand.Rand, len(all)), make([]int, len(all))
		draw := func(i int, at time.Duration) {
			s := all[i]
			next[i] = trouble{at: at, kind: s.kinds[counts[i]%len(s.kinds)], target: rngs[i].IntN(1 << 30)}
			next[i].while = span{2500 * ms, 5000 * ms}.pick(rngs[i])
			counts[i]++
		}
		for i, s := range all {
			rngs[i] = rand.New(rand.NewPCG(seed, uint64(i)))
			draw(i, s.first.pick(rngs[i]))
		}
		for {
			soonest := slices.MinFunc(next, func(a, b trouble) int { return cmp.Compare(a.at, b.at) })
			if !yield(soonest) {
				return
			}
			i := slices.Index(next, soonest)
			draw(i, soonest.at+all[i].every.pick(rngs[i]))
		}
	}
}

// makeTrouble follows the plan until ctx ends, and returns when what it has stopped goes on and what it has killed is
// up again.
func (s *shop) makeTrouble(ctx context.Context, seed uint64) {
	var working sync.WaitGroup
	defer working.Wait()
	start := time.Now()
	for t := range plan(seed, s.own != nil) {
		select {
		case <-time.After(time.Until(start.Add(t.at))):
		case <-ctx.Done():
			return
		}
		working.Go(func() {
			// What was begun is finished: a server that was killed is started again.
			if err := s.hit(context.WithoutCancel(ctx), t); err != nil {
				s.log.show("%s: %v", t.kind, err)
				s.problem("%s: %v", t.kind, err)
			}
		})
	}
}

func (s *shop) hit(ctx context.Context, t trouble) error {
	switch t.kind {
	case killProcess:
		if s.fleet.kill(t.target) {
			s.log.count(t.kind)
		}
		return nil
	case stopProcess:
		goOn := s.fleet.stop(t.target, t.while)
		if goOn == nil {
			return nil
		}
		time.Sleep(t.while)
		goOn()
	case cutDatabase:
		cut, err := s.cut(ctx, t.target)
		if err != nil || cut == 0 {
			return err
		}
	case rebuildViews:
		if err := s.rebuild(ctx); err != nil {
			s.log.say("%s: %v", t.kind, err) // the process that did it may have been killed: it goes on after its start
			return nil
		}
	default:
		return s.restart(ctx, t.kind)
	}
	s.log.count(t.kind)
	return nil
}

// restart stops a server and starts it again. It leaves the trouble out while another server is restarted: dev/services
// does one thing at a time, and on a busy machine the troubles would form a queue that is longer than the run.
func (s *shop) restart(ctx context.Context, kind string) error {
	name := map[string]string{
		killKafka: "kafka", restartKafka: "kafka", restartAMQP: "rabbitmq", killRedis: "redis",
	}[kind]
	if !s.restarting.TryLock() {
		return nil
	}
	defer s.restarting.Unlock()
	s.log.say("%s", kind)
	stop := func() error { return s.own.Kill(ctx, name) }
	if kind == restartKafka || kind == restartAMQP {
		stop = func() error { return s.own.Down(ctx, name) }
	}
	began := time.Now()
	if err := stop(); err != nil {
		return err
	}
	if err := s.own.Up(ctx, name); err != nil {
		return err
	}
	s.log.say("%s is up again after %v", name, time.Since(began).Round(ms))
	s.log.count(kind)
	return nil
}

// cut closes all connections of one service to its database.
func (s *shop) cut(ctx context.Context, target int) (cut int, err error) {
	name := s.names[target%len(s.names)]
	admin, query := s.postgres, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s'`
	if s.onMariaDB(name) {
		admin, query = s.mariadb, `SELECT id FROM information_schema.processlist WHERE db = '%s'`
	}
	rows, err := admin.SQL.QueryContext(ctx, fmt.Sprintf(query, s.prefix+name))
	if err != nil {
		return 0, err
	}
	defer func() { _ = rows.Close() }()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return 0, err
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	if s.onMariaDB(name) {
		for _, id := range ids {
			_, _ = admin.SQL.ExecContext(ctx, "KILL "+id) // it may have ended by itself
		}
	}
	s.log.say("cut %d connections to %s", len(ids), name)
	return len(ids), nil
}
