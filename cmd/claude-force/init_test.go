package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/claude-force/claude-force/config"
)

// TestStarterSettingsAreValid loads the settings that init writes as comments.
func TestStarterSettingsAreValid(t *testing.T) {
	t.Parallel()
	data, err := starter.ReadFile("starter/claude-force.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	data = regexp.MustCompile(`(?m)^# ([a-z_ ]+:)`).ReplaceAll(data, []byte("$1"))
	if err := os.WriteFile(filepath.Join(dir, "claude-force.yaml"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(config.Sources{Dir: dir})
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	if cfg.Budget.Day == nil || *cfg.Budget.Day != 5 || cfg.Cache.TTL.Hours() != 24 || len(cfg.FallbackModels) != 1 || len(cfg.Cache.ExcludeAgents) != 1 {
		t.Errorf("the settings were not read: %+v", cfg)
	}
}
