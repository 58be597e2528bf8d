package claudeforce

import (
	"strings"
	"testing"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
)

// TestDiagnoseDatabase names the database where answers are, and not a file that is not used.
func TestDiagnoseDatabase(t *testing.T) {
	t.Parallel()
	cfg, err := config.Load(config.Sources{})
	if err != nil {
		t.Fatal(err)
	}
	cfg.DataDir = t.TempDir()
	for _, c := range []struct {
		url  string
		want CheckStatus
	}{{postgrestest.URL(t), CheckPassed}, {postgrestest.EmptyURL(t), CheckFailed}} {
		cfg.Store = c.url
		got := checkCache(t.Context(), cfg)
		if got.Status != c.want || strings.Contains(got.Detail+got.Hint, "cache.db") || strings.Contains(got.Hint, "delete") {
			t.Errorf("%+v; want it %s", got, c.want)
		}
	}
}
