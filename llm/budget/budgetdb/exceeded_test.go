package budgetdb_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/claude-force/claude-force/llm/budget"
	"github.com/claude-force/claude-force/llm/budget/budgetdb"
)

// TestExceeded: each scope is written down once, whichever process finds it without
// room, and who reads after the last number misses none.
func TestExceeded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "budget.db")
	read := budgetdb.NewExcesses(path)
	t.Cleanup(func() { _ = read.Close() })
	if list, err := read.After(t.Context(), 0, 10); err != nil || len(list) != 0 {
		t.Fatalf("of no file: %+v, %v", list, err)
	}
	one, other := open(t, path), open(t, path)
	note := func(l *budgetdb.Ledger, level budget.Level, name string) {
		t.Helper()
		if err := l.NoteExceeded(&budget.ExceededError{Scope: budget.Scope{Level: level, Name: name}, Kind: budget.Dollars, Limit: 7, Spent: 6}); err != nil {
			t.Fatal(err)
		}
	}
	before := time.Now().Truncate(time.Second)
	note(one, budget.Run, "r")
	note(other, budget.Run, "r")
	note(one, budget.Run, "r")
	note(other, budget.Day, "r")
	list, err := read.After(t.Context(), 0, 10)
	want := []budget.Exceeded{
		{Level: budget.Run, Name: "r", Kind: budget.Dollars, Limit: 7, Spent: 6},
		{Level: budget.Day, Name: "r", Kind: budget.Dollars, Limit: 7, Spent: 6},
	}
	if diff := cmp.Diff(want, list, cmpopts.IgnoreFields(budget.Exceeded{}, "At", "N")); diff != "" || err != nil {
		t.Fatalf("%v\n%s", err, diff)
	}
	if at := list[0].At; at.Before(before) || at.After(time.Now()) {
		t.Errorf("it was at %v", at)
	}
	first, second := list[0].N, list[1].N
	if few, err := read.After(t.Context(), first, 1); err != nil || len(few) != 1 || few[0].N != second || second <= first {
		t.Errorf("after the first: %+v, %v", few, err)
	}
	// What is old is forgotten, and its number is not used again.
	if err := one.Exec(`UPDATE exceeded SET at = 1`); err != nil {
		t.Fatal(err)
	}
	third := open(t, path)
	note(third, budget.Agent, "a")
	if list, err = read.After(t.Context(), 0, 10); err != nil || len(list) != 1 || list[0].N <= second {
		t.Errorf("after what is old: %+v, %v", list, err)
	}
	if last, err := read.Last(t.Context()); err != nil || last != list[0].N {
		t.Errorf("the last is %d, %v", last, err)
	}
}
