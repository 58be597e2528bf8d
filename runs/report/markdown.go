package report

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/dustin/go-humanize/english"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/workflow"
)

// Bounds of what a summary shows.
const (
	maxShown  = 500 // lines of a list
	maxReason = 600 // characters of a text of others
)

// writeMarkdown writes a summary of a run: its steps, and what failed and why. Texts that
// others wrote stand in code spans, so that nothing in them is markup, a link or a mention.
func writeMarkdown(w io.Writer, wf *workflow.Workflow, res *engine.Result) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "# %s: %s\n\n", code(title(wf)), res.Status)
	fmt.Fprintf(out, "%s · %s · %s · %s\n", code(res.RunID), took(res.TotalTimeSeconds), dollars(res.CostUSD),
		english.Plural(res.Usage.TotalTokens(), "token", ""))
	switch {
	case res.Exited != nil:
		fmt.Fprintf(out, "\nThe run exited at %s: %s\n", code(res.Exited.Step), code(res.Exited.Message))
	case res.Error != nil:
		fmt.Fprintf(out, "\n%s\n", code(*res.Error))
	}
	fmt.Fprint(out, "\n| Step | Agent | Status | Time | Cost |\n| --- | --- | --- | ---: | ---: |\n")
	for _, s := range wf.Steps {
		step := res.Steps[s.ID]
		if step == nil {
			continue
		}
		status, time, cost := string(step.Status), "", ""
		if n := len(step.Items); n > 0 {
			status += ", " + english.Plural(n, "item", "")
			if failed := failedItems(step); failed > 0 {
				status += fmt.Sprintf(", %d failed", failed)
			}
		}
		if step.Fallback != "" {
			status += ", has the result of " + code(step.Fallback)
		}
		if step.StartedAt != nil {
			time, cost = took(step.DurationSeconds), dollars(step.CostUSD)
		}
		agent := ""
		if step.Agent != "" {
			agent = code(step.Agent)
		}
		fmt.Fprintf(out, "| %s | %s | %s | %s | %s |\n", code(s.ID), agent, status, time, cost)
	}
	writeList(out, "Findings", res.Findings, func(f workflow.Finding) string {
		line := string(f.Severity) + ": " + code(f.String())
		if f.Rule != "" {
			line += " (" + code(f.Rule) + ")"
		}
		return line
	})
	writeList(out, "What failed", failures(wf, res), func(p part) string {
		line := code(p.name())
		if p.tolerated {
			line += " (tolerated)"
		}
		return line + ": " + code(cmp.Or(why(p.res), "for no known reason"))
	})
	var skipped []engine.NotDone
	for _, n := range res.NotDone {
		if n.Status != engine.StatusFailed {
			skipped = append(skipped, n)
		}
	}
	writeList(out, "What was not done", skipped, func(n engine.NotDone) string {
		line := code(n.Step) + " (" + string(n.Status) + ")"
		if n.Reason != "" {
			line += ": " + code(n.Reason)
		}
		return line
	})
	writeList(out, "Notes", res.Notes, func(note string) string { return code(note) })
	if err := out.Flush(); err != nil {
		return fmt.Errorf("writing Markdown: %w", err)
	}
	return nil
}

// writeList writes a section with a line for each of a list, unless that is empty.
func writeList[T any](out *bufio.Writer, title string, list []T, line func(T) string) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(out, "\n## %s\n\n", title)
	for _, v := range list[:min(len(list), maxShown)] {
		fmt.Fprintf(out, "- %s\n", line(v))
	}
	if more := len(list) - maxShown; more > 0 {
		fmt.Fprintf(out, "- and %d more\n", more)
	}
}

func failedItems(step *engine.StepResult) int {
	n := 0
	for _, item := range step.Items {
		if item.Status == engine.StatusFailed {
			n++
		}
	}
	return n
}

// code returns a text as a code span of one line that may stand in a table, cut to
// maxReason characters.
func code(text string) string {
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if runes := []rune(text); len(runes) > maxReason {
		text = string(runes[:maxReason-1]) + "…"
	}
	if text == "" {
		return ""
	}
	longest, run := 0, 0
	for _, r := range text {
		if run++; r != '`' {
			run = 0
		}
		longest = max(longest, run)
	}
	fence := strings.Repeat("`", longest+1)
	space := ""
	if longest > 0 || strings.HasPrefix(text, " ") {
		space = " " // a span may not begin or end with its own mark
	}
	return fence + space + strings.ReplaceAll(invisible.Replace(text), "|", `\|`) + space + fence
}

// invisible replaces characters that reorder or hide what stands beside them.
var invisible = strings.NewReplacer(
	"\u202a", "\ufffd", "\u202b", "\ufffd", "\u202c", "\ufffd", "\u202d", "\ufffd", "\u202e", "\ufffd",
	"\u2066", "\ufffd", "\u2067", "\ufffd", "\u2068", "\ufffd", "\u2069", "\ufffd", "\u200e", "\ufffd", "\u200f", "\ufffd",
)

func took(s float64) string {
	if s < 1 {
		return strconv.FormatFloat(s*1000, 'f', 0, 64) + " ms"
	}
	return time.Duration(s * float64(time.Second)).Round(100 * time.Millisecond).String()
}

func dollars(usd *float64) string {
	switch {
	case usd == nil:
		return "cost unknown"
	case *usd == 0:
		return "$0"
	case *usd < 0.01:
		return fmt.Sprintf("$%.5f", *usd)
	}
	return fmt.Sprintf("$%.2f", *usd)
}
