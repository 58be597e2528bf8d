package task

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/attach"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/cassette"
	"github.com/claude-force/claude-force/modelselect"
	"github.com/claude-force/claude-force/telemetry"
)

// Defaults apply to tasks and agents that say nothing else.
type Defaults struct {
	Model        string        // a name, an id, or "auto"
	MaxTokens    int           // of an answer
	Timeout      time.Duration // of a task; 0 for none
	BatchTimeout time.Duration // of a task that is sent in a message batch
	MaxTurns     int           // calls of a task whose agent has tools; 0 for 100
	NoCache      []string      // agents whose answers are not cached

	// NoContextEdits keeps the service from clearing old results of tools in a long
	// conversation.
	NoContextEdits bool
}

// Runner runs tasks. Model, Agents and Prices are needed. It is safe for
// concurrent use; its fields must not change while tasks run.
type Runner struct {
	// Model answers the calls.
	Model llm.Model

	// Agents returns the agent of a name.
	Agents func(ctx context.Context, name string) (*agent.Agent, error)

	// Prices holds what is known of models.
	Prices *llm.PriceTable

	// MayExist reports whether there may be a model with an id: a task for one that there
	// is not is refused. Nil means that every id may be one.
	MayExist func(id string) bool

	// Rules returns the rules by which models are selected for tasks whose model
	// is "auto". Nil means the built-in ones.
	Rules func() (*modelselect.Rules, error)

	// Files reads the files that tasks name. Nil means that they may name none.
	Files *attach.Dir

	Defaults Defaults

	// Slots is how many tasks [Runner.RunAll] runs at once. 0 means 1.
	Slots int

	// OnNotice receives what the user should know. Nil means that no one is.
	OnNotice func(ctx context.Context, text string)

	// Tools returns the tools of an agent for a task. Nil means that agents have none.
	Tools ToolsFunc

	// Isolate makes the worktree of a task whose agent, or itself, asks for one. Nil
	// means that such a task fails.
	Isolate IsolateFunc

	// External runs the tasks whose runner is [RunnerClaudeCode]. Nil means that they
	// fail.
	External External

	// OnTool receives the calls of tools as they start and end, of several tasks and
	// several calls at once. May be nil.
	OnTool func(ctx context.Context, ev ToolEvent)

	// OnLoop receives the ends of tasks of agents with tools, as OnTool the calls. May
	// be nil.
	OnLoop func(ctx context.Context, ev LoopEvent)

	// Record, if set, is given what agents are offered and what their tools give.
	Record *cassette.Recorder

	// Replay, if set, gives both instead of Tools, and no tool is run.
	Replay *cassette.Player

	// Telemetry receives a span for each task. Nil means none.
	Telemetry *telemetry.Telemetry
}

// batchSlots is how many tasks that are sent in message batches run at once, as
// all that are ready should go into one.
const batchSlots = 10_000

// Run runs one task and waits for its answer. The result is never nil; its Err
// is the error. onText, if it is not nil, receives the answer's text piece by
// piece as it arrives.
func (r *Runner) Run(ctx context.Context, t Task, onText func(piece string)) *Result {
	start := time.Now()
	res := &Result{ID: t.ID, Agent: t.Agent, Status: StatusCompleted}
	ctx, _ = llm.WithNextBill(ctx) // so that the times of all calls are measured from here
	ctx, end := r.Telemetry.Agent(ctx, t.Agent, t.ID)
	defer func() { end(res.Err) }()
	tags := llm.TagsOf(ctx)
	tags.Task = t.ID
	res.Outcome, res.Err = r.run(llm.WithTags(ctx, tags), t, onText)
	res.DurationSeconds = time.Since(start).Seconds()
	if res.Err == nil {
		return res
	}
	res.Status = StatusFailed
	if ctx.Err() != nil && llm.CodeOf(res.Err) == llm.CodeCanceled {
		res.Status = StatusInterrupted
	}
	res.Error = new(res.Err.Error())
	return res
}

func (r *Runner) run(ctx context.Context, t Task, onText func(string)) (llm.Outcome, error) {
	timeout := r.Defaults.Timeout
	if t.Timeout > 0 {
		timeout = t.Timeout
	}
	if t.Batch {
		timeout = r.Defaults.BatchTimeout
	}
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	end, err := r.isolate(ctx, &t)
	if err != nil {
		return llm.Outcome{CostUSD: new(0.0)}, err
	}
	outcome, err := r.runIn(context.WithValue(ctx, placedKey{}, true), t, onText)
	return end(ctx, outcome, err)
}

