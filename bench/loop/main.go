// Command loop measures what the prompts of an agent's loop cost: a task of six turns
// that call tools and one that ends it, as this program sends it, the same requests
// without breakpoints of the prompt cache, and as Claude Code would send it.
//
//	go run ./bench/loop
//
// An agent really does the task, on the simulator: it reads, runs commands, edits,
// and two of its calls fail. What it sends is recorded. The simulator counts tokens
// from characters and keeps the service's rules of prompt caching; costs are those of
// the price table. Answers are the same each way, so only prompts are counted.
//
// Of Claude Code (2.1.332) the lengths of its system prompt and of its own texts are
// known, and where it sets breakpoints. The sizes of its tools' definitions are not,
// so two rows are given: without any, which is less than it sends, and with those of
// our tools of the same names.
package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/anthropic"
	"github.com/claude-force/claude-force/sandbox"
	"github.com/claude-force/claude-force/sim"
	"github.com/claude-force/claude-force/tool/permission"
	"github.com/claude-force/claude-force/toolset"
)

const (
	model = "claude-opus-5-5"
	task  = "Fix the greeting in main.go."
	body  = "You change code as you are asked to, and check your work." // of the agent's file
)

const script = `
rules:
  - when: {task: Fix the greeting}
    turns:
      - tools: [{name: Read, input: {file_path: main.go}}]
      - tools: [{name: Bash, input: {command: "ls"}}]
      - tools:
          - {name: Bash, input: {command: "wc -l main.go"}}
          - {name: Bash, input: {command: "head -n 3 main.go"}}
      - tools: [{name: Edit, input: {file_path: main.go, old_string: Helo, new_string: Hello}}]
      - tools: [{name: Read, input: {file_path: missing.go}}]
      - tools: [{name: Bash, input: {command: "grep Helo main.go nothing.go"}}]
      - text: Fixed.
`

func main() {
	sandbox.Main()
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "loop:", err)
		os.Exit(1)
	}
}

// recorder keeps the requests that are sent.
type recorder struct {
	llm.Model
	mu   sync.Mutex
	sent []*llm.Request // before breakpoints are set
	used llm.Usage      // what the service counted for the task
}

func (r *recorder) Stream(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	r.mu.Lock()
	r.sent = append(r.sent, req)
	r.mu.Unlock()
	return r.Model.Stream(ctx, req)
}

func run(ctx context.Context) error {
	three, err := play(ctx, &agent.Agent{Name: "fixer", Description: "Fixes.", Prompt: body, Model: model, Tools: []string{"Read", "Edit", "Bash"}})
	if err != nil {
		return err
	}
	all, err := play(ctx, &agent.Agent{Name: "fixer", Description: "Fixes.", Prompt: body, Model: model, AllTools: true})
	if err != nil {
		return err
	}
	fmt.Printf("%d requests to %s\n%-46s %8s %8s %8s %8s %11s\n", len(three.sent), model, "prompts", "tokens", "plain", "written", "read", "cost")
	for _, row := range []struct {
		name     string
		requests []*llm.Request // nil if used is known
		used     llm.Usage
	}{
		{"an agent with Read, Edit, Bash", nil, three.used},
		{"  the same without prompt caching", plain(three.sent), llm.Usage{}},
		{"an agent with all tools", nil, all.used},
		{"  the same without prompt caching", plain(all.sent), llm.Usage{}},
		{"Claude Code, without its tools' definitions", theirs(three.sent, nil), llm.Usage{}},
		{"Claude Code, with our definitions of its tools", theirs(three.sent, all.sent[0].Tools), llm.Usage{}},
	} {
		used := row.used
		if row.requests != nil {
			var err error
			if used, err = count(ctx, row.requests); err != nil {
				return fmt.Errorf("%s: %w", row.name, err)
			}
		}
		used.OutputTokens = 0
		cost, ok := llm.Prices().Cost(model, used)
		if !ok {
			return errors.New("the model has no price")
		}
		fmt.Printf("%-46s %8d %8d %8d %8d %10.5f$\n", row.name, used.PromptTokens(), used.InputTokens, used.CacheWrite5m+used.CacheWrite1h, used.CacheReadTokens, cost)
	}
	return nil
}

