// Package journal is the seam to what remembers runs: what each run was asked,
// what happened in it, in order, and who works on it.
//
// A run is a header ([Run]) and a list of [Event] values that is only ever
// appended to. Events of a step are found by its path and item key, never by
// their position, so that a run can be taken on again whatever order its steps
// finished in. [Fold] turns a run's events into the state they add up to.
//
// Whoever works on a run owns it, through a [Log], which one process at a time
// can have. An event is durable once the function that [Log].Append returned
// has returned nil; a step counts as finished only then.
//
//	log, err := store.Create(ctx, journal.Run{ID: id, Workflow: "review"})
//	…
//	defer log.Release()
//	wait := log.Append(journal.Event{Type: journal.StepFinished, Step: "lint", Output: text})
//	if err := wait(); err != nil { … } // not durable: do not count on it
//
// Implementations are in journal/journaldb (a file), journal/journalpg (a database that
// several machines share) and journal/memory (for tests and for runs that need not be
// kept); all pass the suite in journal/journaltest.
package journal

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/llm"
)

// Status says where a run stands.
type Status string

// Statuses of a run.
const (
	StatusRunning     Status = "running"     // a process works on it, or died while it did: see Run.Owner
	StatusWaiting     Status = "waiting"     // the same, but nothing is left to do until a person answers: see [Live]
	StatusCompleted   Status = "completed"   // every step ended, none failed for good
	StatusFailed      Status = "failed"      // a step failed
	StatusInterrupted Status = "interrupted" // stopped before its end; can be resumed
	StatusCancelled   Status = "cancelled"   // stopped by a person; continues only if it is resumed
)

// Ended reports whether a run of this status has ended and has no owner.
func (s Status) Ended() bool {
	return s != StatusRunning && s != StatusWaiting
}

// Run is what is known of a run as a whole.
type Run struct {
	ID         string          `json:"run_id"`
	Workflow   string          `json:"workflow"` // its name; may be empty
	File       string          `json:"file"`     // absolute path of its file; empty if it had none
	Status     Status          `json:"status"`
	StartedAt  time.Time       `json:"started_at"`
	FinishedAt time.Time       `json:"finished_at,omitzero"` // when it last ended or was interrupted
	Steps      int             `json:"steps"`                // units of work that have finished, items of foreach counted singly
	CostUSD    float64         `json:"cost_usd"`             // paid so far, as far as prices are known
	Tokens     int             `json:"tokens"`               // of all finished steps
	Exit       *Exit           `json:"exit,omitempty"`       // how a step ended it; nil if none did, or a version ended it that did not note this here
	Owner      *Owner          `json:"owner,omitempty"`      // the process that owns it; nil if none does
	Engine     string          `json:"engine,omitempty"`     // that owns it until it has ended, instead of a process; empty if none does. See [Joiner]
	StartedBy  string          `json:"started_by,omitempty"` // name of the server's key that it was started with; empty for the owner of the data folder, and of runs of versions that did not note it
	Spec       json.RawMessage `json:"-"`                    // what was asked, as the creator wrote it; kept encrypted where the store is
}

// Owner is the process that works on a run.
type Owner struct {
	Host  string    `json:"host"`
	PID   int       `json:"pid"`
	Since time.Time `json:"since"`
	Alive bool      `json:"alive"` // false if it is known to be dead, or has not been heard of for [LeaseTTL]
}

// LeaseTTL is how long a process that has not been heard of keeps its runs. A
// process of this machine that is known to be dead loses them at once.
const LeaseTTL = 15 * time.Second

// EventType says what happened.
type EventType string

