package skill_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/sandbox"
	"github.com/claude-force/claude-force/skill"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/tool"
	"github.com/claude-force/claude-force/tool/permission"
	"github.com/claude-force/claude-force/toolset"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(m.Run())
}

func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// play is an agent in a project.
type play struct {
	t     *testing.T
	tools *task.Tools
	env   *tool.Env
}

func start(t *testing.T, dir, home string, policy permission.Policy, asker permission.Asker, a *agent.Agent) *play {
	t.Helper()
	policy.Home = home
	project, err := toolset.Open(toolset.Options{
		Dir: dir, Policy: policy, Asker: asker, SandboxOff: true, // what is run is read-only or harmless
		Contributors: []toolset.Contributor{skill.Contributor(skill.ContributorOptions{Home: home})},
	})
	if err != nil {
		t.Fatal(err)
	}
	tools, err := project.For(t.Context(), a, task.Task{})
	if err != nil {
		t.Fatal(err)
	}
	env, err := tools.Env()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(tools.Close(), env.Close()); err != nil {
			t.Error(err)
		}
	})
	return &play{t, tools, env}
}

func (p *play) call(name, input string) tool.Result {
	return p.tools.Set.Call(p.t.Context(), p.env, llm.Block{Name: name, Input: json.RawMessage(input)})
}

var all = &agent.Agent{Name: "a", AllTools: true}

// note returns the texts of notes.
func note(r tool.Result) string {
	var texts []string
	for _, b := range r.Notes {
		texts = append(texts, b.Text)
	}
	return strings.Join(texts, "\n--\n")
}

func rules(t *testing.T, text string) []permission.Rule {
	t.Helper()
	list, err := permission.ParseRules(text)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestGolden(t *testing.T) {
	t.Parallel()
	f, err := os.Open("testdata/golden.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	type call struct {
		Tool  string          `json:"tool"`
		Input json.RawMessage `json:"input"`
	}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var c struct {
			call
			ID    string `json:"id"`
			Setup struct {
				Files map[string]string `json:"files"`
			} `json:"setup"`
			Pre     []call   `json:"pre"`
			Mode    string   `json:"mode"`
			Args    []string `json:"args"`
			IsError bool     `json:"is_error"`
			Must    []string `json:"must_contain"`
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		t.Run(c.ID, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, c.Setup.Files)
			mode, err := permission.ParseMode(c.Mode)
			if err != nil {
				t.Fatal(err)
			}
			policy := permission.Policy{Mode: mode}
			if i := slices.Index(c.Args, "--allowedTools"); i >= 0 {
				policy.Allow = rules(t, c.Args[i+1])
			}
			p := start(t, dir, "", policy, nil, all)
			for _, pre := range c.Pre {
				p.call(pre.Tool, string(pre.Input))
			}
			r := p.call(c.Tool, string(c.Input))
			if r.IsError != c.IsError {
				t.Errorf("is_error %v: %s", r.IsError, r.Text)
			}
			for _, want := range c.Must {
				if want = strings.ReplaceAll(want, "$CWD", dir); !strings.Contains(r.Text, want) {
					t.Errorf("no %q in %q", want, r.Text)
				}
			}
		})
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	const template = `[$0][$1][$2][$ARGUMENTS][$ARGUMENTS[0]][${0}][\$1] $HOME ${CLAUDE_SESSION_ID} $0x \$HOME`
	for _, test := range []struct{ body, args, want string }{
		{template, `"a b" c`, `[a b][c][$2]["a b" c][a b][${0}][$1] $HOME ${CLAUDE_SESSION_ID} $0x \$HOME`},
		{template, `'x y' z`, `[x y][z][$2]['x y' z][x y][${0}][$1] $HOME ${CLAUDE_SESSION_ID} $0x \$HOME`},
		{template, `a\ b c`, `[a b][c][$2][a\ b c][a b][${0}][$1] $HOME ${CLAUDE_SESSION_ID} $0x \$HOME`},
		{template, "", `[$0][$1][$2][][$ARGUMENTS[0]][${0}][$1] $HOME ${CLAUDE_SESSION_ID} $0x \$HOME`},
		{"Do it.", "now", "Do it.\n\nARGUMENTS: now"},
		{"Costs $5.", "now", "Costs $5.\n\nARGUMENTS: now"},
		{"Do it.", " ", "Do it."},
		{"In ${CLAUDE_SKILL_DIR}: $99999999999999999999", "", "In /s: $99999999999999999999"},
		{"!`one $0`, x!`two`, `!`, !`` and\n```\n!`three`\n```\n!`four`", "`five` !`six`", "ran(one five), x!`two`, `!`, !`` and\n```\n!`three`\n```\nran(four)"},
		{"$ARGUMENTS", "!`six`", "!`six`"},
	} {
		s := &skill.Skill{Name: "s", Dir: "/s", Body: test.body}
		if strings.Contains(test.args, "five") {
			s.Body = strings.Replace(s.Body, "$0", "five", 1)
			test.args = ""
		}
		x, err := s.Expand(t.Context(), test.args, skill.Host{Run: func(_ context.Context, command string) (string, error) { return "ran(" + command + ")", nil }})
		if err != nil || x.Text != test.want {
			t.Errorf("%q with %q: %q, %v; want %q", test.body, test.args, x.Text, err, test.want)
		}
	}
	huge := &skill.Skill{Body: strings.Repeat("$ARGUMENTS ", 1<<16)}
	if _, err := huge.Expand(t.Context(), strings.Repeat("x", 1<<10), skill.Host{}); err == nil {
		t.Error("a body without an end was filled in")
	}
}

