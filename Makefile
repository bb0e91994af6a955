# The commands of this project. Each is a plain command underneath, so that nothing needs make.
.DEFAULT_GOAL := help
.PHONY: help test fuzz services lint fmt demo bench chaos shop-chaos replica

help: ## list what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

test: ## install and start the servers that the tests need, and run every test
	@dev/test

fuzz: ## fuzz headers, manifests, names and URLs, each for 30 s (FUZZ=…)
	@dev/fuzz $(FUZZ)

services: ## start the servers (dev/README.md), and print their addresses
	@dev/services up
	@dev/services env

lint: ## gofmt, go mod tidy, vet, staticcheck, golangci-lint, govulncheck
	@.ci/run gofmt tidy vet staticcheck golangci govulncheck

fmt: ## format every Go file
	@git ls-files -z --cached --others --exclude-standard '*.go' | xargs -0 -r gofmt -w

demo: ## a shop, its relay and its billing in one process; needs no server
	@go run ./cmd/relay demo

bench: ## measure; BENCH="…" are the benchmark program's arguments
	@dev/services up
	@addresses=$$(dev/services env) && eval "$$addresses" && cd bench && go run . $(BENCH)

chaos: ## kill, stop and cut while events flow, and judge; DURATION=20m SEED=7 MODE=… DATABASE=postgres or mariadb BROKER=rabbitmq
	@go run ./rigs/chaos/cmd $(if $(DURATION),--duration $(DURATION)) $(if $(SEED),--seed $(SEED)) $(if $(MODE),--mode $(MODE)) $(if $(DATABASE),--database $(DATABASE)) $(if $(BROKER),--broker $(BROKER)) $(CHAOS)

shop-chaos: ## kill everything of examples/shop while customers order, and judge; DURATION=10m SEED=7 RULE_OFF=inbox
	@go run ./examples/shop/chaos $(if $(DURATION),-duration $(DURATION)) $(if $(SEED),-seed $(SEED)) $(if $(RULE_OFF),-rule-off $(RULE_OFF)) $(CHAOS)

replica: ## backfill 1,000,000 rows (ROWS=…) that are written meanwhile, over a relay and Kafka, and compare the replica
	@dev/replica $(or $(ROWS),1000000)
