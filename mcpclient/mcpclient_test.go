package mcpclient_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/mcpclient"
	"github.com/claude-force/claude-force/mcpclient/mcptest"
	"github.com/claude-force/claude-force/sandbox"
	"github.com/claude-force/claude-force/tool"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	if os.Getenv("MCPTEST_SERVER") != "" {
		mcptest.Main()
		return
	}
	code := m.Run()
	removeEverything()
	os.Exit(code)
}

// world is a project, a user and the manager of their servers.
type world struct {
	*mcpclient.Manager
	dir, home, log string
	store          *mcpclient.Store
	set            *tool.Set
	env            *tool.Env

	mu    sync.Mutex
	notes []string
}

func (w *world) noted() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.notes, "\n")
}

// started returns how often servers of the log were started, and how often a tool was
// called.
func (w *world) count(t *testing.T, line string) int {
	t.Helper()
	data, err := os.ReadFile(w.log)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Count(string(data), line)
}

// testServer returns the entry of a test server with faults.
func (w *world) testServer(t *testing.T, faults string, more map[string]string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"MCPTEST_SERVER": "1", mcptest.FaultVariable: faults, mcptest.LogVariable: w.log}
	maps.Copy(env, more)
	data, err := json.Marshal(map[string]any{"command": self, "args": []string{"-test.run=^$"}, "env": env})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	base := t.TempDir()
	w := &world{dir: filepath.Join(base, "work"), home: filepath.Join(base, "home"), log: filepath.Join(base, "log")}
	for _, dir := range []string{w.dir, w.home} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	w.store = mcpclient.NewStore(filepath.Join(base, "data", "mcp-trust.json"))
	env, err := tool.NewEnv(w.dir, tool.Options{Home: w.home, ResultDir: filepath.Join(base, "results")})
	if err != nil {
		t.Fatal(err)
	}
	w.env = env
	t.Cleanup(func() { _ = env.Close() })
	return w
}

