package workflow

import (
	"fmt"
	"iter"
	"slices"
)

// Exit ends the run: what is under way is stopped, and nothing more starts.
type Exit struct {
	Status  ExitStatus
	Message *Template // never nil
	Code    int       // of the process that has the run
}

// ExitStatus is what a run is that has exited.
type ExitStatus string

// Statuses of a run that has exited.
const (
	ExitCompleted ExitStatus = "completed"
	ExitFailed    ExitStatus = "failed"
)

// highestExit is the highest code that an exit may have: shells use those above it.
const highestExit = 125

// Fill returns the message with its values.
func (e *Exit) Fill(env Env) (any, error) { return e.Message.Render(env) }

func (e *Exit) refs(yield func(ref) bool) {
	if e != nil {
		e.Message.refs(yield)
	}
}

// Uses yields the names that the expressions of the message use.
func (e *Exit) Uses() iter.Seq2[string, string] { return e.Message.Uses() }

// Source returns the status and the message as it is in the file.
func (e *Exit) Source() string { return string(e.Status) + ": " + e.Message.Source() }

// Identity returns all that is in the file of the exit.
func (e *Exit) Identity() string {
	return fmt.Sprintf("%s %d %s", e.Status, e.Code, e.Message.Source())
}

// Shape returns that the output is a text.
func (e *Exit) Shape() RunOutput { return OutputText }

// Verb returns exit.
func (e *Exit) Verb() string { return "exit" }

// exit reads a step that ends the run: a message, or a mapping with it.
func (p *reader) exit(d *draft, v view) {
	d.Exit = &Exit{Status: ExitCompleted}
	message := p.alone(d.fields.given("exit"), "exit", "message", "write exit: {status: completed, message: ...}", exitKeys, func(f fields) {
		if n := f.given("status"); n != nil {
			d.Exit.Status = ExitStatus(p.oneOf(n, "status", []string{string(ExitCompleted), string(ExitFailed)}))
		}
		if d.Exit.Status == ExitFailed {
			d.Exit.Code = 1
		}
		n := f.given("code")
		if n == nil {
			return
		}
		before := p.failures
		d.Exit.Code = p.count(n, "code", 0)
		switch {
		case p.failures > before:
		case d.Exit.Code > highestExit:
			p.fail(n, nil, "", "code is 0 to %d", highestExit)
		case d.Exit.Code == 0 && d.Exit.Status == ExitFailed:
			p.fail(n, nil, "use a code of 1 or more, or status: completed", "a run that failed cannot end with code 0")
		}
	})
	if message == nil {
		return
	}
	d.Exit.Message = p.template(d, v, message, "message")
}

// exits reports steps that wait for one that ends the run: they would never run. It
// notes steps that an exit stops in every run.
func (p *reader) exits(l *level) {
	for _, d := range l.drafts {
		if d.Exit != nil {
			p.exitAlways(d)
		}
		for _, id := range d.Dependencies {
			if of := l.draft(id); of != nil && of.Exit != nil {
				p.fail(p.dependencyNode(d, id), nil, "depend on what it depends on; an exit whose condition holds comes first",
					"%s waits for %s, after which nothing runs", d.of(), of.of())
			}
		}
	}
}

// exitAlways notes the steps beside an exit that has no condition and does not wait for
// them.
func (p *reader) exitAlways(d *draft) {
	isFallback := slices.ContainsFunc(d.level.drafts, func(other *draft) bool { return other.Fallback == d.ID })
	if isFallback || d.skippable(map[*draft]bool{}) {
		return
	}
	before := map[string]bool{d.ID: true}
	for waiting := []*draft{d}; len(waiting) > 0; {
		at := waiting[0]
		waiting = waiting[1:]
		for _, id := range append([]string{at.Fallback}, at.Dependencies...) {
			if of := d.level.draft(id); of != nil && !before[id] {
				before[id] = true
				waiting = append(waiting, of)
			}
		}
	}
	var stopped []string
	for _, other := range d.level.drafts {
		if !before[other.ID] && other.Exit == nil {
			stopped = append(stopped, other.ID)
		}
	}
	if len(stopped) > 0 {
		p.note(d.fields.get("exit"), "give it a when, or let it depend on them",
			"%s ends every run, and does not wait for %s", d.of(), list(stopped))
	}
}
