package budgetdb_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/llm/budget"
	"github.com/claude-force/claude-force/llm/budget/budgetdb"
	"github.com/claude-force/claude-force/llm/budget/budgettest"
)

// open makes a ledger that is closed with the test.
func open(t testing.TB, path string) *budgetdb.Ledger {
	t.Helper()
	l := budgetdb.New(path)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return l
}

func TestLedger(t *testing.T) {
	t.Parallel()
	budgettest.Suite(t, func(t *testing.T) budget.Ledger { return open(t, filepath.Join(t.TempDir(), "budget.db")) })
}

// TestReservationsOfOthers has a process elsewhere leave a reservation, of
// which nobody here can tell whether its process is alive.
func TestReservationsOfOthers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "budget.db")
	run := []budget.Account{{Key: "run/r", Limits: budget.Amount{Calls: 1}}}
	one := budget.Amount{Calls: 1}
	other := budgetdb.NewAs(path, "elsewhere", 1)
	hold, short, err := other.Reserve(run, one)
	if err != nil || short != nil {
		t.Fatal(short, err)
	}
	here := open(t, path)
	if _, short, err := here.Reserve(run, one); err != nil || short == nil || short.Final() {
		t.Fatalf("%+v, %v; want a shortage while the other may be alive", short, err)
	}
	if err := here.Exec(`UPDATE holds SET made = made - 3601`); err != nil {
		t.Fatal(err)
	}
	if _, short, err := here.Reserve(run, one); err != nil || !short.Final() {
		t.Errorf("%+v, %v; want the reservation to count as spent after an hour", short, err)
	}
	want := budget.Balance{Spent: one, Uncertain: one}
	if got, err := here.Balance("run/r"); err != nil || got != want {
		t.Errorf("balance %+v, %v; want %+v", got, err, want)
	}
	// What the other says later changes nothing.
	if err := errors.Join(other.Settle(nil, []budget.Reservation{hold}, budget.Amount{}, budget.Amount{}), other.Close()); err != nil {
		t.Error(err)
	}
	if got, _ := here.Balance("run/r"); got != want {
		t.Errorf("balance %+v, want %+v", got, want)
	}
}

// TestFinalShortageCountsTheDead has a process leave a reservation when it ends. A call
// whose amount can never fit learns what was spent, so that it does not wait for the
// dead with a smaller amount.
func TestFinalShortageCountsTheDead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "budget.db")
	day := []budget.Account{{Key: "day/today", Limits: budget.Amount{Money: 100}}, {Key: "run/r", Limits: budget.Amount{Money: 1000}}}
	here := open(t, path)
	if _, err := here.Balance("day/today"); err != nil { // opens it: what is there then is counted
		t.Fatal(err)
	}
	dead := budgetdb.NewDead(path)
	hold, short, err := dead.Reserve(day, budget.Amount{Money: 60})
	if err != nil || short != nil {
		t.Fatal(short, err)
	}
	if _, short, err := dead.Reserve(day, budget.Amount{Money: 30}); err != nil || short != nil {
		t.Fatal(short, err)
	}
	if err := errors.Join(dead.Send(budget.Attempt{ID: 1}, []budget.Reservation{hold}), dead.Close()); err != nil {
		t.Fatal(err)
	}
	_, short, err = here.Reserve(day, budget.Amount{Money: 150})
	if err != nil || short == nil || short.Spent != 60 || short.Reserved != 0 {
		t.Errorf("%+v, %v; want what the dead sent to count as spent, and nothing else", short, err)
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	l := budgetdb.New(filepath.Join(t.TempDir(), "budget.db"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.Reserve(nil, budget.Amount{}); err == nil {
		t.Error("a closed ledger reserves")
	}
}

func BenchmarkReserveSettle(b *testing.B) {
	l := open(b, filepath.Join(b.TempDir(), "budget.db"))
	accounts := []budget.Account{
		{Key: "day/2026-11-25", Limits: budget.Amount{Money: 1 << 60}}, {Key: "run/r"}, {Key: "step/r/s"}, {Key: "agent/linter"},
	}
	id := int64(0)
	note := strings.Repeat("x", 400)
	for b.Loop() {
		hold, _, err := l.Reserve(accounts, budget.Amount{Money: 10, Tokens: 10, Calls: 1})
		if err != nil {
			b.Fatal(err)
		}
		id++
		a := budget.Attempt{ID: id, Note: note}
		if err := l.Send(a, []budget.Reservation{hold}); err != nil {
			b.Fatal(err)
		}
		if err := l.Settle(&a, []budget.Reservation{hold}, budget.Amount{Money: 5, Tokens: 5, Calls: 1}, budget.Amount{}); err != nil {
			b.Fatal(err)
		}
		l.Recorded(id)
	}
}

// TestUnrecordedAttempts: what a process that was killed has sent and not recorded is
// given to whoever records it, with its last note, and once.
func TestUnrecordedAttempts(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "budget.db")
	run := []budget.Account{{Key: "run/r"}}
	dead := budgetdb.NewDead(path)
	for id, note := range []string{"sent", "settled", "free", "recorded", ""} {
		hold, _, err := dead.Reserve(run, budget.Amount{Money: 10, Calls: 1})
		if err != nil {
			t.Fatal(err)
		}
		rs, a := []budget.Reservation{hold}, budget.Attempt{ID: int64(id + 1), Note: "sent"}
		if err := dead.Send(a, rs); err != nil {
			t.Fatal(err)
		}
		switch a.Note = note; note {
		case "sent":
		case "free":
			err = dead.Return(a, rs)
		default:
			err = dead.Settle(&a, rs, budget.Amount{Money: 3, Calls: 1}, budget.Amount{})
		}
		if err != nil {
			t.Fatal(err)
		}
		if note == "recorded" {
			dead.Recorded(a.ID)
		}
	}
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	failed := errors.New("no room")
	if err := budgetdb.Unrecorded(path, func([]budget.Attempt) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("got %v, want the error of the record", err)
	}
	var got []budget.Attempt
	take := func(list []budget.Attempt) error { got = append(got, list...); return nil }
	for range 2 { // the second time there is nothing left
		if err := budgetdb.Unrecorded(path, take); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]budget.Attempt{{ID: 1, Note: "sent"}, {ID: 2, Note: "settled"}, {ID: 3, Note: "free"}}, got); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
	want := budget.Balance{Spent: budget.Amount{Money: 3*3 + 10, Calls: 4}, Uncertain: budget.Amount{Money: 10, Calls: 1}}
	if b, err := open(t, path).Balance("run/r"); err != nil || b != want {
		t.Errorf("balance %+v, %v; want %+v", b, err, want)
	}
}

// TestEarlierVersionOpens: what a process of version 1 had reserved when it was killed
// may have been sent.
func TestEarlierVersionOpens(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "budget.db")
	if err := budgetdb.NewVersion1(path, "run/r", 10); err != nil {
		t.Fatal(err)
	}
	want := budget.Balance{Spent: budget.Amount{Money: 10}, Uncertain: budget.Amount{Money: 10}}
	if b, err := open(t, path).Balance("run/r"); err != nil || b != want {
		t.Errorf("balance %+v, %v; want %+v", b, err, want)
	}
}
