package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/claude-force/claude-force/analytics"
)

// report is figures to look at: as text on a terminal, or as a page.
type report struct {
	title    string
	period   string
	sections []section
	notes    []string
	days     bool // it shows figures of days
}

// section is a table, with a bar for each row or a chart above it.
type section struct {
	title   string
	columns []column
	rows    [][]string
	bars    []float64 // one for each row, drawn behind it; nil for none
	series  []series
	empty   string // said in place of a table without rows
}

type column struct {
	name   string
	number bool // aligned to the right
	spare  bool // left out where lines are narrow
}

// series is values over time.
type series struct {
	name   string
	unit   string // of the values, as in "$1.20"
	labels []string
	values []float64
}

// maxFilled bounds the days, weeks or months that are filled in.
const maxFilled = 4000

// withEmpty returns the series with a value of 0 for each day, week or month that is
// missing between its first and its last, so that its axis is one of time. A series
// whose labels are none of these, ascending, is returned as it is.
func (l series) withEmpty() series {
	full := series{name: l.name, unit: l.unit}
	var next time.Time // when the one after the last begins
	var kind analytics.Dimension
	for i, label := range l.labels {
		d, start, ok := analytics.ParseLabel(label)
		if !ok || i > 0 && (d != kind || start.Before(next)) {
			return l
		}
		for i > 0 && next.Before(start) {
			if len(full.labels) > maxFilled {
				return l
			}
			full.labels, full.values = append(full.labels, d.Label(next)), append(full.values, 0)
			next = d.Next(next)
		}
		full.labels, full.values = append(full.labels, label), append(full.values, l.values[i])
		kind, next = d, d.Next(start)
	}
	return full
}

func words(names ...string) []column { return columns(false, names) }

func numbers(names ...string) []column { return columns(true, names) }

func columns(number bool, names []string) []column {
	list := make([]column, len(names))
	for i, name := range names {
		list[i] = column{name: name, number: number}
	}
	return list
}

// width returns how many characters fit in a line of the standard output.
func (a *app) width() int {
	if f, ok := a.stdout.(*os.File); ok && a.answersOnTerminal {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 20 {
			return w
		}
	}
	if w, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && w > 20 {
		return w
	}
	return 100
}

// text writes a report in lines of a width.
func (r *report) text(w io.Writer, width int) {
	fmt.Fprintf(w, "%s · %s\n", r.title, r.period)
	for _, s := range r.sections {
		fmt.Fprintln(w)
		if s.title != "" {
			fmt.Fprintln(w, s.title)
		}
		s.text(w, width)
	}
	if len(r.notes) > 0 {
		fmt.Fprintln(w)
	}
	for _, n := range r.notes {
		fmt.Fprintln(w, n)
	}
}

func (s *section) text(w io.Writer, width int) {
	for _, line := range s.series {
		if len(line.values) > 0 {
			fmt.Fprintf(w, "  %-8s %s  %s … %s\n", line.name, sparkline(line.values, width-40), line.labels[0], line.labels[len(line.labels)-1])
		}
	}
	if len(s.rows) == 0 {
		if s.empty != "" {
			fmt.Fprintln(w, "  "+s.empty)
		}
		return
	}
	rows := s.rows
	if head := s.head(); head != nil {
		rows = append([][]string{head}, rows...)
	}
	if natural := s.fit(rows, 1<<20); slices.ContainsFunc(s.columns, func(c column) bool { return c.spare }) && lineWidth(natural) > width {
		s.withoutSpare().text(w, width)
		return
	}
	widths := s.fit(rows, width)
	used := 2
	for _, n := range widths {
		used += n + 2
	}
	most := 0.0
	for _, b := range s.bars {
		most = max(most, b)
	}
	for n, row := range rows {
		var sb strings.Builder
		sb.WriteString("  ")
		for i, cell := range row {
			right := i < len(s.columns) && s.columns[i].number
			sb.WriteString(pad(cut(cell, widths[i]), widths[i], right))
			sb.WriteString("  ")
		}
		if at := n - (len(rows) - len(s.rows)); s.bars != nil && at >= 0 && most > 0 {
			sb.WriteString(drawBar(s.bars[at]/most, min(width-used, 30)))
		}
		fmt.Fprintln(w, strings.TrimRight(sb.String(), " "))
	}
}

// lineWidth returns how long a line with columns of these widths is.
func lineWidth(widths []int) int {
	used := 2
	for _, n := range widths {
		used += n + 2
	}
	return used - 2
}

// withoutSpare returns the table of s without its spare columns.
func (s *section) withoutSpare() *section {
	narrow := &section{bars: s.bars, empty: s.empty}
	for _, c := range s.columns {
		if !c.spare {
			narrow.columns = append(narrow.columns, c)
		}
	}
	for _, row := range s.rows {
		var cells []string
		for i, cell := range row {
			if !s.columns[i].spare {
				cells = append(cells, cell)
			}
		}
		narrow.rows = append(narrow.rows, cells)
	}
	return narrow
}

// head returns the names of the columns; nil if none has one.
func (s *section) head() []string {
	head, named := make([]string, len(s.columns)), false
	for i, c := range s.columns {
		head[i] = c.name
		named = named || c.name != ""
	}
	if !named {
		return nil
	}
	return head
}

// fit gives the columns their widths; what is too wide for a line is taken from
// the widest.
func (s *section) fit(rows [][]string, width int) []int {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for {
		used, widest := 2, 0
		for i, n := range widths {
			used += n + 2
			if n > widths[widest] {
				widest = i
			}
		}
		if used <= width+2 || widths[widest] <= 8 {
			return widths
		}
		widths[widest]--
	}
}

func cut(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:width-1]) + "…"
}

func pad(text string, width int, right bool) string {
	space := strings.Repeat(" ", max(width-utf8.RuneCountInString(text), 0))
	if right {
		return space + text
	}
	return text + space
}

// drawBar returns a line as long as a share of a width, in eighths of characters.
func drawBar(share float64, width int) string {
	if width <= 0 || share <= 0 {
		return ""
	}
	eighths := max(int(share*float64(width)*8+0.5), 1)
	line := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		line += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return line
}

// sparkline returns a row of columns, one for each value, or for a few that do not
// fit their sum.
func sparkline(values []float64, width int) string {
	width = max(width, 10)
	if len(values) > width {
		each := (len(values) + width - 1) / width
		var sums []float64
		for i, v := range values {
			if i%each == 0 {
				sums = append(sums, 0)
			}
			sums[len(sums)-1] += v
		}
		values = sums
	}
	most := 0.0
	for _, v := range values {
		most = max(most, v)
	}
	levels := []rune("▁▂▃▄▅▆▇█")
	line := make([]rune, len(values))
	for i, v := range values {
		if most > 0 && v > 0 {
			line[i] = levels[min(int(v/most*float64(len(levels))), len(levels)-1)]
		} else {
			line[i] = levels[0]
		}
	}
	return string(line)
}
