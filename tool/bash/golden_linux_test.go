package bash_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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

func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(m.Run())
}

// isolates skips a test where commands cannot be isolated, and fails it in CI.
func isolates(t *testing.T) {
	t.Helper()
	if missing := sandbox.Probe().Missing(); len(missing) > 0 {
		citest.Missing(t, "%v", &sandbox.UnavailableError{Missing: missing})
	}
}

type call struct {
	Tool  string          `json:"tool"`
	Input json.RawMessage `json:"input"`
}

// goldenCase is a call and what it must give. In texts, $CWD is the working
// folder and <N> a number.
type goldenCase struct {
	call
	ID    string `json:"id"`
	Setup struct {
		Files map[string]string `json:"files"`
		Shell string            `json:"sh"`
	} `json:"setup"`
	Before      []call            `json:"pre"`
	Between     string            `json:"between"`
	Env         map[string]string `json:"env"`
	Compare     string            `json:"compare"`
	IsError     bool              `json:"is_error"`
	Text        string            `json:"result_text"`
	SHA256      string            `json:"result_sha256"`
	MustContain []string          `json:"must_contain"`
}

// different are the cases that do not give the same, and why.
var different = map[string]string{
	"bash.settings_env":                     "variables of settings come from the user's configuration, not from a file of the project",
	"bash.shadow_with_grep_tool.types":      "rg is the installed program, not a function",
	"bash.shadow_with_grep_tool.rg_version": "rg is the installed program; it is not built in",
	"bash.shadow_default.rg_version":        "rg is the installed program; it is not built in",
	"bash.exit1.00":                         "rg is the installed program; it is not built in",
	"bash.shadow_default.grep_missing_file": "grep is the installed program, not ugrep",
	"bash.shadow_default.find_missing":      "find is the installed program, not bfs",
}

func TestGolden(t *testing.T) {
	isolates(t)
	t.Setenv("LC_ALL", "C.UTF-8") // which the messages of programs depend on
	data, err := os.ReadFile("testdata/golden.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	passed := 0
	for n := 0; lines.Scan(); n++ {
		if testing.Short() && n%4 != 0 { // with the race detector, whose programs start slowly
			continue
		}
		var c goldenCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		t.Run(c.ID, func(t *testing.T) {
			problem := runGolden(t, c)
			reason, listed := different[c.ID]
			switch {
			case listed && problem == "" && !strings.Contains(reason, "installed program"):
				t.Errorf("passes, and is listed: %s", reason)
			case !listed && problem != "":
				t.Error(problem)
			}
			if problem == "" {
				passed++
			}
		})
	}
	t.Logf("%d cases are equal", passed)
}

var numbers = regexp.MustCompile(`line 1: +\d+ `)

func runGolden(t *testing.T, c goldenCase) string {
	base := t.TempDir()
	cwd, home := filepath.Join(base, "work"), filepath.Join(base, "home")
	for _, dir := range []string{cwd, home} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range c.Setup.Files {
		path := filepath.Join(cwd, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	shell(t, cwd, home, c.Setup.Shell)
	for name, value := range c.Env {
		t.Setenv(name, value)
	}
	set, env := newShell(t, cwd, home, bash.Options{})
	do := func(c call) tool.Result {
		input := strings.ReplaceAll(string(c.Input), "$CWD", cwd)
		return set.Call(t.Context(), env, llm.Block{Type: llm.BlockToolUse, Name: c.Tool, Input: json.RawMessage(input)})
	}
	for _, before := range c.Before {
		do(before)
	}
	shell(t, cwd, home, c.Between)
	result := do(c.call)
	text := strings.ReplaceAll(result.Text, cwd, "$CWD")
	text = numbers.ReplaceAllString(text, "line 1: <N> ")
	if result.IsError != c.IsError {
		return "is_error is " + map[bool]string{true: "true", false: "false"}[result.IsError] + "; text: " + text
	}
	if c.Compare == "exact" {
		if sum := sha256.Sum256([]byte(text)); c.SHA256 != "" && hex.EncodeToString(sum[:]) != c.SHA256 {
			return "the result differs in its hash; it begins: " + text[:min(len(text), 200)]
		}
		if c.SHA256 == "" && text != c.Text {
			return "got " + text + "\nwant " + c.Text
		}
	}
	for _, part := range c.MustContain {
		if !strings.Contains(text, part) {
			return "does not contain " + part + ": " + text
		}
	}
	return ""
}

// newShell returns a set with the tools of a shell, and their environment.
func newShell(t *testing.T, cwd, home string, options bash.Options) (*tool.Set, *tool.Env) {
	t.Helper()
	env, err := tool.NewEnv(cwd, tool.Options{Home: home, ResultDir: filepath.Join(filepath.Dir(cwd), "results")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = env.Close() })
	sh := bash.New(options)
	t.Cleanup(func() {
		if err := sh.Close(); err != nil {
			t.Error(err)
		}
	})
	set, err := tool.NewSet(append(sh.Tools(), tool.Files()...)...)
	if err != nil {
		t.Fatal(err)
	}
	return set, env
}

// shell runs a line of shell outside; failing is part of some cases.
func shell(t *testing.T, cwd, home, line string) {
	t.Helper()
	if line == "" {
		return
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", line)
	cmd.Dir = cwd
	cmd.Env = append(os.Environ(), "HOME="+home)
	_ = cmd.Run()
}
