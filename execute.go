package claudeforce

import (
	"cmp"
	"context"
	"encoding/json"
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
)

// Task is one piece of work for one agent.
type Task struct {
	ID    string // names the result; empty means the task's number
	Agent string // the agent's name
	Text  string // what it is asked

	// Shared is material that comes before the text, what other tasks are given
	// too first, so that the service's prompt cache serves it.
	Shared []string

	Files  []string      // patterns of files to give to the agent, relative to Options.Dir
	Given  []attach.File // files that were read already
	Model  string        // instead of the agent's: an alias, an id, or auto to have one chosen
	Policy llm.Policy    // how the cache treats it

	// Ceiling is the strongest model that may be chosen if the model is auto.
	// Empty means the agent's model_ceiling, else the model that the agent names.
	Ceiling string

	MaxTokens int           // instead of the agent's and the configured; 0 for theirs
	Timeout   time.Duration // instead of the configured; 0 for that

	// Schema is the JSON Schema that the output must obey. An answer that does
	// not is mended, with one more call if need be; see [Result].Degraded.
	Schema json.RawMessage
	// Batch sends the call by way of a message batch: it is answered within a
	// day, at half the price.
	Batch bool

	// Once says that the call may have effects, and is never tried again.
	Once bool
}

// Status says how a task ended.
type Status string

// Statuses of a task.
const (
	StatusCompleted   Status = "completed"
	StatusFailed      Status = "failed"
	StatusInterrupted Status = "interrupted"
)

// Result is what came of a task. Its JSON is a line of `execute --json`.
type Result struct {
	ID              string     `json:"id"`
	Agent           string     `json:"agent"`
	Model           string     `json:"model"`                  // that answered, or was asked
	ModelReason     string     `json:"model_reason,omitempty"` // why it was chosen; empty if it was named
	Status          Status     `json:"status"`
	Output          string     `json:"output"` // of a failed task: what came before the failure
	Source          llm.Source `json:"source"` // empty without an answer
	StopReason      string     `json:"stop_reason"`
	Usage           llm.Usage  `json:"usage"`
	CostUSD         *float64   `json:"cost_usd"` // paid for this answer; nil if nobody knows
	DurationSeconds float64    `json:"duration_seconds"`
	Error           *string    `json:"error"` // nil if completed

	// Degraded says why the output is less than was asked for: text where a
	// schema asks for JSON. Empty if it is not.
	Degraded string `json:"degraded,omitempty"`

	// Err is the error with its chain.
	Err error `json:"-"`

	calls int // made for it
}

// ExecuteAgent gives one agent one task and waits for the answer. The result
// is never nil; its Err is the error.
func (o *Orchestrator) ExecuteAgent(ctx context.Context, agent, task string) (*Result, error) {
	return o.Execute(ctx, Task{Agent: agent, Text: task}, nil)
}

// Execute is [Orchestrator.ExecuteAgent] with everything a task may say. If
// show is not nil it gets the answer's text piece by piece as it arrives.
func (o *Orchestrator) Execute(ctx context.Context, task Task, show func(piece string)) (*Result, error) {
	start := time.Now()
	res := &Result{ID: task.ID, Agent: task.Agent}
	ctx, told := o.tell.Agent(ctx, task.Agent, task.ID)
	defer func() { told(res.Err) }()
	res.Err = o.execute(ctx, task, res, show)
	res.DurationSeconds = time.Since(start).Seconds()
	res.Status = StatusCompleted
	if res.Err != nil {
		res.Status = StatusFailed
		if llm.CodeOf(res.Err) == llm.CodeCanceled {
			res.Status = StatusInterrupted
		}
		res.Error = new(res.Err.Error())
	}
	return res, res.Err
}

// ExecuteMultiple gives several agents their tasks at once, as many as there
// are slots, and waits for all. Results are in the order of the tasks. One
// failure does not touch the others.
func (o *Orchestrator) ExecuteMultiple(ctx context.Context, tasks []Task) []*Result {
	return slices.Collect(o.ExecuteAll(ctx, slices.Values(tasks), true))
}

// ExecuteAll is [Orchestrator.ExecuteMultiple] for any number of tasks: they
// are taken as slots become free, and results are yielded in the order of the
// tasks or as they finish. Only a bounded number of results is held, so memory
// does not grow with the number of tasks.
//
// When the consumer breaks off, or ctx ends, no more tasks are taken, calls
// under way are canceled, and the sequence ends once they have.
func (o *Orchestrator) ExecuteAll(ctx context.Context, tasks iter.Seq[Task], inOrder bool) iter.Seq[*Result] {
	return func(yield func(*Result) bool) {
		ctx, cancel := context.WithCancel(ctx)
		broken := make(chan struct{}) // closed when the consumer has broken off
		live := make(chan struct{}, o.gate.Limit())
		waiting := make(chan struct{}, batchParallel) // those in batches wait together
		// Each element holds, or will hold, one result. In order, results wait
		// behind an earlier one that takes long; the factor is how many may.
		queue := make(chan chan *Result, 4*o.gate.Limit())
		enqueue := func(place chan *Result) {
			select {
			case queue <- place:
			case <-broken:
			}
		}
		var running sync.WaitGroup
		running.Go(func() {
			defer close(queue)
			var workers sync.WaitGroup
			defer workers.Wait()
			number := 0
			for task := range tasks {
				number++
				task.ID = cmp.Or(task.ID, strconv.Itoa(number))
				slots := live
				if task.Batch {
					slots = waiting
				}
				select {
				case slots <- struct{}{}:
				case <-ctx.Done():
					return
				}
				place := make(chan *Result, 1)
				if inOrder {
					enqueue(place)
				}
				workers.Go(func() {
					res, _ := o.Execute(ctx, task, nil) // the error is in the result
					place <- res
					if !inOrder {
						enqueue(place) // with the slot, so that no more results wait than there are slots
					}
					<-slots
				})
			}
		})
		defer running.Wait()
		defer cancel()
		defer close(broken)
		for place := range queue {
			if !yield(<-place) {
				return
			}
		}
	}
}

