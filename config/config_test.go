package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/config"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestOrderOfStrength(t *testing.T) {
	home := t.TempDir()
	user, project := filepath.Join(home, ".config"), filepath.Join(home, "project")
	write(t, filepath.Join(user, config.FileName), "max_tokens: 2\njobs: 2\ntimeout: 2s\nbase_url: http://localhost:1\n")
	write(t, filepath.Join(project, config.FileName), "model: project\nmax_tokens: 1\njobs: 1\ntimeout: 1s\n")
	env := map[string]string{"CLAUDE_FORCE_JOBS": "3", "CLAUDE_FORCE_TIMEOUT": "3s"}
	cfg, err := config.Load(config.Sources{Dir: project, UserDir: user, Home: home, Getenv: func(n string) string { return env[n] }})
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.Set("timeout", "4s", "--timeout"); err != nil {
		t.Fatal(err)
	}
	got := map[string][2]string{}
	for _, name := range []string{"model", "max_tokens", "jobs", "timeout", "base_url", "cache.ttl"} {
		got[name] = [2]string{cfg.Value(name), cfg.Origin(name)}
	}
	want := map[string][2]string{
		"model":      {"project", filepath.Join(project, config.FileName) + ":1"},
		"base_url":   {"http://localhost:1", filepath.Join(user, config.FileName) + ":4"},
		"max_tokens": {"2", filepath.Join(user, config.FileName) + ":1"},
		"jobs":       {"3", "CLAUDE_FORCE_JOBS"},
		"timeout":    {"4s", "--timeout"},
		"cache.ttl":  {"24h", "default"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCacheSettings(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, config.FileName), `
cache:
  ttl_hours: 1
  max_size: 3GiB
  exclude_agents: [creative-writer, planner]
  agent_ttl: {linter: 72h}
`)
	cfg, err := config.Load(config.Sources{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	want := config.Cache{Enabled: true, TTL: time.Hour, MaxBytes: 3 << 30,
		ExcludeAgents: []string{"creative-writer", "planner"}, AgentTTL: map[string]time.Duration{"linter": 72 * time.Hour}}
	if diff := cmp.Diff(want, cfg.Cache); diff != "" {
		t.Error(diff)
	}
}

func TestEveryValueReadsBack(t *testing.T) {
	cfg, err := config.Load(config.Sources{Dir: t.TempDir(), Home: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Cache.AgentTTL = map[string]time.Duration{"b": 90 * time.Minute, "a": time.Hour}
	for _, name := range config.Names() {
		value := cfg.Value(name)
		if about, _ := config.About(name); about == "" {
			t.Errorf("%s has no description", name)
		}
		if value == "" {
			continue
		}
		if err := cfg.Set(name, value, "test"); err != nil {
			t.Error(err)
		}
		if got := cfg.Value(name); got != value {
			t.Errorf("%s was %q and reads back as %q", name, value, got)
		}
	}
}

func TestErrors(t *testing.T) {
	tests := map[string]struct{ file, want string }{
		"unknown":        {"modle: haiku\n", `:1: unknown setting "modle" (did you mean model?)`},
		"bad number":     {"\njobs: many\n", `:2: jobs: "many" is not a whole number above 0`},
		"bad duration":   {"timeout: 5\n", `:1: timeout: "5" is not a duration such as`},
		"zero ttl":       {"cache: {ttl: 0s}\n", `:1: cache.ttl: "0s" must be above 0`},
		"a list":         {"model: [a, b]\n", ":1: model does not take a list or mapping"},
		"not a mapping":  {"- a\n", ":1: settings must be a mapping"},
		"not YAML":       {"a: [\n", "not valid YAML"},
		"credential":     {"api_key: sk-ant-secret\n", ":1: credentials are not read from files"},
		"where runs go":  {"store: postgres://evil.example/d\n", ":1: store cannot be set by a project's file"},
		"where keys go":  {"base_url: https://evil.example\n", ":1: base_url cannot be set by a project's file"},
		"runs something": {"cache:\n  encryption_key: 'command:rm'\n", ":2: cache.encryption_key cannot be set by a project's file"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, config.FileName), tt.file)
			_, err := config.Load(config.Sources{Dir: dir})
			if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, config.FileName)) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v; want %s", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "sk-ant-secret") {
				t.Error("the error shows the credential")
			}
		})
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{"7d": 7 * 24 * time.Hour, "0d": 0, "90s": 90 * time.Second, "1h30m": 90 * time.Minute} {
		if got, err := config.ParseDuration(text); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "d", "-1d", "1.5d", "-3s", "soon", "99999d"} {
		if got, err := config.ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v; want an error", text, got)
		}
	}
}

func TestAllErrorsAtOnce(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, config.FileName), "jobs: x\nnope: 1\n")
	_, err := config.Load(config.Sources{Dir: dir, Getenv: func(n string) string {
		return map[string]string{"CLAUDE_FORCE_CACHE_ENCRYPTION_KEY": "0123456789abcdef"}[n]
	}})
	for _, want := range []string{"jobs:", `"nope"`, "CLAUDE_FORCE_CACHE_ENCRYPTION_KEY: cache.encryption_key"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %s", err, want)
		}
	}
	if err != nil && strings.Contains(err.Error(), "0123456789abcdef") {
		t.Error("the error shows the key")
	}
}

