package plan

import "math"

// Promise is the expected cost and duration of a run, stored with the run.
type Promise struct {
	CostUSD  Range `json:"cost_usd"`
	Seconds  Range `json:"seconds"`
	Unpriced bool  `json:"unpriced,omitempty"` // the cost of some steps is unknown
}

// Actual is the actual cost and duration of a run.
type Actual struct {
	CostUSD float64
	Seconds float64
}

// Error is the relative error of a plan: 0.1 means that the run took 10 % more
// than expected. It is NaN if 0 was expected and the run took more.
type Error struct{ Cost, Seconds float64 }

// Against returns the error of the promise, compared with the actual figures.
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

// Accuracy is the mean error of earlier plans of a workflow.
type Accuracy struct {
	Plans   int     `json:"plans"`
	Cost    float64 `json:"cost"` // 0.1 is 10 % too much or too little
	Seconds float64 `json:"seconds"`
}

// Sum returns the mean of the errors of plans. It leaves out errors that are NaN.
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
