.DEFAULT_GOAL := help
.PHONY: temporal help build test race lint fuzz bench coldstart ratelimit chaos loopkill stepkill restart agents money team followers planned savings proxy figures capacity machines check clean

# What the fuzz targets are run for; a number followed by x is a count.
FUZZTIME ?= 20000x

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build the command into bin/
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o bin/claude-force ./cmd/claude-force

test: ## Run the tests
	go test ./...

# Each program with the race detector waits as it exits, by default for 1 s, so that
# what still runs may report a race. The scripts run more than a thousand commands. What
# only reads sources or computes, or runs programs or a browser, finds none that others do not.
race: export GORACE ?= atexit_sleep_ms=10
race: ## Run the tests with the race detector, in random order (of the scripts those with something at once)
	go test -race -short -shuffle=on -timeout 20m $$(go list ./... | grep -vE '/(bench|benchfile|compare|deploy|examples|server/webtest|internal/(citest|docexample|gitignore|importtest|openfile|parquet|wordtest))(/|$$)')

lint: ## Check formatting, go vet, golangci-lint, known vulnerabilities
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	go vet ./...
	golangci-lint run
	govulncheck ./...

# The names of the functions of tests that begin with $(1), each behind its package. To
# link the tests of all packages, so that they list theirs, takes minutes.
functions = go list -f '{{$$p := .ImportPath}}{{$$d := .Dir}}{{range .TestGoFiles}}{{$$p}} {{$$d}}/{{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$$p}} {{$$d}}/{{.}}{{"\n"}}{{end}}' ./... | \
	while read -r pkg file; do sed -n "s|^func \\($(1)[A-Za-z0-9_]*\\)(.*|$$pkg \\1|p" "$$file"; done

# By default Go spends up to a minute on making each new input smaller, and tries no others meanwhile.
fuzz: ## Run every fuzz target for FUZZTIME
	@$(call functions,Fuzz) | while read -r pkg target; do \
		echo "== $$pkg $$target"; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x "$$pkg" || exit 1; \
	done

bench: ## Run every benchmark once, as a check that they work
	go test -run '^$$' -bench . -benchtime 1x $$($(call functions,Benchmark) | cut -d ' ' -f 1 | sort -u)

coldstart: ## Measure a cold process that answers from the cache
	go run ./bench/coldstart

ratelimit: ## Measure how well calls fill rate limits, in under a minute
	go run ./bench/ratelimit -gate

# How many rounds chaos has.
ROUNDS ?= 1000

chaos: ## Kill runs at random moments, ROUNDS times, and count what is paid twice
	go run ./bench/chaos -rounds $(ROUNDS)

loopkill: ## Kill loops of agents with tools at random moments, and count what is done twice
	go run ./bench/loopkill

stepkill: ## Kill runs with every kind of step at random moments, and count what is done twice
	go run ./bench/stepkill

restart: ## Kill a server at random moments, 200 times, and count what is lost or paid twice
	go run ./bench/restart
	go run ./bench/restart -shared
	go run ./bench/restart -upgrade -kills 40

temporal: ## Kill workers of Temporal and its server, which it builds first, and measure runs on it
	go -C temporal/temporalserver vet ./...
	go -C temporal test -count=1 ./cmd/claude-force-worker -run TestTLS -server
	go -C temporal test -count=1 ./relay -run TestOnServer -server
	go -C temporal run ./relaykill -rounds 2
	go -C temporal run ./relaybench

agents: ## Measure many agents with tools at once
	go run ./bench/agents -gate

planned: ## Measure how near plans come to what runs take
	go run ./bench/plan -gate

savings: ## Measure what each way of paying less saves
	go run ./bench/savings -gate

money: ## Compare all figures about money with an independent service's bill
	go run ./bench/money

team: ## Compare the budgets of keys with an independent service's bill
	go run ./bench/team

followers: ## Put 1,000 followers and 200 requests a second on a server for 10 minutes
	go run ./bench/followers

proxy: ## Measure the proxy of the server beside a bare one
	go run ./bench/proxy -gate

figures: ## Measure everything docs/performance.md says, and write it anew
	go run ./bench/figures

machines: ## Have three machines share stores, and cut one of them off; needs root
	go run ./bench/machines

capacity: ## Simulate a day of many processes on shared stores
	go run ./bench/capacity

check: lint test race ## Everything to run before a change is proposed

clean: ## Remove what was built
	rm -rf bin
