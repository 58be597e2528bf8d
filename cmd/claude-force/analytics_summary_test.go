package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsdb"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/pipeline"
)

// TestSummaryByKey compares what a summary prints by key and by team, as text, JSON and
// CSV, with sums over the calls that were recorded.
func TestSummaryByKey(t *testing.T) {
	home := t.TempDir()
	for name, value := range map[string]string{"CLAUDE_FORCE_HOME": home, "HOME": t.TempDir(), "XDG_CONFIG_HOME": "", "CLAUDE_FORCE_TIME_ZONE": "UTC", "COLUMNS": "140"} {
		t.Setenv(name, value)
	}
	store, err := callsdb.Open(pipeline.DataDir(home).History())
	if err != nil {
		t.Fatal(err)
	}
	calls, cost := map[string]int64{}, map[string]int64{} // by dimension and name; in billionths of a dollar
	var list []analytics.Call
	for i := range 60 {
		c := analytics.Call{
			Time: time.Date(2026, 3, 1+i/4, i%24, 5, 0, 0, time.UTC), Agent: []string{"a", "b"}[i%2], Asked: "m", Model: "m", Source: llm.SourceLive,
			Duration: time.Second, Service: time.Second, Key: []string{"", "one", "=two"}[i%3], Cost: llm.Money(i * 1_000_000),
		}
		if c.Key != "" {
			c.Team = "web"
		}
		for _, name := range []string{"key " + c.Key, "team " + c.Team, "all"} {
			calls[name]++
			cost[name] += int64(i) * 1_000_000
		}
		list = append(list, c)
	}
	if err := store.Add(t.Context(), list...); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	run := func(want int, args ...string) (out, errs string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		a := &app{stdin: io.NopCloser(strings.NewReader("")), stdout: &stdout, stderr: &stderr}
		if code := a.run(t.Context(), append([]string{"analytics", "summary", "--days", "0"}, args...)); code != want {
			t.Fatalf("%q: exit code %d, want %d\n%s", args, code, want, &stderr)
		}
		return stdout.String(), stderr.String()
	}
	for _, by := range []string{"key", "team"} {
		out, _ := run(exitDone, "--by", by, "--json")
		type figures struct {
			Name  string  `json:"name"`
			Calls int64   `json:"calls"`
			USD   float64 `json:"cost_usd"`
		}
		var sum struct {
			figures
			Groups []figures `json:"groups"`
		}
		if err := json.Unmarshal([]byte(out), &sum); err != nil {
			t.Fatal(err)
		}
		check := func(format, name string, n int64, usd float64) {
			t.Helper()
			if n != calls[name] || int64(usd*1e9+0.5) != cost[name] {
				t.Errorf("%s of %s: %d calls for $%v, want %d for %d billionths", format, name, n, usd, calls[name], cost[name])
			}
		}
		check("JSON", "all", sum.Calls, sum.USD)
		for _, g := range sum.Groups {
			check("JSON", by+" "+g.Name, g.Calls, g.USD)
		}

		out, _ = run(exitDone, "--by", by, "--csv")
		rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
		if err != nil || len(rows) != 1+len(sum.Groups) {
			t.Fatalf("%d rows of CSV for %d groups: %v", len(rows)-1, len(sum.Groups), err)
		}
		at := map[string]int{}
		for i, head := range rows[0] {
			at[head] = i
		}
		for _, row := range rows[1:] {
			n, _ := strconv.ParseInt(row[at["calls"]], 10, 64)
			usd, _ := strconv.ParseFloat(row[at["cost_usd"]], 64)
			check("CSV", by+" "+strings.TrimPrefix(row[at["name"]], "'"), n, usd)
		}
		if want := map[string]int{"key": 3, "team": 2}[by]; len(sum.Groups) != want {
			t.Errorf("%d groups by %s, want %d", len(sum.Groups), by, want)
		}
		out, _ = run(exitDone, "--by", by)
		if !strings.Contains(out, "By "+by) || !strings.Contains(out, strings.ToUpper(by)) || !strings.Contains(out, "(none)") {
			t.Errorf("as text:\n%s", out)
		}
	}
	for by, want := range map[string]string{"colour": "none of day, week", "key,team": "analytics costs --by key,team"} {
		if _, errs := run(exitInput, "--by", by); !strings.Contains(errs, want) {
			t.Errorf("--by %s: %s", by, errs)
		}
	}
	if out, _ := run(exitDone, "--json"); strings.Contains(out, "groups") {
		t.Error("groups without --by")
	}
}
