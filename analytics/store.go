package analytics

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// Store keeps calls, calls of tools and tasks of agents with tools, with sums over them.
// Implementations are safe for concurrent use, by several processes too. Who needs less
// asks for one of the parts. Package analyticstest tests that an implementation keeps its
// contract.
type Store interface {
	Writer
	Collector
	Sums
	Rows
	ToolRows
	ProjectLister
	Querier
	Verifier
	Pruner
	// Close frees what the store holds. Afterwards every use is an error, except Close,
	// which does nothing.
	Close() error
}

// Writer adds what has happened. When a method returns without an error, it is durable.
type Writer interface {
	// Add adds calls.
	Add(ctx context.Context, calls ...Call) error
	// AddOnce adds calls whose first attempt is not known by its id.
	AddOnce(ctx context.Context, calls ...Call) error
	// AddTools adds calls of tools.
	AddTools(ctx context.Context, calls ...ToolCall) error
	// AddTasks adds tasks of agents with tools.
	AddTasks(ctx context.Context, tasks ...ToolTask) error
	// Import adds calls from elsewhere, each once however often it is imported, and
	// returns how many were new and how many were known. Errors of the sequence are given
	// to skipped, which ends the import if it returns one.
	Import(ctx context.Context, calls iter.Seq2[Imported, error], skipped func(error) error) (added, known int, err error)
}

// Collector adds what processes of this machine have recorded and not added themselves.
type Collector interface {
	// Take adds what waits on this machine to be added.
	Take(ctx context.Context) error
	// AddLost adds the calls of attempts that crashed processes have sent and not recorded.
	AddLost(ctx context.Context) error
}

// Sums answers questions about a period without reading its calls one by one.
type Sums interface {
	// Period returns the period for which a filter is answered from sums.
	Period(ctx context.Context, f Filter) (Period, error)
	// Summary returns the figures of a period.
	Summary(ctx context.Context, f Filter) (*Summary, error)
	// Groups returns the totals of calls by what they have in common. By one dimension,
	// those that cost most come first, and days and hours in their order; by several, all
	// are in the order of their names. Of some combinations there are no sums: see
	// [FromRows].
	Groups(ctx context.Context, f Filter, by ...Dimension) ([]Group, error)
	// Costs returns what Groups returns without latencies, which is quicker.
	Costs(ctx context.Context, f Filter, by ...Dimension) ([]Group, error)
}

// Rows gives calls one by one, as far back as they are kept so.
type Rows interface {
	// RowsSince returns since when calls are kept one by one. Of what is older there are
	// sums only. It is zero if none were dropped.
	RowsSince(ctx context.Context) (time.Time, error)
	// Calls yields the calls of a period in the order of time. The store may be used
	// meanwhile.
	Calls(ctx context.Context, f Filter) iter.Seq2[Call, error]
	// Newest returns at most limit calls of a period, the latest first, that began before
	// the one that cursor names; empty for the latest. The cursor of the next page is empty
	// on the last one. The error of a cursor that is none is a fault of input.
	Newest(ctx context.Context, f Filter, only Only, cursor string, limit int) (calls []Call, next string, err error)
	// Slowest returns the n calls that the service took longest to answer, the longest
	// first. Waiting does not count, and batches are left out.
	Slowest(ctx context.Context, f Filter, n int) ([]Call, error)
	// Failures returns the calls that failed, by agent, model and code, the most frequent
	// first.
	Failures(ctx context.Context, f Filter) ([]Failure, error)
	// Runs returns the runs that were under way in a period, in the order in which they
	// began, which may be before it.
	Runs(ctx context.Context, f Filter) ([]Run, error)
	// RunCost returns what the calls of a run cost so far, those of processes that were
	// killed included. It is 0 for a run of which no call is kept.
	RunCost(ctx context.Context, run string) (llm.Money, error)
	// Longest returns the most output tokens that a recent answer of an agent's model has
	// had; 0 if there was none.
	Longest(ctx context.Context, agent, model string) (tokens int, err error)
	// Unread returns which writes of a period to the prompt cache nothing has read, by the
	// records of attempts.
	Unread(ctx context.Context, f Filter) (UnreadWrites, error)
}

