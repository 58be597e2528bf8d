package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/internal/amount"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/runs"
)

// Strokes of a timeline.
const (
	workingStroke = "█" // requests are in flight, or what a step does is not known
	waitingStroke = "─" // nothing is in flight
	toolStroke    = "▒" // tools of the agent run
	failedStroke  = "x" // as working, of a step that failed
	openStroke    = "░" // as working, of a step that has not ended
	toolLegend    = "▒ tools of the agent run"
	legend        = "█ the service works · ─ waiting: for a slot, a limit, a budget, another attempt or a person"
)

// timeline draws the steps of a run over time. Inner steps and items are summed up
// unless they are asked for.
func timeline(d *runs.Detail, items bool, width int) string {
	t := d.Timeline(items)
	names, notes := make([]string, len(t.Bars)), make([]string, len(t.Bars))
	name, note := 4, 0
	for i, b := range t.Bars {
		names[i], notes[i] = strings.Repeat("  ", b.Depth)+b.Name, barNote(&b)
		name, note = max(name, len([]rune(names[i]))), max(note, len([]rune(notes[i])))
	}
	name = min(name, 40)
	space := max(width-name-note-5, 10)
	var sb strings.Builder
	fmt.Fprintf(&sb, "%-*s  0%*s\n", name+2, "", space-1, amount.Seconds(t.Span().Seconds()))
	waits, tools := false, false
	for i, b := range t.Bars {
		mark := " "
		if b.Critical {
			mark = "*"
		}
		from, strokes := t.Draw(&b, space)
		waits, tools = waits || slices.Contains(strokes, runs.Waiting), tools || slices.Contains(strokes, runs.Tooling)
		before := "·"
		if strokes == nil {
			before = " "
		}
		line := strings.Repeat(before, from) + drawn(strokes, b.Result.Status) + strings.Repeat(" ", space-from-len(strokes))
		fmt.Fprintf(&sb, "%s %-*s  %s  %s\n", mark, name, firstLine(names[i], name), line, notes[i])
	}
	if waits {
		fmt.Fprintf(&sb, "%-*s  %s\n", name+2, "", legend)
	}
	if tools {
		fmt.Fprintf(&sb, "%-*s  %s\n", name+2, "", toolLegend)
	}
	return sb.String()
}

// drawn returns the strokes of a step with a status as text.
func drawn(strokes []runs.Stroke, status engine.Status) string {
	working := openStroke
	switch status {
	case engine.StatusCompleted:
		working = workingStroke
	case engine.StatusFailed:
		working = failedStroke
	}
	var sb strings.Builder
	for _, s := range strokes {
		switch s {
		case runs.Waiting:
			sb.WriteString(waitingStroke)
		case runs.Tooling:
			sb.WriteString(toolStroke)
		default:
			sb.WriteString(working)
		}
	}
	return sb.String()
}

// barNote returns what is said beside a row of a timeline.
func barNote(b *runs.Bar) string {
	res := b.Result
	note := string(res.Status)
	if res.Status == engine.StatusCompleted {
		note = tookOf(res) + " · "
		if res.Source != "" {
			note += string(res.Source) + " · "
		}
		note += dollars(res.CostUSD)
	}
	if n := len(res.Items); n > 0 {
		done := 0
		for _, item := range res.Items {
			if item.Status == engine.StatusCompleted {
				done++
			}
		}
		note += fmt.Sprintf(" · %d/%s", done, plural(n, "item"))
	}
	if w := b.Within; w != nil && w.Items > 0 {
		note += fmt.Sprintf(" · %d/%s", w.Completed, plural(w.Items, "item"))
	}
	return note
}

// noticeable is the waiting that is worth a word.
const noticeable = 0.05 // seconds

// took returns how long something took and what of it was waiting. Of several
// calls at once that is the sum of their waiting.
func took(t *llm.Timing, duration float64, several bool) string {
	switch {
	case t.WaitedSeconds < noticeable:
		return amount.Seconds(duration)
	case several:
		return amount.Seconds(duration) + ", its calls waited " + amount.Seconds(t.WaitedSeconds)
	}
	return amount.Seconds(duration) + ", " + amount.Seconds(t.WaitedSeconds) + " of it waiting"
}

// tookOf returns how long a step took and what of it was waiting.
func tookOf(r *engine.StepResult) string {
	return took(&r.Timing, r.DurationSeconds, len(r.Items)+len(r.Steps)+r.Iterations > 0 || r.Calls > 1)
}

// times returns rows on the times of a run's calls.
func times(d *runs.Detail) [][]string {
	t := d.Result.Timing
	if t.ServiceSeconds == 0 {
		return nil
	}
	rows := [][]string{{"service", amount.Seconds(t.ServiceSeconds) + " for its answers, one after the other"}}
	if speedup := d.Speedup(); speedup >= 1 {
		rows[0][1] += fmt.Sprintf("; %.2fx as fast", speedup)
	}
	return append(rows, []string{"waited", amount.Seconds(t.WaitedSeconds) + " in all calls: for a slot, a limit, a budget or another attempt"})
}
