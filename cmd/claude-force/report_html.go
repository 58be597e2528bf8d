package main

import (
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strings"
)

const pageStyle = `
:root { color-scheme: light dark; --ink: #1f2328; --soft: #656d76; --line: #d0d7de; --fill: #2f6feb; --page: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #8d96a0; --line: #30363d; --fill: #58a6ff; --page: #0d1117; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; } p { color: var(--soft); margin: .2rem 0; }
table { border-collapse: collapse; width: 100%; } th, td { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); text-align: left; }
th { color: var(--soft); font-weight: 600; } .n { text-align: right; font-variant-numeric: tabular-nums; } td.bar { width: 30%; padding-right: 0; }
rect { fill: var(--fill); } line { stroke: var(--line); } text { fill: var(--soft); font-size: 11px; } svg { display: block; }
`

// html writes a report as a page that needs nothing else.
func (r *report) html(w io.Writer) error {
	var sb strings.Builder
	fmt.Fprintf(&sb, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<title>%s</title>\n<style>%s</style>\n</head>\n<body>\n<h1>%[1]s</h1>\n<p>%[3]s</p>\n",
		html.EscapeString(r.title), pageStyle, html.EscapeString(r.period))
	for _, s := range r.sections {
		s.html(&sb)
	}
	for _, n := range r.notes {
		fmt.Fprintf(&sb, "<p>%s</p>\n", html.EscapeString(n))
	}
	sb.WriteString("</body>\n</html>\n")
	if _, err := io.WriteString(w, sb.String()); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

func (s *section) html(sb *strings.Builder) {
	if s.title != "" {
		fmt.Fprintf(sb, "<h2>%s</h2>\n", html.EscapeString(s.title))
	}
	for _, line := range s.series {
		line.svg(sb)
	}
	if len(s.rows) == 0 {
		if s.empty != "" {
			fmt.Fprintf(sb, "<p>%s</p>\n", html.EscapeString(s.empty))
		}
		return
	}
	sb.WriteString("<table>\n")
	if s.head() != nil {
		sb.WriteString("<tr>")
		for _, c := range s.columns {
			fmt.Fprintf(sb, "<th%s>%s</th>", class(c), html.EscapeString(c.name))
		}
		if s.bars != nil {
			sb.WriteString("<th></th>")
		}
		sb.WriteString("</tr>\n")
	}
	most := 0.0
	for _, b := range s.bars {
		most = max(most, b)
	}
	for n, row := range s.rows {
		sb.WriteString("<tr>")
		for i, cell := range row {
			c := column{}
			if i < len(s.columns) {
				c = s.columns[i]
			}
			fmt.Fprintf(sb, "<td%s>%s</td>", class(c), html.EscapeString(cell))
		}
		if s.bars != nil {
			share := 0.0
			if most > 0 {
				share = max(s.bars[n], 0) / most
			}
			fmt.Fprintf(sb, `<td class="bar"><svg width="100%%" height="14" role="img"><rect width="%.2f%%" height="14" rx="2"><title>%.4g</title></rect></svg></td>`, 100*share, s.bars[n])
		}
		sb.WriteString("</tr>\n")
	}
	sb.WriteString("</table>\n")
}

func class(c column) string {
	if c.number {
		return ` class="n"`
	}
	return ""
}

// svg draws a series as columns over an axis of time, with a table of the values
// below it.
func (l *series) svg(sb *strings.Builder) {
	if len(l.values) == 0 {
		return
	}
	const left, width, top, height, foot = 70.0, 1000.0, 8.0, 140.0, 18.0
	ticks := axisTicks(slices.Max(l.values))
	most := ticks[len(ticks)-1]
	step := (width - left) / float64(len(l.values))
	name := html.EscapeString(l.name)
	fmt.Fprintf(sb, "<p>%s</p>\n<svg viewBox=\"0 0 %g %g\" width=\"100%%\" role=\"img\" aria-label=\"%[1]s\">\n", name, width, top+height+foot)
	for _, v := range ticks {
		y := top + height - v/most*height
		fmt.Fprintf(sb, "<line x1=\"%g\" x2=\"%g\" y1=\"%.1f\" y2=\"%[3]g\"/><text x=\"%g\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", left, width, y, left-6, y+4, l.value(v))
	}
	for i, v := range l.values {
		tall := max(v, 0) / most * height
		fmt.Fprintf(sb, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>%s: %s</title></rect>\n",
			left+float64(i)*step, top+height-tall, max(step-2, 1), tall, html.EscapeString(l.labels[i]), l.value(v))
	}
	each := (len(l.labels) + mostLabels - 1) / mostLabels
	for i := 0; i < len(l.labels); i += each {
		fmt.Fprintf(sb, "<text x=\"%.1f\" y=\"%g\">%s</text>\n", left+float64(i)*step, top+height+foot-4, html.EscapeString(l.labels[i]))
	}
	fmt.Fprintf(sb, "</svg>\n<details><summary>%s as a table</summary>\n<table>\n", name)
	for i, v := range l.values {
		fmt.Fprintf(sb, "<tr><td>%s</td><td class=\"n\">%s</td></tr>\n", html.EscapeString(l.labels[i]), l.value(v))
	}
	sb.WriteString("</table>\n</details>\n")
}

// mostLabels is how many labels fit below a chart.
const mostLabels = 10

func (l *series) value(v float64) string { return html.EscapeString(fmt.Sprintf("%s%.4g", l.unit, v)) }

// leastValue is below every value that is shown: a billionth of a dollar is the least.
const leastValue = 1e-12

// axisTicks returns the values that the axis of a chart names: from 0 up to most or
// above it, in steps of 1, 2 or 5 times a power of ten.
func axisTicks(most float64) []float64 {
	if !(most >= leastValue) || math.IsInf(most, 0) {
		return []float64{0, 1}
	}
	power := math.Pow(10, math.Floor(math.Log10(most/4)))
	step := 10 * power
	for _, n := range []float64{1, 2, 5} {
		if n*power*4 >= most {
			step = n * power
			break
		}
	}
	ticks := []float64{0}
	for i := 1; ticks[len(ticks)-1] < most; i++ {
		ticks = append(ticks, float64(i)*step)
	}
	return ticks
}
