// Package workflow parses a workflow file into a valid graph of steps. All
// problems are reported before a run spends anything.
//
// [Parse] takes YAML or JSON, finds every problem in one pass and returns them
// together as [Errors], each with its line and column. A [Workflow] that Parse
// returned has no cycles, unknown dependencies, duplicate ids or expressions
// that cannot work.
//
//	w, err := workflow.Parse("check.yaml", data, workflow.Options{})
//	params, err := w.BindParams(map[string]string{"path": "./src"})
//	text, err := w.Step("lint").Task.Render(workflow.Env{Params: params})
//
// # Expressions
//
// Texts that are evaluated in a run, such as a task, may hold expressions between
// ${{ and }}, in the language of github.com/expr-lang/expr. They see
//
//	params.NAME                      a parameter, with the type of its default
//	vars.NAME                        a value that the file computes once, see [Workflow.WithVars]
//	steps.ID.output|json|status|error the result of a step that ran before
//	steps.ID?.output|...             the same, which may be missing: see [Step.Waits]
//	run.id                           the id of the run
//	env.NAME                         an environment variable on the allow list
//	item                             within a foreach: the item, also by the name that it has
//	loop.index                       within a loop: the iteration, from 1
//	loop.previous.ID.output|...      within a loop: a result of the previous iteration
//	loop.state.NAME                  within a loop: a value that it keeps, see [LoopState]
//
// A name may hold hyphens: steps.type-check.output means that step, while
// params.a - params.b is a subtraction. Using a step's result makes it a
// dependency. $${{ stands for the characters ${{.
//
// Expressions can neither read the clock nor do I/O, but for [Env].ChangedFiles, and the memory and the
// iterations one evaluation may use are bounded.
//
// # Invariants
//
// The package is pure: no clock, no I/O, no randomness; the same file gives the
// same workflow and the same drawings, byte for byte. A parsed Workflow is
// never written to afterwards and is safe for concurrent use.
package workflow

import (
	"encoding/json"
	"iter"
	"slices"
	"time"
)

// Workflow is a graph of steps. Values come from [Parse] and must be treated as
// read-only.
type Workflow struct {
	Name        string    // may be empty
	Description string    // may be empty
	Params      []Param   // in file order
	Vars        []Var     // in file order; see [Workflow.WithVars]
	Defaults    Defaults  // already applied to Steps; kept for display
	Agents      []*Agent  // that the file defines, in file order; other files do not see them
	Budget      *Budget   // of a whole run; nil: none
	MaxParallel int       // most steps running at once; 0 means the engine's own limit
	Steps       []*Step   // in file order, never empty
	Output      *Template // the result of the run; nil: the outputs of its last steps
	Findings    *Value    // a list, see [Workflow.EvalFindings]; nil: none
	FailWhen    *FailWhen // when the run fails although its steps have not; nil: never
	Save        *Save     // where the result of the run is saved; nil: nowhere. Of no effect where a step runs the workflow
	Source      []byte    // the file as it was read; nil for steps within a step
	Notes       []*Error  // what is no mistake but may not be what the author meant; of the files that steps run too

	file     string                   // the name given to Parse or to Options.Load
	named    map[string]string        // of the outermost file: the paths of workflows that steps name
	commands map[string]*SlashCommand // of the outermost file: the commands that steps name
	index    map[string]*Step
	env      []string

	lists   bool         // an expression of it may list changed files
	changes []changesUse // of the file, with those of steps within its steps
}

// Defaults are the settings a step takes when it does not say otherwise. A zero
// field was not set.
type Defaults struct {
	Model     string
	Timeout   time.Duration
	Retry     Retry
	MaxTokens int
	MaxTurns  int
	Latency   Latency

	Effort      string    // low, medium, high, xhigh or max
	Thinking    *Thinking // nil: as the model does
	Temperature *float64  // from 0 to 1
}

// Param is a value a run may be given.
type Param struct {
	Name        string
	Default     any    // string, int, float64, json.Number, bool, []any or map[string]any; nil without a default
	HasDefault  bool   // false: every run must give the parameter
	Description string // may be empty
	Type        string // string, integer, number, boolean, array, object or, with FormatJSON, any; never empty
	Format      string // how a text that is given for it is read, such as FormatCSV; empty: as Type says
}

