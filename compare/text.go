package compare

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize/english"
)

// WriteText writes the report as an aligned table for a terminal.
func (r *Report) WriteText(w io.Writer) error {
	fmt.Fprintf(w, "baseline: %s\ncurrent:  %s\n\n", r.Baseline, r.Current)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "METRIC\tBASELINE\tCURRENT\tCHANGE\tINTERVAL\tP\tVERDICT")
	for i := range r.Rows {
		row := &r.Rows[i]
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", row.Metric, row.figure(row.Baseline), row.figure(row.Current),
			row.change(), row.interval(), pText(row.Adjusted), row.verdict())
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%s\n", r.Sentence())
	r.writeLonely(w)
	return nil
}

// WriteMarkdown writes the report and the outcomes of a gate as they suit a pull
// request: what changed first, all the rest folded.
func (r *Report) WriteMarkdown(w io.Writer, outcomes []Outcome) error {
	var sb strings.Builder
	title := "Benchmarks: " + r.Sentence()
	if len(outcomes) > 0 {
		failed := 0
		for _, o := range outcomes {
			if o.Failed {
				failed++
			}
		}
		title = "Benchmarks: passed"
		if failed > 0 {
			title = fmt.Sprintf("Benchmarks: failed, %d of %d conditions", failed, len(outcomes))
		}
	}
	fmt.Fprintf(&sb, "### %s\n\n`%s` → `%s`\n\n", title, r.Baseline, r.Current)
	for _, o := range outcomes {
		mark := "✅"
		if o.Failed {
			mark = "❌"
		}
		fmt.Fprintf(&sb, "- %s `%s`: %s\n", mark, o.Condition, o.Why)
	}
	if len(outcomes) > 0 {
		fmt.Fprintf(&sb, "\n%s\n\n", r.Sentence())
	}
	if changed := r.Changed(); len(changed) > 0 {
		markdownTable(&sb, changed)
		sb.WriteString("\n")
	}
	all := make([]*Row, len(r.Rows))
	for i := range r.Rows {
		all[i] = &r.Rows[i]
	}
	fmt.Fprintf(&sb, "<details><summary>All %d metrics</summary>\n\n", len(all))
	markdownTable(&sb, all)
	sb.WriteString("\n")
	r.writeLonely(&sb)
	sb.WriteString("</details>\n")
	_, err := io.WriteString(w, sb.String())
	return err
}

func markdownTable(w io.Writer, rows []*Row) {
	fmt.Fprint(w, "| metric | baseline | current | change | interval | p | verdict |\n|---|--:|--:|--:|--:|--:|---|\n")
	for _, row := range rows {
		fmt.Fprintf(w, "| `%s` | %s | %s | %s | %s | %s | %s |\n", row.Metric, row.figure(row.Baseline), row.figure(row.Current),
			row.change(), row.interval(), pText(row.Adjusted), row.verdict())
	}
}

// Sentence returns the report in one sentence.
func (r *Report) Sentence() string {
	better, worse := 0, 0
	for _, row := range r.Changed() {
		if row.Verdict == Better {
			better++
		} else {
			worse++
		}
	}
	if better+worse == 0 {
		return fmt.Sprintf("no significant change in %s (level %g%% for all together).", english.Plural(len(r.Rows), "metric", ""), 100*r.Alpha)
	}
	return fmt.Sprintf("%d better, %d worse, %d without significant change (level %g%% for all together).", better, worse, len(r.Rows)-better-worse, 100*r.Alpha)
}

func (r *Report) writeLonely(w io.Writer) {
	for _, side := range []struct {
		name    string
		metrics []string
	}{{r.Baseline, r.OnlyBefore}, {r.Current, r.OnlyAfter}} {
		if len(side.metrics) > 0 {
			fmt.Fprintf(w, "Only in %s: %s.\n", side.name, strings.Join(side.metrics, ", "))
		}
	}
}

// figure returns one side's figure with how far its interval reaches.
func (r *Row) figure(s Side) string {
	text := Number(s.Center, r.Unit)
	if s.Lo == nil || s.Hi == nil || s.Center <= 0 {
		return text
	}
	return fmt.Sprintf("%s ± %.0f%%", text, 100*max(*s.Hi/s.Center-1, 1-*s.Lo/s.Center))
}

func (r *Row) change() string {
	if r.Verdict == Same && !(r.few && r.apart) {
		return "~"
	}
	return percent(r.Change())
}

func (r *Row) interval() string {
	if r.RatioLo == nil || r.RatioHi == nil {
		return "-"
	}
	return percent(*r.RatioLo-1) + " to " + percent(*r.RatioHi-1)
}

func (r *Row) verdict() string {
	if r.Note != "" {
		return string(r.Verdict) + "; " + r.Note
	}
	return string(r.Verdict)
}

func percent(change float64) string {
	if math.IsInf(change, 0) {
		return "from 0"
	}
	return fmt.Sprintf("%+.1f%%", 100*change)
}

func pText(p *float64) string {
	switch {
	case p == nil:
		return "-"
	case *p < 0.001:
		return "<0.001"
	}
	return fmt.Sprintf("%.3f", *p)
}

// Number writes a value with its unit, to three digits or so.
func Number(v float64, unit string) string {
	switch unit {
	case "s":
		if v < 1e-3 {
			return fmt.Sprintf("%.3g µs", v*1e6)
		}
		if v < 1 {
			return fmt.Sprintf("%.3g ms", v*1e3)
		}
		if v < 600 {
			return fmt.Sprintf("%.3g s", v)
		}
		return time.Duration(v * float64(time.Second)).Round(time.Second).String()
	case "USD":
		return fmt.Sprintf("$%.4g", v)
	case "":
		return fmt.Sprintf("%.4g", v)
	}
	return fmt.Sprintf("%.4g %s", v, unit)
}
