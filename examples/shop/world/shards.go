package world

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/postroom/postroom/examples/shop/orders/shards"
	"github.com/postroom/postroom/examples/shop/provision"
	"github.com/postroom/postroom/examples/shop/relays"
)

// AddShard adds a fifth database to orders while customers order, and moves those customers there that it has won. It
// does what an operator does: makes the database, starts relays and orders with five databases and SHOP_OLD_SHARDS=4,
// asks orders to move customers until nobody has stayed, and starts orders without SHOP_OLD_SHARDS.
//
// It goes on until ctx ends: a customer stays, for example, while a stopped service keeps an order from its end. If it
// fails, call it again.
func (w *World) AddShard(ctx context.Context) error {
	w.adding.Lock()
	defer w.adding.Unlock()
	databases, sources := w.databases(), w.sources()
	if databases[provision.AddedShard] == "" {
		url, err := w.makeDatabase(ctx, provision.AddedShard)
		if err != nil {
			return err
		}
		databases = maps.Clone(databases)
		databases[provision.AddedShard] = url
		sources = append(sources, relays.Source{Name: provision.AddedShard, URL: url, Mails: true})
	}
	// The relays come first: they find the new shard's events from the first one on.
	for _, name := range []string{"relays", "orders"} {
		err := w.part(name).restart(ctx, func(s *Settings) { s.Sources, s.OldShards = sources, provision.Shards })
		if err != nil {
			return fmt.Errorf("start %s with another shard: %w", name, err)
		}
	}
	w.oldShards.Store(provision.Shards)
	w.setDatabases(databases) // audits may look there: orders has made its tables
	if err := w.moveCustomers(ctx); err != nil {
		return err
	}
	w.oldShards.Store(0)
	return w.part("orders").restart(ctx, func(s *Settings) { s.OldShards = 0 })
}

// databases returns the URLs of the databases. The map is never changed, but replaced: others read it meanwhile.
func (w *World) databases() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Databases
}

func (w *World) setDatabases(all map[string]string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Databases = all
}

// restart stops a part if it runs, changes its settings, and starts it.
func (p *part) restart(ctx context.Context, change func(*Settings)) error {
	for !p.changed(change) {
		p.stop()
	}
	return p.start(ctx)
}

// changed changes the settings, unless the part runs.
func (p *part) changed(change func(*Settings)) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running != nil {
		return false
	}
	change(&p.settings)
	return true
}

// askEvery is how often orders is asked to move customers.
const askEvery = time.Second

// moveCustomers asks orders to move customers until nobody has stayed, or ctx ends. Orders may be down meanwhile.
func (w *World) moveCustomers(ctx context.Context) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		moves, err := askForMoves(ctx, client, w.Address("orders"))
		if err == nil && len(moves.Stayed) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%w: some customers have not moved: %+v", ctx.Err(), moves.Stayed), err)
		case <-time.After(askEvery):
		}
	}
}

func askForMoves(ctx context.Context, client *http.Client, orders string) (moves shards.Moves, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, orders+"/shards/moves", http.NoBody)
	if err != nil {
		return moves, err
	}
	response, err := client.Do(request)
	if err != nil {
		return moves, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return moves, fmt.Errorf("orders answers %s", response.Status)
	}
	return moves, json.NewDecoder(response.Body).Decode(&moves)
}
