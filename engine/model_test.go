package engine_test

import (
	"fmt"
	"maps"
	"strings"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
)

// model says how every unit of a plan must end, without a thought of time. It states the
// rules of docs/workflows.md in its own words and shares no code with the engine.
type model struct {
	*plan
	want  map[string]ending       // by unit
	asked map[string]string       // the texts of all units that make attempts
	dead  map[string]bool         // units with effects: once that began in a process that died
	exits map[string]journal.Exit // the units that would end the run. The first to end does, and the model goes on behind it
	past  map[string]ending       // units of iterations that others followed
	size  int                     // of the longest text, in bytes
}

// ending is how a unit ends.
type ending struct {
	status, output, reason string
}

// verdict is how a step ended, and what that is to others.
type verdict struct {
	status, counts string
	lets           bool // what depends on it goes on
	result
}

// result is what others read.
type result struct {
	output, json, reason string // json is empty for none
}

// outcome is what comes of running something.
type outcome struct {
	ok bool
	result
	noList bool // it is a foreach that has no items, since its list is none
}

func newModel(p *plan) *model {
	return &model{plan: p, want: map[string]ending{}, asked: map[string]string{}, exits: map[string]journal.Exit{}, past: map[string]ending{}}
}

// frame is steps beside each other.
type frame struct {
	*model
	prefix, item string
	sees         map[string]string  // the names that have a value, by name
	around       map[string]verdict // steps beside the group that it is in
	done         map[string]verdict
	ok           bool
}

// all ends the steps and reports whether none failed for good.
func (m *model) all(steps []*planned, f frame) frame {
	f.model, f.done, f.ok = m, map[string]verdict{}, true
	for _, s := range steps {
		if !s.spare {
			f.end(s)
		}
	}
	for _, s := range steps { // of those in reserve, the rest
		if _, known := f.done[s.id]; s.spare && !known {
			m.want[unitName(f.prefix+s.id, f.item)] = ending{status: "skipped"}
		}
	}
	return f
}

// run says whether the run completes.
func (m *model) run() string {
	f := m.all(m.steps, frame{sees: map[string]string{"vars.made": "made at the top"}})
	if !f.ok {
		return "failed"
	}
	continued := false
	for _, s := range m.steps {
		switch v, known := f.done[s.id]; {
		case !known:
		case v.counts == "completed", v.lets && v.output != "":
			return "completed"
		case v.status == "failed" && s.onFailure == "continue":
			continued = true
		}
	}
	if continued { // a run in which nothing succeeds has failed
		return "failed"
	}
	return "completed"
}

// end ends a step, after all that it waits for.
func (f *frame) end(s *planned) verdict {
	if v, known := f.done[s.id]; known {
		return v
	}
	v := verdict{status: "skipped", counts: "skipped"}
	if f.starts(s) {
		v = f.start(s)
	}
	f.done[s.id] = v
	f.want[unitName(f.prefix+s.id, f.item)] = f.seen(s, v)
	return v
}

// seen returns what the result says of a step.
func (f *frame) seen(s *planned, v verdict) ending {
	e := ending{status: v.status, reason: v.reason}
	if v.status == "completed" && !s.each() {
		e.output = v.output
	}
	return e
}

// starts reports whether a step begins, once all that it waits for has ended.
func (f *frame) starts(s *planned) bool {
	met, needed := 0, len(s.deps)
	for _, id := range s.deps {
		if f.end(f.byID[id]).lets {
			met++
		}
	}
	if s.join != 0 {
		needed = max(s.join, 0)
	}
	all := met >= needed
	for _, id := range s.reads {
		all = f.end(f.byID[id]).lets && all
	}
	for _, id := range s.perhaps {
		f.end(f.byID[id])
	}
	switch {
	case !all, s.when == "false", s.whenNot != "" && f.done[s.whenNot].counts == "completed":
		return false
	case s.when == "" || s.when == "true":
		return true
	}
	return f.done[s.when].counts == "completed"
}

// start runs a step that begins, and its fallback.
func (f *frame) start(s *planned) verdict {
	o := f.often(s)
	if s.saved && o.ok && f.saves(s.id) != nil {
		o.ok = false // the answer is kept
	} else if !o.ok {
		o.output, o.json = "", ""
	}
	v := verdict{status: "completed", counts: "completed", lets: true, result: o.result}
	if o.ok {
		return v
	}
	v.status, v.counts, v.lets, v.json = "failed", "failed", false, ""
	if s.fallback != "" {
		if instead := f.end(f.byID[s.fallback]); instead.counts == "completed" {
			v.counts, v.lets, v.output, v.json = "completed", true, instead.output, instead.json
			return v
		}
	}
	switch {
	case s.onFailure == "continue" && (!s.each() || o.noList):
		v.lets = true // and has no output but one that could not be saved
		return v
	case s.onFailure != "skip_dependents" && s.onFailure != "continue", s.onFailure == "continue":
		f.ok = false
	}
	v.output = ""
	return v
}

