package config_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/config"
)

// A project's file forbids and never allows; the user's does both.
func TestAProjectOnlyForbids(t *testing.T) {
	home := t.TempDir()
	user, project := filepath.Join(home, ".config"), filepath.Join(home, "project")
	const all = `permissions:
  allow: ["Bash(go test:*, x)", "Edit(src/**)"]
  deny: [Read(.env), "WebFetch"]
  ask: Bash(git push:*), Write
  mode: bypassPermissions
  add_dirs: [/srv/data]
sandbox: off
`
	write(t, filepath.Join(project, config.FileName), all)
	cfg, err := config.Load(config.Sources{Dir: project, UserDir: user, Home: home})
	if err != nil {
		t.Fatal(err)
	}
	forbidden := config.Permissions{Deny: []string{"Read(.env)", "WebFetch"}, Ask: []string{"Bash(git push:*)", "Write"}}
	if diff := cmp.Diff(config.Permissions{}, cfg.Permissions); diff != "" || cfg.SandboxOff {
		t.Errorf("a project granted something: %s", diff)
	}
	if diff := cmp.Diff(forbidden, cfg.Project); diff != "" {
		t.Error(diff)
	}
	notes := strings.Join(cfg.Notes, "\n")
	for _, want := range []string{":2: permissions.allow is ignored", ":5: permissions.mode is", ":6: permissions.add_dirs", ":7: sandbox"} {
		if !strings.Contains(notes, want) {
			t.Errorf("no note %q in:\n%s", want, notes)
		}
	}

	write(t, filepath.Join(user, config.FileName), all)
	write(t, filepath.Join(project, config.FileName), "permissions: {mode: plan, deny: 'Bash'}\n")
	if cfg, err = config.Load(config.Sources{Dir: project, UserDir: user, Home: home}); err != nil {
		t.Fatal(err)
	}
	own := forbidden
	own.Allow, own.Mode, own.AddDirs = []string{"Bash(go test:*, x)", "Edit(src/**)"}, "bypassPermissions", []string{"/srv/data"}
	if diff := cmp.Diff(own, cfg.Permissions); diff != "" || !cfg.SandboxOff {
		t.Errorf("the user's: %s", diff)
	}
	if diff := cmp.Diff(config.Permissions{Deny: []string{"Bash"}, Mode: "plan"}, cfg.Project); diff != "" || len(cfg.Notes) > 0 {
		t.Errorf("the project's: %s %v", diff, cfg.Notes)
	}
	if got := cfg.Value("permissions.deny"); got != "Read(.env), WebFetch, Bash" {
		t.Errorf("permissions.deny is shown as %q", got)
	}
}
