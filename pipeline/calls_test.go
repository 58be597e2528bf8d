package pipeline_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/sim"
)

// TestHoursCannotGoBeforeRows: settings that were changed after they were read
// are looked at too.
func TestHoursCannotGoBeforeRows(t *testing.T) {
	t.Parallel()
	cfg, err := config.Load(config.Sources{Dir: t.TempDir(), Home: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.Set("analytics.keep_rows", "900d", "test"); err != nil {
		t.Fatal(err)
	}
	_, err = pipeline.New(t.Context(), cfg, pipeline.Options{Simulator: sim.New(sim.Options{})})
	if _, ok := errors.AsType[*fault.InputError](err); !ok || !strings.Contains(err.Error(), "analytics.keep_hours") {
		t.Errorf("got %v; want an input error that names analytics.keep_hours", err)
	}
}
