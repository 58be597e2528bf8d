//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsdb"
	"github.com/claude-force/claude-force/bench/suite"
	"github.com/claude-force/claude-force/llm"
)

const span = 90 * 24 * time.Hour

// calls makes n calls over 90 days until now, in the order of time.
func calls(n int) func(yield func(*analytics.Call) bool) {
	return func(yield func(*analytics.Call) bool) {
		rng := rand.New(rand.NewPCG(1, uint64(n)))
		start := time.Now().Add(-span)
		for i := range n {
			c := analytics.Call{
				Time: start.Add(time.Duration(float64(span) / float64(n) * float64(i))), Project: "project-" + strconv.Itoa(rng.IntN(3)),
				Agent: "agent-" + strconv.Itoa(rng.IntN(20)), Asked: "haiku", Model: [...]string{"haiku", "sonnet", "opus"}[rng.IntN(3)],
				Usage: llm.Usage{InputTokens: 200 + rng.IntN(4000), OutputTokens: 50 + rng.IntN(1500)}, Attempts: 1, StopReason: "end_turn",
			}
			if i%4 != 0 {
				c.Workflow, c.Step = "workflow-"+strconv.Itoa(i/8%5), "step-"+strconv.Itoa(i%8)
				c.Run = "run_" + strconv.Itoa(i/8)
			}
			suite.DrawEnd(rng, &c)
			if !yield(&c) {
				return
			}
		}
	}
}

// fill makes a store of n calls, unless there is one.
func fill(ctx context.Context, path string, n int) (err error) {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	began := time.Now()
	s, err := callsdb.Open(path + ".new")
	if err != nil {
		return err
	}
	batch := make([]analytics.Call, 0, 1000)
	for c := range calls(n) {
		if batch = append(batch, *c); len(batch) == cap(batch) {
			if err := s.Add(ctx, batch...); err != nil {
				return errors.Join(err, s.Close())
			}
			batch = batch[:0]
		}
	}
	if err := errors.Join(s.Add(ctx, batch...), s.Close()); err != nil {
		return err
	}
	conn, err := sqlite3.Open(path + ".new")
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	if err := errors.Join(conn.Exec(`PRAGMA wal_checkpoint(TRUNCATE)`), conn.Close()); err != nil {
		return fmt.Errorf("finishing the store: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("finishing the store: %w", err)
	}
	fmt.Fprintf(os.Stderr, "filled a store with %d calls in %s\n", n, time.Since(began).Round(time.Second))
	return nil
}

// verbs are the questions that are asked as commands. The first is the one that
// is gated, and asked in other ways too.
var verbs = [...][]string{{"summary", "--days", "7"}, {"agents"}, {"costs", "--by", "day"}}

// measured is what one number of calls gives.
type measured struct {
	n           int
	commands    [len(verbs)]time.Duration
	inside, raw time.Duration
	scan        time.Duration // 0 if it was not measured
	memory      int64         // of the first command, in KiB
	size        int64
}

// build builds the command and returns its path.
func build(ctx context.Context, o *options) (binary string, err error) {
	binary = filepath.Join(o.dir, "claude-force")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "./cmd/claude-force")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the command: %w\n%s", err, out)
	}
	return binary, nil
}

func summaries(ctx context.Context, o *options) (bool, error) {
	binary, err := build(ctx, o)
	if err != nil {
		return false, err
	}
	var list []measured
	for _, n := range o.counts {
		home := filepath.Join(o.dir, strconv.Itoa(n))
		if err := os.MkdirAll(home, 0o700); err != nil {
			return false, fmt.Errorf("making a folder: %w", err)
		}
		if err := fill(ctx, filepath.Join(home, "history.db"), n); err != nil {
			return false, err
		}
		m, err := measure(ctx, o, binary, home, n)
		if err != nil {
			return false, err
		}
		list = append(list, m)
	}
	return show(list, o.runs), nil
}

