//go:build unix

// Command relaybench measures what runs cost on a real Temporal server:
//
//	go run ./relaybench                    # the figures
//	go run ./relaybench -gate              # fails if the targets are missed
//	go run ./relaybench -items 600 -chains 5 -length 6 -rounds 1
//
// It compares runs of steps that take no time, of which many are independent and many wait
// for another one, with workflows of the same shape whose activities do nothing: on the same
// server, by as many workers, in turns. In turn with them the same workflow is run by one
// process without Temporal, on the same stores and with as many calls at once, which says how
// much of a step's time is that of the step itself. It adds up what histories take, and runs
// a foreach of 10,000 items. The service that counts requests shares no code with what asks it.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/claude-force/claude-force/temporal/stand"
)

// Targets.
const (
	maxRatio = 1.3  // time of a step, or what Temporal adds to it, to that of an activity that does nothing
	maxBytes = 1000 // of histories, for each step
)

type options struct {
	shape
	rounds, items, workers int
	programs               string
	encrypt, gate          bool
}

func main() {
	var opts options
	flag.IntVar(&opts.chains, "chains", 20, "chains of steps in a run")
	flag.IntVar(&opts.length, "length", 15, "steps of a chain")
	flag.IntVar(&opts.rounds, "rounds", 5, "runs and workflows that are compared")
	flag.IntVar(&opts.items, "items", 10_000, "items of the foreach; 0 for none")
	flag.IntVar(&opts.workers, "workers", 2, "workers of each kind")
	flag.StringVar(&opts.programs, "programs", "", "`FOLDER` with the programs; they are built otherwise")
	flag.BoolVar(&opts.encrypt, "encrypt", false, "encrypt the store and the histories")
	flag.BoolVar(&opts.gate, "gate", false, "exit with 1 if a target is missed")
	idle := flag.String("idle", "", "be a worker whose activities do nothing, of the server at this `ADDRESS`, until the input ends")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var missed int
	var err error
	switch {
	case *idle != "":
		err = work(*idle, os.Stdin)
	case opts.chains < 1 || opts.length < 1 || opts.rounds < 0 || opts.items < 0 || opts.workers < 1:
		err = errors.New("-chains, -length and -workers must be above 0, -rounds and -items not below 0")
	default:
		missed, err = measure(ctx, opts, os.Stdout)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "relaybench:", err)
		os.Exit(1)
	}
	if opts.gate && missed > 0 {
		os.Exit(1)
	}
}

// dial connects to a server.
func dial(ctx context.Context, address string) (client.Client, error) {
	return client.DialContext(ctx, client.Options{HostPort: address, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))})
}

// bench is what measures.
type bench struct {
	*stand.Stand
	options
	client client.Client
	out    io.Writer
	missed int
}

// measure prints the figures, and returns how many targets are missed.
func measure(ctx context.Context, opts options, out io.Writer) (missed int, err error) {
	with := stand.Options{
		Files:    map[string]string{"chains.yaml": opts.workflow(), "wide.yaml": wide(opts.items)},
		Programs: opts.programs, Workers: opts.workers,
	}
	if opts.encrypt {
		with.Env = []string{"CLAUDE_FORCE_CACHE_ENCRYPTION_KEY=env:KEY_OF_THE_STORE", "KEY_OF_THE_STORE=" + base64.StdEncoding.EncodeToString(make([]byte, 32))}
	}
	s, err := stand.New(ctx, with)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	stop, err := startIdle(s.Temporal.Address, opts.workers)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	b := &bench{Stand: s, options: opts, out: out}
	if b.client, err = dial(ctx, s.Temporal.Address); err != nil {
		return 0, err
	}
	defer b.client.Close()
	if opts.rounds > 0 {
		if err := b.compare(ctx); err != nil {
			return b.missed, err
		}
	}
	if opts.items > 0 {
		if err := b.foreach(ctx); err != nil {
			return b.missed, err
		}
	}
	return b.missed, b.lookForSteps()
}