// The types of events. The comment names the type of Detail; none means it is
// empty.
const (
	RunStarted    EventType = "run_started"
	RunResumed    EventType = "run_resumed"    // Resumed
	RunFinished   EventType = "run_finished"   // RunEnd
	StepStarted   EventType = "step_started"   // Started; with Attempt 1, the first attempt
	StepAttempt   EventType = "step_attempt"   // a further attempt begins
	StepRetrying  EventType = "step_retrying"  // Failed; Attempt is the one that failed
	StepFinished  EventType = "step_finished"  // Finished or Computed; Key and Output are set
	Conversation  EventType = "conversation"   // Kept: of a step that another continues, before its StepFinished; Output is its turns as JSON
	StepFailed    EventType = "step_failed"    // Failed; Output is an answer that is not what was asked for
	StepStopped   EventType = "step_stopped"   // Stopped: its attempts have ended before it did, and may be made again by another process
	StepSkipped   EventType = "step_skipped"   // Skipped
	StepExpanded  EventType = "step_expanded"  // Expanded: a foreach knows its items
	FileSaved     EventType = "file_saved"     // Saved: the file holds the output of the step, or of the run if Step is empty
	TurnAnswered  EventType = "turn_answered"  // Paid; Key is that of the request, Output the answer as JSON
	ToolStarted   EventType = "tool_started"   // ToolCall, of one that may have effects; Key is that of the answer
	ToolFinished  EventType = "tool_finished"  // ToolCall; Key is that of the answer, Output the blocks that answer it as JSON
	ToolWaits     EventType = "tool_waits"     // ToolCall: it started and did nothing yet, and starts again once a person has decided
	ApprovalAsked EventType = "approval_asked" // ApprovalRequest
	ApprovalGiven EventType = "approval_given" // Decision
	ChangesListed EventType = "changes_listed" // Changes: an expression asked for them
	CancelAsked   EventType = "cancel_asked"   // a person wants the run to stop
)

// Event is one thing that happened in a run.
type Event struct {
	Run     string          `json:"run_id"`
	Seq     int64           `json:"seq"` // from 1, given by the store
	Time    time.Time       `json:"time"`
	Type    EventType       `json:"type"`
	Step    string          `json:"step,omitempty"`    // path, such as "review" or "refine@2/critic"; empty for the run's own events
	Item    string          `json:"item,omitempty"`    // key of the foreach item it belongs to; nested ones joined by "/"
	Attempt int             `json:"attempt,omitempty"` // from 1
	Key     llm.Key         `json:"key,omitzero"`      // StepFinished: of the step's inputs; of turns: of the request; zero otherwise
	Output  string          `json:"output,omitempty"`  // the answer of a step or a turn, or a tool's result; stored once however many runs have it
	Detail  json.RawMessage `json:"detail,omitempty"`  // what else belongs to the type
}

// Fingerprint says what a step was asked, part by part, each as a short hash,
// so that two runs can be compared and the part that differs named. Names are
// such as "agent", "model", "task", "file src/a.go", "step linter".
type Fingerprint map[string]string

// Started is the detail of StepStarted.
type Started struct {
	Agent  string      `json:"agent,omitempty"`
	Model  string      `json:"model,omitempty"`
	Task   string      `json:"task,omitempty"`  // as rendered, without files and results of other steps
	Label  string      `json:"label,omitempty"` // of a foreach item, for people
	Inputs Fingerprint `json:"inputs,omitempty"`

	// Ended are the dependencies that had ended, of a step that starts before all have and
	// has others within it, in a run that an engine owns.
	Ended []string `json:"ended,omitempty"`
}

// Finished is the detail of StepFinished. The output is in the event, where
// stores keep it once; Output is empty here, except in [UnitState].
type Finished struct {
	llm.Outcome
	DurationSeconds float64 `json:"duration_seconds"`
	PaidInTurns     *Paid   `json:"paid_in_turns,omitempty"` // the part that TurnAnswered events have; nil if there are none

	// Saw is what the step's agent saw through its tools and did with them, as who ran
	// it wrote it. Nil if it has none, or if that is not known.
	Saw json.RawMessage `json:"saw,omitempty"`

	Exit *Exit `json:"exit,omitempty"` // how the run ends, of a step that ends it

	Started *Started `json:"started,omitempty"` // of a step that makes no call, as in Computed; nil for all others, and in [UnitState]

	Within *Within `json:"within,omitempty"` // of a step of the workflow's own that has others within it; nil in journals of earlier versions
}

// Kept is the detail of Conversation.
type Kept struct {
	// Instead says that the turns stand for the whole conversation, which was summed up on
	// the way. Otherwise they follow those of the step that the step continues, if any.
	Instead bool `json:"instead,omitempty"`
}