// TestArgumentsProperty fills in arguments: each comes back whole, and nothing of an
// argument is run or filled in again.
func TestArgumentsProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		args := rapid.SliceOfN(rapid.StringMatching("[a-z $!`@{}'\"\\\\\n0-9]{1,12}"), 0, 5).Draw(t, "args")
		quoted := make([]string, len(args))
		for i, a := range args {
			quoted[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		text := strings.Join(quoted, " ")
		if got := skill.SplitArgs(text); !slices.Equal(got, args) && len(args) > 0 {
			t.Fatalf("%q split into %q", text, got)
		}
		body, want := "", ""
		for range rapid.IntRange(0, 6).Draw(t, "parts") {
			i := rapid.IntRange(0, 6).Draw(t, "index")
			value := fmt.Sprintf("$%d", i)
			if i < len(args) {
				value = args[i]
			}
			form := rapid.SampledFrom([]string{"<$%d>", "<$ARGUMENTS[%d]>"}).Draw(t, "form")
			if i >= len(args) {
				value = fmt.Sprintf(strings.Trim(form, "<>"), i)
			}
			body += fmt.Sprintf(form, i)
			want += "<" + value + ">"
		}
		s := &skill.Skill{Body: body}
		x, err := s.Expand(context.Background(), text, skill.Host{Run: func(context.Context, string) (string, error) {
			t.Fatal("an argument was run")
			return "", nil
		}})
		if err != nil || x.Text != want && x.Text != want+"\n\nARGUMENTS: "+text {
			t.Fatalf("%q with %q: %q, want %q, %v", body, text, x.Text, want, err)
		}
	})
}

