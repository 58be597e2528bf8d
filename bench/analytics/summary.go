//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/sqlite"
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
			money := analytics.Nanos(c.Usage.InputTokens*1000 + c.Usage.OutputTokens*5000)
			switch rng.IntN(10) {
			case 0, 1, 2, 3:
				c.Source, c.Saved.Cache, c.Duration = llm.SourceCache, money, time.Duration(2e5+1e5*rng.ExpFloat64())
			case 4:
				c.Code, c.Duration = llm.CodeRateLimit, time.Second
			default:
				c.Source, c.Cost, c.Duration = llm.SourceLive, money, time.Duration(math.Exp(21.5+0.6*rng.NormFloat64()))
			}
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
	s, err := sqlite.Open(path + ".new")
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

// measured is what one number of calls gives.
type measured struct {
	n                    int
	command, inside, raw time.Duration
	scan                 time.Duration // 0 if it was not measured
	memory               int64         // of the command, in KiB
	size                 int64
}

// mostLines bounds the JSON lines that are written to be read.
const mostLines = 1_000_000

func summaries(ctx context.Context, dir string, counts []int, runs int) (bool, error) {
	binary := filepath.Join(dir, "claude-force")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "./cmd/claude-force")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return false, fmt.Errorf("building the command: %w\n%s", err, out)
	}
	var list []measured
	for _, n := range counts {
		home := filepath.Join(dir, strconv.Itoa(n))
		if err := os.MkdirAll(home, 0o700); err != nil {
			return false, fmt.Errorf("making a folder: %w", err)
		}
		path := filepath.Join(home, "history.db")
		if err := fill(ctx, path, n); err != nil {
			return false, err
		}
		m, err := measure(ctx, binary, home, path, n, runs)
		if err != nil {
			return false, err
		}
		list = append(list, m)
	}
	fmt.Printf("analytics summary --days 7, medians of %d\n", runs)
	fmt.Printf("%12s %10s %10s %8s %10s %10s %12s %12s\n", "calls", "file", "command", "ratio", "memory", "inside", "raw SQL", "JSON lines")
	for _, m := range list {
		scan := "-"
		if m.scan > 0 {
			scan = m.scan.Round(time.Millisecond).String()
		}
		fmt.Printf("%12d %6d MiB %10s %7.2fx %6d MiB %10s %12s %12s\n", m.n, m.size>>20, m.command.Round(100*time.Microsecond), float64(m.command)/float64(list[0].command),
			m.memory>>10, m.inside.Round(10*time.Microsecond), m.raw.Round(10*time.Microsecond), scan)
	}
	last := list[len(list)-1]
	ratio := float64(last.command) / float64(list[0].command)
	fmt.Printf("%d calls take %.2fx as long as %d: %s the target of %.1fx\n", last.n, ratio, list[0].n, verdict(ratio <= growth), growth)
	return ratio <= growth, nil
}

func measure(ctx context.Context, binary, home, path string, n, runs int) (measured, error) {
	m := measured{n: n}
	if info, err := os.Stat(path); err == nil {
		m.size = info.Size()
	}
	f := analytics.Filter{Since: time.Now().Add(-7 * 24 * time.Hour).Truncate(time.Hour)}
	var command, inside, raw []time.Duration
	for range runs {
		began := time.Now()
		cmd := exec.CommandContext(ctx, binary, "analytics", "summary", "--days", "7")
		cmd.Env = []string{"CLAUDE_FORCE_HOME=" + home, "HOME=" + home, "PATH=" + os.Getenv("PATH")}
		if out, err := cmd.CombinedOutput(); err != nil {
			return m, fmt.Errorf("asking for a summary: %w\n%s", err, out)
		}
		command = append(command, time.Since(began))
		if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			m.memory = max(m.memory, usage.Maxrss)
		}
		began = time.Now()
		s, err := sqlite.Open(path)
		if err != nil {
			return m, err
		}
		if _, err := s.Summary(ctx, f); err != nil {
			return m, errors.Join(err, s.Close())
		}
		if err := s.Close(); err != nil {
			return m, err
		}
		inside = append(inside, time.Since(began))
	}
	for range min(runs, 5) {
		began := time.Now()
		if err := rawSQL(path, f.Since); err != nil {
			return m, err
		}
		raw = append(raw, time.Since(began))
	}
	m.command, m.inside, m.raw = median(command), median(inside), median(raw)
	if n > mostLines {
		return m, nil
	}
	var err error
	m.scan, err = scanLines(filepath.Join(home, "calls.jsonl"), n, f.Since)
	return m, err
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

// line is a call as the first implementation kept it.
type line struct {
	Timestamp string  `json:"timestamp"`
	Agent     string  `json:"agent_name"`
	Success   bool    `json:"success"`
	Millis    float64 `json:"execution_time_ms"`
	Model     string  `json:"model"`
	Input     int     `json:"input_tokens"`
	Output    int     `json:"output_tokens"`
	Cost      float64 `json:"estimated_cost"`
}

// scanLines writes calls as JSON lines and measures one reading of them all.
func scanLines(path string, n int, since time.Time) (time.Duration, error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, fmt.Errorf("writing JSON lines: %w", err)
	}
	defer f.Close()
	out := bufio.NewWriter(f)
	enc := json.NewEncoder(out)
	for c := range calls(n) {
		if err := enc.Encode(line{c.Time.Format(time.RFC3339Nano), c.Agent, c.Code == 0, c.Duration.Seconds() * 1000, c.Model, c.Usage.InputTokens, c.Usage.OutputTokens, c.Cost.USD()}); err != nil {
			return 0, fmt.Errorf("writing JSON lines: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return 0, fmt.Errorf("writing JSON lines: %w", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return 0, fmt.Errorf("reading JSON lines: %w", err)
	}
	began := time.Now()
	from, cost := since.Format(time.RFC3339Nano), 0.0
	for dec := json.NewDecoder(bufio.NewReader(f)); ; {
		var l line
		if err := dec.Decode(&l); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return 0, fmt.Errorf("reading JSON lines: %w", err)
		}
		if l.Timestamp >= from {
			cost += l.Cost
		}
	}
	if cost == 0 {
		return 0, errors.New("the JSON lines hold no costs")
	}
	return time.Since(began), nil
}
