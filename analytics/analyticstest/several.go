package analyticstest

import (
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/llm"
)

// groupsBySeveralAddUp: groups by any dimensions hold each call once, whatever
// they are made of.
func groupsBySeveralAddUp(t *testing.T, s analytics.Store) {
	if err := s.Add(t.Context(), RandomCalls(11, 600)...); err != nil {
		t.Fatal(err)
	}
	calls := Stored(t, s)
	zone, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		t.Fatal(err)
	}
	dimension := rapid.SampledFrom([]analytics.Dimension{
		analytics.ByAgent, analytics.ByModel, analytics.ByWorkflow, analytics.BySource, analytics.ByProject, analytics.ByKey, analytics.ByTeam, analytics.ByDay, analytics.ByWeek, analytics.ByMonth,
	})
	rapid.Check(t, func(t *rapid.T) {
		by := rapid.SliceOfNDistinct(dimension, 1, 4, rapid.ID[analytics.Dimension]).Draw(t, "by")
		f := analytics.Filter{Zone: rapid.SampledFrom([]*time.Location{nil, zone}).Draw(t, "zone")}
		if rapid.Bool().Draw(t, "bounded") {
			f.Since, f.Until = Epoch.Add(30*time.Hour+17*time.Minute), Epoch.Add(190*time.Hour)
		}
		type figures struct {
			Calls int64
			Cost  llm.Money
		}
		want, got := map[string]figures{}, map[string]figures{}
		add := func(m map[string]figures, names []string, calls int64, cost llm.Money) {
			key := strings.Join(names, "|")
			m[key] = figures{m[key].Calls + calls, m[key].Cost.Add(cost)}
		}
		for _, c := range calls {
			if !f.Since.IsZero() && (c.Time.Before(f.Since) || !c.Time.Before(f.Until)) {
				continue
			}
			names := make([]string, len(by))
			for i, d := range by {
				names[i] = map[analytics.Dimension]string{
					analytics.ByAgent: c.Agent, analytics.ByModel: c.Model, analytics.ByWorkflow: c.Workflow, analytics.BySource: string(c.Source), analytics.ByProject: c.Project,
					analytics.ByKey: c.Key, analytics.ByTeam: c.Team,
				}[d]
				if d.Calendar() {
					names[i] = d.Label(d.StartOf(c.Time.In(f.In())))
				}
			}
			add(want, names, 1, c.Cost)
		}
		groups, err := s.Groups(t.Context(), f, by...)
		if err != nil {
			t.Fatal(err)
		}
		for i, g := range groups {
			if g.Calls > 0 {
				add(got, g.Names, g.Calls, g.Cost)
			}
			for _, other := range groups[:i] {
				if gocmp.Equal(other.Names, g.Names) {
					t.Fatalf("two groups are %q", g.Names)
				}
			}
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("by %v (-calls +groups):\n%s", by, diff)
		}
	})
}
