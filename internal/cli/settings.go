package cli

import (
	"errors"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/postroom/postroom/internal/config"
)

// load reads the configuration, checks it for the command, and makes its logger. All
// mistakes are told at once.
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
