package mcpclient_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/mcpclient"
	"github.com/claude-force/claude-force/tool"
	"github.com/claude-force/claude-force/tool/permission"
)

type goldenCall struct {
	Tool  string          `json:"tool"`
	Input json.RawMessage `json:"input"`
}

// goldenCase is a call of a tool and what it must give.
type goldenCase struct {
	goldenCall
	ID      string            `json:"id"`
	Before  []goldenCall      `json:"pre"`
	Env     map[string]string `json:"env"`
	Mode    string            `json:"mode"`
	Args    []string          `json:"args"`
	Compare string            `json:"compare"`
	IsError bool              `json:"is_error"`
	Text    string            `json:"result_text"`
	SHA256  string            `json:"result_sha256"`
	Blocks  []string          `json:"blocks"`
}

// unhandled are the cases that give something else, and why.
var unhandled = map[string]string{
	"mcp.deferred_search": "all tools are sent at once; there is no ToolSearch",
}

// storedPath matches where a result says that data is stored.
var storedPath = regexp.MustCompile(`(source: )[^\]]*`)

func TestGolden(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("testdata", "golden", "mcp.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c goldenCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
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
}

// runGolden runs a case and returns in what it differs.
func runGolden(t *testing.T, c goldenCase) string {
	t.Helper()
	w := newWorld(t)
	w.user(t, `"probe": `+w.testServer(t, "", nil), `"nope": {"command": "/no/such"}`)
	var options mcpclient.Options
	if n, err := strconv.Atoi(c.Env["MAX_MCP_OUTPUT_TOKENS"]); err == nil {
		options.MaxTokens = n
	}
	w.open(t, options)
	w.offer(t)
	policy := &permission.Policy{Dir: w.dir, Home: w.home}
	if c.Mode == "bypass" {
		policy.Mode = permission.ModeBypass
	}
	for i := 0; i+1 < len(c.Args); i += 2 {
		rules, err := permission.ParseRules(c.Args[i+1])
		if err != nil {
			t.Fatal(err)
		}
		if c.Args[i] == "--allowedTools" {
			policy.Allow = rules
		} else {
			policy.Deny = rules
		}
	}
	env, err := policy.NewEnv(tool.Options{ResultDir: filepath.Join(w.dir, "..", "results")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer env.Close()
	var r tool.Result
	for _, call := range append(c.Before, c.goldenCall) {
		r = w.set.Call(t.Context(), env, llm.Block{Type: llm.BlockToolUse, Name: call.Tool, Input: call.Input})
	}
	got := text(r)
	sum := sha256.Sum256([]byte(got))
	switch {
	case r.IsError != c.IsError:
		return "is_error is wrong: " + cutTo(got, 500)
	case len(c.Blocks) != len(r.Blocks):
		return "the number of blocks is wrong: " + cutTo(got, 500)
	case c.SHA256 != "" && hex.EncodeToString(sum[:]) != c.SHA256:
		return "the text differs"
	case c.Compare == "exact" && storedPath.ReplaceAllString(got, "$1") != storedPath.ReplaceAllString(c.Text, "$1"):
		return "got " + cutTo(got, 500) + "\nwant " + c.Text
	case c.ID == "mcp.maxtokens_env" && !strings.Contains(got, "exceeds the maximum of 500"):
		return "the limit is not named: " + cutTo(got, 500)
	}
	return ""
}