// Step is one node of the graph. What it does is one of nine things: it gives an
// agent a task (Agent, Task), asks a person (Approval), runs a command (Run), sends a
// request (HTTP), reads files (Read), writes one (Write), computes a value (Value), runs
// another workflow file (Workflow, With, Body), or runs steps of its own (Body without
// Workflow).
// With Foreach it does that once per item, with Loop repeatedly; a step cannot
// have both.
type Step struct {
	ID           string
	Agent        string        // its name; the step's id if it has a prompt instead
	Inline       *Agent        // the agent, if the file defines it; nil: it is found by its name
	Model        string        // empty: the agent's own
	Continue     string        // the step whose conversation it continues; empty: it begins one
	Continued    bool          // another step continues its conversation
	Task         *Template     // nil unless the step has an agent
	Command      string        // the name of the command that Task is made of; empty if the file has the task itself
	Files        []*Value      // patterns of files to give to the agent; a value that is a list stands for several
	Dependencies []string      // see [Step.Waits]; no duplicates
	Timeout      time.Duration // of one attempt; 0: no limit was set
	Retry        Retry
	MaxTokens    int // 0: no limit was set
	MaxTurns     int // calls of the model, if the agent has tools; 0: no limit was set

	Effort      string    // low, medium, high, xhigh or max; empty: the agent's own
	Thinking    *Thinking // nil: as the model does
	Temperature *float64  // from 0 to 1; nil: that of the service

	// AgentFrom and ModelFrom are set if the agent or the model is only known when the
	// step runs; Agent and Model are then the first of those it may be. See
	// [Step.Resolve].
	AgentFrom, ModelFrom *Choice

	// Allow are permission rules beyond which the agent may do nothing but read; nil:
	// what the user granted. They grant nothing.
	Allow []string

	// CommandReads are patterns of the files that commands of the agent depend on, for a later
	// run to compare; nil: all in the folder.
	CommandReads []string

	Budget  *Budget // of all calls of the step in a run, its items together; nil: none
	Latency Latency // how soon its answer is needed

	When      *Value          // whether it runs at all, a boolean; nil: always
	Join      int             // how many of the listed dependencies must have completed before it starts; 0: all, 1: any; or JoinSettled
	Reads     int             // how many of Dependencies are not listed but read by expressions
	Optional  int             // how many of Dependencies are only read where their result may be missing
	OnFailure OnFailure       // what its failure means for others
	Fallback  string          // the step that runs in its place when it fails, with OnFailureFallback
	Foreach   *Foreach        // nil: once
	Loop      *Loop           // nil: once
	Schema    json.RawMessage // JSON Schema of its output; nil: free text
	Approval  *Approval       // nil unless the step asks a person
	Run       *Run            // nil unless the step runs a command
	HTTP      *HTTP           // nil unless the step sends a request
	Read      *Read           // nil unless the step reads files
	Write     *Write          // nil unless the step writes a file
	Value     *Computed       // nil unless the step computes a value
	Exit      *Exit           // nil unless the step ends the run
	Effects   Effects

	Runner    Runner    // what has the conversation of its agent with the model
	Isolation Isolation // where its agent's tools work
	Base      *Template // what its worktree starts from; nil: HEAD

	Workflow string            // path or name of the file it runs, as written
	With     map[string]*Value // parameters of that file
	Body     *Workflow         // what it runs: the parsed file, or steps of its own
	Output   *Template         // the result of the body; nil: the outputs of its last steps
	Save     *Save             // where its output is saved, with Foreach that of each item; nil: nowhere

	variants map[variant]*Step // by what AgentFrom and ModelFrom give; empty if both are nil

	Line, Column int // where the step begins in its file, from 1
}

// JoinSettled is the Join of a step that starts once all its listed dependencies have
// ended, however.
const JoinSettled = -1

