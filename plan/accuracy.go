package plan

import "math"

// Promise is what a run was expected to take, as it is kept with the run.
type Promise struct {
	CostUSD  Range `json:"cost_usd"`
	Seconds  Range `json:"seconds"`
	Unpriced bool  `json:"unpriced,omitempty"` // the cost was not known whole
}

// Actual is what the run took.
type Actual struct {
	CostUSD float64
	Seconds float64
}

// Error is how far the run was above what was expected, as parts of that: 0.1 is
// 10 % more. It is NaN where nothing was expected but something came.
type Error struct{ Cost, Seconds float64 }

// Against compares with what came.
func (p *Promise) Against(a Actual) Error {
	return Error{off(p.CostUSD.Expected, a.CostUSD), off(p.Seconds.Expected, a.Seconds)}
}

func off(expected, actual float64) float64 {
	switch {
	case actual == expected:
		return 0
	case expected == 0:
		return math.NaN()
	}
	return actual/expected - 1
}

// Accuracy is how far earlier plans of a workflow were off, in the mean.
type Accuracy struct {
	Plans   int     `json:"plans"`
	Cost    float64 `json:"cost"` // 0.1 is 10 % too much or too little
	Seconds float64 `json:"seconds"`
}

// Sum adds up the errors of plans. Those that cannot be told are left out.
func Sum(errors []Error) Accuracy {
	a := Accuracy{Plans: len(errors)}
	var cost, seconds []float64
	for _, e := range errors {
		if !math.IsNaN(e.Cost) {
			cost = append(cost, math.Abs(e.Cost))
		}
		if !math.IsNaN(e.Seconds) {
			seconds = append(seconds, math.Abs(e.Seconds))
		}
	}
	a.Cost, a.Seconds = mean(cost), mean(seconds)
	return a
}
