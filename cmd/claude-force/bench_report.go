package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/benchfile"
	"github.com/claude-force/claude-force/compare"
)

// barWidth is the length of the longest bar.
const barWidth = 24

func (a *app) printBench(f *benchfile.File, report bool) error {
	if report {
		fmt.Fprintf(a.stdout, "%s, commit %s, %s\n%s, %d cores, %s/%s, %s\n\n", f.Program, orDash(f.Commit), f.Time.Format("2006-01-02 15:04 MST"),
			orDash(f.Machine.CPU), f.Machine.Cores, f.Machine.OS, f.Machine.Arch, f.Machine.Go)
	}
	header := []string{"METRIC", "MEDIAN", "FLOOR", "RATIO", "TARGET"}
	if report {
		header = append(header, "")
	}
	rows := [][]string{header}
	longest := longestOf(f)
	for i := range f.Metrics {
		m := &f.Metrics[i]
		middle := benchfile.Median(m.Samples)
		row := []string{m.Name, compare.Number(middle, m.Unit), "", "", ""}
		if m.Floor != nil {
			row[2] = compare.Number(benchfile.Median(m.Floor.Samples), m.Unit)
			row[3] = fmt.Sprintf("%.4gx", m.Ratio())
			if m.Floor.Target > 0 {
				row[4] = fmt.Sprintf("<= %gx: %s", m.Floor.Target, reached(m.Ratio() <= m.Floor.Target))
			}
		}
		if report {
			if most := longest[family(m)]; most > 0 {
				row = append(row, drawBar(middle/most, barWidth))
			}
		}
		rows = append(rows, row)
	}
	if err := table(a.stdout, rows); err != nil {
		return err
	}
	a.printFloors(f)
	if report {
		return a.printBenchSummary(&f.Summary)
	}
	return nil
}

func reached(ok bool) string {
	if ok {
		return "reached"
	}
	return "MISSED"
}

// family returns what metrics whose bars can be compared have in common: the first
// part of their names and the unit.
func family(m *benchfile.Metric) string {
	first, _, _ := strings.Cut(m.Name, ".")
	return first + " " + m.Unit
}

func longestOf(f *benchfile.File) map[string]float64 {
	longest := map[string]float64{}
	for i := range f.Metrics {
		m := &f.Metrics[i]
		longest[family(m)] = max(longest[family(m)], benchfile.Median(m.Samples))
	}
	return longest
}

// printFloors explains each floor.
func (a *app) printFloors(f *benchfile.File) {
	byWhat := map[string][]string{}
	var order []string
	for i := range f.Metrics {
		m := &f.Metrics[i]
		if m.Floor == nil {
			continue
		}
		if !slices.Contains(order, m.Floor.What) {
			order = append(order, m.Floor.What)
		}
		byWhat[m.Floor.What] = append(byWhat[m.Floor.What], m.Name)
	}
	if len(order) > 0 {
		fmt.Fprintln(a.stdout, "\nFloors, measured in the same run:")
	}
	for _, what := range order {
		fmt.Fprintf(a.stdout, "  %s: %s\n", strings.Join(byWhat[what], ", "), what)
	}
}

// printBenchSummary prints what was measured of it, by the names of the file.
func (a *app) printBenchSummary(s *benchfile.Summary) error {
	rows := [][]string{}
	for _, field := range []struct {
		name, unit string
		value      *float64
	}{
		{"workflow_time_before", "s", s.WorkflowTimeBefore}, {"workflow_time_after", "s", s.WorkflowTimeAfter}, {"speedup", "x", s.Speedup},
		{"cost_before", "USD", s.CostBefore}, {"cost_after", "USD", s.CostAfter}, {"cost_savings", "", s.CostSavings},
		{"cache_hit_rate", "", s.CacheHitRate}, {"throughput_before", "1/h", s.ThroughputBefore}, {"throughput_after", "1/h", s.ThroughputAfter},
	} {
		if field.value != nil {
			rows = append(rows, []string{"  " + field.name, compare.Number(*field.value, field.unit)})
		}
	}
	if len(rows) == 0 {
		return nil
	}
	fmt.Fprintln(a.stdout, "\nSummary:")
	return table(a.stdout, rows)
}