// Waits returns the dependencies of the step by how it waits for them. Of those listed
// in the file, Join says how many must have completed; those read must have completed
// whatever Join says; those that are optional must have ended, however.
func (s *Step) Waits() (listed, read, optional []string) {
	most := len(s.Dependencies)
	last := max(most-s.Optional, 0)
	first := max(last-s.Reads, 0)
	return s.Dependencies[:first:first], s.Dependencies[first:last:last], s.Dependencies[last:]
}

// Needed returns how many of its listed dependencies must have completed before the
// step starts.
func (s *Step) Needed() int {
	listed, _, _ := s.Waits()
	switch {
	case s.Join == JoinSettled:
		return 0
	case s.Join > 0:
		return min(s.Join, len(listed))
	}
	return len(listed)
}

// Hurries reports whether the step may start before all its listed dependencies have
// ended.
func (s *Step) Hurries() bool {
	listed, _, _ := s.Waits()
	return s.Join > 0 && s.Join < len(listed)
}

// Retry says how often and how soon a failed attempt is repeated.
type Retry struct {
	Max        int           // attempts after the first one
	Backoff    time.Duration // wait before the second attempt, doubled before each further one; 0: the engine's
	MaxBackoff time.Duration // longest such wait; 0: the engine's
}

// OnFailure says what happens after the last attempt of a step has failed.
type OnFailure string

// What happens when a step fails.
const (
	// OnFailureFail skips the dependents of the step, and the run fails. Steps
	// that do not depend on it still run. The zero value means the same.
	OnFailureFail OnFailure = "fail"
	// OnFailureContinue runs the dependents of the step, which see an empty output
	// and the status "failed"; the run does not fail.
	OnFailureContinue OnFailure = "continue"
	// OnFailureSkip skips the dependents of the step; the run does not fail.
	OnFailureSkip OnFailure = "skip_dependents"
	// OnFailureFallback runs another step in its place. The result of that step
	// becomes the result of this one.
	OnFailureFallback OnFailure = "fallback"
)

// Effects says what running a step changes outside of the run.
type Effects string

// Effects of a step.
const (
	EffectsNone       Effects = "none"       // nothing: it may be answered from the cache. The zero value means the same
	EffectsIdempotent Effects = "idempotent" // something, but twice is the same as once: never answered from the cache
	EffectsOnce       Effects = "once"       // something that must not happen twice: never retried or re-run automatically
)

// Runner says what has the conversation of a step's agent with the model.
type Runner string

// Runners of a step. The zero value is that of the agent's file.
const (
	RunnerBuiltin    Runner = "builtin"     // this program
	RunnerClaudeCode Runner = "claude-code" // Claude Code, the program
)

// Isolation says where the tools of a step's agent work.
type Isolation string

// Isolations of a step. The zero value is that of the agent's file.
const (
	IsolationNone     Isolation = "none"     // in the project's folder
	IsolationWorktree Isolation = "worktree" // in a Git worktree of the step's own
)

// Foreach runs a step once per item. Exactly one of Items and Glob is set.
type Foreach struct {
	Name        string      // what expressions call the item, beside "item"; may be empty
	Items       *Value      // a list, or a text that is a JSON array
	Glob        []*Template // patterns of files; the items are their paths, sorted
	MaxParallel int         // most items at once; 0: no limit of its own

	// Matrix says that the items are combinations, and Samples how often each is asked,
	// with an answer of its own each time; 0: once. Keys are then the names of the items,
	// by which the JSON of a matrix has their results.
	Matrix  bool
	Samples int
	Keys    []string

	MinSuccess *int // items that must succeed; nil: one if the step continues after failures, else all
}

// Loop runs a step until its condition holds.
type Loop struct {
	Max   int         // most iterations, at least 1
	Until *Value      // a boolean, evaluated after each iteration; sees that iteration's results; nil: run Max times
	State []LoopState // in file order
	Cache bool        // an iteration that asks the same as one before may be given the same answer
}

// Approval asks a person: yes or no, or for a value if it has Choices or a Schema. It
// has at most one of the two.
type Approval struct {
	Message *Template       // never nil
	Timeout time.Duration   // without an answer in this time, the answer is no; 0: no limit
	Exits   bool            // a no ends the run, which is completed
	Choices []string        // the answer is one of these
	Schema  json.RawMessage // JSON Schema of the answer
}

