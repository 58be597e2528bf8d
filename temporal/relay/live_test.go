//go:build unix

package relay_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/claude-force/claude-force/temporal/stand"
)

var onServer = flag.Bool("server", false, "run the tests that need a Temporal server, which is built if it is not there")

// live is a stand on which runs are what people make of them.
type live struct {
	*testing.T
	*stand.Stand
	client client.Client
}

// liveFiles are the workflows of the tests: four steps at once and one behind them, and a question.
var liveFiles = map[string]string{
	"four.yaml": `name: four
params: {name: {type: string}}
steps:
  - {id: a, agent: worker, task: "[unit ${{ params.name }} a]"}
  - {id: b, agent: worker, task: "[unit ${{ params.name }} b]"}
  - {id: c, agent: worker, task: "[unit ${{ params.name }} c]"}
  - {id: d, agent: worker, task: "[unit ${{ params.name }} d]"}
  - {id: last, agent: worker, task: "[unit ${{ params.name }} last]", dependencies: [a, b, c, d]}
output: ${{ steps.last.output }}
`,
	"question.yaml": `name: question
params: {name: {type: string}}
steps:
  - {id: where, approval: {message: "where to?", choices: [left, right]}}
  - {id: way, agent: worker, task: "[unit ${{ params.name }} way] ${{ steps.where.output }}"}
output: ${{ steps.where.output }}
`,
}

