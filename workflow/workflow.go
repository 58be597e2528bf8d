// Package workflow reads a workflow file into a graph of steps that is known
// to be sound, so that everything wrong with it is said before anything is
// spent.
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
// A task and the entries of files may hold expressions between ${{ and }}, in
// the language of github.com/expr-lang/expr. They see
//
//	params.NAME                      a parameter, with the type of its default
//	steps.ID.output|json|status      the result of a step that ran before
//	run.id                           the id of the run
//	env.NAME                         an environment variable on the allow list
//
// A name may hold dashes: steps.type-check.output means that step, while
// params.a - params.b is a subtraction. Using a step's result makes it a
// dependency. $${{ stands for the characters ${{.
//
// Expressions can neither read the clock nor do I/O, and the memory and the
// iterations one evaluation may use are bounded.
//
// # Invariants
//
// The package is pure: no clock, no I/O, no randomness; the same file gives the
// same workflow and the same drawings, byte for byte. A parsed Workflow is
// never written to afterwards and is safe for concurrent use.
package workflow

import "time"

// Workflow is a graph of steps. Values come from [Parse] and must be treated as
// read-only.
type Workflow struct {
	Name        string   // may be empty
	Description string   // may be empty
	Params      []Param  // in file order
	Defaults    Defaults // already applied to Steps; kept for display
	MaxParallel int      // most steps running at once; 0 means the engine's own limit
	Steps       []*Step  // in file order, never empty

	index map[string]*Step
	env   []string
}

// Defaults are the settings a step takes when it does not say otherwise. A zero
// field was not set.
type Defaults struct {
	Model     string
	Timeout   time.Duration
	Retries   int
	MaxTokens int
}

// Param is a value a run may be given.
type Param struct {
	Name        string
	Default     any    // string, int, float64, bool, []any or map[string]any; nil without a default
	HasDefault  bool   // false: every run must give the parameter
	Description string // may be empty
	Type        string // string, integer, number, boolean, array or object; never empty
}

// Step gives one agent one task after its dependencies.
type Step struct {
	ID           string
	Agent        string
	Model        string        // empty: the agent's own
	Task         *Template     // never nil after Parse
	Files        []*Template   // patterns of files to give to the agent
	Dependencies []string      // those listed, in order, then those expressions imply; no duplicates
	Timeout      time.Duration // 0: no limit was set
	Retries      int           // attempts after the first one
	MaxTokens    int           // 0: no limit was set
	Line, Column int           // where the step begins in its file, from 1
}

// Step returns the step with the given id, or nil.
func (w *Workflow) Step(id string) *Step {
	if s, ok := w.index[id]; ok {
		return s
	}
	for _, s := range w.Steps { // a workflow put together by hand has no index
		if s.ID == id {
			return s
		}
	}
	return nil
}

// EnvNames lists the environment variables that the workflow's expressions
// read, sorted. Nothing else of the environment needs to be put in [Env.Env].
func (w *Workflow) EnvNames() []string { return w.env }

// Unmentioned lists the dependencies whose output or json neither the task nor
// the files use, in the order of Dependencies. The agent would not see them
// unless they are added to its task.
func (s *Step) Unmentioned() []string {
	var ids []string
	for _, id := range s.Dependencies {
		if !s.mentions(id) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (s *Step) mentions(id string) bool {
	if s.Task.usesOutput(id) {
		return true
	}
	for _, f := range s.Files {
		if f.usesOutput(id) {
			return true
		}
	}
	return false
}
