package toolset_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/agent/builtin"
	"github.com/claude-force/claude-force/internal/citest"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/sandbox"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/tool"
	"github.com/claude-force/claude-force/tool/permission"
	"github.com/claude-force/claude-force/toolset"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(m.Run())
}

// named returns a tool that does nothing.
func named(t *testing.T, name string) tool.Tool {
	t.Helper()
	f, err := tool.Func(name, "Does nothing.", func(context.Context, struct{}) (string, error) { return "done by " + name, nil })
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func open(t *testing.T, options toolset.Options) *toolset.Project {
	t.Helper()
	p, err := toolset.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// An agent gets the tools that its file names, and what is there of them.
func TestAgentsGetTheToolsTheyName(t *testing.T) {
	p := open(t, toolset.Options{
		Dir:   t.TempDir(),
		Tools: []tool.Tool{named(t, "order"), named(t, "Glob")},
		Contributors: []toolset.Contributor{func(_ context.Context, s *toolset.Session) (toolset.Contribution, error) {
			c := toolset.Contribution{Tools: []tool.Tool{named(t, "mcp__db__query"), named(t, "mcp__db2__query"), named(t, "Agent")}}
			if s.Agent.Name == "beyond" {
				c.Beyond = []tool.Tool{named(t, "own"), named(t, "Write"), named(t, "gone")}
			}
			return c, nil
		}},
		Policy: permission.Policy{Deny: []permission.Rule{{Tool: "NotebookEdit", All: true}}},
	})
	all := "Read Write Edit Grep TodoWrite Bash TaskStop order Glob mcp__db__query mcp__db2__query Agent"
	cases := []struct {
		name  string
		agent agent.Agent
		want  string
	}{
		{"all", agent.Agent{AllTools: true}, all},
		{"all but", agent.Agent{AllTools: true, DisallowedTools: []string{"Bash(git:*)", "mcp__db", "Task"}}, strings.NewReplacer("Bash ", "", "TaskStop ", "", "mcp__db__query ", "", " Agent", "").Replace(all)},
		{"none", agent.Agent{}, ""},
		{"order of the file", agent.Agent{Tools: []string{"Grep", "Read", "Glob", "Grep"}}, "Grep Read Glob"},
		{"beside Bash", agent.Agent{Tools: []string{"Read", "Grep", "Glob", "Bash"}}, "Read Grep Glob Bash TaskStop"},
		{"rules", agent.Agent{Tools: []string{"Bash(git:*)", "Edit(src/**)"}}, "Bash TaskStop Edit"},
		{"unknown", agent.Agent{Tools: []string{"read", "Teleport"}}, ""},
		{"former names", agent.Agent{Tools: []string{"LS", "MultiEdit", "Task", "KillBash"}}, "Glob Edit Agent TaskStop"},
		{"a server", agent.Agent{Tools: []string{"mcp__db"}}, "mcp__db__query"},
		{"all of a server", agent.Agent{Tools: []string{"mcp__db2__*"}}, "mcp__db2__query"},
		{"all servers", agent.Agent{Tools: []string{"mcp__*", "Read"}}, "Read"},
		{"denied", agent.Agent{Tools: []string{"NotebookEdit", "Read"}}, "Read"},
		{"beyond", agent.Agent{Name: "beyond", Tools: []string{"Write"}, DisallowedTools: []string{"gone"}}, "Write own"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tools, err := p.For(t.Context(), &c.agent, task.Task{})
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if tools != nil {
				got = strings.Join(tools.Set.Names(), " ")
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("tools (-want +got):\n%s", diff)
			}
		})
	}
}

// call runs one call in a new environment of an agent that may use all tools.
func call(t *testing.T, tools *task.Tools, name, input string) tool.Result {
	t.Helper()
	env, err := tools.Env()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := tools.Close(); err != nil {
			t.Error(err)
		}
		if err := env.Close(); err != nil {
			t.Error(err)
		}
	}()
	return tools.Set.Call(t.Context(), env, llm.Block{Type: llm.BlockToolUse, Name: name, Input: json.RawMessage(input)})
}