// TestOnServer does to runs on a real server what people and operators do.
func TestOnServer(t *testing.T) { //nolint:paralleltest // its parts share the server and stop workers
	if !*onServer {
		return
	}
	s, err := stand.New(t.Context(), stand.Options{Files: liveFiles, Programs: os.Getenv("PROGRAMS"), Worker: []string{"-heartbeat", "3s", "-stop-timeout", "20s"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	c, err := client.Dial(client.Options{HostPort: s.Temporal.Address, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for _, part := range []struct {
		name string
		does func(*live)
	}{
		{"cancelled in flight", (*live).cancelledInFlight},
		{"cancelled while it asks", (*live).cancelledWhileItAsks},
		{"answered twice", (*live).answeredTwice},
		{"resumed and shown", (*live).resumedAndShown},
		{"worker stopped", (*live).workerStopped},
		{"worker stopped too soon", (*live).workerStoppedTooSoon},
		{"server away", (*live).serverAway},
		{"two versions", (*live).twoVersions},
	} {
		t.Run(part.name, func(t *testing.T) { part.does(&live{t, s, c}) })
	}
}

// worker starts a worker, which ends with the test.
func (l *live) worker(flags ...string) {
	l.Helper()
	if err := l.AddWorker(flags...); err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() {
		for l.Workers() > 0 {
			if ended := l.KillWorker(0); ended != "" {
				l.Errorf("a worker had ended by itself: %s", ended)
			}
		}
	})
}

// must runs claude-force and returns what it prints.
func (l *live) must(args ...string) string {
	l.Helper()
	out, err := l.Command(l.Context(), args...)
	if err != nil {
		l.Fatal(err)
	}
	return string(out)
}

// refused runs claude-force, which must exit with 2 and a message that contains want.
func (l *live) refused(want string, args ...string) {
	l.Helper()
	_, err := l.Command(l.Context(), args...)
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != 2 || !strings.Contains(err.Error(), want) {
		l.Errorf("claude-force %s: want the exit code 2 and %q: %v", strings.Join(args, " "), want, err)
	}
}

// start starts a run whose name is also that of its units, and returns its id.
func (l *live) start(file, name string) string {
	l.Helper()
	return strings.TrimSpace(l.must("run", file, "--engine", "temporal", "--detach", "--param", "name="+name, "--no-cache", "--no-tools"))
}

// until waits until a condition holds.
func (l *live) until(what string, holds func() bool) {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.Context(), 2*time.Minute)
	defer cancel()
	for tick := time.NewTicker(100 * time.Millisecond); !holds(); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			l.Fatalf("waited for: %s", what)
		}
	}
}

// exported is what a test reads of a run.
type exported struct {
	Run struct {
		Status string `json:"status"`
	} `json:"run"`
	Events []struct {
		Type string `json:"type"`
		Step string `json:"step"`
	} `json:"events"`
	Result struct {
		Status string `json:"status"`
		Output string `json:"output"`
	} `json:"result"`
}

func (l *live) export(run string) (e exported) {
	l.Helper()
	if err := l.Read(l.Context(), &e, "runs", "export", run); err != nil {
		l.Fatal(err)
	}
	return e
}

// count returns how many events of a type a step has.
func (e exported) count(kind, step string) (n int) {
	for _, ev := range e.Events {
		if ev.Type == kind && ev.Step == step {
			n++
		}
	}
	return n
}

// ends waits until a run has a status.
func (l *live) ends(run, status string) exported {
	l.Helper()
	var e exported
	l.until("run is "+status, func() bool {
		e = l.export(run)
		return e.Run.Status == status
	})
	return e
}

// asks waits until a run asks a question.
func (l *live) asks(run string) {
	l.Helper()
	l.until("question", func() bool { return l.export(run).count("approval_asked", "where") > 0 })
}

// asked waits until the service was asked for units of a run, each once.
func (l *live) asked(name string, units ...string) {
	l.Helper()
	for _, unit := range units {
		l.until(unit+" is asked for", func() bool { return len(l.Service.Times(name, unit)) > 0 })
	}
}

// requests checks how many requests units of a run came to.
func (l *live) requests(name string, units, requests int) {
	l.Helper()
	if u, r := l.Service.Units(name); u != units || r != requests {
		l.Errorf("the service was asked for %d units by %d requests, not %d by %d", u, r, units, requests)
	}
}

// hold holds the answers for the four steps of a run until the function that it returns is called.
func (l *live) hold(name string) (answer func()) {
	var all []func()
	for _, unit := range []string{"a", "b", "c", "d"} {
		all = append(all, l.Service.Hold(name, unit))
	}
	answer = func() {
		for _, f := range all {
			f()
		}
	}
	l.Cleanup(answer)
	return answer
}

// cancelledInFlight cancels a run, twice, with four attempts in flight.
func (l *live) cancelledInFlight() {
	l.worker()
	answer := l.hold("cancel")
	run := l.start("four.yaml", "cancel")
	l.asked("cancel", "a", "b", "c", "d")
	l.must("runs", "cancel", run)
	if _, err := l.Command(l.Context(), "runs", "cancel", run); err != nil && !strings.Contains(err.Error(), "is cancelled") {
		l.Error(err) // it may have ended by now
	}
	l.ends(run, "cancelled")
	l.refused("is cancelled", "runs", "cancel", run)
	l.requests("cancel", 4, 4)
	waitFor(l.T, l.client, run, enums.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED)
	if text := l.must("runs", "show", run); !strings.Contains(text, "cancelled") {
		l.Errorf("runs show says:\n%s", text)
	}
	answer()
	l.must("runs", "resume", run, "--quiet") // in one process
	if e := l.export(run); e.Result.Status != "completed" || e.Result.Output == "" {
		l.Errorf("the resumed run is %s: %q", e.Result.Status, e.Result.Output)
	}
	l.requests("cancel", 5, 4+5)
}

// cancelledWhileItAsks cancels a run, twice, that waits for a person.
func (l *live) cancelledWhileItAsks() {
	l.worker()
	run := l.start("question.yaml", "asks")
	l.asks(run)
	l.must("runs", "cancel", run)
	if _, err := l.Command(l.Context(), "runs", "cancel", run); err != nil && !strings.Contains(err.Error(), "is cancelled") {
		l.Error(err) // it may have ended by now
	}
	l.ends(run, "cancelled")
	l.refused("is cancelled", "runs", "cancel", run)
	if _, err := l.Command(l.Context(), "runs", "approve", run, "where", "--choice", "left"); err == nil || !strings.Contains(err.Error(), "takes no decision") {
		l.Errorf("a cancelled run is answered: %v", err)
	}
	waitFor(l.T, l.client, run, enums.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED)
	l.requests("asks", 0, 0)
}

// answeredTwice answers a question a second time: before a worker has seen the first answer,
// and when the run has ended.
func (l *live) answeredTwice() {
	l.worker()
	run := l.start("question.yaml", "twice")
	l.asks(run)
	l.must("runs", "approve", run, "where", "--choice", "left")
	if _, err := l.Command(l.Context(), "runs", "approve", run, "where", "--choice", "right"); err == nil {
		l.Error("a second answer is taken")
	}
	if e := l.ends(run, "completed"); e.Result.Output != "left" || e.count("approval_given", "where") != 1 {
		l.Errorf("the first answer was left, and the run says %q", e.Result.Output)
	}
	if _, err := l.Command(l.Context(), "runs", "approve", run, "where", "--choice", "right"); err == nil {
		l.Error("an answer to a run that has ended is taken")
	}
	l.requests("twice", 1, 1)
}

// resumedAndShown does what a person may try with a run that is under way, and that has ended.
func (l *live) resumedAndShown() {
	l.worker()
	answer := l.hold("shown")
	run := l.start("four.yaml", "shown")
	l.asked("shown", "a", "b", "c", "d")
	l.refused("temporal", "runs", "resume", run)
	l.refused("temporal", "runs", "rm", run)
	if text := l.must("runs", "show", run); !strings.Contains(text, "the workers of temporal") {
		l.Errorf("runs show says:\n%s", text)
	}
	answer()
	l.ends(run, "completed")
	l.refused("completed", "runs", "resume", run)
	l.must("run", "four.yaml", "--param", "name=shown", "--no-cache", "--no-tools", "--quiet")
	var diffs []struct {
		Inputs []string `json:"inputs"`
		Same   bool     `json:"same_output"`
		Only   string   `json:"only"`
	}
	if err := l.Read(l.Context(), &diffs, "runs", "diff", run, "latest", "--json"); err != nil || len(diffs) != 5 {
		l.Errorf("runs diff compares %d steps, not 5: %v", len(diffs), err)
	}
	for _, d := range diffs {
		if !d.Same || d.Only != "" || len(d.Inputs) > 0 {
			l.Errorf("a step differs from that of a run of one process: %+v", d)
		}
	}
	if text := l.must("runs", "show", run); strings.Contains(text, "the workers of temporal") || !strings.Contains(text, "completed") {
		l.Errorf("runs show says:\n%s", text)
	}
	l.requests("shown", 5, 5+5)
}

// workerStopped stops a worker in the middle of a run, and has it finish what it does.
func (l *live) workerStopped() {
	l.worker()
	answer := l.hold("stopped")
	run := l.start("four.yaml", "stopped")
	l.asked("stopped", "a", "b", "c", "d")
	ended := l.StopWorker(0)
	l.worker()
	answer()
	l.ends(run, "completed")
	if log, code, err := ended(l.Context()); err != nil || code != 0 {
		l.Errorf("the worker ended with %d: %v\n%s", code, err, log)
	}
	l.requests("stopped", 5, 5)
}

// workerStoppedTooSoon stops a worker that does not finish what it does in time.
func (l *live) workerStoppedTooSoon() {
	l.worker("-stop-timeout", "1s")
	answer := l.hold("soon")
	run := l.start("four.yaml", "soon")
	l.asked("soon", "a", "b", "c", "d")
	if log, code, err := l.StopWorker(0)(l.Context()); err != nil || code != 0 {
		l.Errorf("the worker ended with %d: %v\n%s", code, err, log)
	}
	if e := l.export(run); e.Run.Status != "running" {
		l.Errorf("without a worker the run is %s", e.Run.Status)
	}
	l.worker()
	answer()
	l.ends(run, "completed")
	l.requests("soon", 5, 4+5)
}

// serverAway has steps end while there is no Temporal server.
func (l *live) serverAway() {
	l.worker()
	answer := l.hold("away")
	run := l.start("four.yaml", "away")
	l.asked("away", "a", "b", "c", "d")
	if err := l.Temporal.Kill(); err != nil {
		l.Fatal(err)
	}
	answer()
	l.until("the ends of the steps are in the journal", func() bool {
		e := l.export(run)
		return e.count("step_finished", "a")+e.count("step_finished", "b")+e.count("step_finished", "c")+e.count("step_finished", "d") == 4
	})
	l.worker()                               // waits for the server
	late := l.start("question.yaml", "late") // which cannot be started yet
	if err := l.Temporal.Restart(); err != nil {
		l.Fatal(err)
	}
	l.ends(run, "completed")
	l.KillWorker(0)
	l.asks(late)
	l.must("runs", "approve", late, "where", "--choice", "right")
	l.ends(late, "completed")
	l.requests("away", 5, 5)
	l.requests("late", 1, 1)
}

// twoVersions has a run stay with the build that it began with, and a new one begin with the
// build that is current.
func (l *live) twoVersions() {
	l.worker("-deployment", "force", "-build-id", "one", "-current")
	answer := l.hold("old")
	old := l.start("four.yaml", "old")
	l.asked("old", "a", "b", "c", "d")
	l.worker("-deployment", "force", "-build-id", "two", "-current")
	// The build is current once its worker says that it works.
	handle := l.client.WorkerDeploymentClient().GetHandle("force")
	l.until("build two is current", func() bool {
		d, err := handle.Describe(l.Context(), client.WorkerDeploymentDescribeOptions{})
		return err == nil && d.Info.RoutingConfig.CurrentVersion != nil && d.Info.RoutingConfig.CurrentVersion.BuildID == "two"
	})
	latest := l.start("question.yaml", "new")
	l.asks(latest)
	l.must("runs", "approve", latest, "where", "--choice", "left")
	answer()
	l.ends(old, "completed")
	l.ends(latest, "completed")
	for run, want := range map[string]string{old: "one", latest: "two"} {
		waitFor(l.T, l.client, run, enums.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED)
		if got := l.builds(run); got != want {
			l.Errorf("run %s was executed by the builds %q, not %s", run, got, want)
		}
	}
	l.requests("old", 5, 5)
	l.requests("new", 1, 1)
}

// builds returns the builds that did the tasks of a run's workflow.
func (l *live) builds(run string) string {
	l.Helper()
	histories, err := stand.Histories(l.Context(), l.client, run)
	if err != nil {
		l.Fatal(err)
	}
	var builds []string
	for _, h := range histories {
		for _, ev := range h.Events {
			if a := ev.GetWorkflowTaskCompletedEventAttributes(); a != nil && (len(builds) == 0 || builds[len(builds)-1] != a.GetDeploymentVersion().GetBuildId()) {
				builds = append(builds, fmt.Sprint(a.GetDeploymentVersion().GetBuildId()))
			}
		}
	}
	return strings.Join(builds, ", ")
}
