package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/analyticstest"
	"github.com/claude-force/claude-force/analytics/callsdb"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journaldb"
	"github.com/claude-force/claude-force/pipeline"
)

// copyMachine is a machine whose commands copy stores.
type copyMachine struct {
	*commandLine
	data, url string // its data folder, and the address of a database with a schema
}

func newCopyMachine(t *testing.T, env ...string) *copyMachine {
	t.Helper()
	home := t.TempDir()
	m := &copyMachine{data: filepath.Join(home, "data"), url: postgrestest.EmptyURL(t)}
	m.commandLine = &commandLine{t, t.TempDir(), append(append(os.Environ(), "HOME="+home, "CLAUDE_FORCE_HOME="+m.data, "XDG_CONFIG_HOME=", "TMPDIR="+t.TempDir()), env...)}
	m.in(m.url).must("store", "migrate")
	return m
}

// in returns the machine with another store.
func (m *copyMachine) in(store string) *commandLine {
	c := *m.commandLine
	if isAddress(store) {
		c.env = append(slices.Clip(c.env), "CLAUDE_FORCE_STORE="+store)
	} else {
		c.env = append(slices.Clip(c.env), "CLAUDE_FORCE_HOME="+store)
	}
	return &c
}

// copied is what a copy prints as JSON.
type copied struct {
	Copied bool
	Rows   int64
	Tables []struct {
		Name   string
		Rows   int64
		SHA256 string
	}
}

func (m *copyMachine) copy(from, to string) (c copied) {
	m.t.Helper()
	if err := json.Unmarshal([]byte(m.must("store", "copy", from, to, "--json")), &c); err != nil {
		m.t.Fatal(err)
	}
	return c
}

// crash kills a run once it has written a line with some text.
func (m *copyMachine) crash(file, text string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "claude-force", "run", file)
	cmd.Dir, cmd.Env = m.dir, m.env
	messages, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		m.t.Fatal(err)
	}
	found := false
	for lines := bufio.NewScanner(messages); !found && lines.Scan(); {
		found = strings.Contains(lines.Text(), text)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed
	if !found {
		m.t.Fatalf("the run wrote nothing with %q", text)
	}
}

// addRest adds a key, whose secret it returns, a schedule and a webhook.
func (m *copyMachine) addRest() (secret string) {
	m.t.Helper()
	m.must("schedules", "add", "nightly", "one.yaml", "--cron", "0 2 * * *", "--param", "n=1")
	m.must("webhooks", "add", "ops", "http://127.0.0.1:1/", "--secret-env", "OPS_SECRET")
	var key struct {
		Secret string `json:"key"`
	}
	if err := json.Unmarshal([]byte(m.must("keys", "create", "--name", "ci", "--budget", "1/day", "--json")), &key); err != nil || key.Secret == "" {
		m.t.Fatalf("the new key has no secret: %v", err)
	}
	return key.Secret
}

// login has a browser log in with a key, and returns its cookie.
func (c *commandLine) login(secret string) (browser *http.Cookie) {
	c.t.Helper()
	c.serving(func(address string) {
		res, err := browserClient.PostForm(address+"/login", url.Values{"key": {secret}})
		if err != nil {
			c.t.Fatal(err)
		}
		_ = res.Body.Close()
		if cookies := res.Cookies(); len(cookies) == 1 {
			browser = cookies[0]
		} else {
			c.t.Fatalf("logging in has the status %s and sets the cookies %v", res.Status, cookies)
		}
	})
	return browser
}

// loggedIn reports whether a browser with a cookie is shown the page of runs.
func (c *commandLine) loggedIn(browser *http.Cookie) (is bool) {
	c.t.Helper()
	c.serving(func(address string) {
		req, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, address+"/runs", nil)
		if err != nil {
			c.t.Fatal(err)
		}
		req.AddCookie(browser)
		res, err := browserClient.Do(req)
		if err != nil {
			c.t.Fatal(err)
		}
		_ = res.Body.Close()
		is = res.StatusCode == http.StatusOK
	})
	return is
}

// serving calls do while a server serves at an address.
func (c *commandLine) serving(do func(address string)) {
	c.t.Helper()
	server := startServer(c.t, c.dir, c.env)
	do(server.url)
	_ = server.cmd.Process.Kill()
	_ = server.cmd.Wait() // it was killed
}

