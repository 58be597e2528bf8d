package engine

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"slices"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/workflow"
)

// Conversation is what the agent of a finished step was asked and said.
type Conversation struct {
	Messages []llm.Message
	Model    string // id of the model that was asked; empty if unknown

	sum  llm.Key // of all of it
	kept string  // the turns that the step added, as the journal has them
	how  journal.Kept
}

// follow returns the conversation that continues the one before, which may be nil, with the
// turns that a journal has.
func follow(before *Conversation, kept string, how journal.Kept) (*Conversation, error) {
	c := &Conversation{kept: kept, how: how}
	if err := json.Unmarshal([]byte(kept), &c.Messages); err != nil {
		return nil, err
	}
	sum := sha256.New()
	if before != nil && !how.Instead {
		c.Messages = append(slices.Clip(before.Messages), c.Messages...)
		sum.Write(before.sum[:])
	}
	sum.Write([]byte(kept))
	sum.Sum(c.sum[:0])
	return c, nil
}

// keep sets what an attempt gives its conversation to, of a step that another continues.
// The function that it returns gives that conversation once the attempt has an answer.
func (d *draft) keep(a *Attempt) func(out llm.Outcome) (*Conversation, error) {
	if !d.step.Continued {
		return func(llm.Outcome) (*Conversation, error) { return nil, nil }
	}
	var turns []llm.Message
	var how journal.Kept
	a.Keep = func(added []llm.Message, instead bool) { turns, how.Instead = added, instead }
	asked := a.Prompt()
	return func(out llm.Outcome) (*Conversation, error) {
		if turns == nil {
			turns = []llm.Message{llm.UserText(asked)}
			if out.Output != "" {
				turns = append(turns, llm.Message{Role: llm.RoleAssistant, Content: []llm.Block{llm.TextBlock(out.Output)}})
			}
		}
		kept, err := json.Marshal(turns)
		if err != nil {
			return nil, llm.NewError(llm.CodeInternal, "the conversation of step "+d.path+" cannot be kept", err)
		}
		c, err := follow(d.continues, string(kept), how)
		if err != nil {
			return nil, llm.NewError(llm.CodeInternal, "the conversation of step "+d.path+" cannot be kept", err)
		}
		c.Model = cmp.Or(d.identity.Model, out.Model)
		return c, nil
	}
}

// event returns the event that has the conversation of a unit.
func (c *Conversation) event(path, item string) journal.Event {
	return journal.Event{Type: journal.Conversation, Step: path, Item: item, Output: c.kept, Detail: journal.Detail(c.how)}
}

// remember restores the conversation of a unit from a journal.
func (u *unit) remember(was *journal.UnitState) error {
	if !u.step.Continued || was.Conversation == "" {
		return nil
	}
	before, err := u.continues(u.step)
	if err == nil {
		u.talk, err = follow(before, was.Conversation, was.Kept)
	}
	if err != nil {
		return invalid("restoring the conversation of step "+u.path, err)
	}
	u.talk.Model = was.Started.Model
	return nil
}

// forgot reports whether a unit must be called again although a journal has its answer:
// another step continues its conversation, which that journal does not have.
func (u *unit) forgot(was *journal.UnitState) bool {
	return u.step.Continued && was.Conversation == ""
}

// continues returns the conversation that the step of a unit continues; nil if it
// begins one.
func (u *unit) continues(s *workflow.Step) (*Conversation, error) {
	if s.Continue == "" {
		return nil, nil
	}
	of := u.frame.find(s.Continue)
	if of == nil || of.talk == nil {
		return nil, errors.New("step " + s.Continue + " has no conversation to continue")
	}
	return of.talk, nil
}

// find returns the step with the id in the frame or in those around it.
func (f *frame) find(id string) *node {
	for ; f != nil; f = f.owner.frame {
		if n := f.nodes[id]; n != nil {
			return n
		}
		if f.owner == nil {
			break
		}
	}
	return nil
}

// silent returns the step that n continues if that did not complete, so that there is
// nothing to continue; nil otherwise.
func (n *node) silent() *node {
	if n.step.Continue == "" {
		return nil
	}
	if of := n.frame.find(n.step.Continue); of != nil && of.res.Status != StatusCompleted {
		return of
	}
	return nil
}