// TestSkillsOfAProject loads skills and commands as an agent does.
func TestSkillsOfAProject(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	dir, home := filepath.Join(base, "p"), filepath.Join(base, "home")
	write(t, base, map[string]string{
		"p/.claude/skills/greet/SKILL.md":    "---\nname: Greeter\ndescription: Greets\nwhen_to_use: for guests\n---\n# Greet\nHello $0. !`echo hi`! !`touch made`\nSee @note.txt and @../secret.\n",
		"p/.claude/skills/twice/SKILL.md":    "project's",
		"p/.claude/skills/hidden/SKILL.md":   "---\ndisable-model-invocation: true\n---\nx",
		"p/.claude/skills/wide/SKILL.md":     "---\nallowed-tools: Bash(touch:*)\n---\nx",
		"p/.claude/skills/reads/SKILL.md":    "---\nallowed-tools: Read, Grep\n---\nx",
		"p/.claude/skills/no/x.md":           "x",
		"p/.claude/commands/sub/fix.md":      "Fix $1",
		"p/.claude/commands/twice.md":        "command",
		"p/note.txt":                         "noted\n",
		"secret":                             "SECRET",
		"home/.claude/skills/twice/SKILL.md": "---\ndescription: own\nallowed-tools: Bash(touch:*)\n---\nuser's ${CLAUDE_SKILL_DIR}",
		"home/.claude/skills/twice/ref.txt":  "ref",
		"home/.claude/skills/other/ref.txt":  "other",
	})
	if err := os.Symlink(filepath.Join(home, ".claude", "skills", "twice"), filepath.Join(dir, ".claude", "skills", "out")); err != nil {
		t.Fatal(err)
	}
	p := start(t, dir, home, permission.Policy{Allow: rules(t, "Skill(wide)"), Mode: permission.ModeDefault}, nil, all)
	wantList := "- greet (Greeter): Greets - for guests\n- reads: x\n- sub:fix: Fix $1\n- twice: own\n- wide: x\n"
	if got := strings.Join(p.tools.Context, ""); !strings.Contains(got, wantList) {
		t.Errorf("listing %q", got)
	}

	r := p.call("Skill", `{"skill": "/greet", "args": "Bob"}`)
	text := note(r)
	if r.Text != "Launching skill: greet" || !strings.HasPrefix(text, "Base directory for this skill: "+filepath.Join(dir, ".claude/skills/greet")+"\n\n# Greet\nHello Bob. hi! (the command touch made was not run: ") {
		t.Errorf("%q with %q", r.Text, text)
	}
	if !strings.Contains(text, "1\tnoted") || strings.Contains(text, "SECRET") {
		t.Errorf("files: %q", text)
	}
	if _, err := os.Stat(filepath.Join(dir, "made")); err == nil {
		t.Error("a command was run without permission")
	}
	if text := note(p.call("Skill", `{"skill": "Greeter", "args": "Bob"}`)); !strings.Contains(text, "loaded already") {
		t.Errorf("twice: %q", text)
	}
	if text := note(p.call("Skill", `{"skill": "sub:fix", "args": "a b"}`)); text != "Fix b" {
		t.Errorf("command: %q", text)
	}
	for _, test := range []struct {
		name  string
		error string
	}{{"GREET", "did you mean"}, {"hidden", "users only"}, {"twice", "needs permission"}, {"reads", ""}, {"wide", ""}, {"out", "there is no skill"}} {
		r := p.call("Skill", fmt.Sprintf(`{"skill": %q}`, test.name))
		if r.IsError != (test.error != "") || !strings.Contains(r.Text, test.error) {
			t.Errorf("%s: %q", test.name, r.Text)
		}
	}
	// The user named a project's skill, not what its file asks for.
	if r := p.call("Bash", `{"command": "touch made"}`); !r.IsError {
		t.Error("a project's skill widened what the user granted")
	}
	if r := p.call("Read", fmt.Sprintf(`{"file_path": %q}`, filepath.Join(home, ".claude/skills/twice/ref.txt"))); !r.IsError {
		t.Error("a file of a skill that was not loaded was read")
	}

	// The user's own skill gets what it asks for, and its files, once it is allowed.
	p = start(t, dir, home, permission.Policy{Allow: rules(t, "Skill(twice)")}, nil, all)
	if text := note(p.call("Skill", `{"skill": "twice"}`)); !strings.Contains(text, "user's "+filepath.Join(home, ".claude/skills/twice")) {
		t.Errorf("%q", text)
	}
	change := p.env.TakeChange()
	again := start(t, dir, home, permission.Policy{Allow: rules(t, "Skill(twice)")}, nil, all)
	again.env.Restore(change)
	// A process in which the user no longer allows the skill does not allow its rules.
	taken := start(t, dir, home, permission.Policy{}, nil, all)
	taken.env.Restore(change)
	if r := taken.call("Bash", `{"command": "touch made"}`); !r.IsError {
		t.Error("what a skill asks for outlives the rule that allowed it")
	}
	for _, p := range []*play{p, again} {
		for name, want := range map[string]bool{"twice/ref.txt": true, "other/ref.txt": false} {
			if r := p.call("Read", fmt.Sprintf(`{"file_path": %q}`, filepath.Join(home, ".claude/skills", name))); r.IsError == want {
				t.Errorf("%s: %s", name, r.Text)
			}
		}
		if r := p.call("Write", fmt.Sprintf(`{"file_path": %q, "content": "x"}`, filepath.Join(home, ".claude/skills/twice/ref.txt"))); !r.IsError {
			t.Error("a file of a skill was changed")
		}
		if r := p.call("Bash", `{"command": "touch made"}`); r.IsError {
			t.Errorf("the user's skill has not what it asks for: %s", r.Text)
		}
	}

	// The user says yes to a project's skill and what it asks for.
	asked := ""
	p = start(t, dir, home, permission.Policy{}, func(_ context.Context, q permission.Question) (bool, error) {
		asked += q.Tool + ": " + q.Reason
		return q.Tool == "Skill", nil
	}, all)
	if r := p.call("Skill", `{"skill": "wide"}`); r.IsError || !strings.Contains(asked, "Bash(touch:*)") {
		t.Errorf("%q after %q", r.Text, asked)
	}
	if r := p.call("Bash", `{"command": "touch made"}`); r.IsError {
		t.Errorf("what was granted is not: %s", r.Text)
	}
}

