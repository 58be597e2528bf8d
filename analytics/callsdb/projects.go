package callsdb

import (
	"path/filepath"

	"github.com/claude-force/claude-force/analytics/callsql"
)

// project adds a project if it is new, and gives those new names whose old ones are
// not unique any more.
func (b *batch) project(id string) error {
	n, err := b.write.Change(`INSERT OR IGNORE INTO call_projects (project, name, place) VALUES (?, '', ?)`, id, pathOf(id))
	if err != nil || n == 0 {
		return err
	}
	had := map[string]string{}
	err = b.write.Query(`SELECT project, name FROM call_projects`, func(row *stmt) error {
		had[row.ColumnText(0)] = row.ColumnText(1)
		return nil
	})
	if err != nil {
		return err
	}
	ids := make([]string, 0, len(had))
	for id := range had {
		ids = append(ids, id)
	}
	for id, name := range callsql.ProjectNames(ids) {
		if had[id] == name {
			continue
		}
		if err := b.write.Run(`UPDATE call_projects SET name = ? WHERE project = ?`, name, id); err != nil {
			return err
		}
	}
	return nil
}

// pathOf returns the path of a project, or nil if its id is only a name.
func pathOf(id string) any {
	if filepath.IsAbs(id) {
		return id
	}
	return nil
}
