//go:build linux

package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/claude-force/claude-force/bench/internal/child"
)

// beInside runs the first process of the namespaces: it starts the stores, the service and the
// machines, and compares what they have counted.
func beInside(ctx context.Context, text string) error {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1) // and with it all that was started
	}()
	var opts options
	if err := json.Unmarshal([]byte(text), &opts); err != nil {
		return fmt.Errorf("reading the options: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := ownFiles(true); err != nil {
		return err
	}
	b := &bench{opts: &opts, job: machineJob{Options: opts, Binary: filepath.Join(scratch, "claude-force")}}
	if err := child.Build(ctx, scratch, map[string]string{"claude-force": "cmd/claude-force"}); err != nil {
		return err
	}
	if err := makeBridge(ctx); err != nil {
		return err
	}
	stop, err := b.startStores(ctx)
	if err != nil {
		return err
	}
	defer stop()
	cost, err := b.startService(ctx)
	if err != nil {
		return err
	}
	b.budget = int64(opts.prompts()) / 10 * cost / 2
	if err := b.makeKeys(ctx); err != nil {
		return err
	}
	if err := b.run(ctx); err != nil {
		return err
	}
	ledger, err := b.ledger(ctx)
	if err != nil {
		return err
	}
	b.seen.budgets, b.seen.requests = ledger, b.service.counted()
	rep := compare(&opts, &b.seen)
	rep.print()
	if len(rep.problems) > 0 {
		return fmt.Errorf("%d problems", len(rep.problems))
	}
	return nil
}

// bench is one run of the program, from inside of the namespaces.
type bench struct {
	opts    *options
	service *service
	job     machineJob // of all machines
	budget  int64      // of the key that has less than it needs, in billionths of a dollar
	seen    seen
}

// startStores starts the database, makes its tables, and starts the other store.
// Both are reached by machines.
func (b *bench) startStores(ctx context.Context) (stop func(), err error) {
	postgres, err := child.Postgres(ctx, "-listen", hub)
	if err != nil {
		return nil, err
	}
	b.job.Store = postgres.URL
	redis, err := child.Redis(ctx, scratch, net.JoinHostPort(hub, "6379"))
	if err == nil {
		b.job.Redis = redis.URL // it ends with the namespace
		_, err = b.command(ctx, "store", "migrate")
	}
	if err != nil {
		postgres.Stop()
	}
	return postgres.Stop, err
}

// startService starts the service, and returns what an answer costs.
func (b *bench) startService(ctx context.Context) (cost int64, err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(hub, "0"))
	if err != nil {
		return 0, err
	}
	b.service, cost = newService(ctx, b.opts.RPM, b.opts.Burst)
	certificate, err := newCertificate(hub, trusted)
	if err != nil {
		return 0, err
	}
	b.job.Service = "https://" + listener.Addr().String()
	web := &http.Server{Handler: b.service, ReadHeaderTimeout: time.Minute, TLSConfig: &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12}}
	go func() { _ = web.ServeTLS(listener, "", "") }() // until the end of the process
	return cost, nil
}

// command runs the program and returns what it prints.
func (b *bench) command(ctx context.Context, args ...string) (string, error) {
	home := filepath.Join(scratch, "admin")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, b.job.Binary, args...)
	var said bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stderr = home, b.job.environment(home), &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, &said)
	}
	return strings.TrimSpace(string(out)), nil
}

// makeKeys makes the keys, with a team of its own for each. All but one have budgets that
// they cannot use up.
func (b *bench) makeKeys(ctx context.Context) (err error) {
	b.job.Keys = map[string]string{}
	for _, name := range keyNames {
		budget := "1000/30d"
		if name == keySmall {
			budget = strconv.FormatFloat(float64(b.budget)/1e9, 'f', -1, 64) + "/30d"
		}
		if b.job.Keys[name], err = b.command(ctx, "keys", "create", "--name", name, "--team", name, "--budget", budget); err != nil {
			return err
		}
	}
	_, err = b.command(ctx, "keys", "budget", "--all", "10000/30d")
	return err
}

