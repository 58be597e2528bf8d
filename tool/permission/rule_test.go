package permission_test

import (
	"path/filepath"
	"testing"

	"github.com/claude-force/claude-force/tool/permission"
)

// TestFolderRule denies what is in a folder of any name, and nothing beside it.
func TestFolderRule(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a", "a*", "a?", "[a]", `a\b`} {
		dir := filepath.Join(t.TempDir(), name)
		p := &permission.Policy{Dir: t.TempDir(), Deny: []permission.Rule{permission.FolderRule("Read", dir)}}
		for path, want := range map[string]bool{dir + "/x": true, dir + "/y/x": true, dir + "x/x": false, filepath.Dir(dir) + "/aa/x": false} {
			if got := p.DeniedFile(false, path); got != want {
				t.Errorf("%s with the rule for %s: %v", path, dir, got)
			}
		}
	}
}
