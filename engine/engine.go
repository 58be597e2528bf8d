// Package engine runs a workflow: it decides when each step starts, what its
// agent is given, what happens when it fails, and what the run amounts to.
//
// Scheduling is eager: there are no levels and no barriers. A step is ready
// when its own dependencies are done, and starts when a slot is free. Among
// ready steps the one with the longest remaining path goes first, steps of
// equal paths in file order, so the order is deterministic given the same
// durations. A step that waits, for a retry, a person or the steps within it,
// holds no slot. A failed step skips what depends on it and nothing else: its
// siblings' work is never lost.
//
// # Units
//
// What is scheduled is a unit: a step, an item of a foreach, an iteration of a
// loop, or a step within one of these. A unit is known by its path and the key
// of its item ([journal.Unit]), never by its position:
//
//	review            a step
//	review 3f2a…      its item with that key
//	refine@2/critic   the step critic within the second iteration of refine
//
// # Durability
//
// With a [journal.Log], what happens is written down as it happens, and an
// answer is durable before its unit counts as finished. A run that was stopped,
// in whatever way, goes on when Run is called with the state of its journal as
// Past: finished units are taken from there, the rest runs.
//
// The engine knows no provider and no store. What an attempt at a step is, is
// the caller's function [Options].Execute.
package engine

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/workflow"
)

// Status says where a step or a run stands.
type Status string

// Statuses of steps and runs.
const (
	StatusPending     Status = "pending"     // not started yet
	StatusRunning     Status = "running"     // an attempt is under way
	StatusWaiting     Status = "waiting"     // between two attempts, or for a person
	StatusCompleted   Status = "completed"   // done
	StatusFailed      Status = "failed"      // an error without a fallback or another way on
	StatusSkipped     Status = "skipped"     // not needed, or something it depends on did not complete
	StatusInterrupted Status = "interrupted" // the run was stopped
	StatusCancelled   Status = "cancelled"   // a person stopped the run
	StatusPartial     Status = "partial"     // a budget had no room for all of it, and that was agreed to
)

// Attempt is one try at one unit.
type Attempt struct {
	Step   *workflow.Step
	Path   string // of the unit
	Item   string // key of its item; empty outside of foreach
	Number int    // from 1
	Task   string // as rendered

	Base string // what its worktree starts from; empty for HEAD

	// Act is what a step without a model does, with its values: see [workflow.Action].
	// Task is the same as JSON.
	Act any

	// Shared is material to work on: files, then results of earlier steps. It
	// comes before the task, that which most attempts of the step have in common
	// first, since the service's prompt cache pays for what calls have in common
	// from their beginning.
	Shared []string

	// Own is how many of the last texts of Shared are of this attempt alone, such
	// as the file of an item.
	Own int

	// Media are the images and documents among the files, those that most attempts of
	// the step have in common first; the last OwnMedia blocks are of this attempt alone.
	Media    []llm.Block
	OwnMedia int

	// Sample is how many earlier iterations of the run asked the same, which each have
	// an answer of their own.
	Sample int

	// Continues is the conversation that the task continues, nil if it begins one. What
	// is in it is not in Shared.
	Continues *Conversation

	// Keep, if set, is to be given the turns that the attempt adds to the conversation, its
	// answer the last; if that was summed up on the way, all turns, which then stand instead
	// of it. Without a call, Prompt and the output are taken.
	Keep func(turns []llm.Message, instead bool)

	Siblings int // units of the same foreach, which will be given what is not their own; 0 outside of one

	// Turns is where an agent with tools writes down its turns; nil without a journal.
	Turns *journal.Turns

	// Ask asks for approval of a call of a tool, under a name that no other call of
	// the run has. It returns the decision if there is one. Otherwise it returns nil
	// and ends the attempt, whose context it cancels: there is another once someone
	// has decided. Without [Options].AskCalls it says no instead. Nil without a
	// journal.
	Ask func(name string, call journal.AskedCall) *journal.Decision

	// Decided returns the decision on a call, by the name that Ask has for it; nil if
	// there is none. Nil without a journal.
	Decided func(name string) *journal.Decision
}

// Prompt returns all of what is asked as one text.
func (a Attempt) Prompt() string { return strings.Join(append(slices.Clip(a.Shared), a.Task), "\n\n") }

