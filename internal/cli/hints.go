package cli

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/internal/dbopen"
	"github.com/postroom/postroom/internal/ops"
)

// relayFlags repeats the flags that the command was called with, for the commands that
// messages propose: those that name a database, and all that `relay run` takes, one an
// element. A URL with a password is left for the reader to fill in.
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

// nameSources gives each source the flags by which a command finds it again.
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
