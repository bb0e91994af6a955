package cli

import (
	"io"
	"os"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/postroom/postroom/internal/demo"
)

func newDemo(env *Env) *cobra.Command {
	o := demo.Options{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "show the whole path at work; needs no server",
		Long: `demo runs a shop, the relay and a billing service in one process, on SQLite and an
in-process Kafka: orders are written (some rolled back), delivered, some of them twice, and
billed once each. In the end it checks that orders, deliveries and invoices agree, and ends
with exit code 1 if they do not.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			o.Out, o.JSON = env.Stdout, wantsJSON(cmd)
			o.Interactive = !o.JSON && isTerminal(env.Stdout)
			return demo.Run(ctx, o)
		},
	}
	f := cmd.Flags()
	f.DurationVar(&o.Duration, "duration", demo.DefaultDuration, "how long the shop writes")
	f.IntVar(&o.Orders, "orders", 0, "end earlier, after so many orders (default: no limit)")
	f.IntVar(&o.Rate, "rate", demo.DefaultRate, "orders a second")
	f.StringVar(&o.Dir, "dir", "", "`folder` to keep the databases in (default: a temporary one, removed in the end)")
	addJSON(cmd)
	return cmd
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd()) && os.Getenv("TERM") != "dumb"
}
