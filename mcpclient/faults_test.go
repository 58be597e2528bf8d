package mcpclient_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/internal/citest"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/mcpclient"
	"github.com/claude-force/claude-force/mcpclient/mcptest"
)

// TestProjectServersNeedTrust takes a project of another author: nothing of
// it runs, also not to find out what it offers.
func TestProjectServersNeedTrust(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.project(t, `"s": `+w.testServer(t, "", nil))
	w.open(t, mcpclient.Options{})
	w.offer(t)
	if len(w.set.Names()) > 0 || w.count(t, "start") > 0 || !strings.Contains(w.noted(), "not trusted") {
		t.Errorf("tools %q, %d starts, notes %s", w.set.Names(), w.count(t, "start"), w.noted())
	}
}

func TestTrustBelongsToTheProject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.project(t, `"s": `+w.testServer(t, "", nil))
	w.trust(t)
	server := w.load(t)[0]
	server.Project = filepath.Join(w.home, "copy")
	if state, _, err := w.store.State(server); state != mcpclient.Untrusted || err != nil {
		t.Errorf("a copy of the project is %s, %v", state, err)
	}
	if was, err := w.store.Untrust(w.load(t)[0]); !was || err != nil {
		t.Fatal(was, err)
	}
	w.open(t, mcpclient.Options{})
	w.offer(t)
	if len(w.set.Names()) > 0 {
		t.Error("a server that is not trusted any more is offered")
	}
}

func TestChangedEntryIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.project(t, `"s": `+w.testServer(t, "", nil))
	w.trust(t)
	w.project(t, `"s": `+w.testServer(t, "", map[string]string{"X": "1"}))
	before := w.count(t, "start")
	w.open(t, mcpclient.Options{})
	w.offer(t)
	r := w.call(t, "mcp__s__text", `{"s":"x"}`)
	if !r.IsError || !strings.Contains(text(r), "trusts it again") || w.count(t, "start") != before || !strings.Contains(w.noted(), "changed") {
		t.Errorf("got %q, %d starts, notes %s", text(r), w.count(t, "start")-before, w.noted())
	}
}

// faultFile lets the faults of a server change without its entry.
func faultFile(t *testing.T, w *world) (entry string, set func(string)) {
	t.Helper()
	path := filepath.Join(w.home, "start.sh")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	set = func(faults string) {
		t.Helper()
		script := "#!/bin/sh\nexport MCPTEST_SERVER=1 " + mcptest.FaultVariable + "=" + faults + " " + mcptest.LogVariable + "='" + w.log + "'\nexec '" + self + "' -test.run=^$\n"
		if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set("")
	return `{"command": "/bin/sh", "args": ["` + path + `"]}`, set
}

func TestChangedToolIsRefused(t *testing.T) {
	t.Parallel()
	for _, who := range []string{"project", "user"} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			entry, set := faultFile(t, w)
			if who == "project" {
				w.project(t, `"s": `+entry)
				w.trust(t)
			} else {
				w.user(t, `"s": `+entry)
				w.open(t, mcpclient.Options{})
				w.offer(t) // the first use
				if r := w.call(t, "mcp__s__text", `{"s":"x"}`); r.IsError {
					t.Fatal(text(r))
				}
				_ = w.Close()
			}
			set(mcptest.Drifts + "," + mcptest.Grows)
			w.open(t, mcpclient.Options{})
			w.offer(t)
			def, _ := w.set.Tool("mcp__s__text")
			if strings.Contains(def.Definition().Description, "id_rsa") {
				t.Error("the model gets the new description")
			}
			if r := w.call(t, "mcp__s__text", `{"s":"x"}`); !r.IsError || !strings.Contains(text(r), "refused") {
				t.Errorf("the changed tool gives %q", text(r))
			}
			if w.count(t, "call text") > 1 {
				t.Error("the changed tool was called")
			}
			if r := w.call(t, "mcp__s__two", `{}`); r.IsError {
				t.Errorf("a tool that did not change gives %q", text(r))
			}
			if r := w.call(t, "mcp__s__grown", `{}`); !r.IsError {
				t.Error("a tool that is new can be called")
			}
			if !strings.Contains(w.noted(), "trusted again (trust s): text") || !strings.Contains(w.noted(), "grown") {
				t.Errorf("notes: %s", w.noted())
			}
			w.trust(t)
			w.open(t, mcpclient.Options{})
			w.offer(t)
			if r := w.call(t, "mcp__s__text", `{"s":"x"}`); r.IsError {
				t.Errorf("trusted again: %q", text(r))
			}
		})
	}
}