// A sub-agent works in the folder of its session and may do what that may, also what
// it was allowed since, and no more.
func TestSubAgentsInheritPermission(t *testing.T) {
	dir, worktree := t.TempDir(), t.TempDir()
	var session *toolset.Session
	p := open(t, toolset.Options{Dir: dir, Contributors: []toolset.Contributor{
		func(_ context.Context, s *toolset.Session) (toolset.Contribution, error) {
			session = s
			return toolset.Contribution{}, nil
		},
	}})
	all := &agent.Agent{AllTools: true}
	if _, err := p.For(t.Context(), all, task.Task{Dir: worktree}); err != nil {
		t.Fatal(err)
	}
	parent := session
	ctx := toolset.WithSession(t.Context(), parent)
	sub, err := p.For(ctx, all, task.Task{})
	if err != nil {
		t.Fatal(err)
	}
	if r := call(t, sub, "Write", `{"file_path":"a.txt","content":"x"}`); !r.IsError {
		t.Error("a sub-agent wrote a file without permission")
	}
	parent.Allow(permission.Rule{Tool: "Write", All: true})
	if sub, err = p.For(ctx, all, task.Task{}); err != nil {
		t.Fatal(err)
	}
	if r := call(t, sub, "Write", `{"file_path":"a.txt","content":"x"}`); r.IsError {
		t.Errorf("a sub-agent of a session that may write may not: %s", r.Text)
	}
	if _, err := os.Stat(filepath.Join(worktree, "a.txt")); err != nil {
		t.Errorf("the sub-agent did not work in the folder of its session: %v", err)
	}
	if session.Depth != 1 {
		t.Errorf("depth is %d; want 1", session.Depth)
	}
}

// The file of an agent of the user's own grants what it names when the user starts
// the agent, and nothing when another agent does.
func TestSubAgentsFilesGrantNothing(t *testing.T) {
	home := t.TempDir()
	var session *toolset.Session
	p := open(t, toolset.Options{Dir: t.TempDir(), Policy: permission.Policy{Home: home}, Contributors: []toolset.Contributor{
		func(_ context.Context, s *toolset.Session) (toolset.Contribution, error) {
			session = s
			return toolset.Contribution{}, nil
		},
	}})
	for name, mine := range map[string]*agent.Agent{
		"rule": {Tools: []string{"Write(a.txt)", "Edit(a.txt)"}},
		"mode": {AllTools: true, PermissionMode: "acceptEdits"},
	} {
		mine.Name, mine.Source = name, filepath.Join(home, ".claude", "agents", name+".md")
		if _, err := p.For(t.Context(), &agent.Agent{AllTools: true}, task.Task{}); err != nil {
			t.Fatal(err)
		}
		parent := session
		for _, c := range []struct {
			ctx   context.Context
			fails bool
		}{{t.Context(), false}, {toolset.WithSession(t.Context(), parent), true}} {
			tools, err := p.For(c.ctx, mine, task.Task{})
			if err != nil {
				t.Fatal(err)
			}
			if r := call(t, tools, "Write", `{"file_path":"a.txt","content":"x"}`); r.IsError != c.fails {
				t.Errorf("%s, of a sub-agent: %v: %s", name, c.fails, r.Text)
			}
		}
	}
}

// Commands of a sub-agent change no more of the repository than those of the agent in
// a worktree that started it.
func TestSubAgentsStayInTheirWorktree(t *testing.T) {
	if probe := sandbox.Probe(); len(probe.Missing()) > 0 || !probe.Namespaces() {
		citest.Missing(t, "commands cannot be isolated")
	}
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir, worktree := filepath.Join(base, "main"), filepath.Join(base, "tree")
	git := exec.CommandContext(t.Context(), "sh", "-ec", `git init -q main; cd main; git -c user.name=a -c user.email=a@b commit -q --allow-empty -m first; git worktree add -q -b claude-force/x ../tree`)
	git.Dir = base
	if out, err := git.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var session *toolset.Session
	p := open(t, toolset.Options{Dir: dir, Policy: permission.Policy{Mode: permission.ModeBypass}, Contributors: []toolset.Contributor{
		func(_ context.Context, s *toolset.Session) (toolset.Contribution, error) {
			session = s
			return toolset.Contribution{}, nil
		},
	}})
	ctx, place := t.Context(), task.Task{Dir: worktree}
	for _, who := range []string{"agent", "sub-agent", "its sub-agent"} {
		tools, err := p.For(ctx, &agent.Agent{AllTools: true}, place)
		if err != nil {
			t.Fatal(err)
		}
		if r := call(t, tools, "Bash", `{"command":"git status && touch new.txt && ! git tag theirs"}`); r.IsError || !strings.Contains(r.Text, "theirs") {
			t.Errorf("%s may not work in the worktree, or may change the project's repository: %s", who, r.Text)
		}
		ctx, place = toolset.WithSession(ctx, session), task.Task{}
	}
}

