package pipeline

import (
	"errors"
	"slices"
	"sync"

	"github.com/claude-force/claude-force/llm"
)

// recentTasks is how many of the latest tasks of an agent say how it behaves.
const recentTasks = 50

// turns are how many turns the latest tasks of agents with tools had. The zero value
// is ready, and it is safe for concurrent use.
type turns struct {
	mu    sync.Mutex // guards the fields below
	tasks map[turnsKey][]int
	known map[turnsKey]bool // what earlier processes have recorded is among tasks
}

type turnsKey struct{ agent, model string }

// add adds a task. One that is stored elsewhere is left to the read of that.
func (t *turns) add(agent, model string, n int, stored bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k := (turnsKey{agent, model}); !stored || t.known[k] {
		t.put(k, n)
	}
}

// put adds tasks, the oldest first. The caller holds t.mu.
func (t *turns) put(k turnsKey, list ...int) {
	if t.tasks == nil {
		t.tasks, t.known = map[turnsKey][]int{}, map[turnsKey]bool{}
	}
	all := append(t.tasks[k], list...)
	t.tasks[k] = all[max(len(all)-recentTasks, 0):]
}

// after returns how many tasks had a turn, and how many of these had a further turn. What
// earlier processes have recorded is read once, with read.
func (t *turns) after(k turnsKey, turn int, read func() []int) (had, went int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.known[k] {
		t.put(k, read()...)
		t.known[k] = true
	}
	for _, n := range t.tasks[k] {
		if n >= turn {
			had++
		}
		if n > turn {
			went++
		}
	}
	return had, went
}

// continues reports whether the conversation of an agent with tools is worth writing to
// the service's prompt cache at the end of a turn, which its next turn would read. It is
// if the share of the agent's tasks that had a turn after that is so high that the
// reads save more than the writes cost. Before it is known, one task counts
// as having continued, so that an agent which never does costs four writes in vain.
func (p *Pipeline) continues(req *llm.Request, turn int) bool {
	had, went := p.turns.after(turnsKey{req.Agent, req.Model}, turn, func() []int { return p.recordedTurns(req.Agent, req.Model) })
	const tokens = 100_000
	prices := p.Prices()
	plain, ok := prices.CostOf(req.Model, llm.Usage{InputTokens: tokens}, llm.Rate{})
	write, _ := prices.CostOf(req.Model, llm.Usage{CacheWrite5m: tokens}, llm.Rate{})
	read, _ := prices.CostOf(req.Model, llm.Usage{CacheReadTokens: tokens}, llm.Rate{})
	if !ok || write <= plain {
		return true
	}
	// Written now, the next turn reads it; else that one writes it, for those after it.
	return llm.Money(went+1)*(write-read) >= llm.Money(had+1)*(write-plain)
}

// recordedTurns returns how many turns the latest recorded tasks of an agent had, the
// oldest first; nothing if that cannot be read.
func (p *Pipeline) recordedTurns(agent, model string) []int {
	if p.calls == nil {
		return nil
	}
	store, err := OpenCalls(p.background, p.config)
	if err != nil {
		return nil
	}
	list, err := store.TaskTurns(p.background, p.opts.Project, agent, model, recentTasks)
	if err := errors.Join(err, store.Close()); err != nil {
		return nil
	}
	slices.Reverse(list)
	return list
}
