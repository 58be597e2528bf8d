package budget_test

import (
	"testing"

	"github.com/claude-force/claude-force/llm/budget"
	"github.com/claude-force/claude-force/llm/budget/budgettest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	budgettest.Suite(t, func(*testing.T) budget.Ledger { return &budget.Memory{} })
}
