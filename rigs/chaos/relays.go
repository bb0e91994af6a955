//go:build unix

package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// fleet keeps relay processes running: if one ends, another is started. It is safe for many goroutines.
type fleet struct {
	binary string
	args   func(number int) []string
	env    []string
	log    *timeline
	noun   string                     // what the log calls the processes
	heard  func(process, line string) // called with each line that they print

	mu       sync.Mutex
	slots    []*slot
	owner    int // number of the slot that claimed the lease last; -1: that process has ended
	claims   int // number of claims of the lease, by all
	stopping bool
	ended    []string // processes that ended by themselves, with their last line
	panics   []string // lines that no relay should print
	running  sync.WaitGroup
	over     chan struct{} // closed when the fleet is told to stop
}

// slot is the place of one relay. Processes follow one another in it.
type slot struct {
	number int
	noun   string

	// These need the fleet's lock.
	incarnation int
	cmd         *exec.Cmd // nil: between two processes
	started     bool      // it has logged that it is up
	stopped     bool      // by SIGSTOP
	killed      bool      // by us
	handed      bool      // it hands over, because it cannot reach Kafka
	code        int       // exit code of the last process
}

func (s *slot) name() string { return fmt.Sprintf("%s-%d.%d", s.noun, s.number, s.incarnation) }

// startFleet starts n processes, relays or what noun says, and calls heard with each line that they print.
func startFleet(
	n int, noun, binary string,
	args func(number int) []string, env []string, log *timeline,
	heard func(process, line string),
) *fleet {
	f := &fleet{
		noun: noun, heard: heard, binary: binary, args: args, env: env, log: log, owner: -1,
		over: make(chan struct{}),
	}
	for number := range n {
		s := &slot{number: number, noun: noun}
		f.slots = append(f.slots, s)
		f.running.Go(func() { f.keep(s) })
	}
	return f
}

// same gives every process the same arguments.
func same(args ...string) func(int) []string { return func(int) []string { return args } }

// restartAfter is the pause before a relay that ended by itself is started again. The pause is twice, three
// times as long and so on when this happens again, as with a service manager. A relay that was killed is
// started again at once.
const restartAfter = 500 * time.Millisecond

// keep runs one process after another until the fleet is told to stop.
func (f *fleet) keep(s *slot) {
	for failures := time.Duration(0); ; {
		again, err := f.once(s)
		if !again {
			return
		}
		if err == nil {
			failures = 0
			continue
		}
		failures = min(failures+1, 6)
		f.log.say(s.name(), "%v", err)
		select {
		case <-time.After(failures * restartAfter):
		case <-f.over:
		}
	}
}

// once runs one process to its end. It returns an error if the process ended by itself.
func (f *fleet) once(s *slot) (again bool, err error) {
	cmd, out, err := f.start(s)
	if err != nil || cmd == nil {
		return cmd != nil, err
	}
	last := f.read(s, out)
	waited := cmd.Wait()

	f.mu.Lock()
	defer f.mu.Unlock()
	s.cmd, s.code = nil, cmd.ProcessState.ExitCode()
	if s.killed {
		s.code = 0 // it did not end by itself
	}
	if f.owner == s.number {
		f.owner = -1
	}
	switch {
	case f.stopping:
		return false, nil
	case s.killed:
		return true, nil
	}
	err = fmt.Errorf("ended by itself: %v: %s", waited, last)
	f.ended = append(f.ended, s.name()+" "+err.Error())
	return true, err
}

// start starts the next process of a slot. It returns nil if the fleet is stopping.
func (f *fleet) start(s *slot) (*exec.Cmd, io.Reader, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopping {
		return nil, nil, nil
	}
	cmd := exec.Command(f.binary, f.args(s.number)...)
	cmd.Env = f.env
	out, err := cmd.StdoutPipe()
	if err != nil {
		return cmd, nil, err
	}
	cmd.Stderr = cmd.Stdout
	s.incarnation++
	s.started, s.stopped, s.killed, s.handed = false, false, false, false
	if err := cmd.Start(); err != nil {
		return cmd, nil, fmt.Errorf("start: %w", err)
	}
	s.cmd = cmd
	f.log.say(s.name(), "process %d", cmd.Process.Pid)
	return cmd, out, nil
}

