package claudeforce

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/structured"
	"github.com/claude-force/claude-force/plan"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/workflow"
)

// dryRun is a run without a network and without a journal: the engine itself,
// with the answers that are in the response cache. What is not there gets a
// stand-in, that of the latest run or one made up, so that what follows has
// something to work with; that is tainted, since its real request will differ.
type dryRun struct {
	o      *Orchestrator
	opts   *RunOptions
	wf     *workflow.Workflow
	params map[string]any
	files  *changedFiles
	past   *journal.State // the latest run; nil if there is none
	first  map[string]*journal.UnitState

	mu      sync.Mutex // guards the fields below
	units   []plan.Unit
	models  map[string]string // that live calls ask, by plain path
	items   map[string][]int
	skipped map[string]bool
	dirty   map[string]*taint // by path, numbered and plain, of what has a tainted answer at or below it
	asked   map[string]bool   // keys of calls that would be made

	problems  []plan.Problem
	least     *float64 // what the smallest call costs that can start the run; nil if there is none
	leastStep string
	started   bool // a call that costs nothing, or has no price, can start the run
}

// taint is which items of a path have a tainted answer.
type taint struct {
	at    map[string]bool // these
	below map[string]bool // these, and those around them
}

// run runs the dry run.
func (r *dryRun) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.first = firstOf(r.past)
	control := make(chan journal.Event, maxQuestions)
	kept := newReuse(r.o, r.opts)
	_, err := engine.Run(ctx, r.wf, engine.Options{
		RunID: dryRunID, Params: r.params, Env: runs.Env(r.wf),
		Execute: r.execute, Attach: r.attach, Glob: r.o.glob, ChangedFiles: r.files.list, Duration: takes,
		Control: control, Stay: true,
		Choose: r.opts.part().Choose(r.wf), Earlier: r.past,
		Identify: func(s *workflow.Step) engine.Identity { return r.o.identify(ctx, s, r.opts) },
		Before:   r.past,
		Unchanged: func(ctx context.Context, a engine.Attempt, was *journal.UnitState) bool {
			r.mu.Lock()
			tainted := r.tainted(a.Path, a.Item)
			r.mu.Unlock()
			return !tainted && kept.unchanged(ctx, a, was)
		},
		Observe: func(_ context.Context, ev engine.Event) {
			r.observe(ev)
			if ev.Asked == nil {
				return
			}
			yes := journal.Event{Type: journal.ApprovalGiven, Step: ev.Path, Item: ev.Item, Detail: journal.Detail(r.answer(ev.Asked))}
			select {
			case control <- yes:
			default: // no one would answer
				cancel()
			}
		},
	})
	return errors.Join(err, ctx.Err())
}

// answer returns a yes to a question, with a value that is made up if it wants one.
func (r *dryRun) answer(q *journal.ApprovalRequest) journal.Decision {
	d := journal.Decision{Approved: true}
	switch {
	case q.Choices != nil:
		d.Value = journal.Detail(q.Choices[0])
	case q.Schema != nil:
		d.Value = json.RawMessage(madeUp(q.Schema))
	}
	return d
}

// maxQuestions bounds the approvals that wait at once in a dry run.
const maxQuestions = 10_000

// observe takes in what the engine found out.
func (r *dryRun) observe(ev engine.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	path := journal.Unit{Step: ev.Path}.Plain()
	switch {
	case ev.Items > 0:
		r.items[path] = append(r.items[path], ev.Items)
	case ev.Status == engine.StatusCompleted && ev.Result.Items != nil && len(ev.Result.Items) == 0:
		r.items[path] = append(r.items[path], 0)
	case ev.Asked != nil:
		r.stain(ev.Path, ev.Item)
	case ev.Status == engine.StatusFailed:
		r.failed(ev)
		r.stain(ev.Path, ev.Item)
	case ev.Status == engine.StatusSkipped:
		r.skipped[path] = true
		if r.tainted(ev.Path, ev.Item) {
			r.stain(ev.Path, ev.Item)
		}
	case ev.Status == engine.StatusCompleted && ev.Result.Source == llm.SourceJournal:
		r.started = true // it costs nothing
		r.units = append(r.units, plan.Unit{Unit: journal.Unit{Step: ev.Path, Item: ev.Item}, Source: llm.SourceJournal, Again: true})
	}
}

