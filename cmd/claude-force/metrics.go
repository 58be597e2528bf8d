package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm/cache"
)

func (a *app) metrics() *cobra.Command {
	return &cobra.Command{
		Use:   "metrics",
		Short: "Print what the stores hold as metrics for Prometheus",
		Long: `Print totals of the runs, of the calls and of the response cache in the text format
of Prometheus, for a textfile collector or a look. A run in progress serves its
own metrics with --metrics-listen.`,
		Example: `  claude-force metrics
  claude-force metrics > /var/lib/node_exporter/claude_force.prom
  claude-force run nightly.yaml --metrics-listen 127.0.0.1:9464`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			reg := metricSet{prometheus.NewRegistry()}
			if err := a.countHistory(cmd.Context(), reg); err != nil {
				return err
			}
			if err := a.countCalls(cmd.Context(), reg); err != nil {
				return err
			}
			if err := a.countCache(cmd.Context(), reg); err != nil {
				return err
			}
			return reg.writeTo(a.stdout)
		},
	}
}

// metricSet is a set of totals that a command counts once and prints.
type metricSet struct{ reg *prometheus.Registry }

// counter returns the counter of a name. Its name ends in _total. Without labels
// it is exported as 0 from the start.
func (m metricSet) counter(name, help string, labels ...string) total {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.reg.MustRegister(vec)
	if len(labels) == 0 {
		vec.WithLabelValues()
	}
	return func(v float64, values ...string) { vec.WithLabelValues(validLabels(values)...).Add(max(v, 0)) }
}

// gauge returns the gauge of a name.
func (m metricSet) gauge(name, help string, labels ...string) total {
	vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	m.reg.MustRegister(vec)
	return func(v float64, values ...string) { vec.WithLabelValues(validLabels(values)...).Set(v) }
}

// total sets a gauge, or adds to a counter, for the values of its labels.
type total func(v float64, values ...string)

// validLabels replaces bytes that are not UTF-8, which the library refuses.
func validLabels(labels []string) []string {
	for i, label := range labels {
		labels[i] = strings.ToValidUTF8(label, "\uFFFD")
	}
	return labels
}

// writeTo writes all metrics in Prometheus's text format, sorted by name.
func (m metricSet) writeTo(w io.Writer) error {
	families, err := m.reg.Gather()
	if err != nil {
		return fmt.Errorf("gathering metrics: %w", err)
	}
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(w, family); err != nil {
			return fmt.Errorf("writing metrics: %w", err)
		}
	}
	return nil
}

func (a *app) countHistory(ctx context.Context, reg metricSet) error {
	runs := reg.gauge("claude_force_history_runs", "Runs in the history, by how they stand.", "status")
	steps := reg.gauge("claude_force_history_steps", "Steps of runs in the history, by how they stand, items counted singly.", "status")
	tokens := reg.gauge("claude_force_history_tokens", "Tokens of runs in the history.")
	cost := reg.gauge("claude_force_history_cost_usd", "What runs in the history cost, as far as prices are known.")
	return a.withHistory(ctx, func(store journal.Store) error {
		count, ends, tokenCount, usd := map[journal.Status]int{}, map[string]int{}, 0, 0.0
		for run, err := range store.Runs(ctx, journal.Filter{}) {
			if err != nil {
				return fmt.Errorf("reading the history of runs: %w", err)
			}
			count[run.Status]++
			if err := countSteps(ctx, store, &run, ends); err != nil {
				return err
			}
			tokenCount += run.Tokens
			usd += run.CostUSD
		}
		for _, status := range []journal.Status{journal.StatusRunning, journal.StatusWaiting, journal.StatusCompleted,
			journal.StatusFailed, journal.StatusInterrupted, journal.StatusCancelled} {
			runs(float64(count[status]), string(status))
		}
		for _, status := range []string{"running", "completed", "failed", "skipped", "interrupted"} {
			steps(float64(ends[status]), status)
		}
		tokens(float64(tokenCount))
		cost(usd)
		return nil
	})
}

// countSteps adds the steps of a run by how they stand.
func countSteps(ctx context.Context, store journal.Store, run *journal.Run, count map[string]int) error {
	state, err := journal.Fold(store.Events(ctx, run.ID, 0))
	if err != nil {
		return fmt.Errorf("reading the steps of run %s: %w", run.ID, err)
	}
	for _, u := range state.Units {
		switch {
		case u.Type == journal.StepFinished:
			count["completed"]++
		case u.Type == journal.StepFailed:
			count["failed"]++
		case u.Type == journal.StepSkipped:
			count["skipped"]++
		case u.Open() && run.Status.Ended():
			count["interrupted"]++
		case u.Open():
			count["running"]++
		}
	}
	return nil
}

func (a *app) countCalls(ctx context.Context, reg metricSet) error {
	ended := reg.counter("claude_force_history_calls_total", "Calls that were kept, by what answered them (none: failed).", "model", "source")
	tokens := reg.counter("claude_force_history_call_tokens_total", "Tokens of calls that the service answered, by kind.", "model", "kind")
	cost := reg.counter("claude_force_history_call_cost_usd_total", "What calls cost, as far as prices are known.", "model")
	saved := reg.counter("claude_force_history_call_saved_usd_total", "What answers would have cost that were there already.", "model", "source")
	retries := reg.counter("claude_force_history_call_retries_total", "Attempts after the first.", "model")
	return a.withCalls(ctx, func(ctx context.Context, store analytics.Store) error {
		groups, err := store.Groups(ctx, analytics.Filter{}, analytics.ByModel)
		if err != nil {
			return fmt.Errorf("reading the calls: %w", err)
		}
		for _, g := range groups {
			ended(float64(g.Live), g.Name, "live")
			ended(float64(g.Cached), g.Name, "cache")
			ended(float64(g.Coalesced), g.Name, "coalesced")
			ended(float64(g.Failed), g.Name, "none")
			tokens(float64(g.Usage.InputTokens), g.Name, "input")
			tokens(float64(g.Usage.OutputTokens), g.Name, "output")
			tokens(float64(g.Usage.CacheReadTokens), g.Name, "cache_read")
			tokens(float64(g.Usage.CacheWrite5m+g.Usage.CacheWrite1h), g.Name, "cache_write")
			cost(g.Cost.USD(), g.Name)
			saved(g.Saved.Cache.USD(), g.Name, "cache")
			saved(g.Saved.Coalesced.USD(), g.Name, "coalesced")
			retries(float64(g.Retries), g.Name)
		}
		return nil
	})
}

func (a *app) countCache(ctx context.Context, reg metricSet) error {
	entries := reg.gauge("claude_force_cache_entries", "Answers in the response cache.")
	size := reg.gauge("claude_force_cache_size_bytes", "Size of the response cache, as it counts against its limit.")
	hits := reg.counter("claude_force_cache_hits_total", "Calls that the response cache answered.")
	misses := reg.counter("claude_force_cache_misses_total", "Calls that the response cache did not answer.")
	tokens := reg.counter("claude_force_cache_saved_tokens_total", "Tokens of answers that came from the response cache.")
	usd := reg.counter("claude_force_cache_saved_usd_total", "What answers from the response cache would have cost, as far as prices are known.")
	return a.withCache(ctx, func(store cache.Backend) error {
		s, err := store.Stats(ctx)
		if err != nil {
			return err
		}
		entries(float64(s.Entries))
		size(float64(s.Bytes))
		hits(float64(s.Hits))
		misses(float64(s.Misses))
		tokens(float64(s.TokensSaved))
		if s.USDSaved != nil {
			usd(*s.USDSaved)
		}
		return nil
	})
}
