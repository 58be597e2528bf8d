package task_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/cassette"
	"github.com/claude-force/claude-force/llm/llmtest"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/tool"
)

const secret = "sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJ"

// counting returns a tool that counts its runs and gives a different result each
// time, one with a secret.
func counting(t *testing.T, runs *atomic.Int64) tool.Tool {
	t.Helper()
	f, err := tool.Func("work", "Works.", func(_ context.Context, in lookUpInput) (string, error) {
		n := runs.Add(1)
		if in.Key == "bad" {
			return "", fmt.Errorf("run %d failed", n)
		}
		return fmt.Sprintf("run %d of %s with %s <&> \"quoted\"", n, in.Key, secret), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func recordLoops(t *testing.T, dir string, runs *atomic.Int64, prompts ...string) []*task.Result {
	t.Helper()
	recorder, err := cassette.Create(dir, cassette.Meta{}, cassette.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var results []*task.Result
	for _, prompt := range prompts {
		script := llmtest.NewScript(
			calls("first", use("1", "work", `{"key": "a b",  "x":1}`), use("2", "work", `{"key":"`+secret+`"}`)),
			calls("", use("3", "work", `{"key":"bad"}`), use("4", "work", `{"key":"c"}`), use("5", "none", `{"key`)),
			llmtest.Answer("done"))
		r := withTools(t, newRunner(recorder.Layer(script), &agent.Agent{Name: "a"}), counting(t, runs))
		r.Record = recorder
		results = append(results, r.Run(t.Context(), task.Task{Agent: "a", Prompt: prompt}, nil))
	}
	if err := recorder.Close(); err != nil {
		t.Fatal(err)
	}
	return results
}

func TestAReplayRunsNoToolAndGivesTheSame(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var runs atomic.Int64
	recorded := recordLoops(t, dir, &runs, "do it", "do it", "something else") // the first two are alike, but for what the tool gives
	before := runs.Load()
	for range 2 {
		player, err := cassette.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		r := newRunner(player.Model(), &agent.Agent{Name: "a"}) // without tools of its own
		r.Replay = player
		var events atomic.Int64
		r.OnTool = func(context.Context, task.ToolEvent) { events.Add(1) }
		for i, prompt := range []string{"do it", "do it", "something else"} {
			res := r.Run(t.Context(), task.Task{Agent: "a", Prompt: prompt}, nil)
			if res.Err != nil || res.Output != recorded[i].Output || res.Turns != 3 || res.ToolCalls != recorded[i].ToolCalls {
				t.Fatalf("%d: %+v, want %+v", i, res, recorded[i])
			}
		}
		if player.Missed() != 0 || len(player.Unused()) != 0 {
			t.Errorf("missed %d, unused %v", player.Missed(), player.Unused())
		}
	}
	if runs.Load() != before {
		t.Errorf("the replays ran %d tools", runs.Load()-before)
	}
	if err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), secret[:20]) {
			t.Errorf("%s has the secret:\n%s", path, data)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func TestACallOfAToolThatIsNotInTheCassetteFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var runs atomic.Int64
	recordLoops(t, dir, &runs, "do it")
	results, err := filepath.Glob(filepath.Join(dir, "tools", "*-work-*.json"))
	if err != nil || len(results) == 0 {
		t.Fatal(results, err)
	}
	for _, tc := range []struct {
		name, want string
		change     func(manifest string) string
	}{
		{"a file that the manifest names", "is missing", func(m string) string { return m }},
		{"a recording that was cut off", "a replay runs no tool", func(m string) string {
			return `{"format": 2, "complete": false}`
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			copied := t.TempDir()
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			manifest := filepath.Join(copied, "cassette.json")
			data, err := os.ReadFile(manifest)
			if err == nil {
				err = os.WriteFile(manifest, []byte(tc.change(string(data))), 0o600)
			}
			if err == nil {
				err = os.Remove(filepath.Join(copied, "tools", filepath.Base(results[0])))
			}
			if err != nil {
				t.Fatal(err)
			}
			player, err := cassette.Open(copied)
			if err == nil {
				r := newRunner(player.Model(), &agent.Agent{Name: "a"})
				r.Replay = player
				res := r.Run(t.Context(), task.Task{Agent: "a", Prompt: "do it"}, nil)
				if err = res.Err; llm.CodeOf(err) != llm.CodeInvalid || player.Missed() != 1 {
					t.Errorf("%v, missed %d", err, player.Missed())
				}
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestCallsOfAToolAreNotMissedInAReplay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	recorder, err := cassette.Create(dir, cassette.Meta{}, cassette.Options{})
	if err != nil {
		t.Fatal(err)
	}
	model := recorder.Layer(llmtest.NewScript(calls("", use("1", "work", `{"key":"a"}`)), llmtest.Answer("inner"), llmtest.Answer("outer")))
	var r *task.Runner
	inner, err := tool.Func("work", "Works.", func(ctx context.Context, _ lookUpInput) (string, error) {
		plain := newRunner(model, &agent.Agent{Name: "b"})
		res := plain.Run(ctx, task.Task{Agent: "b", Prompt: "within"}, nil)
		return res.Output, res.Err
	})
	if err != nil {
		t.Fatal(err)
	}
	r = withTools(t, newRunner(model, &agent.Agent{Name: "a"}), inner)
	r.Record = recorder
	if res := r.Run(t.Context(), task.Task{Agent: "a", Prompt: "go"}, nil); res.Output != "outer" {
		t.Fatalf("%+v", res)
	}
	if err := recorder.Close(); err != nil {
		t.Fatal(err)
	}
	player, err := cassette.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	r = newRunner(player.Model(), &agent.Agent{Name: "a"})
	r.Replay = player
	if res := r.Run(t.Context(), task.Task{Agent: "a", Prompt: "go"}, nil); res.Output != "outer" {
		t.Fatalf("%+v", res)
	}
	if player.Len() != 3 || len(player.Unused()) != 0 {
		t.Errorf("%d calls, unused %v", player.Len(), player.Unused())
	}
}

func TestNotesAndTextsOfARecordingAreReplayed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	recorder, err := cassette.Create(dir, cassette.Meta{}, cassette.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var runs atomic.Int64
	script := llmtest.NewScript(calls("", use("1", "work", `{"key":"a"}`)), llmtest.Answer("wait"), llmtest.Answer("done"))
	r := withTools(t, newRunner(recorder.Layer(script), &agent.Agent{Name: "a"}), counting(t, &runs))
	r.Record = recorder
	give, noted := r.Tools, 0
	r.Tools = func(ctx context.Context, a *agent.Agent, t task.Task) (*task.Tools, error) {
		tools, err := give(ctx, a, t)
		if err == nil {
			tools.Context = []string{"memory with " + secret}
			tools.Notes = func(_ context.Context, wait bool) ([]task.Note, error) {
				if !wait || noted > 0 {
					return nil, nil
				}
				noted++
				return []task.Note{{Blocks: []llm.Block{llm.TextBlock("a command ended")}}}, nil
			}
		}
		return tools, err
	}
	if res := r.Run(t.Context(), task.Task{Agent: "a", Prompt: "go"}, nil); res.Output != "done" || noted != 1 {
		t.Fatalf("%d notes, %+v", noted, res)
	}
	if err := recorder.Close(); err != nil {
		t.Fatal(err)
	}
	player, err := cassette.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	r = newRunner(player.Model(), &agent.Agent{Name: "a"})
	r.Replay = player
	res := r.Run(t.Context(), task.Task{Agent: "a", Prompt: "go"}, nil)
	if res.Output != "done" || res.Turns != 3 || len(player.Unused()) != 0 {
		t.Fatalf("%+v, unused %v", res, player.Unused())
	}
}
