package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
)

// storeCommands are commands that read or change each of the stores.
var storeCommands = []string{
	"runs list", "runs cancel run_none", "runs rm run_none", "runs show latest",
	"keys create --name x", "keys list", "keys rotate x", "keys revoke x", "keys budget",
	"analytics prune", "analytics summary", "analytics verify", "analytics query select+1",
	"cache clear", "cache stats", "cache list",
	"schedules list", "schedules remove x", "schedules pause x",
	"webhooks list", "webhooks remove x", "webhooks deliveries", "run plain.yaml --simulate=instant --quiet",
}

// TestStoreThatCannotBeUsed: a store that cannot be used as it is configured, or only reads, is an
// error of the configuration for each command that would use it, in one line.
func TestStoreThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	database := postgrestest.URL(t)
	separator := "?"
	if strings.Contains(database, "?") {
		separator = "&"
	}
	damaged := t.TempDir()
	for _, name := range []string{"history.db", "keys.db", "cache.db", "schedules.db", "webhooks.db"} {
		if err := os.WriteFile(filepath.Join(damaged, name), []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, store := range map[string]struct {
		env   []string
		reads bool // what only reads may work
	}{
		"a database that only reads": {[]string{"CLAUDE_FORCE_STORE=" + database + separator + "default_transaction_read_only=on"}, true},
		"no server":                  {[]string{"CLAUDE_FORCE_STORE=postgres://x@127.0.0.1:1/x?sslmode=disable"}, false},
		"damaged files":              {[]string{"CLAUDE_FORCE_STORE=", "CLAUDE_FORCE_HOME=" + damaged}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			home := t.TempDir()
			if err := os.WriteFile(filepath.Join(home, "plain.yaml"), []byte("name: plain\nsteps:\n  - {id: a, value: x}\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			machine := &commandLine{t, home, append(append(os.Environ(), "HOME="+home, "CLAUDE_FORCE_HOME="+filepath.Join(home, "data"), "XDG_CONFIG_HOME=", "ANTHROPIC_API_KEY="), store.env...)}
			refused := 0
			for _, command := range storeCommands {
				args := strings.Fields(command)
				for i := range args {
					args[i] = strings.ReplaceAll(args[i], "+", " ")
				}
				_, messages, code := machine.run(args...)
				if code == exitInput {
					refused++
				}
				if code != exitInput && (code != 0 || !store.reads) || args[0] != "run" && strings.Count(strings.TrimSpace(messages), "\n") > 0 {
					t.Errorf("%s: exit code %d, %s", command, code, messages)
				}
			}
			if refused < len(storeCommands)/2 {
				t.Errorf("%d of %d commands were refused", refused, len(storeCommands))
			}
		})
	}
}