// TestToolChangesWhileItRuns takes a server that shows its other face later.
func TestToolChangesWhileItRuns(t *testing.T) {
	t.Parallel()
	w := one(t, "", mcpclient.Options{})
	if r := w.call(t, "mcp__s__text", `{"s":"x"}`); r.IsError {
		t.Fatal(text(r))
	}
	w.call(t, "mcp__s__change", `{}`)
	// What the server says of its tools arrives beside its answers, at any time.
	refused := false
	for n := 0; n < 1000 && !refused; n++ {
		refused = w.call(t, "mcp__s__text", `{"s":"x"}`).IsError
	}
	before := w.count(t, "call text")
	if r := w.call(t, "mcp__s__text", `{"s":"x"}`); !refused || !r.IsError || w.count(t, "call text") != before {
		t.Errorf("got %q after %d calls", text(r), w.count(t, "call text"))
	}
}

func TestRestartedOnce(t *testing.T) {
	t.Parallel()
	w := one(t, "", mcpclient.Options{})
	if r := w.call(t, "mcp__s__crash", `{}`); !r.IsError || !strings.Contains(text(r), "Connection closed") {
		t.Fatalf("a crash gives %q", text(r))
	}
	if r := w.call(t, "mcp__s__two", `{}`); r.IsError || w.count(t, "start") != 2 {
		t.Fatalf("after a crash: %q, %d starts", text(r), w.count(t, "start"))
	}
	w.call(t, "mcp__s__crash", `{}`)
	w.call(t, "mcp__s__crash", `{}`)
	starts := w.count(t, "start")
	if r := w.call(t, "mcp__s__two", `{}`); !r.IsError || w.count(t, "start") != starts {
		t.Errorf("after two crashes in a row: %q", text(r))
	}
}

func TestKilledInMidCall(t *testing.T) {
	t.Parallel()
	w := one(t, "", mcpclient.Options{})
	result := make(chan string)
	go func() {
		r := w.set.Call(context.WithoutCancel(t.Context()), w.env, use("mcp__s__wait", `{"n":60000}`))
		result <- text(r)
	}()
	for w.count(t, "call wait") == 0 {
		<-time.After(time.Millisecond)
	}
	data, err := os.ReadFile(w.log)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(regexp.MustCompile(`start (\d+)`).FindStringSubmatch(string(data))[1])
	if err != nil {
		t.Fatal(err)
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	if got := <-result; !strings.Contains(got, "Connection closed") {
		t.Errorf("killed in mid call: %q", got)
	}
	if r := w.call(t, "mcp__s__two", `{}`); r.IsError {
		t.Errorf("the call after that: %q", text(r))
	}
}

func use(name, input string) llm.Block {
	return llm.Block{Type: llm.BlockToolUse, Name: name, Input: []byte(input)}
}

func TestHangingServers(t *testing.T) {
	t.Parallel()
	w := one(t, mcptest.Hangs, mcpclient.Options{StartTimeout: 300 * time.Millisecond})
	if len(w.set.Names()) > 0 || !strings.Contains(w.noted(), "did not answer within 300ms") {
		t.Errorf("tools %q, notes %s", w.set.Names(), w.noted())
	}
	w = one(t, "", mcpclient.Options{CallTimeout: 2 * time.Second})
	if r := w.call(t, "mcp__s__wait", `{"n":60000}`); !r.IsError || !strings.Contains(text(r), "within 2s") {
		t.Errorf("a call that hangs gives %q", text(r))
	}
	r := w.call(t, "mcp__s__two", `{}`)
	for range 30 {
		if r.IsError && strings.Contains(text(r), "within 2s") { // the machine was slow
			r = w.call(t, "mcp__s__two", `{}`)
		}
	}
	if r.IsError || w.count(t, "start") != 1 {
		t.Errorf("the call after that gives %q, %d starts", text(r), w.count(t, "start"))
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("stop"))
	if r := w.set.Call(ctx, w.env, use("mcp__s__two", "{}")); !r.IsError {
		t.Error("a canceled call works")
	}
}

func TestServersThatDoNotStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user(
		t,
		`"exits": `+w.testServer(t, mcptest.Exits, map[string]string{"MCPTEST_SECRET": "swordfish-9"}),
		`"floods": `+w.testServer(t, mcptest.Flood, nil), `"endless": `+w.testServer(t, mcptest.Endless, nil),
		`"none": {"command": "no-such-program"}`, `"unset": {"command": "x", "env": {"A": "${MCPTEST_NO_SUCH}"}}`,
		`"good": `+w.testServer(t, "", nil),
	)
	w.open(t, mcpclient.Options{})
	w.offer(t)
	for _, name := range w.set.Names() {
		if strings.HasPrefix(name, "mcp__") && !strings.HasPrefix(name, "mcp__good__") {
			t.Errorf("%s is offered", name)
		}
	}
	notes := w.noted()
	for _, want := range []string{"exit status 3", "cannot find the data", "MCPTEST_NO_SUCH", "no-such-program", "pages"} {
		if !strings.Contains(notes, want) {
			t.Errorf("no note says %q", want)
		}
	}
	for _, bad := range []string{"swordfish-9", "\x1b", "\a"} {
		if strings.Contains(notes, bad) {
			t.Errorf("a note has %q", bad)
		}
	}
	if t.Failed() {
		t.Log(notes)
	}
}

