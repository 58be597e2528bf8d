// Command budget measures how well a dollar budget is kept and used: rounds of
// calls at once that fail at random, each with a budget of its own, against the
// simulator.
//
//	go run ./bench/budget                 # 1,000 rounds, 50 calls in flight
//	go run ./bench/budget -ledger memory
//	go run ./bench/budget -rounds 20 -gate
//
// The calls pass the layers of a real pipeline. What was billed is counted
// beside them, where the service stands: answers, and also attempts that the
// service has worked on and whose answer was lost. -gate fails if one round was
// billed more than its budget, or used less than 90 % of it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/llm/anthropic"
	"github.com/claude-force/claude-force/llm/budget"
	"github.com/claude-force/claude-force/llm/budget/budgetdb"
	"github.com/claude-force/claude-force/llm/retry"
	"github.com/claude-force/claude-force/sim"
)

// model is asked; it has two tiers of prices.
const model = "claude-haiku-5-5"

// settings are the flags.
type settings struct {
	rounds, inFlight int
	dollars          float64
	refuse, lose     float64
	ledger           string
	seed             uint64
}

func main() {
	var s settings
	flag.IntVar(&s.rounds, "rounds", 1000, "rounds, each with a budget of its own")
	flag.IntVar(&s.inFlight, "in-flight", 50, "calls in flight at once")
	flag.Float64Var(&s.dollars, "budget", 0.05, "budget of a round in dollars")
	flag.Float64Var(&s.refuse, "refuse", 0.15, "share of attempts that the service refuses")
	flag.Float64Var(&s.lose, "lose", 0.01, "share of attempts whose answer is lost, half of them billed")
	flag.StringVar(&s.ledger, "ledger", "sqlite", "where the ledger is: sqlite or memory")
	flag.Uint64Var(&s.seed, "seed", 1, "seed of sizes and failures")
	gate := flag.Bool("gate", false, "exit with 1 if a budget was exceeded or badly used")
	flag.Parse()
	ok, err := measure(context.Background(), s)
	if err != nil {
		fmt.Fprintln(os.Stderr, "budget:", err)
		os.Exit(1)
	}
	if *gate && !ok {
		os.Exit(1)
	}
}

// result is what a round came to.
type result struct {
	billed   llm.Money // by the service
	spent    llm.Money // as the ledger has it, the uncertain included
	reserved llm.Money // left over, which is an error
	calls    int
	failed   int // calls that failed otherwise than by the budget
}

