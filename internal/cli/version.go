package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// buildInfo is what the Go toolchain recorded in the binary. It is what `version --json` prints.
type buildInfo struct {
	Version  string `json:"version"`  // of the module; (devel) when built from a working tree
	Revision string `json:"revision"` // the commit; empty when unknown
	Modified bool   `json:"modified"` // built from files that were not committed
	Time     string `json:"time"`     // of the commit, RFC 3339
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func readBuild() buildInfo {
	b := buildInfo{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		case "vcs.time":
			b.Time = s.Value
		}
	}
	return b
}

func newVersion(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "print the version of this build",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return printVersion(env, cmd) },
	}
	addJSON(cmd)
	return cmd
}

func printVersion(env *Env, cmd *cobra.Command) error {
	b := readBuild()
	if wantsJSON(cmd) {
		return printJSON(env.Stdout, b)
	}
	revision := dash(b.Revision)
	if b.Modified {
		revision += " (modified)"
	}
	_, err := fmt.Fprintf(env.Stdout, "postroom relay %s\nrevision %s\nbuilt with %s for %s\n",
		b.Version, revision, b.Go, b.Platform)
	return err
}

// addVersionFlag makes `relay --version` print what `relay version` prints. Many people try the flag first.
func addVersionFlag(env *Env, root *cobra.Command) {
	wanted := root.Flags().Bool("version", false, "print the version of this build")
	others := root.RunE
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if *wanted && len(args) == 0 {
			return printVersion(env, cmd)
		}
		return others(cmd, args)
	}
}
