package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/postroom/postroom/internal/dbopen"
)

// patience is how long a script waits for something to happen.
const patience = 30 * time.Second

// commands are those that the scripts have beside testscript's own:
//
//	exits CODE CMD ARG…          runs a command, which must end with that code
//	start NAME CMD ARG…          starts a command; its output goes to NAME.out and NAME.err
//	signal NAME TERM|INT|KILL    sends a signal to it
//	ends NAME CODE               waits for its end, with that code
//	eventually PATTERN CMD ARG…  repeats a command until its output matches
//	sql URL STATEMENT            runs a statement
//	kafka start|stop             an in-process Kafka; sets BROKERS
//	consume BROKERS TOPIC COUNT  prints that many records: key, value, headers; sorted
//	queue URL NAME               an exchange and a queue in RabbitMQ, both of that name
//	receive URL NAME COUNT       prints what the queue holds, like consume
func commands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"exits":      exits,
		"start":      start,
		"signal":     sendSignal,
		"ends":       ends,
		"eventually": eventually,
		"sql":        runSQL,
		"kafka":      fakeKafka,
		"consume":    consume,
		"queue":      queue,
		"receive":    receive,
		"obey":       obey,
	}
}

var proposed = regexp.MustCompile("`(relay [^`]+)`")

// obey runs the commands that the last command's errors propose, word for word.
func obey(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, append(args, ""), 1, "obey")
	found := proposed.FindAllStringSubmatch(ts.ReadFile("stderr"), -1)
	if len(found) == 0 {
		ts.Fatalf("no command in backquotes")
	}
	for _, command := range found {
		ts.Logf("obey %s", command[1])
		ts.Check(ts.Exec("sh", "-c", command[1]))
	}
}

func want(ts *testscript.TestScript, neg bool, args []string, least int, usage string) {
	if neg || len(args) < least {
		ts.Fatalf("usage: %s", usage)
	}
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "exits CODE CMD ARG…")
	code, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := codeOf(ts.Exec(args[1], args[2:]...)); got != code {
		ts.Fatalf("exit code %d, want %d", got, code)
	}
}

func codeOf(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}

type daemonsKey struct{}

// daemon is a command that runs beside the script.
type daemon struct {
	cmd  *exec.Cmd
	done chan struct{} // closed at its end
	err  error         // valid then
	stop func()        // of the in-process Kafka instead
}

func start(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "start NAME CMD ARG…")
	name := args[0]
	path, err := lookPath(ts, args[1])
	ts.Check(err)
	cmd := exec.Command(path, args[2:]...)
	cmd.Dir, cmd.Env = ts.MkAbs("."), scriptEnv(ts)
	out, err := os.Create(ts.MkAbs(name + ".out"))
	ts.Check(err)
	errOut, err := os.Create(ts.MkAbs(name + ".err"))
	ts.Check(err)
	cmd.Stdout, cmd.Stderr = out, errOut
	ts.Check(cmd.Start())
	d := &daemon{cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(d.done)
		d.err = cmd.Wait()
		_, _ = out.Close(), errOut.Close()
	}()
	ts.Value(daemonsKey{}).(map[string]*daemon)[name] = d
	ts.Defer(func() {
		_ = d.cmd.Process.Kill() // fails when it has ended, as it should have
		<-d.done
	})
}

// lookPath finds a command on the script's PATH.
func lookPath(ts *testscript.TestScript, name string) (string, error) {
	for dir := range strings.SplitSeq(ts.Getenv("PATH"), string(os.PathListSeparator)) {
		path := dir + string(os.PathSeparator) + name
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return path, nil
		}
	}
	return "", fmt.Errorf("no command %s", name)
}

