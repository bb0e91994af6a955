package world

import (
	"context"
	"errors"

	"github.com/postroom/postroom/examples/shop/invariants"
	"github.com/postroom/postroom/examples/shop/rules"
)

// Repair makes true again what became false while a rule was off. The rule must be on, and the services must run: they
// do the most of it. What it does is in rules.Info.
func (w *World) Repair(ctx context.Context, rule rules.Rule) (err error) {
	auditor, err := invariants.Open(ctx, w.databases(), invariants.Options{
		Kafka: w.Kafka, Redis: w.Redis, OldShards: int(w.oldShards.Load()),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, auditor.Close()) }()
	return auditor.Repair(ctx, rule)
}
