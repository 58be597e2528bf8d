package analyticstest

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/llm"
)

// viewsAnswerThePeriodThatTheyName drops rows and hours at any time, asks for any
// period, and compares each view with the calls, one by one, of the period that the
// store says it answered.
func viewsAnswerThePeriodThatTheyName(t *testing.T, open func(*testing.T) analytics.Store) {
	calls := RandomCalls(23, 400)
	type pruned struct {
		store analytics.Store
		name  string
	}
	var stores []pruned
	now := Epoch.AddDate(0, 0, 11)
	for name, keep := range map[string]analytics.Retention{
		"all kept":          {},
		"rows":              {Rows: 6 * 24 * time.Hour},
		"hours":             {Rows: 4 * 24 * time.Hour, Hours: 7 * 24 * time.Hour},
		"all rows":          {Rows: time.Nanosecond, Hours: 3 * 24 * time.Hour},
		"nothing but days":  {Rows: time.Nanosecond, Hours: time.Nanosecond},
		"nothing was older": {Rows: 100 * 24 * time.Hour, Hours: 100 * 24 * time.Hour},
	} {
		s := open(t)
		if err := s.Add(t.Context(), calls...); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Prune(t.Context(), keep, now); err != nil {
			t.Fatal(err)
		}
		if since, err := s.RowsSince(t.Context()); err != nil || (name == "all kept" || name == "nothing was older") != since.IsZero() {
			t.Fatalf("%s: rows since %v, %v", name, since, err)
		}
		stores = append(stores, pruned{s, name})
	}
	slices.SortFunc(stores, func(a, b pruned) int { return len(a.name) - len(b.name) })
	zones := []*time.Location{time.UTC, time.FixedZone("half", 5*3600+1800), time.FixedZone("west", -8*3600)}
	within := rapid.Map(rapid.Int64Range(-24*3600, 12*24*3600), func(s int64) time.Time { return Epoch.Add(time.Duration(s) * time.Second) })
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SampledFrom(stores).Draw(t, "store")
		s := p.store
		f := analytics.Filter{Zone: rapid.SampledFrom(zones).Draw(t, "zone"), Project: rapid.SampledFrom([]string{"", "one"}).Draw(t, "project")}
		if rapid.Bool().Draw(t, "since") {
			f.Since = within.Draw(t, "from")
		}
		if rapid.Bool().Draw(t, "until") {
			f.Until = within.Draw(t, "to")
		}
		if !f.Until.IsZero() && !f.Since.Before(f.Until) {
			f.Since, f.Until = f.Until, f.Since.Add(1)
		}
		named, err := s.Period(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if !named.Rounded && (named.Since != nil && !named.Since.Equal(f.Since) || named.Until != nil && !named.Until.Equal(f.Until)) {
			t.Fatalf("%s: the period was moved and this is not said: %+v", p.name, named)
		}
		fits := func(c *analytics.Call) bool {
			return (named.Since == nil || !c.Time.Before(*named.Since)) && (named.Until == nil || c.Time.Before(*named.Until)) && (f.Project == "" || c.Project == f.Project)
		}
		var want analytics.Totals
		rows, failed := int64(0), int64(0)
		rowsSince, err := s.RowsSince(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i := range calls {
			c := &calls[i]
			if fits(c) {
				want.AddCall(c)
			}
			asked := (f.Since.IsZero() || !c.Time.Before(f.Since)) && (f.Until.IsZero() || c.Time.Before(f.Until)) && (f.Project == "" || c.Project == f.Project)
			if asked && !c.Time.Before(rowsSince) {
				rows++
				if c.Code != 0 {
					failed++
				}
			}
		}
		same := func(view string, calls int64, cost llm.Money) {
			if calls != want.Calls || cost != want.Cost {
				t.Fatalf("%s: %s has %d calls for %v; the period that it names has %d for %v", p.name, view, calls, cost, want.Calls, want.Cost)
			}
		}
		for _, by := range analytics.CostDimensions {
			groups, err := s.Groups(t.Context(), f, by)
			if err != nil {
				t.Fatal(err)
			}
			var sum analytics.Totals
			for i := range groups {
				sum.Add(&groups[i].Totals)
			}
			same("by "+string(by), sum.Calls, sum.Cost)
		}
		summary, err := s.Summary(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		same("the summary", summary.Calls, llm.Dollars(summary.CostUSD))

		exported := int64(0)
		for c, err := range s.Calls(t.Context(), f) {
			if err != nil {
				t.Fatal(err)
			}
			if c.Time.Before(rowsSince) {
				t.Fatalf("%s: a call of %v, but rows since %v", p.name, c.Time, rowsSince)
			}
			exported++
		}
		if exported != rows {
			t.Fatalf("%s: %d calls one by one; want %d", p.name, exported, rows)
		}
		failures, err := s.Failures(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		got := int64(0)
		for _, x := range failures {
			got += x.Count
		}
		if got != failed {
			t.Fatalf("%s: %d failures; want %d", p.name, got, failed)
		}
		groups, err := s.Groups(t.Context(), f, analytics.ByAgent, analytics.ByModel)
		if err != nil {
			t.Fatal(err)
		}
		got = 0
		for i := range groups {
			got += groups[i].Calls
		}
		if got != rows {
			t.Fatalf("%s: groups of rows have %d calls; want %d", p.name, got, rows)
		}
	})
}
