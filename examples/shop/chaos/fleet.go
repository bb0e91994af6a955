//go:build unix

package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// fleet is the processes of the shop. If one ends, another is started in its place.
type fleet struct {
	binary, dir string // dir: for their logs
	log         *journal

	mu       sync.Mutex
	slots    []*slot
	stopping bool
	over     chan struct{}
	running  sync.WaitGroup
	failures []string // processes that ended by themselves
	alarms   []string // lines that no process should print
}

// slot is the place of one process. Processes follow one another in it.
type slot struct {
	name    string // such as orders-2
	service string // such as orders
	env     []string

	// These need the fleet's lock.
	cmd     *exec.Cmd     // nil: between two processes
	stopped bool          // by SIGSTOP
	killed  bool          // by us
	worked  time.Duration // of processors, by all its processes
}

func newFleet(binary, dir string, log *journal) *fleet {
	return &fleet{binary: binary, dir: dir, log: log, over: make(chan struct{})}
}

// add starts a process of a service, and keeps it running.
func (f *fleet) add(name, service string, env []string) {
	s := &slot{name: name, service: service, env: env}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slots = append(f.slots, s)
	f.running.Go(func() { f.keep(s) })
}

// restartAfter is the pause before a process that ended by itself is started again, as with a service manager. One that
// was killed is started again at once.
const restartAfter = 300 * time.Millisecond

func (f *fleet) keep(s *slot) {
	for {
		cmd, err := f.start(s)
		if cmd == nil && err == nil {
			return
		}
		last := ""
		if err == nil {
			last, err = f.wait(s, cmd)
		}
		if err == nil {
			continue // it was killed
		}
		f.log.say("%s ended by itself: %v: %s", s.name, err, last)
		select {
		case <-time.After(restartAfter):
		case <-f.over:
		}
	}
}

// start starts the next process of a slot. It returns nil if the fleet is stopping.
func (f *fleet) start(s *slot) (*exec.Cmd, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopping {
		return nil, nil
	}
	cmd := exec.Command(f.binary, s.service)
	cmd.Env = s.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is for the parent, which ends them in order
	log, err := os.OpenFile(filepath.Join(f.dir, s.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return cmd, err
	}
	defer func() { _ = log.Close() }() // the process has its own copy
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return cmd, err
	}
	_, _ = fmt.Fprintf(log, "--- %s process %d\n", time.Now().Format(timeLayout), cmd.Process.Pid)
	s.cmd, s.stopped, s.killed = cmd, false, false
	return cmd, nil
}

// wait waits for the end of a process. The error is nil if we killed it; otherwise there is its last line as well.
func (f *fleet) wait(s *slot, cmd *exec.Cmd) (last string, err error) {
	err = cmd.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	s.cmd = nil
	s.worked += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if s.killed || f.stopping {
		return "", nil
	}
	if err == nil {
		err = fmt.Errorf("exit code 0")
	}
	f.failures = append(f.failures, s.name)
	return lastLine(filepath.Join(f.dir, s.name+".log")), err
}

// kill kills the process in a slot. False: there is none at the moment.
func (f *fleet) kill(number int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.slots[number%len(f.slots)]
	if s.cmd == nil || s.killed || s.cmd.Process.Kill() != nil {
		return false
	}
	s.killed = true
	f.log.say("kill %s", s.name)
	return true
}

// stop stops the process in a slot for a while, with SIGSTOP, and returns what lets it go on. Nil: there is none.
func (f *fleet) stop(number int, while time.Duration) (goOn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.slots[number%len(f.slots)]
	if s.cmd == nil || s.killed || s.stopped || s.cmd.Process.Signal(syscall.SIGSTOP) != nil {
		return nil
	}
	s.stopped = true
	process := s.cmd
	f.log.say("stop %s for %v", s.name, while.Round(time.Millisecond))
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if s.cmd == process {
			s.stopped = false
			_ = process.Process.Signal(syscall.SIGCONT) // it may have been killed meanwhile
			f.log.say("continue %s", s.name)
		}
	}
}

// end ends all processes, in order if there is time.
func (f *fleet) end() {
	f.mu.Lock()
	f.stopping = true
	close(f.over)
	for _, s := range f.slots {
		if s.cmd != nil {
			_ = s.cmd.Process.Signal(syscall.SIGCONT)
			_ = s.cmd.Process.Signal(syscall.SIGTERM)
		}
	}
	f.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.running.Wait()
	}()
	select {
	case <-ended:
		return
	case <-time.After(20 * time.Second):
	}
	f.mu.Lock()
	for _, s := range f.slots {
		if s.cmd != nil {
			f.alarms = append(f.alarms, s.name+" did not end within 20 s after SIGTERM")
			_ = s.cmd.Process.Kill()
		}
	}
	f.mu.Unlock()
	<-ended
}

// worked tells how much processor time each service has used, in seconds.
func (f *fleet) worked() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	seconds := map[string]int{}
	for _, s := range f.slots {
		seconds[s.name] += int(s.worked.Seconds())
	}
	return seconds
}

// alarmed returns what no process should have printed.
func (f *fleet) alarmed() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	found := f.alarms
	for _, s := range f.slots {
		file, err := os.Open(filepath.Join(f.dir, s.name+".log"))
		if err != nil {
			continue // it was never started
		}
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			for _, bad := range []string{"panic:", "fatal error:", "DATA RACE", "msg=halted"} {
				if strings.Contains(lines.Text(), bad) {
					found = append(found, s.name+": "+lines.Text())
				}
			}
		}
		_ = file.Close() // it was only read
	}
	return found
}

func lastLine(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return lines[len(lines)-1]
}
