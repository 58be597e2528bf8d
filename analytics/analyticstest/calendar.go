package analyticstest

import (
	"testing"
	"time"
	_ "time/tzdata" // a machine need not have time zones

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/llm"
)

// daysAreThoseOfTheZone adds up days, weeks and months in zones whose midnight is
// anywhere, and compares with the calls one by one.
func daysAreThoseOfTheZone(t *testing.T, s analytics.Store) {
	calls := RandomCalls(7, 800)
	if err := s.Add(t.Context(), calls...); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"UTC", "America/Los_Angeles", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Kiritimati"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []analytics.Filter{
			{Zone: zone},
			{Zone: zone, Since: Epoch.Add(30*time.Hour + 17*time.Minute), Until: Epoch.Add(190*time.Hour + time.Second)},
			{Zone: zone, Since: analytics.ByDay.StartOf(Epoch.In(zone)).AddDate(0, 0, 2), Until: analytics.ByDay.StartOf(Epoch.In(zone)).AddDate(0, 0, 3), Project: "one"},
		} {
			for _, by := range []analytics.Dimension{analytics.ByDay, analytics.ByWeek, analytics.ByMonth} {
				want, cost := map[string]int64{}, map[string]llm.Money{}
				for _, c := range calls {
					if !f.Since.IsZero() && (c.Time.Before(f.Since) || !c.Time.Before(f.Until)) || f.Project != "" && c.Project != f.Project {
						continue
					}
					label := by.Label(by.StartOf(c.Time.In(zone)))
					want[label]++
					cost[label] = cost[label].Add(c.Cost)
				}
				groups, err := s.Groups(t.Context(), f, by)
				if err != nil {
					t.Fatal(err)
				}
				for _, g := range groups {
					if g.Calls != want[g.Name] || g.Cost != cost[g.Name] {
						t.Errorf("%s, %s %s: %d calls, %v; want %d, %v", name, by, g.Name, g.Calls, g.Cost, want[g.Name], cost[g.Name])
					}
					delete(want, g.Name)
				}
				if len(want) > 0 {
					t.Errorf("%s by %s: missing %v", name, by, want)
				}
				if f.Project != "" && by == analytics.ByDay && len(groups) != 1 {
					t.Errorf("%s: one day shows %d days", name, len(groups))
				}
			}
		}
	}
}