func TestHostileNames(t *testing.T) {
	t.Parallel()
	w := one(t, mcptest.Hostile, mcpclient.Options{})
	valid := regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)
	for _, def := range w.set.Definitions() {
		if !valid.MatchString(def.Name) || len(def.Description) > 10_000 || !strings.HasPrefix(string(def.InputSchema), "{") || strings.Contains(string(def.InputSchema), "nonsense") {
			t.Errorf("the model gets %q: %.200q %.200s", def.Name, def.Description, def.InputSchema)
		}
	}
	if strings.ContainsAny(w.noted(), "\x1b\a\u202e") {
		t.Errorf("notes steer the terminal: %q", w.noted())
	}
	if !strings.Contains(w.noted(), "same name") {
		t.Errorf("no note about two tools of one name: %s", w.noted())
	}
}

// TestEnvironment looks at what a server gets: what its entry names, and no key.
func TestEnvironment(t *testing.T) {
	t.Setenv("ANTHROPIC_API_KEY", "sk-ant-secret")
	t.Setenv("MY_TOKEN", "tok-12345678")
	t.Setenv("UNRELATED", "value")
	w := newWorld(t)
	w.user(t, `"s": `+w.testServer(t, "", map[string]string{"GIVEN": "${MY_TOKEN}", "OTHER": "${MCPTEST_NOT_SET:-fallback}"}))
	w.project(t, `"p": {"command": "x", "env": {"K": "${ANTHROPIC_API_KEY}"}}`)
	w.open(t, mcpclient.Options{})
	w.offer(t, "mcp__s")
	got := "\n" + text(w.call(t, "mcp__s__env", `{}`)) + "\n"
	for _, want := range []string{"\nGIVEN=tok-12345678\n", "\nOTHER=fallback\n", "\nPATH="} {
		if !strings.Contains(got, want) {
			t.Errorf("the server does not get %q", want)
		}
	}
	for _, bad := range []string{"sk-ant-secret", "UNRELATED", "MY_TOKEN"} {
		if strings.Contains(got, bad) {
			t.Errorf("the server gets %q", bad)
		}
	}
	if _, _, err := w.Inspect(t.Context(), "p"); err == nil || !strings.Contains(err.Error(), "ANTHROPIC_API_KEY") || strings.Contains(err.Error(), "sk-ant") {
		t.Errorf("a project's server gets our key: %v", err)
	}
	data, err := os.ReadFile(filepath.Join(w.dir, "..", "data", "mcp-trust.json"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), "tok-12345678") {
		t.Error("a secret is in the store")
	}
}

