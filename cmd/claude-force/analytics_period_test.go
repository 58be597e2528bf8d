package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsdb"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/pipeline"
)

// TestEveryViewNamesThePeriodThatItAnswers asks every view for a period whose rows,
// or hours, were dropped. A new verb of analytics with --since is asked too.
func TestEveryViewNamesThePeriodThatItAnswers(t *testing.T) {
	home := t.TempDir()
	t.Setenv("CLAUDE_FORCE_HOME", home)
	t.Setenv("CLAUDE_FORCE_TIME_ZONE", "UTC")
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", "")
	store, err := callsdb.Open(pipeline.DataDir(home).History())
	if err != nil {
		t.Fatal(err)
	}
	first := time.Date(2026, 3, 1, 0, 30, 0, 0, time.UTC)
	var calls []analytics.Call
	for hour := range 20 * 24 {
		c := analytics.Call{Time: first.Add(time.Duration(hour) * time.Hour), Agent: "a", Asked: "m", Workflow: "w", Source: llm.SourceLive, Duration: time.Second, Service: time.Second, Cost: 1000}
		if hour%3 == 0 {
			c.Code, c.Source = llm.CodeServer, ""
		}
		calls = append(calls, c)
	}
	if err := store.Add(t.Context(), calls...); err != nil {
		t.Fatal(err)
	}
	const day = 24 * time.Hour
	if _, err := store.Prune(t.Context(), analytics.Retention{Rows: 5 * day, Hours: 10 * day}, first.Add(20*day)); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (out, errs string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		a := &app{stdin: io.NopCloser(strings.NewReader("")), stdout: &stdout, stderr: &stderr}
		if code := a.run(t.Context(), args); code != exitDone {
			t.Fatalf("%q: exit code %d\n%s", args, code, &stderr)
		}
		return stdout.String(), stderr.String()
	}
	const asked, sums, rows = "2026-03-05 07:20", "2026-03-05 00:00", "2026-03-16 00:00"
	views := 0
	for _, verb := range (&app{}).analytics().Commands() {
		if verb.Flags().Lookup("since") == nil {
			continue
		}
		views++
		args := []string{"analytics", verb.Name(), "--since", "2026-03-05T07:20"}
		want := sums
		switch verb.Name() {
		case "slowest", "failures", "tools", "export":
			want = rows
		}
		out, errs := run(args...)
		if verb.Name() == "export" {
			out = errs // its figures are for programs
		}
		if !strings.Contains(out, "since "+want) || strings.Contains(out, asked) {
			t.Errorf("%s does not name the period that it answered:\n%.400s", verb.Name(), out)
		}
		if verb.Name() == "export" {
			continue
		}
		page := filepath.Join(t.TempDir(), "page.html")
		run(append(args, "--html", page)...)
		if html, err := os.ReadFile(page); err != nil || !strings.Contains(string(html), "since "+want) {
			t.Errorf("the page of %s does not name the period that it answered: %v", verb.Name(), err)
		}
		for _, format := range []string{"--json", "--csv"} {
			if _, errs := run(append(args, format)...); !strings.Contains(errs, want) {
				t.Errorf("%s %s does not say which period it answered: %q", verb.Name(), format, errs)
			}
		}
	}
	if views < 8 {
		t.Errorf("%d views were asked", views)
	}
	if out, _ := run("analytics", "costs", "--by", "agent,model", "--since", "2026-03-05"); !strings.Contains(out, "since "+rows) {
		t.Errorf("costs by agent and model: %s", out)
	}

	// Samples are of rows.
	if _, errs := run("analytics", "compare", "2026-03-10..17", "2026-03-18..20"); !strings.Contains(errs, rows) {
		t.Errorf("compare does not say that it has a part only: %q", errs)
	}
	var stderr bytes.Buffer
	a := &app{stdin: io.NopCloser(strings.NewReader("")), stdout: io.Discard, stderr: &stderr}
	if code := a.run(t.Context(), []string{"analytics", "compare", "2026-03-02..04", "2026-03-18..20", "--fail-if", "cost > +10%"}); code != exitInput || !strings.Contains(stderr.String(), "kept in sums only") {
		t.Errorf("exit code %d: %s", code, &stderr)
	}

	// Days whose hours are gone are those of UTC.
	t.Setenv("CLAUDE_FORCE_TIME_ZONE", "America/Los_Angeles")
	for _, verb := range []string{"summary", "costs"} {
		if out, _ := run("analytics", verb, "--days", "0"); !strings.Contains(out, "are those of UTC") {
			t.Errorf("%s does not say whose days it shows:\n%s", verb, out)
		}
	}
}
