package llm

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Money is an amount in billionths of a US dollar. Sums are exact, as ceilings
// need; the cost of a call is rounded up. Add and Sub saturate at MaxMoney and
// -MaxMoney instead of wrapping around.
type Money int64

// Dollar is one US dollar.
const Dollar Money = 1e9

// MaxMoney is the largest amount. Larger results are clipped to it, and results
// below -MaxMoney to -MaxMoney.
const MaxMoney Money = math.MaxInt64

// Dollars returns the amount nearest to usd. It returns 0 for NaN.
func Dollars(usd float64) Money {
	switch nanos := math.Round(usd * float64(Dollar)); {
	case math.IsNaN(nanos):
		return 0
	case nanos >= float64(MaxMoney):
		return MaxMoney
	case nanos <= -float64(MaxMoney):
		return -MaxMoney
	default:
		return Money(nanos)
	}
}

// Add returns the sum of m and n.
func (m Money) Add(n Money) Money {
	switch {
	case n > 0 && m > MaxMoney-n:
		return MaxMoney
	case n < 0 && m < -MaxMoney-n:
		return -MaxMoney
	default:
		return m + n
	}
}

// Sub returns m minus n.
func (m Money) Sub(n Money) Money { return m.Add(-max(n, -MaxMoney)) }

// USD returns the amount in dollars, for display and statistics.
func (m Money) USD() float64 { return float64(m) / float64(Dollar) }

// String returns the amount with a dollar sign and at least two decimals, and with
// as many more as it takes to be exact.
func (m Money) String() string {
	sign := ""
	if m < 0 {
		sign, m = "-", -max(m, -MaxMoney)
	}
	decimals := strings.TrimRight(fmt.Sprintf("%09d", int64(m%Dollar)), "0")
	for len(decimals) < 2 {
		decimals += "0"
	}
	return sign + "$" + strconv.FormatInt(int64(m/Dollar), 10) + "." + decimals
}