func TestProjectFileAboveTheWorkingDirectory(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, config.FileName), "jobs: 7\n")
	below := filepath.Join(root, "a", "b")
	if err := os.MkdirAll(below, 0o755); err != nil {
		t.Fatal(err)
	}
	jobs := func() int {
		cfg, err := config.Load(config.Sources{Dir: below})
		if err != nil {
			t.Fatal(err)
		}
		return cfg.Jobs
	}
	if got := jobs(); got != 10 {
		t.Errorf("outside a repository a file above counted: jobs %d", got)
	}
	if err := os.Mkdir(filepath.Join(root, ".git"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := jobs(); got != 7 {
		t.Errorf("the repository's file did not count: jobs %d", got)
	}
}

func TestPricesBesideTheUsersFile(t *testing.T) {
	home := t.TempDir()
	user, project := filepath.Join(home, ".config"), filepath.Join(home, "project")
	prices := filepath.Join(user, config.PricesName)
	write(t, filepath.Join(project, config.PricesName), "not for a project to say")
	load := func() string {
		cfg, err := config.Load(config.Sources{Dir: project, UserDir: user, Home: home})
		if err != nil {
			t.Fatal(err)
		}
		return cfg.Prices
	}
	if got := load(); got != "" {
		t.Errorf("prices from %q, want the built-in ones", got)
	}
	write(t, prices, "batch: 0.5")
	if got := load(); got != prices {
		t.Errorf("prices from %q, want %q", got, prices)
	}
}

func TestMisspeltNamesArePointedOut(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(dir, config.FileName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		file string
		env  []string
		want string // empty: no error
	}{
		{"", []string{"CLAUDE_FORCE_BUDGET_DYA"}, "did you mean CLAUDE_FORCE_BUDGET_DAY?"},
		{"", []string{"CLAUDE_FORCE_BUDGET_DAYS", "PATH"}, "did you mean CLAUDE_FORCE_BUDGET_DAY?"},
		{"", []string{"claude_force_jobs"}, "did you mean CLAUDE_FORCE_JOBS?"},
		{"", []string{"CLAUDE_FORCE_BUDGET_DAY", "CLAUDE_FORCE_HOME"}, ""},
		{"", []string{"CLAUDE_FORCE_SERVER", "CLAUDE_FORCE_SERVER_KEY"}, ""},
		{"", []string{"CLAUDE_FORCE_SOMETHING_ELSE_ALTOGETHER"}, ""},
		{"jbos: 3\n", nil, "did you mean jobs?"},
		{"cache: {exclude_agent: [a]}\n", nil, "did you mean cache.exclude_agents?"},
		{"fallback_models: [haiku, sonnet]\n", nil, ""},
		{"fallback_models: haiku, sonnet\n", nil, ""},
		{"fallback_models: [{a: b}]\n", nil, "one name per entry"},
		{"budget:\n\tday: 1\n", nil, "indent with blanks"},
	} {
		write(tt.file)
		values := map[string]string{"CLAUDE_FORCE_BUDGET_DAY": "1", "CLAUDE_FORCE_HOME": dir}
		cfg, err := config.Load(config.Sources{Dir: dir, Environ: tt.env, Getenv: func(name string) string { return values[name] }})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q, %v: %v; want %q", tt.file, tt.env, err, tt.want)
		}
		if strings.Contains(tt.file, "fallback") && err == nil && strings.Join(cfg.FallbackModels, " ") != "haiku sonnet" {
			t.Errorf("%q gives %q", tt.file, cfg.FallbackModels)
		}
		if notes := len(cfg.Notes) == 1; notes != (len(tt.env) == 1 && strings.Contains(tt.env[0], "ALTOGETHER")) {
			t.Errorf("%v: notes %q", tt.env, cfg.Notes)
		}
	}
}

// TestPasswordOfTheStore: it is taken from the environment only, and never shown.
func TestPasswordOfTheStore(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"postgres://u:hunter2@h/d", "postgresql://u@h/d?password=hunter2&sslmode=disable", "postgres://u@h/d?sslpassword=hunter2&sslkey=k"} {
		user := t.TempDir()
		write(t, filepath.Join(user, config.FileName), "store: "+value+"\n")
		_, err := config.Load(config.Sources{Dir: t.TempDir(), UserDir: user})
		if err == nil || !strings.Contains(err.Error(), ":1: passwords are not read from files") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("in a file: %v", err)
		}
		cfg, err := config.Load(config.Sources{Dir: t.TempDir(), Getenv: func(name string) string {
			return map[string]string{"CLAUDE_FORCE_STORE": value}[name]
		}})
		if err != nil || cfg.Store != value || strings.Contains(cfg.Value("store"), "hunter2") || !strings.Contains(cfg.Value("store"), "xxxxx") {
			t.Errorf("in the environment: %q, %v", cfg.Value("store"), err)
		}
	}
	for _, value := range []string{"mysql://u:hunter2@h/d", "postgres://u:hunter2@h:x/d", "hunter2", "postgres://u:h%unter2@h/d"} {
		cfg, err := config.Load(config.Sources{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		if err := cfg.Set("store", value, "test"); err == nil || strings.Contains(err.Error(), "unter2") || cfg.Store != "" {
			t.Errorf("%s: %v", value, err)
		}
	}
}

func TestPasswordInTheBaseURLIsNotShown(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"https://user:hunter2@host/", "user:hunter2@host", "https://hunter2@host", "://u:hunter2@", "http://user:hunter2%40host", "https://host/?api_key=hunter2", "https://host/#hunter2", "hunter2"} {
		cfg, err := config.Load(config.Sources{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		err = cfg.Set("base_url", value, "test")
		if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(value, "@") && !strings.Contains(err.Error(), "no user or password") {
			t.Errorf("%s: %v", value, err)
		}
	}
}
