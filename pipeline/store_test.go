package pipeline_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
	"github.com/claude-force/claude-force/llm/cache/cachetest"
	"github.com/claude-force/claude-force/pipeline"
)

// TestStoresInADatabase: answers and calls are in the database that the settings name, for
// all machines, and nothing of them is in the data folder.
func TestStoresInADatabase(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	machine := func() *config.Config {
		cfg, err := config.Load(config.Sources{Dir: t.TempDir(), Home: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		cfg.DataDir, cfg.Store = t.TempDir(), url
		return cfg
	}
	one, other := machine(), machine()
	calls, err := pipeline.OpenCalls(t.Context(), one)
	if err != nil {
		t.Fatal(err)
	}
	defer calls.Close()
	if err := calls.Add(t.Context(), analytics.Call{Time: time.Now(), Agent: "a", Asked: "m", Cost: 5}); err != nil {
		t.Fatal(err)
	}
	answers, err := pipeline.OpenCache(t.Context(), one)
	if err != nil {
		t.Fatal(err)
	}
	defer answers.Close()
	cachetest.Put(t, answers, cachetest.Entry(1))

	calls, err = pipeline.OpenCalls(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	defer calls.Close()
	if sum, err := calls.Summary(t.Context(), analytics.Filter{}); err != nil || sum.Calls != 1 {
		t.Errorf("the other machine sees %+v, %v", sum, err)
	}
	answers, err = pipeline.OpenCache(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	defer answers.Close()
	if !cachetest.Has(t, answers, 1) {
		t.Error("the other machine does not find the answer")
	}
	if files, err := filepath.Glob(filepath.Join(one.DataDir, "*.db*")); err != nil || len(files) > 0 {
		t.Errorf("the data folder has %v, %v", files, err)
	}
}

// TestADatabaseThatWasNotMigrated checks that the error says so.
func TestADatabaseThatWasNotMigrated(t *testing.T) {
	t.Parallel()
	cfg, err := config.Load(config.Sources{Dir: t.TempDir(), Home: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	cfg.DataDir, cfg.Store = t.TempDir(), postgrestest.EmptyURL(t)
	_, callsErr := pipeline.OpenCalls(t.Context(), cfg)
	_, cacheErr := pipeline.OpenCache(t.Context(), cfg)
	for _, err := range []error{callsErr, cacheErr} {
		if fault.KindOf(err) != fault.KindInput || !strings.Contains(err.Error(), "migration") {
			t.Errorf("got %v", err)
		}
	}
}
