package budgetpg_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
	"github.com/claude-force/claude-force/llm/budget"
	"github.com/claude-force/claude-force/llm/budget/budgetpg"
	"github.com/claude-force/claude-force/llm/budget/budgettest"
)

// open makes a ledger that is closed with the test. Its lease does not end, and is not
// extended, during a test.
func open(t testing.TB, url string, make func(*postgres.DB) *budgetpg.Ledger) *budgetpg.Ledger {
	t.Helper()
	l := make(postgrestest.Open(t, url))
	l.SetLease(time.Hour)
	l.SetPatience(5 * time.Minute)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return l
}

func elsewhere(db *postgres.DB) *budgetpg.Ledger { return budgetpg.NewElsewhere(db, "elsewhere") }

func TestLedger(t *testing.T) {
	t.Parallel()
	budgettest.Suite(t, func(t *testing.T) budget.Ledger { return open(t, postgrestest.URL(t), budgetpg.New) })
}

func reserve(t *testing.T, l *budgetpg.Ledger, accounts []budget.Account, a budget.Amount) budget.Reservation {
	t.Helper()
	id, short, err := l.Reserve(accounts, a)
	if err != nil || short != nil {
		t.Fatal(short, err)
	}
	return id
}

func balance(t *testing.T, l *budgetpg.Ledger, key string, want budget.Balance) {
	t.Helper()
	if got, err := l.Balance(key); err != nil || got != want {
		t.Errorf("balance of %s: %+v, %v; want %+v", key, got, err, want)
	}
}

// TestLeases has a process elsewhere leave reservations. As long as it may be alive they
// hold; then others charge what it had sent and release the rest, and it can send no more
// until it reserves again.
func TestLeases(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	run := []budget.Account{{Key: "run/r", Limits: budget.Amount{Calls: 3}}}
	one, all := budget.Amount{Calls: 1}, budget.Amount{Calls: 3}
	other, here := open(t, url, elsewhere), open(t, url, budgetpg.New)
	sent, unsent := reserve(t, other, run, one), reserve(t, other, run, one)
	if err := other.Send(budget.Attempt{ID: 7, Note: "seven"}, []budget.Reservation{sent}); err != nil {
		t.Fatal(err)
	}
	if _, short, err := here.Reserve(run, all); err != nil || short == nil || short.Final() || short.Reserved != 2 {
		t.Fatalf("%+v, %v; want a shortage while the other may be alive", short, err)
	}
	db := postgrestest.Open(t, url)
	expire := func() {
		t.Helper()
		if _, err := db.Exec(t.Context(), `UPDATE budget_owners SET expires = '-infinity' WHERE host = 'elsewhere'`); err != nil {
			t.Fatal(err)
		}
	}
	// While the database was not there, no lease could be extended.
	expire()
	reaper := open(t, url, budgetpg.New)
	reaper.SetLease(100 * 365 * 24 * time.Hour)
	spare := func([]budget.Attempt) error { return errors.New("a living process has lost its lease") }
	if err := reaper.Unrecorded(t.Context(), spare); err != nil {
		t.Error(err)
	}
	// A process that is late extends its lease as long as nothing was taken from it.
	other.Beat()
	reaper.SetLease(10 * time.Microsecond)
	if err := reaper.Unrecorded(t.Context(), spare); err != nil {
		t.Error(err)
	}
	expire()
	var lost []budget.Attempt
	if err := reaper.Unrecorded(t.Context(), func(list []budget.Attempt) error { lost = list; return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]budget.Attempt{{ID: 7, Note: "seven"}}, lost); diff != "" {
		t.Errorf("attempts of the process that is gone (-want +got):\n%s", diff)
	}
	balance(t, here, "run/r", budget.Balance{Spent: one, Uncertain: one})
	if err := reaper.Unrecorded(t.Context(), func([]budget.Attempt) error { return errors.New("it was recorded") }); err != nil {
		t.Error(err)
	}
	// It was only cut off.
	if err := other.Send(budget.Attempt{ID: 8}, []budget.Reservation{unsent}); err == nil || !strings.Contains(err.Error(), "lease") {
		t.Errorf("an attempt whose reservation was released is sent: %v", err)
	}
	if err := other.Settle(nil, []budget.Reservation{sent}, budget.Amount{}, budget.Amount{}); err != nil {
		t.Error(err)
	}
	balance(t, here, "run/r", budget.Balance{Spent: one, Uncertain: one})
	again := reserve(t, other, run, one)
	if err := errors.Join(other.Send(budget.Attempt{ID: 9}, []budget.Reservation{again}), other.Settle(nil, []budget.Reservation{again}, one, budget.Amount{})); err != nil {
		t.Error(err)
	}
	balance(t, here, "run/r", budget.Balance{Spent: budget.Amount{Calls: 2}, Uncertain: one})
}