// Computed is the detail of StepFinished of a step that makes no call: what such a step has
// of Finished, as which it is read. The start and the end of the step are this one event.
type Computed struct {
	CostUSD         float64  `json:"cost_usd"` // 0
	DurationSeconds float64  `json:"duration_seconds"`
	Exit            *Exit    `json:"exit,omitempty"`
	Started         *Started `json:"started"`
}

// Exit is how a run ends that a step has ended.
type Exit struct {
	Status  Status `json:"status"` // completed or failed
	Message string `json:"message"`
	Code    int    `json:"code"` // of the process that has the run
}

// Within is what the items, the iterations and the steps within a step came to. With it a
// run can be shown without the events of its items.
type Within struct {
	Items     int            `json:"items,omitempty"`     // of a foreach
	Completed int            `json:"completed,omitempty"` // of these
	Usage     llm.Usage      `json:"usage,omitzero"`      // this and what follows: of everything within the step
	CostUSD   *float64       `json:"cost_usd"`            // nil if unknown
	Calls     int            `json:"calls,omitempty"`
	Turns     int            `json:"turns,omitempty"`
	ToolCalls int            `json:"tool_calls,omitempty"`
	Chosen    map[string]int `json:"chosen,omitempty"`  // how many items have an answer of a model that was selected for them, by its name
	Changed   int            `json:"changed,omitempty"` // how many items changed files in a worktree of their own
	llm.Timing
	Busy []Busy `json:"busy,omitempty"` // in equal stretches of the time of the step
}

// Busy is how much was done at once in a stretch of time, as the sum over all that ran then.
type Busy struct {
	RanSeconds      float64 `json:"ran_seconds"`
	InFlightSeconds float64 `json:"in_flight_seconds"` // of these, with a request in flight
}

// Failed is the detail of StepFailed and StepRetrying.
type Failed struct {
	Code            string    `json:"code"` // an [llm.Code] as text
	Message         string    `json:"message"`
	Usage           llm.Usage `json:"usage,omitzero"`
	CostUSD         *float64  `json:"cost_usd,omitempty"`
	DurationSeconds float64   `json:"duration_seconds,omitempty"`
	Calls           int       `json:"calls,omitempty"`         // of models; 0 in journals of earlier versions
	PaidInTurns     *Paid     `json:"paid_in_turns,omitempty"` // as in Finished
	llm.Timing
	Ceiling     *llm.Ceiling `json:"ceiling,omitempty"`      // of the budget that had no room
	WaitSeconds float64      `json:"wait_seconds,omitempty"` // StepRetrying: until the next attempt
	Unsaved     bool         `json:"unsaved,omitempty"`      // StepFailed: only its output could not be saved; StepFinished, if it is of a kind that calls or asks, came before
	Within      *Within      `json:"within,omitempty"`       // StepFailed: as in Finished
}

// Stopped is the detail of StepStopped.
type Stopped struct {
	UncountedUSD float64 `json:"uncounted_usd"` // what the attempts cost that no other event counts
}

// Skipped is the detail of StepSkipped.
type Skipped struct {
	Reason string `json:"reason"`
}

// Expanded is the detail of StepExpanded.
type Expanded struct {
	Items int      `json:"items"`
	Paths []string `json:"paths,omitempty"` // the items of a glob; others follow from what the run was given
}

// Changes is the detail of ChangesListed: the files that had changed since a base.
type Changes struct {
	ChangesSince
	Files []string `json:"files"` // with slashes, from the project's folder, sorted
}

// ChangesSince says which changes are asked for.
type ChangesSince struct {
	Base        string `json:"base"`
	Uncommitted bool   `json:"uncommitted,omitempty"` // those too that are not committed
}

// Saved is the detail of FileSaved.
type Saved struct {
	Path   string `json:"path"` // with slashes, from the project's folder
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"` // of its content, in hexadecimal
}

// ApprovalRequest is the detail of ApprovalAsked.
type ApprovalRequest struct {
	Message  string     `json:"message"`
	Deadline time.Time  `json:"deadline,omitzero"` // no answer by then means no; zero for never
	Call     *AskedCall `json:"call,omitempty"`    // what the answer is for; nil if it is for a step

	// A yes has a value if there is one of these.
	Choices []string        `json:"choices,omitempty"` // it is one of them
	Schema  json.RawMessage `json:"schema,omitempty"`  // it matches this JSON Schema
}

