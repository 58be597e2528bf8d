package engine

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/workflow"
)

// Run runs wf to its end and gives its result, which tells of failed steps;
// the result is complete whatever happened. Run itself never fails: a run
// that is stopped, by ctx or by Drain, has the status StatusInterrupted.
//
// Every goroutine that Run starts has ended when it returns.
func Run(ctx context.Context, wf *workflow.Workflow, opts Options) *Result {
	r := newRun(wf, opts)
	// The buffer lets an attempt report and end although nobody listens.
	reports := make(chan report, len(wf.Steps))
	var attempts sync.WaitGroup
	defer attempts.Wait()

	for {
		for r.canStart() {
			n := r.pop()
			d, err := r.begin(n)
			if err != nil {
				r.running--
				r.settle(report{node: n, err: err})
				continue
			}
			attempts.Go(func() {
				answer, err := r.attempt(ctx, d)
				reports <- report{node: n, answer: answer, err: err}
			})
		}
		if r.running == 0 && r.waiting == 0 {
			return r.finish()
		}
		select {
		case rep := <-reports:
			if rep.ready {
				r.waiting--
				r.push(rep.node)
				continue
			}
			r.running--
			if wait, again := r.retry(ctx, rep); again {
				r.waiting++
				attempts.Go(func() {
					r.pause(ctx, wait)
					reports <- report{node: rep.node, ready: true}
				})
				continue
			}
			r.settle(rep)
		case <-r.drain:
			r.stopping, r.drain = true, nil
			close(r.stopped)
		case <-r.done(ctx):
			r.stopping = true
		}
	}
}

// run is the state of one Run. Only Run's goroutine touches it.
type run struct {
	wf       *workflow.Workflow
	opts     Options
	started  time.Time
	nodes    map[string]*node
	ready    readyHeap
	results  map[string]*StepResult
	outputs  map[string]workflow.StepResult // what expressions see
	order    []string
	slots    int
	running  int
	waiting  int // steps between two attempts
	stopping bool
	drain    <-chan struct{}
	stopped  chan struct{} // closed once draining begins; ends pauses
}

// node is one step of the graph with what is still open before it.
type node struct {
	step       *workflow.Step
	open       int // dependencies not completed yet
	dependents []*node
	remaining  time.Duration // longest path from here to the end
	position   int           // in the file
}

// report is the end of an attempt, or of the pause before the next.
type report struct {
	node   *node
	answer Answer
	err    error
	ready  bool // a pause ended
}

func newRun(wf *workflow.Workflow, opts Options) *run {
	if opts.Duration == nil {
		opts.Duration = func(*workflow.Step) time.Duration { return time.Second }
	}
	r := &run{
		wf: wf, opts: opts, started: time.Now(),
		nodes:   make(map[string]*node, len(wf.Steps)),
		results: make(map[string]*StepResult, len(wf.Steps)),
		outputs: make(map[string]workflow.StepResult, len(wf.Steps)),
		slots:   len(wf.Steps),
		drain:   opts.Drain,
		stopped: make(chan struct{}),
	}
	if limit := max(opts.MaxParallel, 0); limit > 0 {
		r.slots = limit
	} else if wf.MaxParallel > 0 {
		r.slots = wf.MaxParallel
	}
	remaining := wf.RemainingPath(opts.Duration)
	for i, s := range wf.Steps {
		r.nodes[s.ID] = &node{step: s, open: len(s.Dependencies), remaining: remaining[s.ID], position: i}
		r.results[s.ID] = &StepResult{Status: StatusPending, Agent: s.Agent}
	}
	for _, s := range wf.Steps {
		n := r.nodes[s.ID]
		for _, id := range s.Dependencies {
			r.nodes[id].dependents = append(r.nodes[id].dependents, n)
		}
		if n.open == 0 {
			r.push(n)
		}
	}
	return r
}

func (r *run) canStart() bool {
	return !r.stopping && r.running < r.slots && len(r.ready) > 0
}

func (r *run) push(n *node) { heap.Push(&r.ready, n) }
func (r *run) pop() *node   { return heap.Pop(&r.ready).(*node) }

// done is ctx's end, or nothing once the run knows of it.
func (r *run) done(ctx context.Context) <-chan struct{} {
	if r.stopping && ctx.Err() != nil {
		return nil
	}
	return ctx.Done()
}

// begin marks the step as running and drafts its prompt.
func (r *run) begin(n *node) (draft, error) {
	res := r.results[n.step.ID]
	if res.StartedAt == nil {
		now := time.Now().UTC()
		res.StartedAt = &now
		r.order = append(r.order, n.step.ID)
	}
	res.Attempts++
	res.Status = StatusRunning
	r.running++
	r.observe(Event{Step: n.step, Status: StatusRunning, Attempt: res.Attempts, Result: res})
	return r.draft(n.step, res.Attempts)
}

