package main

import (
	"bufio"
	"context"
	"os/user"
	"strings"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
)

// asker puts a run's questions to whoever sits at the terminal. Where there is
// none, it says how to answer from another.
type asker struct {
	*app
	ctx   context.Context // of the command; ends the sending of an answer
	orch  *claudeforce.Orchestrator
	id    string
	lines chan string // what was typed; nil until a question was asked
}

func (a *app) newAsker(ctx context.Context, orch *claudeforce.Orchestrator) *asker {
	return &asker{app: a, ctx: ctx, orch: orch}
}

func (k *asker) begin(id string) { k.id = id }

func (k *asker) observe(ev engine.Event) {
	if ev.Asked == nil {
		return
	}
	if !k.terminal || !k.typed {
		name := ev.Path
		if ev.Item != "" {
			name += "/" + ev.Item
		}
		k.say("answer with: claude-force runs approve %s %s [--deny]", k.id, name)
		return
	}
	if k.lines == nil {
		k.lines = make(chan string)
		go func() { // reads until the process ends; a read of a terminal cannot be called off
			scanner := bufio.NewScanner(k.stdin)
			for scanner.Scan() {
				select {
				case k.lines <- scanner.Text():
				case <-k.ctx.Done():
					return
				}
			}
		}()
	}
	k.say("%s: %s [y/N]", ev.Name(), ev.Asked.Message)
	go func() { // ends with the answer or the command
		select {
		case line := <-k.lines:
			yes := strings.EqualFold(strings.TrimSpace(line), "y") || strings.EqualFold(strings.TrimSpace(line), "yes")
			if err := k.orch.Decide(k.ctx, k.id, ev.Path, ev.Item, journal.Decision{Approved: yes, By: whoami()}); err != nil {
				k.say("claude-force: %v", err)
			}
		case <-k.ctx.Done():
		}
	}()
}

// whoami is the user's name; empty if it is not known.
func whoami() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}
