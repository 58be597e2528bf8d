package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/memory"
)

// Who watches a run is told, once each time, that it waits for an answer.
func TestWatchSaysThatARunWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		log, err := store.Create(t.Context(), journal.Run{ID: "run_a"})
		if err != nil {
			t.Fatal(err)
		}
		write := func(events ...journal.Event) {
			if err := log.Append(events...)(); err != nil {
				t.Error(err)
			}
		}
		var out, said bytes.Buffer
		a := &app{stdout: &out, stderr: &said}
		done := make(chan error)
		go func() { done <- a.watch(t.Context(), store, "run_a", false) }()
		later := func() { <-time.After(time.Minute) }
		later()
		write(journal.Event{Type: journal.ApprovalAsked, Step: "ok", Detail: journal.Detail(journal.ApprovalRequest{Message: "Go?"})})
		later()
		write(journal.Event{Type: journal.StepFinished, Step: "ok"}, journal.Event{Type: journal.StepStarted, Step: "work"})
		later()
		write(journal.Event{Type: journal.RunFinished, Detail: journal.Detail(journal.RunEnd{Status: journal.StatusCompleted})})
		if err := log.Release(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(said.String(), "run_a waits for an answer"); got != 1 || !strings.Contains(said.String(), "run_a is completed") {
			t.Errorf("it was said %d times:\n%s", got, said.String())
		}
		if !strings.Contains(out.String(), "ok: waits for approval: Go?") {
			t.Errorf("what happened:\n%s", out.String())
		}
	})
}