// execute answers an attempt from the cache, else with what stands for the
// answer.
func (r *dryRun) execute(ctx context.Context, a engine.Attempt) (llm.Outcome, error) {
	if a.Act != nil {
		// What it would write is not known before it runs.
		r.checkAct(ctx, a)
		r.mu.Lock()
		r.started = true // it costs nothing
		r.stain(a.Path, a.Item)
		r.mu.Unlock()
		return llm.Outcome{Output: r.standIn(a), CostUSD: new(0.0)}, nil
	}
	t := stepTask(a.Step, r.opts)
	t.Prompt, t.Sample, t.Keep = a.Task, a.Sample, a.Keep
	r.opts.give(&t, a)
	req, _, err := r.o.tasks.Request(ctx, t)
	if err != nil {
		return llm.Outcome{}, err
	}
	unit := plan.Unit{Unit: journal.Unit{Step: a.Path, Item: a.Item}, Source: llm.SourceLive, Characters: r.o.characters(req), Variant: a.Step}
	was := r.past.Unit(a.Path, a.Item)
	unit.Again = was != nil && was.Started.Task == a.Task
	r.mu.Lock()
	tainted := r.tainted(a.Path, a.Item)
	r.mu.Unlock()
	if !tainted {
		output, answer, ok := r.o.remembered(ctx, t, req)
		unit.Halfway = answer != nil && !ok && len(answer.ToolUses()) > 0
		if ok {
			t.KeepAnswer(req, answer, output)
			unit.Source = llm.SourceCache
			r.mu.Lock()
			r.started = true
			r.mu.Unlock()
			r.add(unit, false)
			return llm.Outcome{Output: output, Source: llm.SourceCache, Model: req.Model, CostUSD: new(0.0)}, nil
		}
	}
	if err := r.o.tooLargeFor(req, 1); err != nil && (!tainted || was != nil) {
		r.mu.Lock()
		r.problem(a.Step, a.Path, a.Item, err.Error())
		r.mu.Unlock()
	}
	if !tainted {
		r.smallest(req, a.Path)
	}
	// Answers that are made up are all the same, so calls that have them tell
	// nothing of whether the real ones will be.
	if (!tainted || was != nil) && r.twice(a, req) {
		unit.Source = llm.SourceCoalesced
	}
	r.add(unit, true)
	r.ask(unit, req.Model)
	if a.Keep != nil && was != nil && was.Conversation != "" {
		var turns []llm.Message
		if json.Unmarshal([]byte(was.Conversation), &turns) == nil {
			a.Keep(turns, was.Kept.Instead) // its size is what a step that continues it will have about
		}
	}
	return llm.Outcome{Output: r.standIn(a), Source: unit.Source, Model: req.Model, CostUSD: new(0.0)}, nil
}

func (r *dryRun) add(u plan.Unit, live bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.units = append(r.units, u)
	if live {
		r.stain(u.Step, u.Item)
	}
}

// ask records the model that a unit calls.
func (r *dryRun) ask(u plan.Unit, model string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.models[u.Plain()] = model
}

// unheard reports whether there are live calls of a kind that the latest run did
// not make.
func (r *dryRun) unheard() bool {
	if r.past == nil {
		return true
	}
	for path, model := range r.models {
		if was := r.first[path]; was == nil || was.Started.Model != model || was.Finished.Source != llm.SourceLive {
			return true
		}
	}
	return false
}

