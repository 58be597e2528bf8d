package amount_test

import (
	"testing"

	"github.com/claude-force/claude-force/internal/amount"
)

func TestAmounts(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		amount.Dollars(0): "$0", amount.Dollars(0.000123): "$0.00012", amount.Dollars(0.1234): "$0.1234", amount.Dollars(12.345): "$12.35",
		amount.Dollars(-0.00052): "-$0.00052", amount.Dollars(-12.345): "-$12.35",
		amount.Seconds(0): "0 ms", amount.Seconds(0.0123): "12 ms", amount.Seconds(1.5): "1.50 s", amount.Seconds(75): "1m15s",
		amount.Thousands(0): "0", amount.Thousands(999): "999", amount.Thousands(int64(1000)): "1,000", amount.Thousands(-1234567): "-1,234,567", amount.Thousands(-100): "-100",
	} {
		if got != want {
			t.Errorf("got %q; want %q", got, want)
		}
	}
}