// Attached is the contents of files as they stand in a prompt.
type Attached struct {
	Text    string            // of those that are text; empty if there are none
	Media   []llm.Block       // of those that are images and documents
	Digests map[string]string // of each file's contents by path
}

// Identity is what makes a step's answers its own beside what it is asked.
type Identity struct {
	Model string            // the id of the model it will ask
	Parts map[string]string // digests by name, such as "agent" and "model"

	// Of, if set, gives the identity of an attempt, where it depends on what is
	// asked, as that of a step does whose model is chosen by its size. It is
	// called from several goroutines.
	Of func(a Attempt) Identity
}

// Choice says what to do with a step of the top level and all within it.
type Choice int

// Choices.
const (
	ChooseRun   Choice = iota // run it
	ChooseReuse               // take its results from Options.Earlier, run what is not there
	ChooseLeave               // skip it
)

// Event tells an observer that a unit changed.
type Event struct {
	Step     *workflow.Step
	Path     string
	Item     string // key of the item
	Index    int    // of the item in its list, from 0
	Label    string // the item, behind those of the foreach around it, for people
	Inner    bool   // it is within another step
	Status   Status
	Attempt  int                      // number of the attempt; 0 before the first
	Wait     time.Duration            // until the next attempt, with StatusWaiting
	Asked    *journal.ApprovalRequest // the question, when it waits for a person
	Question journal.Unit             // to which the answer goes, with Asked
	Items    int                      // of a foreach that has just found its items
	Err      error                    // with StatusWaiting and StatusFailed
	Restored bool                     // it was finished before, by this run or an earlier one
	Result   *StepResult              // the unit's result so far; must not be modified
}

// Name returns how people call the unit: its path, with the item if it has one.
func (ev Event) Name() string {
	if ev.Label == "" {
		return ev.Path
	}
	return ev.Path + "[" + ev.Label + "]"
}

// Agent returns the name of the step's agent; empty if it has none, or none is chosen yet.
func (ev Event) Agent() string { return agentOf(ev.Step) }