// scriptEnv is the part of the script's environment that the command reads.
func scriptEnv(ts *testscript.TestScript) []string {
	env := []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("HOME"), "TMPDIR=" + ts.Getenv("TMPDIR")}
	for _, name := range []string{
		"POSTROOM_DATABASE_URL", "POSTROOM_KAFKA_BROKERS", "POSTROOM_AMQP_URL", "POSTROOM_LOG_FORMAT",
	} {
		env = append(env, name+"="+ts.Getenv(name))
	}
	return env
}

func get(ts *testscript.TestScript, name string) *daemon {
	d, ok := ts.Value(daemonsKey{}).(map[string]*daemon)[name]
	if !ok {
		ts.Fatalf("nothing was started as %s", name)
	}
	return d
}

func sendSignal(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "signal NAME TERM|INT|KILL")
	s, ok := map[string]os.Signal{"TERM": syscall.SIGTERM, "INT": os.Interrupt, "KILL": os.Kill}[args[1]]
	if !ok {
		ts.Fatalf("unknown signal %s", args[1])
	}
	ts.Check(get(ts, args[0]).cmd.Process.Signal(s))
}

func ends(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "ends NAME CODE")
	code, err := strconv.Atoi(args[1])
	ts.Check(err)
	d := get(ts, args[0])
	select {
	case <-d.done:
	case <-time.After(patience):
		ts.Fatalf("%s has not ended after %v; its log: %s", args[0], patience, ts.ReadFile(args[0]+".err"))
	}
	if got := codeOf(d.err); got != code {
		ts.Fatalf("%s ended with %d, want %d; its log: %s", args[0], got, code, ts.ReadFile(args[0]+".err"))
	}
}

func eventually(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "eventually PATTERN CMD ARG…")
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	path, err := lookPath(ts, args[1])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		cmd := exec.CommandContext(ctx, path, args[2:]...)
		cmd.Dir, cmd.Env = ts.MkAbs("."), scriptEnv(ts)
		output, _ := cmd.CombinedOutput() // its exit code does not matter
		if pattern.Match(output) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			ts.Fatalf("no output of %q matched %s within %v; the last: %s", args[1:], args[0], patience, output)
		}
	}
}

func runSQL(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "sql URL STATEMENT")
	url := args[0]
	if file, ok := strings.CutPrefix(url, "sqlite:"); ok && !strings.HasPrefix(file, "//") {
		url = "sqlite://" + ts.MkAbs(file)
	}
	target, err := dbopen.Open(context.Background(), url)
	ts.Check(err)
	defer func() { _ = target.DB.Close() }()
	_, err = target.DB.ExecContext(context.Background(), args[1])
	ts.Check(err)
}

// brokerName is not a name that a script can give to a daemon of its own.
const brokerName = "the in-process Kafka"

func fakeKafka(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 1, "kafka start|stop")
	if args[0] == "stop" {
		get(ts, brokerName).stop()
		return
	}
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "orders"))
	ts.Check(err)
	ts.Defer(c.Close)
	ts.Setenv("BROKERS", strings.Join(c.ListenAddrs(), ","))
	ts.Value(daemonsKey{}).(map[string]*daemon)[brokerName] = &daemon{stop: c.Close}
}

func consume(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 3, "consume BROKERS TOPIC COUNT")
	count, err := strconv.Atoi(args[2])
	ts.Check(err)
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(args[0], ",")...),
		kgo.ConsumeTopics(args[1]),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	ts.Check(err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var lines []string
	for len(lines) < count {
		fetches := client.PollFetches(ctx)
		ts.Check(fetches.Err0())
		fetches.EachRecord(func(r *kgo.Record) { lines = append(lines, describe(r)) })
	}
	slices.Sort(lines)
	_, err = fmt.Fprintln(ts.Stdout(), strings.Join(lines, "\n"))
	ts.Check(err)
}

func describe(r *kgo.Record) string {
	line := fmt.Sprintf("key=%s value=%s", r.Key, r.Value)
	for _, h := range r.Headers {
		line += fmt.Sprintf(" %s=%s", h.Key, h.Value)
	}
	return line
}