// write writes a file of servers.
func (w *world) write(t *testing.T, path string, servers ...string) {
	t.Helper()
	text := `{"mcpServers": {` + strings.Join(servers, ",\n") + `}}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (w *world) project(t *testing.T, servers ...string) {
	t.Helper()
	w.write(t, filepath.Join(w.dir, mcpclient.ProjectFile), servers...)
}

func (w *world) user(t *testing.T, servers ...string) {
	t.Helper()
	w.write(t, filepath.Join(w.home, ".claude.json"), servers...)
}

func (w *world) load(t *testing.T) []mcpclient.Server {
	t.Helper()
	servers, notes, err := mcpclient.Load(mcpclient.Sources{Dir: w.dir, Home: w.home})
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	w.notes = append(w.notes, notes...)
	w.mu.Unlock()
	return servers
}

// open opens a manager of the servers that are configured.
func (w *world) open(t *testing.T, options mcpclient.Options) {
	t.Helper()
	options.Servers, options.Store, options.Version = w.load(t), w.store, "test"
	options.Note = func(text string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.notes = append(w.notes, text)
	}
	if options.StartTimeout == 0 {
		options.StartTimeout = 5 * time.Minute // of a slow machine
	}
	options.Advice = func(server string) string { return "trust " + server }
	w.Manager = mcpclient.New(options)
	t.Cleanup(func() { _ = w.Close() })
}

// offer gets the tools that names stand for.
func (w *world) offer(t *testing.T, names ...string) {
	t.Helper()
	offered, err := w.Offer(t.Context(), names)
	if err != nil {
		t.Fatal(err)
	}
	if w.set, err = tool.NewSet(append(offered.Tools, offered.Resources...)...); err != nil {
		t.Fatal(err)
	}
}

// trust trusts the project's servers as they are.
func (w *world) trust(t *testing.T) {
	t.Helper()
	servers := w.load(t)
	m := mcpclient.New(mcpclient.Options{Servers: servers, Store: w.store, StartTimeout: 5 * time.Minute})
	defer m.Close()
	for _, s := range servers {
		offer, _, err := m.Inspect(t.Context(), s.Name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.store.Trust(s, offer); err != nil {
			t.Fatal(err)
		}
	}
}

func (w *world) call(t *testing.T, name, input string) tool.Result {
	t.Helper()
	return w.set.Call(t.Context(), w.env, llm.Block{Type: llm.BlockToolUse, Name: name, Input: json.RawMessage(input)})
}

// text returns the texts of a result, one a line.
func text(r tool.Result) string {
	texts := []string{}
	if r.Text != "" {
		texts = append(texts, r.Text)
	}
	for _, b := range r.Blocks {
		if b.Type == llm.BlockText {
			texts = append(texts, b.Text)
		}
	}
	return strings.Join(texts, "\n")
}

// one returns a world with the test server as s, of the user, and all its tools.
func one(t *testing.T, faults string, options mcpclient.Options) *world {
	t.Helper()
	w := newWorld(t)
	w.user(t, `"s": `+w.testServer(t, faults, nil))
	w.open(t, options)
	w.offer(t, "mcp__s")
	return w
}

func TestStartsOnFirstUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.project(t, `"a": `+w.testServer(t, "", nil), `"b": `+w.testServer(t, "", nil))
	w.trust(t)
	before := w.count(t, "start")
	w.open(t, mcpclient.Options{})
	w.offer(t)
	if got := w.set.Names(); !slices.Contains(got, "mcp__a__text") || !slices.Contains(got, "mcp__b__dots_in-name") {
		t.Fatalf("tools are missing: %v", got)
	}
	if n := w.count(t, "start"); n != before {
		t.Errorf("%d servers were started before a call", n-before)
	}
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			if r := w.call(t, "mcp__a__text", `{"s":"hi"}`); r.IsError {
				t.Error(text(r))
			}
		})
	}
	group.Wait()
	if n := w.count(t, "start"); n != before+1 {
		t.Errorf("%d servers were started for the calls of one", n-before)
	}
}

func TestAgentsGetTheToolsTheyName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(t, `"a": `+w.testServer(t, "", nil), `"b": `+w.testServer(t, "", nil))
	w.open(t, mcpclient.Options{})
	for _, c := range []struct {
		names []string
		want  func(all []string) bool
	}{
		{[]string{"Read", "Bash(go test:*)"}, func(all []string) bool { return len(all) == 0 }},
		{[]string{"mcp__a__text"}, func(all []string) bool { return slices.Equal(all, []string{"mcp__a__text"}) }},
		{[]string{"mcp__a"}, func(all []string) bool {
			return slices.Contains(all, "mcp__a__two") && slices.Contains(all, "ReadMcpResourceTool") && !slices.Contains(all, "mcp__b__two")
		}},
		{[]string{"mcp__b__*"}, func(all []string) bool {
			return slices.Contains(all, "mcp__b__two") && !slices.Contains(all, "mcp__a__two")
		}},
		{nil, func(all []string) bool {
			return slices.Contains(all, "mcp__b__two") && slices.Contains(all, "mcp__a__two") && slices.Contains(all, "ListMcpResourcesTool")
		}},
	} {
		w.offer(t, c.names...)
		if got := w.set.Names(); !c.want(got) {
			t.Errorf("%q gives %q", c.names, got)
		}
		if c.names != nil && c.names[0] == "mcp__a__text" && w.count(t, "start") != 1 {
			t.Error("a server was started of which no tool is named")
		}
	}
	w.offer(t, "mcp__a")
	if r := w.call(t, "ReadMcpResourceTool", `{"server":"b","uri":"mem://a"}`); !r.IsError {
		t.Error("an agent reads the resources of a server that it does not name")
	}
}

func TestResults(t *testing.T) {
	t.Parallel()
	w := one(t, mcptest.Greets+","+mcptest.NoSuchOne, mcpclient.Options{})
	for _, c := range []struct {
		name, input, want string
		isError           bool
	}{
		{"text", `{"s":"a","n":12345678901234567890}`, `got {"s": "a", "n": 12345678901234567890}`, false},
		{"structonly", `{"n":1}`, `{"z":12345678901234567890,"a":"<é>","f":1,"l":[1,{"b":null}]}`, false},
		{"toolerr", `{}`, "cannot do that", true},
		{"rpcerr", `{}`, "it broke", true},
		{"two", `{}`, "one\ntwo", false},
	} {
		r := w.call(t, "mcp__s__"+c.name, c.input)
		if text(r) != c.want || r.IsError != c.isError {
			t.Errorf("%s: got %q, %v", c.name, text(r), r.IsError)
		}
	}
	for _, name := range []string{"audio", "resblob", "badimage"} {
		r := w.call(t, "mcp__s__"+name, `{}`)
		_, path, ok := strings.Cut(text(r), " in ")
		if _, err := os.Stat(path); !ok || err != nil {
			t.Errorf("%s: its data is not stored: %q, %v", name, text(r), err)
		}
	}
	r := w.call(t, "mcp__s__image", `{}`)
	if len(r.Blocks) != 3 || r.Blocks[1].Type != "image" {
		t.Errorf("an image gives %+v", r)
	}
	r = w.call(t, "ListMcpResourcesTool", `{}`)
	if want := `[{"uri":"mem://a","name":"A","description":"the a","mimeType":"text/plain","server":"s"},{"uri":"mem://b","name":"B","mimeType":"application/octet-stream","server":"s"}]`; text(r) != want {
		t.Errorf("resources: %s", text(r))
	}
	r = w.call(t, "ReadMcpResourceTool", `{"server":"s","uri":"mem://a"}`)
	if want := `{"contents":[{"uri":"mem://a","mimeType":"text/plain","text":"res text"}]}`; text(r) != want {
		t.Errorf("resource: %s", text(r))
	}
	if r = w.call(t, "ReadMcpResourceTool", `{"server":"s","uri":"mem://b"}`); !strings.Contains(text(r), "blobSavedTo") {
		t.Errorf("resource: %s", text(r))
	}
}

func TestLargeResults(t *testing.T) {
	t.Parallel()
	w := one(t, "", mcpclient.Options{})
	for _, n := range []int{50_001, 5 << 20} {
		r := w.call(t, "mcp__s__big", fmt.Sprintf(`{"n":%d}`, n))
		if r.IsError || len(text(r)) > 10_000 {
			t.Fatalf("%d: %d bytes, error %v", n, len(text(r)), r.IsError)
		}
		files, err := filepath.Glob(filepath.Join(w.dir, "..", "results", "*.txt"))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(files, func(f string) bool {
			info, err := os.Stat(f)
			return err == nil && info.Size() == int64(n) && strings.Contains(text(r), f)
		}) {
			t.Errorf("%d: not stored: %s", n, cutTo(text(r), 200))
		}
	}
	// More than a message may have ends the connection; the next call works.
	r := w.call(t, "mcp__s__big", fmt.Sprintf(`{"n":%d}`, 17<<20))
	if !r.IsError || !strings.Contains(text(r), "16 MiB") && !strings.Contains(text(r), "Connection closed") {
		t.Errorf("17 MiB: %v %s", r.IsError, cutTo(text(r), 200))
	}
	if r := w.call(t, "mcp__s__two", `{}`); r.IsError {
		t.Errorf("after 17 MiB: %s", text(r))
	}
}

func cutTo(s string, n int) string { return s[:min(len(s), n)] }
