package invariants

import (
	"context"
	_ "embed" // the script
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

//go:embed answers.lua
var answersText string

var answersScript = redis.NewScript(answersText)

// caches compares what the cache would answer with the read model. The model is read first: an answer that is older
// than that was old when it was read, so that this row holds also while orders are under way.
func (a *Auditor) caches(ctx context.Context, _ *books) (Row, error) {
	row := Row{Name: "caches", Reason: "No cached answer is older than the read model that it was made of."}
	if a.redis == nil {
		row.Holds, row.Figures = true, "there is no cache to look at"
		return row, nil
	}
	known, err := a.versions(ctx)
	if err != nil {
		return row, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answers, old := 0, []string(nil)
	prefix := a.options.Kafka.Prefix + "shop:"
	var cursor uint64
	for {
		keys, next, err := a.redis.Scan(ctx, cursor, prefix+"value:*", 500).Result()
		if err == nil && len(keys) > 0 {
			var of []any
			of, err = answersScript.Run(ctx, a.redis, keys, prefix+"floor:", prefix+"value:naive:").Slice()
			for i := 0; i+2 < len(of); i += 3 {
				key, entity := fmt.Sprint(of[i]), fmt.Sprint(of[i+1])
				version, _ := strconv.ParseInt(fmt.Sprint(of[i+2]), 10, 64)
				if version < known[entity] {
					old = append(old, fmt.Sprintf("%s has version %d of %s, which is at %d",
						strings.TrimPrefix(key, prefix+"value:"), version, entity, known[entity]))
				}
			}
		}
		if err != nil {
			row.Figures = "Redis does not answer: " + err.Error()
			return row, nil
		}
		answers += len(keys)
		if cursor = next; cursor == 0 {
			break
		}
	}
	row.Holds = len(old) == 0
	row.Figures = fmt.Sprintf("%d values in Redis, %d versions in them are old%s", answers, len(old), examples(old))
	return row, nil
}

// versions are those of all entities in the read model, as the cache names them.
func (a *Auditor) versions(ctx context.Context) (map[string]int64, error) {
	var generation int64
	if err := a.numbers(ctx, "gateway", liveGeneration, &generation); err != nil {
		return nil, err
	}
	versions := map[string]int64{"view": generation}
	for entity, query := range map[string]string{
		fmt.Sprintf("order:%d:", generation):     "SELECT order_id, revision FROM order_view",
		fmt.Sprintf("orders-of:%d:", generation): "SELECT customer, revision FROM customer_orders",
		"customer:":                              "SELECT customer, version FROM customer_view",
	} {
		if err := a.each(ctx, "gateway", query+" WHERE generation = ?", func(scan scanner) error {
			var id string
			var version int64
			err := scan(&id, &version)
			versions[entity+id] = version
			return err
		}, generation); err != nil {
			return nil, err
		}
	}
	return versions, nil
}
