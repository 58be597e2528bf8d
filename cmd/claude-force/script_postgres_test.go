package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
)

// TestPostgresScript runs the command with databases that have no schema yet.
func TestPostgresScript(t *testing.T) {
	address, other := postgrestest.EmptyURL(t), postgrestest.EmptyURL(t)
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "postgres"),
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("XDG_CONFIG_HOME", "")
			env.Setenv("XDG_DATA_HOME", "")
			env.Setenv("CLAUDE_FORCE_STORE", address)
			env.Setenv("COPY_STORE", other)
			return os.Mkdir(filepath.Join(env.WorkDir, "home"), 0o755)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": exitsWith},
	})
}