// twice reports whether the run makes the same call already, so that its answer
// serves both.
func (r *dryRun) twice(a engine.Attempt, req *llm.Request) bool {
	call, err := llm.Keyer{}.Key(req)
	if err != nil || req.Once {
		return false
	}
	key := call.String()
	if req.Policy != llm.PolicyDefault || !r.o.pipe.Caches() { // only what goes on at the same time
		if a.Siblings == 0 {
			return false
		}
		key += a.Path
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.asked[key]
	r.asked[key] = true
	return was
}

// standIn returns the answer that the latest run got there, else one made up.
func (r *dryRun) standIn(a engine.Attempt) string {
	if was := r.past.Unit(a.Path, a.Item); was != nil && was.Type == journal.StepFinished {
		return was.Output
	}
	if was := r.first[journal.Unit{Step: a.Path}.Plain()]; was != nil {
		return was.Output
	}
	if a.Step.Schema != nil {
		return madeUp(a.Step.Schema)
	}
	if c := a.Step.Action(); c != nil && c.Shape() != workflow.OutputText {
		return `["not known yet (1)","not known yet (2)","not known yet (3)"]`
	}
	return strings.Repeat("(The answer is not known yet.) ", 80)
}

// stain says that the answer of a unit will differ. The caller holds mu.
func (r *dryRun) stain(path, item string) {
	u := journal.Unit{Step: path, Item: item}
	for p := range u.Paths() {
		loop, _ := journal.Unit{Step: p}.Loop()
		for _, p := range []string{p, loop.Step} {
			t := r.dirty[p]
			if t == nil {
				t = &taint{at: map[string]bool{}, below: map[string]bool{}}
				r.dirty[p] = t
			}
			t.at[item] = true
			for i := range u.Items() {
				t.below[i] = true
			}
		}
	}
}

// tainted reports whether what a unit is asked depends on an answer that is
// tainted. The caller holds mu.
func (r *dryRun) tainted(path, item string) bool {
	wf := r.wf
	var outer journal.Unit
	for part := range (journal.Unit{Step: path}).Parts() {
		s := wf.Step(part.ID)
		if s == nil {
			return true // cannot be: the path is one of the engine's
		}
		for _, d := range s.Dependencies {
			if r.dirty[outer.Inner(d).Step].touches(item) {
				return true
			}
		}
		if part.Iteration > 1 && r.dirty[outer.Inner(part.ID).Step].touches(item) {
			return true // its iterations see those before
		}
		if wf = s.Body; wf == nil {
			return false
		}
		if outer = outer.Inner(part.ID); part.Iteration > 0 {
			outer = outer.Iteration(part.Iteration)
		}
	}
	return false
}

// touches reports whether an item is, is around or is within one of those.
func (t *taint) touches(item string) bool {
	if t == nil {
		return false
	}
	if t.below[item] {
		return true
	}
	for outer := range (journal.Unit{Item: item}).Items() {
		if outer != item && t.at[outer] {
			return true
		}
	}
	return false
}

// characters returns about the size of a prompt.
func (o *Orchestrator) characters(req *llm.Request) int {
	prices, media := o.pipe.Prices(), 0
	n := len(req.OutputConfig) + task.ToolCharacters(req.Tools)
	for _, b := range req.System {
		n += len(b.Text)
	}
	for _, m := range req.Messages {
		for _, b := range m.Content {
			n += task.Characters(b)
			media += prices.MediaTokens(req.Model, b.Media)
		}
	}
	return n + int(float64(media)/prices.TokenRatio(req.Model))
}

// remembered returns the output that the response cache has for a call, and the answer
// that it is of; nil if there is none. It does not count as a use. Output that would have
// to be repaired counts as missing. So does an answer that calls tools: the task is halfway
// only, and what follows depends on what they give.
func (o *Orchestrator) remembered(ctx context.Context, t Task, req *llm.Request) (output string, answer *llm.Response, ok bool) {
	answer, ok = o.pipe.Peek(ctx, req)
	if !ok || answer.StopReason == llm.StopRefusal {
		return "", nil, false
	}
	if len(answer.ToolUses()) > 0 {
		return "", answer, false
	}
	if t.Schema == nil {
		return answer.Text(), answer, true
	}
	schema, err := structured.Compile(t.Schema)
	if err != nil {
		return "", answer, false
	}
	output, _, err = schema.Extract(answer.Text())
	return output, answer, err == nil
}

// madeUp returns JSON that a schema describes, with lists of a few items.
func madeUp(schema json.RawMessage) string {
	var v any
	if err := json.Unmarshal(schema, &v); err != nil {
		return "{}"
	}
	data, err := json.Marshal(madeUpValue(v, 0))
	if err != nil {
		return "{}"
	}
	return string(data)
}

// madeUpItems is how many items a made-up list has.
const madeUpItems = 3

func madeUpValue(v any, depth int) any {
	m, _ := v.(map[string]any)
	if depth > 8 || m == nil {
		return nil
	}
	if list, ok := m["enum"].([]any); ok && len(list) > 0 {
		return list[0]
	}
	if value, ok := m["const"]; ok {
		return value
	}
	props, _ := m["properties"].(map[string]any)
	switch typ, _ := m["type"].(string); {
	case typ == "object" || props != nil:
		object := map[string]any{}
		for _, name := range slices.Sorted(maps.Keys(props)) {
			object[name] = madeUpValue(props[name], depth+1)
		}
		return object
	case typ == "array":
		list := make([]any, madeUpItems)
		for i := range list {
			list[i] = madeUpValue(m["items"], depth+1)
			if _, isText := list[i].(string); isText {
				list[i] = fmt.Sprintf("not known yet (%d)", i+1) // equal items would be asked once
			}
		}
		return list
	case typ == "number", typ == "integer":
		return 0
	case typ == "boolean":
		return false
	}
	return "not known yet"
}
