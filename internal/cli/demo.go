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
		Short: "run a small shop from event to invoice, without any server",
		Long: `demo runs a shop, the relay and a billing service in one process, on SQLite and an
in-process Kafka. The shop writes orders and rolls some of them back. The relay delivers the
orders, some of them twice. The billing service writes one invoice for each order.

At the end demo compares orders, deliveries and invoices. If they do not agree, the exit code
is 1.`,
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
	f.DurationVar(&o.Duration, "duration", demo.DefaultDuration, "how long the shop writes orders")
	f.IntVar(&o.Orders, "orders", 0, "stop earlier, after this number of orders (default: no limit)")
	f.IntVar(&o.Rate, "rate", demo.DefaultRate, "orders per second")
	f.StringVar(&o.Dir, "dir", "", "`folder` for the databases (default: a temporary folder, removed at the end)")
	addJSON(cmd)
	return cmd
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd()) && os.Getenv("TERM") != "dumb"
}