// lookForSteps looks for the ids of steps in the server's files: there are none if the store
// is encrypted. If it is not, they are there, or looking for them shows nothing.
func (b *bench) lookForSteps() error {
	name, err := b.Temporal.State()
	if err != nil {
		return err
	}
	found := 0
	for _, name := range []string{name, name + "-wal"} {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		found += len(stepID.FindAllIndex(data, -1))
	}
	word := "met"
	if b.encrypt == (found > 0) {
		word = "missed"
		b.missed++
	}
	want := "some, since nothing is encrypted"
	if b.encrypt {
		want = "none, since all is encrypted"
	}
	b.row("ids of steps in the server's files", "%d (%s: %s)", found, want, word)
	return nil
}

// row prints a figure.
func (b *bench) row(name, format string, args ...any) {
	fmt.Fprintf(b.out, "%-40s %s\n", name, fmt.Sprintf(format, args...))
}

// target prints a figure that has a target.
func (b *bench) target(name string, value float64, format string, most float64) {
	word := "met"
	if value > most {
		word = "missed"
		b.missed++
	}
	b.row(name, format+" (at most "+format+": %s)", value, most, word)
}

// compare compares runs with workflows whose activities do nothing.
func (b *bench) compare(ctx context.Context) error {
	steps := float64(b.chains * b.length)
	b.row("steps", "%d chains of %d", b.chains, b.length)
	var idle, relayed, local, ratios, added, bytes, events []float64
	for n := range b.rounds + 1 { // the first warms all up
		id := fmt.Sprintf("idle-%d", n)
		if err := b.runIdle(ctx, id); err != nil {
			return err
		}
		name := fmt.Sprintf("r%d", n)
		run, err := b.run(ctx, "chains.yaml", name)
		if err != nil {
			return err
		}
		one, err := b.runLocally(ctx, "chains.yaml", "l"+name)
		if err != nil {
			return err
		}
		for _, name := range []string{name, "l" + name} {
			if units, requests := b.Service.Units(name); units != int(steps) || requests != units {
				return fmt.Errorf("run %s has %.0f steps; the service was asked for %d of them, %d times", name, steps, units, requests)
			}
		}
		if n == 0 {
			continue
		}
		nothing, err := b.sum(ctx, id)
		if err != nil {
			return err
		}
		all, err := b.sum(ctx, run)
		if err != nil {
			return err
		}
		idle = append(idle, nothing.took.Seconds()*1000/steps)
		relayed = append(relayed, all.took.Seconds()*1000/steps)
		local = append(local, one.Seconds()*1000/steps)
		ratios = append(ratios, all.took.Seconds()/nothing.took.Seconds())
		added = append(added, (all.took-one).Seconds()/nothing.took.Seconds())
		bytes = append(bytes, float64(all.bytes)/steps)
		events = append(events, float64(all.events)/steps)
	}
	b.row("an activity that does nothing", "%.2f ms (%.2f to %.2f)", median(idle), slices.Min(idle), slices.Max(idle))
	b.row("a step", "%.2f ms (%.2f to %.2f)", median(relayed), slices.Min(relayed), slices.Max(relayed))
	b.row("a step of a run of one process", "%.2f ms (%.2f to %.2f)", median(local), slices.Min(local), slices.Max(local))
	b.row("medians of the rounds, in activities", "")
	b.target("  a whole step", median(ratios), "%.2f", maxRatio)
	b.target("  what Temporal adds to a step", median(added), "%.2f", maxRatio)
	b.row("events of histories a step", "%.1f", median(events))
	b.target("bytes of histories a step", median(bytes), "%.0f", maxBytes)
	return nil
}

