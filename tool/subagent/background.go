package subagent

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/tool"
	"github.com/claude-force/claude-force/toolset"
)

// background is the agents that work in the background of one task.
type background struct {
	session *toolset.Session

	mu      sync.Mutex // guards the fields below
	agents  []*helper  // in the order of their starts, whose notes were not returned
	closing bool
}

// helper is an agent in the background.
type helper struct {
	id, which, about string

	cancel  context.CancelFunc
	stopped bool          // by TaskStop; guarded by background
	done    chan struct{} // closed once the fields below are set
	result  tool.Result
	inTurns *journal.Paid
	err     error
}

// Beginnings of facts by which another process knows the agents that the one before
// it started, and those of them whose end the model has read.
const (
	startedFact = "agent in the background: "
	endedFact   = "end of the agent in the background: "
)

// start lets an agent work beside its task and returns the result of the call.
func (b *background) start(ctx context.Context, env *tool.Env, which, about string, run func(context.Context) (tool.Result, *journal.Turns, error)) tool.Result {
	// Where there is a journal the id is the same in a re-run, so that the cache has the
	// answer to the result.
	h := &helper{id: "a" + callName(journal.TurnsOf(ctx), "background")[:8], which: which, about: strings.Join(strings.Fields(about), " "), done: make(chan struct{})}
	ctx, h.cancel = context.WithCancel(ctx)
	env.Remember(startedFact + h.id + " " + which)
	b.mu.Lock()
	b.agents = append(b.agents, h)
	b.mu.Unlock()
	go func() {
		defer close(h.done)
		defer h.cancel()
		defer func() {
			if p := recover(); p != nil {
				h.err = fmt.Errorf("the agent %s failed: %v", which, p)
			}
		}()
		var turns *journal.Turns
		if h.result, turns, h.err = run(ctx); turns != nil {
			h.inTurns = turns.Paid()
		}
	}()
	return tool.Result{Blocks: []llm.Block{llm.TextBlock(fmt.Sprintf("The agent %s works in the background with ID %s. Its report comes when it has ended; do not wait for it in another way. TaskStop ends it.", which, h.id))}}
}

// restored takes in what another process did. An agent that it started and whose end
// it did not report has ended with it.
func (b *background) restored(fact string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if text, ok := strings.CutPrefix(fact, startedFact); ok {
		id, which, _ := strings.Cut(text, " ")
		h := &helper{id: id, which: which, cancel: func() {}, done: make(chan struct{})}
		h.err = fmt.Errorf("the agent %s was interrupted: the process ended in which it worked, so there is no report. What it did until then stays: look before you start it again", which)
		close(h.done)
		b.agents = append(b.agents, h)
	}
	if id, ok := strings.CutPrefix(fact, endedFact); ok {
		for i, h := range b.agents {
			if h.id == id {
				b.agents = append(b.agents[:i:i], b.agents[i+1:]...)
				break
			}
		}
	}
}

// notes returns the reports of agents that have ended. It is a [toolset.Noter].
func (b *background) notes(ctx context.Context, wait bool) ([]task.Note, error) {
	notes, err := b.ended(ctx)
	if err != nil || len(notes) > 0 || notes == nil || !wait {
		return notes, err
	}
	bounded, cancel := toolset.Bounded(ctx)
	defer cancel()
	if !b.waitForOne(bounded) && ctx.Err() == nil {
		b.session.Notice(ctx, fmt.Sprintf("an agent that %s started in the background did not end in time, and was ended with the task", b.session.Agent.Name))
	}
	return b.ended(ctx)
}

// waitForOne waits until an agent has ended, and reports false if ctx did before.
func (b *background) waitForOne(ctx context.Context) bool {
	b.mu.Lock()
	ended := make(chan struct{}, len(b.agents))
	for _, h := range b.agents {
		go func() {
			select {
			case <-h.done:
				ended <- struct{}{}
			case <-ctx.Done():
			}
		}()
	}
	b.mu.Unlock()
	select {
	case <-ended:
		return true
	case <-ctx.Done():
		return false
	}
}

// ended returns the notes of the agents that have ended, which are dropped; nil if
// there is no agent.
func (b *background) ended(ctx context.Context) ([]task.Note, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.agents) == 0 {
		return nil, nil
	}
	var ended, remain []*helper
	for _, h := range b.agents {
		select {
		case <-h.done:
			ended = append(ended, h)
		default:
			remain = append(remain, h)
		}
	}
	notes := []task.Note{}
	for _, h := range ended {
		if !b.closing && !h.stopped && llm.IsDrained(h.err) {
			return nil, h.err // the task stops too, and goes on in another process
		}
		notes = append(notes, h.note())
	}
	if !b.closing && ctx.Err() != nil {
		return nil, context.Cause(ctx) // some may have ended for that
	}
	b.agents = remain
	return notes, nil
}

// note returns what the model reads of an agent that has ended.
func (h *helper) note() task.Note {
	status := "completed"
	text := ""
	for _, block := range h.result.Blocks {
		text += block.Text
	}
	switch {
	case h.stopped:
		status, text = "stopped", "The agent was ended."
	case h.err != nil:
		status, text = "failed", h.err.Error()
	}
	summary := "The agent " + h.which + " in the background has ended."
	if h.about != "" {
		summary = fmt.Sprintf("The agent %s in the background (%s) has ended.", h.which, h.about)
	}
	text = fmt.Sprintf("<task-notification>\n<task-id>%s</task-id>\n<status>%s</status>\n<summary>%s</summary>\n<result>\n%s\n</result>\n</task-notification>", h.id, status, summary, text)
	return task.Note{Blocks: []llm.Block{llm.TextBlock(text)}, Facts: []string{endedFact + h.id}, Spent: h.result.Spent, InTurns: h.inTurns}
}

// stop ends an agent for TaskStop.
func (b *background) stop(id string) (string, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, h := range b.agents {
		if h.id != id {
			continue
		}
		select {
		case <-h.done:
			return fmt.Sprintf("The agent with ID %s has ended. Its report comes by itself.", id), true
		default:
		}
		h.stopped = true
		h.cancel()
		return fmt.Sprintf("The agent with ID %s was ended.", id), true
	}
	return "", false
}

// close ends the agents and waits for them. Their notes stay, for what they took.
func (b *background) close() error {
	b.mu.Lock()
	b.closing = true
	agents := b.agents
	b.mu.Unlock()
	for _, h := range agents {
		h.cancel()
	}
	for _, h := range agents {
		<-h.done
	}
	return nil
}
