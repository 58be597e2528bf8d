package batch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claude-force/claude-force/internal/processtest"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/anthropic"
	"github.com/claude-force/claude-force/llm/batch"
	"github.com/claude-force/claude-force/llm/llmtest"
	"github.com/claude-force/claude-force/sim"
)

const killTasks = 120

// TestMain makes the test binary also the program that is killed.
func TestMain(m *testing.M) {
	os.Exit(processtest.Main(m, map[string]processtest.Job{"child": child}))
}

// child answers the tasks that have no answer yet, and stores each answer with
// its cost.
func child(args []string) error {
	ctx, url, dir := context.Background(), args[0], args[1]
	client, err := anthropic.New(anthropic.Options{APIKey: "sk-test", BaseURL: url})
	if err != nil {
		return err
	}
	store, err := batch.OpenDir(filepath.Join(dir, "batches"))
	if err != nil {
		return err
	}
	batcher := batch.New(client.Batches(), store, batch.Options{
		Keyer: client.Keyer(), MaxCalls: 25, Idle: 20 * time.Millisecond,
		PollMin: 20 * time.Millisecond, PollMax: 100 * time.Millisecond, Grace: 3 * time.Second,
	})
	path := filepath.Join(dir, "answers")
	known, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	errs := make(chan error, killTasks)
	var wg sync.WaitGroup
	for _, text := range numbered(killTasks) {
		if bytes.Contains(known, []byte(text+"\t")) {
			continue
		}
		wg.Go(func() {
			resp, err := llm.Collect(batcher.Model().Stream(ctx, llmtest.Request(text)))
			if err != nil {
				errs <- err
				return
			}
			usd, _ := llm.Prices().Cost(resp.Model, resp.Usage)
			_, err = fmt.Fprintf(file, "%s\t%v\n", text, usd)
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	var all error
	for err := range errs {
		all = errors.Join(all, err)
	}
	return errors.Join(all, batcher.Close(), store.Close(), file.Close())
}

// killer is a server that kills its client at chosen moments.
type killer struct {
	server *sim.Server
	before atomic.Int32 // creations whose client is killed before the batch exists
	after  atomic.Int32 // creations whose client is killed before the response

	mu     sync.Mutex    // guards the fields below
	kill   func()        // kills the client
	open   int           // connections
	closed chan struct{} // is closed with the last of them
}

// connection counts the open connections.
func (k *killer) connection(_ net.Conn, state http.ConnState) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch state {
	case http.StateNew:
		if k.open++; k.open == 1 {
			k.closed = make(chan struct{})
		}
	case http.StateClosed:
		if k.open--; k.open == 0 {
			close(k.closed)
		}
	}
}

// drain returns once the server has seen the end of all that a client sent which is gone.
// What it sees later, another client would have waited for too short.
func (k *killer) drain(t *testing.T, url string) {
	t.Helper()
	// Connections are accepted in order: those before this one are counted then.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	k.mu.Lock()
	closed := k.closed
	k.mu.Unlock()
	<-closed
}

func (k *killer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/batches") {
		k.server.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	switch {
	case k.before.Add(-1) == 0:
		k.killed()
		panic(http.ErrAbortHandler)
	case k.after.Add(-1) == 0:
		k.server.ServeHTTP(httptest.NewRecorder(), r)
		k.killed()
		panic(http.ErrAbortHandler)
	}
	k.server.ServeHTTP(w, r)
}

func (k *killer) killed() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kill()
}

// run runs the child until it ends or is killed, and reports whether it ended.
func (k *killer) run(t *testing.T, url, dir string, moment <-chan time.Time) bool {
	t.Helper()
	k.mu.Lock()
	p := processtest.Start(t.Context(), "child", url, dir)
	var killed atomic.Bool
	k.kill = func() {
		killed.Store(true)
		p.Kill()
	}
	k.mu.Unlock()
	done := make(chan error, 1)
	go func() { done <- p.Wait() }()
	var err error
	select {
	case err = <-done:
	case <-moment:
		k.killed()
		err = <-done
	}
	if err != nil && !killed.Load() {
		t.Fatalf("the program failed: %v", err)
	}
	k.drain(t, url)
	return err == nil
}

func TestKilledProcess(t *testing.T) {
	t.Parallel()
	soon := func() <-chan time.Time { return time.After(time.Duration(rand.IntN(400)) * time.Millisecond) }
	never := make(<-chan time.Time)
	kills := map[string]func(k *killer, run func(moment <-chan time.Time) bool){
		"at random": func(_ *killer, run func(<-chan time.Time) bool) {
			run(soon())
			run(soon())
		},
		"before its batch exists": func(k *killer, run func(<-chan time.Time) bool) {
			k.before.Store(3)
			run(never)
			run(soon())
		},
		"before it hears of its batch": func(k *killer, run func(<-chan time.Time) bool) {
			k.after.Store(2)
			run(never)
			k.after.Store(1)
			run(never)
		},
	}
	for name, kill := range kills {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := &killer{server: sim.New(sim.Options{BatchLatency: sim.Fixed(200 * time.Millisecond)})}
			tcp := httptest.NewUnstartedServer(k)
			tcp.Config.ConnState = k.connection
			tcp.Start()
			defer tcp.Close()
			dir := t.TempDir()
			kill(k, func(moment <-chan time.Time) bool { return k.run(t, tcp.URL, dir, moment) })
			if !k.run(t, tcp.URL, dir, never) {
				t.Fatal("the last run did not end")
			}
			k.check(t, dir)
		})
	}
}

// check checks that every task was submitted once and answered once, for half
// the price.
func (k *killer) check(t *testing.T, dir string) {
	t.Helper()
	counts := k.server.Requests()
	for body, n := range counts {
		if n.Started != 1 {
			t.Errorf("task %s was submitted %d times", body[:8], n.Started)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "answers"))
	if err != nil {
		t.Fatal(err)
	}
	paid, answered := 0.0, 0
	for line := range strings.Lines(string(data)) {
		var usd float64
		_, cost, _ := strings.Cut(line, "\t")
		if _, err := fmt.Sscan(cost, &usd); err != nil {
			t.Fatal(err)
		}
		paid += usd
		answered++
	}
	s := k.server.Stats()
	full, _ := llm.Prices().Cost(llmtest.Model, llm.Usage{InputTokens: s.InputTokens, OutputTokens: s.OutputTokens})
	if len(counts) != killTasks || answered != killTasks || math.Abs(paid-full/2) > 1e-9 {
		t.Errorf("%d tasks submitted, %d answered, want %d; paid $%v, want half of $%v", len(counts), answered, killTasks, paid, full)
	}
}