// ToolRows gives what agents did with tools, as far back as calls are kept one by one.
type ToolRows interface {
	// Tools returns what agents did with tools in a period, in one workflow or, if that is
	// empty, in all.
	Tools(ctx context.Context, f Filter, workflow string) (*ToolUse, error)
	// TaskTurns returns how many turns the latest tasks of an agent of a project had with
	// a model, up to n, the latest first. Failed tasks do not count.
	TaskTurns(ctx context.Context, project, agent, model string, n int) ([]int, error)
	// ToolCalls yields the calls of tools of a period in the order of time.
	ToolCalls(ctx context.Context, f Filter) iter.Seq2[ToolCall, error]
	// ToolTasks yields the tasks of agents with tools of a period in the order of time.
	ToolTasks(ctx context.Context, f Filter) iter.Seq2[ToolTask, error]
}

// ProjectLister names projects.
type ProjectLister interface {
	// Projects returns all projects, in the order of their names.
	Projects(ctx context.Context) ([]Project, error)
}

// Querier runs statements of its users.
type Querier interface {
	// Query runs one SELECT over the [Views] and calls row for each row of its result:
	// first with the columns' names and no values. Values are nil, int64, float64, string
	// or []byte. It can change nothing, and read nothing else. A wrong statement, and one
	// that exceeds a limit, is a [QueryError]. It returns soon after ctx ends.
	Query(ctx context.Context, sql string, limits QueryLimits, row func(columns []string, values []any) error) error
}

// Verifier compares sums with what they are of.
type Verifier interface {
	// Verify adds up the rows and compares them with everything that is kept beside them,
	// on one state of the store.
	Verify(ctx context.Context) (Verified, error)
}

// Pruner drops what is old.
type Pruner interface {
	// Prune drops what is older than is to be kept, in whole days of UTC. The sums of days
	// stay, so that the figures of whole days do.
	Prune(ctx context.Context, keep Retention, now time.Time) (Pruned, error)
}

// Recorder takes what has happened off the way of whoever makes it happen. It is safe for
// concurrent use.
type Recorder interface {
	// Record takes a call, and reports whether it stays if this process is killed. It waits
	// only if so many calls were made that writing them has fallen behind.
	Record(c Call) (kept bool)
	// RecordSent takes an attempt that is about to be sent, as the call to record if this
	// process is killed: its Tries have the attempt alone. It is forgotten once a call with
	// an attempt of the same id is added.
	RecordSent(c Call)
	// RecordTool takes a call of a tool, which stays if this process is killed.
	RecordTool(c ToolCall)
	// RecordTask takes a task of an agent with tools, which stays as a call of a tool does.
	RecordTask(t ToolTask)
	// Close writes what waits, and returns the first error of all writes. What is recorded
	// afterwards is ignored.
	Close() error
}

// Project is a project of which calls are kept.
type Project struct {
	ID   string // as in [Call] and [Filter]
	Name string // short, and unique within the store
	Path string // empty if only a name is known, as of calls that earlier versions recorded
}

// Failure is how often calls of an agent failed in one way.
type Failure struct {
	Agent string
	Model string
	Code  llm.Code
	Count int64
	Last  Call
}

// Only says which calls are listed. Empty fields allow all.
type Only struct {
	Run, Step, Agent, Model, Workflow, Key, Team string
	Source                                       llm.Source
	Failed                                       bool
}

// Retention says how long calls are kept one by one, and by the hour. Sums of
// days are kept for good. The zero value keeps everything.
type Retention struct {
	Rows  time.Duration // 0 for ever
	Hours time.Duration // 0 for ever; at least Rows
}

// Check returns an error if hours would be dropped before rows.
func (r Retention) Check() error {
	if r.Rows < 0 || r.Hours < 0 || r.Hours > 0 && (r.Rows == 0 || r.Rows > r.Hours) {
		return errors.New("hours must be kept for at least as long as rows")
	}
	return nil
}

