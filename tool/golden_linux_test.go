package tool_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/tool"
)

// call is one call of a tool in a golden case.
type call struct {
	Tool  string          `json:"tool"`
	Input json.RawMessage `json:"input"`
}

// goldenCase is a call and what it must give. In texts, $CWD is the working folder
// and $HOME the home folder.
type goldenCase struct {
	call
	ID    string `json:"id"`
	Setup struct {
		Files map[string]string `json:"files"`
		Shell string            `json:"sh"`
		Image *struct {
			Path string `json:"path"`
			Edge int    `json:"edge"`
		} `json:"image"`
	} `json:"setup"`
	Before  []call   `json:"pre"`
	Between string   `json:"between"` // a shell line before the call
	Mode    string   `json:"mode"`
	Args    []string `json:"args"`

	Compare     string   `json:"compare"` // exact or facts
	IsError     *bool    `json:"is_error"`
	Text        string   `json:"result_text"`
	SHA256      string   `json:"result_sha256"` // of a text that is too long to be here
	MustContain []string `json:"must_contain"`
	Post        *struct {
		Shell string `json:"sh"`
		Out   string `json:"out"`
	} `json:"post"`
}

// unhandled are the cases that do not give what they must yet, and why.
var unhandled = map[string]string{
	"legacy.edit_after_cat": "the command that reads the file needs Bash, which has a test of its own",
}

func readGolden(t *testing.T, pattern string) []goldenCase {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden cases in %s: %v", pattern, err)
	}
	var cases []goldenCase
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(bytes.NewReader(data))
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var c goldenCase
			if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			cases = append(cases, c)
		}
	}
	return cases
}

func TestGolden(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, c := range readGolden(t, "testdata/golden/*.jsonl") {
		known[c.ID] = true
		t.Run(c.ID, func(t *testing.T) {
			t.Parallel()
			problem := runGolden(t, c)
			reason, listed := unhandled[c.ID]
			switch {
			case listed && problem == "":
				t.Errorf("passes, and is listed as unhandled: %s", reason)
			case !listed && problem != "":
				t.Error(problem)
			}
		})
	}
	for id := range unhandled {
		if !known[id] {
			t.Errorf("%s is listed as unhandled; there is no such case", id)
		}
	}
}

// runGolden runs a case and returns in what it differs.
func runGolden(t *testing.T, c goldenCase) string {
	base := t.TempDir()
	cwd, home := filepath.Join(base, "work"), filepath.Join(base, "home")
	for _, dir := range []string{cwd, home} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range c.Setup.Files {
		path := filepath.Join(cwd, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if c.Setup.Image != nil {
		writePNG(t, filepath.Join(cwd, c.Setup.Image.Path), c.Setup.Image.Edge)
	}
	shell(t, cwd, home, c.Setup.Shell)

	options := tool.Options{Home: home, ResultDir: filepath.Join(base, "results")}
	if i := slices.Index(c.Args, "--model"); i >= 0 {
		options.RequireRead = llm.Prices().ReadBeforeEdit(c.Args[i+1])
	}
	env, err := tool.NewEnv(cwd, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = env.Close() })
	if c.Mode == "bypass" {
		if err := env.Grant("/"); err != nil {
			t.Fatal(err)
		}
	}
	set, err := tool.NewSet(tool.Files()...)
	if err != nil {
		t.Fatal(err)
	}
	do := func(c call) tool.Result {
		input := strings.NewReplacer("$CWD", cwd, "$HOME", home).Replace(string(c.Input))
		return set.Call(t.Context(), env, llm.Block{Type: llm.BlockToolUse, Name: c.Tool, Input: json.RawMessage(input)})
	}
	for _, before := range c.Before {
		do(before)
	}
	shell(t, cwd, home, c.Between)
	result := do(c.call)
	text := result.Text
	for _, b := range result.Blocks {
		text += b.Text
	}
	text = strings.ReplaceAll(text, cwd, "$CWD")

	if want := c.IsError != nil && *c.IsError; result.IsError != want {
		return "is_error: " + map[bool]string{true: "true", false: "false"}[result.IsError] + "; text: " + text
	}
	if c.Compare == "exact" {
		if sum := sha256.Sum256([]byte(text)); c.SHA256 != "" && hex.EncodeToString(sum[:]) != c.SHA256 {
			return "the result differs in its hash; it begins: " + text[:min(len(text), 200)] + "\nand ends: " + text[max(0, len(text)-200):]
		}
		if c.SHA256 == "" && text != c.Text {
			return "got " + quoted(text) + "\nwant " + quoted(c.Text)
		}
	}
	for _, part := range c.MustContain {
		if !strings.Contains(text, part) {
			return "does not contain " + part + ": " + text
		}
	}
	if c.Post != nil {
		if out := shell(t, cwd, home, c.Post.Shell); out != c.Post.Out {
			return "afterwards: got " + quoted(out) + "\nwant " + quoted(c.Post.Out)
		}
	}
	return ""
}

func quoted(text string) string {
	data, _ := json.Marshal(text) // a string
	return string(data)
}

// shell runs a line of shell and returns what it prints; failing is part of some
// cases.
func shell(t *testing.T, cwd, home, line string) string {
	t.Helper()
	if line == "" {
		return ""
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", line)
	cmd.Dir = cwd
	cmd.Env = append(os.Environ(), "HOME="+home, "TZ=UTC", "LC_ALL=C")
	out, _ := cmd.Output()
	return string(out)
}

func writePNG(t *testing.T, path string, edge int) {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, edge, edge))
	for i := range edge {
		img.Set(i, i, color.White)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := png.Encode(f, img); err != nil {
		t.Fatal(err)
	}
}
