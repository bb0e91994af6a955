package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// programs are the built contenders.
type programs struct {
	folder  string // holds what was built; removed at the end
	relay   string
	ceiling string
}

// build builds the relay, unless one is given, and the ceiling: without the race
// detector, as users do. The working directory must be this module's.
func build(ctx context.Context, relay string) (*programs, error) {
	folder, err := os.MkdirTemp("", "postroom-bench-")
	if err != nil {
		return nil, err
	}
	p := &programs{folder: folder, relay: relay, ceiling: filepath.Join(folder, "ceiling")}
	err = goBuild(ctx, ".", p.ceiling, "./ceiling")
	if err == nil && relay == "" {
		p.relay = filepath.Join(folder, "relay")
		err = goBuild(ctx, "..", p.relay, "./cmd/relay")
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	return p, nil
}

func goBuild(ctx context.Context, folder, output, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", output, pkg)
	cmd.Dir = folder
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s in %s (bench runs in its own folder): %w\n%s", pkg, folder, err, said)
	}
	return nil
}

// child is a running contender.
type child struct {
	name    string
	started time.Time
	cmd     *exec.Cmd
	said    *tail
	exited  chan struct{}
	err     error // how it ended; read it after exited
}

// usage is what a contender used, from its start to its end.
type usage struct {
	cpu  time.Duration // user and system
	peak int64         // resident memory, bytes
}

func startChild(name, program string, args []string, env map[string]string) (*child, error) {
	c := &child{name: name, cmd: exec.Command(program, args...), said: &tail{}, exited: make(chan struct{})}
	// Nothing of the caller's environment may change the relay's settings.
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "POSTROOM_") {
			c.cmd.Env = append(c.cmd.Env, variable)
		}
	}
	for variable, value := range env {
		c.cmd.Env = append(c.cmd.Env, variable+"="+value)
	}
	c.cmd.Stdout, c.cmd.Stderr = c.said, c.said
	c.started = time.Now()
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		defer close(c.exited)
		c.err = c.cmd.Wait()
	}()
	return c, nil
}

// gone is the error for a contender that ended before it was told to.
func (c *child) gone() error {
	return fmt.Errorf("%s ended too early: %v\n%s", c.name, c.err, c.said)
}

// stopTimeout is longer than the relay takes to drain.
const stopTimeout = 20 * time.Second

// stop ends the process by SIGTERM and says what it used. One that does not end is
// killed, and so is an error.
func (c *child) stop() (usage, error) {
	peak, err := peakMemory(c.cmd.Process.Pid)
	if signalErr := c.cmd.Process.Signal(syscall.SIGTERM); errors.Is(signalErr, os.ErrProcessDone) {
		<-c.exited
		return usage{}, c.gone()
	}
	select {
	case <-c.exited:
	case <-time.After(stopTimeout):
		_ = c.cmd.Process.Kill() // it may have ended just now
		<-c.exited
		return usage{}, fmt.Errorf("%s did not end within %v of SIGTERM\n%s", c.name, stopTimeout, c.said)
	}
	if c.err != nil {
		return usage{}, fmt.Errorf("%s after SIGTERM: %w\n%s", c.name, c.err, c.said)
	}
	state := c.cmd.ProcessState
	return usage{cpu: state.UserTime() + state.SystemTime(), peak: peak}, err
}

// peakMemory reads a process's highest resident memory. rusage has it too, but there it
// starts with the memory of the process that forked.
func peakMemory(pid int) (int64, error) {
	file := fmt.Sprintf("/proc/%d/status", pid)
	status, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("peak memory needs Linux: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("%s has no VmHWM", file)
}

// tail keeps the end of what a process says.
type tail struct {
	mu   sync.Mutex
	kept bytes.Buffer
}

const tailBytes = 8 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept.Write(p)
	if t.kept.Len() > 2*tailBytes {
		t.kept.Next(t.kept.Len() - tailBytes)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.kept.String()
}
