package claudeforce_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/cassette"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/sim"
)

// Runs in testdata/previous, which the version before package runs wrote.
const (
	previousCompleted = "run_svbbfmmorzi7"
	previousWaiting   = "run_gfsra7snwflc" // interrupted at an approval, with step "one" finished
	previousCrashed   = "run_dd25vi36izye" // killed at the same place
)

// whenWritten is an hour after the last file in testdata/previous was written.
var whenWritten = time.Date(2026, 11, 28, 5, 0, 0, 0, time.UTC)

// atThatTime runs test with a clock that says [whenWritten], since answers,
// runs and calls are kept for a time and then no longer found.
func atThatTime(t *testing.T, test func(t *testing.T)) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(whenWritten))
		test(t)
	})
}

// openPrevious opens an orchestrator on a copy of what the previous version wrote.
func openPrevious(t *testing.T, opts claudeforce.Options) *claudeforce.Orchestrator {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "previous"))); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(config.Sources{Dir: dir, Home: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	cfg.DataDir = filepath.Join(dir, "data")
	opts.Dir = dir
	opts.Config = cfg
	orch, err := claudeforce.New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := orch.Close(); err != nil {
			t.Error(err)
		}
	})
	return orch
}

func TestRunsOfThePreviousVersionAreRead(t *testing.T) {
	t.Parallel()
	atThatTime(t, testRunsOfThePreviousVersionAreRead)
}

func testRunsOfThePreviousVersionAreRead(t *testing.T) {
	orch := openPrevious(t, claudeforce.Options{Simulator: sim.New(sim.Options{})})
	store, err := orch.History(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]journal.Status{
		previousCompleted: journal.StatusCompleted,
		previousWaiting:   journal.StatusInterrupted,
		previousCrashed:   runs.StatusCrashed,
	} {
		d, err := runs.Load(t.Context(), store, id)
		if err != nil {
			t.Fatal(err)
		}
		if got := runs.StatusOf(d.Run); got != want {
			t.Errorf("run %s is %s; want %s", id, got, want)
		}
		one := d.Result.Steps["one"]
		if one.Status != engine.StatusCompleted || one.Output == "" || one.CostUSD == nil {
			t.Errorf("run %s: step one is %s with output %q", id, one.Status, one.Output)
		}
		if d.Spec.Settings.Simulator != "instant" {
			t.Errorf("run %s: settings %+v; want the simulator that was kept as a tag", id, d.Spec.Settings)
		}
	}
}

// TestRunsOfThePreviousVersionResume resumes runs and counts requests: the step
// that had finished is not sent again, only the one after the approval.
func TestRunsOfThePreviousVersionResume(t *testing.T) {
	t.Parallel()
	atThatTime(t, testRunsOfThePreviousVersionResume)
}

func testRunsOfThePreviousVersionResume(t *testing.T) {
	for _, id := range []string{previousWaiting, previousCrashed} {
		server := sim.New(sim.Options{})
		orch := openPrevious(t, claudeforce.Options{Simulator: server})
		res, err := orch.ResumeRun(t.Context(), id, claudeforce.ResumeOptions{
			OnEvent: func(ctx context.Context, ev engine.Event) {
				if ev.Asked == nil {
					return
				}
				if err := orch.Decide(ctx, id, ev.Path, ev.Item, journal.Decision{Approved: true}); err != nil {
					t.Error(err)
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if res.Status != engine.StatusCompleted || res.Steps["two"].Output == "" {
			t.Errorf("run %s is %s", id, res.Status)
		}
		if got := server.Stats().Requests; got > 1 {
			t.Errorf("run %s: %d requests; want at most that of step two", id, got)
		}
	}
}

func TestAnswersOfThePreviousVersionAreFound(t *testing.T) {
	t.Parallel()
	atThatTime(t, testAnswersOfThePreviousVersionAreFound)
}

func testAnswersOfThePreviousVersionAreFound(t *testing.T) {
	server := sim.New(sim.Options{})
	orch := openPrevious(t, claudeforce.Options{Simulator: server})
	res, err := orch.ExecuteAgent(t.Context(), "linter", "Check the first part")
	if err != nil {
		t.Fatal(err)
	}
	if res.Source != llm.SourceCache || server.Stats().Requests != 0 {
		t.Errorf("answered from %s with %d requests; want the cache and none", res.Source, server.Stats().Requests)
	}
}

func TestCassettesOfThePreviousVersionReplay(t *testing.T) {
	t.Parallel()
	atThatTime(t, testCassettesOfThePreviousVersionReplay)
}

func testCassettesOfThePreviousVersionReplay(t *testing.T) {
	player, err := cassette.Open(filepath.Join("testdata", "previous", "rec"))
	if err != nil {
		t.Fatal(err)
	}
	orch := openPrevious(t, claudeforce.Options{Replay: player})
	data, err := os.ReadFile(filepath.Join("testdata", "previous", "done.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	wf, err := orch.ParseWorkflow("done.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	res, err := orch.RunWorkflow(t.Context(), wf, claudeforce.RunOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if res.Status != engine.StatusCompleted || len(player.Unused()) != 0 {
		t.Errorf("status %s, unused calls %v", res.Status, player.Unused())
	}
	if _, err := orch.ExecuteAgent(t.Context(), "linter", "Something else"); err == nil {
		t.Error("a call that is not on the cassette was answered")
	}
}
