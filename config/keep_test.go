package config_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/config"
)

func TestHowLongCallsAreKept(t *testing.T) {
	const day = 24 * time.Hour
	tests := map[string]struct {
		file string
		env  map[string]string
		want config.Analytics
	}{
		"default":          {"", nil, config.Analytics{Enabled: true, KeepRows: 365 * day, KeepHours: 730 * day}},
		"rows":             {"analytics: {keep_rows: 90d}", nil, config.Analytics{Enabled: true, KeepRows: 90 * day, KeepHours: 730 * day}},
		"both":             {"analytics: {keep_rows: 36h, keep_hours: 30d}", nil, config.Analytics{Enabled: true, KeepRows: 36 * time.Hour, KeepHours: 30 * day}},
		"none at all":      {"analytics: {enabled: false}", nil, config.Analytics{KeepRows: 365 * day, KeepHours: 730 * day}},
		"hours follow":     {"analytics: {keep_rows: 900d}", nil, config.Analytics{Enabled: true, KeepRows: 900 * day, KeepHours: 900 * day}},
		"all":              {"analytics: {keep_rows: forever}", nil, config.Analytics{Enabled: true}},
		"the hours":        {"analytics: {keep_hours: forever}", nil, config.Analytics{Enabled: true, KeepRows: 365 * day}},
		"variables go on":  {"analytics: {keep_rows: 900d}", map[string]string{"CLAUDE_FORCE_ANALYTICS_KEEP_ROWS": "10d"}, config.Analytics{Enabled: true, KeepRows: 10 * day, KeepHours: 730 * day}},
		"of hours as well": {"", map[string]string{"CLAUDE_FORCE_ANALYTICS_KEEP_HOURS": "1000d"}, config.Analytics{Enabled: true, KeepRows: 365 * day, KeepHours: 1000 * day}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			user := t.TempDir()
			write(t, filepath.Join(user, config.FileName), tt.file+"\n")
			cfg, err := config.Load(config.Sources{Dir: t.TempDir(), UserDir: user, Getenv: func(n string) string { return tt.env[n] }})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, cfg.Analytics); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWrongTimesToKeepCalls(t *testing.T) {
	for file, want := range map[string]string{
		"\nanalytics:\n  keep_rows: 12h\n":                            `:3: analytics.keep_rows: "12h" is neither a duration of at least a day, such as 90d, nor forever`,
		"analytics: {keep_hours: never}\n":                            `:1: analytics.keep_hours: "never" is neither`,
		"analytics: {keep_rows: 0}\n":                                 `:1: analytics.keep_rows: "0" is neither`,
		"analytics:\n  keep_hours: 90d\n":                             `:2: analytics.keep_hours: "90d" is less than analytics.keep_rows, which is "365d" (sums of hours must`,
		"analytics:\n  keep_rows: forever\n  keep_hours: 800d\n":      `:3: analytics.keep_hours: "800d" is less than analytics.keep_rows, which is "forever"`,
		"analytics:\n  keep_rows: soon\n  keep_hours: 10d\n":          `:2: analytics.keep_rows: "soon" is neither`,
		"analytics:\n  keep_rows: 2d\n  keep_hours: 10d\n  rows: 1\n": `:4: unknown setting "analytics.rows"`,
	} {
		user := t.TempDir()
		write(t, filepath.Join(user, config.FileName), file)
		_, err := config.Load(config.Sources{Dir: t.TempDir(), UserDir: user})
		if err == nil || !strings.Contains(err.Error(), config.FileName+want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v; want %s", file, err, want)
		}
	}
	project := t.TempDir()
	write(t, filepath.Join(project, config.FileName), "analytics: {keep_rows: 1d}\n")
	_, err := config.Load(config.Sources{Dir: project})
	if want := ":1: analytics.keep_rows cannot be set by a project's file (set it in the user's own claude-force.yaml or as CLAUDE_FORCE_ANALYTICS_KEEP_ROWS)"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a project's: %v; want %s", err, want)
	}
}
