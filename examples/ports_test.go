package examples

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/internal/citest"
)

// port is how a file of ports is tried: with which answers of the simulator and of
// people, and what must come of it.
type port struct {
	args    []string   // of run
	script  string     // rules of the simulator
	answers [][]string // arguments of runs approve, one after the other
	setup   func(t *testing.T, dir string)

	output string         // the run's output; a regular expression
	calls  map[string]int // of models, by step of the top level with what is within it
	files  map[string]string
}

var ports = map[string]port{
	"research.yaml": {
		args:   []string{"-p", "topic=queues"},
		script: "  - {when: {task: Name every}, text: FIFO}\n  - {when: {task: What is missing}, text: LIFO}\n  - {when: {task: Write the research}, text: Both.}\n",
		output: `^Both\.$`, calls: map[string]int{"research": 1, "review": 1, "refine": 1},
	},
	"map-reduce.yaml": {
		script: `  - {when: {task: Name two}, text: '{"subjects": ["cat", "dog", "owl"]}'}
  - {when: {task: about cat}, text: Meow}
  - {when: {task: about dog}, text: Woof}
  - {when: {task: about owl}, text: Hoo}
  - {when: {task: Which of these}, text: '{"id": 2}'}
`,
		output: "^Hoo$", calls: map[string]int{"subjects": 1, "jokes": 3, "best": 1},
	},
	"self-grading.yaml": {
		script: `  - {when: {task: Bob asks}, text: "` + strings.Repeat("All of them. ", 60) + `"}
  - {when: {task: You answer}, text: "Yes, in every shop."}
  - {when: {task: Does this text}, text: '{"pass": true, "why": "It does."}'}
`,
		output: "^9 of 10 passed$",
	},
	"technical-debt.yaml": {
		args:   []string{"--allow", "Edit(technical-debt-report.md)", "-p", "complexity=9"},
		script: "  - {when: {task: complexity of 9}, text: Parse is complex.}\n  - {when: {task: In .}, text: Nothing.}\n  - {when: {task: Write a report}, text: First Parse.}\n",
		output: "^First Parse.$", calls: map[string]int{"analyses": 5, "report": 1},
		files: map[string]string{"technical-debt-report.md": "First Parse."},
	},
	"controller.yaml": {
		script: "  - {when: {task: too large}, text: A small one.}\n  - {when: {task: Draft}, text: A large one.}\n",
		answers: [][]string{
			{"until@1/review", "--field", "approved=false", "--field", "notes=too large"},
			{"until@2/review", "--field", "approved=true"},
		},
		output: "^A small one.$", calls: map[string]int{"until": 2},
	},
	"dead-code.yaml": {
		args:  []string{"--allow", "Edit"},
		setup: func(t *testing.T, dir string) { put(t, dir, "a.go", "package a\n\nvar unused = 1\n") },
		script: `  - {when: {task: "were kept: []"}, text: '{"items": [{"file": "a.go", "symbol": "unused", "kind": "variable"}]}'}
  - {when: {task: 'were kept: ["unused"]'}, text: '{"items": []}'}
  - when: {task: Remove the variable unused}
    turns:
      - tools: [{name: Read, input: {file_path: a.go}}]
      - tools: [{name: Edit, input: {file_path: a.go, old_string: "\n\nvar unused = 1", new_string: ""}}]
      - text: Removed.
`,
		output: `^{"rounds":2,"removed":1}$`, calls: map[string]int{"sweep": 5},
		files: map[string]string{"a.go": "package a\n"},
	},
	"plan-and-execute.yaml": {
		args: []string{"-p", "question=When?"},
		script: `  - {when: {task: Which steps}, text: '{"steps": ["find the person", "find the year"]}'}
  - {when: {task: "first step: [\"find the person\""}, text: Hopper}
  - {when: {task: "first step: [\"find the year\""}, text: "1952"}
  - {when: {task: "/done is \\[\\]/"}, text: '{"answer": "", "steps": ["find the year"]}'}
  - {when: {task: "/done is .*Hopper/"}, text: '{"answer": "In 1952.", "steps": []}'}
`,
		output: "^In 1952.$", calls: map[string]int{"plan": 1, "act": 4},
	},
	"lead-score.yaml": {
		args: []string{"-p", "leads=@leads.csv", "--allow", "Edit(emails/**)"},
		setup: func(t *testing.T, dir string) {
			put(t, dir, "leads.csv", "id,name,bio\n07,Ann,wrote a shop\n08,Bob,wrote a book\n09,Cy,wrote a game\n10,Di,wrote an app\n")
		},
		script: `  - {when: {task: "/Ann.*\\n.*Games/"}, text: '{"score": 5, "reason": "r"}'}
  - {when: {task: "/Cy.*\\n.*Games/"}, text: '{"score": 97, "reason": "r"}'}
  - {when: {task: Score Ann}, text: '{"score": 88, "reason": "r"}'}
  - {when: {task: Score Bob}, text: '{"score": 12, "reason": "r"}'}
  - {when: {task: Score Cy}, text: '{"score": 43, "reason": "r"}'}
  - {when: {task: Score Di}, text: '{"score": 64, "reason": "r"}'}
  - {when: {task: thank them}, text: No.}
  - {when: {task: ask for times}, text: When?}
`,
		answers: [][]string{
			{"score@1/choose", "--field", "next=score again", "--field", "feedback=Games count twice."},
			{"score@2/choose", "--field", "next=write"},
		},
		output: "emails/09.txt", calls: map[string]int{"emails": 4},
		files: map[string]string{"emails/07.txt": "No.", "emails/08.txt": "When?", "emails/09.txt": "When?", "emails/10.txt": "When?"},
	},
	"refine-pr.yaml": {
		args:  []string{"--allow", "Edit"},
		setup: func(t *testing.T, dir string) { put(t, dir, "base", "one\n") },
		script: `  - {when: {task: Review this}, text: A review.}
  - {when: {task: Plan the correction}, text: A plan.}
  - {when: {task: Compare both}, text: Both plans.}
  - {when: {task: Merge these}, text: Plan 1}
  - {when: {task: "/Does this plan.*Plan [12]/s"}, text: '{"approved": false, "issues": ["no test"]}'}
  - {when: {task: Does this plan}, text: '{"approved": true, "issues": []}'}
  - {when: {task: "/Correct the plan.*Plan 1/s"}, text: Plan 2}
  - {when: {task: "/Correct the plan.*Plan 2/s"}, text: Plan 3}
  - {when: {task: Must a person}, text: '{"ask": true, "questions": ["Which?"]}'}
  - when: {task: Carry out}
    turns:
      - tools: [{name: Read, input: {file_path: base}}]
      - tools: [{name: Edit, input: {file_path: base, old_string: changed, new_string: corrected}}]
      - text: Corrected.
  - {when: {task: Review again}, text: Good.}
  - {when: {task: Is it good}, text: '{"approved": true, "issues": []}'}
`,
		answers: [][]string{{"recipe@1/answers", "--field", "answers=The first."}},
		output:  `"approved": true`, files: map[string]string{"base": "corrected\n"},
	},
	"design.yaml": {
		args: []string{"-p", "purpose=tokens", "--allow", "Edit(docs/**)"},
		script: `  - when: {task: Write the design}
    turns:
      - tools: [{name: Write, input: {file_path: docs/design.md, content: "Tokens.\n"}}]
      - text: Written.
  - when: {task: no expiry}
    turns:
      - tools: [{name: Edit, input: {file_path: docs/design.md, old_string: Tokens., new_string: Tokens that expire.}}]
      - text: They expire now.
  - {when: {task: Correct the design}, text: Shorter now.}
  - {when: {task: Are the facts}, times: 1, text: '{"score": 60, "notes": "no expiry"}'}
  - {when: {task: Are the facts}, text: '{"score": 95, "notes": ""}'}
  - {when: {task: well ordered}, times: 1, text: '{"score": 80, "notes": "too long"}'}
  - {when: {task: well ordered}, text: '{"score": 92, "notes": ""}'}
`,
		output: `"technical":95,"readability":92,"iterations":3`, calls: map[string]int{"refine": 10},
		files: map[string]string{"docs/design.md": "Tokens that expire.\n"},
	},
	"pr-review.yaml": {
		args:  []string{"--allow", "Edit(reviews/**)", "-p", "prove=false"},
		setup: func(t *testing.T, dir string) { put(t, dir, "base", "one\n") },
		script: `  - {when: {task: Which of these}, text: '{"summary": "It changes base.", "code": true, "generated": false, "schemas": false, "tests": false, "docs": true}'}
  - {when: {task: wrong branches}, text: '{"findings": [{"title": "no test", "severity": "high", "file": "base", "why": "w"}, {"title": "a name", "severity": "low", "file": "base", "why": "w"}]}'}
  - {when: {task: claims that}, text: '{"findings": [{"title": "a promise", "severity": "medium", "file": "base", "why": "w"}]}'}
  - {when: {task: a promise}, text: '{"confirmed": false}'}
  - {when: {task: "/Look at the code.*no test/"}, text: '{"confirmed": true}'}
  - {when: {task: "/Look at the rules.*no test/"}, text: '{"confirmed": false}'}
  - {when: {task: Write the report}, text: One finding of three is left.}
`,
		output: "^One finding", calls: map[string]int{"scope": 1, "review": 5, "report": 1},
		files: map[string]string{"reviews/main.md": "One finding of three is left."},
	},
	"code-review.yaml": {
		args: []string{"-p", "pr=12", "-p", "comment=true", "--sandbox=off",
			"--allow", "Bash(gh pr view:*)", "--allow", "Bash(gh pr diff:*)", "--allow", "Bash(gh pr comment:*)"},
		setup: func(t *testing.T, dir string) {
			put(t, dir, "base", "one\n")
			put(t, dir, "CLAUDE.md", "No globals.\n")
			put(t, dir, "bin/gh", `#!/bin/sh
case "$2" in
view) echo '{"title": "Add a cache", "state": "OPEN", "isDraft": false, "comments": []}' ;;
diff) echo '+var cache map[string]int' ;;
comment) cat > comment.md ;;
esac
`)
		},
		script: `  - {when: {task: Does this pull request}, text: '{"review": true}'}
  - {when: {task: Sum up}, text: It adds a cache.}
  - {when: {task: bugs that}, text: '{"findings": [{"file": "a.go", "line": 1, "what": "the map is nil"}]}'}
  - {when: {task: wrong logic}, text: '{"findings": []}'}
  - {when: {task: violations}, text: '{"findings": [{"file": "a.go", "line": 1, "what": "a global"}]}'}
  - {when: {task: a global}, text: '{"real": false}'}
  - {when: {task: the map is nil}, text: '{"real": true}'}
  - {when: {task: Write a comment}, text: The map is nil.}
`,
		output: "^The map is nil.$", calls: map[string]int{"needed": 1, "review": 8, "text": 1},
		files: map[string]string{"comment.md": "The map is nil."},
	},
}

