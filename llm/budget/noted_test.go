package budget_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/claude-force/claude-force/llm/budget"
)

// TestNoted: each scope is written once it succeeds, and more than can be known are
// written again.
func TestNoted(t *testing.T) {
	t.Parallel()
	var noted budget.Noted
	var writes int
	errFull := errors.New("the disk is full")
	note := func(level budget.Level, name string, err error) error {
		return noted.Once(&budget.ExceededError{Scope: budget.Scope{Level: level, Name: name}}, func(account string) error {
			writes++
			if want := string(level) + "/" + name; account != want {
				t.Errorf("account %q, want %q", account, want)
			}
			return err
		})
	}
	if err := note(budget.Run, "r", errFull); err != errFull {
		t.Errorf("the write failed: %v", err)
	}
	for range 3 {
		if err := errors.Join(note(budget.Run, "r", nil), note(budget.Day, "r", nil)); err != nil {
			t.Error(err)
		}
	}
	if writes != 3 {
		t.Errorf("%d writes, want one that failed and one of each scope", writes)
	}
	writes = 0
	for range 2 {
		for i := range 1100 {
			if err := note(budget.Call, fmt.Sprint(i), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	if want := 1100 + 1100 - 998; writes != want { // 1000 are known, two of them from before
		t.Errorf("%d writes of 1100 scopes, two times each; want %d", writes, want)
	}
}