// read copies a process's output into the log until the process ends, and returns the last line.
func (f *fleet) read(s *slot, out io.Reader) (last string) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		last = lines.Text()
		f.log.say(s.name(), "%s", last)
		f.heard(s.name(), last)
		f.mu.Lock()
		switch {
		case strings.Contains(last, "msg=started"):
			s.started = true
		case strings.Contains(last, `msg="lease claimed"`):
			f.owner = s.number
			f.claims++
			s.handed = false
		case strings.Contains(last, `msg="handing this source over: the sink cannot be reached`):
			s.handed = true
		}
		for _, bad := range []string{"panic:", "fatal error:", "DATA RACE", "msg=halted"} {
			if strings.Contains(last, bad) {
				f.panics = append(f.panics, s.name()+" said: "+last)
			}
		}
		f.mu.Unlock()
	}
	_, _ = io.Copy(io.Discard, out) // after a line that was too long
	return last
}

// aim chooses the relay to hit: the owner, or the relay with the number. If that one cannot be hit, it
// chooses the next. The caller holds the lock.
func (f *fleet) aim(t Trouble, hittable func(*slot) bool) *slot {
	first := t.Relay
	if t.Owner && f.owner >= 0 {
		first = f.owner
	}
	for i := range f.slots {
		if s := f.slots[(first+i)%len(f.slots)]; s.cmd != nil && hittable(s) {
			return s
		}
	}
	return nil
}

// kill kills a relay: one at work, or any. It reports whether there was one, and whether it owned the lease,
// as far as is known.
func (f *fleet) kill(t Trouble, any bool) (hit, owner bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.aim(t, func(s *slot) bool { return !s.killed && (any || s.started && !s.stopped) })
	if s == nil || s.cmd.Process.Kill() != nil {
		return false, false
	}
	s.killed = true
	f.log.say("trouble", "kill %s%s", s.name(), f.note(s))
	return true, f.owner == s.number
}

func (f *fleet) note(s *slot) string {
	if f.owner == s.number {
		return ", the owner"
	}
	return ""
}

// stop pauses a relay with SIGSTOP. The function that it returns resumes the relay, and reports whether the
// process was paused all the time.
func (f *fleet) stop(t Trouble) (resume func() bool, owner bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.aim(t, func(s *slot) bool { return s.started && !s.stopped && !s.killed })
	if s == nil || s.cmd.Process.Signal(syscall.SIGSTOP) != nil {
		return nil, false
	}
	s.stopped = true
	process := s.cmd
	f.log.say("trouble", "stop %s for %v%s", s.name(), t.For.Round(time.Millisecond), f.note(s))
	return func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		if s.cmd != process || s.killed {
			return false
		}
		s.stopped = false
		f.log.say("trouble", "continue %s%s", s.name(), f.note(s))
		return process.Process.Signal(syscall.SIGCONT) == nil
	}, f.owner == s.number
}

// allStarted reports whether every relay is up.
func (f *fleet) allStarted() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.slots {
		if s.cmd == nil || !s.started || s.stopped {
			return false
		}
	}
	return true
}

// terminate asks every relay to drain, and returns what was wrong with their ends.
func (f *fleet) terminate(ctx context.Context) error {
	f.signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.running.Wait()
	}()
	var errs []error
	select {
	case <-done:
	case <-ctx.Done():
		f.mu.Lock()
		for _, s := range f.slots {
			if s.cmd != nil {
				errs = append(
					errs,
					fmt.Errorf(
						"%s did not end after SIGTERM: %s", s.name(),
						strings.Join(f.log.tail(fmt.Sprint(f.noun, "-", s.number)), "\n"),
					),
				)
			}
		}
		f.mu.Unlock()
		f.signal(syscall.SIGKILL)
		<-done
		return errors.Join(errs...)
	}
	for _, s := range f.slots {
		if s.code != 0 {
			errs = append(
				errs,
				fmt.Errorf(
					"%s ended with %d after SIGTERM: %s", s.name(), s.code,
					strings.Join(f.log.tail(fmt.Sprint(f.noun, "-", s.number)), "\n"),
				),
			)
		}
	}
	return errors.Join(errs...)
}

// signal sends a signal to every process, and prevents further starts.
func (f *fleet) signal(signal os.Signal) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.stopping {
		f.stopping = true
		close(f.over)
	}
	for _, s := range f.slots {
		if s.cmd != nil {
			f.log.say("trouble", "%v to %s", signal, s.name())
			_ = s.cmd.Process.Signal(signal) // the process may have ended
		}
	}
}

// kill9 kills all processes at once, for a run that is aborted.
func (f *fleet) kill9() {
	f.signal(syscall.SIGKILL)
	f.running.Wait()
}
