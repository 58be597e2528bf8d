package server_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/pipeline"
)

// TestCostsByKey checks that calls of the proxy and of runs are recorded with their key and
// its team, that what a key cost is what its budget was charged, and that no more of the key
// than its name is in what is given.
func TestCostsByKey(t *testing.T) {
	tm := serveTeam(t)
	one, two := tm.as(tm.create(keys.Spec{Name: "one", Team: "web", Budget: "1/day"})), tm.as(tm.create(keys.Spec{Name: "two", Team: "web", Budget: "1/day"}))
	alone := tm.as(tm.create(keys.Spec{Name: "alone", Budget: "1/day"}))
	for i, c := range []*team{tm, one, one, two, alone} {
		if got := c.status("POST", "/v1/messages", callOf(haiku, fmt.Sprint("Question ", i))); got != 200 {
			t.Fatalf("call %d: %d", i, got)
		}
	}
	run := two.finish(two.start(map[string]any{"workflow": "two.yaml"}))

	owned := tm.finish(tm.start(map[string]any{"workflow": "two.yaml", "params": map[string]string{"topic": "ants"}}))
	if run.StartedBy != "two" || owned.StartedBy != "" {
		t.Errorf("runs were started by %q and %q; want two and none", run.StartedBy, owned.StartedBy)
	}
	for key, want := range map[string]string{"two": run.ID, "one": ""} {
		var list struct{ Runs []journal.Run }
		tm.want(http.StatusOK, &list, "GET", "/api/v1/runs?key="+key, nil)
		if got := len(list.Runs); want == "" && got != 0 || want != "" && (got != 1 || list.Runs[0].ID != want || list.Runs[0].StartedBy != key) {
			t.Errorf("runs that %s has started: %+v", key, list.Runs)
		}
		_, page := tm.send("GET", "/runs?key="+key, nil)
		if is := strings.Contains(string(page), run.ID); is != (want != "") || strings.Contains(string(page), owned.ID) {
			t.Errorf("the page of runs that %s has started is wrong", key)
		}
	}

	costs := func(by string) map[string]analytics.CostRow {
		t.Helper()
		var out struct{ Costs []analytics.CostRow }
		tm.want(http.StatusOK, &out, "GET", "/api/v1/analytics/costs?days=0&by="+by, nil)
		rows := map[string]analytics.CostRow{}
		for _, row := range out.Costs {
			name := row.Name
			if row.Key != nil {
				name = *row.Team + "/" + *row.Key
			}
			rows[name] = row
		}
		return rows
	}
	calls := func(rows map[string]analytics.CostRow) map[string]int64 {
		n := map[string]int64{}
		for name, row := range rows {
			n[name] = row.Calls
		}
		return n
	}
	byKey := costs("key")
	for name, c := range map[string]struct {
		rows map[string]analytics.CostRow
		want map[string]int64
	}{
		"key":      {byKey, map[string]int64{"": 3, "one": 2, "two": 3, "alone": 1}},
		"team":     {costs("team"), map[string]int64{"": 4, "web": 5}},
		"team,key": {costs("team,key"), map[string]int64{"/": 3, "/alone": 1, "web/one": 2, "web/two": 3}},
	} {
		if diff := cmp.Diff(c.want, calls(c.rows)); diff != "" {
			t.Errorf("calls by %s: %s", name, diff)
		}
	}
	budgets, err := pipeline.KeyBudgets(t.Context(), tm.cfg, tm.store)
	if err != nil || len(budgets) != 3 {
		t.Fatalf("%v, %v", budgets, err)
	}
	for _, b := range budgets {
		if cost := byKey[b.Name].CostUSD; cost <= 0 || math.Abs(cost-b.Spent) > 1e-9 {
			t.Errorf("%s cost $%.9f, and its budget was charged $%.9f", b.Name, cost, b.Spent)
		}
	}

	_, metrics := tm.send("GET", "/metrics", nil)
	for name, n := range map[string]int{`key="two",team="web"`: 3, `key="alone",team=""`: 1} {
		if want := fmt.Sprintf("claude_force_key_calls_total{%s} %d\n", name, n); !strings.Contains(string(metrics), want) {
			t.Errorf("no %s among the metrics", want)
		}
	}

	var list struct{ Calls []analytics.CallRow }
	tm.want(http.StatusOK, &list, "GET", "/api/v1/calls?key=two&team=web", nil)
	ofRun := 0
	for _, c := range list.Calls {
		if c.Key != "two" || c.Team != "web" {
			t.Errorf("a call of %q in %q", c.Key, c.Team)
		}
		if c.Run == run.ID {
			ofRun++
		}
	}
	if len(list.Calls) != 3 || ofRun != 2 {
		t.Errorf("key two has %d calls, %d of the run; want 3 and 2", len(list.Calls), ofRun)
	}
	tm.want(http.StatusOK, &list, "GET", "/api/v1/calls?key=two&team=ops", nil)
	if len(list.Calls) != 0 {
		t.Errorf("%d calls of a key in another team", len(list.Calls))
	}

	for _, path := range []string{"/costs?by=key", "/costs.csv?by=key", "/costs?by=team", "/costs.csv?by=team", "/api/v1/calls"} {
		_, data := tm.send("GET", path, nil)
		if text := string(data); strings.Contains(text, "cf_") || !strings.Contains(text, "two") && !strings.Contains(text, "web") {
			t.Errorf("%s: %s", path, text)
		}
	}
}

