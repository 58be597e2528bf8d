package budget

import (
	"fmt"
	"testing"
)

// TestFullAccountsAreBounded fills the budgets of more runs than are remembered.
func TestFullAccountsAreBounded(t *testing.T) {
	t.Parallel()
	var full fullAccounts
	for n := range 3 * maxFull {
		a := Account{Key: fmt.Sprint("run/", n), Limits: Amount{Calls: 1}}
		full.update(&a, &Balance{Spent: Amount{Calls: 1}})
		if !full.has(a.Key) || len(full.accounts) > maxFull {
			t.Fatalf("after %d accounts: %d are held, the last one: %t", n+1, len(full.accounts), full.has(a.Key))
		}
	}
}
