package server_test

import (
	"encoding/csv"
	"fmt"
	"html"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsdb"
	"github.com/claude-force/claude-force/llm"
)

// odd are names that would be markup if they were not shown as text.
var odd = []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `'-alert(1)-'`, `</title><svg onload=alert(1)>`, `=cmd|' /C calc'!A0`, `{{.Secret}}`}

// page returns a page, which must be whole, small and free of the markup of names.
func (s *service) page(status int, path string) string {
	s.t.Helper()
	res, data := s.send("GET", path, nil)
	text := string(data)
	if res.StatusCode != status || !strings.Contains(text, "</html>") {
		s.t.Fatalf("%s: %s, want %d:\n%s", path, res.Status, status, text)
	}
	if len(text) > 200_000 {
		s.t.Errorf("%s has %d bytes", path, len(text))
	}
	for _, name := range odd[:4] {
		if strings.Contains(text, name) {
			s.t.Errorf("%s has the markup %s", path, name)
		}
	}
	return text
}

// cells returns the texts of the rows of the table with an id, without its head.
func cells(t *testing.T, page, id string) (rows [][]string) {
	t.Helper()
	_, table, ok := strings.Cut(page, `id="`+id+`"`)
	if !ok {
		t.Fatalf("there is no table %s", id)
	}
	table, _, _ = strings.Cut(table, "</table>")
	tags := regexp.MustCompile(`(?s)<svg.*?</svg>|<[^>]*>`)
	for _, row := range strings.Split(table, "<tr>")[2:] {
		var texts []string
		for _, cell := range strings.Split(row, "<td")[1:] {
			_, cell, _ = strings.Cut(cell, ">")
			texts = append(texts, strings.TrimSpace(html.UnescapeString(tags.ReplaceAllString(cell, ""))))
		}
		rows = append(rows, texts)
	}
	return rows
}

// TestCosts compares what the page of costs shows, and its CSV, with the figures of the
// command line.
func TestCosts(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir, nil)
	if text := s.page(http.StatusOK, "/costs"); !strings.Contains(text, "No calls were recorded") {
		t.Errorf("without calls: %s", text)
	}
	store, err := callsdb.Open(filepath.Join(dir, "data", "history.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	now := time.Now()
	var calls []analytics.Call
	for i := range 60 {
		name := odd[i%len(odd)]
		calls = append(calls,
			analytics.Call{Time: now.Add(-time.Duration(i) * 12 * time.Hour), Project: "/home/me/" + name, Workflow: name, Agent: name, Model: name, Key: name, Team: odd[(i+1)%len(odd)], Source: llm.SourceLive, Cost: llm.Dollars(0.01 * float64(i)), Duration: time.Second, Attempts: 1},
			analytics.Call{Time: now.Add(-time.Duration(i) * 12 * time.Hour), Project: "/home/me/" + name, Agent: name, Source: llm.SourceCache, Saved: analytics.Savings{Cache: llm.Dollars(0.02)}})
	}
	if err := store.Add(t.Context(), calls...); err != nil {
		t.Fatal(err)
	}
	for _, by := range analytics.CostDimensions {
		path := fmt.Sprintf("?by=%s&days=0", by)
		groups, _, err := analytics.CostGroups(t.Context(), store, analytics.Filter{}, by)
		if err != nil {
			t.Fatal(err)
		}
		var want [][]string
		var sum float64
		for _, row := range analytics.CostRows([]analytics.Dimension{by}, groups, nil) {
			name := row.Name
			if name == "" {
				name = "(none)"
			}
			want = append(want, []string{name, fmt.Sprintf("%.4f", row.CostUSD), fmt.Sprintf("%.2f", row.SavedUSD.Total), fmt.Sprint(row.Calls)})
			sum += row.CostUSD
		}
		var got [][]string
		rows := cells(t, s.page(http.StatusOK, "/costs"+path), "costs-table")
		for _, row := range rows[:len(rows)-1] {
			var paid, saved float64
			if _, err := fmt.Sscanf(row[1]+" "+row[2], "$%g $%g", &paid, &saved); err != nil {
				t.Fatal(err)
			}
			got = append(got, []string{row[0], fmt.Sprintf("%.4f", paid), fmt.Sprintf("%.2f", saved), row[3]})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("by %s: %s", by, diff)
		}
		if got, want := rows[len(rows)-1][1], fmt.Sprintf("$%.2f", sum); got != want {
			t.Errorf("by %s: the sum is %s, want %s", by, got, want)
		}
		res, data := s.send("GET", "/costs.csv"+path, nil)
		table, err := csv.NewReader(strings.NewReader(string(data))).ReadAll()
		if err != nil || len(table) != len(groups)+1 || res.Header.Get("Content-Disposition") == "" {
			t.Errorf("by %s: the CSV has %d rows, %v", by, len(table), err)
		}
		for _, row := range table {
			if strings.HasPrefix(row[0], "=") {
				t.Errorf("by %s: the CSV has a formula: %s", by, row[0])
			}
		}
	}
	days := func(from, to int) string {
		return now.UTC().AddDate(0, 0, -from).Format(time.DateOnly) + ".." + now.UTC().AddDate(0, 0, -to).Format(time.DateOnly)
	}
	var report struct {
		Rows []struct{ Metric, Verdict string } `json:"metrics"`
	}
	s.want(http.StatusOK, &report, "GET", "/api/v1/analytics/compare?a="+days(20, 12)+"&b="+days(10, 2), nil)
	if len(report.Rows) == 0 || report.Rows[0].Verdict == "" {
		t.Errorf("two periods are compared as %+v", report)
	}
	for _, query := range []string{"a=2026-11-41&b=2026-11-02", "a=2020-01-01&b=2020-01-02", "a=x", "a=" + days(20, 12) + "&b=" + days(10, 2) + "&alpha=1"} {
		s.want(http.StatusUnprocessableEntity, nil, "GET", "/api/v1/analytics/compare?"+query, nil)
	}
	s.want(http.StatusNotFound, nil, "GET", "/api/v1/analytics/compare?a=run_none&b=latest", nil)
	for _, path := range []string{"/costs?by=colour", "/costs?days=many", "/costs?days=-1", "/costs.csv?by=colour"} {
		s.page(http.StatusUnprocessableEntity, path)
	}
}