// Options configure a run.
type Options struct {
	RunID  string
	Params map[string]any    // bound with [workflow.Workflow.BindParams]
	Env    map[string]string // what expressions may read as env.NAME

	// Execute makes one attempt. It is called from several goroutines and must
	// return soon after its context ends. With an error, the outcome says what
	// the attempt cost all the same. Required.
	Execute func(ctx context.Context, a Attempt) (llm.Outcome, error)

	// Attach reads the files that a step's patterns name and gives them as
	// text for the prompt. Required if a step has files.
	Attach func(ctx context.Context, patterns []string) (Attached, error)

	// Glob lists the files that a foreach's patterns name, sorted. Required
	// if a foreach has a glob.
	Glob func(ctx context.Context, patterns []string) ([]string, error)

	// ChangedFiles lists the files that have changed since a base, for the expressions that
	// ask for them. It is called once in a run for each base; the journal keeps what it
	// returns. Nil: such expressions fail.
	ChangedFiles func(ctx context.Context, base string, uncommitted bool) ([]string, error)

	// Identify resolves the agent and model of a step. It is called once per step. Nil adds
	// nothing to what a step is recognised by.
	Identify func(*workflow.Step) Identity

	// MaxParallel is the most attempts under way at once. 0 means the
	// workflow's own cap, or [DefaultParallel] if it has none.
	MaxParallel int

	// Duration estimates how long a step takes, for the order among ready
	// steps. Nil counts every step as one second.
	Duration func(*workflow.Step) time.Duration

	// Drain, when closed, stops the run from starting anything more; what is
	// under way may finish. Nil never drains.
	Drain <-chan struct{}

	// Observe is called with every change, one at a time, from the goroutine
	// that called Run and with its context. Nil observes nothing.
	Observe func(context.Context, Event)

	// Log is where the run is written down. Nil writes nothing.
	Log journal.Log

	// Past is what the run's journal says so far. Units that are finished
	// there are not run again. Nil for a new run.
	Past *journal.State

	// Changed says that something differs from when Past was written, and
	// that the user knows: a finished unit then is taken from Past only if
	// what it is asked is still the same.
	Changed bool

	// Again names the steps with effects "once" that may start again
	// although they started before and are not known to have finished.
	Again map[string]bool

	// Failed says that what failed in Past runs again, also where the run went on
	// without it. What has finished since stays as it is.
	Failed bool

	// Rebuild runs nothing: the result is made from Past alone. What has not
	// ended there is interrupted.
	Rebuild bool

	// Stay lets a run go on behind a step that would end it, for estimates.
	Stay bool

	// Uncounted, if set, returns what calls of the run cost that no event counts, in US
	// dollars. Advance calls it when the run ends.
	Uncounted func(ctx context.Context) float64

	// Memo, if set, is shared by all that Advance and AttemptUnit do for a run in this
	// process, so that what stays as it is in a run is computed once.
	Memo *Memo

	// Wide is the number of items of a foreach that have not ended above which Advance
	// has them advanced apart. 0 means that it advances all itself.
	Wide int

	// Choose says what to do with each step of the top level. Nil runs all.
	Choose func(*workflow.Step) Choice

	// Before is the state of the run before. A step that is asked what it was asked
	// then, and whose end there says what it saw, is taken from it if Unchanged reports
	// that this is still so: it may read files, and is called from several goroutines.
	// Without Unchanged, no step is.
	Before    *journal.State
	Unchanged func(ctx context.Context, a Attempt, was *journal.UnitState) bool

	// Saw returns what an attempt that has succeeded saw, for a later run's Unchanged;
	// nil if that is not known. Nil keeps nothing.
	Saw func(ctx context.Context, a Attempt) json.RawMessage

	// Save writes a file with the output of a step, or of the run, all of it or nothing.
	// It is called from several goroutines, once for a file that Past does not have, and
	// again with the same content if the process dies before that is in the journal. Nil
	// saves nothing.
	Save func(ctx context.Context, f File) error

	// Earlier is the state of an earlier run, for ChooseReuse.
	Earlier *journal.State

	// Control brings what people decide while the run goes on: events of the
	// types ApprovalGiven and CancelAsked. Whoever sends one has checked it, see
	// [journal.State.CheckDecision]. Nil brings nothing.
	Control <-chan journal.Event

	// AskCalls lets steps wait for approval of calls of tools. No answer within
	// AskTimeout means no; 0 waits forever. It needs Log.
	AskCalls   bool
	AskTimeout time.Duration

	// Decided returns the decision that a unit's approval has in the journal, or
	// nil. It is called once the approval's deadline has passed, when the journal
	// takes no more decisions: one that was made in time holds, also if Control
	// has not brought it yet. Nil means that Control alone brings decisions.
	Decided func(ctx context.Context, unit journal.Unit) (*journal.Decision, error)
}

// DefaultParallel is how many attempts are under way at once if neither the
// caller nor the workflow says. It only keeps the number of goroutines low: the
// calls in flight are bounded where calls are made.
const DefaultParallel = 256

// Result is what a run amounts to. Its JSON form is stable.
type Result struct {
	RunID            string                 `json:"run_id"`
	Workflow         string                 `json:"workflow"`
	Status           Status                 `json:"status"`
	TotalTimeSeconds float64                `json:"total_time_seconds"` // of this process
	ExecutionOrder   []string               `json:"execution_order"`    // ids in the order in which steps started
	Output           string                 `json:"output"`             // what the workflow says it is, else the outputs of its last steps; empty if steps failed
	Steps            map[string]*StepResult `json:"steps"`
	NotDone          []NotDone              `json:"not_done,omitempty"` // steps of the top level that did not complete, and why
	Findings         []workflow.Finding     `json:"findings,omitempty"` // what the workflow says that it found
	Notes            []string               `json:"notes,omitempty"`    // what went as the file says, and probably not as it was meant
	Files            []SavedFile            `json:"files,omitempty"`    // that hold outputs, by path
	Usage            llm.Usage              `json:"usage"`
	CostUSD          *float64               `json:"cost_usd"` // nil if the price of any step is unknown
	llm.Timing                              // of all calls together
	Error            *string                `json:"error,omitempty"`     // of the run itself; those of steps are with them
	FailWhen         bool                   `json:"fail_when,omitempty"` // the error is that of the workflow's fail_when
	Exited           *journal.Exited        `json:"exited,omitempty"`    // the step that ended the run, whose message is the output; nil if none did
}