// TestPorts runs the workflows that were carried over from other tools.
func TestPorts(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "claude-force")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../cmd/claude-force").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	files, err := filepath.Glob("ports/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		p, ok := ports[name]
		if !ok {
			if name != "controller-design.yaml" {
				t.Errorf("%s is not tried", file)
			}
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p.try(t, binary, filepath.Join(here(t), "examples", "ports", name))
		})
	}
}

func (p port) try(t *testing.T, binary, file string) {
	dir, home := t.TempDir(), t.TempDir()
	git := func(args ...string) {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	if p.setup != nil {
		p.setup(t, dir)
	}
	if _, err := os.Stat(filepath.Join(dir, "base")); err == nil { // a branch with what is reviewed
		if _, err := exec.LookPath("git"); err != nil {
			citest.Missing(t, "git is missing: %v", err)
		}
		git("init", "-q", "-b", "main")
		git("add", ".")
		git("-c", "user.name=n", "-c", "user.email=n@example.com", "commit", "-q", "-m", "start")
		git("checkout", "-q", "-b", "change")
		if err := os.WriteFile(filepath.Join(dir, "base"), []byte("changed\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		git("-c", "user.name=n", "-c", "user.email=n@example.com", "commit", "-qam", "change")
	}
	script := filepath.Join(home, "script.yaml")
	if err := os.WriteFile(script, []byte("strict: true\nrules:\n"+p.script), 0o600); err != nil {
		t.Fatal(err)
	}
	command := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), binary, args...)
		cmd.Dir, cmd.Env = dir, []string{"HOME=" + home, "PATH=" + filepath.Join(dir, "bin") + string(os.PathListSeparator) + os.Getenv("PATH")}
		return cmd
	}
	run := command(append([]string{"run", file, "--simulate=instant", "--script", script, "--json"}, p.args...)...)
	var out, errs bytes.Buffer
	run.Stdout, run.Stderr = &out, &errs
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	stop := answering(command, p.answers)
	err := run.Wait()
	stop()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, &out, &errs)
	}
	var res engine.Result
	if err := json.Unmarshal(out.Bytes(), &res); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	if !regexp.MustCompile(p.output).MatchString(res.Output) {
		t.Errorf("output %q; want %s\n%s", res.Output, p.output, &errs)
	}
	for step, want := range p.calls {
		if got := res.Steps[step].Calls; got != want {
			t.Errorf("step %s made %d calls; want %d\n%s", step, got, want, &errs)
		}
	}
	for name, want := range p.files {
		if data, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(data) != want {
			t.Errorf("%s has %q, %v; want %q", name, data, err, want)
		}
	}
}

// put writes a file, which can be executed.
func put(t *testing.T, dir, name, content string) {
	t.Helper()
	name = filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o700); err != nil {
		t.Fatal(err)
	}
}

// TestPortsHaveTheLinesThatAreSaid compares the table of ports with the files.
func TestPortsHaveTheLinesThatAreSaid(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("ports/README.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| \[(\S+)\]\(\S+\) \| (\d+)`).FindAllStringSubmatch(string(page), -1)
	if len(rows) != len(ports) {
		t.Errorf("the table has %d rows, and there are %d ports", len(rows), len(ports))
	}
	for _, row := range rows {
		files, err := filepath.Glob(filepath.Join("ports", strings.TrimSuffix(row[1], ".yaml")+"*.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		lines := 0
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			lines += bytes.Count(data, []byte("\n"))
		}
		if strconv.Itoa(lines) != row[2] {
			t.Errorf("%s has %d lines; the table says %s", row[1], lines, row[2])
		}
	}
}
