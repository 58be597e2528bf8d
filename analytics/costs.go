package analytics

import (
	"fmt"
	"slices"
)

// CostDimensions are those that costs are shown by.
var CostDimensions = []Dimension{ByDay, ByWeek, ByMonth, ByAgent, ByModel, ByWorkflow, BySource, ByProject, ByKey, ByTeam}

// CheckCostDimensions reports dimensions that costs cannot be shown by.
func CheckCostDimensions(by []Dimension) error {
	for i, d := range by {
		if !slices.Contains(CostDimensions, d) {
			return fmt.Errorf("%q is none of day, week, month, agent, model, workflow, source, project, key and team", d)
		}
		if slices.Contains(by[:i], d) {
			return fmt.Errorf("names %s twice", d)
		}
	}
	return nil
}

// CostRow is the figures of a group, as programs get them. Groups by several dimensions
// have a field for each.
type CostRow struct {
	Figures
	Day      *string `json:"day,omitempty"`
	Week     *string `json:"week,omitempty"`
	Month    *string `json:"month,omitempty"`
	Agent    *string `json:"agent,omitempty"`
	Model    *string `json:"model,omitempty"`
	Workflow *string `json:"workflow,omitempty"`
	Source   *string `json:"source,omitempty"`
	Project  *string `json:"project,omitempty"`
	Key      *string `json:"key,omitempty"`
	Team     *string `json:"team,omitempty"`
	Path     *string `json:"project_path,omitempty"`
}

// CostRows returns the figures of groups by dimensions, in their order. Paths are those
// of their projects; nil if they are not by project.
func CostRows(by []Dimension, groups []Group, paths []string) []CostRow {
	rows := make([]CostRow, len(groups))
	for i, figures := range FiguresOf(groups) {
		row := &rows[i]
		row.Figures = figures
		if paths != nil {
			row.Path = &paths[i]
		}
		if len(by) == 1 {
			continue
		}
		to := map[Dimension]**string{
			ByDay: &row.Day, ByWeek: &row.Week, ByMonth: &row.Month, ByAgent: &row.Agent,
			ByModel: &row.Model, ByWorkflow: &row.Workflow, BySource: &row.Source, ByProject: &row.Project,
			ByKey: &row.Key, ByTeam: &row.Team,
		}
		for n, d := range by {
			*to[d] = &groups[i].Names[n]
		}
	}
	return rows
}
