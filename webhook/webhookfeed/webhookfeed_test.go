package webhookfeed_test

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/memory"
	"github.com/claude-force/claude-force/llm/budget/budgetdb"
	"github.com/claude-force/claude-force/webhook"
	"github.com/claude-force/claude-force/webhook/webhookfeed"
)

// hook returns a webhook that wants everything that comes after marks.
func hook(t *testing.T, m webhook.Marks) *webhook.Hook {
	t.Helper()
	h := &webhook.Hook{ID: "1", Name: "ops", URL: "https://hooks.example.com", SecretEnv: "SECRET", Marks: m}
	if err := h.Complete(time.Now()); err != nil {
		t.Fatal(err)
	}
	return h
}

func open(t *testing.T, store journal.Store) *webhookfeed.Feed {
	t.Helper()
	f, err := webhookfeed.New(store, budgetdb.NewExcesses(filepath.Join(t.TempDir(), "budget.db")), "https://force.example.com/")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// put appends events to a new run.
func put(t *testing.T, store journal.Store, id string, events ...journal.Event) {
	t.Helper()
	log, err := store.Create(t.Context(), journal.Run{ID: id, Workflow: "review"})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Append(events...)(); err != nil {
		t.Fatal(err)
	}
}

func ended(status journal.Status) journal.Event {
	return journal.Event{Type: journal.RunFinished, Detail: journal.Detail(journal.RunEnd{Status: status})}
}

func asked(step string, q journal.ApprovalRequest) journal.Event {
	q.Message = "canary: text that a model may have written"
	return journal.Event{Type: journal.ApprovalAsked, Step: step, Item: "canary-item", Detail: journal.Detail(q)}
}

// subjects returns what the next events are about, and moves the marks.
func subjects(t *testing.T, f *webhookfeed.Feed, h *webhook.Hook) (list []string) {
	t.Helper()
	to, events, err := f.Next(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	h.Marks = to
	for _, ev := range events {
		list = append(list, string(ev.Type)+" "+ev.Subject)
		if !json.Valid(ev.Body) || strings.Contains(string(ev.Body), "canary") || !strings.Contains(string(ev.Body), "https://force.example.com/runs/") {
			t.Errorf("%s: %s", ev.Subject, ev.Body)
		}
	}
	return list
}

// TestRuns: what needs no attention is not sent, and no text of a question is.
func TestRuns(t *testing.T) {
	store := memory.New()
	f, h := open(t, store), hook(t, webhook.Marks{})
	put(t, store, "done", ended(journal.StatusCompleted))
	put(t, store, "paused", ended(journal.StatusInterrupted))
	put(t, store, "waits", asked("ok", journal.ApprovalRequest{}))
	put(t, store, "late", asked("ok", journal.ApprovalRequest{Deadline: time.Now().Add(-time.Minute)}))
	put(t, store, "answered", asked("ok", journal.ApprovalRequest{}))
	if err := store.Signal(t.Context(), journal.Event{Run: "answered", Type: journal.ApprovalGiven, Step: "ok", Item: "canary-item", Detail: journal.Detail(journal.Decision{Approved: true})}); err != nil {
		t.Fatal(err)
	}
	want := []string{"run.finished done", "approval.wanted waits ok"}
	if got := subjects(t, f, h); !slices.Equal(got, want) {
		t.Errorf("%v; want %v", got, want)
	}
	if got := subjects(t, f, h); len(got) != 0 {
		t.Errorf("again: %v", got)
	}
	now, err := f.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	put(t, store, "later", ended(journal.StatusFailed))
	if got := subjects(t, f, hook(t, now)); !slices.Equal(got, []string{"run.finished later"}) {
		t.Errorf("of a webhook that was added later: %v", got)
	}
}

// TestReplacedJournal: in a file that has taken the place of another, what is later than
// the last that was seen is found, and nothing that is older.
func TestReplacedJournal(t *testing.T) {
	store := memory.New()
	put(t, store, "old", ended(journal.StatusCompleted))
	marks := webhook.Marks{Runs: 500, RunsAt: time.Now()}
	put(t, store, "new", ended(journal.StatusCompleted))
	h := hook(t, marks)
	if got := subjects(t, open(t, store), h); !slices.Equal(got, []string{"run.finished new"}) || h.Marks.Runs != 2 {
		t.Errorf("%v, %+v", got, h.Marks)
	}
}
