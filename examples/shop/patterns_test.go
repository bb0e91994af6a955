package main

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/kit/kittest"
	"github.com/postroom/postroom/examples/shop/world"
)

const patterns = "../../docs/patterns/"

// A reader can type every curl of the pages of patterns as it stands, and gets the answer that is written beside it.
func TestTheCommandsOfThePatternPagesGiveTheirAnswers(t *testing.T) {
	for _, program := range []string{"bash", "curl", "cut"} {
		if _, err := exec.LookPath(program); err != nil && os.Getenv("CI") != "true" {
			t.Skip(err)
		}
	}
	w, err := world.Start(t.Context(), world.Config{Log: kittest.Quiet()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.Close()) })
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	r := &reader{t: t, environment: os.Environ()}
	for _, part := range w.Parts() {
		r.set(strings.ToUpper(part.Name), part.Address)
	}
	r.typeIn("README.md") // makes the customer of the other pages
	pages, err := filepath.Glob(patterns + "*.md")
	require.NoError(t, err)
	for _, page := range pages {
		if name := filepath.Base(page); name != "README.md" {
			t.Run(name, func(t *testing.T) {
				of := &reader{t: t, environment: slices.Clone(r.environment)}
				of.typeIn(name)
			})
		}
	}
}

// reader is somebody with a terminal.
type reader struct {
	t           *testing.T
	environment []string
}

func (r *reader) set(name, value string) { r.environment = append(r.environment, name+"="+value) }

var (
	shellBlock = regexp.MustCompile("(?s)\n```sh\n(.*?)\n```")
	assignment = regexp.MustCompile(`^([A-Z]+)=\$\((.*)\)$`)
)

// typeIn sends the page's requests one after another. Events take a moment: it sends a request again until the answer
// is the one of the page.
func (r *reader) typeIn(page string) {
	r.t.Helper()
	text, err := os.ReadFile(patterns + page)
	require.NoError(r.t, err)
	typed := 0
	for _, block := range shellBlock.FindAllStringSubmatch(string(text), -1) {
		for line := range strings.SplitSeq(strings.ReplaceAll(block[1], "\\\n", ""), "\n") {
			if !strings.Contains(line, "curl ") {
				continue
			}
			typed++
			if m := assignment.FindStringSubmatch(line); m != nil {
				id := r.ask(m[2], func(answer string) bool { return uuid.Validate(answer) == nil })
				r.set(m[1], id)
				continue
			}
			command, want, found := strings.Cut(line, " # ")
			require.True(r.t, found, "%s: write # and what is in the answer: %s", page, line)
			r.ask(command, func(answer string) bool { return strings.Contains(answer, want) })
		}
	}
	require.Positive(r.t, typed)
}

// ask runs a command until its answer is right.
func (r *reader) ask(command string, right func(answer string) bool) string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), kittest.Patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		shell := exec.CommandContext(ctx, "bash", "-c", command)
		shell.Env = r.environment
		out, err := shell.CombinedOutput()
		answer := strings.TrimSpace(string(out))
		if err == nil && right(answer) {
			return answer
		}
		select {
		case <-ctx.Done():
			r.t.Fatalf("%s: %v: %s", command, err, answer)
		case <-tick.C:
		}
	}
}
