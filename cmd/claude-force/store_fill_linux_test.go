package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsdb"
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

// fill puts runs, answers and calls into the files of a store.
func fill(ctx context.Context, tb testing.TB, dir string, runs, answers int, key []byte) {
	tb.Helper()
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
	for n := 0; n < answers && ctx.Err() == nil; n++ {
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
	must(errors.Join(store.Close(), ctx.Err()))
	calls, err := callsdb.Open(pipeline.DataDir(dir).History())
	must(err)
	var batch []analytics.Call
	apart := min(time.Minute, 30*24*time.Hour/time.Duration(max(answers, 1)))
	for n := range answers {
		batch = append(batch, analytics.Call{Time: time.Now().Add(-time.Duration(n) * apart), Project: "p", Run: fmt.Sprintf("run_%06d", n%max(runs, 1)), Agent: "linter", Model: "m", Asked: "m", Source: llm.SourceLive, Cost: 7, Attempts: 1,
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

// rowsOf returns how many rows all tables of a database have.
func rowsOf(t *testing.T, address string) (rows int64) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	err = conn.QueryRow(t.Context(), `SELECT sum((xpath('/row/n/text()', query_to_xml('SELECT count(*) AS n FROM ' || oid::regclass, false, true, '')))[1]::text::bigint)::bigint
		FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'`).Scan(&rows)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}