// often runs a step as often as it says.
func (f *frame) often(s *planned) outcome {
	path := f.prefix + s.id
	switch {
	case s.each():
		return f.items(s, path)
	case s.loop > 0:
		return f.iterations(s, path)
	}
	return f.once(s, path, f.item, f.sees)
}

// items runs a step once per item.
func (f *frame) items(s *planned, path string) outcome {
	var listed []string
	if s.listOf != "" {
		if f.done[s.listOf].json == "" {
			return outcome{noList: true}
		}
		listed = f.listed(s.listOf)
	}
	members := s.members(listed)
	succeeded, parts := 0, make([]string, len(members))
	for i, key := range keysOf(members) {
		sees := maps.Clone(f.sees)
		maps.Copy(sees, members[i].sees)
		o := f.once(s, path, under(f.item, key), sees)
		e := ending{status: "failed", reason: o.reason}
		parts[i] = "null"
		if o.ok {
			succeeded++
			e = ending{status: "completed", output: o.output}
			if parts[i] = o.json; o.json == "" {
				parts[i] = quoted(o.output)
			}
		}
		f.want[unitName(path, under(f.item, key))] = e
		if s.matrix {
			parts[i] = quoted(members[i].name) + ":" + parts[i]
		}
	}
	needed := len(members)
	switch {
	case s.minSuccess >= 0:
		needed = s.minSuccess
	case s.onFailure == "continue":
		needed = min(1, len(members))
	}
	list := "[" + strings.Join(parts, ",") + "]"
	if s.matrix {
		list = "{" + strings.Join(parts, ",") + "}"
	}
	return outcome{ok: succeeded >= needed, result: result{json: list}}
}

// iterations runs a step again and again.
func (f *frame) iterations(s *planned, path string) (o outcome) {
	n, last := 1, "none yet"
	for i := 1; i <= s.loop; i++ {
		for name := range f.want { // the result has the last iteration's
			_, of, _ := strings.Cut(name, " ")
			if strings.HasPrefix(name, fmt.Sprintf("%s@%d/", path, i-1)) && (f.item == "" || of == f.item || strings.HasPrefix(of, f.item+"/")) {
				f.past[name] = f.want[name]
				delete(f.want, name)
			}
		}
		sees := maps.Clone(f.sees)
		sees["loop.index"], sees["loop.previous."+s.id+".output"] = fmt.Sprint(i), o.output
		if s.state {
			sees["loop.state.n"], sees["loop.state.last"] = fmt.Sprint(n), last
		}
		if o = f.once(s, fmt.Sprintf("%s@%d", path, i), f.item, sees); !o.ok {
			return o
		}
		n, last = 2*n, o.output
		if s.until > 0 && i >= s.until {
			break
		}
	}
	return o
}

// once runs a unit of a step.
func (f *frame) once(s *planned, path, item string, sees map[string]string) outcome {
	switch s.kind {
	case "group":
		inner := f.all(s.body, frame{prefix: path + "/", item: item, sees: sees, around: f.done})
		return outcome{ok: inner.ok, result: inner.output(s.id, s.body)}
	case "file":
		given := f.text(s, sees)
		inner := f.all(s.body, frame{prefix: path + "/", item: item, sees: map[string]string{"params.given": given, "vars.made": "made of " + given}})
		return outcome{ok: inner.ok, result: inner.output(s.id, s.body)}
	case "approval":
		return f.approval(s, path, item)
	case "value":
		return f.value(s, sees)
	case "exit":
		return f.exit(s, unitName(path, item), f.text(s, sees))
	}
	unit, text := unitName(path, item), ""
	if s.kind != "agent" {
		text = f.text(s, sees)
	}
	f.asked[unit] = text
	if !f.succeeds(s, path, item) {
		return outcome{}
	}
	switch {
	case s.lists():
		return outcome{ok: true, result: result{output: f.listText(s.id), json: f.listText(s.id)}}
	case s.kind == "agent":
		return outcome{ok: true, result: result{output: "out " + unit}}
	}
	return outcome{ok: true, result: result{output: "did " + text}}
}

// succeeds reports whether one of the attempts does.
func (f *frame) succeeds(s *planned, path, item string) bool {
	if f.dead[unitName(path, item)] {
		return false
	}
	for n := 1; n <= s.retries+1; n++ {
		if err := f.fails(path, item, n); err != errBusy {
			return err == nil
		}
	}
	return false
}

