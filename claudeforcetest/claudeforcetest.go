// Package claudeforcetest helps to test programs that use claude-force, without
// a key, a network or the user's files.
//
// A [Model] answers calls from a list, and [New] makes an orchestrator around it
// whose cache and history are in a temporary folder:
//
//	model := claudeforcetest.NewModel(t,
//		claudeforcetest.Answer{Agent: "linter", Text: "no findings"},
//		claudeforcetest.Answer{Contains: "config.go", JSON: Review{Score: 3}},
//	)
//	orch := claudeforcetest.New(t, claudeforce.Options{Model: model})
//
// Everything between the program and the model is real: the cache, coalescing,
// budgets, retries, the journal. So a call that is asked twice reaches the model
// once; see [Model.Calls]. Prices are real too, of made-up numbers of tokens.
//
// Retries of transient errors wait for seconds. In a testing/synctest bubble
// they take no time.
package claudeforcetest

import (
	"testing"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/config"
)

// New returns an orchestrator that is closed when the test ends. What opts leaves
// open is hermetic: Dir is an empty temporary folder, Config has the default
// settings and whatever the claude-force.yaml of Dir says, without environment
// variables, Model has no answers, and the data folder is always temporary if
// Config is nil. Agents of the user's home folder remain visible. A failure to
// make or close the orchestrator fails the test.
func New(tb testing.TB, opts claudeforce.Options) *claudeforce.Orchestrator {
	tb.Helper()
	if opts.Dir == "" {
		opts.Dir = tb.TempDir()
	}
	if opts.Config == nil {
		cfg, err := config.Load(config.Sources{Dir: opts.Dir, Home: tb.TempDir()})
		if err != nil {
			tb.Fatalf("reading the settings of %s: %v", opts.Dir, err)
		}
		opts.Config = cfg
	}
	if opts.Model == nil && opts.Simulator == nil && opts.Replay == nil {
		opts.Model = NewModel(tb)
	}
	orch, err := claudeforce.New(tb.Context(), opts)
	if err != nil {
		tb.Fatalf("making an orchestrator: %v", err)
	}
	tb.Cleanup(func() {
		if err := orch.Close(); err != nil {
			tb.Errorf("closing the orchestrator: %v", err)
		}
	})
	return orch
}
