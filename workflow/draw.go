package workflow

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Summary returns what a step does in a few words, such as the name of its agent; empty
// if that is unknown. It is for people.
func (s *Step) Summary() string { return s.does() }

// label returns the text for a step in a drawing: its id, and how often it runs.
func (s *Step) label() string {
	switch {
	case s.Foreach != nil && s.Foreach.Keys != nil:
		return fmt.Sprintf("%s × %d", s.ID, len(s.Foreach.Keys))
	case s.Foreach != nil:
		return strings.TrimSpace(s.ID + " × each " + s.Foreach.Name)
	case s.Loop != nil:
		return fmt.Sprintf("%s ↻ %d", s.ID, s.Loop.Max)
	}
	return s.ID
}

// does returns a short description of what a step does; empty if unknown.
func (s *Step) does() string {
	switch {
	case s.Agent != "" && s.Command != "":
		return s.who() + " /" + clean(s.Command)
	case s.Agent != "":
		return s.who()
	case s.Approval != nil:
		return s.Approval.does()
	case s.Action() != nil:
		return s.Action().Verb() + " " + brief(s.Action().Source())
	case s.Workflow != "":
		return "workflow " + clean(s.Workflow)
	case s.Body != nil:
		return plural(len(s.Body.Steps), "step")
	}
	return ""
}

// who returns the agent of a step, or those that it may be.
func (s *Step) who() string {
	switch {
	case s.Inline != nil && s.Inline.Name == "":
		return brief("prompt: " + s.Inline.Prompt)
	case s.AgentFrom != nil:
		return brief(strings.Join(s.AgentFrom.Among, " | "))
	}
	return clean(s.Agent)
}

// does returns what a person is asked for.
func (a *Approval) does() string {
	switch {
	case a.Choices != nil:
		return brief("approval: " + strings.Join(a.Choices, ", "))
	case a.Schema != nil:
		return "approval with a value"
	}
	return "approval"
}

// notes returns the other conditions of a step in a few words.
func (s *Step) notes() string {
	var notes []string
	switch listed, _, optional := s.Waits(); {
	case s.Join == JoinSettled:
		notes = append(notes, "however they end")
	case s.Join > 0 && len(listed) < len(s.Dependencies)-len(optional):
		notes = append(notes, fmt.Sprintf("%d of %s", s.Join, strings.Join(listed, ", ")))
	case s.Join == 1:
		notes = append(notes, "any of them")
	case s.Join > 1:
		notes = append(notes, fmt.Sprintf("%d of them", s.Join))
	}
	if _, _, optional := s.Waits(); len(optional) > 0 {
		notes = append(notes, strings.Join(optional, ", ")+" if completed")
	}
	if s.Continue != "" {
		notes = append(notes, "continues "+s.Continue)
	}
	if s.Runner == RunnerClaudeCode {
		notes = append(notes, "with Claude Code")
	}
	if s.When != nil {
		notes = append(notes, "when "+brief(s.When.Source()))
	}
	if s.Loop != nil && len(s.Loop.State) > 0 {
		names := make([]string, len(s.Loop.State))
		for i, state := range s.Loop.State {
			names[i] = state.Name
		}
		notes = append(notes, "keeps "+strings.Join(names, ", "))
	}
	if s.Loop != nil && s.Loop.Until != nil {
		notes = append(notes, "until "+brief(s.Loop.Until.Source()))
	}
	if s.ModelFrom != nil {
		notes = append(notes, "model "+strings.Join(s.ModelFrom.Among, " | "))
	}
	if s.Run != nil && s.Run.Splice {
		notes = append(notes, "values in shell text")
	}
	if s.Save != nil {
		notes = append(notes, "saved in "+brief(s.Save.Path.Source()))
	}
	switch {
	case s.Fallback != "":
		notes = append(notes, "else "+s.Fallback)
	case s.OnFailure == OnFailureContinue:
		notes = append(notes, "may fail")
	}
	return strings.Join(notes, "; ")
}

// frameLines returns what belongs to no step, in a line each: the vars, the findings and
// when the run fails for them.
func (w *Workflow) frameLines() []string {
	var lines []string
	for _, v := range w.Vars {
		lines = append(lines, "var "+clean(v.Name)+": "+brief(v.Value.Source()))
	}
	if w.Findings != nil {
		lines = append(lines, "findings: "+brief(w.Findings.Source()))
	}
	if f := w.FailWhen; f != nil {
		var when []string
		if f.Severity != "" {
			when = append(when, "a finding is "+string(f.Severity)+" or worse")
		}
		if f.When != nil {
			when = append(when, brief(f.When.Source()))
		}
		lines = append(lines, "fails when "+strings.Join(when, ", or "))
	}
	return lines
}

// brief returns an expression for one line of a drawing, without ${{ }}.
func brief(source string) string {
	source = clean(source)
	if parts, _ := cut(source); len(parts) == 1 && parts[0].expr != nil {
		source = strings.TrimSpace(parts[0].expr.source)
	}
	if utf8.RuneCountInString(source) > 60 {
		source = string([]rune(source)[:59]) + "…"
	}
	return source
}

// newDrawing returns the graph as it is drawn: a fallback comes after the steps
// that it replaces, although it does not depend on them.
func newDrawing(steps []*Step) *graph {
	g := newGraph(steps)
	for i, f := range fallbacksOf(steps) {
		if f >= 0 {
			if g.instead == nil {
				g.instead = map[[2]int]bool{}
			}
			g.instead[[2]int{i, f}] = true
			g.needs[f] = append(g.needs[f], i)
			g.usedBy[i] = append(g.usedBy[i], f)
		}
	}
	if g.instead != nil {
		g.sort()
	}
	return g
}