// NotDone is a step that did not complete.
type NotDone struct {
	Step   string `json:"step"`
	Status Status `json:"status"`
	Reason string `json:"reason"`
	Code   string `json:"code,omitempty"` // an [llm.Code] as text, of a step that failed

	Ceiling *llm.Ceiling `json:"ceiling,omitempty"` // of the budget that had no room, of a step that failed for want of one
}

// SavedFile is a file that holds an output of the run.
type SavedFile struct {
	Step string `json:"step,omitempty"` // path of its step; empty for the output of the run
	Item string `json:"item,omitempty"` // of a foreach, for people
	journal.Saved
}

// OverBudget reports whether every failure was for want of budget, and there is
// any.
func (r *Result) OverBudget() bool {
	failed := 0
	for _, n := range r.NotDone {
		if n.Status != StatusFailed {
			continue
		}
		if failed++; n.Code != llm.CodeSpendLimit.String() {
			return false
		}
	}
	return failed > 0
}

// StepResult is what one step, item or iteration amounts to.
type StepResult struct {
	Status          Status     `json:"status"`
	Agent           string     `json:"agent"`
	llm.Outcome                // of all attempts, and of everything within the step
	StartedAt       *time.Time `json:"started_at"` // nil if it never started
	DurationSeconds float64    `json:"duration_seconds"`
	Attempts        int        `json:"attempts"`
	Error           *string    `json:"error"`
	Reason          string     `json:"reason,omitempty"`   // what a person gave as the reason for a no
	Fallback        string     `json:"fallback,omitempty"` // the step whose result it has

	Items      []*ItemResult          `json:"items,omitempty"`      // of a foreach, in the order of its items
	Iterations int                    `json:"iterations,omitempty"` // of a loop
	Steps      map[string]*StepResult `json:"steps,omitempty"`      // within it; of a loop those of the last iteration

	code    llm.Code     // of a failure
	ceiling *llm.Ceiling // of a budget, if that is why it failed

	// Loop is what its agent did with tools, in this run; nil if nothing is known, and
	// once an item of a foreach has ended and was observed.
	Loop *journal.Turns `json:"-"`

	// Inputs is what it was asked, part by part; nil as Loop is.
	Inputs journal.Fingerprint `json:"-"`
}

// forget drops what only an observer of the end of the item needs, of an item and of the
// steps within it: there may be very many.
func (r *StepResult) forget() {
	r.Loop, r.Inputs = nil, nil
	for _, step := range r.Steps {
		step.forget()
	}
}

// Code returns the [llm.Code] of a failure as text; empty for a step that has not failed.
func (r *StepResult) Code() string {
	if r.Status != StatusFailed {
		return ""
	}
	return r.code.String()
}

// Ceiling returns the limit of a budget for which the step failed, or the first of its
// items or of the steps within it did; nil if there is none.
func (r *StepResult) Ceiling() *llm.Ceiling {
	if r.ceiling != nil || r.Status != StatusFailed {
		return r.ceiling
	}
	for _, item := range r.Items {
		if c := item.Ceiling(); c != nil {
			return c
		}
	}
	for _, id := range slices.Sorted(maps.Keys(r.Steps)) {
		if c := r.Steps[id].Ceiling(); c != nil {
			return c
		}
	}
	return nil
}

// Usable reports whether the output of s, whose result r is, is one for others: a
// failed step has only what it kept, and that if its run continues.
func (r *StepResult) Usable(s *workflow.Step) bool {
	return r.Status != StatusFailed || r.Fallback != "" || len(r.Items) > 0 || s.OnFailure == workflow.OnFailureContinue
}

// ItemResult is what one item of a foreach amounts to.
type ItemResult struct {
	Key  string `json:"key"`
	Item string `json:"item"` // for people
	*StepResult
}

// Failed lists the ids of the steps that failed, in file order.
func (r *Result) Failed(wf *workflow.Workflow) []string {
	var ids []string
	for _, s := range wf.Steps {
		if r.Steps[s.ID].Status == StatusFailed {
			ids = append(ids, s.ID)
		}
	}
	return ids
}
