package llm

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Money is an amount in billionths of a US dollar. Sums of it are exact, which
// ceilings need; what a call costs is rounded up to it.
type Money int64

// Dollar is one US dollar.
const Dollar Money = 1e9

// MaxMoney is more than anybody has; amounts that would exceed it are it.
const MaxMoney Money = math.MaxInt64

// Dollars is the amount nearest to usd. What is not a number is 0.
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

// USD is the amount in dollars, for showing and for statistics.
func (m Money) USD() float64 { return float64(m) / float64(Dollar) }

// String is the amount as people write it: at least two decimals, and as many
// more as it takes to be exact.
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
