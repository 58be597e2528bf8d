package pipeline

import (
	"cmp"
	"os"
	"path/filepath"

	"github.com/claude-force/claude-force/config"
)

// projectMarks are the names of what the root of a project holds.
var projectMarks = [...]string{".git", config.FileName, ".claude-force"}

// Project returns the project under which calls made for a folder are recorded:
// the absolute path, without symbolic links, of the nearest folder from it
// upwards that is the root of a Git repository or holds claude-force.yaml or a folder .claude-force. Failing that,
// it is the nearest that holds a folder .claude, but not the home directory, and
// else the folder itself. Empty means the working directory.
func Project(dir string) string {
	home, _ := os.UserHomeDir()
	return project(dir, home)
}

func project(dir, home string) string {
	start, err := filepath.Abs(cmp.Or(dir, "."))
	if err != nil {
		return ""
	}
	if real, err := filepath.EvalSymlinks(start); err == nil {
		start = real
	}
	if real, err := filepath.EvalSymlinks(home); err == nil {
		home = real
	}
	root := ""
	for dir := start; ; dir = filepath.Dir(dir) {
		for _, mark := range projectMarks {
			if _, err := os.Lstat(filepath.Join(dir, mark)); err == nil {
				return dir
			}
		}
		if info, err := os.Stat(filepath.Join(dir, ".claude")); root == "" && dir != home && err == nil && info.IsDir() {
			root = dir
		}
		if dir == filepath.Dir(dir) {
			return cmp.Or(root, start)
		}
	}
}