// show prints what was measured, and says whether the target is met.
func show(list []measured, runs int) bool {
	ratio := func(m *measured, verb int) float64 {
		return float64(m.commands[verb]) / float64(list[0].commands[verb])
	}
	fmt.Printf("analytics %s, medians of %d\n", strings.Join(verbs[0], " "), runs)
	fmt.Printf("%12s %10s %10s %8s %10s %10s %12s %12s\n", "calls", "file", "command", "ratio", "memory", "inside", "raw SQL", "JSON lines")
	for i := range list {
		m := &list[i]
		scan := "-"
		if m.scan > 0 {
			scan = m.scan.Round(time.Millisecond).String()
		}
		fmt.Printf("%12d %6d MiB %10s %7.2fx %6d MiB %10s %12s %12s\n", m.n, m.size>>20, m.commands[0].Round(100*time.Microsecond), ratio(m, 0),
			m.memory>>10, m.inside.Round(10*time.Microsecond), m.raw.Round(10*time.Microsecond), scan)
	}
	last := &list[len(list)-1]
	ok := ratio(last, 0) <= growthMost
	fmt.Printf("%d calls take %.2fx as long as %d: %s the target of %.1fx\n", last.n, ratio(last, 0), list[0].n, verdict(ok), growthMost)
	fmt.Printf("\nother questions, of 7 days too\n%12s", "calls")
	for _, verb := range verbs[1:] {
		fmt.Printf(" %16s %8s", strings.Join(verb, " "), "ratio")
	}
	for i := range list {
		fmt.Printf("\n%12d", list[i].n)
		for verb := 1; verb < len(verbs); verb++ {
			fmt.Printf(" %16s %7.2fx", list[i].commands[verb].Round(100*time.Microsecond), ratio(&list[i], verb))
		}
	}
	fmt.Println()
	return ok
}

func measure(ctx context.Context, o *options, binary, home string, n int) (measured, error) {
	m := measured{n: n}
	path := filepath.Join(home, "history.db")
	if info, err := os.Stat(path); err == nil {
		m.size = info.Size()
	}
	f := analytics.Filter{Since: time.Now().Add(-7 * 24 * time.Hour).Truncate(time.Hour)}
	var commands [len(verbs)][]time.Duration
	var inside, raw []time.Duration
	for range o.runs {
		for i, verb := range verbs {
			took, memory, err := asked(ctx, binary, home, verb)
			if err != nil {
				return m, err
			}
			commands[i] = append(commands[i], took)
			if i == 0 {
				m.memory = max(m.memory, memory)
			}
		}
		began := time.Now()
		s, err := callsdb.Open(path)
		if err != nil {
			return m, err
		}
		_, err = s.Summary(ctx, f)
		if err := errors.Join(err, s.Close()); err != nil {
			return m, err
		}
		inside = append(inside, time.Since(began))
	}
	for range min(o.runs, 5) {
		began := time.Now()
		if err := rawSQL(path, f.Since); err != nil {
			return m, err
		}
		raw = append(raw, time.Since(began))
	}
	for i := range commands {
		m.commands[i] = median(commands[i])
	}
	m.inside, m.raw = median(inside), median(raw)
	if n > o.lines {
		return m, nil
	}
	var err error
	m.scan, err = scanLines(filepath.Join(home, "calls.jsonl"), n, f.Since)
	return m, err
}

// asked runs the command, and says how long it took and the most memory it used,
// in KiB.
func asked(ctx context.Context, binary, home string, verb []string, env ...string) (took time.Duration, memory int64, err error) {
	began := time.Now()
	cmd := exec.CommandContext(ctx, binary, append([]string{"analytics"}, verb...)...)
	cmd.Env = append([]string{"CLAUDE_FORCE_HOME=" + home, "HOME=" + home, "PATH=" + os.Getenv("PATH")}, env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, 0, fmt.Errorf("asking for analytics %s: %w\n%s", strings.Join(verb, " "), err, out)
	}
	took = time.Since(began)
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		memory = int64(usage.Maxrss) // an int32 on some platforms
	}
	return took, memory, nil
}

// rawSQL asks the rows what the summary shows, but for the percentiles.
func rawSQL(path string, since time.Time) error {
	conn, err := sqlite3.Open(path)
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	defer conn.Close()
	stmt, _, err := conn.Prepare(`SELECT n.source, count(*), sum(r.code != 0), sum(r.cost), sum(r.saved_cache), sum(r.saved_coalesced), sum(r.saved_prompt), sum(r.saved_batch), sum(r.saved_model),
		sum(r.input), sum(r.output), sum(r.duration), sum(r.alone) FROM call_rows r JOIN call_names n ON n.id = r.name WHERE r.time >= ? GROUP BY n.source`)
	if err != nil {
		return fmt.Errorf("asking in SQL: %w", err)
	}
	defer stmt.Close()
	if err := stmt.BindInt64(1, since.UnixNano()); err != nil {
		return fmt.Errorf("asking in SQL: %w", err)
	}
	for stmt.Step() {
	}
	return stmt.Err()
}
