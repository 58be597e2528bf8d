package claudeforce_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/internal/processtest"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/tool/permission"
	"github.com/claude-force/claude-force/toolset"
)

func init() { processJobs["commands"] = commandsJob }

const commandsFile = "commands.yaml"

// commandsJob runs the workflow of commands of a folder, or resumes its run, without a
// key. It prints a line when a step has started, and one when it has finished.
func commandsJob(args []string) error {
	dir := args[0]
	if err := os.Unsetenv("ANTHROPIC_API_KEY"); err != nil {
		return err
	}
	cfg, err := config.Load(config.Sources{Dir: dir, Home: dir, Getenv: os.Getenv})
	if err != nil {
		return err
	}
	ctx := context.Background()
	orch, err := claudeforce.New(ctx, claudeforce.Options{
		Dir: dir, Config: cfg, KeyOptional: true,
		Toolset: &toolset.Options{Policy: permission.Policy{Mode: permission.ModeBypass, Allow: []permission.Rule{{Tool: "WebFetch", Spec: "domain:127.0.0.1"}}}},
	})
	if err != nil {
		return err
	}
	observe := func(_ context.Context, ev engine.Event) {
		if !ev.Restored {
			fmt.Println(ev.Status, ev.Path)
		}
	}
	_, err = orch.ResumeRun(ctx, journal.Latest, claudeforce.ResumeOptions{OnEvent: observe})
	if errors.Is(err, claudeforce.ErrRunCompleted) {
		err = nil // it was killed after its end
	}
	if errors.Is(err, journal.ErrNotFound) {
		wf, loadErr := orch.LoadWorkflow(filepath.Join(dir, commandsFile))
		if loadErr != nil {
			return loadErr
		}
		_, err = orch.RunWorkflow(ctx, wf, claudeforce.RunOptions{File: filepath.Join(dir, commandsFile), OnEvent: observe})
	}
	return errors.Join(err, orch.Close())
}

// TestCommandsThatAreKilledGoOn kills processes that run a workflow of commands, until
// one of them ends it. Each command counts its runs itself: one whose step has finished
// must not run again, and one with effects: once never twice. ROUNDS sets how many runs
// there are.
func TestCommandsThatAreKilledGoOn(t *testing.T) {
	t.Parallel()
	rounds := killRounds(6)
	kills, repeated := 0, 0
	for round := range rounds {
		dir := t.TempDir()
		k, r := commandsRound(t, uint64(round), dir, "run: 'echo %s >> runs'", func() map[string]int { return countRuns(t, filepath.Join(dir, "runs")) })
		kills, repeated = kills+k, repeated+r
	}
	t.Logf("%d runs, %d kills: 0 finished commands run again, 0 with effects: once run twice; %d commands run again that were cut off", rounds, kills, repeated)
}

// TestRequestsThatAreKilledGoOn does the same with requests, which the server counts.
func TestRequestsThatAreKilledGoOn(t *testing.T) {
	t.Parallel()
	rounds := killRounds(6)
	kills, repeated := 0, 0
	for round := range rounds {
		var mu sync.Mutex
		counts := map[string]int{}
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			counts[r.FormValue("step")]++
		}))
		k, r := commandsRound(t, uint64(round), t.TempDir(), "http: {url: '"+server.URL+"', form: {step: %s}}", func() map[string]int {
			mu.Lock()
			defer mu.Unlock()
			return maps.Clone(counts)
		})
		server.Close()
		kills, repeated = kills+k, repeated+r
	}
	t.Logf("%d runs, %d kills: 0 finished requests sent again, 0 with effects: once sent twice; %d requests sent again that were cut off", rounds, kills, repeated)
}

// commandsRound kills processes that run a workflow in a folder. does is what each step
// does, with its name in it, and count returns how often each has done it.
func commandsRound(t *testing.T, seed uint64, dir, does string, count func() map[string]int) (kills, repeated int) {
	t.Helper()
	const steps = 8
	random := rand.New(rand.NewPCG(seed, 11))
	once := seed%2 == 1
	var file strings.Builder
	file.WriteString("name: commands\nsteps:\n")
	for i := range steps {
		id := fmt.Sprintf("s%d", i)
		fmt.Fprintf(&file, "  - {id: %s, "+does, id, id)
		if once {
			file.WriteString(", effects: once")
		}
		if i >= 2 {
			fmt.Fprintf(&file, ", dependencies: [s%d]", i-2)
		}
		file.WriteString("}\n")
	}
	if err := os.WriteFile(filepath.Join(dir, commandsFile), []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	finished := map[string]int{} // runs of each finished step when it was known to have finished
	for attempt := range 20 {
		p := processtest.Start(t.Context(), "commands", dir)
		left := 1 + random.IntN(6) // lines until the kill
		var now []string
		for line := range p.Lines() {
			kind, step, _ := strings.Cut(line, " ")
			if kind == string(engine.StatusCompleted) {
				now = append(now, step)
			}
			if left--; left == 0 && attempt < 15 {
				p.Kill()
				kills++
			}
		}
		err := p.Wait()
		counts := count()
		for step, n := range finished {
			if counts[step] != n {
				t.Errorf("round %d: %s ran again after it had finished: %d times, then %d", seed, step, n, counts[step])
			}
		}
		for _, step := range now {
			finished[step] = counts[step]
		}
		for step, n := range counts {
			if once && n > 1 {
				t.Errorf("round %d: %s has effects: once and ran %d times", seed, step, n)
			}
		}
		if err == nil || once && attempt >= 15 { // one that was cut off is not run again by itself
			break
		}
		if attempt == 19 {
			t.Errorf("round %d: the run has not ended: %v", seed, err)
		}
	}
	counts := count()
	for _, n := range counts {
		repeated += n - 1
	}
	if !once && len(counts) != steps {
		t.Errorf("round %d: %d of %d steps ran", seed, len(counts), steps)
	}
	return kills, repeated
}

func countRuns(t *testing.T, path string) map[string]int {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for step := range strings.FieldsSeq(string(data)) {
		counts[step]++
	}
	return counts
}
