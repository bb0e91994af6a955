//go:build unix

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"
)

// trouble makes trouble of each kind at times that the seed decides. There is less of it than for relays,
// because a rebalance takes as long as a session to settle.
func (r *bankRun) trouble(ctx, troubled context.Context) {
	var under sync.WaitGroup
	defer under.Wait()
	for number, kind := range []struct {
		every span
		blow  func(rng *rand.Rand)
	}{
		{span{3000 * ms, 5000 * ms}, func(rng *rand.Rand) { // kill
			if hit, _ := r.fleet.kill(Trouble{Relay: rng.IntN(bankConsumers)}, false); hit {
				r.count(func(b *BankReport) { b.Kills++ })
			}
		}},
		{span{1000 * ms, 3000 * ms}, func(rng *rand.Rand) { // stop
			aim, lasts := Trouble{Relay: rng.IntN(bankConsumers)}, bankSession+span{200 * ms, 2000 * ms}.pick(rng)
			aim.For = lasts
			resume, _ := r.fleet.stop(aim)
			if resume == nil {
				return
			}
			pause(ctx, lasts) // for the full time, even if the trouble is over
			if resume() {
				r.count(func(b *BankReport) { b.Pauses++ })
			}
		}},
		{span{5000 * ms, 9000 * ms}, func(rng *rand.Rand) { // leave
			if r.fleet.leave(rng.IntN(bankConsumers)) {
				r.count(func(b *BankReport) { b.Leaves++ })
			}
		}},
		{span{700 * ms, 2000 * ms}, func(rng *rand.Rand) { // cut
			if hit, err := r.db.cutOne(ctx, CutRelay, rng.Uint64()); hit && err == nil {
				r.count(func(b *BankReport) { b.Cuts++ })
			}
		}},
		{span{20 * time.Second, 30 * time.Second}, func(rng *rand.Rand) { // broker
			if err := r.servers.restartBroker(ctx, rng.IntN(2) == 0); err != nil {
				r.problem("restart the broker: %v", err)
				return
			}
			r.count(func(b *BankReport) { b.Brokers++ })
		}},
	} {
		under.Go(func() {
			rng := rand.New(rand.NewPCG(r.settings.Seed, uint64(number)))
			for pause(troubled, kind.every.pick(rng)); troubled.Err() == nil; pause(troubled, kind.every.pick(rng)) {
				kind.blow(rng)
			}
		})
	}
}

func (r *bankRun) tell(ctx context.Context) {
	for pause(ctx, 5*time.Second); ctx.Err() == nil; pause(ctx, 5*time.Second) {
		said := ""
		for _, mode := range bankModes() {
			if n, err := r.db.count(ctx, mode.table("ledger")); err == nil {
				said += fmt.Sprintf(", %s %d", mode, n)
			}
		}
		r.mu.Lock()
		sent, kills, pauses := r.report.Transfers, r.report.Kills, r.report.Pauses
		r.mu.Unlock()
		r.settings.Say("sent %d%s, kills %d, pauses %d", sent, said, kills, pauses)
	}
}

// leave asks one consumer to end; the fleet starts another.
func (f *fleet) leave(number int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.aim(Trouble{Relay: number}, func(s *slot) bool { return s.started && !s.stopped && !s.killed })
	if s == nil || s.cmd.Process.Signal(syscall.SIGTERM) != nil {
		return false
	}
	f.log.say("trouble", "ask %s to leave", s.name())
	return true
}
