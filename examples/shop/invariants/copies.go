package invariants

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/postroom/postroom/examples/shop/gateway/view"
	"github.com/postroom/postroom/examples/shop/orders/shards"
)

// What is live in the databases that have several generations of a read model.
const (
	liveGeneration = "SELECT generation FROM view_generations WHERE state = 'live'"
	liveList       = "SELECT view FROM order_view_live WHERE id = 1"
)

// listShard is where the list of all orders is.
func (a *Auditor) listShard() string { return a.shardNames()[0] }

// person is a customer as a copy has it. Erased: the copy has nothing but the version.
type person struct {
	name, email string
	version     int64
	erased      bool
}

// replica compares every copy of the customers with the original.
func (a *Auditor) replica(ctx context.Context, _ *books) (Row, error) {
	row := Row{Name: "replica", Reason: "Every shard of orders and the gateway have a copy of the customers that " +
		"equals the original. Who is erased is in no copy."}
	originals, wrong, err := a.wrongCopies(ctx)
	if err != nil {
		return row, err
	}
	var where []string
	for id, databases := range wrong {
		for _, database := range databases {
			if _, found := originals[id]; !found {
				database += ", who is no customer"
			}
			where = append(where, id+" in "+database)
		}
	}
	row.Holds = len(where) == 0
	row.Figures = fmt.Sprintf("%d customers in %d copies, %d rows are wrong%s",
		len(originals), len(a.shardNames())+1, len(where), examples(where))
	return row, nil
}

// wrongCopies returns the customers, and the databases in which the copy of one is wrong.
func (a *Auditor) wrongCopies(ctx context.Context) (map[string]person, map[string][]string, error) {
	originals, err := a.people(ctx, "customers",
		"SELECT id, name, email, version, CASE WHEN erased_at IS NULL THEN 0 ELSE 1 END FROM customers")
	if err != nil {
		return nil, nil, err
	}
	copies := map[string]string{
		"gateway": "SELECT customer, name, email, version, erased FROM customer_view WHERE generation = (" +
			liveGeneration + ")",
	}
	for _, shard := range a.shardNames() {
		// The version of a row is in the table of the library, and stays there when the row is deleted.
		copies[shard] = `SELECT g.row_key, COALESCE(c.name, ''), COALESCE(c.email, ''), g.version,
			CASE WHEN c.id IS NULL THEN 1 ELSE 0 END FROM inbox_replica_rows g
			LEFT JOIN customers c ON c.id = g.row_key WHERE g.replica = 'customers'
			UNION ALL SELECT id, name, email, 0, 0 FROM customers WHERE id NOT IN
			(SELECT row_key FROM inbox_replica_rows WHERE replica = 'customers')`
	}
	wrong := map[string][]string{}
	for database, query := range copies {
		copied, err := a.people(ctx, database, query)
		if err != nil {
			return nil, nil, err
		}
		for id, original := range originals {
			if c, found := copied[id]; !found && !original.erased || found && c != original {
				wrong[id] = append(wrong[id], database)
			}
			delete(copied, id)
		}
		for id := range copied {
			wrong[id] = append(wrong[id], database)
		}
	}
	return originals, wrong, nil
}

func (a *Auditor) people(ctx context.Context, database, query string) (map[string]person, error) {
	people := map[string]person{}
	return people, a.each(ctx, database, query, func(scan scanner) error {
		var id string
		var p person
		var erased int64
		err := scan(&id, &p.name, &p.email, &p.version, &erased)
		p.erased = erased != 0
		people[id] = p
		return err
	})
}

// readModels compares what the gateway and the list of orders show with the streams.
func (a *Auditor) readModels(ctx context.Context, b *books) (Row, error) {
	row := Row{Name: "read models", Reason: "The gateway and the list of orders show each order as its stream of " +
		"events has it: state, version, articles and price."}
	inGateway, inList, err := a.wrongInModels(ctx, b)
	var wrong []string
	for _, id := range inGateway {
		wrong = append(wrong, id+" in the gateway")
	}
	for _, id := range inList {
		wrong = append(wrong, id+" in the list")
	}
	row.Holds = len(wrong) == 0
	row.Figures = fmt.Sprintf("%d orders in 2 models, %d rows are wrong%s", len(b.streams), len(wrong), examples(wrong))
	return row, err
}