func measure(ctx context.Context, s settings) (ok bool, err error) {
	dir, err := os.MkdirTemp("", "budget-")
	if err != nil {
		return false, fmt.Errorf("making a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var ledger budget.Ledger = &budget.Memory{}
	if s.ledger == "sqlite" {
		file := budgetdb.New(filepath.Join(dir, "budget.db"))
		defer func() { err = errors.Join(err, file.Close()) }()
		ledger = file
	}
	server := sim.New(sim.Options{Seed: s.seed, Latency: sim.Fixed(time.Millisecond)})
	provider, err := anthropic.New(anthropic.Options{
		APIKey: "simulated", KeySource: "the simulator", BaseURL: "http://simulator.invalid",
		HTTPClient: &http.Client{Transport: server.RoundTripper()},
	})
	if err != nil {
		return false, err
	}
	var results []result
	begin := time.Now()
	for n := range s.rounds {
		r, err := round(ctx, s, ledger, provider, uint64(n))
		if err != nil {
			return false, fmt.Errorf("round %d: %w", n+1, err)
		}
		results = append(results, r)
	}
	return s.report(results, time.Since(begin)), nil
}

// round spends one budget: workers make calls until an error says that nothing
// is left.
func round(ctx context.Context, s settings, ledger budget.Ledger, provider llm.Model, n uint64) (result, error) {
	service := &flaky{next: provider, settings: s, rand: rand.New(rand.NewPCG(s.seed, n))}
	b := budget.New(ledger, budget.Options{})
	calls := b.Calls(retry.New(
		admission.New(b.Attempts(service), admission.NewGate(s.inFlight)),
		retry.Options{Base: time.Microsecond, Max: time.Microsecond}))
	scope := budget.Scope{
		Level: budget.Run, Name: fmt.Sprint("round ", n),
		Limits: budget.Limits{Money: llm.Dollars(s.dollars)}, OnBreach: budget.ActionPartial,
	}
	ctx = budget.With(ctx, scope)
	var r result
	var first error
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range s.inFlight {
		wg.Go(func() {
			for {
				_, err := llm.Collect(calls.Stream(ctx, service.request()))
				mu.Lock()
				r.calls++
				_, over := errors.AsType[*budget.ExceededError](err)
				if err != nil && !over {
					r.failed++
					if !llm.CodeOf(err).Transient() && first == nil {
						first = err
					}
				}
				stop := over || first != nil
				mu.Unlock()
				if stop {
					return
				}
			}
		})
	}
	wg.Wait()
	balance, err := b.Balance(scope)
	r.billed, r.spent, r.reserved = service.billed, balance.Spent.Money, balance.Reserved.Money
	return r, errors.Join(first, err)
}

// flaky is the service with its failures, and its till.
type flaky struct {
	next     llm.Model
	settings settings

	mu     sync.Mutex // guards the fields below
	rand   *rand.Rand
	billed llm.Money
}

// request returns the next task: 200 to 4,000 bytes long, with an answer of at most
// 1,024 tokens, as small steps have.
func (f *flaky) request() *llm.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	text := fmt.Sprintf("Summarize report %d. ", f.rand.Uint64()) + strings.Repeat("It says more of the same. ", 8+f.rand.IntN(150))
	return &llm.Request{Model: model, MaxTokens: 1024, Messages: []llm.Message{llm.UserText(text)}}
}

func (f *flaky) draw() (refused, lost, late bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := f.rand.Float64()
	refused = at < f.settings.refuse
	lost = !refused && at < f.settings.refuse+f.settings.lose
	return refused, lost, f.rand.IntN(2) == 0
}

// Stream refuses the attempt, loses it on the way there or back, or lets the
// simulator answer.
func (f *flaky) Stream(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	refused, lost, late := f.draw()
	broken := llm.NewError(llm.CodeConnection, "the connection broke", nil)
	switch {
	case refused && late:
		return llm.Fail(&llm.Error{Code: llm.CodeRateLimit, Status: http.StatusTooManyRequests, Message: "too many", RetryAfter: 0})
	case refused:
		return llm.Fail(&llm.Error{Code: llm.CodeOverloaded, Status: 529, Message: "overloaded", RetryAfter: -1})
	case lost && !late:
		return llm.Fail(broken)
	}
	return func(yield func(llm.Event, error) bool) {
		for ev, err := range f.next.Stream(ctx, req) {
			if ev.Type == llm.EventDone {
				cost, _ := llm.Prices().CostOf(ev.Response.Model, ev.Response.Usage, llm.Rate{})
				f.mu.Lock()
				f.billed += cost
				f.mu.Unlock()
				if lost {
					yield(llm.Event{}, broken)
					return
				}
			}
			if !yield(ev, err) {
				return
			}
		}
	}
}

func (s settings) report(results []result, took time.Duration) (ok bool) {
	limit := llm.Dollars(s.dollars)
	over, left, calls, failed := 0, 0, 0, 0
	var used, billed []float64
	for _, r := range results {
		if r.billed > limit || r.spent > limit || r.billed > r.spent {
			over++
		}
		if r.reserved != 0 {
			left++
		}
		used = append(used, 100*float64(r.spent)/float64(limit))
		billed = append(billed, 100*float64(r.billed)/float64(limit))
		calls, failed = calls+r.calls, failed+r.failed
	}
	slices.Sort(used)
	slices.Sort(billed)
	fmt.Printf("%d rounds of %v, %d calls in flight, %d calls in all, %d failed for good; %.0f %% of attempts refused, %.0f %% lost; ledger %s\n",
		len(results), limit, s.inFlight, calls, failed, 100*s.refuse, 100*s.lose, s.ledger)
	fmt.Printf("rounds billed more than their budget  %d\n", over)
	fmt.Printf("rounds with reservations left over    %d\n", left)
	fmt.Printf("budget used, least and median         %.1f %%  %.1f %%\n", used[0], used[len(used)/2])
	fmt.Printf("  of it billed, least and median      %.1f %%  %.1f %%\n", billed[0], billed[len(billed)/2])
	fmt.Printf("time per call                         %v\n", (took / time.Duration(max(calls, 1))).Round(time.Microsecond))
	return over == 0 && left == 0 && used[0] >= 90
}