func (o *Orchestrator) execute(ctx context.Context, task Task, res *Result, show func(string)) error {
	timeout := o.config.Timeout
	if task.Timeout > 0 {
		timeout = task.Timeout
	}
	if task.Batch {
		timeout = batchPatience
	}
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	req, model, err := o.request(ctx, task)
	if err != nil {
		return err
	}
	res.ModelReason = model.reason
	tags := llm.TagsOf(ctx)
	tags.InsteadOf = model.insteadOf
	if err := o.call(llm.WithTags(ctx, tags), req, res, show); err != nil {
		return err
	}
	if task.Schema != nil {
		return o.conform(ctx, task, res)
	}
	return nil
}

// call makes a call and adds what came of it to the result.
func (o *Orchestrator) call(ctx context.Context, req *llm.Request, res *Result, show func(string)) error {
	res.Model = req.Model
	res.calls++
	var answer *llm.Response
	var shown strings.Builder
	for ev, err := range o.model.Stream(ctx, req) {
		if err != nil {
			res.Output = shown.String()
			return err
		}
		switch ev.Type {
		case llm.EventText:
			shown.WriteString(ev.Text)
			if show != nil {
				show(ev.Text)
			}
		case llm.EventDone:
			answer = ev.Response
		}
	}
	if answer == nil {
		return llm.ErrIncomplete
	}
	o.fill(res, answer)
	if answer.StopReason == llm.StopRefusal {
		return llm.NewError(llm.CodeInvalid, "the model declined to answer; rephrase the task, or use another model", nil)
	}
	if answer.StopReason == llm.StopMaxTokens {
		o.notice(fmt.Sprintf("an answer of %s was cut at %d tokens; raise max_tokens to get all of it", req.Agent, req.MaxTokens))
	}
	return nil
}

func (o *Orchestrator) fill(res *Result, answer *llm.Response) {
	res.Output, res.Source, res.Model = answer.Text(), answer.Source, answer.Model
	res.Usage, res.StopReason = res.Usage.Add(answer.Usage), answer.StopReason
	usd, priced := 0.0, true
	if answer.Source == llm.SourceLive {
		usd, priced = o.priceTable().Cost(answer.Model, answer.Usage)
	}
	switch {
	case !priced:
		res.CostUSD = nil
	case res.calls == 1:
		res.CostUSD = &usd
	case res.CostUSD != nil:
		res.CostUSD = new(*res.CostUSD + usd)
	}
}

// request is the call that a task amounts to, and how its model was found.
func (o *Orchestrator) request(ctx context.Context, task Task) (*llm.Request, pick, error) {
	a, err := o.agent(task.Agent)
	if err != nil {
		return nil, pick{}, err
	}
	text := task.Text
	given := task.Given
	if len(task.Files) > 0 {
		files, err := o.files.Read(ctx, task.Files, attach.Limits{})
		if err != nil {
			return nil, pick{}, invalid(err)
		}
		given = slices.Concat(given, files)
	}
	shared := task.Shared
	if len(given) > 0 {
		shared = append(slices.Clip(shared), attach.Text(given))
	}
	if strings.TrimSpace(text) == "" {
		return nil, pick{}, invalid(fmt.Errorf("the task for %s is empty; say what it should do", task.Agent))
	}
	model, err := o.modelOf(task, a, shared)
	if err != nil {
		return nil, pick{}, err
	}
	req := &llm.Request{
		Model:     model.id,
		Messages:  []llm.Message{llm.UserTurn(shared, text)},
		MaxTokens: o.maxTokens(task, a, model.id),
		Agent:     a.Name,
		Policy:    o.policy(task, a),
		Once:      task.Once,
		Batch:     task.Batch,
	}
	if a.Prompt != "" {
		req.System = []llm.Block{llm.TextBlock(a.Prompt)}
	}
	if err := configure(req, a.Effort, task.Schema); err != nil {
		return nil, pick{}, fmt.Errorf("writing the call of agent %s: %w", a.Name, err)
	}
	return req, model, nil
}

// inherit is a model name that names none, in agent files and steps.
const inherit = "inherit"

// modelName is the strongest name given: the task's, the agent's, the configured.
func (o *Orchestrator) modelName(task Task, a *agent.Agent) string {
	for _, name := range []string{task.Model, a.Model} {
		if name != "" && name != inherit {
			return name
		}
	}
	return o.config.Model
}

func (o *Orchestrator) maxTokens(task Task, a *agent.Agent, model string) int {
	most := o.config.MaxTokens
	if a.MaxTokens > 0 {
		most = a.MaxTokens
	}
	if task.MaxTokens > 0 {
		most = task.MaxTokens
	}
	if info, ok := o.priceTable().Info(model); ok && info.MaxOutput > 0 {
		most = min(most, info.MaxOutput)
	}
	return most
}

// policy is the task's own, unless its agent's answers are not to be kept: who
// asks a creative agent twice wants two answers.
func (o *Orchestrator) policy(task Task, a *agent.Agent) llm.Policy {
	if a.NoCache || slices.Contains(o.config.Cache.ExcludeAgents, a.Name) {
		return llm.PolicyOff
	}
	return task.Policy
}
