package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
)

// TestMachinesShareTheStore has two machines with one database: budgets, keys, schedules
// and webhooks are of both, and no file is made for them.
func TestMachinesShareTheStore(t *testing.T) {
	t.Parallel()
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serveAnswer(w, r, "Done.") }))
	defer service.Close()
	url, project := postgrestest.EmptyURL(t), t.TempDir()
	for name, text := range map[string]string{
		"one.yaml":          "name: one\nparams: {n: {}}\nsteps:\n  - {id: a, agent: linter, task: \"Item ${{ params.n }}\"}\n",
		"claude-force.yaml": "budget: {day: 5}\n",
	} {
		if err := os.WriteFile(filepath.Join(project, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	machine := func() *commandLine {
		home := t.TempDir()
		return &commandLine{t, project, append(os.Environ(), "HOME="+home, "CLAUDE_FORCE_HOME="+filepath.Join(home, "data"), "XDG_CONFIG_HOME=", "OPS_SECRET=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr",
			"ANTHROPIC_API_KEY=sk-ant-test-0123456789abcdef", "ANTHROPIC_BASE_URL="+service.URL, "CLAUDE_FORCE_STORE="+url)}
	}
	one, other := machine(), machine()
	if _, messages, code := one.run("keys", "list"); code == 0 || !strings.Contains(messages, "bring the schema of the store up to date") {
		t.Errorf("of a database without tables: exit code %d, %s", code, messages)
	}
	one.must("store", "migrate")
	one.must("keys", "create", "--name", "ci", "--budget", "1/day")
	one.must("schedules", "add", "nightly", "one.yaml", "--cron", "0 2 * * *", "--param", "n=1")
	one.must("webhooks", "add", "ops", "http://127.0.0.1:1/", "--secret-env", "OPS_SECRET")
	one.must("run", "one.yaml", "--param", "n=1")
	for command, want := range map[string]string{"keys list": "ci", "schedules list": "nightly", "webhooks list": "ops", "runs list": "one"} {
		if out := other.must(strings.Fields(command)...); !strings.Contains(out, want) {
			t.Errorf("%s on the other machine has no %q:\n%s", command, want, out)
		}
	}
	if _, messages, code := other.run("keys", "create", "--name", "ci"); code != exitInput || !strings.Contains(messages, "there is a key of this name") {
		t.Errorf("a name that the other machine has taken: exit code %d, %s", code, messages)
	}
	spent := func() (usd int64) {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		if err := conn.QueryRow(t.Context(), `SELECT spent_money FROM budget_accounts WHERE substring(key FOR 4) = 'day/'`).Scan(&usd); err != nil {
			t.Fatal(err)
		}
		return usd
	}
	first := spent()
	other.must("run", "one.yaml", "--param", "n=2")
	if both := spent(); first <= 0 || both != 2*first {
		t.Errorf("the day has spent %d billionths after a call of one machine, and %d after an equal one of each", first, both)
	}
	one.must("analytics", "verify")
	for _, m := range []*commandLine{one, other} {
		home := ""
		for _, v := range m.env {
			if dir, ok := strings.CutPrefix(v, "CLAUDE_FORCE_HOME="); ok {
				home = dir
			}
		}
		if files, err := filepath.Glob(filepath.Join(home, "*.db")); err != nil || len(files) > 0 {
			t.Errorf("the data folder has %v, %v", files, err)
		}
	}
}
