package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/postroom/postroom/internal/config"
	"github.com/postroom/postroom/internal/db"
	"github.com/postroom/postroom/internal/dbopen"
	relaystore "github.com/postroom/postroom/internal/store/relay"
	"github.com/postroom/postroom/internal/store/source"
)

func newSource(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "source",
		Short: "show which relays serve the sources, and change names and identities of sources",
	}
	cmd.AddCommand(newSourceList(env), newSourceRename(env), newSourceIdentity(env))
	group(cmd)
	return cmd
}

func newSourceList(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "list the sources with their identities and the relay processes that serve them",
		Long: `list shows each source's name and identity as its tables have them, the owner of its lease, and the
relay processes that serve it. A process that serves a source owns it or waits for it. The number
behind a process says how many sources it owns.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			c, _, err := load(env, cmd, (*config.Config).CheckSources)
			if err != nil {
				return err
			}
			return listSources(ctx, env, cmd, c.Sources)
		},
	}
	config.AddFlags(cmd.Flags(), config.General, config.Database)
	addJSON(cmd)
	return cmd
}

// listedSource is an element of `source list --json`.
type listedSource struct {
	Source    string        `json:"source"` // empty until a relay has run with a name
	SourceID  string        `json:"source_id"`
	Database  string        `json:"database"`
	Table     string        `json:"table"`
	Owner     string        `json:"owner"`
	LeaseLeft float64       `json:"lease_seconds_left"` // negative after it has expired
	Mode      string        `json:"mode"`
	Relays    []listedRelay `json:"relays"`

	ttl time.Duration
}

type listedRelay struct {
	RelayID string  `json:"relay_id"`
	Host    string  `json:"host"`
	Owned   int     `json:"owned"` // number of sources, in all databases
	Seen    float64 `json:"seen_seconds_ago"`
}

func listSources(ctx context.Context, env *Env, cmd *cobra.Command, sources []config.Source) error {
	listed := []listedSource{}
	failed := eachSource(ctx, sources, func(d *database) error {
		tables, err := d.tables()
		if err != nil {
			return err
		}
		s, err := tables.Describe(ctx)
		if err != nil {
			return tableError(ctx, d, err)
		}
		l := listedSource{
			Source: s.Name, SourceID: s.SourceID, Database: d.Redacted, Table: d.names().Plain(db.Events),
			Owner: s.Owner, LeaseLeft: s.LeaseLeft.Seconds(), Mode: s.Mode, Relays: []listedRelay{}, ttl: s.LeaseTTL,
		}
		for _, m := range s.Relays {
			l.Relays = append(l.Relays, listedRelay{m.ID.String(), m.Host, m.Owned, m.Age.Seconds()})
		}
		listed = append(listed, l)
		return nil
	}, dbopen.WithExisting())
	return errors.Join(printSources(env, cmd, listed), failed)
}

func printSources(env *Env, cmd *cobra.Command, listed []listedSource) error {
	if wantsJSON(cmd) {
		return printJSON(env.Stdout, listed)
	}
	if len(listed) == 0 {
		return nil
	}
	rows := [][]string{}
	for _, l := range listed {
		owner := "-"
		if l.Owner != "" && l.LeaseLeft > 0 {
			owner = l.Owner
		}
		var relays []string
		for _, r := range l.Relays {
			if age := seconds(r.Seen); max(age, -age) <= relaystore.AliveFor(l.ttl) {
				relays = append(relays, fmt.Sprintf("%s (owns %d)", r.Host, r.Owned))
			}
		}
		rows = append(rows, []string{dash(l.Source), l.SourceID, owner, dash(l.Mode), dash(strings.Join(relays, ", ")),
			l.Table, l.Database})
	}
	return printTable(env.Stdout, []string{"SOURCE", "SOURCE ID", "OWNER", "MODE", "RELAYS", "TABLE", "DATABASE"}, rows)
}

func newSourceRename(env *Env) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "rename --to NAME",
		Short: "change the name of a source",
		Long: `rename changes the name that a source's tables keep. Stop the source's relays first, and start them
with the new name: a relay with another --source does not start.

Nothing else depends on the name. The order of events stays, and so does exactly-once delivery.`,
		Example: `  relay source rename --source shop --to orders`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var wrong error
			if err := source.CheckName(to); err != nil {
				wrong = fmt.Errorf("--to: %w", err)
			}
			return changeSource(env, cmd, wrong, func(ctx context.Context, d *database, s *source.Store) error {
				if err := s.Rename(ctx, d.source.Name, to); err != nil {
					return err
				}
				_, err := fmt.Fprintf(env.Stdout, "source %q is now called %q: start its relays with that name "+
					"(--source, or name in the file)\n", d.source.Name, to)
				return err
			})
		},
	}
	config.AddFlags(cmd.Flags(), config.General, config.Database)
	cmd.Flags().StringVar(&to, "to", "", "the new `name`; required")
	return cmd
}

func newSourceIdentity(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "new-identity",
		Short: "give the source of a copied database a new identity",
		Long: `new-identity gives a source another source_id. A copy of a database, for example a restore for
staging, has the source_id of the original. In exactly-once mode the relays of both would use the
same Kafka transactions, and each would stop the other. Run new-identity on the copy before its
relay starts. Stop the source's relays first.

Never run it on the original. The new identity has an empty manifest. If the source was relayed in
exactly-once mode, the relay delivers again what was delivered and not deleted yet when the copy was
made. On the original these events would be duplicates.`,
		Example: `  relay source new-identity --database-url postgres://owner@staging/shop --source shop`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return changeSource(env, cmd, nil, func(ctx context.Context, d *database, s *source.Store) error {
				before, after, err := s.NewIdentity(ctx, d.source.Name)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(env.Stdout, "source %q has a new identity: %s, before %s\n", d.source.Name, after,
					before)
				return err
			})
		},
	}
	config.AddFlags(cmd.Flags(), config.General, config.Database)
	return cmd
}

// changeSource runs change on the one source that the flags name. wrong is a mistake in the flags, or nil.
func changeSource(env *Env, cmd *cobra.Command, wrong error,
	change func(context.Context, *database, *source.Store) error) error {
	ctx, stop := untilSignal(cmd.Context())
	defer stop()
	c, _, err := load(env, cmd, func(c *config.Config) error { return errors.Join(wrong, c.CheckSources()) })
	if err != nil {
		return err
	}
	return onSource(ctx, c, func(d *database) error {
		s, err := d.tables()
		if err == nil {
			err = change(ctx, d, s)
		}
		switch {
		case errors.Is(err, source.ErrName):
			return fmt.Errorf("%w: relay source list shows the name; pass it with --source", err)
		case errors.Is(err, source.ErrNoName):
			return fmt.Errorf("%w: the first relay that runs gives the name: relay run --source NAME", err)
		case db.IsDenied(err):
			return fmt.Errorf("%s: permission denied: this user needs SELECT and UPDATE on %s: %w",
				d.Redacted, d.names().Plain(db.Leases), err)
		case err != nil:
			return tableError(ctx, d, err)
		}
		return nil
	})
}