// What a command depends on is looked at for steps that may be reused, and for no other
// task: it is a walk over the whole project.
func TestTreesAreComparedForStepsAlone(t *testing.T) {
	if probe := sandbox.Probe(); len(probe.Missing()) > 0 || !probe.Namespaces() {
		citest.Missing(t, "commands cannot be isolated")
	}
	rule, err := permission.ParseRule("Bash(true)")
	if err != nil {
		t.Fatal(err)
	}
	p := open(t, toolset.Options{Dir: t.TempDir(), Policy: permission.Policy{Allow: []permission.Rule{rule}}})
	turns := journal.NewTurns(nil, journal.Unit{Step: "s"}, nil)
	for name, c := range map[string]struct {
		place task.Task
		want  string
	}{
		"a step":                {task.Task{Turns: turns}, tool.SawTree},
		"a task of no run":      {task.Task{}, tool.SawAnything},
		"a step that runs once": {task.Task{Turns: turns, NoRetry: true}, tool.SawAnything},
		"a step elsewhere":      {task.Task{Turns: turns, Dir: t.TempDir()}, tool.SawAnything},
	} {
		tools, err := p.For(t.Context(), &agent.Agent{AllTools: true}, c.place)
		if err != nil {
			t.Fatal(err)
		}
		env, err := tools.Env()
		if err != nil {
			t.Fatal(err)
		}
		r := tools.Set.Call(t.Context(), env, llm.Block{Type: llm.BlockToolUse, Name: "Bash", Input: json.RawMessage(`{"command":"true"}`)})
		if seen := env.Observed(); r.IsError || len(seen) != 1 || seen[0].Kind != c.want {
			t.Errorf("%s saw %+v (%s); want one observation of the kind %q", name, seen, r.Text, c.want)
		}
		if err := errors.Join(tools.Close(), env.Close()); err != nil {
			t.Error(err)
		}
	}
}

// Built-in agents get the tools they name: a name that is misspelt or gone would
// take away what their instructions rely on.
func TestBuiltinAgentsGetTheirTools(t *testing.T) {
	p := open(t, toolset.Options{Dir: t.TempDir()})
	set, warnings, err := agent.Discover(agent.DiscoverOptions{Dir: t.TempDir(), Builtin: builtin.FS})
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	acting := 0
	for _, a := range set.All() {
		tools, err := p.For(t.Context(), a, task.Task{})
		if err != nil {
			t.Fatal(err)
		}
		if a.AllTools {
			t.Errorf("%s names no tools; write tools: [] for none", a.Name)
		}
		if tools == nil {
			if len(a.Tools) > 0 {
				t.Errorf("%s gets none of %q", a.Name, a.Tools)
			}
			continue
		}
		acting++
		for _, name := range a.Tools {
			if !slices.Contains(tools.Set.Names(), name) {
				t.Errorf("%s names %s and gets %q", a.Name, name, tools.Set.Names())
			}
		}
		if !strings.Contains(a.Prompt, "\n## Tools\n") {
			t.Errorf("%s has tools and no instructions for them", a.Name)
		}
	}
	if acting < 15 {
		t.Errorf("%d built-in agents act", acting)
	}
}

// TestMayEdit covers the agent's own mode and rules beside what the user granted.
func TestMayEdit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mode  permission.Mode
		agent agent.Agent
		want  bool
	}{
		"accepted":              {permission.ModeAcceptEdits, agent.Agent{AllTools: true}, true},
		"by default":            {permission.ModeDefault, agent.Agent{AllTools: true}, false},
		"the agent plans":       {permission.ModeAcceptEdits, agent.Agent{AllTools: true, PermissionMode: "plan"}, false},
		"the agent asks no one": {permission.ModeAcceptEdits, agent.Agent{AllTools: true, PermissionMode: "dontAsk"}, false},
		"a project's agent":     {permission.ModeDefault, agent.Agent{AllTools: true, PermissionMode: "acceptEdits"}, false},
		"only reading":          {permission.ModeAcceptEdits, agent.Agent{Tools: []string{"Read"}}, false},
	} {
		project, err := toolset.Open(toolset.Options{Dir: t.TempDir(), Policy: permission.Policy{Mode: c.mode}})
		if err != nil {
			t.Fatal(err)
		}
		if got := project.MayEdit(&c.agent, nil); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
