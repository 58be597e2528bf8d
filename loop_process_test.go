package claudeforce_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/internal/processtest"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/sandbox"
	"github.com/claude-force/claude-force/sim"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/tool"
)

// processJobs are what processes of tests do; some are for some systems only.
var processJobs = map[string]processtest.Job{"loop": loopJob}

func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(processtest.Main(m, processJobs))
}

const (
	loopTurns = 20 // that call tools; one more ends the loop
	loopFile  = "loop.yaml"
)

type noteInput struct {
	Key string `json:"key"`
}

// loopJob runs the workflow of a folder, or resumes its run: one step whose agent
// calls two tools in each of its turns. It prints a line when a call of a tool
// starts, and one when a tool has done its work.
func loopJob(args []string) error {
	dir, url := args[0], args[1]
	if err := os.Setenv("ANTHROPIC_API_KEY", "sk-test"); err != nil {
		return err
	}
	cfg, err := config.Load(config.Sources{Dir: dir, Home: dir, Getenv: os.Getenv})
	if err != nil {
		return err
	}
	cfg.BaseURL, cfg.Cache.Enabled = url, false
	look, err := tool.Func("look_up", "Gives the value of a key.", func(_ context.Context, in noteInput) (string, error) {
		return "value of " + in.Key, nil
	})
	if err != nil {
		return err
	}
	note, err := tool.Func("note", "Appends a key to the notes.", func(_ context.Context, in noteInput) (string, error) {
		f, err := os.OpenFile(filepath.Join(dir, "notes"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return "", err
		}
		_, err = f.WriteString(in.Key + "\n")
		return "noted", errors.Join(err, f.Close())
	})
	if err != nil {
		return err
	}
	ctx := context.Background()
	orch, err := claudeforce.New(ctx, claudeforce.Options{
		Dir: dir, Config: cfg, Tools: []tool.Tool{tool.ReadOnly(look), note},
		Agents: []*agent.Agent{{Name: "worker", Description: "works", AllTools: true, Model: "haiku"}},
		OnTool: func(_ context.Context, ev task.ToolEvent) {
			if !ev.Done {
				fmt.Println("turn", ev.Turn)
			}
		},
	})
	if err != nil {
		return err
	}
	_, err = orch.ResumeRun(ctx, journal.Latest, claudeforce.ResumeOptions{})
	if errors.Is(err, claudeforce.ErrRunCompleted) {
		err = nil // it was killed after its end
	}
	if errors.Is(err, journal.ErrNotFound) {
		wf, loadErr := orch.LoadWorkflow(filepath.Join(dir, loopFile))
		if loadErr != nil {
			return loadErr
		}
		_, err = orch.RunWorkflow(ctx, wf, claudeforce.RunOptions{File: filepath.Join(dir, loopFile)})
	}
	return errors.Join(err, orch.Close())
}

// turnCounter counts the requests of each turn on their way to the service, by the
// number of messages.
type turnCounter struct {
	next http.Handler
	mu   sync.Mutex
	sent map[int]int
}

func (c *turnCounter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 16<<20))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var request struct{ Messages []json.RawMessage }
	if json.Unmarshal(body, &request) == nil && strings.HasSuffix(r.URL.Path, "/messages") {
		c.mu.Lock()
		c.sent[(len(request.Messages)+1)/2]++
		c.mu.Unlock()
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	c.next.ServeHTTP(w, r)
}

// counts returns how often each turn was sent so far.
func (c *turnCounter) counts() map[int]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := map[int]int{}
	maps.Copy(counts, c.sent)
	return counts
}

// killRounds returns how often processes are killed in turn: ROUNDS times, or as often as is
// usual. In short mode, with the race detector, which sees no more in the tenth process than
// in the first, it is once for each kind of round.
func killRounds(usual int) int {
	if n, err := strconv.Atoi(os.Getenv("ROUNDS")); err == nil {
		return n
	}
	if testing.Short() {
		return min(usual, 2)
	}
	return usual
}

// TestLoopsThatAreKilledGoOn kills processes in the middle of a loop of 20 turns
// and 40 calls of tools, until one of them ends it. A turn whose tools have started
// is durable, so it must not be sent again, and no note may be written twice.
// ROUNDS sets how many loops there are.
func TestLoopsThatAreKilledGoOn(t *testing.T) {
	t.Parallel()
	rounds := killRounds(3)
	kills, cut, unsure := 0, 0, 0
	for round := range rounds {
		k, c, u := loopRound(t, uint64(round))
		kills, cut, unsure = kills+k, cut+c, unsure+u
	}
	t.Logf("%d loops, %d kills: 0 finished turns sent again, 0 notes written twice; %d turns sent again that were cut off, %d calls reported as interrupted", rounds, kills, cut, unsure)
}

// loopRound plays one loop. It returns how often a process was killed, how many
// turns were sent again since their answers were not durable, and how many calls
// the model read of as interrupted.
func loopRound(t *testing.T, seed uint64) (kills, cut, unsure int) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 7))
	dir := t.TempDir()
	var script strings.Builder
	script.WriteString("rules:\n  - when: {task: work}\n    turns:\n")
	for i := 1; i <= loopTurns; i++ {
		fmt.Fprintf(&script, "      - tools: [{name: look_up, input: {key: k%d}}, {name: note, input: {key: k%d}}]\n", i, i)
	}
	script.WriteString("      - text: done\n")
	played, err := sim.ParseScript("script.yaml", []byte(script.String()))
	if err != nil {
		t.Fatal(err)
	}
	counter := &turnCounter{next: sim.New(sim.Options{Script: played}), sent: map[int]int{}}
	server := httptest.NewServer(counter)
	defer server.Close()
	if err := os.WriteFile(filepath.Join(dir, loopFile), []byte("name: loop\nsteps:\n  - {id: work, agent: worker, task: work}\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	finished, done := 0, false // the last turn whose tools have started
	for attempt := 0; !done; attempt++ {
		if attempt > 60 {
			t.Fatalf("round %d: the loop has not ended after %d kills", seed, kills)
		}
		before := counter.counts()
		p := processtest.Start(t.Context(), "loop", dir, server.URL)
		left := random.IntN(12) // lines until the kill
		was := finished
		for line := range p.Lines() {
			turn, err := strconv.Atoi(strings.TrimPrefix(line, "turn "))
			if err != nil {
				continue
			}
			if turn > finished {
				finished = turn
			}
			if left--; left == 0 && attempt < 40 {
				p.Kill()
				kills++
			}
		}
		if err := p.Wait(); err == nil {
			done = true
		}
		for turn, n := range counter.counts() {
			if turn <= was && n > before[turn] {
				t.Errorf("round %d: turn %d was sent again, although its tools had started", seed, turn)
			}
		}
	}
	for _, n := range counter.counts() {
		cut += n - 1
	}
	notes, err := os.ReadFile(filepath.Join(dir, "notes"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for key := range strings.FieldsSeq(string(notes)) {
		if seen[key]++; seen[key] > 1 {
			t.Errorf("round %d: %s was noted %d times", seed, key, seen[key])
		}
	}
	return kills, cut, loopTurns - len(seen)
}
