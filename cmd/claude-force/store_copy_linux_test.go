package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsdb"
	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journaldb"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/budget"
	"github.com/claude-force/claude-force/llm/budget/budgetdb"
	"github.com/claude-force/claude-force/llm/cache"
	"github.com/claude-force/claude-force/llm/cache/cachedb"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/webhook"
	"github.com/claude-force/claude-force/webhook/webhookdb"
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
	m.commandLine = &commandLine{t, t.TempDir(), append(append(os.Environ(), "HOME="+home, "CLAUDE_FORCE_HOME="+m.data, "XDG_CONFIG_HOME="), env...)}
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
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
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

// fillRest puts into the files of a store what the commands of [TestStoreCopy] do not.
func fillRest(t *testing.T, dir pipeline.DataDir) {
	t.Helper()
	ctx, now := t.Context(), time.Now()
	calls, err := callsdb.Open(dir.History())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		calls.AddTools(ctx, analytics.ToolCall{Time: now, Project: "p", Agent: "linter", Tool: "Read"}, analytics.ToolCall{Time: now, Project: "p", Agent: "linter", Tool: "Bash", Outcome: analytics.ToolFailed}),
		calls.AddTasks(ctx, analytics.ToolTask{Time: now, Project: "p", Agent: "linter", Model: "m", Turns: 2, ToolCalls: 2}),
		calls.Close()); err != nil {
		t.Fatal(err)
	}
	ledger := budgetdb.New(dir.Budget())
	exceeded := budget.ExceededError{Scope: budget.Scope{Level: budget.Agent, Name: "linter"}, Kind: budget.Calls, Limit: 1, Spent: 1}
	if err := errors.Join(ledger.NoteExceeded(&exceeded), ledger.Close()); err != nil {
		t.Fatal(err)
	}
	hooks, err := webhookdb.New(dir.Webhooks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	list, err := hooks.List(ctx)
	if err != nil || len(list) != 1 {
		t.Fatalf("the webhooks are %v, %v", list, err)
	}
	_, err = hooks.Enqueue(ctx, &list[0], list[0].Marks, []webhook.Event{{ID: "evt_1", Type: webhook.RunFinished, Subject: "one", Body: []byte("{}")}}, now)
	if err := errors.Join(err, hooks.Close()); err != nil {
		t.Fatal(err)
	}
	// An attempt that a process of another machine has sent, which may live.
	conn, err := sqlite3.Open(dir.History())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(conn.Exec(`INSERT INTO call_sent VALUES (9, 'elsewhere', 'b', 1, 1, x'00')`), conn.Close()); err != nil {
		t.Fatal(err)
	}
}

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
	m.must("keys", "create", "--name", "ci", "--budget", "1/day")
	m.must("schedules", "add", "nightly", "one.yaml", "--cron", "0 2 * * *", "--param", "n=1")
	m.must("webhooks", "add", "ops", "http://127.0.0.1:1/", "--secret-env", "OPS_SECRET")
	for n := range 3 {
		m.must("run", "one.yaml", "--param", fmt.Sprint("n=", n))
	}
	m.crash("asks.yaml", "runs approve")
	m.must("analytics", "import", "old.jsonl")
	m.must("analytics", "prune", "--rows", "90d")
	fillRest(t, pipeline.DataDir(m.data))

	back := filepath.Join(t.TempDir(), "back")
	there := m.copy(m.data, m.url)
	home := m.copy(m.url, back)
	if diff := cmp.Diff(there.Tables, home.Tables); diff != "" || !there.Copied || !home.Copied {
		t.Errorf("what was copied there and what came back differ:\n%s", diff)
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
	for _, command := range []string{"runs list --workflow one --json", "runs show " + done + " --json", "runs output " + done, "keys list --json", "keys audit --json", "schedules list --json", "webhooks list --json", "webhooks deliveries ops --json", "cache stats --json", "analytics summary --json"} {
		want := m.must(strings.Fields(command)...)
		for _, store := range []string{m.url, back} {
			if diff := cmp.Diff(want, m.in(store).must(strings.Fields(command)...)); diff != "" {
				t.Errorf("%s of the copy in %s:\n%s", command, store, diff)
			}
		}
	}
	// The copies work: runs continue in them, for what they have no call is made, and
	// numbers go on after those that were copied.
	before := asked.Load()
	for _, store := range []string{m.url, back} {
		copy := m.in(store)
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

// fill puts runs, answers and calls into the files of a store.
func fill(tb testing.TB, dir string, runs, answers int, key []byte) {
	tb.Helper()
	ctx := tb.Context()
	must := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
	history, err := journaldb.Open(pipeline.DataDir(dir).History(), journaldb.Options{Key: key})
	must(err)
	var wait func() error
	for n := range runs {
		log, err := history.Create(ctx, journal.Run{ID: fmt.Sprintf("run_%06d", n), Workflow: "fill", Spec: []byte(`{"n":1}`)})
		must(err)
		for step := range 10 {
			wait = log.Append(
				journal.Event{Type: journal.StepStarted, Step: fmt.Sprint("s", step), Attempt: 1, Detail: journal.Detail(journal.Started{Task: "Say"})},
				journal.Event{Type: journal.StepFinished, Step: fmt.Sprint("s", step), Attempt: 1, Output: strings.Repeat(fmt.Sprint(n%7, step), 200), Detail: journal.Detail(journal.Finished{})})
		}
		must(wait())
		must(log.Append(journal.Event{Type: journal.RunFinished, Detail: journal.Detail(journal.RunEnd{Status: journal.StatusCompleted})})())
		must(log.Release())
	}
	must(history.Close())
	store, err := cachedb.Open(pipeline.DataDir(dir).Cache(), cachedb.Options{Key: key, MaxBytes: 64 << 30})
	must(err)
	random := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, 1000)
	work := make(chan *cache.Entry)
	ended := make(chan error)
	for range 64 {
		go func() {
			var failed error
			for e := range work {
				if err := store.Put(ctx, e); err != nil {
					failed = err
				}
			}
			ended <- failed
		}()
	}
	for n := range answers {
		for i := range text {
			text[i] = 'a' + byte(random.IntN(26))
		}
		e := &cache.Entry{Agent: "linter", Model: "claude-sonnet-4-5", Prompt: "Say", CreatedAt: time.Unix(1_790_000_000, int64(n)), Response: &llm.Response{ID: fmt.Sprint(n), Content: []llm.Block{{Type: llm.BlockText, Text: string(text)}}}}
		binary.BigEndian.PutUint64(e.Key[:], random.Uint64())
		work <- e
	}
	close(work)
	for range 64 {
		must(<-ended)
	}
	must(store.Close())
	calls, err := callsdb.Open(pipeline.DataDir(dir).History())
	must(err)
	var batch []analytics.Call
	for n := range answers {
		batch = append(batch, analytics.Call{Time: time.Now().Add(-time.Duration(n) * time.Minute), Project: "p", Run: fmt.Sprintf("run_%06d", n%max(runs, 1)), Agent: "linter", Model: "m", Asked: "m", Source: llm.SourceLive, Cost: 7, Attempts: 1,
			Tries: []analytics.Attempt{{ID: int64(n) + 1, Start: time.Now(), Model: "m", Cost: 7, Basis: llm.BasisAnswer}}})
		if len(batch) == 1000 || n == answers-1 {
			must(calls.AddOnce(ctx, batch...))
			batch = batch[:0]
		}
	}
	must(calls.Close())
}

// counts returns how many runs, events, answers and calls a store has, read without the
// program that is tested.
func counts(t *testing.T, store string) (n [4]int64) {
	t.Helper()
	if isAddress(store) {
		conn, err := pgx.Connect(t.Context(), store)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		for i, table := range []string{"journal_runs", "journal_events", "cache_answers", "call_rows"} {
			if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM `+table).Scan(&n[i]); err != nil {
				t.Fatal(err)
			}
		}
		return n
	}
	for i, table := range [][2]string{{"history.db", "runs"}, {"history.db", "events"}, {"cache.db", "answers"}, {"history.db", "call_rows"}} {
		conn, err := sqlite3.Open(filepath.Join(store, table[0]))
		if err != nil {
			t.Fatal(err)
		}
		stmt, _, err := conn.Prepare(`SELECT count(*) FROM ` + table[1])
		if err != nil || !stmt.Step() {
			t.Fatal(err, stmt.Err())
		}
		n[i] = stmt.ColumnInt64(0)
		_ = stmt.Close()
		_ = conn.Close()
	}
	return n
}

// TestStoreCopyKilled kills copies at random moments and starts them again, until one ends:
// nothing is there twice and nothing is missing.
func TestStoreCopyKilled(t *testing.T) {
	t.Parallel()
	m := newCopyMachine(t)
	fill(t, m.data, 40, 3000, nil)
	want := counts(t, m.data)
	if want != [4]int64{40, 40 * 22, 3000, 3000} {
		t.Fatalf("the store has %v", want)
	}
	back := filepath.Join(t.TempDir(), "back")
	kills := 0
	for _, way := range [][2]string{{m.data, m.url}, {m.url, back}} {
		for limit := 30 * time.Millisecond; ; limit += limit / 4 {
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
	for _, store := range []string{m.url, back} {
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
	fill(t, m.data, 2, 10, nil)
	sealed := filepath.Join(t.TempDir(), "sealed")
	fill(t, sealed, 2, 10, key)
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
	fill(t, other, 3, 1, nil)
	refused(nil, other, m.url, "has other data")

	half := filepath.Join(t.TempDir(), "half")
	fill(t, half, 1, 1, nil)
	if err := os.WriteFile(filepath.Join(half, "store-copy.json"), []byte(`{"source": "elsewhere"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(nil, half, postgrestest.URL(t), "itself a copy of elsewhere")
	refused(nil, m.data, half, "a copy of elsewhere to")

	// An encrypted store is copied as it is, with its key.
	c := *m.commandLine
	c.env = append(slices.Clip(c.env), encrypted)
	back := filepath.Join(t.TempDir(), "back")
	c.must("store", "copy", sealed, back)
	data, err := os.ReadFile(pipeline.DataDir(back).History())
	if err != nil || bytes.Contains(data, []byte("0000000000")) {
		t.Errorf("outputs are in the clear, or cannot be read: %v", err)
	}
	if out, _, code := c.run("runs", "list", "--json", "--data-dir", back); code != 0 || !strings.Contains(out, `"fill"`) {
		t.Errorf("the encrypted copy: exit code %d, %s", code, out)
	}
}

var benchAnswers = flag.Int("answers", 2000, "answers in the store of BenchmarkStoreCopy, which has a run for a thousand of them")

// BenchmarkStoreCopy copies a store from files to a database and back.
func BenchmarkStoreCopy(b *testing.B) {
	home, answers := b.TempDir(), *benchAnswers
	data, url := filepath.Join(home, "data"), postgrestest.URL(b)
	fill(b, data, (answers+999)/1000, answers, nil)
	copied := func(from, to string) time.Duration {
		b.Helper()
		begin := time.Now()
		cmd := exec.CommandContext(b.Context(), "claude-force", "store", "copy", from, to)
		cmd.Env = append(os.Environ(), "HOME="+home, "CLAUDE_FORCE_HOME="+filepath.Join(home, "own"), "XDG_CONFIG_HOME=")
		out, err := cmd.CombinedOutput()
		if err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
		b.Logf("%s", out)
		return time.Since(begin)
	}
	for n := 0; b.Loop(); n++ {
		back := filepath.Join(home, fmt.Sprint("back", n))
		if n > 0 {
			url = postgrestest.URL(b)
		}
		there, home := copied(data, url), copied(url, back)
		b.ReportMetric(float64(answers)/there.Seconds(), "answers/s-to-postgres")
		b.ReportMetric(float64(answers)/home.Seconds(), "answers/s-to-files")
	}
}
