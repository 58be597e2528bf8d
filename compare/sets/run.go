// Package sets reads what can be compared: recorded runs, and periods of recorded calls.
package sets

import (
	"encoding/json"
	"fmt"

	"github.com/claude-force/claude-force/benchfile"
	"github.com/claude-force/claude-force/compare"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/runs"
)

// OfExport returns the metrics of a run from the file that `runs export` wrote.
// exported is false if the data is not such a file.
func OfExport(name string, data []byte) (set compare.Set, exported bool, err error) {
	var file struct {
		Run    journal.Run     `json:"run"`
		Events []journal.Event `json:"events"`
		Result *engine.Result  `json:"result"`
	}
	if err := json.Unmarshal(data, &file); err != nil || file.Run.ID == "" || file.Result == nil {
		return set, false, nil //nolint:nilerr // whoever reads it as another file says what is wrong
	}
	d := &runs.Detail{Run: file.Run, Result: file.Result}
	d.State, err = journal.Fold(func(yield func(journal.Event, error) bool) {
		for _, ev := range file.Events {
			if !yield(ev, nil) {
				return
			}
		}
	})
	if err != nil {
		return set, true, fmt.Errorf("%s: reading the exported run: %w", name, err)
	}
	return OfRun(d), true, nil
}

// OfRun returns the metrics of a run: its totals, which are one sample each, the
// time that the service took for each of its answers, and that for each step, which
// are several samples if the step is done for several items. Waiting and answers
// that were free are no part of it, so that it does not depend on how many there were.
func OfRun(d *runs.Detail) compare.Set {
	metric := func(name, unit string, samples ...float64) benchfile.Metric {
		return benchfile.Metric{Name: name, Unit: unit, Better: benchfile.Lower, Samples: samples}
	}
	failed, latency := 0.0, []float64(nil)
	steps, order := map[string][]float64{}, []string(nil)
	for _, u := range d.State.Order {
		if u.Type == journal.StepFailed {
			failed++
		}
		done := u.Finished
		if u.Type != journal.StepFinished || u.Started.Model == "" || done.Source != llm.SourceLive || done.Usage.Batch {
			continue // the service did not answer, or not at once
		}
		if steps[u.Step] == nil {
			order = append(order, u.Step)
		}
		took := done.LatencySeconds(done.DurationSeconds)
		steps[u.Step] = append(steps[u.Step], took)
		latency = append(latency, took)
	}
	set := compare.Set{Name: d.Run.ID, Unserved: len(latency) == 0, Metrics: []benchfile.Metric{
		metric("total_time", "s", d.Result.TotalTimeSeconds),
		metric("cost", "USD", d.Run.CostUSD),
		metric("tokens", "", float64(d.Run.Tokens)),
		metric("errors", "", failed),
	}}
	if len(latency) > 0 {
		set.Metrics = append(set.Metrics, metric(compare.LatencyMetric, "s", latency...))
	}
	for _, step := range order {
		set.Metrics = append(set.Metrics, metric("step."+step, "s", steps[step]...))
	}
	return set
}