// approval returns what comes of asking a person.
func (f *frame) approval(s *planned, path, item string) outcome {
	_, d, answers := f.decide(path, item)
	switch {
	case !answers && !s.onNo:
		return outcome{}
	case (!answers || !d.Approved) && s.onNo:
		message := "not approved"
		if !answers {
			d.Comment = ""
			message += ": there was no answer within 1h"
		} else if d.Comment != "" {
			message += ": " + d.Comment
		}
		f.exits[unitName(path, item)] = journal.Exit{Status: journal.StatusCompleted, Message: message}
		no := `{"approved":false,"by":"","comment":` + quoted(d.Comment) + "}"
		return outcome{ok: true, result: result{output: no, json: no, reason: d.Comment}}
	case !d.Approved:
		return outcome{result: result{reason: d.Comment}}
	}
	switch s.form {
	case "choices":
		return outcome{ok: true, result: result{output: "y"}}
	case "form":
		return outcome{ok: true, result: result{output: `{"n":7}`, json: `{"n":7}`}}
	case "text":
		return outcome{ok: true, result: result{output: "some words"}}
	}
	yes := `{"approved":true,"by":"","comment":""}`
	return outcome{ok: true, result: result{output: yes, json: yes}}
}

// exit returns what comes of a step that ends the run.
func (f *frame) exit(s *planned, unit, message string) outcome {
	f.exits[unit] = map[string]journal.Exit{
		"":       {Status: journal.StatusCompleted, Message: message},
		"failed": {Status: journal.StatusFailed, Message: message, Code: 1},
		"code":   {Status: journal.StatusCompleted, Message: message, Code: 7},
	}[s.form]
	return outcome{ok: true, result: result{output: message}}
}

// value returns what comes of computing one.
func (f *frame) value(s *planned, sees map[string]string) outcome {
	switch text := f.text(s, sees); s.form {
	case "mapping":
		text = `{"n":` + quoted(text) + "}"
		return outcome{ok: true, result: result{output: text, json: text}}
	case "list":
		return outcome{ok: true, result: result{output: f.listText(s.id), json: f.listText(s.id)}}
	case "broken":
		return outcome{}
	default:
		return outcome{ok: true, result: result{output: text}}
	}
}

// output returns what steps give together.
func (f *frame) output(name string, steps []*planned) result {
	text := "of " + name
	for _, s := range steps {
		if !s.spare {
			text += " " + read(s, f.done[s.id], true)
		}
	}
	return result{output: text}
}

// text returns that of a step.
func (f *frame) text(s *planned, sees map[string]string) string {
	words := []string{"do", s.id}
	if len(s.deps) > 0 && s.join == 0 {
		id := s.deps[len(s.deps)-1]
		words = append(words, read(f.byID[id], f.done[id], false))
	}
	for _, id := range s.reads {
		words = append(words, read(f.byID[id], f.done[id], false))
	}
	for _, id := range s.perhaps {
		v, why := f.done[id], "why"
		if v.counts == "completed" {
			why = "fine"
		}
		words = append(words, read(f.byID[id], v, true), why)
		if f.byID[id].kind == "approval" {
			words = append(words, v.reason)
		}
	}
	for _, id := range s.outer {
		words = append(words, read(f.byID[id], f.around[id], true))
	}
	for _, name := range s.shows {
		words = append(words, sees[name])
	}
	if len(f.standIn[s.id]) == 1 {
		words = append(words, "why") // it runs since that has failed
	}
	text := strings.Join(words, " ")
	f.size = max(f.size, len(text))
	return text
}

// read returns what another step reads of one.
func read(s *planned, v verdict, optional bool) string {
	switch {
	case optional && v.counts != "completed" && v.output == "": // one that continues may have kept an answer
		return "none"
	case !s.each():
		return v.output
	case v.json != "":
		return v.json
	case optional:
		return "none"
	}
	return "no list"
}

// ends returns what a result says of units.
func ends[T any](res *engine.Result, say func(*engine.StepResult) T) map[string]T {
	got := map[string]T{}
	var walk func(steps map[string]*engine.StepResult, prefix, item string)
	walk = func(steps map[string]*engine.StepResult, prefix, item string) {
		for id, s := range steps {
			path := prefix + id
			got[unitName(path, item)] = say(s)
			within := path
			if s.Iterations > 0 {
				within = fmt.Sprintf("%s@%d", path, s.Iterations)
			}
			walk(s.Steps, within+"/", item)
			for _, i := range s.Items {
				got[unitName(path, under(item, i.Key))] = say(i.StepResult)
				walk(i.Steps, path+"/", under(item, i.Key))
			}
		}
	}
	walk(res.Steps, "", "")
	return got
}

func statusOf(s *engine.StepResult) string { return string(s.Status) }

// endOf returns what a result says of a unit that the model says too: what a foreach gives as
// a text is not for it to say, and a failed step has the output of its fallback.
func endOf(s *engine.StepResult) ending {
	e := ending{status: string(s.Status), reason: s.Reason}
	if s.Status == engine.StatusCompleted && s.Items == nil {
		e.output = s.Output
	}
	return e
}
