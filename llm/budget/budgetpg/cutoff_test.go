package budgetpg_test

import (
	"testing"
	"time"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
	"github.com/claude-force/claude-force/llm/budget"
	"github.com/claude-force/claude-force/llm/budget/budgetpg"
)

// TestCutOffWithinReserve cuts a machine off while it holds the locks of a reservation:
// another one reserves of the same account long before the lease of the first ends.
func TestCutOffWithinReserve(t *testing.T) {
	t.Parallel()
	address := postgrestest.URL(t)
	through, c := postgrestest.NewCable(t, address, "reserved_money = reserved_money +")
	all := []budget.Account{{Key: "day/today"}}
	far := budgetpg.NewElsewhere(postgrestest.Open(t, through+"&idle_in_transaction_session_timeout=0"), "far") // the session itself has no end
	far.SetLease(time.Hour)
	far.SetPatience(0)
	near := open(t, address, func(db *postgres.DB) *budgetpg.Ledger { return budgetpg.NewElsewhere(db, "near") })
	failed := make(chan error, 1)
	go func() {
		_, _, err := far.Reserve(all, budget.Amount{Calls: 1})
		failed <- err
	}()
	<-c.Cut
	reserve(t, near, all, budget.Amount{Calls: 1})
	balance(t, near, "day/today", budget.Balance{Reserved: budget.Amount{Calls: 1}})
	c.Pull()
	if err := <-failed; err == nil {
		t.Error("the machine that was cut off has reserved")
	}
}
