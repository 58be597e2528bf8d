package budgetdb_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/claude-force/claude-force/internal/processtest"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/budget"
	"github.com/claude-force/claude-force/llm/budget/budgetdb"
	"github.com/claude-force/claude-force/llm/llmtest"
)

// TestMain lets the test binary be the other processes of a test.
func TestMain(m *testing.M) {
	os.Exit(processtest.Main(m, map[string]processtest.Job{"spend": spend}))
}

// ceiling is enough for a few hundred calls.
const ceiling = 10 * llm.Dollar / 1000

// spend makes calls, several at once, until the budget is exceeded. The
// service bills before it answers, by a line in a file that outlives it, so a
// process that is killed in between has been billed.
func spend(args []string) error {
	ledger := budgetdb.New(args[0])
	b := budget.New(ledger, budget.Options{})
	bill, err := os.OpenFile(args[1], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	calls := b.Calls(b.Attempts(llm.ModelFunc(func(_ context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
		resp := llmtest.Response("yes")
		resp.Usage.OutputTokens = rand.IntN(req.MaxTokens + 1)
		cost, _ := llm.Prices().CostOf(req.Model, resp.Usage, llm.Rate{})
		if _, err := fmt.Fprintf(bill, "%d\n", cost); err != nil {
			return llm.Fail(err)
		}
		fmt.Println("billed")
		return llm.Replay(resp)
	})))
	ctx := budget.With(context.Background(), budget.Scope{Level: budget.Day, Name: "today", Limits: budget.Limits{Money: ceiling}})
	var wg sync.WaitGroup
	failed := make(chan error, 4)
	for range cap(failed) {
		wg.Go(func() {
			for {
				_, err := llm.Collect(calls.Stream(ctx, llmtest.Request("?")))
				if _, over := errors.AsType[*budget.ExceededError](err); over {
					return
				}
				if err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(failed)
	return errors.Join(<-failed, ledger.Close())
}

// TestEightProcesses has eight processes spend one budget, four of which are
// killed on the way.
func TestEightProcesses(t *testing.T) {
	dir := t.TempDir()
	path, bill := filepath.Join(dir, "budget.db"), filepath.Join(dir, "bill")
	if err := os.WriteFile(bill, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		p := processtest.Start(t.Context(), "spend", path, bill)
		wg.Go(func() {
			if i%2 == 0 { // when it has been billed a few times, and is in the middle of more
				for range 5 + i {
					p.Line()
				}
				p.Kill()
				_ = p.Wait() // killed
				return
			}
			if err := p.Wait(); err != nil {
				t.Errorf("process %d: %v", i, err)
			}
		})
	}
	wg.Wait()

	billed := llm.Money(0)
	text, err := os.ReadFile(bill)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		n, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		billed += llm.Money(n)
	}
	ledger := open(t, path)
	day := []budget.Account{{Key: "day/today", Limits: budget.Amount{Money: ceiling}}}
	// Whoever asks next finds what the dead have left.
	if _, short, err := ledger.Reserve(day, budget.Amount{Money: ceiling}); err != nil || !short.Final() {
		t.Errorf("%+v, %v; want no room", short, err)
	}
	got, err := ledger.Balance("day/today")
	if err != nil || got.Spent.Money > ceiling || billed > got.Spent.Money || got.Reserved != (budget.Amount{}) {
		t.Errorf("billed %v of %v, and the ledger says %+v (%v)", billed, ceiling, got, err)
	}
	if got.Spent.Money < ceiling*9/10 {
		t.Errorf("only %v of %v were spent", got.Spent.Money, ceiling)
	}
	if open := got.Spent.Money - billed; open > got.Uncertain.Money {
		t.Errorf("%v were charged that nobody billed, of which %v are marked uncertain", open, got.Uncertain.Money)
	}
	t.Logf("billed %v, spent %v, of it uncertain %v", billed, got.Spent.Money, got.Uncertain.Money)
}
