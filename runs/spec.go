package runs

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/plan"
	"github.com/claude-force/claude-force/workflow"
)

// Spec is what a run was started with, as its journal keeps it.
type Spec struct {
	Version     int                               `json:"version"`
	Dir         string                            `json:"dir"`                // absolute
	File        string                            `json:"file"`               // as given; empty if the workflow came from elsewhere
	Source      string                            `json:"source"`             // the workflow's text
	Files       map[string]string                 `json:"files"`              // the texts of the workflows it runs, by path
	Named       map[string]string                 `json:"named,omitempty"`    // the paths of those that steps run by name
	Commands    map[string]*workflow.SlashCommand `json:"commands,omitempty"` // that steps have as their tasks, by name or path
	Params      map[string]string                 `json:"params"`
	AllowEnv    []string                          `json:"allow_env,omitempty"`
	Model       string                            `json:"model,omitempty"`
	Runner      string                            `json:"runner,omitempty"` // of agents, instead of every step's
	Policy      llm.Policy                        `json:"policy,omitempty"`
	MaxParallel int                               `json:"max_parallel,omitempty"`
	Budget      workflow.Budget                   `json:"budget,omitzero"`
	Batch       bool                              `json:"batch,omitempty"`
	From        string                            `json:"from,omitempty"`
	Only        string                            `json:"only,omitempty"`
	Earlier     string                            `json:"earlier,omitempty"` // the run that From and Only take results from
	Digests     map[string]string                 `json:"digests"`           // of what the run depends on, by name
	Tags        map[string]string                 `json:"tags,omitempty"`    // the caller's own
	Key         string                            `json:"key,omitempty"`     // name of the key that it is for; empty for the owner of the data folder
	Team        string                            `json:"team,omitempty"`    // of the key; may be empty
	Settings    Settings                          `json:"settings,omitzero"`
	Plan        *plan.Promise                     `json:"plan,omitempty"` // what it was expected to take; nil if no plan was made
	Simulated   bool                              `json:"simulated,omitempty"`
	Tasks       bool                              `json:"tasks,omitempty"`    // it is a list of tasks; see [TasksWorkflow]
	Attached    string                            `json:"attached,omitempty"` // material that every step is given first
}

// Settings are the settings of the process that started a run, where they were
// not the configured ones. Who resumes the run in another process uses the same.
type Settings struct {
	Jobs      int           `json:"jobs,omitempty"`      // calls at once; 0 for the configured number
	Timeout   time.Duration `json:"timeout,omitempty"`   // of a call, in nanoseconds; 0 for the configured one
	NoCache   bool          `json:"no_cache,omitempty"`  // the cache was off
	NoMemory  bool          `json:"no_memory,omitempty"` // instructions in files were not read
	Simulator string        `json:"simulator,omitempty"` // latency of the simulator that answers; empty for none
	Approvals string        `json:"approvals,omitempty"` // how calls of tools are asked about: durable or deny; empty if no one was there to ask
	AskFor    time.Duration `json:"ask_for,omitempty"`   // how long an answer may take; 0 for ever
	Script    string        `json:"script,omitempty"`    // absolute path of the simulator's script; empty for none

	// Tools is what agents may do; nil for what is configured.
	Tools *ToolSettings `json:"tools,omitempty"`
}

// How calls of tools that need approval are asked about, in [Settings].
const (
	ApprovalsDurable = "durable" // the step waits until someone answers, in any process
	ApprovalsDeny    = "deny"    // the answer is no
)

// ToolSettings are what the user allowed agents to do in one run, beside what is
// configured.
type ToolSettings struct {
	Allow    []string `json:"allow,omitempty"`
	Deny     []string `json:"deny,omitempty"`
	Ask      []string `json:"ask,omitempty"`
	Mode     string   `json:"mode,omitempty"`
	AddDirs  []string `json:"add_dirs,omitempty"` // absolute
	Sandbox  string   `json:"sandbox,omitempty"`  // on or off; empty for what is configured
	MaxTurns int      `json:"max_turns,omitempty"`
	None     bool     `json:"none,omitempty"` // agents have no tools
}

// SpecVersion is the version of the form in which specs are journaled.
const SpecVersion = 1

// Tags in which the previous version kept what is in Settings now.
const (
	oldTagSimulate = "simulate"
	oldTagNoCache  = "no_cache"
	oldTagJobs     = "jobs"
	oldTagTimeout  = "timeout"
)

// ReadSpec returns what a run was started with. The run must come from
// [journal.Store.Find]. If changes were accepted when it was resumed, the spec
// that was accepted last is in [journal.State]; see [SpecOf].
func ReadSpec(run journal.Run) (*Spec, error) {
	return readSpec(run, run.Spec)
}

// SpecOf returns what a run has to do now: as it was started, or as changes were
// accepted when it was resumed.
func SpecOf(run journal.Run, state *journal.State) (*Spec, error) {
	if state.Spec != nil {
		return readSpec(run, state.Spec)
	}
	return ReadSpec(run)
}

func readSpec(run journal.Run, data json.RawMessage) (*Spec, error) {
	var spec Spec
	if err := json.Unmarshal(data, &spec); err != nil {
		return nil, fmt.Errorf("reading the spec of run %s: %w", run.ID, err)
	}
	if spec.Version > SpecVersion {
		return nil, fault.Input(fmt.Errorf("run %s was started by a newer version of claude-force; update claude-force to resume it", run.ID))
	}
	spec.readOldTags()
	return &spec, nil
}

// readOldTags moves what the previous version kept in tags to Settings.
func (s *Spec) readOldTags() {
	if s.Settings != (Settings{}) {
		return
	}
	s.Settings.Simulator = s.Tags[oldTagSimulate]
	s.Settings.NoCache = s.Tags[oldTagNoCache] != ""
	s.Settings.Jobs, _ = strconv.Atoi(s.Tags[oldTagJobs])             // 0 for what is no number
	s.Settings.Timeout, _ = time.ParseDuration(s.Tags[oldTagTimeout]) // likewise
}

// Path returns the absolute path of the workflow's file. It returns an empty
// string if the workflow has none.
func (s *Spec) Path() string {
	if s.File == "" || filepath.IsAbs(s.File) {
		return s.File
	}
	return filepath.Join(s.Dir, s.File)
}

// Part returns the part of the workflow that the run is limited to.
func (s *Spec) Part() Part { return Part{From: s.From, Only: s.Only} }

// Recorded parses the workflow as it was when the run was started. checkAgent, if
// it is not nil, reports agents that are missing.
func (s *Spec) Recorded(checkAgent func(string) error) (*workflow.Workflow, error) {
	name := s.File
	if name == "" {
		name = "workflow"
	}
	return workflow.Parse(name, []byte(s.Source), workflow.Options{
		AllowEnv: s.AllowEnv, CheckAgent: checkAgent,
		Load: func(path string) ([]byte, error) {
			if text, ok := s.Files[path]; ok {
				return []byte(text), nil
			}
			return nil, os.ErrNotExist
		},
		Find: func(name string) (string, error) {
			if path, ok := s.Named[name]; ok {
				return path, nil
			}
			return "", fmt.Errorf("there is no workflow %q", name)
		},
		SlashCommand: func(name string) (*workflow.SlashCommand, error) {
			if c := s.Commands[name]; c != nil {
				return c, nil
			}
			return nil, fmt.Errorf("there is no command %q", name)
		},
	})
}
