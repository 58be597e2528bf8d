package suite_test

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/claude-force/claude-force/bench/suite"
	"github.com/claude-force/claude-force/benchfile"
)

// TestAllMeasure runs everything small: each metric has all samples, and what is
// measured can be written to a file.
func TestAllMeasure(t *testing.T) {
	t.Parallel()
	want := map[string][]string{
		"async":    {"async.parallel.3", "async.sequential.3", "async.speedup.3", "async.parallel.10"},
		"cache":    {"cache.miss", "cache.hit", "cache.lookup", "cache.cost.with", "cache.hit_rate"},
		"workflow": {"workflow.eager.100", "workflow.levels.100", "total_time", "latency", "cost", "tokens", "throughput"},
		"query":    {"query.raw", "query.rollups", "query.cached", "query.speedup", "query.hit_rate"},
	}
	for _, b := range suite.All() {
		t.Run(b.Name, func(t *testing.T) {
			t.Parallel()
			told := 0
			res, err := b.Run(t.Context(), suite.Options{Samples: 2, Latency: 2 * time.Millisecond, Small: true, Progress: func(string) { told++ }})
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range want[b.Name] {
				i := slices.IndexFunc(res.Metrics, func(m benchfile.Metric) bool { return m.Name == name })
				if i < 0 {
					t.Errorf("no metric %s", name)
					continue
				}
				if n := len(res.Metrics[i].Samples); n != 2 && name != "latency" || name == "latency" && n != 8 {
					t.Errorf("%d samples of %s", n, name)
				}
			}
			if told != 2 {
				t.Errorf("told %d times of 2 samples", told)
			}
			file := &benchfile.File{Summary: res.Summary, Metrics: res.Metrics}
			if err := benchfile.Write(filepath.Join(t.TempDir(), "x.json"), file); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestWorkIsTheSameEachTime compares what does not depend on time.
func TestWorkIsTheSameEachTime(t *testing.T) {
	t.Parallel()
	res, err := suite.Cache(t.Context(), suite.Options{Samples: 2, Latency: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range res.Metrics {
		switch m.Name {
		case "cache.cost.with", "cache.cost.without", "cache.hit_rate":
			if m.Samples[0] != m.Samples[1] || m.Samples[0] <= 0 {
				t.Errorf("%s varies: %v", m.Name, m.Samples)
			}
		}
	}
	if *res.Summary.CacheHitRate != 0.45 || *res.Summary.CostSavings <= 0.2 {
		t.Errorf("hit rate %v, savings %v; 9 of 20 tasks were asked before", *res.Summary.CacheHitRate, *res.Summary.CostSavings)
	}
}

// TestResultsAreKeptBetweenWrites compares the hit rate with what the dashboard
// does: calls are added before 10 of its 50 rounds.
func TestResultsAreKeptBetweenWrites(t *testing.T) {
	t.Parallel()
	res, err := suite.Query(t.Context(), suite.Options{Samples: 2, Small: true})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(res.Metrics, func(m benchfile.Metric) bool { return m.Name == "query.hit_rate" })
	if i < 0 || !slices.Equal(res.Metrics[i].Samples, []float64{0.8, 0.8}) {
		t.Errorf("metric %d of %+v; want a hit rate of 0.8 in both samples", i, res.Metrics)
	}
}

func BenchmarkAsync(b *testing.B)    { run(b, suite.Async) }
func BenchmarkCache(b *testing.B)    { run(b, suite.Cache) }
func BenchmarkWorkflow(b *testing.B) { run(b, suite.Workflow) }
func BenchmarkQuery(b *testing.B)    { run(b, suite.Query) }

// run takes b.N samples, and reports the median of each metric, and its ratio to
// the floor.
func run(b *testing.B, measure func(context.Context, suite.Options) (*suite.Result, error)) {
	var c benchfile.File
	for b.Loop() {
		res, err := measure(b.Context(), suite.Options{Samples: 1, Latency: 50 * time.Millisecond})
		if err != nil {
			b.Fatal(err)
		}
		for _, m := range res.Metrics {
			have := c.Metric(m.Name)
			if have == nil {
				c.Metrics = append(c.Metrics, m)
				continue
			}
			have.Samples = append(have.Samples, m.Samples...)
			if m.Floor != nil {
				have.Floor.Samples = append(have.Floor.Samples, m.Floor.Samples...)
			}
		}
	}
	for i := range c.Metrics {
		m := &c.Metrics[i]
		b.ReportMetric(benchfile.Median(m.Samples), m.Name+unit(m.Unit))
		if m.Floor != nil {
			b.ReportMetric(m.Ratio(), m.Name+"-x-floor")
		}
	}
}

func unit(u string) string {
	if u == "" {
		return ""
	}
	return "-" + u
}
