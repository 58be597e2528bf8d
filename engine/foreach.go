package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/workflow"
)

// fan is a running foreach. Its items start as places become free, so
// that a list of any length costs no more than its results.
type fan struct {
	items    []any
	keys     []string
	labels   []string
	most     int   // items at once
	order    []int // in which they start; nil for that of the list
	forced   int   // how many of order start whatever most says
	next     int   // how many have started
	active   int   // started and not ended; those that wait for a retry do not count
	done     int
	failed   int
	notSent  int     // of those that failed
	firstErr error   // of those that failed: one that was sent before one that was not, then by order of items
	firstAt  int     // the index of its item
	back     []*unit // they waited for a retry, and need a place again
	outcomes []itemOutcome
	results  []*ItemResult
}

// itemOutcome is what an item gives beside its result. Its output is in that.
type itemOutcome struct {
	json any
	ok   bool
}

// expand finds the items of a foreach.
func (r *run) expand(u *unit) {
	r.markStarted(u)
	each := u.step.Foreach
	if each.Items != nil {
		v, err := each.Items.Eval(u.env())
		if err == nil {
			var items []any
			if items, err = listOf(v); err == nil {
				r.spread(u, items, nil)
				return
			}
		}
		r.fail(u, invalid("finding the items of step "+u.path, err))
		return
	}
	if was := r.opts.Past.Unit(u.path, u.item); was != nil && was.Expanded != nil && !r.opts.Changed {
		r.spread(u, anys(was.Expanded.Paths), was.Expanded.Paths)
		return
	}
	if r.rebuilt {
		return
	}
	patterns := make([]string, len(each.Glob))
	for i, t := range each.Glob {
		var err error
		if patterns[i], err = t.Render(u.env()); err != nil {
			r.fail(u, invalid("filling in the pattern of step "+u.path, err))
			return
		}
	}
	r.waiting++
	r.spawn(func(ctx context.Context) report {
		if r.opts.Glob == nil {
			return report{unit: u, kind: globEnded, err: llm.NewError(llm.CodeInternal, "step "+u.path+" has a glob, but the engine was given no way to list files", nil)}
		}
		paths, err := r.opts.Glob(ctx, patterns)
		return report{unit: u, kind: globEnded, paths: paths, err: err}
	})
}

// globbed continues a foreach once its files are listed.
func (r *run) globbed(rep report) {
	if rep.err != nil {
		r.fail(rep.unit, fmt.Errorf("finding the items of step %s: %w", rep.unit.path, rep.err))
		return
	}
	r.spread(rep.unit, anys(rep.paths), rep.paths)
}

func anys(texts []string) []any {
	items := make([]any, len(texts))
	for i, t := range texts {
		items[i] = t
	}
	return items
}

// listOf returns a value as a list of items.
func listOf(v any) ([]any, error) {
	switch v := v.(type) {
	case []any:
		return v, nil
	case []string:
		return anys(v), nil
	case string:
		if items, ok := parseJSON(v).([]any); ok {
			return items, nil
		}
		return nil, fmt.Errorf("the text is not a JSON array: it begins with %q", firstRunes(v, 40))
	case nil:
		return nil, fmt.Errorf("there is no such value; the output it is taken from may not be the JSON that was expected")
	}
	return nil, fmt.Errorf("a %T is not a list", v)
}

// spread starts the items of a foreach. paths are the items of a glob.
func (r *run) spread(u *unit, items []any, paths []string) {
	f := &fan{
		items: items, most: u.step.Foreach.MaxParallel,
		outcomes: make([]itemOutcome, len(items)), results: make([]*ItemResult, len(items)),
	}
	f.keys, f.labels = r.identifyItems(u, items)
	if names := u.step.Foreach.Keys; len(names) == len(items) {
		f.labels = names
	}
	if f.most == 0 {
		f.most = len(items)
		if u.step.Body == nil {
			f.most = r.slots // more could not run anyway
		}
	}
	if p := r.parts; p != nil && p.items != nil && u == p.found {
		f.most = min(f.most, p.items.Most)
	}
	u.fan = f
	f.order, f.forced = r.itemOrder(u, f)
	r.write(u, journal.StepExpanded, 0, journal.Expanded{Items: len(items), Paths: paths})
	r.observe(u, Event{Attempt: 1, Items: len(items)})
	switch {
	case len(items) == 0:
		r.gather(u)
	case r.spreadsApart(u):
	default:
		r.feed(u)
	}
}