// attempt runs on a goroutine of its own and touches nothing of the run's state.
func (r *run) attempt(ctx context.Context, d draft) (Answer, error) {
	if d.step.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.step.Timeout)
		defer cancel()
	}
	prompt, err := d.prompt(ctx, r.opts.Attach)
	if err != nil {
		return Answer{}, err
	}
	return r.opts.Execute(ctx, Attempt{Step: d.step, Number: d.number, Prompt: prompt})
}

// firstPause and longestPause bound the wait before a step's next attempt.
// Calls already retry below, in seconds; a step retries what outlasted that.
const (
	firstPause   = 2 * time.Second
	longestPause = time.Minute
)

// retry reports whether the step gets another attempt, and after what wait.
// Failures that would repeat (a wrong request, a wrong key, an empty account)
// are not tried again.
func (r *run) retry(ctx context.Context, rep report) (time.Duration, bool) {
	res := r.results[rep.node.step.ID]
	code := llm.CodeOf(rep.err)
	if rep.err == nil || r.stopping || ctx.Err() != nil || res.Attempts > rep.node.step.Retry.Max ||
		!code.Transient() && code != llm.CodeTimeout {
		return 0, false
	}
	ceiling := min(firstPause<<min(res.Attempts-1, 10), longestPause)
	wait := ceiling/2 + rand.N(ceiling/2)
	res.Status = StatusWaiting
	r.observe(Event{Step: rep.node.step, Status: StatusWaiting, Attempt: res.Attempts, Wait: wait, Err: rep.err, Result: res})
	return wait, true
}

// pause waits, but not longer than the run goes on.
func (r *run) pause(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.stopped:
	case <-ctx.Done():
	}
}

// settle records the end of a step and frees or skips what depends on it.
func (r *run) settle(rep report) {
	n, res := rep.node, r.results[rep.node.step.ID]
	res.DurationSeconds = time.Since(*res.StartedAt).Seconds()
	res.Usage, res.CostUSD, res.Source = rep.answer.Usage, rep.answer.CostUSD, rep.answer.Source
	if rep.err != nil {
		res.Status = StatusFailed
		if llm.CodeOf(rep.err) == llm.CodeCanceled {
			res.Status = StatusInterrupted
		}
		res.Error = new(rep.err.Error())
		r.outputs[n.step.ID] = workflow.StepResult{Status: string(res.Status)}
		r.observe(Event{Step: n.step, Status: res.Status, Attempt: res.Attempts, Err: rep.err, Result: res})
		r.skip(n)
		return
	}
	res.Status, res.Output = StatusCompleted, rep.answer.Output
	r.outputs[n.step.ID] = workflow.StepResult{
		Output: res.Output, Status: string(res.Status), JSON: parseJSON(res.Output),
	}
	r.observe(Event{Step: n.step, Status: res.Status, Attempt: res.Attempts, Result: res})
	for _, d := range n.dependents {
		if d.open--; d.open == 0 && r.results[d.step.ID].Status == StatusPending {
			r.push(d)
		}
	}
}

// skip marks everything downstream of a step that did not complete.
func (r *run) skip(n *node) {
	for _, d := range n.dependents {
		res := r.results[d.step.ID]
		if res.Status != StatusPending {
			continue
		}
		res.Status = StatusSkipped
		res.Error = new("step " + n.step.ID + " did not complete")
		r.observe(Event{Step: d.step, Status: StatusSkipped, Result: res})
		r.skip(d)
	}
}

func (r *run) finish() *Result {
	res := &Result{
		RunID: r.opts.RunID, Workflow: r.wf.Name, Status: StatusCompleted,
		ExecutionOrder: append([]string{}, r.order...), Steps: r.results,
		CostUSD: new(float64),
	}
	for _, s := range r.wf.Steps {
		step := r.results[s.ID]
		switch step.Status {
		case StatusPending, StatusWaiting, StatusInterrupted:
			step.Status = StatusInterrupted
			res.Status = StatusInterrupted
		case StatusFailed:
			if res.Status == StatusCompleted {
				res.Status = StatusFailed
			}
		}
		res.Usage = res.Usage.Add(step.Usage)
		switch {
		case step.Status != StatusCompleted: // nothing known to be paid
		case step.CostUSD == nil:
			res.CostUSD = nil
		case res.CostUSD != nil:
			*res.CostUSD += *step.CostUSD
		}
	}
	res.TotalTimeSeconds = time.Since(r.started).Seconds()
	return res
}

func (r *run) observe(ev Event) {
	if r.opts.Observe != nil {
		r.opts.Observe(ev)
	}
}

// readyHeap orders ready steps: longest remaining path first, then file order.
type readyHeap []*node

func (h readyHeap) Len() int { return len(h) }
func (h readyHeap) Less(i, j int) bool {
	if h[i].remaining != h[j].remaining {
		return h[i].remaining > h[j].remaining
	}
	return h[i].position < h[j].position
}
func (h readyHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *readyHeap) Push(x any)   { *h = append(*h, x.(*node)) }
func (h *readyHeap) Pop() any {
	old := *h
	n := old[len(old)-1]
	*h = old[:len(old)-1]
	return n
}
