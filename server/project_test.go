package server_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsdb"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/budget"
	"github.com/claude-force/claude-force/llm/budget/budgetdb"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/runs"
)

// writeFiles writes files of a project.
func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPagesOfAgents compares the list of agents with that of the API, and shows what is
// wrong with one.
func TestPagesOfAgents(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{
		".claude/agents/odd.md":  "---\nname: odd\ndescription: '" + strings.ReplaceAll(odd[0]+odd[1], "'", "''") + "'\nmodel: no-such\ntools: Read, Grepp\n---\n" + strings.Join(odd, "\n") + "\n",
		".claude/agents/free.md": "---\nname: free\ndescription: may use all\n---\nhelp\n",
	})
	s := serve(t, dir, nil)
	var list struct{ Agents []agent.Info }
	s.want(http.StatusOK, &list, "GET", "/api/v1/agents", nil)
	rows := cells(t, s.page(http.StatusOK, "/agents"), "agents-table")
	if len(rows) != len(list.Agents) || len(rows) < 3 {
		t.Fatalf("%d rows for %d agents", len(rows), len(list.Agents))
	}
	for i, a := range list.Agents {
		tools := fmt.Sprint(len(a.Tools))
		switch {
		case a.Tools == nil:
			tools = "all"
		case len(a.Tools) == 0:
			tools = "none"
		}
		if rows[i][0] != a.Name+a.Source || rows[i][3] != tools {
			t.Errorf("row %d is %q; want %+v", i, rows[i], a)
		}
	}
	text := html.UnescapeString(s.page(http.StatusOK, "/agents/odd"))
	for _, want := range append([]string{`unknown model "no-such"`, "did you mean Grep?", "2 problems"}, odd...) {
		if !strings.Contains(text, want) {
			t.Errorf("the page of an agent lacks %s", want)
		}
	}
	s.page(http.StatusNotFound, "/agents/missing")
	s.page(http.StatusNotFound, "/agents/"+url.PathEscape(odd[0]))
}

