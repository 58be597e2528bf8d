package compare_test

import (
	"strings"
	"testing"

	"github.com/claude-force/claude-force/benchfile"
	"github.com/claude-force/claude-force/compare"
)

// A run whose answers were all free has no latency: a condition on it does not
// fail, and a metric that does not exist is an error as ever.
func TestConditionsOnLatencyNeedAnswersOfTheService(t *testing.T) {
	t.Parallel()
	cost := benchfile.Metric{Name: "cost", Unit: "USD", Better: benchfile.Lower, Samples: []float64{1}}
	latency := benchfile.Metric{Name: compare.LatencyMetric, Unit: "s", Better: benchfile.Lower, Samples: []float64{1, 2, 3}}
	served := compare.Set{Name: "served", Metrics: []benchfile.Metric{cost, latency}}
	free := compare.Set{Name: "free", Metrics: []benchfile.Metric{cost}, Unserved: true}
	file := compare.Set{Name: "file", Metrics: []benchfile.Metric{cost}}
	for _, c := range []struct {
		was, now compare.Set
		gate     string
		valid    bool
	}{
		{served, free, "p95 > +15%", true},
		{free, served, "latency > +15%, step.a > +1%", true},
		{free, free, "p50 > +15%", true},
		{free, free, "p90 > +15%", false},
		{file, served, "p95 > +15%", false},
	} {
		report, err := compare.Compare(c.was, c.now, compare.Options{})
		if err != nil {
			t.Fatal(err)
		}
		gate, err := compare.ParseGate(c.gate)
		if err != nil {
			t.Fatal(err)
		}
		outcomes, err := gate.Check(report)
		if (err == nil) != c.valid {
			t.Errorf("%s to %s, %s: error %v", c.was.Name, c.now.Name, c.gate, err)
		}
		for _, o := range outcomes {
			if o.Failed || !strings.Contains(o.Why, "nothing to compare") {
				t.Errorf("%s to %s: %+v", c.was.Name, c.now.Name, o)
			}
		}
	}
}
