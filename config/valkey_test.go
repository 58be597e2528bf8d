package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/config"
)

// TestValkeyShowsNoPassword sets good and bad addresses from each source.
func TestValkeyShowsNoPassword(t *testing.T) {
	t.Parallel()
	load := func(project, user, env string) (*config.Config, error) {
		src := config.Sources{Dir: t.TempDir(), UserDir: t.TempDir(), Getenv: func(name string) string {
			if name == "CLAUDE_FORCE_VALKEY" {
				return env
			}
			return ""
		}}
		for dir, text := range map[string]string{src.Dir: project, src.UserDir: user} {
			if text != "" {
				if err := os.WriteFile(filepath.Join(dir, config.FileName), []byte("valkey: "+text+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		return config.Load(src)
	}
	const address = "rediss://user:canary@cache.example:6379/1"
	for _, c := range []struct{ user, env string }{{address, ""}, {"", address}, {"redis://elsewhere", address}} {
		cfg, err := load("", c.user, c.env)
		if err != nil {
			t.Fatal(err)
		}
		if got := cfg.Value("valkey"); cfg.Valkey != address || strings.Contains(got, "canary") || !strings.Contains(got, "cache.example:6379") {
			t.Errorf("%+v: %s is shown as %s", c, cfg.Valkey, got)
		}
	}
	for _, bad := range []string{"http://user:canary@cache.example", "canary", "redis://", "redis://:canary@", "redis://a:can%zzary@b", "unix://canary"} {
		for _, c := range []struct{ user, env string }{{bad, ""}, {"", bad}} {
			if _, err := load("", c.user, c.env); err == nil || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "redis://HOST:PORT") {
				t.Errorf("%+v: %v", c, err)
			}
		}
	}
	cfg, err := load(address, "", "")
	if err == nil && cfg.Valkey != "" || err != nil && strings.Contains(err.Error(), "canary") {
		t.Errorf("a project's file sets it: %q, %v", cfg.Valkey, err)
	}
}
