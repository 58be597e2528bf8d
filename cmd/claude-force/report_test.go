package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestBarsAndSparklines(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		drawBar(1, 4): "████", drawBar(0.5, 4): "██", drawBar(0.40625, 4): "█▋", drawBar(0.001, 4): "▏", drawBar(0, 4): "", drawBar(1, 0): "",
		sparkline([]float64{0, 1, 2, 4, 8}, 10): "▁▂▃▅█", sparkline([]float64{0, 0}, 10): "▁▁", sparkline(make([]float64, 95), 10): strings.Repeat("▁", 10),
	} {
		if got != want {
			t.Errorf("got %q; want %q", got, want)
		}
	}
}

// TestReportsKeepToTheWidth: no line is longer, whatever is in the table, as long
// as its columns have room for eight characters each.
func TestReportsKeepToTheWidth(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(44, 160).Draw(t, "width")
		cells := rapid.SliceOfN(rapid.StringMatching(`[a-zé ]{0,60}`), 4, 4)
		s := section{columns: append(words("ONE", "TWO"), numbers("THREE", "FOUR")...), rows: rapid.SliceOfN(cells, 1, 5).Draw(t, "rows"), bars: []float64{}}
		for range s.rows {
			s.bars = append(s.bars, rapid.Float64Range(0, 1e9).Draw(t, "bar"))
		}
		var out bytes.Buffer
		s.text(&out, width)
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > width {
				t.Fatalf("a line of %d characters in %d: %q", n, width, line)
			}
		}
	})
}

func TestPagesEscapeWhatTheyShow(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	r := report{title: "<a>", period: "<b>", notes: []string{"<c>"}, sections: []section{{
		title: "<d>", columns: words("<e>"), rows: [][]string{{"<f>"}}, series: []series{{name: "<g>", labels: []string{"<h>"}, values: []float64{1}}},
	}, {empty: "<i>"}}}
	if err := r.html(&out); err != nil {
		t.Fatal(err)
	}
	for _, c := range "abcdefghi" {
		if strings.Contains(out.String(), "<"+string(c)+">") || !strings.Contains(out.String(), "&lt;"+string(c)+"&gt;") {
			t.Errorf("<%c> is not escaped", c)
		}
	}
}

// TestChartsNameTheirValues: both axes have ticks, each bar has its value, and so
// does a table.
func TestChartsNameTheirValues(t *testing.T) {
	t.Parallel()
	var sb strings.Builder
	l := series{name: "cost", unit: "$", labels: []string{"first", "middle", "<last>"}, values: []float64{1, 4, 2}}
	l.svg(&sb)
	for _, want := range []string{
		`text-anchor="end">$0</text>`, `text-anchor="end">$2</text>`, `text-anchor="end">$4</text>`, `>first</text>`, `>&lt;last&gt;</text>`,
		`height="70.0"><title>&lt;last&gt;: $2</title>`, `<tr><td>middle</td><td class="n">$4</td></tr>`,
	} {
		if !strings.Contains(sb.String(), want) {
			t.Errorf("%s\nis without %s", &sb, want)
		}
	}
}

func TestAxisTicks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.Float64Range(-1, 1e12).Draw(t, "most")
		if rapid.Bool().Draw(t, "small") {
			most /= 1e15
		}
		ticks := axisTicks(most)
		last := ticks[len(ticks)-1]
		if ticks[0] != 0 || len(ticks) < 2 || len(ticks) > 7 || last < most || most >= leastValue && last > 2.5*most {
			t.Fatalf("the axis up to %g has %v", most, ticks)
		}
	})
}

func TestPeriods(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("", 2*3600)
	now := time.Date(2026, 11, 25, 10, 30, 0, 0, zone)
	for _, row := range []struct {
		flags        periodFlags
		since, until string
	}{
		{periodFlags{days: 7}, "2026-11-18T10:00:00+02:00", ""},
		{periodFlags{days: 0}, "", ""},
		{periodFlags{days: 7, since: "2026-11-01"}, "2026-11-01T00:00:00+02:00", ""},
		{periodFlags{days: 7, since: "2026-11-01", until: "2026-11-07"}, "2026-11-01T00:00:00+02:00", "2026-11-08T00:00:00+02:00"},
		{periodFlags{days: 1, until: "2026-11-07T12:00"}, "2026-11-06T12:00:00+02:00", "2026-11-07T12:00:00+02:00"},
		{periodFlags{since: "36h"}, "2026-11-23T22:30:00+02:00", ""},
		{periodFlags{since: "2026-11-01T08:00:00Z"}, "2026-11-01T08:00:00Z", ""},
	} {
		f, err := row.flags.filter(now)
		if err != nil {
			t.Errorf("%+v: %v", row.flags, err)
			continue
		}
		for _, x := range []struct {
			got  time.Time
			want string
		}{{f.Since, row.since}, {f.Until, row.until}} {
			want, _ := time.Parse(time.RFC3339, x.want)
			if !x.got.Equal(want) {
				t.Errorf("%+v: %v; want %v", row.flags, x.got, want)
			}
		}
	}
}