// TestPreloaded gives an agent the skills that its file names, without the tool.
func TestPreloaded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{".claude/skills/a/SKILL.md": "Be kind. !`touch made`"})
	p := start(t, dir, "", permission.Policy{Mode: permission.ModeBypass}, nil, &agent.Agent{Name: "x", Tools: []string{"Read"}, Extra: map[string]any{"skills": "a, none"}})
	if len(p.tools.Context) != 1 || !strings.Contains(p.tools.Context[0], "Be kind. (the command touch made was not run") || p.tools.Sources["skill a"] == "" {
		t.Errorf("%q %v", p.tools.Context, p.tools.Sources)
	}
	if names := p.tools.Set.Names(); !slices.Equal(names, []string{"Read"}) {
		t.Errorf("tools %q", names)
	}
	if _, err := os.Stat(filepath.Join(dir, "made")); err == nil {
		t.Error("a command was run on load")
	}
}

// TestDenied leaves out files that must not be read, also behind links.
func TestDenied(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{
		".env": "SECRET", ".claude/skills/good/SKILL.md": "x", ".claude/skills/bad/SKILL.md": "SECRET",
		".claude/skills/link/other.md": "x", ".claude/commands/c.md": "x",
	})
	for _, link := range [][2]string{{"../../../.env", ".claude/skills/link/SKILL.md"}, {"../../.env", ".claude/commands/link.md"}} {
		if err := os.Symlink(link[0], filepath.Join(dir, link[1])); err != nil {
			t.Fatal(err)
		}
	}
	p := start(t, dir, "", permission.Policy{Deny: rules(t, "Read(.env) Read(.claude/skills/bad/**)")}, nil, all)
	if got := strings.Join(p.tools.Context, ""); !strings.Contains(got, "- c: x\n- good: x\n") || strings.Contains(got, "SECRET") {
		t.Errorf("listing %q", got)
	}
	for _, name := range []string{"bad", "link"} {
		if r := p.call("Skill", fmt.Sprintf(`{"skill": %q}`, name)); !r.IsError || strings.Contains(note(r), "SECRET") {
			t.Errorf("%s: %q with %q", name, r.Text, note(r))
		}
	}
}

func TestListingIsBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := map[string]string{}
	for i := range 100 {
		files[fmt.Sprintf(".claude/skills/s%02d/SKILL.md", i)] = "---\ndescription: " + strings.Repeat("é", 3000) + "\n---\n"
	}
	write(t, dir, files)
	set, err := skill.Discover(skill.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	list := set.Listing()
	if n := len(list); n > 32<<10 || strings.Count(list, "\n") != 99 || strings.Contains(list, strings.Repeat("é", 1537)) || !strings.Contains(list, strings.Repeat("é", 1536)) {
		t.Errorf("%d bytes: %.200q", n, list)
	}
}
