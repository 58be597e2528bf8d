package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/client"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/server"
	"github.com/claude-force/claude-force/sim"
)

const review = `name: review
steps:
  - {id: draft, agent: python-expert, task: Write about bees}
  - {id: go, approval: Go on?, dependencies: [draft]}
  - {id: review, agent: code-reviewer, task: "Review ${{ steps.draft.output }}", dependencies: [go]}
`

// serve serves a project, answered by the simulator, behind wrap.
func serve(t *testing.T, wrap func(http.Handler) http.Handler) (address, key string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "review.yaml"), []byte(review), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := claudeforce.LoadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	cfg.DataDir = filepath.Join(dir, "data")
	key = keys.New()
	srv, err := server.New(t.Context(), server.Options{
		Dir: dir, Config: cfg, Key: key, Version: "test", Settings: runs.Settings{Approvals: "durable"},
		Open: func(ctx context.Context, dir string, _ runs.Settings) (*claudeforce.Orchestrator, error) {
			return claudeforce.New(ctx, claudeforce.Options{Dir: dir, Config: cfg, Simulator: sim.New(sim.Options{})})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(wrap(srv))
	t.Cleanup(func() {
		web.Close()
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return web.URL, key
}

// cutter is a writer that breaks the connection off after so many writes.
type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(b []byte) (int, error) {
	if c.left--; c.left < 0 {
		panic(http.ErrAbortHandler)
	}
	return c.ResponseWriter.Write(b)
}

func (c *cutter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// TestFollow starts a run, answers it and follows it over connections that break off after
// few messages: each event comes once.
func TestFollow(t *testing.T) {
	var streams atomic.Int64
	address, key := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/stream") {
				w = &cutter{w, 1 + int(streams.Add(1))}
			}
			next.ServeHTTP(w, r)
		})
	})
	c, err := client.New(client.Options{URL: address, Key: key, Retry: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	run, err := c.Start(t.Context(), client.StartRun{Workflow: "review.yaml"}, "one")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.Start(t.Context(), client.StartRun{Workflow: "review.yaml"}, "one"); err != nil || again.ID != run.ID {
		t.Errorf("the request again: %+v, %v", again, err)
	}
	var seqs []int64
	var last journal.Run
	for change, err := range c.Follow(t.Context(), run.ID, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if change.Event == nil {
			last = change.Run
			continue
		}
		seqs = append(seqs, change.Event.Seq)
		if change.Event.Type == journal.ApprovalAsked {
			if step, err := c.Approve(t.Context(), run.ID, client.Answer{Approved: true, By: "test"}); err != nil || step != "go" {
				t.Fatalf("answered %q: %v", step, err)
			}
		}
	}
	if last.Status != journal.StatusCompleted || streams.Load() < 2 {
		t.Errorf("the run is %s after %d connections", last.Status, streams.Load())
	}
	var want []int64
	for ev, err := range c.Events(t.Context(), run.ID, 0) {
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, ev.Seq)
	}
	if !slices.Equal(seqs, want) {
		t.Errorf("followed %v, want %v", seqs, want)
	}

	view, err := c.Run(t.Context(), "latest")
	if err != nil || view.ID != run.ID || view.Result.Steps["review"].Output == "" {
		t.Errorf("shown: %+v, %v", view, err)
	}
	out, err := c.Output(t.Context(), run.ID, client.GetOutput{Step: "review", Format: "text"})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if text, err := io.ReadAll(out); err != nil || strings.TrimSpace(string(text)) != strings.TrimSpace(view.Result.Steps["review"].Output) {
		t.Errorf("output %q, %v", text, err)
	}
	var listed []string
	for r, err := range c.Runs(t.Context(), client.ListRuns{Key: "none"}) {
		t.Errorf("a run of a key that there is not: %+v, %v", r, err)
	}
	for r, err := range c.History().Runs(t.Context(), journal.Filter{StartedBy: "none"}) {
		t.Errorf("a run of a key that there is not: %+v, %v", r, err)
	}
	for r, err := range c.Runs(t.Context(), client.ListRuns{Workflow: "review", Statuses: []journal.Status{journal.StatusCompleted}, Since: time.Hour}) {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, r.ID)
	}
	if !slices.Equal(listed, []string{run.ID}) {
		t.Errorf("listed %v", listed)
	}
	if failed, err := c.Failures(t.Context(), run.ID); err != nil || len(failed) != 0 {
		t.Errorf("failures %v, %v", failed, err)
	}
	if open, err := c.Approvals(t.Context(), run.ID); err != nil || len(open) != 0 {
		t.Errorf("approvals %v, %v", open, err)
	}
	if diff, err := c.Diff(t.Context(), run.ID, run.ID, ""); err != nil || len(diff) == 0 || !diff[0].Same {
		t.Errorf("differences %+v, %v", diff, err)
	}
	if _, err := c.Resume(t.Context(), run.ID, client.ResumeRun{}); fault.KindOf(err) != fault.KindConflict {
		t.Errorf("resuming a completed run: %v", err)
	}
	if _, err := c.Cancel(t.Context(), run.ID); fault.KindOf(err) != fault.KindConflict {
		t.Errorf("cancelling a completed run: %v", err)
	}
}

// TestErrors checks what is said of a server that does not answer, a key that it does not
// take and addresses that cannot be used; none of it has the key.
func TestErrors(t *testing.T) {
	address, key := serve(t, func(next http.Handler) http.Handler { return next })
	for name, test := range map[string]struct{ address, key, want string }{
		"no such run":    {address, key, "run_none"},
		"a wrong key":    {address, keys.New(), "does not accept the key"},
		"no server":      {"http://127.0.0.1:1", key, "no server answers at"},
		"no address":     {"force", key, "no address"},
		"with user":      {"https://a:b@force", key, "no user"},
		"in the clear":   {"http://force.example.com", key, "in the clear"},
		"without a key":  {address, "", "needs a key"},
		"another scheme": {"ftp://force", key, "no address"},
	} {
		c, err := client.New(client.Options{URL: test.address, Key: test.key, Retry: time.Millisecond})
		if err == nil {
			for _, err = range c.Follow(t.Context(), "run_none", 0) {
				break
			}
		}
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), test.key) && test.key != "" {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
	c, err := client.New(client.Options{URL: address, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Run(t.Context(), "run_none")
	if p, ok := errors.AsType[*client.Error](err); !ok || p.Status != http.StatusNotFound || p.Code != "not_found" || fault.KindOf(err) != fault.KindNotFound {
		t.Errorf("no such run: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Run(ctx, "latest"); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}