func TestEndsWithTheRun(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("sleep"); err != nil {
		citest.Missing(t, "there is no program sleep")
	}
	w := one(t, mcptest.StaysOn, mcpclient.Options{})
	if r := w.call(t, "mcp__s__two", `{}`); r.IsError {
		t.Fatal(text(r))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(w.log)
	if err != nil {
		t.Fatal(err)
	}
	started := regexp.MustCompile(`(start|child) (\d+)`).FindAllStringSubmatch(string(data), -1)
	if len(started) < 2 {
		t.Fatalf("no server with a child was started: %s", data)
	}
	for _, m := range started {
		there := true
		for n := 0; n < 30_000 && there; n++ { // what was killed may take a moment on a slow machine
			state, err := os.ReadFile("/proc/" + m[2] + "/stat")
			if there = err == nil && !strings.Contains(string(state), ") Z "); there {
				<-time.After(time.Millisecond)
			}
		}
		if there {
			t.Errorf("%s %s is still there", m[1], m[2])
		}
	}
	if r := w.call(t, "mcp__s__two", `{}`); !r.IsError {
		t.Error("a server is started after the end of the run")
	}
}

func TestHTTP(t *testing.T) {
	t.Setenv("MCPTEST_BEARER", "bearer-12345")
	for _, path := range []string{"/mcp", "/events"} {
		service := &mcptest.Server{}
		server := httptest.NewServer(service)
		defer server.Close()
		w := newWorld(t)
		w.user(t, `"s": {"type": "http", "url": "`+server.URL+path+`", "headers": {"Authorization": "Bearer ${MCPTEST_BEARER}"}}`)
		w.open(t, mcpclient.Options{})
		w.offer(t)
		if r := w.call(t, "mcp__s__structonly", `{"n":1}`); text(r) != `{"z":12345678901234567890,"a":"<é>","f":1,"l":[1,{"b":null}]}` {
			t.Errorf("%s: %q", path, text(r))
		}
		if r := w.call(t, "mcp__s__big", `{"n":5242880}`); r.IsError || !strings.Contains(text(r), "exceeds the maximum") {
			t.Errorf("%s: 5 MB: %.200q", path, text(r))
		}
		if got := service.LastHeaders().Get("Authorization"); got != "Bearer bearer-12345" {
			t.Errorf("%s: the header is %q", path, got)
		}
		_ = w.Close()
	}
}

// TestHTTPStaysWithItsHost sends the headers to no other host.
func TestHTTPStaysWithItsHost(t *testing.T) {
	t.Parallel()
	other := &mcptest.Server{}
	elsewhere := httptest.NewServer(other)
	defer elsewhere.Close()
	server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	w := newWorld(t)
	w.user(t, `"s": {"type": "http", "url": "`+server.URL+`", "headers": {"X-Key": "swordfish-9"}}`)
	w.open(t, mcpclient.Options{})
	w.offer(t)
	if other.LastHeaders() != nil || !strings.Contains(w.noted(), "another host") || strings.Contains(w.noted(), "swordfish-9") {
		t.Errorf("headers %v, notes %s", other.LastHeaders(), w.noted())
	}
}

func TestBadFiles(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		"{\n\"mcpServers\": {\n,}}":                                          ".mcp.json:3",
		"{\n\"mcpServers\": []}":                                             ".mcp.json:2",
		`{"mcpServers": {"a": {}}}`:                                          "no command",
		`{"mcpServers": {"a": {"command": 1}}}`:                              "not used",
		`{"mcpServers": {"a": {"type": "x", "command": "c"}}}`:               "stdio, http or sse",
		`{"mcpServers": {"a": {"type": "http"}}}`:                            "no url",
		`{"mcpServers": {"a__b": {"command": "c"}}}`:                         "underscore",
		`{"mcpServers": {"a_": {"command": "c"}}}`:                           "underscore",
		`{"mcpServers": {"": {"command": "c"}}}`:                             "no name",
		`{"mcpServers": {"\u001b]0;x": {"command": "c"}}}`:                   "underscore",
		`{"mcpServers": {"a b": {"command": "c"}, "a.b": {"command": "d"}}}`: "another server named a_b",
	} {
		w := newWorld(t)
		if err := os.WriteFile(filepath.Join(w.dir, mcpclient.ProjectFile), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, notes, err := mcpclient.Load(mcpclient.Sources{Dir: w.dir, Home: w.home})
		got := strings.Join(notes, "\n")
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) || strings.Contains(got, "\x1b") {
			t.Errorf("%s: got %q, want %q", content, got, want)
		}
	}
}

func TestUserComesBeforeProject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.project(t, `"github": {"command": "evil"}`)
	w.user(t, `"github": {"command": "good"}`)
	servers := w.load(t)
	if len(servers) != 1 || servers[0].Command != "good" || !strings.Contains(w.noted(), "another server") {
		t.Errorf("got %+v, notes %s", servers, w.noted())
	}
}

// TestServersAreDistinct checks that no rule for one server is one for another: the
// tools of a server start with its name and two underscores, those of no other do.
func TestServersAreDistinct(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(rapid.StringMatching(`[ab_.-]{1,5}`), 2, 4).Draw(t, "names")
		var entries []string
		for _, name := range names {
			entries = append(entries, `"`+name+`": {"command": "c"}`)
		}
		servers, _, err := mcpclient.Load(mcpclient.Sources{Dir: dir, Given: []string{`{"mcpServers": {` + strings.Join(entries, ",") + `}}`}})
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range servers {
			for j, b := range servers {
				if i != j && strings.HasPrefix("mcp__"+b.Name+"__", "mcp__"+a.Name+"__") {
					t.Fatalf("a rule for %s is one for %s", a.Name, b.Name)
				}
			}
		}
	})
}
