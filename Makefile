# make help says what there is. Needed: Go (the version in go.mod) and make. Targets that need a Redis, a Kafka (Java and Maven), or
# the C compiler that Go's race detector needs, install Debian's package when it is missing (apt-get, with sudo if not root).
# Nothing else is installed outside this folder, but for Maven's own cache.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BIN            := bin/streamerson
GOLANGCI       := v2.15.0
GOLANGCI_BIN   := bin/golangci-lint-$(GOLANGCI)
# BROKER of make run: nats (a nats-server inside the program), nats+core, mem, redis or kafka. ONCE=1: it ends after its requests.
BROKER         ?= nats
ONCE           ?=
# FUZZTIME is for each fuzz test.
FUZZTIME       ?= 20s
# TESTTIMEOUT is for each package: a transport runs the whole conformance suite, 4 to 7 minutes on two free cores.
TESTTIMEOUT    ?= 20m
VERSION        := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

.PHONY: help
help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/streamerson.
	@mkdir -p bin
	go build -trimpath -ldflags '-X main.buildVersion=$(VERSION)' -o $(BIN) ./cmd/streamerson

.PHONY: run
run: build $(addsuffix -server,$(filter redis kafka,$(BROKER))) ## Start a gateway and two workers, send a request to each route. BROKER=nats|nats+core|mem|redis|kafka, ONCE=1 to end then.
	@$(BIN) demo --broker $(BROKER) $(if $(ONCE),--once)

.PHONY: test
test: redis-server kafka-server c-compiler fmt vet lint gates ## Check format and style, the gates, then run all tests with the race detector.
	go test -race -timeout $(TESTTIMEOUT) ./...

# One package at a time: how many calls share a batch depends on who runs when.
.PHONY: gates
gates: redis-server kafka-server valgrind ## Check what a call costs: allocations, broker commands and bytes, instructions (a minute).
	go test -count=1 -p 1 -run 'Gate|Alloc' ./rpc/... ./gateway ./worker ./internal/gates
	go test -count=1 ./internal/quietconn # a build with the race detector has none of it

.PHONY: test-quick
test-quick: redis-server kafka-server ## Run all tests without the race detector and the linters.
	go test -timeout $(TESTTIMEOUT) ./...

.PHONY: fmt
fmt: ## Check that all Go files are formatted.
	@files=$$(git ls-files -co --exclude-standard '*.go' 2>/dev/null | xargs -r ls 2>/dev/null || find . -name '*.go' -not -path './bin/*'); \
	bad=$$(gofmt -l $$files); \
	if [ -n "$$bad" ]; then echo "not formatted; run gofmt -w on:" >&2; echo "$$bad" >&2; exit 1; fi

.PHONY: vet
vet: ## Run go vet.
	go vet ./...

.PHONY: lint
lint: $(GOLANGCI_BIN) ## Run golangci-lint, pinned.
	$(GOLANGCI_BIN) run ./...

# The linter is built into bin/ by the Go that is here: never into the user's own GOPATH/bin.
$(GOLANGCI_BIN):
	@mkdir -p bin
	GOBIN=$(CURDIR)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI)
	@mv bin/golangci-lint $@

.PHONY: teeth
teeth: ## Show that each of many broken transports is caught by the scenario that is named for it.
	@go test -count=1 -run '^TestTeeth$$' -v ./conformance | grep -v '^=== '

# What docs/transports.md is made of; DOCS_BROKERS may name fewer, and DOCS_ARGS are for conform.
DOCS_BROKERS   ?= redis nats nats+core kafka mem
DOCS_ARGS      ?= --slow 2
.PHONY: docs-transports
docs-transports: build redis-server ## Run the whole suite on every broker and make docs/transports.md of it (half an hour).
	@$(if $(filter kafka,$(DOCS_BROKERS)),scripts/install-kafka.sh)
	@mkdir -p bin/conform
	for b in $(DOCS_BROKERS); do $(BIN) conform --broker $$b $(DOCS_ARGS) --json bin/conform/$$b.json || exit 1; done
	$(BIN) conform table $(patsubst %,bin/conform/%.json,$(DOCS_BROKERS)) > docs/transports.md