// browserClient shows redirections, such as those to the page where browsers log in.
var browserClient = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// TestStoreCopy copies a store that commands have filled from files to a database and back,
// and asks each of the three for what it has.
func TestStoreCopy(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		serveAnswer(w, r, "Done, täglich.")
	}))
	defer service.Close()
	m := newCopyMachine(t, "OPS_SECRET=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr",
		"ANTHROPIC_API_KEY=sk-ant-test-0123456789abcdef", "ANTHROPIC_BASE_URL="+service.URL)
	for name, text := range map[string]string{
		"one.yaml":          "name: one\nparams: {n: {}}\nsteps:\n  - {id: a, agent: linter, task: \"Item ${{ params.n }}\"}\n",
		"asks.yaml":         "name: asks\nsteps:\n  - {id: a, agent: linter, task: Item 0}\n  - {id: ok, approval: Go on?, dependencies: [a]}\n",
		"claude-force.yaml": "budget: {day: 5}\n",
		"old.jsonl":         time.Now().AddDate(0, 0, -200).Format(`{"timestamp": "2006-01-02T15:04:05", "agent_name": "linter", "model": "m"}`) + "\n",
	} {
		if err := os.WriteFile(filepath.Join(m.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	browser := m.login(m.addRest())
	for n := range 3 {
		m.must("run", "one.yaml", "--param", fmt.Sprint("n=", n))
	}
	m.crash("asks.yaml", "runs approve")
	m.must("analytics", "import", "old.jsonl")
	m.must("analytics", "prune", "--rows", "90d")
	fillRest(t, pipeline.DataDir(m.data))

	second, back := postgrestest.URL(t), filepath.Join(t.TempDir(), "back")
	there := m.copy(m.data, m.url)
	for _, way := range [][2]string{{m.url, second}, {second, back}} {
		next := m.copy(way[0], way[1])
		if diff := cmp.Diff(there.Tables, next.Tables); diff != "" || !there.Copied || !next.Copied {
			t.Errorf("what was copied first and what is copied to %s differ:\n%s", way[1], diff)
		}
	}
	for _, table := range there.Tables {
		if table.Rows == 0 {
			t.Errorf("no %s were copied", table.Name)
		}
	}
	if same := m.copy(m.data, back); same.Copied {
		t.Error("what is the same was copied")
	}
	var runs []struct {
		ID string `json:"run_id"`
	}
	if err := json.Unmarshal([]byte(m.must("runs", "list", "--workflow", "one", "--json")), &runs); err != nil || len(runs) != 3 {
		t.Fatalf("the runs are %+v, %v", runs, err)
	}
	done := runs[0].ID
	for _, command := range []string{"runs list --workflow one --json", "runs show " + done + " --json", "runs output " + done, "keys list --json", "keys audit --json", "schedules list --json", "webhooks list --json", "webhooks deliveries ops --json", "cache stats --json", "analytics summary --days 0 --json"} { // other periods begin with an hour
		want := m.must(strings.Fields(command)...)
		for _, store := range []string{m.url, second, back} {
			if diff := cmp.Diff(want, m.in(store).must(strings.Fields(command)...)); diff != "" {
				t.Errorf("%s of the copy in %s:\n%s", command, store, diff)
			}
		}
	}
	// The copies work: runs continue in them, for what they have no call is made, numbers
	// continue after those that were copied, and browsers that have logged in need not again.
	before := asked.Load()
	for _, store := range []string{m.url, second, back} {
		copy := m.in(store)
		if !copy.loggedIn(browser) {
			t.Errorf("the browser has to log in to the copy in %s", store)
		}
		if out := copy.must("runs", "list", "--json", "--workflow", "asks"); !strings.Contains(out, `"interrupted"`) {
			t.Errorf("the run that crashed is\n%s", out)
		}
		copy.must("runs", "approve", "latest", "ok")
		copy.must("runs", "resume", "latest")
		copy.must("analytics", "verify")
		copy.must("run", "one.yaml", "--param", "n=2")
		copy.must("keys", "create", "--name", "next")
		if out := copy.must("runs", "list"); strings.Count(out, "completed") != 5 {
			t.Errorf("the copy in %s has the runs\n%s", store, out)
		}
	}
	if asked.Load() != before {
		t.Errorf("%d calls were made again", asked.Load()-before)
	}
	if _, messages, code := m.run("store", "copy", m.data, m.url); code != exitInput || !strings.Contains(messages, "has other data") {
		t.Errorf("to a store with more: exit code %d, %s", code, messages)
	}
}

// TestStoreCopyKilled kills copies at random moments and starts them again, until one ends:
// nothing is there twice and nothing is missing.
func TestStoreCopyKilled(t *testing.T) {
	t.Parallel()
	m := newCopyMachine(t, "OPS_SECRET=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr")
	if err := os.WriteFile(filepath.Join(m.dir, "one.yaml"), []byte("name: one\nparams: {n: {}}\nsteps:\n  - {id: a, agent: linter, task: Say}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fill(t.Context(), t, m.data, 40, 3000, nil)
	m.addRest()
	fillRest(t, pipeline.DataDir(m.data))
	want := counts(t, m.data)
	if want != [4]int64{40, 40 * 22, 3000, 3000} {
		t.Fatalf("the store has %v", want)
	}
	second, back := postgrestest.URL(t), filepath.Join(t.TempDir(), "back")
	kills, slower := 0, time.Duration(4)
	if testing.Short() { // fewer kills
		slower = 1
	}
	for _, way := range [][2]string{{m.data, m.url}, {m.url, second}, {second, back}} {
		for limit := 30 * time.Millisecond; ; limit += limit / slower {
			ctx, cancel := context.WithTimeout(t.Context(), rand.N(limit))
			cmd := exec.CommandContext(ctx, "claude-force", "store", "copy", way[0], way[1])
			cmd.Dir, cmd.Env = m.dir, m.env
			out, err := cmd.CombinedOutput()
			killed := ctx.Err() != nil && err != nil
			cancel()
			if err == nil {
				break
			}
			if !killed {
				t.Fatalf("after %d kills: %v\n%s", kills, err, out)
			}
			kills++
		}
		if got := counts(t, way[1]); got != want {
			t.Errorf("%s has %v, want %v", way[1], got, want)
		}
	}
	t.Logf("%d copies were killed", kills)
	if same := m.copy(m.data, back); same.Copied {
		t.Error("what came back is not the same")
	}
	for _, store := range []string{m.url, second, back} {
		m.in(store).must("analytics", "verify")
	}
}

// TestStoreCopyRefuses: what cannot be copied is refused with what to do, before anything is
// written.
func TestStoreCopyRefuses(t *testing.T) {
	t.Parallel()
	key := bytes.Repeat([]byte{7}, 32)
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(fmt.Sprintf("%x", key)), 0o600); err != nil {
		t.Fatal(err)
	}
	encrypted := "CLAUDE_FORCE_CACHE_ENCRYPTION_KEY=file:" + file
	m := newCopyMachine(t)
	fill(t.Context(), t, m.data, 2, 10, nil)
	sealed := filepath.Join(t.TempDir(), "sealed")
	fill(t.Context(), t, sealed, 2, 10, key)
	refused := func(env []string, from, to, want string) {
		t.Helper()
		c := *m.commandLine
		c.env = append(slices.Clip(c.env), env...)
		if _, messages, code := c.run("store", "copy", from, to); code != exitInput || !strings.Contains(messages, want) {
			t.Errorf("from %s to %s: exit code %d, %s, want %q", from, to, code, messages, want)
		}
	}
	refused(nil, filepath.Join(t.TempDir(), "none"), m.url, "has no store")
	refused(nil, m.data, m.data, "both stores are")
	refused(nil, m.data, postgrestest.EmptyURL(t), "store migrate")
	refused(nil, sealed, m.url, "encrypted")
	refused([]string{encrypted}, m.data, m.url, "not encrypted")

	history, err := journaldb.Open(pipeline.DataDir(m.data).History(), journaldb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	log, err := history.Create(t.Context(), journal.Run{ID: "run_alive"})
	if err != nil {
		t.Fatal(err)
	}
	refused(nil, m.data, m.url, "run_alive by process")
	if err := log.Release(); err != nil {
		t.Fatal(err)
	}
	if err := history.Close(); err != nil {
		t.Fatal(err)
	}
	if n := counts(t, m.url); n != [4]int64{} {
		t.Errorf("what was refused has written %v", n)
	}
	m.copy(m.data, m.url)
	other := filepath.Join(t.TempDir(), "other")
	fill(t.Context(), t, other, 3, 1, nil)
	refused(nil, other, m.url, "has other data")

	half := filepath.Join(t.TempDir(), "half")
	fill(t.Context(), t, half, 1, 1, nil)
	if err := os.WriteFile(filepath.Join(half, "store-copy.json"), []byte(`{"source": "elsewhere"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(nil, half, postgrestest.URL(t), "itself a copy of elsewhere")
	refused(nil, m.data, half, "a copy of elsewhere to")
}

// TestStoreCopyEncrypted copies an encrypted store to a database and back with its key.
// With another key nothing is written.
func TestStoreCopyEncrypted(t *testing.T) {
	t.Parallel()
	m := newCopyMachine(t)
	keys := map[string]*commandLine{}
	for name, b := range map[string]byte{"own": 7, "other": 8} {
		file := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(file, []byte(fmt.Sprintf("%x", bytes.Repeat([]byte{b}, 32))), 0o600); err != nil {
			t.Fatal(err)
		}
		c := *m.commandLine
		c.env = append(slices.Clip(c.env), "CLAUDE_FORCE_CACHE_ENCRYPTION_KEY=file:"+file)
		keys[name] = &c
	}
	own := copyMachine{commandLine: keys["own"], data: m.data, url: m.url}
	refused := func(who *commandLine, from, to, want string) {
		t.Helper()
		if _, messages, code := who.run("store", "copy", from, to); code != exitInput || !strings.Contains(messages, want) {
			t.Errorf("from %s to %s: exit code %d, %s, want %q", from, to, code, messages, want)
		}
	}
	key := bytes.Repeat([]byte{7}, 32)
	fill(t.Context(), t, m.data, 2, 10, key)
	want, none := counts(t, m.data), rowsOf(t, m.url)

	refused(keys["other"], m.data, m.url, "not the one it was made with")
	back := filepath.Join(t.TempDir(), "back")
	refused(keys["other"], m.data, back, "not the one it was made with")
	if n := rowsOf(t, m.url); n != none {
		t.Errorf("a database of %d rows has %d after a copy with another key", none, n)
	}
	if files, err := filepath.Glob(filepath.Join(back, "*")); err != nil || len(files) > 0 {
		t.Errorf("a copy with another key has made %v, %v", files, err)
	}

	there := own.copy(m.data, m.url)
	home := own.copy(m.url, back)
	if diff := cmp.Diff(there.Tables, home.Tables); diff != "" {
		t.Errorf("what was copied there and what came back differ:\n%s", diff)
	}
	folder := filepath.Join(t.TempDir(), "folder")
	own.copy(m.data, folder)
	for _, store := range []string{m.url, back, folder} {
		if got := counts(t, store); got != want {
			t.Errorf("%s has %v, want %v", store, got, want)
		}
		if out := own.in(store).must("runs", "list", "--json"); !strings.Contains(out, `"fill"`) {
			t.Errorf("the copy in %s has the runs\n%s", store, out)
		}
	}
	for _, dir := range []string{back, folder} {
		data, err := os.ReadFile(pipeline.DataDir(dir).History())
		if err != nil || bytes.Contains(data, []byte("1 31 31 3")) {
			t.Errorf("outputs in %s are in the clear, or cannot be read: %v", dir, err)
		}
		history, err := journaldb.Open(pipeline.DataDir(dir).History(), journaldb.Options{Key: key})
		if err != nil {
			t.Fatal(err)
		}
		var outputs int
		for event, err := range history.Events(t.Context(), "run_000001", 0) {
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(event.Output, "1 31 31 3") {
				outputs++
			}
		}
		if err := history.Close(); err != nil || outputs != 1 {
			t.Errorf("%d outputs of a step of the copy in %s are as they were, %v", outputs, dir, err)
		}
	}

	// A destination of another key, and a source of one.
	other := filepath.Join(t.TempDir(), "other")
	fill(t.Context(), t, other, 1, 5, bytes.Repeat([]byte{8}, 32))
	rows := rowsOf(t, m.url)
	refused(keys["other"], other, m.url, "not the one it was made with")
	refused(keys["other"], m.url, other, "not the one it was made with")
	if n := rowsOf(t, m.url); n != rows {
		t.Errorf("a copy with another key has made %d rows of %d", n, rows)
	}
	if got, want := counts(t, other), [4]int64{1, 22, 5, 5}; got != want {
		t.Errorf("a copy with another key has made %v of %v", got, want)
	}
}

// TestCopyHasCallsOfAProcessThatEnded: what a process records after a copy has opened the
// store, and before it has looked whether that is in use, is copied.
func TestCopyHasCallsOfAProcessThatEnded(t *testing.T) {
	t.Parallel()
	settings, err := config.Load(config.Sources{Dir: t.TempDir(), Home: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	side, err := openSide(t.Context(), settings, dir, false)
	if err != nil {
		t.Fatal(err)
	}
	defer side.Close()
	recorder := callsdb.NewRecorder(pipeline.DataDir(dir).History(), analytics.Retention{}, nil)
	const calls = 20
	for _, c := range analyticstest.RandomCalls(1, calls) {
		recorder.Record(c)
	}
	if err := recorder.Close(); err != nil {
		t.Fatal(err)
	}
	if err := side.checkIdle(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, table := range side.tables {
		if table.Name() != "calls" {
			continue
		}
		rows, err := table.Read(t.Context(), nil, 2*calls)
		if err != nil || len(rows) != calls {
			t.Errorf("%d calls are to be copied, %v; want %d", len(rows), err, calls)
		}
		return
	}
	t.Error("there is no table of calls")
}