// agent returns the agent of a task.
func (r *Runner) agent(ctx context.Context, t Task) (*agent.Agent, error) {
	if t.Definition != nil {
		return t.Definition, nil
	}
	return r.Agents(ctx, t.Agent)
}

// runIn does what run does, in the folder that the tools of the task work in.
func (r *Runner) runIn(ctx context.Context, t Task, onText func(string)) (llm.Outcome, error) {
	req, model, tools, err := r.prepare(ctx, t)
	if err != nil {
		return llm.Outcome{}, err
	}
	tags := llm.TagsOf(ctx)
	tags.InsteadOf = model.InsteadOf
	req.Unseen = onText == nil
	ctx = llm.WithTags(ctx, tags)
	outcome, err := r.answer(ctx, t, req, tools, onText)
	if tools == nil && llm.CodeOf(err) == llm.CodeOutput && outcome.Source == llm.SourceCache && onText == nil {
		// The cache keeps what obeys no schema too: that must not fail the task. Tools
		// would run a second time.
		fresh, earlier := *req, outcome
		t.Policy, fresh.Policy = llm.PolicyRefresh, llm.PolicyRefresh
		outcome, err = r.answer(ctx, t, &fresh, nil, onText)
		outcome = outcome.AddCost(earlier)
	}
	outcome.ModelReason = model.Reason
	return outcome, err
}

// answer makes the calls of a task, one or as many as its agent's tools take, and
// those that its schema takes.
func (r *Runner) answer(ctx context.Context, t Task, req *llm.Request, tools *Tools, onText func(string)) (outcome llm.Outcome, err error) {
	var runner string
	if runner, err = r.RunnerOf(ctx, t); err != nil {
		return llm.Outcome{CostUSD: new(0.0)}, err
	}
	end := ending{req: req}
	switch {
	case runner != RunnerBuiltin:
		outcome, err = r.converse(ctx, t, req, tools, onText)
	case tools == nil:
		outcome, end.answer, err = r.call(ctx, req, onText)
	default:
		outcome, end, err = r.loop(ctx, t, req, tools, onText)
	}
	if err == nil && t.Schema != nil {
		outcome, err = r.conform(ctx, t, outcome)
	}
	if err == nil && end.answer != nil {
		t.keep(end, outcome.Output)
	}
	return outcome, err
}

// call makes one call and returns what came of it. With an error, the outcome
// has the text that came before it. Its usage and cost are those of all attempts,
// also of those that broke off.
// The answer is nil if none came.
func (r *Runner) call(ctx context.Context, req *llm.Request, onText func(string)) (llm.Outcome, *llm.Response, error) {
	ctx, bill := llm.WithNextBill(ctx)
	outcome, answer, err := r.stream(ctx, req, onText)
	if recorded, usage, cost, known := bill.Total(); recorded > 0 {
		outcome.CostUSD = nil
		if known {
			outcome.CostUSD = new(cost.USD())
		}
		if err != nil || outcome.Source == llm.SourceLive {
			outcome.Usage = usage
		}
		outcome.Timing = bill.Timing()
	}
	return outcome, answer, err
}

// stream does what call does, and prices the answer alone.
func (r *Runner) stream(ctx context.Context, req *llm.Request, onText func(string)) (llm.Outcome, *llm.Response, error) {
	outcome := llm.Outcome{Model: req.Model, Calls: 1}
	var answer *llm.Response
	var text strings.Builder
	for ev, err := range r.Model.Stream(ctx, req) {
		if err != nil {
			outcome.Output = text.String()
			if llm.Unbilled(err) {
				outcome.CostUSD = new(0.0)
			}
			return outcome, answer, err
		}
		switch ev.Type {
		case llm.EventText:
			text.WriteString(ev.Text)
			if onText != nil {
				onText(ev.Text)
			}
		case llm.EventDone:
			answer = ev.Response
		}
	}
	if answer == nil {
		outcome.Output = text.String()
		return outcome, nil, llm.ErrIncomplete
	}
	outcome.Output = answer.Text()
	outcome.Source = answer.Source
	outcome.Model = answer.Model
	outcome.Usage = answer.Usage
	outcome.StopReason = answer.StopReason
	outcome.CostUSD = r.cost(answer)
	if err := llm.CheckAnswer(req, answer); err != nil {
		return outcome, answer, err
	}
	switch answer.StopReason {
	case llm.StopEndTurn, llm.StopSequence, llm.StopToolUse, llm.StopPauseTurn, "":
	case llm.StopMaxTokens:
		r.notice(ctx, fmt.Sprintf("an answer of %s was cut at %d tokens; raise max_tokens to get all of it", req.Agent, req.MaxTokens))
	default:
		outcome.Degraded = fmt.Sprintf("the answer ended for a reason that is not known, %q, and may not be whole", answer.StopReason)
	}
	return outcome, answer, nil
}