// answered is what the test counts of answers by itself, in millionths of millionths of a
// dollar and in tokens.
type answered struct {
	calls, cached, in, out int64
	price                  int64
}

// TestSummaryByKey compares the figures of each key and team, and those of all, with what
// the clients counted of the answers that they got: tokens at the prices of Haiku, $0.10 and
// $0.50 a million, for those that were not from the cache.
func TestSummaryByKey(t *testing.T) {
	tm := serveTeam(t)
	clients := map[string]*team{
		"": tm, "one": tm.as(tm.create(keys.Spec{Name: "one", Team: "web"})), "two": tm.as(tm.create(keys.Spec{Name: "two", Team: "web"})),
		"alone": tm.as(tm.create(keys.Spec{Name: "alone"})),
	}
	teams := map[string]string{"one": "web", "two": "web"}
	byKey, byTeam, all := map[string]answered{}, map[string]answered{}, answered{}
	for i, name := range []string{"", "one", "one", "two", "alone", "two", "one", "alone", "one"} {
		question := fmt.Sprint("Question ", i%3)
		res, data := clients[name].send("POST", "/v1/messages", callOf(haiku, question+strings.Repeat(" and more", i%3)))
		var got struct {
			Usage struct {
				In  int64 `json:"input_tokens"`
				Out int64 `json:"output_tokens"`
			}
		}
		if err := json.Unmarshal(data, &got); err != nil || res.StatusCode != http.StatusOK || got.Usage.Out == 0 {
			t.Fatalf("call %d: %s, %v: %s", i, res.Status, err, data)
		}
		add := func(a answered) answered {
			a.calls++
			a.in, a.out = a.in+got.Usage.In, a.out+got.Usage.Out
			if res.Header.Get("X-Claude-Force-Cache") == "hit" {
				a.cached++
			} else {
				a.price += got.Usage.In*100_000 + got.Usage.Out*500_000
			}
			return a
		}
		byKey[name], byTeam[teams[name]], all = add(byKey[name]), add(byTeam[teams[name]]), add(all)
	}
	if all.cached == 0 || all.cached == all.calls {
		t.Fatalf("%d of %d answers are from the cache: the test shows nothing", all.cached, all.calls)
	}

	_, metrics := tm.send("GET", "/metrics", nil)
	for name, want := range byKey {
		for metric, n := range map[string]float64{"calls_total": float64(want.calls), "cost_usd_total": float64(want.price) / 1e12} {
			series := fmt.Sprintf("claude_force_key_%s{key=%q,team=%q} ", metric, name, teams[name])
			_, text, found := strings.Cut(string(metrics), series)
			text, _, _ = strings.Cut(text, "\n")
			if got, err := strconv.ParseFloat(text, 64); found == (name == "") || found && (err != nil || math.Abs(got-n) > 1e-12) {
				t.Errorf("%s%s; want %v, and nothing of the owner", series, text, n)
			}
		}
	}
	if strings.Contains(string(metrics), "cf_") {
		t.Error("a secret is among the metrics")
	}
	if err := tm.endCalls(); err != nil {
		t.Fatal(err)
	}
	for by, want := range map[string]map[string]answered{"key": byKey, "team": byTeam} {
		var sum struct {
			Calls  int64
			Cached int64
			Cost   float64 `json:"cost_usd"`
			In     int64   `json:"input_tokens"`
			Out    int64   `json:"output_tokens"`
			Groups []struct {
				Name   string
				Calls  int64
				Cached int64
				Cost   float64 `json:"cost_usd"`
				In     int64   `json:"input_tokens"`
				Out    int64   `json:"output_tokens"`
			}
		}
		tm.want(http.StatusOK, &sum, "GET", "/api/v1/analytics/summary?days=0&by="+by, nil)
		price := func(usd float64) int64 { return int64(math.Round(usd * 1e12)) }
		got := map[string]answered{}
		for _, g := range sum.Groups {
			got[g.Name] = answered{g.Calls, g.Cached, g.In, g.Out, price(g.Cost)}
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(answered{})); diff != "" {
			t.Errorf("by %s: %s", by, diff)
		}
		if got := (answered{sum.Calls, sum.Cached, sum.In, sum.Out, price(sum.Cost)}); got != all {
			t.Errorf("of all, by %s: %+v, want %+v", by, got, all)
		}
	}
	var plain map[string]any
	tm.want(http.StatusOK, &plain, "GET", "/api/v1/analytics/summary?days=0", nil)
	if _, ok := plain["groups"]; ok {
		t.Error("groups without by")
	}
	tm.want(http.StatusUnprocessableEntity, nil, "GET", "/api/v1/analytics/summary?by=colour", nil)
}