.PHONY: fuzz
fuzz: ## Fuzz every decoder, FUZZTIME=20s each.
	@grep -rEo --include='*_test.go' '^func Fuzz\w+' . | while IFS=: read -r file func; do \
		name=$${func#func }; echo "$$(dirname $$file) $$name"; \
		go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$(dirname $$file)"; \
	done

# Where make bench leaves its results and report.
BENCH_DIR      ?= bin/bench
.PHONY: bench
bench: build redis-server kafka-server nginx ## Measure everything in less than ten minutes: goals, curves, open loops; ARGS="--rounds 9" and such. Results in bin/bench.
	@mkdir -p $(BENCH_DIR)
	$(BIN) bench all --json $(BENCH_DIR)/all.json --html $(BENCH_DIR)/all.html $(ARGS)

.PHONY: docs-benchmarks
docs-benchmarks: build ## Put the figures and pictures of bench/results into docs/benchmarks.md (copy bin/bench's files there first).
	for r in all peers; do $(BIN) bench report bench/results/$$r.json --into docs/benchmarks.md; done
	$(BIN) bench report bench/results/all.json --png $(BENCH_DIR)/png
	cp $(BENCH_DIR)/png/curve-curve-p50-echo-128.png docs/benchmarks/curve-p50.png
	cp $(BENCH_DIR)/png/redis-cpu-256-calls-in-flight.png docs/benchmarks/redis-cpu.png

.PHONY: bench-redis
bench-redis: build redis-server ## Measure calls over Redis beside HTTP and bare go-redis (some minutes).
	$(BIN) bench redis

.PHONY: bench-nats
bench-nats: build ## Measure calls over JetStream and core NATS beside nc.Request (a minute).
	$(BIN) bench nats

.PHONY: conform
conform: build $(addsuffix -server,$(filter redis kafka,$(BROKER))) ## Run the conformance suite on one broker, started for it: BROKER=mem|redis|nats|nats+core|kafka, ARGS="--only a,b" and such.
	$(BIN) conform --broker $(BROKER) $(ARGS)

.PHONY: conform-containers
conform-containers: ## Run it on Redis, Kafka and NATS in containers, by a Docker of our own where none answers (Linux, root); QUICK=1: 28 scenarios.
	scripts/conform-containers.sh $(if $(QUICK),--quick)

.PHONY: conform-matrix
conform-matrix: ## Run it on each supported version of Redis, Valkey, NATS and Kafka (half an hour); QUICK=1: driver scenarios, other versions only.
	scripts/conform-matrix.sh $(if $(QUICK),--quick)

.PHONY: bench-kafka
bench-kafka: build redis-server kafka-server ## Measure calls over Kafka beside Redis and kafka-go's Writer (two minutes).
	$(BIN) bench kafka

.PHONY: bench-peers
bench-peers: build redis-server kafka-server ## Measure rpc beside gRPC, nginx, Watermill, NATS micro, NestJS, Moleculer and FastStream (8 minutes); ARGS="--rounds 9" and such.
	scripts/install-peers.sh
	@mkdir -p $(BENCH_DIR)
	$(BIN) bench peers --json $(BENCH_DIR)/peers.json --html $(BENCH_DIR)/peers.html $(ARGS)

.PHONY: test-peers
test-peers: redis-server kafka-server c-compiler ## Install those rivals and see that each answers every call (some minutes).
	scripts/install-peers.sh
	cd bench/peers/go && go vet ./... && go test -race ./...
	go test -tags peers -count=1 -timeout $(TESTTIMEOUT) -run '^TestRivalsAnswerEveryCall$$' ./bench

.PHONY: clean
clean: ## Remove what was built.
	rm -rf bin coverage.* *.test

# The server that Debian's package would start is not used and not touched: tests and runs start their own, on a free port.
.PHONY: redis-server
redis-server:
	@[ -n "$${STREAMERSON_REDIS_SERVER:-}" ] || scripts/install-debian.sh redis-server:redis-server

# Java and Maven from Debian when missing, Kafka's jars into .cache.
.PHONY: kafka-server
kafka-server:
	@scripts/install-kafka.sh

# The system's service is neither started nor touched.
.PHONY: nginx
nginx:
	@PATH=$$PATH:/usr/sbin scripts/install-debian.sh nginx:nginx

.PHONY: valgrind
valgrind:
	@scripts/install-debian.sh valgrind:valgrind

.PHONY: c-compiler
c-compiler:
	@[ -n "$${CC:-}" ] || scripts/install-debian.sh gcc:gcc,libc6-dev
