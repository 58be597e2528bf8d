// Package budgettest tests that a [budget.Ledger] keeps its contract.
package budgettest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/budget"
)

// Suite checks a ledger. newLedger returns an empty one; the suite calls it several
// times.
func Suite(t *testing.T, newLedger func(t *testing.T) budget.Ledger) {
	t.Helper()
	t.Run("AllOrNone", func(t *testing.T) { allOrNone(t, newLedger(t)) })
	t.Run("SettleOnce", func(t *testing.T) { settleOnce(t, newLedger(t)) })
	t.Run("AtOnce", func(t *testing.T) { atOnce(t, newLedger(t)) })
	t.Run("Model", func(t *testing.T) { model(t, newLedger(t)) })
}

func reserve(t *testing.T, l budget.Ledger, accounts []budget.Account, a budget.Amount) (budget.Reservation, *budget.Insufficient) {
	t.Helper()
	hold, short, err := l.Reserve(accounts, a)
	if err != nil {
		t.Fatalf("Reserve: %v", err)
	}
	return hold, short
}

func balance(t *testing.T, l budget.Ledger, key string, want budget.Balance) {
	t.Helper()
	got, err := l.Balance(key)
	if err != nil {
		t.Fatalf("Balance: %v", err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("balance of %s (-want +got):\n%s", key, diff)
	}
}

func allOrNone(t *testing.T, l budget.Ledger) {
	wide := budget.Account{Key: "run/wide", Limits: budget.Amount{Money: 100, Tokens: 100}}
	tight := budget.Account{Key: "step/tight", Limits: budget.Amount{Money: 10, Calls: 2}}
	free := budget.Account{Key: "agent/free"}
	all := []budget.Account{wide, tight, free}
	ten := budget.Amount{Money: 10, Tokens: 60, Calls: 1}
	hold, short := reserve(t, l, all, ten)
	if short != nil {
		t.Fatalf("an empty ledger has no room: %+v", short)
	}
	// Both have no room: the one whose room may come back is not the answer.
	_, short = reserve(t, l, all, budget.Amount{Money: 1, Tokens: 101})
	want := &budget.Insufficient{Account: 0, Kind: budget.Tokens, Limit: 100, Reserved: 60, Needed: 101}
	if diff := cmp.Diff(want, short); diff != "" || !short.Final() {
		t.Errorf("shortage (-want +got):\n%s", diff)
	}
	_, short = reserve(t, l, all, budget.Amount{Money: 1})
	want = &budget.Insufficient{Account: 1, Kind: budget.Dollars, Limit: 10, Reserved: 10, Needed: 1}
	if diff := cmp.Diff(want, short); diff != "" || short.Final() {
		t.Errorf("shortage (-want +got):\n%s", diff)
	}
	for _, a := range all {
		balance(t, l, a.Key, budget.Balance{Reserved: ten})
	}
	spent, uncertain := budget.Amount{Money: 9, Tokens: 2, Calls: 1}, budget.Amount{Money: 4, Tokens: 1}
	if err := l.Settle(nil, []budget.Reservation{hold}, spent, uncertain); err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		balance(t, l, a.Key, budget.Balance{Spent: spent, Uncertain: uncertain})
	}
	if _, short = reserve(t, l, all, budget.Amount{Money: 2}); short == nil || !short.Final() {
		t.Errorf("2 of 1 that is left: %+v, want a shortage for good", short)
	}
	if _, short = reserve(t, l, []budget.Account{free}, budget.Amount{Money: llm.MaxMoney / 4, Tokens: 1 << 40}); short != nil {
		t.Errorf("an account without ceilings has none of %v", short.Kind)
	}
	balance(t, l, "run/new", budget.Balance{})
}

func settleOnce(t *testing.T, l budget.Ledger) {
	account := []budget.Account{{Key: "run/r"}}
	hold, _ := reserve(t, l, account, budget.Amount{Money: 10, Calls: 1})
	spent := budget.Amount{Money: 12, Calls: 1} // more than was reserved, which is what was billed
	for range 2 {
		if err := l.Settle(nil, []budget.Reservation{hold}, spent, budget.Amount{}); err != nil {
			t.Fatalf("Settle: %v", err)
		}
	}
	balance(t, l, "run/r", budget.Balance{Spent: spent})
}

