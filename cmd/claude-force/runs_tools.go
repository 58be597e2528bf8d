package main

import (
	"fmt"
	"strings"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/internal/amount"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/runs"
)

// printLoops says what agents did with tools: a row for each step or item, and with
// calls a line for each call.
func (a *app) printLoops(d *runs.Detail, calls bool) error {
	if len(d.Loops) == 0 {
		return nil
	}
	rows := [][]string{{"STEP", "TURNS", "TOOL CALLS", "TOOL TIME", "MODEL TIME", "COST", "CACHING SAVED"}}
	for _, l := range d.Loops {
		took := 0.0
		for _, c := range l.Calls() {
			took += c.Seconds
		}
		model := "-" // not known before the step ends
		if u := d.State.Units[l.Unit]; u != nil && u.Finished.ServiceSeconds > 0 {
			model = amount.Seconds(u.Finished.ServiceSeconds)
		}
		cost, saved := loopCost(l)
		rows = append(rows, []string{unitName(d, l.Unit), amount.Thousands(len(l.Turns)), callsText(l.Calls()), amount.Seconds(took), model, dollars(cost), dollars(&saved)})
	}
	fmt.Fprintln(a.stdout)
	if err := table(a.stdout, rows); err != nil || !calls {
		return err
	}
	for _, l := range d.Loops {
		fmt.Fprintf(a.stdout, "\n%s\n", unitName(d, l.Unit))
		var rows [][]string
		for i, t := range l.Turns {
			rows = append(rows, []string{fmt.Sprintf("  turn %d", i+1), t.Model, plural(t.Usage.TotalTokens(), "token"), dollars(t.CostUSD)})
			for _, c := range t.Calls {
				rows = append(rows, []string{"    " + c.Tool, firstLine(c.Argument, 60), amount.Seconds(c.Seconds), outcomeText(c.Outcome)})
			}
		}
		if err := table(a.stdout, rows); err != nil {
			return err
		}
	}
	return nil
}

// loopCost returns what the turns of a loop cost, nil if that is not known, and what
// prompt caching saved, below 0 if writing cost more than reading saved.
func loopCost(l *runs.Loop) (cost *float64, saved float64) {
	prices, sum := llm.Prices(), llm.Money(0)
	cost = new(0.0)
	for _, t := range l.Turns {
		sum = sum.Add(analytics.SavedLive(prices, t.Model, "", t.Usage).Prompt)
		switch {
		case t.CostUSD == nil:
			cost = nil
		case cost != nil:
			*cost += *t.CostUSD
		}
	}
	return cost, sum.USD()
}

func callsText(calls []runs.ToolCall) string {
	counts := map[string]int{}
	for _, c := range calls {
		counts[c.Outcome]++
	}
	text := amount.Thousands(len(calls))
	var bad []string
	for _, outcome := range []string{runs.ToolFailed, runs.ToolDenied, runs.ToolInterrupted, runs.ToolRunning} {
		if n := counts[outcome]; n > 0 {
			bad = append(bad, fmt.Sprintf("%d %s", n, outcome))
		}
	}
	if len(bad) > 0 {
		text += " (" + strings.Join(bad, ", ") + ")"
	}
	return text
}

func outcomeText(outcome string) string {
	if outcome == runs.ToolOK {
		return ""
	}
	return outcome
}

// unitName returns the name of a step or an item for people.
func unitName(d *runs.Detail, unit journal.Unit) string {
	if unit.Item == "" {
		return unit.Step
	}
	label := unit.Item
	if u := d.State.Units[unit]; u != nil {
		label = runs.ItemLabel(u)
	}
	return unit.Step + "[" + firstLine(label, 40) + "]"
}

// toolEventLine returns a line on an event of a loop.
func toolEventLine(name string, ev journal.Event) (string, error) {
	if ev.Type == journal.TurnAnswered {
		var paid journal.Paid
		err := ev.Decode(&paid)
		return fmt.Sprintf("%s: turn answered · %s · %s", name, plural(paid.Usage.TotalTokens(), "token"), dollars(paid.CostUSD)), err
	}
	var call journal.ToolCall
	if err := ev.Decode(&call); err != nil || call.Tool == "" {
		return "", err
	}
	text := name + ": " + call.Tool
	if call.Argument != "" {
		text += " " + firstLine(call.Argument, 80)
	}
	if ev.Type == journal.ToolStarted {
		return text + ": started", nil
	}
	switch outcome := runs.OutcomeOf(call); outcome {
	case runs.ToolOK:
		return text + ": " + amount.Seconds(call.Seconds), nil
	case runs.ToolFailed:
		return text + ": failed after " + amount.Seconds(call.Seconds), nil
	default:
		return text + ": " + outcome, nil
	}
}
