package callsql

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/llm"
)

// grouping puts calls, and sums over them, into groups.
type grouping struct {
	by       []analytics.Dimension
	zone     *time.Location
	calendar bool   // whether a dimension depends on the zone
	kind     string // of the sums from which the groups are made
	costs    bool   // whether latencies are left out
	groups   map[groupName]*analytics.Group
}

// groupName is what the calls of a group have in common.
type groupName struct {
	name  string // joined, if there are several dimensions
	start int64
}

func newGrouping(by []analytics.Dimension, zone *time.Location, costs bool) *grouping {
	g := &grouping{by: by, zone: zone, kind: kindSource, costs: costs, groups: map[groupName]*analytics.Group{}}
	for _, d := range by {
		g.calendar = g.calendar || d.Calendar()
		if d.Summed() {
			g.kind = string(d)
		}
	}
	return g
}

// runs reports whether runs are counted: of the dimensions of which sums are kept, they
// are known by their workflow alone.
func (g *grouping) runs() bool {
	return !slices.ContainsFunc(g.by, func(d analytics.Dimension) bool { return d.Summed() && d != analytics.ByWorkflow })
}

// group returns the group of what began at start, in seconds, and was made for a
// project from a source. value returns its agent, model, workflow, key or team.
func (g *grouping) group(start int64, project string, source llm.Source, value func(analytics.Dimension) string) *analytics.Group {
	var key groupName
	for i, d := range g.by {
		text := ""
		switch {
		case g.timed(d):
			at := g.startOf(d, start).Unix()
			if i == 0 {
				key.start = at
				continue
			}
			text = strconv.FormatInt(at, 10)
		default:
			text = valueOf(d, project, source, value)
		}
		if len(g.by) > 1 {
			text = strconv.Quote(text)
		}
		key.name += text
	}
	found := g.groups[key]
	if found == nil {
		found = &analytics.Group{Names: make([]string, len(g.by))}
		for i, d := range g.by {
			if !g.timed(d) {
				found.Names[i] = valueOf(d, project, source, value)
				continue
			}
			at := g.startOf(d, start)
			if d.Calendar() {
				found.Names[i] = d.Label(at)
			} else if len(g.by) > 1 {
				found.Names[i] = at.Format(time.RFC3339)
			}
			if found.Start.IsZero() {
				found.Start = at
			}
		}
		if len(found.Names) == 1 {
			found.Name = found.Names[0]
		}
		g.groups[key] = found
	}
	return found
}

func (g *grouping) timed(d analytics.Dimension) bool { return d.Calendar() || d == analytics.ByHour }

// startOf returns when the day, week, month or hour of a time in seconds begins.
func (g *grouping) startOf(d analytics.Dimension, start int64) time.Time {
	if d.Calendar() {
		return d.StartOf(time.Unix(start, 0).In(g.zone))
	}
	return time.Unix(Floor(start*int64(time.Second), hour), 0).UTC()
}

func valueOf(d analytics.Dimension, project string, source llm.Source, value func(analytics.Dimension) string) string {
	switch d {
	case analytics.ByProject:
		return project
	case analytics.BySource:
		return string(source)
	}
	return value(d)
}

func (g *grouping) addCall(c *analytics.Call) {
	to := g.group(Floor(c.Time.UnixNano(), 1), c.Project, c.Source, func(d analytics.Dimension) string {
		switch d {
		case analytics.ByAgent:
			return c.Agent
		case analytics.ByModel:
			return c.Model
		case analytics.ByKey:
			return c.Key
		case analytics.ByTeam:
			return c.Team
		}
		return c.Workflow
	})
	to.AddCall(c)
}

// addRun adds a run that began within an hour the bounds cut.
func (g *grouping) addRun(project, workflow string, f RunFigures) {
	if !g.runs() {
		return
	}
	to := g.group(Floor(f.Began, 1), project, "", func(analytics.Dimension) string { return workflow })
	to.Runs++
	to.RunWall += time.Duration(f.Ended - f.Began)
	to.RunAlone += time.Duration(f.Alone)
}

func (g *grouping) sorted() []analytics.Group {
	list := make([]analytics.Group, 0, len(g.groups))
	for _, found := range g.groups {
		list = append(list, *found)
	}
	slices.SortFunc(list, func(a, b analytics.Group) int {
		if len(g.by) > 1 {
			return slices.Compare(a.Names, b.Names)
		}
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(b.Cost, a.Cost), cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Name, b.Name))
	})
	return list
}