// atOnce reserves in one account from many goroutines.
func atOnce(t *testing.T, l budget.Ledger) {
	account := []budget.Account{{Key: "day/today", Limits: budget.Amount{Money: 1000}}}
	var wg sync.WaitGroup
	var mu sync.Mutex
	spent := llm.Money(0)
	for i := range 16 {
		wg.Go(func() {
			for n := range 40 {
				need := budget.Amount{Money: llm.Money(5 + (i+n)%7), Calls: 1}
				hold, short, err := l.Reserve(account, need)
				if err != nil {
					t.Errorf("Reserve: %v", err)
					return
				}
				if short != nil {
					continue
				}
				if n%3 == 0 {
					need.Money = 1
				}
				if err := l.Settle(nil, []budget.Reservation{hold}, need, budget.Amount{Money: llm.Money(n % 2)}); err != nil {
					t.Errorf("Settle: %v", err)
				}
				mu.Lock()
				spent += need.Money
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	b, err := l.Balance("day/today")
	if err != nil || b.Spent.Money != spent || spent > 1000 || b.Reserved != (budget.Amount{}) {
		t.Errorf("balance %+v (%v) of 1000, want %d spent and nothing reserved", b, err, spent)
	}
}

// model compares a ledger with sums made by hand, step by step.
func model(t *testing.T, l budget.Ledger) {
	round := 0
	rapid.Check(t, func(t *rapid.T) {
		round++
		type open struct {
			hold budget.Reservation
			in   []int
			a    budget.Amount
		}
		var holds []open
		limits := make([]budget.Amount, 4)
		sums := make([]budget.Balance, 4)
		amount := func(most int64) budget.Amount {
			return budget.Amount{
				Money:  llm.Money(rapid.Int64Range(0, most).Draw(t, "money")),
				Tokens: rapid.Int64Range(0, most).Draw(t, "tokens"),
				Calls:  rapid.Int64Range(0, 1).Draw(t, "calls"),
			}
		}
		for i := range limits {
			limits[i] = amount(100)
			limits[i].Calls *= 4
		}
		key := func(i int) string { return fmt.Sprintf("run/%d-%d", round, i) }
		t.Repeat(map[string]func(*rapid.T){
			"reserve": func(t *rapid.T) {
				in := rapid.SliceOfNDistinct(rapid.IntRange(0, 3), 1, 4, rapid.ID[int]).Draw(t, "accounts")
				a := amount(40)
				accounts, before := []budget.Account{}, []budget.Balance{}
				for _, i := range in {
					accounts, before = append(accounts, budget.Account{Key: key(i), Limits: limits[i]}), append(before, sums[i])
				}
				hold, short, err := l.Reserve(accounts, a)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(budget.Check(accounts, before, a), short); diff != "" {
					t.Fatalf("shortage (-want +got):\n%s", diff)
				}
				if short != nil {
					return
				}
				for _, i := range in {
					sums[i].Reserved = sums[i].Reserved.Plus(a)
				}
				holds = append(holds, open{hold, in, a})
			},
			"settle": func(t *rapid.T) {
				if len(holds) == 0 {
					t.Skip("nothing is reserved")
				}
				n := rapid.IntRange(0, len(holds)-1).Draw(t, "hold")
				h := holds[n]
				holds = append(holds[:n:n], holds[n+1:]...)
				part := rapid.Int64Range(0, 4).Draw(t, "quarters")
				spent := budget.Amount{Money: h.a.Money * llm.Money(part) / 4, Tokens: h.a.Tokens * part / 4, Calls: h.a.Calls}
				doubt := rapid.Int64Range(0, 2).Draw(t, "halves")
				uncertain := budget.Amount{Money: spent.Money * llm.Money(doubt) / 2, Tokens: spent.Tokens * doubt / 2}
				if err := l.Settle(nil, []budget.Reservation{h.hold}, spent, uncertain); err != nil {
					t.Fatal(err)
				}
				for _, i := range h.in {
					sums[i].Reserved, sums[i].Spent = sums[i].Reserved.Minus(h.a), sums[i].Spent.Plus(spent)
					sums[i].Uncertain = sums[i].Uncertain.Plus(uncertain)
				}
			},
			"": func(t *rapid.T) {
				for i := range sums {
					got, err := l.Balance(key(i))
					if err != nil || got != sums[i] {
						t.Fatalf("balance of %d: %+v (%v), want %+v", i, got, err, sums[i])
					}
					taken := got.Spent.Plus(got.Reserved)
					if limit := limits[i]; limit.Money > 0 && taken.Money > limit.Money || limit.Tokens > 0 && taken.Tokens > limit.Tokens || limit.Calls > 0 && taken.Calls > limit.Calls {
						t.Fatalf("account %d: %+v taken of %+v", i, taken, limit)
					}
				}
			},
		})
	})
}