// ledger returns what the budgets are and say was spent, by the name of the key; that of all
// keys has no name.
func (b *bench) ledger(ctx context.Context) (map[string]budget, error) {
	out, err := b.command(ctx, "keys", "budget", "--json")
	if err != nil {
		return nil, err
	}
	var list []struct {
		Level    string  `json:"level"`
		Name     string  `json:"name"`
		USD      float64 `json:"usd"`
		Spent    float64 `json:"spent_usd"`
		Reserved float64 `json:"reserved_usd"`
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		return nil, err
	}
	nano := func(usd float64) int64 { return int64(usd*1e9 + 0.5) }
	budgets := map[string]budget{}
	for _, l := range list {
		name := l.Name
		if l.Level == "all" {
			name = ""
		}
		budgets[name] = budget{nano(l.USD), nano(l.Spent), nano(l.Reserved)}
	}
	return budgets, nil
}

// run starts the machines, has their clients make all calls, and cuts the last machine off
// when a third of them has been made.
func (b *bench) run(ctx context.Context) error {
	// The last machine takes no calls of the second queue.
	common, still, err := b.queues()
	if err != nil {
		return err
	}
	queues := []*os.File{common.from, still.from}
	started := make([]*process, machines)
	outs := make([]*bufio.Reader, machines)
	for n := range started {
		job := b.job
		job.Machine, job.Queues = n, len(queues)
		if n == machines-1 {
			job.Queues = 1
		}
		text, err := json.Marshal(&job)
		if err != nil {
			return err
		}
		if started[n], err = startMachine(ctx, queues[:job.Queues], "-machine", string(text)); err != nil {
			return err
		}
		defer started[n].stop()
		outs[n] = bufio.NewReader(started[n].out)
		if err := plug(ctx, n, started[n].cmd.Process.Pid); err != nil {
			return err
		}
		fmt.Fprintln(started[n].in, sayPlugged)
	}
	for n, out := range outs {
		if line, err := out.ReadString('\n'); strings.TrimSpace(line) != sayServing {
			return fmt.Errorf("machine %d does not serve: %w", n, err)
		}
	}
	put := make(chan error, 1)
	go func() { put <- b.put(common, still) }()
	third := b.service.reach(b.opts.prompts() / 3)
	b.seen.began = time.Now()
	for _, p := range started {
		fmt.Fprintln(p.in, sayGo)
	}
	cut := make(chan error, 1)
	go func() { cut <- b.cutAndHeal(ctx, third) }()
	b.seen.outcomes = make([]outcome, machines)
	for n, out := range outs {
		line, err := out.ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, &b.seen.outcomes[n])
		}
		if err != nil {
			return fmt.Errorf("machine %d: %w", n, errors.Join(err, ctx.Err()))
		}
	}
	b.seen.ended = time.Now()
	return errors.Join(<-cut, <-put)
}

// queues returns the queue of most calls, and that of those which the machine that is cut off
// does not make.
func (b *bench) queues() (common, still *queue, err error) {
	if common, err = newQueue(); err == nil {
		still, err = newQueue()
	}
	return common, still, err
}

// put puts all calls into queues, and ends them. Both have the order of the plan.
func (b *bench) put(common, still *queue) (err error) {
	_ = common.from.Close() // the machines have them
	_ = still.from.Close()
	lists := map[*queue][]int{}
	for _, prompt := range b.opts.plan() {
		to := common
		if keyOf(prompt) == keyStill {
			to = still
		}
		lists[to] = append(lists[to], prompt)
	}
	errs := make(chan error)
	for q, list := range lists {
		go func() {
			var err error
			for _, prompt := range list {
				err = cmp.Or(err, put(q.to, prompt))
			}
			errs <- errors.Join(err, q.to.Close())
		}()
	}
	return errors.Join(<-errs, <-errs)
}

// cutAndHeal cuts the last machine off for a time, once when is closed.
func (b *bench) cutAndHeal(ctx context.Context, when <-chan struct{}) error {
	if b.opts.Cut == 0 {
		return nil
	}
	select {
	case <-when:
	case <-ctx.Done():
		return ctx.Err()
	}
	b.seen.cut = time.Now()
	if err := cutOff(ctx, machines-1); err != nil {
		return err
	}
	select {
	case <-time.After(b.opts.Cut):
	case <-ctx.Done():
	}
	b.seen.healed = time.Now()
	return heal(ctx, machines-1)
}
