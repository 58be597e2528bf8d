package workflow

import (
	"cmp"
	"slices"

	yaml "go.yaml.in/yaml/v4"
)

// ownKeys are those that a step which continues another cannot have: the conversation
// stays with its agent and its model.
// A command may have tools and a model of its own.
var ownKeys = []string{"agent", "prompt", "tools", "model", "command", "arguments", "runner"}

// sharedKeys are those that a step has from the one it continues, where it says nothing
// of them itself. What its agent may do is among them, so that it may do no more.
var sharedKeys = []string{"agent", "prompt", "tools", "model", "max_tokens", "max_turns", "effort", "thinking", "temperature", "allow", "reads", "runner", "isolation", "base"}

// conversations gives the steps of a level, and of those within it, that continue others
// the settings of those.
func (p *reader) conversations(l *level) {
	for _, d := range l.drafts {
		p.continued(d)
		if d.body != nil {
			p.conversations(d.body)
		}
	}
}

// continued finds the step that d continues, and gives d its settings.
func (p *reader) continued(d *draft) {
	n := d.fields.given("continue")
	if n == nil || d.resolved {
		return
	}
	d.resolved, p.continuing = true, true
	if d.kind() != kindAgent {
		return // see kind
	}
	for _, key := range ownKeys {
		if own := d.fields.given(key); own != nil {
			hint := "remove " + key + ", or give the output to another agent with ${{ steps.ID.output }}"
			if key == "prompt" {
				hint = "write what it is asked next under task"
			}
			p.fail(own, nil, hint, "%s continues a conversation, which keeps its agent and model, and cannot have %s", d.of(), key)
			if key == "prompt" && d.fields.given("task") == nil { // one mistake, one error
				d.fields.names[slices.Index(d.fields.names, key)] = "task"
				continue
			}
			d.fields = d.fields.without(key)
		}
	}
	if of := p.continuable(d, n); of != nil {
		p.continued(of)
		d.continues, d.root = of, cmp.Or(of.root, of)
		for _, key := range sharedKeys {
			if given := of.fields.given(key); given != nil && d.fields.given(key) == nil {
				if d.fields.get(key) != nil { // null
					d.fields = d.fields.without(key)
				}
				d.fields.names, d.fields.values = append(slices.Clip(d.fields.names), key), append(slices.Clip(d.fields.values), given)
			}
		}
	}
}

// continuable returns the step that d names under continue; nil, and an error, if it
// has no conversation that d could continue.
func (p *reader) continuable(d *draft, n *yaml.Node) *draft {
	before := p.failures
	id := p.plain(n, "continue")
	home := p.scope.home[id]
	switch {
	case p.failures > before:
		return nil
	case id == d.ID && id != "":
		p.fail(n, ErrCycle, "name another step", "step %s continues itself", quote(id))
		return nil
	case home == nil:
		p.fail(n, ErrUnknownDependency, p.suggester.didYouMean(id, p.scope.names["steps"]), "step %s, which %s continues, does not exist", quote(id), d.of())
		return nil
	case !(view{scope: p.scope, level: d.level}).sees(home):
		hint := "continue it in a step beside it, under steps of " + quote(home.owner.ID)
		p.fail(n, ErrUnknownDependency, hint, "step %s is inside step %s, and its conversation is only known there", quote(id), quote(home.owner.ID))
		return nil
	}
	of := home.find(id)
	if kind := of.kind(); kind != kindAgent {
		p.fail(n, nil, "name a step with an agent and a task", "step %s, which %s continues, has no conversation: it has %s and no agent", quote(id), d.of(), kind)
		return nil
	}
	if of.fields.given("command") != nil {
		p.fail(n, nil, "give that step a task", "step %s, which %s continues, has a command, whose tools and model are its alone", quote(id), d.of())
		return nil
	}
	if r := of.fields.given("runner"); r != nil && r.Value == string(RunnerClaudeCode) {
		p.fail(n, nil, "remove its runner", "step %s has its conversation in Claude Code, and %s cannot continue it", quote(id), d.of())
		return nil
	}
	for _, key := range []string{"foreach", "matrix", "samples", "loop"} {
		if of.fields.given(key) != nil {
			p.fail(n, nil, "put it and the step that continues it under steps of a step with "+key, "step %s has a conversation for each time that its %s runs it, and %s cannot continue all of them", quote(id), key, d.of())
			return nil
		}
	}
	return of
}

// goOn makes a step wait for the one whose conversation it continues.
func (p *reader) goOn(d *draft, v view) {
	if d.continues == nil {
		return
	}
	n := d.fields.given("continue")
	waiter, why := v.waiter(d, d.continues.ID)
	if why != "" {
		p.fail(n, ErrCycle, v.hintFor(d, d.continues.ID), "%s", why)
		return
	}
	d.Continue, d.continues.Continued = d.continues.ID, true
	p.later = append(p.later, func() {
		if of := d.continues; of.Fallback != "" {
			hint := "remove the fallback, or give the output to an agent with ${{ steps." + of.ID + ".output }}"
			p.fail(n, nil, hint, "%s has a fallback, so that its result may be that of another conversation, and %s cannot continue it", of.of(), d.of())
		}
	})
	if waiter != nil {
		waiter.wait(d.Continue, waitRead)
	}
}