// TestDeadOnThisMachine: a crash on the same machine is seen at once, also by a shortage
// that is final.
func TestDeadOnThisMachine(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	run := []budget.Account{{Key: "run/r", Limits: budget.Amount{Money: 10}}}
	dead, here := open(t, url, budgetpg.NewDead), open(t, url, budgetpg.New)
	a, b := reserve(t, dead, run, budget.Amount{Money: 4}), reserve(t, dead, run, budget.Amount{Money: 5})
	if err := errors.Join(dead.Send(budget.Attempt{ID: 1, Note: "x"}, []budget.Reservation{a}), dead.Send(budget.Attempt{ID: 2, Note: "y"}, []budget.Reservation{b}),
		dead.Return(budget.Attempt{ID: 2, Note: "z"}, []budget.Reservation{b})); err != nil {
		t.Fatal(err)
	}
	_, short, err := here.Reserve(run, budget.Amount{Money: 11})
	want := &budget.Insufficient{Kind: budget.Dollars, Limit: 10, Spent: 4, Needed: 11}
	if diff := cmp.Diff(want, short); diff != "" || err != nil {
		t.Errorf("%v; shortage (-want +got):\n%s", err, diff)
	}
	balance(t, here, "run/r", budget.Balance{Spent: budget.Amount{Money: 4}, Uncertain: budget.Amount{Money: 4}})
	failed := errors.New("no room")
	if err := here.Unrecorded(t.Context(), func([]budget.Attempt) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("record failed: %v", err)
	}
	var lost []budget.Attempt
	if err := here.Unrecorded(t.Context(), func(list []budget.Attempt) error { lost = list; return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]budget.Attempt{{ID: 1, Note: "x"}, {ID: 2, Note: "z"}}, lost); diff != "" {
		t.Errorf("attempts of the dead (-want +got):\n%s", diff)
	}
}

// TestRecorded: what is recorded elsewhere is not of the dead, at the latest once the
// process has closed the ledger.
func TestRecorded(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	run := []budget.Account{{Key: "run/r"}}
	dead := open(t, url, budgetpg.NewDead)
	for id := range int64(3) {
		r := []budget.Reservation{reserve(t, dead, run, budget.Amount{Money: 1})}
		a := budget.Attempt{ID: id + 1, Note: "n"}
		if err := errors.Join(dead.Send(a, r), dead.Settle(&a, r, budget.Amount{Money: 1}, budget.Amount{})); err != nil {
			t.Fatal(err)
		}
		if id != 1 {
			dead.Recorded(a.ID)
		}
	}
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	var lost []budget.Attempt
	if err := open(t, url, budgetpg.New).Unrecorded(t.Context(), func(list []budget.Attempt) error { lost = list; return nil }); err != nil || len(lost) != 1 || lost[0].ID != 2 {
		t.Errorf("%+v, %v; want the second", lost, err)
	}
	if _, _, err := dead.Reserve(run, budget.Amount{}); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("reserved after Close: %v", err)
	}
	if _, err := dead.Balance("run/r"); err == nil {
		t.Error("read after Close")
	}
}

// TestExceeded: each scope is written down once, whichever process finds it without room,
// and who reads after the last number misses none.
func TestExceeded(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	one, other := open(t, url, budgetpg.New), open(t, url, elsewhere)
	if last, err := one.Last(t.Context()); err != nil || last != 0 {
		t.Fatalf("the last of none is %d, %v", last, err)
	}
	note := func(l *budgetpg.Ledger, level budget.Level, name string) {
		if err := l.NoteExceeded(&budget.ExceededError{Scope: budget.Scope{Level: level, Name: name}, Kind: budget.Dollars, Limit: 7, Spent: 6}); err != nil {
			t.Error(err)
		}
	}
	note(one, budget.Run, "r")
	note(other, budget.Run, "r")
	note(other, budget.Day, "r\x00\xff")
	note(one, budget.Run, "r")
	list, err := one.After(t.Context(), 0, 10)
	want := []budget.Exceeded{
		{N: 1, Level: budget.Run, Name: "r", Kind: budget.Dollars, Limit: 7, Spent: 6},
		{N: 2, Level: budget.Day, Name: "r\x00\xff", Kind: budget.Dollars, Limit: 7, Spent: 6},
	}
	if diff := cmp.Diff(want, list, cmpopts.IgnoreFields(budget.Exceeded{}, "At")); diff != "" || err != nil || list[0].At.IsZero() {
		t.Fatalf("%v\n%s", err, diff)
	}
	if few, err := other.After(t.Context(), 1, 1); err != nil || len(few) != 1 || few[0].N != 2 {
		t.Errorf("after the first: %+v, %v", few, err)
	}
	// A reader follows the numbers while many write.
	const each = 20
	var writers sync.WaitGroup
	for i, l := range []*budgetpg.Ledger{one, other, one, other} {
		writers.Go(func() {
			for n := range each {
				note(l, budget.Agent, string(rune('a'+i))+strings.Repeat("x", n))
			}
		})
	}
	seen, after := 0, int64(2)
	for seen < 4*each && !t.Failed() {
		list, err := one.After(t.Context(), after, 7)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			seen, after = seen+1, e.N
		}
		if len(list) == 0 {
			writers.Wait()
			if last, err := one.Last(t.Context()); err != nil || last == after && seen < 4*each {
				t.Fatalf("%d of %d were seen, %v", seen, 4*each, err)
			}
		}
	}
	writers.Wait()
}

