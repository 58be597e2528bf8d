package callsdb

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/analytics"
)

// nameOnly follows the names of projects whose path is not known, so that none is
// taken for a project of which it is.
const nameOnly = " (name only)"

// Projects returns all projects, in the order of their names.
func (s *Store) Projects(ctx context.Context) (list []analytics.Project, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.reading(ctx, func() error {
		return s.read.Query(`SELECT project, name, coalesce(place, '') FROM call_projects ORDER BY name`, func(row *stmt) error {
			list = append(list, analytics.Project{ID: row.ColumnText(0), Name: row.ColumnText(1), Path: row.ColumnText(2)})
			return nil
		})
	})
	return list, err
}

// shown returns the name and the path of a project. The caller is reading.
func (s *Store) shown(id string) (name, path string, err error) {
	if id == "" {
		return "", "", nil
	}
	name = projectNames([]string{id})[id] // of one without calls
	if filepath.IsAbs(id) {
		path = id
	}
	err = s.read.Query(`SELECT name FROM call_projects WHERE project = ?`, func(row *stmt) error {
		name = row.ColumnText(0)
		return nil
	}, id)
	return name, path, err
}

// project adds a project if it is new, and gives those new names whose old ones are
// not unique any more.
func (b *batch) project(id string) error {
	n, err := b.write.Change(`INSERT OR IGNORE INTO call_projects VALUES (?, '', ?)`, id, pathOf(id))
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
	for id, name := range projectNames(ids) {
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

// projectNames returns a short name for each id: as many of the last folders of its
// path as no other has, at least one, or for a name without a path that with
// [nameOnly].
func projectNames(ids []string) map[string]string {
	names := make(map[string]string, len(ids))
	taken := map[string]bool{}
	var paths []string
	for _, id := range ids {
		switch {
		case filepath.IsAbs(id):
			paths = append(paths, id)
		case id == "":
			names[id] = id
		default:
			names[id] = id + nameOnly
			taken[names[id]] = true
		}
	}
	for folders := 1; len(paths) > 0; folders++ {
		count := map[string]int{}
		for _, path := range paths {
			count[lastFolders(path, folders)]++
		}
		paths = slices.DeleteFunc(paths, func(path string) bool {
			name := lastFolders(path, folders)
			if name != filepath.ToSlash(path) && (count[name] > 1 || taken[name]) {
				return false
			}
			names[path] = name
			return true
		})
	}
	return names
}

// lastFolders returns the last n folders of an absolute path, with slashes between
// them, or all of it if it has fewer.
func lastFolders(path string, n int) string {
	path = filepath.ToSlash(path)
	folders := strings.Split(strings.TrimPrefix(path, "/"), "/")
	if path == "/" || n > len(folders) {
		return path
	}
	return strings.Join(folders[len(folders)-n:], "/")
}
