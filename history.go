package claudeforce

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/memory"
	"github.com/claude-force/claude-force/journal/sqlite"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/plan"
	"github.com/claude-force/claude-force/workflow"
)

// OpenHistory opens the store of runs that cfg names, to see and steer them. It
// makes no file: where nothing has run yet it gives an empty store. It needs no
// credential of the API. Close it when done.
func OpenHistory(ctx context.Context, cfg *config.Config) (journal.Store, error) {
	if cfg.DataDir == "" {
		return nil, invalid(errors.New("no folder for the history of runs: set CLAUDE_FORCE_HOME, or HOME"))
	}
	if _, err := os.Stat(pipeline.DataDir(cfg.DataDir).History()); errors.Is(err, fs.ErrNotExist) {
		return memory.New(), nil
	}
	return openHistory(ctx, cfg)
}

// openHistory opens the store of runs, and makes it if there is none.
func openHistory(ctx context.Context, cfg *config.Config) (*sqlite.Store, error) {
	key, err := pipeline.EncryptionKey(ctx, cfg)
	if err != nil {
		return nil, err
	}
	store, err := sqlite.Open(pipeline.DataDir(cfg.DataDir).History(), sqlite.Options{Key: key})
	if err != nil {
		return nil, invalid(err)
	}
	return store, nil
}

// History is the store that the orchestrator's runs are written to. It is closed
// with the orchestrator.
func (o *Orchestrator) History(ctx context.Context) (journal.Store, error) { return o.history(ctx) }

// history opens the store of runs with the first use: a process that gives one
// task to one agent does without.
func (o *Orchestrator) history(ctx context.Context) (journal.Store, error) {
	o.opening.Lock()
	defer o.opening.Unlock()
	if o.runs != nil {
		return o.runs, nil
	}
	if o.opts.Replay != nil || o.config.DataDir == "" {
		if o.opts.Replay == nil {
			o.notice(ctx, "there is no folder for the history of runs, so this run cannot be resumed; set CLAUDE_FORCE_HOME, or HOME")
		}
		o.runs = memory.New()
		return o.runs, nil
	}
	store, err := openHistory(ctx, o.config)
	if err != nil {
		return nil, err
	}
	o.runs = store
	return store, nil
}

// RunSpec is what a run was asked, as its journal keeps it.
type RunSpec struct {
	Version     int               `json:"version"`
	Dir         string            `json:"dir"`    // absolute
	File        string            `json:"file"`   // as given; empty if the workflow came from elsewhere
	Source      string            `json:"source"` // the workflow's text
	Files       map[string]string `json:"files"`  // the texts of the workflows it runs, by path
	Params      map[string]string `json:"params"`
	AllowEnv    []string          `json:"allow_env,omitempty"`
	Model       string            `json:"model,omitempty"`
	Policy      llm.Policy        `json:"policy,omitempty"`
	MaxParallel int               `json:"max_parallel,omitempty"`
	Budget      workflow.Budget   `json:"budget,omitzero"`
	Batch       bool              `json:"batch,omitempty"`
	From        string            `json:"from,omitempty"`
	Only        string            `json:"only,omitempty"`
	Earlier     string            `json:"earlier,omitempty"` // the run that From and Only take results from
	Digests     map[string]string `json:"digests"`           // of what the run depends on, by name
	Tags        map[string]string `json:"tags,omitempty"`    // the caller's own
	Plan        *plan.Promise     `json:"plan,omitempty"`    // what it was expected to take; nil if nobody asked
	Simulated   bool              `json:"simulated,omitempty"`
}

const specVersion = 1

// ReadSpec reads what a run was asked. The run must come from
// [journal.Store.Find]. If it was gone on with after changes, the spec that was
// accepted last is in [journal.State].
func ReadSpec(run journal.Run) (*RunSpec, error) {
	return readSpec(run, run.Spec)
}

func readSpec(run journal.Run, data json.RawMessage) (*RunSpec, error) {
	var spec RunSpec
	if err := json.Unmarshal(data, &spec); err != nil {
		return nil, fmt.Errorf("reading what run %s was asked: %w", run.ID, err)
	}
	if spec.Version > specVersion {
		return nil, invalid(fmt.Errorf("run %s was begun by a newer claude-force; update claude-force to go on with it", run.ID))
	}
	return &spec, nil
}