// AskedCall is a call of a tool that needs approval. The answer is for exactly this:
// the unit's name is made from it.
type AskedCall struct {
	Tool   string          `json:"tool"`
	Input  json.RawMessage `json:"input"`
	Cwd    string          `json:"cwd"`    // the current folder
	Reason string          `json:"reason"` // why it is asked
}

// Arguments returns the input as one line of JSON in which <, > and & are not
// escaped, as they are where JSON is stored.
func (c *AskedCall) Arguments() string {
	var b strings.Builder
	for in := string(c.Input); in != ""; {
		n := 1
		if in[0] == '\\' {
			n = min(2, len(in))
			if plain, ok := unescaped[in[:min(6, len(in))]]; ok {
				b.WriteByte(plain)
				in = in[6:]
				continue
			}
		}
		b.WriteString(in[:n])
		in = in[n:]
	}
	return b.String()
}

var unescaped = map[string]byte{`\u003c`: '<', `\u003e`: '>', `\u0026`: '&'}

// Decision is the detail of ApprovalGiven.
type Decision struct {
	Approved bool   `json:"approved"`
	By       string `json:"by,omitempty"`
	Comment  string `json:"comment,omitempty"` // of a no, the reason

	Value    json.RawMessage `json:"value,omitempty"`    // of a yes to a question that wants one
	Question string          `json:"question,omitempty"` // digest of the question that is answered; empty: whatever is asked
}

// Resumed is the detail of RunResumed.
type Resumed struct {
	Changes []string        `json:"changes,omitempty"` // what differs from before, as accepted by the user
	Spec    json.RawMessage `json:"spec,omitempty"`    // with Changes: what the run is asked from here on
	// UncountedUSD is what calls of the run cost before that no event counts, since
	// their process ended too soon.
	UncountedUSD float64 `json:"uncounted_usd,omitempty"`
}

// Exited is the end of a run by one of its steps.
type Exited struct {
	Step string `json:"step"` // its path
	Item string `json:"item,omitempty"`
	Exit
}

// RunEnd is the detail of RunFinished.
type RunEnd struct {
	Status           Status  `json:"status"`
	TotalTimeSeconds float64 `json:"total_time_seconds"` // of the process that ended it
	// UncountedUSD is what calls cost that no other event counts, such as those of
	// a step that was stopped. Nil if that is not known.
	UncountedUSD *float64 `json:"uncounted_usd,omitempty"`
	Error        string   `json:"error,omitempty"`  // of the run itself, if it failed; those of steps are theirs
	Exited       *Exited  `json:"exited,omitempty"` // the step that ended it; nil if none did
}

// Detail encodes the detail of an event. It panics if v is not one of the types
// above, since all of them have a JSON form.
func Detail(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		panic("journal: " + err.Error())
	}
	return data
}

// Decode reads the detail of ev into one of the types above. An event without
// detail leaves v as it is.
func (ev *Event) Decode(v any) error {
	if len(ev.Detail) == 0 {
		return nil
	}
	if err := json.Unmarshal(ev.Detail, v); err != nil {
		return fmt.Errorf("reading event %d (%s) of run %s: %w", ev.Seq, ev.Type, ev.Run, err)
	}
	return nil
}

// Errors of a store.
var (
	// ErrNotFound says that there is no such run.
	ErrNotFound = fault.New(fault.KindNotFound, "there is no such run")

	// ErrExists says that a run has this id already.
	ErrExists = fault.New(fault.KindConflict, "a run has this id already")
	// ErrLost says that another process has taken the run over: whoever gets it
	// must stop working on the run.
	ErrLost = fault.New(fault.KindConflict, "another process has taken the run over")
)

// OwnedError says that a process works on the run, or that an engine owns it.
type OwnedError struct {
	Run    string
	Owner  Owner
	Engine string // that owns it; empty if Owner does
}

// FaultKind returns [fault.KindConflict].
func (e *OwnedError) FaultKind() fault.Kind { return fault.KindConflict }