// wrongInModels returns the ids of orders that a read model lacks, shows in another way, or has invented.
func (a *Auditor) wrongInModels(ctx context.Context, b *books) (inGateway, inList []string, err error) {
	shown, list := map[string]view.Order{}, map[string]view.Order{}
	if err := a.each(ctx, "gateway", "SELECT order_id, status, version, body FROM order_view WHERE generation = ("+
		liveGeneration+")", func(scan scanner) error {
		var id, status string
		var version int64
		var body []byte
		var o view.Order
		if err := scan(&id, &status, &version, &body); err != nil {
			return err
		}
		if err := json.Unmarshal(body, &o); err != nil {
			return err
		}
		if o.Status != status || o.Version != version { // the columns and the body are one row
			o.Status += " or " + status
		}
		shown[id] = o
		return nil
	}); err != nil {
		return nil, nil, err
	}
	if err := a.each(ctx, a.listShard(), "SELECT order_id, customer, status, reason, cents, version FROM order_view "+
		"WHERE view = ("+liveList+")", func(scan scanner) error {
		var o view.Order
		err := scan(&o.OrderID, &o.Of.Customer, &o.Status, &o.Reason, &o.Cents, &o.Version)
		list[o.OrderID] = o
		return err
	}); err != nil {
		return nil, nil, err
	}
	return b.differ(shown, true), b.differ(list, false), nil
}

// differ returns the ids of orders that a read model shows in another way than their streams. A model may have no
// articles.
func (b *books) differ(shown map[string]view.Order, withItems bool) (wrong []string) {
	for id, s := range b.streams {
		o, found := shown[id]
		if !found || o.Of != s.Of || o.Version != s.Version || o.Status != string(s.Status) ||
			o.Reason != s.Reason || o.Cents != s.Cents ||
			withItems && !maps.Equal(quantities(o.Items), quantities(s.Items)) {
			wrong = append(wrong, id)
		}
	}
	for id := range shown {
		if b.streams[id] == nil {
			wrong = append(wrong, id)
		}
	}
	return wrong
}

// shards looks for orders outside of their customer's home.
func (a *Auditor) shards(ctx context.Context, b *books) (Row, error) {
	row := Row{Name: "shards", Reason: "All orders of a customer are in the customer's home, and nowhere else."}
	var all []shards.Shard
	moved := map[[2]string]bool{}
	for _, name := range a.shardNames() {
		all = append(all, shards.Shard{Name: name})
		const left = "SELECT customer FROM shard_customers WHERE state = 'moved'"
		if err := a.each(ctx, name, left, func(scan scanner) error {
			var customer string
			err := scan(&customer)
			moved[[2]string{name, customer}] = true
			return err
		}); err != nil {
			return row, err
		}
	}
	old := all[:cmp.Or(a.options.OldShards, len(all))]
	in, wrong := map[string]int{}, []string(nil)
	for id, s := range b.streams {
		in[s.shard]++
		// While customers move to a new shard, the home of those who have not moved yet is the old one.
		atHome := s.shard == shards.Owner(all, s.Customer).Name || s.shard == shards.Owner(old, s.Customer).Name
		if !atHome || moved[[2]string{s.shard, s.Customer}] {
			wrong = append(wrong, id+" of "+s.Customer+" in "+s.shard)
		}
	}
	row.Holds = len(wrong) == 0 && len(b.twice) == 0
	row.Figures = fmt.Sprintf("%d orders in %d shards, %d are not at home, %d in two shards%s",
		len(b.streams), len(in), len(wrong), len(b.twice), examples(wrong))
	return row, nil
}