// play has an agent do the task and returns what was sent.
func play(ctx context.Context, a *agent.Agent) (*recorder, error) {
	dir, err := os.MkdirTemp("", "claude-force-loop-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	project := filepath.Join(dir, "project")
	source := "package main\n\nimport \"fmt\"\n\nfunc main() {\n" + strings.Repeat("\tfmt.Println(\"one line of a program\")\n", 40) + "\tfmt.Println(\"Helo\")\n}\n"
	if err := errors.Join(os.MkdirAll(project, 0o700), os.WriteFile(filepath.Join(project, "main.go"), []byte(source), 0o600)); err != nil {
		return nil, err
	}
	cfg, err := config.Load(config.Sources{Dir: dir, Home: dir})
	if err != nil {
		return nil, err
	}
	cfg.Cache.Enabled = false
	played, err := sim.ParseScript("script", []byte(script))
	if err != nil {
		return nil, err
	}
	seen := &recorder{}
	orch, err := claudeforce.New(ctx, claudeforce.Options{
		Dir: project, Config: cfg, Agents: []*agent.Agent{a}, Simulator: sim.New(sim.Options{Script: played}),
		Toolset: &toolset.Options{Policy: permission.Policy{Mode: permission.ModeBypass}, SandboxOff: true},
		Wrap: func(next llm.Model) llm.Model {
			seen.Model = next
			return seen
		},
	})
	if err != nil {
		return nil, err
	}
	res, err := orch.Execute(ctx, claudeforce.Task{Agent: a.Name, Prompt: task}, nil)
	if err := errors.Join(err, orch.Close()); err != nil {
		return nil, err
	}
	if res.Turns != 7 || res.ToolCalls != 7 || res.Output != "Fixed." {
		return nil, fmt.Errorf("the agent ended after %d turns and %d calls with %q", res.Turns, res.ToolCalls, res.Output)
	}
	seen.used = res.Usage
	return seen, nil
}

// count sends requests to a new simulator, one after the other, and returns what it
// counted.
func count(ctx context.Context, requests []*llm.Request) (llm.Usage, error) {
	var sum llm.Usage
	provider, err := anthropic.New(anthropic.Options{
		APIKey: "simulated", KeySource: "the simulator", BaseURL: "http://simulator.invalid",
		HTTPClient: &http.Client{Transport: sim.New(sim.Options{}).RoundTripper()},
	})
	if err != nil {
		return sum, err
	}
	for _, req := range requests {
		answer, err := llm.Collect(provider.Stream(ctx, req))
		if err != nil {
			return sum, err
		}
		sum = sum.Add(answer.Usage)
	}
	return sum, nil
}

// plain returns requests without breakpoints.
func plain(requests []*llm.Request) []*llm.Request {
	out := make([]*llm.Request, len(requests))
	for i, req := range requests {
		bare := *req
		bare.System = unmarked(req.System)
		bare.Messages = nil
		for _, m := range req.Messages {
			bare.Messages = append(bare.Messages, llm.Message{Role: m.Role, Content: unmarked(m.Content)})
		}
		out[i] = &bare
	}
	return out
}

func unmarked(blocks []llm.Block) []llm.Block {
	out := slices.Clone(blocks)
	for i := range out {
		out[i].CacheControl = nil
	}
	return out
}

var breakpoint = []byte(`{"type":"ephemeral"}`)

// theirs returns requests as Claude Code builds them around the same calls and
// results: its texts have the lengths that were measured, and three breakpoints.
func theirs(ours []*llm.Request, definitions []llm.Tool) []*llm.Request {
	var tools []llm.Tool
	for _, d := range definitions {
		if slices.Contains([]string{"Agent", "Bash", "Edit", "Read", "Skill", "Write"}, d.Name) {
			tools = append(tools, d)
		}
	}
	if tools == nil { // calls need a tool
		tools = []llm.Tool{{Name: "Read"}, {Name: "Edit"}, {Name: "Bash"}}
	}
	requests := plain(ours)
	for _, req := range requests {
		req.Tools = tools
		req.System = []llm.Block{words(74), words(62), words(7046)}
		req.System[1].CacheControl, req.System[2].CacheControl = breakpoint, breakpoint
		first := llm.Message{Role: llm.RoleUser, Content: []llm.Block{words(580), llm.TextBlock(task)}}
		environment := llm.Message{Role: "system", Content: []llm.Block{words(9700)}}
		req.Messages = append([]llm.Message{first, environment}, req.Messages[1:]...)
		last := req.Messages[len(req.Messages)-1].Content
		last[len(last)-1].CacheControl = breakpoint
	}
	return requests
}

// words returns a text of a length.
func words(length int) llm.Block {
	return llm.TextBlock(strings.Repeat("word ", length/5+1)[:length])
}