// TestOneOfMany has machines reserve what is only there once, in accounts in any order:
// one of them gets it.
func TestOneOfMany(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	var machines []*budgetpg.Ledger
	for _, name := range []string{"a", "b", "c"} {
		l := open(t, url+"&application_name="+name, func(db *postgres.DB) *budgetpg.Ledger { return budgetpg.NewElsewhere(db, name) })
		reserve(t, l, []budget.Account{{Key: "run/first"}}, budget.Amount{})
		machines = append(machines, l)
	}
	for round := range 30 {
		accounts := []budget.Account{{Key: fmt.Sprint("day/", round), Limits: budget.Amount{Money: 5}}, {Key: fmt.Sprint("run/", round), Limits: budget.Amount{Calls: 9}}}
		if round%2 == 0 { // they exist
			reserve(t, machines[0], accounts, budget.Amount{})
		}
		backward := []budget.Account{accounts[1], accounts[0]}
		var all sync.WaitGroup
		var got atomic.Int64
		for i := range 9 {
			order := accounts
			if i%2 == 0 {
				order = backward
			}
			all.Go(func() {
				_, short, err := machines[i%3].Reserve(order, budget.Amount{Money: 3, Calls: 1})
				if err != nil {
					t.Error(err)
				}
				if short == nil {
					got.Add(1)
				}
			})
		}
		all.Wait()
		balance(t, machines[0], accounts[0].Key, budget.Balance{Reserved: budget.Amount{Money: 3, Calls: 1}})
		if got.Load() != 1 {
			t.Fatalf("round %d: %d have reserved what is there once", round, got.Load())
		}
	}
}

// TestOldIsForgotten: accounts that were not used for a quarter of a year are removed,
// unless something is reserved of them.
func TestOldIsForgotten(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	old := open(t, url, elsewhere)
	r := reserve(t, old, []budget.Account{{Key: "run/spent"}}, budget.Amount{Money: 1})
	if err := old.Settle(nil, []budget.Reservation{r}, budget.Amount{Money: 1}, budget.Amount{}); err != nil {
		t.Fatal(err)
	}
	reserve(t, old, []budget.Account{{Key: "run/held"}}, budget.Amount{Money: 1})
	if _, err := postgrestest.Open(t, url).Exec(t.Context(), `UPDATE budget_accounts SET changed = changed - interval '91 days'`); err != nil {
		t.Fatal(err)
	}
	l := open(t, url, budgetpg.New)
	reserve(t, l, []budget.Account{{Key: "run/new"}}, budget.Amount{})
	found, err := l.Balances("run/")
	if _, held := found["run/held"]; err != nil || !held || len(found) != 2 {
		t.Errorf("%+v, %v", found, err)
	}
}

// TestServerGone: a call that cannot be reserved is not made.
func TestServerGone(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t)
	l := open(t, server.URL(t), budgetpg.New)
	run := []budget.Account{{Key: "run/r"}}
	r := reserve(t, l, run, budget.Amount{Money: 1})
	server.Kill(t)
	l.SetPatience(0)
	if _, _, err := l.Reserve(run, budget.Amount{Money: 1}); err == nil {
		t.Error("reserved without a database")
	}
	if err := l.Send(budget.Attempt{ID: 1}, []budget.Reservation{r}); err == nil {
		t.Error("sent without a database")
	}
	l.SetPatience(5 * time.Minute)
	done := make(chan error)
	go func() { done <- l.Settle(nil, []budget.Reservation{r}, budget.Amount{Money: 1}, budget.Amount{}) }()
	server.Restart(t)
	if err := <-done; err != nil {
		t.Errorf("settled when the database was back: %v", err)
	}
	balance(t, l, "run/r", budget.Balance{Spent: budget.Amount{Money: 1}})
}