// Pruned is what was dropped.
type Pruned struct {
	Rows  int64 `json:"rows"`
	Hours int64 `json:"hours"`
}

// Difference is a place where two figures that must be equal are not.
type Difference struct {
	What string    `json:"what"` // such as "call 12" or "day 2026-11-28"
	A    llm.Money `json:"a"`
	B    llm.Money `json:"b"`
}

// Verified is what was compared and found.
type Verified struct {
	Calls    int       // with attempts, each compared with their sum
	Attempts int       // compared with calls
	Days     int       // of which the rows are there
	Runs     int       // compared with their rows
	Tools    int       // sums of an hour and a project, compared with their rows
	Cost     llm.Money // of all rows

	// Uncertain is what may have been billed beyond Cost.
	Uncertain llm.Money

	CallsDiffer []Difference // a call and its attempts
	DaysDiffer  []Difference // a day's sum and its rows
	RunsDiffer  []Difference // a run's sum and its rows
	ToolsDiffer []ToolDifference

	// RunCosts is what the calls of each run cost that is still there with all
	// its rows, and RunUncertain what they may have been billed beyond that.
	RunCosts, RunUncertain map[string]llm.Money
}

// ToolDifference is a sum of what the agents of a project did with tools in an hour, and what
// the rows say.
type ToolDifference struct {
	Hour      time.Time
	Project   string
	Sum, Rows ToolTotals
}

// Views are what a [Querier] lets statements read. What is in them is documented in
// docs/analytics.md and stays.
var Views = [...]string{"calls", "attempts", "hourly", "daily", "workflow_runs", "tool_calls", "tool_tasks"}

// QueryError is a statement that cannot be run.
type QueryError struct{ Err error }

func (e *QueryError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *QueryError) Unwrap() error { return e.Err }

// QueryLimits bound what a statement may use. A field that is 0 stands for its
// default; there is no way to lift a limit.
type QueryLimits struct {
	Time   time.Duration // default DefaultQueryTime
	Result int64         // bytes of all values together; default DefaultQueryResult
}

// Defaults of [QueryLimits].
const (
	DefaultQueryTime   = time.Minute
	DefaultQueryResult = 64 << 20
)

// Summed reports whether sums are kept by the dimension.
func (d Dimension) Summed() bool {
	switch d {
	case ByAgent, ByModel, ByWorkflow, ByKey, ByTeam:
		return true
	}
	return false
}

// FromRows reports whether groups by these dimensions are made of rows, so that they
// reach back only as far as calls are kept one by one. Sums are kept by one of agent,
// model, workflow, key and team at a time.
func FromRows(by ...Dimension) bool {
	kinds := map[Dimension]bool{}
	for _, d := range by {
		if d.Summed() {
			kinds[d] = true
		}
	}
	return len(kinds) > 1
}

// CostGroups returns what [Sums.Groups] returns of groups with calls. Projects have the
// names that people know them by; paths are theirs, nil if by does not have projects.
func CostGroups(ctx context.Context, s interface {
	Sums
	ProjectLister
}, f Filter, by ...Dimension,
) (groups []Group, paths []string, err error) {
	all, err := s.Groups(ctx, f, by...)
	if err != nil {
		return nil, nil, err
	}
	list, err := s.Projects(ctx)
	if err != nil {
		return nil, nil, err
	}
	known := map[string]Project{}
	for _, p := range list {
		known[p.ID] = p
	}
	project := slices.Index(by, ByProject)
	for _, g := range all {
		if g.Calls == 0 { // a run without calls of its own in the group
			continue
		}
		if project >= 0 {
			p := known[g.Names[project]]
			g.Names = slices.Clone(g.Names)
			g.Names[project] = p.Name
			paths = append(paths, p.Path)
		}
		g.Name = strings.Join(g.Names, " · ")
		groups = append(groups, g)
	}
	return groups, paths, nil
}
