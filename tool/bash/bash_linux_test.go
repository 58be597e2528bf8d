package bash_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/internal/citest"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/sandbox"
	"github.com/claude-force/claude-force/tool"
	"github.com/claude-force/claude-force/tool/bash"
)

// agent is a set of tools in a project.
type agent struct {
	t         *testing.T
	set       *tool.Set
	env       *tool.Env
	cwd, home string
}

func newAgent(t *testing.T, options bash.Options, prepare ...string) *agent {
	t.Helper()
	if !options.Policy.Off {
		isolates(t)
	}
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{t: t, cwd: filepath.Join(base, "work"), home: filepath.Join(base, "home")}
	for _, dir := range []string{a.cwd, a.home} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range prepare {
		cmd := exec.CommandContext(t.Context(), "bash", "-ec", line)
		cmd.Dir = a.cwd
		cmd.Env = append(os.Environ(), "HOME="+a.home)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
	a.set, a.env = newShell(t, a.cwd, a.home, options)
	return a
}

// call calls a tool.
func (a *agent) call(name string, input any) tool.Result {
	a.t.Helper()
	raw, err := json.Marshal(input)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.set.Call(a.t.Context(), a.env, llm.Block{Type: llm.BlockToolUse, Name: name, Input: raw})
}

type object = map[string]any

// bash runs a command.
func (a *agent) bash(command string) tool.Result {
	a.t.Helper()
	return a.call("Bash", object{"command": command})
}

var (
	idIn   = regexp.MustCompile(`\bb[a-z0-9]{8}\b`)
	fileIn = regexp.MustCompile(`/\S+\.output`)
)

func TestBackground(t *testing.T) {
	a := newAgent(t, bash.Options{})
	r := a.call("Bash", object{"command": "echo one; sleep 3600; echo two", "run_in_background": true})
	id, file := idIn.FindString(r.Text), fileIn.FindString(r.Text)
	if r.IsError || id == "" || file == "" {
		t.Fatalf("%+v", r)
	}
	if r := a.call("TaskStop", object{"task_id": id}); r.IsError || !strings.Contains(r.Text, id) {
		t.Errorf("%+v", r)
	}
	if r := a.call("Read", object{"file_path": file}); r.IsError {
		t.Errorf("%+v", r)
	}
	if text, err := os.ReadFile(file); err != nil || strings.Contains(string(text), "two") {
		t.Errorf("%q, %v", text, err)
	}
	for _, input := range []object{{"task_id": id}, {"task_id": "b00000000"}, {"shell_id": "x"}, {}} {
		if r := a.call("TaskStop", input); !r.IsError {
			t.Errorf("%v: %+v", input, r)
		}
	}
}

func TestMovedToBackground(t *testing.T) {
	a := newAgent(t, bash.Options{})
	// A slow machine may not have run the first command yet.
	for timeout := 300; ; timeout *= 2 {
		r := a.call("Bash", object{"command": "echo one; read -t 3600 < <(sleep 3600)", "timeout": timeout})
		if r.IsError || idIn.FindString(r.Text) == "" {
			t.Fatalf("%+v", r)
		}
		if strings.HasSuffix(r.Text, "\none") {
			break
		}
		if timeout > 60_000 {
			t.Fatalf("%+v", r)
		}
	}
	if r := a.call("Bash", object{"command": "sleep 3600; echo late", "timeout": 50}); !r.IsError || !strings.HasPrefix(r.Text, "Exit code 143\nCommand timed out after 50ms") {
		t.Errorf("%+v", r)
	}
}

func TestFinished(t *testing.T) {
	isolates(t)
	base := t.TempDir()
	env, err := tool.NewEnv(base, tool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer env.Close()
	sh := bash.New(bash.Options{})
	defer sh.Close()
	set, err := tool.NewSet(sh.Tools()...)
	if err != nil {
		t.Fatal(err)
	}
	if more, err := sh.Wait(t.Context()); more || err != nil {
		t.Errorf("Wait = %v, %v", more, err)
	}
	r := set.Call(t.Context(), env, llm.Block{Name: "Bash", Input: json.RawMessage(`{"command":"echo x; exit 4","run_in_background":true}`)})
	if r.IsError {
		t.Fatalf("%+v", r)
	}
	if more, err := sh.Wait(t.Context()); !more || err != nil {
		t.Errorf("Wait = %v, %v", more, err)
	}
	n := sh.Finished()
	if len(n) != 1 || n[0].ExitCode != 4 || n[0].Status != "failed" || n[0].Command != "echo x; exit 4" {
		t.Fatalf("%+v", n)
	}
	if text, err := os.ReadFile(n[0].File); string(text) != "x\n" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if n := sh.Finished(); len(n) != 0 {
		t.Errorf("%+v", n)
	}
}

// What a command must not see or change, in a project of a user with secrets.
func TestIsolated(t *testing.T) {
	const secret = "sk-ant-secret-of-the-user"
	t.Setenv("ANTHROPIC_API_KEY", secret)
	t.Setenv("MY_SETTING", secret)
	a := newAgent(t, bash.Options{},
		`mkdir -p ~/.config/claude-force ~/.ssh ~/.aws; for f in ~/.config/claude-force/key ~/.ssh/id ~/.aws/credentials ~/.netrc; do echo `+secret+` >$f; done`,
		`printf '[user]\n\tname = A User\n\temail = a@example.com\n[credential]\n\thelper = `+secret+`\n' >~/.gitconfig`,
		`printf 'export DB=postgres://u:`+secret+`@h/d\nexport GH_TOKEN=`+secret+`\nexport PLAIN=1\nhello(){ echo hello; }\n' >~/.bashrc`,
		`git init -q .`, `mkdir -p .claude`, `echo '{}' >.claude/settings.json`)
	r := a.bash(`env; cat ~/.config/claude-force/key ~/.ssh/id ~/.aws/credentials ~/.netrc ~/.bashrc ~/.gitconfig; cat /proc/*/environ; cat "$HOME"/../home/.netrc; ls -A ~`)
	if strings.Contains(r.Text, secret) {
		t.Errorf("a command saw a secret:\n%s", r.Text)
	}
	if r := a.bash(`hello; echo $PLAIN; echo "$ANTHROPIC_API_KEY$GH_TOKEN$DB$MY_SETTING"; git config user.name`); r.Text != "hello\n1\n\nA User" {
		t.Errorf("%q", r.Text)
	}
	for name, command := range map[string]string{
		"hook":     `echo 'touch ran' >.git/hooks/pre-commit; chmod +x .git/hooks/pre-commit; mv .git/hooks .git/h`,
		"config":   `git config core.pager 'touch ran'; echo '[core] pager = touch ran' >>.git/config`,
		"replaced": `mv .git .g2 && cp -r .g2 .git && echo 'touch ran' >.git/hooks/pre-commit; echo '[core] pager = touch ran' >>.git/config; mv .g2 .git`,
		"settings": `echo '{"hooks":{}}' >.claude/settings.json; rm -rf .claude`,
	} {
		a.bash(command)
		if !sandbox.Probe().Namespaces() {
			continue
		}
		for _, check := range []string{
			`test ! -e .git/hooks/pre-commit`, `! grep -q 'touch ran' .git/config`, `grep -qx '{}' .claude/settings.json`,
		} {
			cmd := exec.CommandContext(t.Context(), "bash", "-c", check)
			cmd.Dir = a.cwd
			if err := cmd.Run(); err != nil {
				t.Errorf("%s: %s: %v", name, check, err)
			}
		}
	}
	if r := a.bash(`echo a >f; git add f; git commit -qm m && git log --format=%an:%s`); r.Text != "A User:m" || r.IsError {
		t.Errorf("commit: %+v", r)
	}
	if r := a.call("Bash", object{"command": "cat " + a.home + "/.netrc", "dangerouslyDisableSandbox": true}); strings.Contains(r.Text, secret) {
		t.Errorf("the model turned the sandbox off: %s", r.Text)
	}
}

// Files in /tmp and the home folder last from call to call, and no longer.
func TestOwnFolders(t *testing.T) {
	a := newAgent(t, bash.Options{})
	a.bash(`echo 1 >/tmp/a; echo 2 >~/b; echo 3 >$TMPDIR/c`)
	want := "1\n2\n3"
	if !sandbox.Probe().Namespaces() {
		want = "2\n3"
	}
	if r := a.bash(`cat /tmp/a ~/b $TMPDIR/c 2>/dev/null; true`); r.Text != want {
		t.Errorf("%q", r.Text)
	}
	r := a.call("Read", object{"file_path": a.bash(`echo $TMPDIR/c`).Text})
	if r.Text != "1\t3\n2\t" {
		t.Errorf("%+v", r)
	}
	for _, file := range []string{"/tmp/a", filepath.Join(a.home, "b")} {
		if _, err := os.Stat(file); err == nil {
			t.Errorf("%s is there", file)
		}
	}
}

// A worktree can commit to its repository; a file that only looks like one
// grants nothing.
func TestWorktree(t *testing.T) {
	a := newAgent(t, bash.Options{},
		`git init -q ../main && cd ../main && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m first && rmdir ../work && git worktree add -q ../work`)
	if r := a.bash(`git config user.name; echo x >f; git add f; git -c user.name=a -c user.email=a@b commit -qm second; git log --format=%s | head -1`); r.Text != "second" {
		t.Errorf("%+v", r)
	}
	if sandbox.Probe().Namespaces() {
		if r := a.bash(`touch ../main/.git/hooks/x || echo refused; touch ../main/y || echo refused`); strings.Count(r.Text, "refused") != 2 {
			if _, err := os.Stat(filepath.Join(filepath.Dir(a.cwd), "main", "y")); err == nil {
				t.Errorf("%+v", r)
			}
		}
	}
	// The files that connect a worktree and its repository stay, so that the
	// next command is granted no other folder.
	secret := filepath.Join(filepath.Dir(a.cwd), "secret")
	if err := os.WriteFile(secret, []byte("not yours"), 0o600); err != nil {
		t.Fatal(err)
	}
	a.bash(`for f in $(git rev-parse --git-dir)/commondir .git; do echo ` + filepath.Dir(a.cwd) + ` >$f; rm -f $f; done`)
	if r := a.bash(`cat ` + secret); strings.Contains(r.Text, "not yours") {
		t.Errorf("%+v", r)
	}
	if r := a.bash(`git log --format=%s | head -1`); sandbox.Probe().Namespaces() && r.Text != "second" {
		t.Errorf("%+v", r)
	}
	b := newAgent(t, bash.Options{}, `mkdir ../other && echo secret >../other/file && echo ../.git >../other/commondir && echo x >../other/gitdir && printf 'gitdir: %s\n' "$(cd ../other && pwd)" >.git`)
	if r := b.bash(`cat ../other/file`); strings.Contains(r.Text, "secret\n") || !r.IsError {
		t.Errorf("%+v", r)
	}
}

func TestOff(t *testing.T) {
	t.Setenv("ANTHROPIC_API_KEY", "sk-ant-secret")
	var warnings []string
	a := newAgent(t, bash.Options{Policy: sandbox.Policy{Off: true}, Warn: func(text string) { warnings = append(warnings, text) }})
	if r := a.bash(`echo x >../outside; cat ../outside; env`); !strings.HasPrefix(r.Text, "x\n") || strings.Contains(r.Text, "sk-ant") {
		t.Errorf("%+v", r)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "without isolation") {
		t.Errorf("warnings %q", warnings)
	}
}

func TestLongOutput(t *testing.T) {
	a := newAgent(t, bash.Options{})
	if r := a.bash(`seq 1 20000`); r.IsError || len(r.Text) > 3000 || !strings.HasPrefix(r.Text, "<persisted-output>") {
		t.Errorf("%+v", r)
	}
	b := newAgent(t, bash.Options{Policy: sandbox.Policy{Limits: sandbox.Limits{Output: 1 << 20}}})
	if r := b.bash(`head -c 2097152 /dev/zero`); !r.IsError || !strings.Contains(r.Text, "too much output") || len(r.Text) > 11000 {
		t.Errorf("%d bytes: %.200s", len(r.Text), r.Text)
	}
}

// TestCatCountsAsRead checks that an agent that must read a file before it changes
// it may have printed it.
func TestCatCountsAsRead(t *testing.T) {
	isolates(t)
	for command, read := range map[string]bool{"cat a.txt": true, "cat -n a.txt": true, "cat a.txt | head -1": false, "cat a.txt > b.txt": false, "ls a.txt": false} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte("x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		env, err := tool.NewEnv(dir, tool.Options{RequireRead: true})
		if err != nil {
			t.Fatal(err)
		}
		shell := bash.New(bash.Options{})
		set, err := tool.NewSet(append(tool.Files(), shell.Tools()...)...)
		if err != nil {
			t.Fatal(err)
		}
		input, err := json.Marshal(map[string]string{"command": command})
		if err != nil {
			t.Fatal(err)
		}
		set.Call(t.Context(), env, llm.Block{Type: llm.BlockToolUse, Name: "Bash", Input: input})
		got := set.Call(t.Context(), env, llm.Block{Type: llm.BlockToolUse, Name: "Edit", Input: json.RawMessage(`{"file_path":"a.txt","old_string":"x","new_string":"y"}`)})
		if got.IsError == read {
			t.Errorf("%s: %+v", command, got)
		}
		if err := errors.Join(shell.Close(), env.Close()); err != nil {
			t.Error(err)
		}
	}
}

// A cache outlives a shell, and other projects do not see it.
func TestCache(t *testing.T) {
	if !sandbox.Probe().Namespaces() {
		citest.Missing(t, "no namespaces")
	}
	cache := filepath.Join(t.TempDir(), "cache")
	newAgent(t, bash.Options{Cache: cache}).bash(`echo kept >~/.cache/f`)
	if r := newAgent(t, bash.Options{Cache: cache}).bash(`cat ~/.cache/f`); r.Text != "kept" {
		t.Errorf("%+v", r)
	}
	if r := newAgent(t, bash.Options{}).bash(`cat ~/.cache/f`); !r.IsError {
		t.Errorf("%+v", r)
	}
}