// run runs a workflow on Temporal until it has ended, and returns the run's id.
func (b *bench) run(ctx context.Context, file, name string) (string, error) {
	out, err := b.Command(ctx, "run", file, "--engine", "temporal", "--detach", "--param", "name="+name, "--no-cache", "--no-tools", "--jobs", b.jobs())
	if err != nil {
		return "", err
	}
	id := strings.TrimSpace(string(out))
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		described, err := b.client.DescribeWorkflow(ctx, id, "")
		if _, none := errors.AsType[*serviceerror.NotFound](err); err != nil && !none {
			return "", err
		}
		if err == nil && described.RawResponse.WorkflowExecutionInfo.Status != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
	out, err = b.Command(ctx, "runs", "list", "--json")
	if err != nil {
		return "", err
	}
	var list []struct {
		ID     string `json:"run_id"`
		Status string `json:"status"`
	}
	if err := json.Unmarshal(out, &list); err != nil {
		return "", err
	}
	for _, run := range list {
		if run.ID == id && run.Status == "completed" {
			return id, nil
		}
	}
	return "", fmt.Errorf("run %s has not completed: %s", id, out)
}

// runLocally runs a workflow in one process, and returns how long it took, from the first
// event in its journal to the last.
func (b *bench) runLocally(ctx context.Context, file, name string) (time.Duration, error) {
	if _, err := b.Command(ctx, "run", file, "--param", "name="+name, "--no-cache", "--no-tools", "--quiet", "--jobs", b.jobs()); err != nil {
		return 0, err
	}
	var run struct {
		Run struct {
			Engine string `json:"engine"`
		} `json:"run"`
		Spec struct {
			Params map[string]string `json:"params"`
		} `json:"spec"`
		Events []struct {
			Time time.Time `json:"time"`
		} `json:"events"`
		Result struct {
			Status string `json:"status"`
		} `json:"result"`
	}
	if err := b.Read(ctx, &run, "runs", "export", "latest"); err != nil {
		return 0, err
	}
	if run.Run.Engine != "" || run.Spec.Params["name"] != name || run.Result.Status != "completed" {
		return 0, fmt.Errorf("the latest run is %q, on %q, and %s", run.Spec.Params["name"], run.Run.Engine, run.Result.Status)
	}
	return run.Events[len(run.Events)-1].Time.Sub(run.Events[0].Time), nil
}

// jobs returns how many calls of a run may be in flight at once: one for each chain, as with
// the activities that do nothing.
func (b *bench) jobs() string { return strconv.Itoa(b.chains) }

// total is what the histories of a workflow add up to.
type total struct {
	histories, events int
	bytes             int64
	largest           stand.History
	took              time.Duration // from the first event to the last, by the server's clock
}

// sum adds up the histories of a workflow.
func (b *bench) sum(ctx context.Context, id string) (total, error) {
	histories, err := stand.Histories(ctx, b.client, id)
	t := total{histories: len(histories)}
	var first, last time.Time
	for _, h := range histories {
		t.events += len(h.Events)
		t.bytes += h.Bytes
		if h.Bytes > t.largest.Bytes {
			t.largest = h
		}
		if began := h.Events[0].EventTime.AsTime(); first.IsZero() || began.Before(first) {
			first = began
		}
		if ended := h.Events[len(h.Events)-1].EventTime.AsTime(); ended.After(last) {
			last = ended
		}
	}
	t.took = last.Sub(first)
	return t, err
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

// foreach runs a foreach of very many items.
func (b *bench) foreach(ctx context.Context) error {
	b.row("", "")
	b.row("items of a foreach", "%d", b.items)
	run, err := b.run(ctx, "wide.yaml", "wide")
	if err != nil {
		return err
	}
	all, err := b.sum(ctx, run)
	if err != nil {
		return err
	}
	units, requests := b.Service.Units("wide")
	word := "met"
	if units != b.items || requests != units {
		word = "missed"
		b.missed++
	}
	b.row("items that the service was asked for", "%d, by %d requests (each once: %s)", units, requests, word)
	b.row("time of an item", "%.2f ms", all.took.Seconds()*1000/float64(b.items))
	b.row("histories", "%d", all.histories)
	b.row("events of histories", "%d, of the largest history %d", all.events, len(all.largest.Events))
	b.row("bytes of the largest history", "%d", all.largest.Bytes)
	b.target("bytes of histories an item", float64(all.bytes)/float64(b.items), "%.0f", maxBytes)
	return nil
}