func (e *OwnedError) Error() string {
	if e.Engine != "" {
		return fmt.Sprintf("run %s is owned by the engine %s", e.Run, e.Engine)
	}
	return fmt.Sprintf("run %s is owned by process %d on %s since %s", e.Run, e.Owner.PID, e.Owner.Host, e.Owner.Since.Local().Format(time.DateTime))
}

// AmbiguousError says that several runs fit an abbreviated id.
type AmbiguousError struct {
	Prefix string
	IDs    []string // at most ten
}

// FaultKind returns [fault.KindInput].
func (e *AmbiguousError) FaultKind() fault.Kind { return fault.KindInput }

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("several runs begin with %q: %v; give more of the id", e.Prefix, e.IDs)
}

// Filter says which runs [Store].Runs gives. The zero value means all.
type Filter struct {
	Workflow  string    // of this name
	File      string    // of this file
	StartedBy string    // started with the key of this name
	Statuses  []Status  // with any of these
	Before    time.Time // started before; zero for any time
	After     time.Time // started at or after; zero for any time
	Limit     int       // at most so many; 0 for all

	// Older is the id of a run; only those that were created before it are given. The error of
	// one that there is not is [ErrNotFound].
	Older string
}

// Latest is what [Store].Find takes for the run that was started last.
const Latest = "latest"

// Store keeps runs. Implementations are safe for concurrent use, by several
// processes if they say so.
type Store interface {
	// Create adds a run, which must have an ID that no other has, and makes
	// the caller its owner, or the run's Engine if it names one; see [Joiner]. The error of an ID that another has is [ErrExists]. It appends RunStarted. Status, StartedAt and Owner
	// are set by the store. It returns once the run is durable.
	Create(ctx context.Context, run Run) (Log, error)
	// Acquire makes the caller the owner of a run without one; the
	// error of one that has an owner, or that an engine owns, is an [*OwnedError].
	// Its status becomes running, and its Engine empty.
	Acquire(ctx context.Context, id string) (Log, error)
	// Signal appends an event to a run that the caller need not own: for what
	// people decide from outside. A run that waited for that is running again.
	// It returns once the event is durable. An approval takes one decision, until
	// its deadline: the error of any other ApprovalGiven is a [*DecisionError].
	Signal(ctx context.Context, ev Event) error
	// Find is the run with an id, which may be abbreviated to its first
	// characters, or "latest" for the one that was created last, whatever the clock. Errors are
	// [ErrNotFound] and [*AmbiguousError].
	Find(ctx context.Context, id string) (Run, error)
	// Runs lists runs, the latest created first, without their Spec.
	Runs(ctx context.Context, f Filter) iter.Seq2[Run, error]
	// Events gives the events of a run with a Seq above after, in order.
	Events(ctx context.Context, id string, after int64) iter.Seq2[Event, error]
	// Outline is Events without those of the items of a foreach, of which there may be
	// very many.
	Outline(ctx context.Context, id string) iter.Seq2[Event, error]
	// Signals is Events of the types that people send from outside, ApprovalGiven
	// and CancelAsked; looking for new ones costs little.
	Signals(ctx context.Context, id string, after int64) ([]Event, error)
	// Remove forgets runs with their events, and the outputs that no other
	// run has. Runs that have an owner are kept. It says how many were
	// removed.
	Remove(ctx context.Context, ids ...string) (int, error)
	// Close frees what the store holds. Logs must have been released.
	Close() error
}

// Log is the right to write to one run. It is safe for concurrent use, and
// keeps the run's lease alive until it is released or the process dies.
type Log interface {
	// Append adds events in order, behind all that were appended before. Run,
	// Seq and, where it is zero, Time are set by the store. It does not wait;
	// the function it returns does, until the events are durable or cannot be
	// made so. Not calling it is allowed. Without events it waits for what others
	// are writing.
	//
	// RunFinished sets the run's status and the end of its work; until then it
	// is running or waiting, as [Live] says. StepFinished adds to the run's
	// steps, cost and tokens; StepFailed and TurnAnswered to its cost and tokens;
	// RunResumed, RunFinished and StepStopped to its cost.
	Append(events ...Event) (wait func() error)
	// Release gives the run back, after everything appended is durable. A run
	// that has not ended becomes interrupted.
	Release() error
}
