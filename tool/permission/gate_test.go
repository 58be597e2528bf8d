package permission_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/claude-force/claude-force/tool"
	"github.com/claude-force/claude-force/tool/permission"
)

// TestFoldersOfRules grants folders to read for Read rules, and to change for others:
// commands may write whatever is granted to be changed.
func TestFoldersOfRules(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rules, err := permission.ParseRules("Read(//srv/data/**), Edit(//srv/out/**), Read(~/notes/*), Bash(ls)")
	if err != nil {
		t.Fatal(err)
	}
	p := &permission.Policy{Mode: permission.ModeDefault, Dir: dir, Home: "/home/u", Allow: rules, Extra: []string{"/srv/extra"}}
	env, err := p.NewEnv(tool.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer env.Close()
	if got, want := env.Granted(), []string{dir, "/srv/out", "/srv/extra"}; !slices.Equal(got, want) {
		t.Errorf("to change %q, want %q", got, want)
	}
	if got, want := env.GrantedToRead(), []string{"/srv/data", filepath.FromSlash("/home/u/notes")}; !slices.Equal(got, want) {
		t.Errorf("to read %q, want %q", got, want)
	}
}
