package cli

import (
	"errors"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/ops"
)

// load reads the configuration, checks it for the command, and makes the logger. It reports all mistakes at once.
// check is a check of the configuration, such as CheckSources, and must not be nil. It also gets a configuration that
// could be read only in part.
func load(env *Env, cmd *cobra.Command, check func(*config.Config) error) (*config.Config, *slog.Logger, error) {
	c, err := config.Load(cmd.Flags(), env.Environ)
	if err := errors.Join(err, check(c)); err != nil {
		return nil, nil, usageError{err}
	}
	nameSources(c, cmd)
	log := newLogger(env.Stderr, c.Log)
	for _, w := range c.Warnings {
		log.Warn(w)
	}
	return c, log, nil
}

func newLogger(w io.Writer, c config.Log) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

const jsonFlag = "json"

func addJSON(cmd *cobra.Command) {
	cmd.Flags().Bool(jsonFlag, false, "print JSON")
}

func wantsJSON(cmd *cobra.Command) bool {
	v, err := cmd.Flags().GetBool(jsonFlag)
	return err == nil && v
}

// relayFlags returns the flags that the command was called with, so that messages can suggest complete commands.
// database has the flags that name a database; running has all flags that `relay run` takes, one per element.
// A URL with a password becomes the word URL, for the reader to fill in.
func relayFlags(cmd *cobra.Command) (database string, running []string) {
	others := pflag.NewFlagSet("", pflag.ContinueOnError)
	config.AddFlags(others, config.General, config.Database)
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	config.AddFlags(all, config.General, config.Database, config.Broker, config.Running)
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if strings.HasPrefix(f.Name, "log-") {
			return
		}
		text := " --" + f.Name + " " + ops.ShellWord(f.Value.String())
		switch {
		case strings.HasSuffix(f.Name, "-url") && !dbopen.Printable(f.Value.String()):
			text = " --" + f.Name + " URL"
		case f.Value.Type() == "bool":
			text = " --" + f.Name + "=" + f.Value.String()
		}
		if others.Lookup(f.Name) != nil {
			database += text
		}
		if all.Lookup(f.Name) != nil {
			running = append(running, text)
		}
	})
	return database, running
}

// nameSources gives each source the flags with which a command finds it again.
func nameSources(c *config.Config, cmd *cobra.Command) {
	database, _ := relayFlags(cmd)
	for i := range c.Sources {
		s := &c.Sources[i]
		s.CommandFlags = database
		if len(c.Sources) > 1 {
			s.CommandFlags += " --source " + ops.ShellWord(s.Name)
		}
	}
}