// identify names items by what they are, so that one keeps its result however
// the list changes around it. Equal items are distinguished by how often they
// came.
func identify(items []any) (keys, labels []string) {
	keys, labels = make([]string, len(items)), make([]string, len(items))
	seen := make(map[string]int, len(items))
	for i, item := range items {
		data, err := json.Marshal(workflow.Plain(item)) // the order of keys makes no other item
		if err != nil {
			data = fmt.Append(nil, item)
		}
		sum := sha256.Sum256(data)
		key := hex.EncodeToString(sum[:8])
		if seen[key]++; seen[key] > 1 {
			key = fmt.Sprintf("%s~%d", key, seen[key])
		}
		keys[i], labels[i] = key, label(item, data)
	}
	return keys, labels
}

// label returns how an item is called in lines for people.
func label(item any, data []byte) string {
	switch v := workflow.Plain(item).(type) {
	case string:
		return firstRunes(v, 60)
	case map[string]any:
		for _, name := range []string{"id", "name", "path", "file", "title"} {
			if s, ok := v[name].(string); ok && s != "" {
				return firstRunes(s, 60)
			}
		}
	}
	return firstRunes(string(data), 60)
}

func firstRunes(s string, n int) string {
	s = strings.Join(strings.Fields(s), " ")
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// feed starts as many items as have a place.
func (r *run) feed(u *unit) {
	f := u.fan
	for f.active < f.most || r.rebuilt || f.next < f.forced { // what is not done keeps its place in a run that is rebuilt
		switch {
		case len(f.back) > 0:
			c := f.back[0]
			f.back = f.back[1:]
			f.active++
			r.admit(c)
		case f.next < f.starting():
			i := f.next
			if f.order != nil {
				i = f.order[f.next]
			}
			f.next++
			id := u.id().WithItem(f.keys[i])
			if r.leavesOut(id) {
				continue
			}
			f.active++
			c := r.child(u, id)
			c.value, c.label, c.index = f.items[i], f.labels[i], i
			if u.label != "" {
				c.label = u.label + ", " + c.label
			}
			f.results[i] = &ItemResult{Key: f.keys[i], Item: f.labels[i], StepResult: c.res}
			r.start(c)
		default:
			return
		}
	}
}

// starting returns how many items are to start.
func (f *fan) starting() int {
	if f.order != nil {
		return len(f.order)
	}
	return len(f.items)
}

// itemEnded continues a foreach after one of its items has ended.
func (r *run) itemEnded(c *unit, o outcome) {
	u := c.parent
	f := u.fan
	f.active--
	if o.status != StatusInterrupted {
		c.res.forget()
	}
	switch o.status {
	case StatusInterrupted:
		return // the run is stopping
	case StatusCompleted:
		f.outcomes[c.index] = itemOutcome{json: o.json, ok: true}
	default:
		f.failed++
		if llm.NotSent(o.err) {
			f.notSent++
		}
		if f.goesFirst(c.index, o.err) {
			f.firstErr, f.firstAt = fmt.Errorf("%s: %w", f.labels[c.index], o.err), c.index
		}
	}
	if f.done++; f.done == len(f.items) {
		r.gather(u)
		return
	}
	r.feed(u)
}

// goesFirst reports whether the error of an item is said before the one that is known. It
// does not depend on which item failed first in time, which a resumed run does not know.
func (f *fan) goesFirst(index int, err error) bool {
	if f.firstErr == nil {
		return true
	}
	if sent, known := !llm.NotSent(err), !llm.NotSent(f.firstErr); sent != known {
		return sent
	}
	return index < f.firstAt
}

// gather ends a foreach all of whose items have ended.
func (r *run) gather(u *unit) {
	f := u.fan
	u.res.Items = f.results
	u.sum(func(yield func(*StepResult) bool) {
		for _, item := range f.results {
			if !yield(item.StepResult) {
				return
			}
		}
	})
	o := outcome{unit: u, status: StatusCompleted}
	switch said := f.failures(); {
	case f.succeeded() < f.needed(u.step) && f.failed == 0:
		o.status, o.err = StatusFailed, llm.NewError(llm.CodeInvalid, fmt.Sprintf("the list is too short for min_success: items %d, min_success %d", len(f.items), f.needed(u.step)), nil)
	case f.succeeded() < f.needed(u.step):
		o.status, o.err = StatusFailed, fmt.Errorf("%s, the first: %w", said, f.firstErr)
	case f.failed > 0:
		u.res.Degraded = said
	}
	// The outputs of those that did not fail are there either way.
	output, list := f.join()
	o.output, o.json = output, list
	if u.step.Foreach.Matrix {
		byKey := make(map[string]any, len(list))
		for i, key := range f.labels {
			byKey[key] = list[i]
		}
		o.json = workflow.NewObject(f.labels, byKey)
	}
	r.outcomes = append(r.outcomes, o)
}

// join returns the outputs of the items that have succeeded, as a text and as a list.
// The outputs of the results become parts of that text one by one, so that each is there
// once and the memory of the former can be used again before all are joined.
func (f *fan) join() (string, []any) {
	var text strings.Builder
	size := 0
	for i, item := range f.outcomes {
		if item.ok {
			size += len(f.results[i].Output) + len(f.labels[i]) + len("<item name=\"\">\n\n</item>\n\n")
		}
	}
	text.Grow(size)
	list, ends := make([]any, len(f.items)), make([]int, len(f.items)) // ends of the outputs in text, 0 if it has them in other words
	for i, item := range f.outcomes {
		if !item.ok {
			continue
		}
		if text.Len() > 0 {
			text.WriteString("\n\n")
		}
		res := f.results[i].StepResult
		output := res.Output
		llm.WriteFence(&text, "item", "name", f.labels[i], output)
		inner := strings.TrimSuffix(text.String(), "</item>")
		if !strings.HasSuffix(output, "\n") {
			inner = strings.TrimSuffix(inner, "\n")
		}
		if strings.HasSuffix(inner, output) {
			ends[i] = len(inner)
			res.Output = inner[len(inner)-len(output):]
		}
	}
	joined := text.String()
	for i, item := range f.outcomes {
		if !item.ok {
			continue
		}
		res := f.results[i].StepResult
		if end := ends[i]; end > 0 { // the text may have moved when it grew
			res.Output = joined[end-len(res.Output) : end]
		}
		if list[i] = item.json; item.json == nil {
			list[i] = res.Output
		}
	}
	f.outcomes = nil
	return joined, list
}

// succeeded returns how many items have succeeded.
func (f *fan) succeeded() int { return len(f.items) - f.failed }

// needed returns how many items must succeed.
func (f *fan) needed(s *workflow.Step) int {
	switch {
	case s.Foreach.MinSuccess != nil:
		return *s.Foreach.MinSuccess
	case s.OnFailure == workflow.OnFailureContinue:
		return min(1, len(f.items))
	}
	return len(f.items)
}

// failures says how many items have failed.
func (f *fan) failures() string {
	said := fmt.Sprintf("%d of %d items failed", f.failed-f.notSent, len(f.items))
	if f.notSent > 0 {
		said += fmt.Sprintf(" and %d were not asked", f.notSent)
	}
	return said
}

// yieldSlot frees an item's place in its foreach while it waits for a retry.
func (r *run) yieldSlot(u *unit) {
	if u.parent != nil && u.parent.fan != nil {
		u.parent.fan.active--
		r.feed(u.parent)
	}
}

// regainSlot queues a unit that waited for a place.
func (r *run) regainSlot(u *unit) {
	if u.parent != nil && u.parent.fan != nil {
		u.parent.fan.back = append(u.parent.fan.back, u)
		r.feed(u.parent)
		return
	}
	r.admit(u)
}

// fail ends a unit that could not start.
func (r *run) fail(u *unit, err error) {
	r.outcomes = append(r.outcomes, outcome{unit: u, status: StatusFailed, err: err})
}
