//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/claude-force/claude-force/bench/internal/child"
)

// draining is how long a server may take to end after SIGTERM: longer than it gives what is
// in flight.
const draining = 2 * time.Minute

// After so many restarts of an upgrade one in four kills the server instead of draining it, whose
// calls in flight are then charged in full.
const drained = 6

// versions are the binaries of an upgrade, and what is expected of them.
type versions struct {
	old, new string

	key     string // name of the clients' key, which has a budget
	webhook string // name of the webhook
}

// buildVersions builds the binaries of an upgrade that are not given. This version is the
// new one of an older binary, and the old one of the next version, which is this one with
// one more migration of each schema.
func buildVersions(ctx context.Context, dir, old string) (v versions, err error) {
	v = versions{key: "load", webhook: "bench"}
	this := filepath.Join(dir, "claude-force")
	if old != "" {
		if v.old, err = filepath.Abs(old); err == nil {
			_, err = os.Stat(v.old)
		}
		v.new = this
		return v, err
	}
	v.old, v.new = this, filepath.Join(dir, "next")
	return v, child.Build(ctx, dir, map[string]string{"next": "cmd/claude-force"}, "-tags", "nextversion")
}

// prepareUpgrade makes the clients' key, whose budget counts what they spend, and a webhook,
// and has the clients use the key.
func (l *loop) prepareUpgrade(ctx context.Context, v versions) error {
	program := &l.hosts[0].program
	token, err := program.Command(ctx, "keys", "create", "--name", v.key, "--budget", "1000/30d").Output()
	if err != nil {
		return fmt.Errorf("keys create: %w", err)
	}
	l.key = strings.TrimSpace(string(token))
	return program.Read(ctx, nil, "webhooks", "add", v.webhook, l.service.URL+"/hook", "--event", "run.finished", "--secret-env", hookSecret, "--json")
}

// hookSecret is the variable of the webhook's secret.
const hookSecret = "BENCH_HOOK_SECRET"

// upgrade migrates the store with the new version while the old one works, then replaces
// the servers one after the other, back, and so on, n times in all and until all are new.
func (l *loop) upgrade(ctx context.Context, v versions, n int) error {
	if err := l.pause(ctx); err != nil {
		return err
	}
	next := l.hosts[0].program
	next.Binary = v.new
	if out, err := next.Command(ctx, "store", "migrate").CombinedOutput(); err != nil {
		return fmt.Errorf("store migrate of the new version: %w: %s", err, out)
	}
	isNew := func(h *host) bool { return h.program.Binary == v.new }
	binary := v.new
	for l.rep.Kills < n || slices.ContainsFunc(l.hosts, func(h *host) bool { return !isNew(h) }) {
		if err := l.pause(ctx); err != nil {
			return err
		}
		h := l.hosts[l.rep.Kills%len(l.hosts)]
		h.program.Binary = binary
		l.rep.Kills++
		end := h.kill
		if l.rep.Kills <= drained || l.rep.Kills%4 != 0 {
			end = h.drain
			l.rep.Drained++
		}
		if err := end(); err != nil {
			l.say(&l.rep.Wrong, "%v", err)
		}
		if err := h.start(ctx); err != nil {
			return err
		}
		if !slices.ContainsFunc(l.hosts, func(h *host) bool { return h.program.Binary != binary }) {
			l.rep.Rounds++
			if binary == v.new {
				binary = v.old
			} else {
				binary = v.new
			}
		}
	}
	return l.pause(ctx)
}

// pause waits for a random time, in which clients work.
func (l *loop) pause(ctx context.Context) error {
	select {
	case <-time.After(time.Duration(l.random.Int64N(int64(longest)))):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// drain ends the process of the server as a balancer's operator does.
func (h *host) drain() error {
	if err := syscall.Kill(-h.cmd.Process.Pid, syscall.SIGTERM); err != nil {
		return err
	}
	late := time.AfterFunc(draining, func() { _ = child.Kill(h.cmd) })
	err := h.cmd.Wait()
	stopped := late.Stop()
	h.cmd = nil
	if !stopped {
		return fmt.Errorf("a server has not ended within %s: %w", draining, err)
	}
	return nil
}

// hook is a webhook that the service was sent.
type hook struct {
	ID  string `json:"id"`
	Run string `json:"run"`
}

// callCost is what an answer of the proxy costs, of an older model than that of runs: 1 and 5
// dollars for a million tokens.
const callCost = 1000*1e-6 + 100*5e-6

// compareUpgrade compares what the key's budget says with what the service was asked by its
// jobs, and the webhooks with the runs that have ended.
func (l *loop) compareUpgrade(ctx context.Context, v versions) error {
	var asked []request
	if err := l.service.Get(ctx, "/log", &asked); err != nil {
		return err
	}
	whole := true
	for _, r := range asked {
		cost := 0.0
		if strings.HasPrefix(r.Job, "job-proxy-") {
			cost = callCost
		}
		for id := range l.runs {
			if strings.HasPrefix(r.Job, "job-"+id+"-") {
				cost = answerCost
			}
		}
		if r.Sent {
			l.rep.Sent += cost
		}
		whole = whole && (r.Sent || cost == 0)
	}
	var err error
	if l.rep.Charged, err = l.spent(ctx, v); err != nil {
		return err
	}
	// What the service sent is charged. A request that was cut off, or whose server was
	// killed before it had the answer, is charged in full, which is more than it costs.
	const billionth = 1e-9
	exact := whole && l.rep.Drained == l.rep.Kills
	if more := l.rep.Charged - l.rep.Sent; more < -billionth || exact && more > billionth {
		l.say(&l.rep.Unbilled, "the budget was charged %.9f dollars; the service sent answers of %.9f", l.rep.Charged, l.rep.Sent)
	}
	return l.compareHooks(ctx)
}

// spent returns what the key has spent, in dollars.
func (l *loop) spent(ctx context.Context, v versions) (float64, error) {
	var budgets []struct {
		Name  string  `json:"name"`
		Spent float64 `json:"spent_usd"`
	}
	if err := l.hosts[0].program.Read(ctx, &budgets, "keys", "budget", "--json"); err != nil {
		return 0, err
	}
	for _, b := range budgets {
		if b.Name == v.key {
			return b.Spent, nil
		}
	}
	return 0, errors.New("the key of the clients has no budget")
}

// compareHooks waits until each run that clients saw end was sent to the webhook. It counts
// runs that were not, and those of which two messages with different ids came.
func (l *loop) compareHooks(ctx context.Context) error {
	for until := time.Now().Add(settling); ; time.Sleep(100 * time.Millisecond) {
		var hooks []hook
		if err := l.service.Get(ctx, "/hooks", &hooks); err != nil {
			return err
		}
		ids := map[string]string{}
		two := 0
		for _, h := range hooks {
			if id := ids[h.Run]; id != "" && id != h.ID {
				two++
			}
			ids[h.Run] = h.ID
		}
		missing := 0
		for id := range l.runs {
			if ids[id] == "" {
				missing++
			}
		}
		if missing > 0 && time.Now().Before(until) {
			continue
		}
		l.rep.Hooks = len(hooks)
		if missing > 0 {
			l.rep.NoHook += missing - 1
			l.say(&l.rep.NoHook, "%d runs have ended and were not sent to the webhook", missing)
		}
		if two > 0 {
			l.rep.Twice += two - 1
			l.say(&l.rep.Twice, "%d runs were sent to the webhook twice, as two messages", two)
		}
		return nil
	}
}
