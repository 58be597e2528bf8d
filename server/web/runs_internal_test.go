package web

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/memory"
)

// fillRuns makes runs that have ended: of each ten, one failed and is of the workflow
// rare, and nine are completed.
func fillRuns(t *testing.T, n int) *Pages {
	t.Helper()
	store := memory.New()
	for i := range n {
		run, end := journal.Run{ID: fmt.Sprintf("run_%05d", i), Workflow: "common"}, journal.StatusCompleted
		if i%10 == 0 {
			run.Workflow, end = "Rare ones", journal.StatusFailed
		}
		log, err := store.Create(context.Background(), run)
		if err != nil {
			t.Fatal(err)
		}
		log.Append(journal.Event{Type: journal.RunFinished, Detail: journal.Detail(journal.RunEnd{Status: end})})
		if err := log.Release(); err != nil {
			t.Fatal(err)
		}
	}
	return &Pages{opts: Options{Store: store}}
}

// TestRunsSearch walks through all pages of a search: each run that has the text is on
// one of them, also if none of those that a page looks at has it.
func TestRunsSearch(t *testing.T) {
	p := fillRuns(t, maxSearched+1000)
	for _, test := range []struct {
		query string
		want  int
	}{
		{"rare", (maxSearched + 1000) / 10},
		{"q=RUN_000", 0},
		{"RUN_0000", 10},
		{"run_00003", 1}, // beyond the first that are looked at
		{"nothing has this", 0},
	} {
		found, cursor, pages := map[string]bool{}, "", 0
		for {
			target := "/runs?" + strings.ReplaceAll("q="+test.query, " ", "+") + "&cursor=" + cursor
			v, err := p.runs(httptest.NewRequest(http.MethodGet, target, nil))
			if err != nil {
				t.Fatal(err)
			}
			data := v.Data.(*runsData)
			if len(data.Runs) > pageSize {
				t.Fatalf("%q: a page has %d runs", test.query, len(data.Runs))
			}
			for _, run := range data.Runs {
				if found[run.ID] {
					t.Errorf("%q: run %s is listed twice", test.query, run.ID)
				}
				found[run.ID] = true
			}
			pages++
			if data.Next == "" {
				break
			}
			if cursor = data.Next; pages > 100 {
				t.Fatalf("%q: the list does not end", test.query)
			}
		}
		if len(found) != test.want {
			t.Errorf("%q: %d runs on %d pages, want %d", test.query, len(found), pages, test.want)
		}
	}
}

// TestRunsByState counts runs by state whatever the one that is listed, and says if there
// are more than were counted.
func TestRunsByState(t *testing.T) {
	for _, test := range []struct {
		runs  int
		query string
		want  string
	}{
		{100, "", "all 100, completed 90, failed 10"},
		{100, "?status=failed", "all 100, completed 90, failed 10"},
		{100, "?status=waiting", "all 100, waiting 0, completed 90, failed 10"},
		{100, "?q=rare", "all 10, failed 10"},
		{100, "?workflow=common&since=1h", "all 90, completed 90"},
		{maxCounted, "", "all 1,000, completed 900, failed 100"},
		{maxCounted + 1, "", "all 1,000+, completed 900+, failed 100+"},
	} {
		v, err := fillRuns(t, test.runs).runs(httptest.NewRequest(http.MethodGet, "/runs"+test.query, nil))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, chip := range v.Data.(*runsData).Chips {
			name := chip.Status
			if name == "" {
				name = "all"
			}
			got = append(got, name+" "+chip.Count)
		}
		if text := strings.Join(got, ", "); text != test.want {
			t.Errorf("%d runs, %s: %s, want %s", test.runs, test.query, text, test.want)
		}
	}
	for _, query := range []string{"?status=none", "?since=-1h", "?since=soon"} {
		if _, err := fillRuns(t, 1).runs(httptest.NewRequest(http.MethodGet, "/runs"+query, nil)); err == nil {
			t.Errorf("%s is taken", query)
		}
	}
}
