package telemetry

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/claude-force/claude-force/llm"
)

// MaxKeys is how many keys of a server have series of their own in the metrics of a
// process: those that called first. All others are counted as one whose name is [OtherKeys],
// so that a series never loses what it has counted.
const MaxKeys = 100

// OtherKeys is the key and the team of the series of all keys beyond [MaxKeys].
const OtherKeys = "(other)"

// keyCounters collects what calls for keys of a server cost. Calls that are for no key are
// not counted.
type keyCounters struct {
	calls, cost, saved *prometheus.CounterVec

	mu   sync.Mutex // guards the field below
	seen map[[2]string]bool
}

func newKeyCounters() *keyCounters {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"key", "team"})
	}
	return &keyCounters{
		calls: counter("claude_force_key_calls_total", "Calls that ended, by the name of the server's key that they were for."),
		cost:  counter("claude_force_key_cost_usd_total", "What calls for a key of the server cost, as far as prices are known."),
		saved: counter("claude_force_key_saved_usd_total", "What answers for a key of the server would have cost that were there already."),
		seen:  map[[2]string]bool{},
	}
}

// Describe implements [prometheus.Collector].
func (c *keyCounters) Describe(descs chan<- *prometheus.Desc) {
	c.calls.Describe(descs)
	c.cost.Describe(descs)
	c.saved.Describe(descs)
}

// Collect implements [prometheus.Collector].
func (c *keyCounters) Collect(list chan<- prometheus.Metric) {
	c.calls.Collect(list)
	c.cost.Collect(list)
	c.saved.Collect(list)
}

// count counts a call that has ended.
func (c *keyCounters) count(tags llm.Tags, e *Ended) {
	if tags.Key == "" {
		return
	}
	labels := c.labels(tags.Key, tags.Team)
	c.calls.WithLabelValues(labels...).Inc()
	for _, sum := range []struct {
		vec *prometheus.CounterVec
		usd *float64
	}{{c.cost, e.CostUSD}, {c.saved, e.SavedUSD}} {
		if series := sum.vec.WithLabelValues(labels...); sum.usd != nil && *sum.usd > 0 {
			series.Add(*sum.usd)
		}
	}
}

// labels returns the label values of the series for a key.
func (c *keyCounters) labels(key, team string) []string {
	names := validLabels([]string{key, team})
	pair := [2]string(names)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.seen[pair] {
		if len(c.seen) == MaxKeys {
			return []string{OtherKeys, OtherKeys}
		}
		c.seen[pair] = true
	}
	return names
}
