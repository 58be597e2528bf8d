package callsql

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
func (r *Reader) Projects(ctx context.Context) (list []analytics.Project, err error) {
	err = r.read(ctx, func(s *state) error {
		return s.query(`SELECT project, name, coalesce(place, '') FROM call_projects ORDER BY name`, func(row Row) error {
			list = append(list, analytics.Project{ID: row.ColumnText(0), Name: row.ColumnText(1), Path: row.ColumnText(2)})
			return nil
		})
	})
	return list, err
}

// shown returns the name and the path of a project. The caller is reading.
func (s *state) shown(id string) (name, path string, err error) {
	if id == "" {
		return "", "", nil
	}
	name = ProjectNames([]string{id})[id] // of one without calls
	if filepath.IsAbs(id) {
		path = id
	}
	err = s.query(`SELECT name FROM call_projects WHERE project = ?`, func(row Row) error {
		name = row.ColumnText(0)
		return nil
	}, id)
	return name, path, err
}

// ProjectNames returns a short name for each id: as many of the last folders of its
// path as no other has, at least one, or for a name without a path that with
// [nameOnly].
func ProjectNames(ids []string) map[string]string {
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
