package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/llm/cassette"
	"github.com/claude-force/claude-force/workflow"
)

// Files that a run puts into its cassette beside its calls.
const (
	cassetteWorkflow = "workflow"
	cassetteResult   = "result.json"
	cassetteJournal  = "journal.jsonl"
)

// runCassette runs a workflow into a cassette or from one.
func (a *app) runCassette(ctx context.Context, f *runFlags, wf *workflow.Workflow, opts claudeforce.RunOptions) (err error) {
	if f.replay != "" {
		return a.replay(ctx, f, wf, opts)
	}
	meta := map[string]any{"workflow": wf.Name, "file": opts.File, "params": opts.Params}
	recorder, err := cassette.Create(f.record, cassette.Meta{Program: "claude-force " + version(), Created: time.Now().UTC(), Recorded: meta}, cassette.Options{Replace: f.fresh})
	if err != nil {
		return inputError{fmt.Errorf("--record %s: %w", f.record, err)}
	}
	defer func() { err = errors.Join(err, recorder.Close()) }()
	if err := recorder.WriteFile(cassetteWorkflow, wf.Source); err != nil {
		return err
	}
	orch, err := a.openIn(ctx, &f.callFlags, claudeforce.Options{Record: recorder, KeyOptional: !wf.NeedsModel()})
	if err != nil {
		return err
	}
	// endRun writes the result before it prints it.
	a.recording = func(res *engine.Result) error { return a.writeCassette(ctx, recorder, orch, res) }
	return closing(a.runSteps(ctx, orch, wf, f, opts), orch)
}

// writeCassette writes a run's result and journal beside its calls.
func (a *app) writeCassette(ctx context.Context, recorder *cassette.Recorder, orch *claudeforce.Orchestrator, res *engine.Result) error {
	var result bytes.Buffer
	if err := printJSON(&result, res); err != nil {
		return err
	}
	if err := recorder.WriteFile(cassetteResult, result.Bytes()); err != nil {
		return err
	}
	store, err := orch.History(ctx)
	if err != nil {
		return err
	}
	var events bytes.Buffer
	enc := json.NewEncoder(&events)
	enc.SetEscapeHTML(false)
	for ev, err := range store.Events(ctx, res.RunID, 0) {
		if err != nil {
			return err
		}
		if err := enc.Encode(ev); err != nil {
			return err
		}
	}
	return recorder.WriteFile(cassetteJournal, events.Bytes())
}

// replay runs a workflow from a cassette. What depends on the clock is taken
// from the recording, so that every replay gives the same bytes.
func (a *app) replay(ctx context.Context, f *runFlags, wf *workflow.Workflow, opts claudeforce.RunOptions) error {
	player, err := cassette.Open(f.replay)
	if err != nil {
		return inputError{fmt.Errorf("--replay %s: %w", f.replay, err)}
	}
	var recorded engine.Result
	if data, err := player.ReadFile(cassetteResult); err == nil {
		if err := json.Unmarshal(data, &recorded); err != nil {
			return inputError{fmt.Errorf("--replay %s: reading %s: %w", f.replay, cassetteResult, err)}
		}
	}
	orch, err := a.openIn(ctx, &f.callFlags, claudeforce.Options{Replay: player})
	if err != nil {
		return err
	}
	p := a.newProgress(wf, orch.Totals)
	opts.OnEvent = func(_ context.Context, ev engine.Event) { p.observe(ev) }
	res, err := orch.RunWorkflow(ctx, wf, opts)
	p.close()
	if res == nil {
		return closing(err, orch)
	}
	timeAs(res, &recorded)
	for _, call := range player.Unused() {
		a.say("note: not asked for: %s", call)
	}
	return closing(a.endRun(wf, res, err, ending{json: f.json, all: f.all, reports: f.reports, output: f.output, replayed: true}), orch)
}

// timeAs gives a replayed result the times, and the id, of the recorded one.
func timeAs(res, recorded *engine.Result) {
	res.RunID, res.TotalTimeSeconds = recorded.RunID, recorded.TotalTimeSeconds
	if res.RunID == "" {
		res.RunID = "replay"
	}
	now, then := slices.Sorted(slices.Values(res.ExecutionOrder)), slices.Sorted(slices.Values(recorded.ExecutionOrder))
	if slices.Equal(now, then) {
		res.ExecutionOrder = recorded.ExecutionOrder
	} else {
		res.ExecutionOrder = now
	}
	timeSteps(res.Steps, recorded.Steps)
}

func timeSteps(steps, recorded map[string]*engine.StepResult) {
	for id := range maps.Keys(steps) {
		timeStep(steps[id], recorded[id])
	}
}

func timeStep(s, recorded *engine.StepResult) {
	if recorded == nil {
		recorded = &engine.StepResult{}
	}
	s.StartedAt, s.DurationSeconds = recorded.StartedAt, recorded.DurationSeconds
	items := map[string]*engine.StepResult{}
	for _, item := range recorded.Items {
		items[item.Key] = item.StepResult
	}
	for _, item := range s.Items {
		timeStep(item.StepResult, items[item.Key])
	}
	timeSteps(s.Steps, recorded.Steps)
}