// cost returns what was paid for an answer of a model that records no bill. It
// returns nil if the model has no price.
func (r *Runner) cost(answer *llm.Response) *float64 {
	if answer.Source != llm.SourceLive {
		return new(0.0)
	}
	usd, priced := r.Prices.Cost(answer.Model, answer.Usage)
	if !priced {
		return nil
	}
	return &usd
}

func (r *Runner) notice(ctx context.Context, text string) {
	if r.OnNotice != nil && text != "" {
		r.OnNotice(ctx, text)
	}
}

// AllOptions configure [Runner.RunAll]. The zero value yields results in the
// order of the tasks. The callbacks may be called from several goroutines at
// once; nil ones are not called.
type AllOptions struct {
	Unordered bool // yield results as tasks end

	// OnStart is called before a task starts, for one task at a time and in their
	// order; the ID is set.
	OnStart func(ctx context.Context, t Task)
	// OnText is called with each piece of a task's answer: in order for one task,
	// and by several tasks at once.
	OnText func(ctx context.Context, t Task, piece string)
}

// RunAll runs any number of tasks, as many at once as there are slots. Tasks are
// taken as slots become free, and results are yielded in the order of the tasks,
// or as they end. It holds a bounded number of results, so memory does not grow
// with the number of tasks. One failure does not affect the others.
//
// When the consumer stops, or ctx ends, no more tasks are taken, calls in flight
// are canceled, and the sequence ends once they have.
func (r *Runner) RunAll(ctx context.Context, tasks iter.Seq[Task], opts AllOptions) iter.Seq[*Result] {
	return func(yield func(*Result) bool) {
		ctx, cancel := context.WithCancel(ctx)
		stopped := make(chan struct{}) // closed when the consumer has stopped
		limit := max(r.Slots, 1)
		live := make(chan struct{}, limit)
		batched := make(chan struct{}, batchSlots)
		// Each element holds, or will hold, one result. In order, results wait
		// behind an earlier one that takes long; the factor is how many may.
		queue := make(chan chan *Result, 4*limit)
		enqueue := func(place chan *Result) {
			select {
			case queue <- place:
			case <-stopped:
			}
		}
		var running sync.WaitGroup
		running.Go(func() {
			defer close(queue)
			var workers sync.WaitGroup
			defer workers.Wait()
			number := 0
			for t := range tasks {
				number++
				t.ID = cmp.Or(t.ID, strconv.Itoa(number))
				slots := live
				if t.Batch {
					slots = batched
				}
				select {
				case slots <- struct{}{}:
				case <-ctx.Done():
					return
				}
				place := make(chan *Result, 1)
				if !opts.Unordered {
					enqueue(place)
				}
				if opts.OnStart != nil {
					opts.OnStart(ctx, t)
				}
				workers.Go(func() {
					place <- r.runOne(ctx, t, opts)
					if opts.Unordered {
						enqueue(place) // with the slot, so that no more results wait than there are slots
					}
					<-slots
				})
			}
		})
		defer running.Wait()
		defer cancel()
		defer close(stopped)
		for place := range queue {
			if !yield(<-place) {
				return
			}
		}
	}
}

func (r *Runner) runOne(ctx context.Context, t Task, opts AllOptions) *Result {
	var onText func(string)
	if opts.OnText != nil {
		onText = func(piece string) { opts.OnText(ctx, t, piece) }
	}
	return r.Run(ctx, t, onText)
}

// policy returns the task's policy, unless the answers of its agent are not
// cached: who asks a creative agent twice wants two answers.
func (r *Runner) policy(t Task, a *agent.Agent) llm.Policy {
	if a.NoCache || slices.Contains(r.Defaults.NoCache, a.Name) {
		return llm.PolicyOff
	}
	return t.Policy
}