// TestPagesOfWorkflows goes from the list to a workflow, plans a run of it and starts
// that, twice by mistake.
func TestPagesOfWorkflows(t *testing.T) {
	dir := t.TempDir()
	title := strings.ReplaceAll(strings.Join(odd[:5], " "), "'", "''")
	writeFiles(t, dir, map[string]string{
		".claude/workflows/typed.yaml": "name: '" + title + "'\ndescription: '" + title + `'
params:
  topic: {type: string, description: '` + title + `'}
  count: {default: 3, type: integer}
  fast: {default: true, type: boolean}
  list: {default: [a, b], type: array}
  text: {default: "one\ntwo"}
steps:
  - {id: ask, agent: python-expert, task: "${{ params.topic }} ${{ params.count }} ${{ params.fast }}"}
  - {id: again, agent: python-expert, task: "again ${{ steps.ask.output }}"}
`,
		".claude/workflows/broken.yaml": "name: broken\nsteps:\n  - {id: a, agent: pythn-expert, task: x, dependencies: [none]}\n",
	})
	s := serve(t, dir, nil)
	rows := cells(t, s.page(http.StatusOK, "/workflows"), "workflows-table")
	var list struct{ Workflows []claudeforce.WorkflowInfo }
	s.want(http.StatusOK, &list, "GET", "/api/v1/workflows", nil)
	if len(rows) != len(list.Workflows) || len(rows) != 2 {
		t.Fatalf("rows: %q", rows)
	}
	if !strings.HasPrefix(rows[0][1], "has problems") || rows[1][2] != "topic* count fast list text" || !strings.HasPrefix(rows[1][0], odd[0]) {
		t.Errorf("rows: %q", rows)
	}
	broken := html.UnescapeString(s.page(http.StatusOK, "/workflows/broken"))
	for _, want := range []string{"cannot run", "broken.yaml:3:", "python-expert", `"none"`} {
		if !strings.Contains(broken, want) {
			t.Errorf("the page of a broken workflow lacks %s", want)
		}
	}
	if strings.Contains(broken, "<form class=\"start\"") {
		t.Error("a broken workflow can be started")
	}
	text := s.page(http.StatusOK, "/workflows/typed")
	for _, want := range []string{
		`data-step="ask"`, `name="p.topic" value="" aria-describedby="param-topic-hint" required`, `name="p.count" type="number" step="1" value="3"`,
		`<option selected>true</option>`, `[&#34;a&#34;,&#34;b&#34;]</textarea>`, "one\ntwo</textarea>",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the form lacks %s", want)
		}
	}
	if strings.Contains(text, "<style") || strings.Contains(text, `action="/start"`) {
		t.Error("there is a style in the page, or a run can be started without a plan")
	}
	fields := url.Values{"plan": {"1"}, "p.topic": {odd[1]}, "p.count": {"7"}, "p.fast": {"false"}, "p.list": {""}, "budget": {"1.5"}}
	planned := s.page(http.StatusOK, "/workflows/typed?"+fields.Encode())
	steps := cells(t, planned, "plan-table")
	if len(steps) != 2 || !strings.HasPrefix(steps[0][0], "ask") || steps[0][2] != "1" || !strings.Contains(planned, "budget $1.50") {
		t.Errorf("the plan is %q", steps)
	}
	hidden := url.Values{}
	for _, m := range regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`).FindAllStringSubmatch(planned[strings.Index(planned, `action="/start"`):], -1) {
		hidden.Set(m[1], html.UnescapeString(m[2]))
	}
	var locations []string
	for range 2 {
		req, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/start", strings.NewReader(hidden.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+s.key)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusSeeOther {
			t.Fatalf("the start is answered with %s", res.Status)
		}
		locations = append(locations, res.Header.Get("Location"))
	}
	if locations[0] != locations[1] {
		t.Errorf("two runs were started: %s", locations)
	}
	var started struct{ Runs []journal.Run }
	s.want(http.StatusOK, &started, "GET", "/api/v1/runs", nil)
	if len(started.Runs) != 1 || locations[0] != "/runs/"+started.Runs[0].ID {
		t.Errorf("runs: %+v", started)
	}
	s.page(http.StatusOK, locations[0])
	for _, wrong := range []url.Values{{"plan": {"1"}, "p.count": {"many"}}, {"plan": {"1"}, "p.topic": {"x"}, "budget": {"much"}}, {"plan": {"1"}, "p.topic": {"x"}, "p.other": {"y"}}} {
		if text := s.page(http.StatusOK, "/workflows/typed?"+wrong.Encode()); !strings.Contains(text, `role="alert"`) || strings.Contains(text, `action="/start"`) {
			t.Errorf("%s: there is no error", wrong)
		}
	}
	for _, path := range []string{"/workflows/none", "/workflows/..%2F..%2Fetc%2Fpasswd"} {
		s.page(http.StatusUnprocessableEntity, path)
	}
}

// TestPagesOfService compares the pages of the cache and of limits and budgets with the
// answers of the API.
func TestPagesOfService(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CLAUDE_FORCE_BUDGET_DAY", "20")
	t.Setenv("CLAUDE_FORCE_TIME_ZONE", fmt.Sprintf("Etc/GMT%+d", time.Now().UTC().Hour()-12)) // its day is not over soon
	t.Setenv("CLAUDE_FORCE_BUDGET_CALL", "0.5")
	s := serve(t, dir, map[string]string{"two.yaml": twoSteps})
	if text := s.page(http.StatusOK, "/cache"); !strings.Contains(text, "There is no answer") {
		t.Error("an empty cache has answers")
	}
	var run journal.Run
	s.want(http.StatusAccepted, &run, "POST", "/api/v1/runs", map[string]any{"workflow": "two.yaml", "params": map[string]string{"topic": odd[0]}})
	s.follow(run.ID, "")
	var stats struct {
		Entries, Hits, Misses int64
	}
	s.want(http.StatusOK, &stats, "GET", "/api/v1/cache", nil)
	text := s.page(http.StatusOK, "/cache")
	rows := cells(t, text, "answers-table")
	if int64(len(rows)) != stats.Entries || len(rows) == 0 || !strings.Contains(text, fmt.Sprintf("%d hits, %d misses", stats.Hits, stats.Misses)) {
		t.Errorf("the cache has %+v, its page %q", stats, rows)
	}
	if text := s.page(http.StatusOK, "/cache?agent=missing"); !strings.Contains(text, "There is no answer of this agent") {
		t.Error("the filter of agents does nothing")
	}
	var limits struct{ Pools []struct{ Pool string } }
	s.want(http.StatusOK, &limits, "GET", "/api/v1/limits", nil)
	text = s.page(http.StatusOK, "/limits")
	for _, p := range limits.Pools {
		if !strings.Contains(text, "<h3>"+html.EscapeString(p.Pool)+"</h3>") {
			t.Errorf("the page of limits lacks %s", p.Pool)
		}
	}
	var budgets struct{ Budgets []pipeline.BudgetStatus }
	ledger := budgetdb.New(filepath.Join(dir, "data", "budget.db"))
	defer ledger.Close()
	s.want(http.StatusOK, &budgets, "GET", "/api/v1/budgets", nil)
	today := []budget.Account{{Key: "day/" + budgets.Budgets[0].Day}}
	for _, usd := range []float64{3.25, 1.5} {
		id, _, err := ledger.Reserve(today, budget.Amount{Money: llm.Dollars(usd)})
		if err != nil {
			t.Fatal(err)
		}
		if usd > 2 {
			if err := ledger.Settle(nil, []budget.Reservation{id}, budget.Amount{Money: llm.Dollars(usd)}, budget.Amount{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.want(http.StatusOK, &budgets, "GET", "/api/v1/budgets", nil)
	want := [][]string{
		{"daytoday, " + budgets.Budgets[0].Day, "$20.00", "$3.25", "$1.50", "$15.25", "", "stop"},
		{"call", "$0.5000", "–", "–", "–", "", "stop"},
	}
	if diff := cmp.Diff(want, cells(t, s.page(http.StatusOK, "/limits"), "budgets-table")); diff != "" {
		t.Error(diff)
	}
}

// TestCompare compares two runs and two periods, in the two directions.
func TestCompare(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir, map[string]string{"two.yaml": twoSteps})
	var ids [2]string
	for i, topic := range []string{"bees", odd[1]} {
		var run journal.Run
		s.want(http.StatusAccepted, &run, "POST", "/api/v1/runs", map[string]any{"workflow": "two.yaml", "params": map[string]string{"topic": topic}})
		s.follow(run.ID, "")
		ids[i] = run.ID
	}
	var diff struct{ Steps []runs.StepDiff }
	s.want(http.StatusOK, &diff, "GET", "/api/v1/runs/"+ids[0]+"/diff/"+ids[1], nil)
	text := s.page(http.StatusOK, "/compare?a="+ids[0]+"&b="+ids[1])
	rows := cells(t, text, "compared-steps")
	if len(rows) != len(diff.Steps) || len(rows) != 2 || !strings.HasPrefix(rows[0][1], "differs") {
		t.Errorf("%d steps differ, the page has %q", len(diff.Steps), rows)
	}
	tab := "/runs/" + ids[0] + "?tab=diff"
	if d := cmp.Diff(rows, cells(t, s.page(http.StatusOK, tab+"&with="+ids[1]), "compared-steps")); d != "" {
		t.Errorf("in the part of a run: %s", d)
	}
	if text := s.page(http.StatusOK, tab); !strings.Contains(text, "with="+ids[1]+`"`) || strings.Contains(text, "with="+ids[0]) {
		t.Errorf("the run to compare with cannot be chosen:\n%s", text)
	}
	s.page(http.StatusNotFound, tab+"&with=run_none")
	times := cells(t, s.page(http.StatusOK, "/runs/"+ids[0]+"?tab=timeline"), "timeline-table")
	if len(times) != 2 || !strings.HasPrefix(times[0][0], "draft") || times[0][1] != "completed" || times[0][3] != "0 s" || times[1][3] == "0 s" {
		t.Errorf("the steps over time: %q", times)
	}
	figures := cells(t, text, "compare-table")
	back := cells(t, s.page(http.StatusOK, "/compare?a="+ids[1]+"&b="+ids[0]), "compare-table")
	for i := range figures {
		if figures[i][1] != back[i][2] || figures[i][2] != back[i][1] {
			t.Errorf("%q the other way is %q", figures[i], back[i])
		}
	}
	if same := cells(t, s.page(http.StatusOK, "/compare?a=latest&b=latest"), "compare-table"); same[0][3] != "the same" || same[2][3] != "the same" {
		t.Errorf("a run and itself: %q", same)
	}
	store, err := callsdb.Open(filepath.Join(dir, "data", "history.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for i, usd := range []float64{2, 1, 1} {
		c := analytics.Call{Time: time.Date(2026, 11, 2+7*min(i, 1), 12, 0, 0, 0, time.UTC), Agent: odd[0], Source: llm.SourceLive, Cost: llm.Dollars(usd), Duration: time.Second, Service: time.Second}
		if err := store.Add(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	periods := cells(t, s.page(http.StatusOK, "/compare?a=2026-11-01..07&b=2026-11-08..14"), "compare-table")
	want := map[string][]string{"Paid": {"$2.00", "$2.00", "the same"}, "Paid per call": {"$2.00", "$1.00", "-50%"}, "Calls": {"1", "2", "+100%"}}
	for _, row := range periods {
		if w := want[row[0]]; w != nil {
			if d := cmp.Diff(w, row[1:]); d != "" {
				t.Errorf("%s: %s", row[0], d)
			}
			delete(want, row[0])
		}
	}
	if len(want) > 0 {
		t.Errorf("periods lack %v", want)
	}
	s.page(http.StatusOK, "/compare")
	s.page(http.StatusUnprocessableEntity, "/compare?a=2026-11-01&b=latest")
	s.page(http.StatusUnprocessableEntity, "/compare?a=2026-11-41&b=2026-11-02")
	s.page(http.StatusNotFound, "/compare?a=run_none&b=latest")
}