// Step returns the step with the given id, or nil.
func (w *Workflow) Step(id string) *Step {
	if s, ok := w.index[id]; ok {
		return s
	}
	for _, s := range w.Steps { // a Workflow built in code has no index
		if s.ID == id {
			return s
		}
	}
	return nil
}

// File returns the path of the workflow's file, as it was given to [Parse] or to
// [Options.Load].
func (w *Workflow) File() string { return w.file }

// Named returns the paths of the workflows that steps of w, and of the files below it,
// run by name, as [Options.Find] returned them.
func (w *Workflow) Named() map[string]string { return w.named }

// EnvNames lists the environment variables that the expressions of the workflow
// and of the files below it read, sorted. Nothing else of the environment needs
// to be put in [Env.Env].
func (w *Workflow) EnvNames() []string { return w.env }

// All yields the workflow and every other file that its steps run, directly or
// not, by path: itself first, then in the order in which steps name them, each
// once. Their [Workflow.Source] texts together define what a run does.
func (w *Workflow) All() iter.Seq2[string, *Workflow] {
	return func(yield func(string, *Workflow) bool) {
		w.visit(map[string]bool{}, yield)
	}
}

func (w *Workflow) visit(seen map[string]bool, yield func(string, *Workflow) bool) bool {
	if seen[w.file] {
		return true
	}
	seen[w.file] = true
	return yield(w.file, w) && w.visitSteps(seen, yield)
}

func (w *Workflow) visitSteps(seen map[string]bool, yield func(string, *Workflow) bool) bool {
	for _, s := range w.Steps {
		switch {
		case s.Body == nil:
		case s.Workflow != "":
			if !s.Body.visit(seen, yield) {
				return false
			}
		case !s.Body.visitSteps(seen, yield):
			return false
		}
	}
	return true
}

// NeedsModel reports whether any step of w, or of one within it, calls a model.
func (w *Workflow) NeedsModel() bool {
	return slices.ContainsFunc(w.Steps, func(s *Step) bool { return s.Agent != "" || s.Body != nil && s.Body.NeedsModel() })
}

// Unmentioned lists the dependencies whose output or json the step does not use,
// in the order of Dependencies: not in its task, files, items, parameters,
// message or output, nor in steps of its own. The agent would not see them
// unless they are added to its task. Expressions that only decide
// whether the step runs (when, until) do not count.
func (s *Step) Unmentioned() []string {
	if len(s.Dependencies) == 0 {
		return nil
	}
	shown := map[string]bool{}
	s.shows(shown)
	var ids []string
	for _, id := range s.Dependencies {
		if !shown[id] {
			ids = append(ids, id)
		}
	}
	return ids
}

// shows adds the ids of the steps whose output or json the step uses.
func (s *Step) shows(to map[string]bool) {
	if s.Continue != "" {
		to[s.Continue] = true // its output is part of the conversation
	}
	outputsOf(s.Task.refs, to)
	outputsOf(s.Output.refs, to)
	outputsOf(s.Run.refs, to)
	outputsOf(s.HTTP.refs, to)
	outputsOf(s.Read.refs, to)
	outputsOf(s.Write.refs, to)
	outputsOf(s.Value.refs, to)
	outputsOf(s.Exit.refs, to)
	outputsOf(s.Save.refs, to)
	for _, t := range s.Files {
		outputsOf(t.refs, to)
	}
	if s.Approval != nil {
		outputsOf(s.Approval.Message.refs, to)
	}
	if s.Foreach != nil {
		outputsOf(s.Foreach.Items.refs, to)
		for _, t := range s.Foreach.Glob {
			outputsOf(t.refs, to)
		}
	}
	for _, v := range s.With {
		outputsOf(v.refs, to)
	}
	if s.Loop != nil {
		for _, state := range s.Loop.State {
			outputsOf(state.Initial.refs, to)
			outputsOf(state.Next.refs, to)
		}
	}
	if s.Body != nil && s.Workflow == "" {
		for _, inner := range s.Body.Steps {
			inner.shows(to)
		}
	}
}
