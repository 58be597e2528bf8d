package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLimitsOfZeroAreLimits gives limits of 0 in a file and in the environment, and
// lifts them again.
func TestLimitsOfZeroAreLimits(t *testing.T) {
	t.Parallel()
	get := map[string]func(*Config) *float64{
		"DAY":   func(c *Config) *float64 { return c.Budget.Day },
		"RUN":   func(c *Config) *float64 { return c.Budget.Run },
		"AGENT": func(c *Config) *float64 { return c.Budget.Agent },
		"CALL":  func(c *Config) *float64 { return c.Budget.Call },
	}
	for name, limit := range get {
		for _, c := range []struct {
			file, env string
			want      *float64
		}{
			{"", "", nil},
			{"0", "", new(0.0)},
			{"5", "", new(5.0)},
			{"5", "0", new(0.0)},
			{"5", "none", nil},
			{"", "0", new(0.0)},
			{"none", "2.5", new(2.5)},
		} {
			dir := t.TempDir()
			if c.file != "" {
				key := map[string]string{"DAY": "day", "RUN": "run", "AGENT": "agent", "CALL": "call"}[name]
				if err := os.WriteFile(filepath.Join(dir, FileName), []byte("budget:\n  "+key+": "+c.file+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cfg, err := Load(Sources{Dir: dir, Home: dir, Getenv: func(key string) string {
				if key == "CLAUDE_FORCE_BUDGET_"+name {
					return c.env
				}
				return ""
			}})
			if err != nil {
				t.Fatal(err)
			}
			got := limit(cfg)
			if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
				t.Errorf("%s: file %q, environment %q: %v, want %v", name, c.file, c.env, usd(got), usd(c.want))
			}
		}
	}
}

// TestEmptyVariablesAreErrors sets each variable of a setting to nothing, and none.
// Those that other programs read too count as not set, as in the SDK.
func TestEmptyVariablesAreErrors(t *testing.T) {
	t.Parallel()
	ours := 0
	for _, s := range settings {
		if s.env == "" {
			continue
		}
		isOurs := strings.HasPrefix(s.env, "CLAUDE_FORCE_")
		for _, value := range []string{"", " ", "\t\n"} {
			cfg, err := Load(Sources{
				Dir: t.TempDir(), Environ: []string{s.env},
				Getenv: func(name string) string {
					if name == s.env {
						return value
					}
					return ""
				},
			})
			if !isOurs {
				if err != nil || cfg.Origin(s.name) != "default" {
					t.Errorf("%s=%q: %v, from %s", s.env, value, err, cfg.Origin(s.name))
				}
				continue
			}
			ours++
			if want := s.env + ": the variable is set, but empty"; err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s=%q: %v; want %s", s.env, value, err, want)
			}
		}
		cfg, err := Load(Sources{Dir: t.TempDir()})
		if err != nil || cfg.Origin(s.name) != "default" {
			t.Errorf("%s, not set: %v", s.env, err)
		}
	}
	if ours < 3*20 {
		t.Errorf("%d values of our own variables", ours)
	}
}

// TestSettingsWithoutAValueAreErrors gives each setting of a file no value.
func TestSettingsWithoutAValueAreErrors(t *testing.T) {
	t.Parallel()
	for _, s := range settings {
		for _, value := range []string{"", " ~", " null"} {
			text, indent := "", ""
			for part := range strings.SplitSeq(s.name, ".") {
				text += "\n" + indent + part + ":"
				indent += "  "
			}
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, FileName), []byte(text+value+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Load(Sources{UserDir: dir, Dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), s.name+" has no value") {
				t.Errorf("%s:%s gives %v", s.name, value, err)
			}
		}
	}
}

func TestTimeoutOfZeroIsRefused(t *testing.T) {
	t.Parallel()
	for value, ok := range map[string]bool{"0": false, "0s": false, "-1s": false, "none": true, "1s": true} {
		cfg := &Config{}
		if err := timeLimit(&cfg.Timeout, value); (err == nil) != ok {
			t.Errorf("%q: %v", value, err)
		}
	}
}
