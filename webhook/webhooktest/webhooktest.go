// Package webhooktest tests that a [webhook.Store] keeps its contract.
package webhooktest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/webhook"
)

// Harness is how the suite comes by stores. The suite closes what it opens.
type Harness struct {
	Open  func(t *testing.T) webhook.Store                         // a new, empty store
	Other func(t *testing.T, s webhook.Store) webhook.Store        // the same once more, as another living process
	Dead  func(t *testing.T, s webhook.Store) (dead webhook.Store) // the same, as a process that others know to be dead
}

// Suite checks a store.
func Suite(t *testing.T, h Harness) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*testing.T, *bench)
	}{
		{"Add", add},
		{"TooMany", tooMany},
		{"Enqueue", enqueue},
		{"EnqueueAtOnce", enqueueAtOnce},
		{"Claim", claim},
		{"ClaimAtOnce", claimAtOnce},
		{"DeadProcess", deadProcess},
		{"ClockSetBack", clockSetBack},
		{"Settle", settle},
		{"Disable", disable},
		{"Retry", retry},
		{"Forget", forget},
		{"Removed", removed},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := &bench{Store: h.Open(t), h: h}
			b.other = h.Other(t, b.Store)
			t.Cleanup(func() {
				if err := errors.Join(b.Close(), b.other.Close()); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
			test.run(t, b)
		})
	}
}

// bench is a store, as two processes have it.
type bench struct {
	webhook.Store
	other webhook.Store
	h     Harness
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// hook returns a webhook with an id.
func hook(t *testing.T, id, name string) *webhook.Hook {
	t.Helper()
	h := &webhook.Hook{ID: id, Name: name, URL: "https://hooks.example.com/a", SecretEnv: "SECRET", Marks: webhook.Marks{Runs: 4, RunsAt: start.Add(7), Budgets: 2}}
	if err := h.Complete(start); err != nil {
		t.Fatal(err)
	}
	return h
}

// added returns a webhook that is in the store.
func added(t *testing.T, b *bench) *webhook.Hook {
	t.Helper()
	h := hook(t, "1", "ops")
	must(t, b.Add(t.Context(), h))
	return h
}

// events returns n events of a webhook.
func events(h *webhook.Hook, n int) []webhook.Event {
	var list []webhook.Event
	for i := range n {
		key := fmt.Sprint("run_", i)
		list = append(list, webhook.Event{ID: webhook.EventID(h, webhook.RunFinished, key), Type: webhook.RunFinished, Subject: key, Body: []byte(`{"of":"` + key + `"}`)})
	}
	return list
}

// filled returns a webhook with n deliveries that are due at start.
func filled(t *testing.T, b *bench, n int) *webhook.Hook {
	t.Helper()
	h := added(t, b)
	to := h.Marks
	to.Runs += int64(n)
	if done, err := b.Enqueue(t.Context(), h, to, events(h, n), start); err != nil || !done {
		t.Fatalf("Enqueue: %t, %v", done, err)
	}
	h.Marks = to
	return h
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustClaim(t *testing.T, s webhook.Store, h *webhook.Hook, n int, now time.Time) []webhook.Delivery {
	t.Helper()
	list, err := s.Claim(t.Context(), h, n, now)
	if err != nil {
		t.Fatalf("Claim: %v", err)
	}
	return list
}

func mustDeliveries(t *testing.T, s webhook.Store, h *webhook.Hook) []webhook.Delivery {
	t.Helper()
	list, err := s.Deliveries(t.Context(), h, 10_000)
	if err != nil {
		t.Fatalf("Deliveries: %v", err)
	}
	return list
}

func mustList(t *testing.T, s webhook.Store) []webhook.Hook {
	t.Helper()
	list, err := s.List(t.Context())
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	return list
}

func add(t *testing.T, b *bench) {
	if list := mustList(t, b); len(list) != 0 {
		t.Fatalf("List of an empty store: %+v", list)
	}
	h := added(t, b)
	if err := b.other.Add(t.Context(), hook(t, "2", "ops")); !errors.Is(err, webhook.ErrExists) {
		t.Errorf("Add of a name that is taken: %v", err)
	}
	other := hook(t, "3", "a")
	other.Marks = webhook.Marks{}
	must(t, b.other.Add(t.Context(), other))
	if diff := cmp.Diff([]webhook.Hook{*other, *h}, mustList(t, b)); diff != "" {
		t.Errorf("List (-want +got):\n%s", diff)
	}
	must(t, b.other.Remove(t.Context(), "a"))
	if err := b.Remove(t.Context(), "a"); !errors.Is(err, webhook.ErrNotFound) {
		t.Errorf("Remove of none: %v", err)
	}
}

func tooMany(t *testing.T, b *bench) {
	for i := range webhook.MaxHooks {
		must(t, b.Add(t.Context(), hook(t, fmt.Sprint(i), fmt.Sprint("w", i))))
	}
	if err := b.Add(t.Context(), hook(t, "x", "x")); !errors.Is(err, webhook.ErrTooMany) {
		t.Errorf("Add: %v", err)
	}
}

func enqueue(t *testing.T, b *bench) {
	h := filled(t, b, 2)
	if got := mustList(t, b.other)[0]; got.Marks != h.Marks {
		t.Errorf("marks %+v; want %+v", got.Marks, h.Marks)
	}
	// Another process that looked from where this one did was too late.
	stale := *h
	stale.Marks = webhook.Marks{Runs: 4, RunsAt: start.Add(7), Budgets: 2}
	if done, err := b.other.Enqueue(t.Context(), &stale, webhook.Marks{Runs: 9}, events(h, 3), start); err != nil || done {
		t.Errorf("Enqueue after another process: %t, %v", done, err)
	}
	// What is enqueued already stays as it is.
	to := h.Marks
	to.Budgets++
	if done, err := b.other.Enqueue(t.Context(), h, to, events(h, 3), start.Add(time.Hour)); err != nil || !done {
		t.Errorf("Enqueue: %t, %v", done, err)
	}
	list := mustDeliveries(t, b, h)
	if len(list) != 3 || list[0].Subject != "run_2" || !list[2].Created.Equal(start) || list[2].Body != nil {
		t.Errorf("deliveries: %+v", list)
	}
}

func enqueueAtOnce(t *testing.T, b *bench) {
	h := added(t, b)
	to := h.Marks
	to.Runs += 5
	var mu sync.Mutex
	won := 0
	var wg sync.WaitGroup
	for i := range 8 {
		store := b.Store
		if i%2 == 0 {
			store = b.other
		}
		wg.Go(func() {
			done, err := store.Enqueue(t.Context(), h, to, events(h, 5), start)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			if done {
				won++
			}
		})
	}
	wg.Wait()
	if n := len(mustDeliveries(t, b, h)); won != 1 || n != 5 {
		t.Errorf("%d processes enqueued, and there are %d deliveries", won, n)
	}
}

func claim(t *testing.T, b *bench) {
	h := filled(t, b, 3)
	if early := mustClaim(t, b, h, 10, start.Add(-time.Second)); len(early) != 0 {
		t.Errorf("claimed before their time: %+v", early)
	}
	first := mustClaim(t, b, h, 2, start)
	if len(first) != 2 || first[0].Subject != "run_0" || string(first[0].Body) != `{"of":"run_0"}` || first[0].Attempts != 1 || !first[0].Last.Equal(start) {
		t.Fatalf("claimed: %+v", first)
	}
	if diff := cmp.Diff(&events(h, 1)[0], first[0].Event()); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	rest := mustClaim(t, b.other, h, 10, start)
	if len(rest) != 1 || rest[0].Subject != "run_2" {
		t.Errorf("another process claimed: %+v", rest)
	}
	if more := mustClaim(t, b, h, 10, start.Add(webhook.Lease-time.Millisecond)); len(more) != 0 {
		t.Errorf("claimed what others have: %+v", more)
	}
	later := start.Add(webhook.Lease)
	again := mustClaim(t, b.other, h, 10, later)
	if len(again) != 3 || again[0].Attempts != 2 {
		t.Fatalf("claimed after the lease: %+v", again)
	}
	// Who lost the lease changes nothing.
	must(t, b.Settle(t.Context(), &first[0], webhook.Outcome{State: webhook.Failed, Problem: "late"}))
	must(t, b.other.Settle(t.Context(), &again[0], webhook.Outcome{State: webhook.Delivered, Status: 204}))
	if got := mustDeliveries(t, b, h)[2]; got.State != webhook.Delivered || got.Status != 204 || got.Problem != "" {
		t.Errorf("the outcome is %+v", got)
	}
}

func claimAtOnce(t *testing.T, b *bench) {
	h := filled(t, b, 50)
	var mu sync.Mutex
	seen := map[string]int{}
	var wg sync.WaitGroup
	for i := range 4 {
		store := b.Store
		if i%2 == 0 {
			store = b.other
		}
		wg.Go(func() {
			for range 60 {
				list, err := store.Claim(t.Context(), h, 3, start)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				for _, d := range list {
					seen[d.ID]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(seen) != 50 {
		t.Errorf("%d of 50 were claimed", len(seen))
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s was claimed %d times", id, n)
		}
	}
}

// deadProcess: what a process had claimed that is dead is claimed by another at once.
func deadProcess(t *testing.T, b *bench) {
	h := filled(t, b, 1)
	dead := b.h.Dead(t, b.Store)
	if got := mustClaim(t, dead, h, 1, start); len(got) != 1 {
		t.Fatalf("claimed: %+v", got)
	}
	must(t, dead.Close())
	if got := mustClaim(t, b, h, 1, start); len(got) != 1 || got[0].Attempts != 2 {
		t.Errorf("claimed after the process died: %+v", got)
	}
}

// clockSetBack: a clock that was wrong for a while delays nothing for long.
func clockSetBack(t *testing.T, b *bench) {
	h := added(t, b)
	to := h.Marks
	to.Runs += 2
	wrong := start.Add(365 * 24 * time.Hour)
	if done, err := b.Enqueue(t.Context(), h, to, events(h, 2), wrong); err != nil || !done {
		t.Fatal(done, err)
	}
	if got := mustClaim(t, b, h, 1, wrong); len(got) != 1 {
		t.Fatalf("claimed: %+v", got)
	}
	if got := mustClaim(t, b.other, h, 10, start); len(got) != 2 {
		t.Errorf("claimed when the clock is right: %+v", got)
	}
}

func settle(t *testing.T, b *bench) {
	h := filled(t, b, 2)
	list := mustClaim(t, b, h, 2, start)
	next := start.Add(time.Minute)
	must(t, b.Settle(t.Context(), &list[0], webhook.Outcome{State: webhook.Pending, Status: 503, Problem: "answered 503", At: start, Next: next}))
	must(t, b.Settle(t.Context(), &list[1], webhook.Outcome{State: webhook.Failed, Problem: "no such host", At: start}))
	if early := mustClaim(t, b.other, h, 10, next.Add(-time.Millisecond)); len(early) != 0 {
		t.Errorf("claimed before their time: %+v", early)
	}
	count, last, err := b.Summary(t.Context(), h)
	if diff := cmp.Diff(map[webhook.State]int{webhook.Pending: 1, webhook.Failed: 1}, count); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if last == nil || last.Problem != "no such host" || !last.Last.Equal(start) {
		t.Errorf("the last attempt: %+v", last)
	}
	got := mustClaim(t, b.other, h, 10, next)
	if len(got) != 1 || got[0].Attempts != 2 || got[0].Status != 503 {
		t.Fatalf("claimed: %+v", got)
	}
	must(t, b.other.Settle(t.Context(), &got[0], webhook.Outcome{State: webhook.Delivered, Status: 200, At: next}))
	if more := mustClaim(t, b, h, 10, next.Add(time.Hour)); len(more) != 0 {
		t.Errorf("claimed what is settled: %+v", more)
	}
}

func disable(t *testing.T, b *bench) {
	h := filled(t, b, 2)
	list := mustClaim(t, b, h, 1, start)
	must(t, b.Settle(t.Context(), &list[0], webhook.Outcome{State: webhook.Failed, Status: 410, Problem: "gone", Disable: "gone for good"}))
	got := mustList(t, b.other)[0]
	if got.Disabled != "gone for good" || got.Wants(webhook.RunFinished) {
		t.Errorf("the webhook is %+v", got)
	}
	if more := mustClaim(t, b, h, 10, start.Add(time.Hour)); len(more) != 0 {
		t.Errorf("claimed of a webhook that is disabled: %+v", more)
	}
	to := h.Marks
	to.Runs++
	if done, err := b.Enqueue(t.Context(), h, to, nil, start); err != nil || done {
		t.Errorf("Enqueue: %t, %v", done, err)
	}
}

func retry(t *testing.T, b *bench) {
	if _, err := b.Retry(t.Context(), "ops", webhook.Marks{}, start); !errors.Is(err, webhook.ErrNotFound) {
		t.Errorf("Retry of none: %v", err)
	}
	h := filled(t, b, 4)
	list := mustClaim(t, b, h, 3, start)
	must(t, b.Settle(t.Context(), &list[0], webhook.Outcome{State: webhook.Delivered, Status: 200}))
	must(t, b.Settle(t.Context(), &list[1], webhook.Outcome{State: webhook.Pending, Status: 500, Next: start.Add(time.Hour)}))
	must(t, b.Settle(t.Context(), &list[2], webhook.Outcome{State: webhook.Failed, Status: 410, Disable: "gone"}))
	later := start.Add(time.Minute)
	marks := webhook.Marks{Runs: 77, RunsAt: later, Budgets: 8}
	n, err := b.other.Retry(t.Context(), "ops", marks, later)
	if err != nil || n != 3 {
		t.Errorf("Retry: %d, %v", n, err)
	}
	got := mustList(t, b)[0]
	if got.Disabled != "" || got.Marks != marks {
		t.Errorf("the webhook is %+v", got)
	}
	due := mustClaim(t, b, &got, 10, later)
	if len(due) != 3 || due[0].Attempts != 1 || !due[1].Created.Equal(later) {
		t.Errorf("due: %+v", due)
	}
	if n, err = b.Retry(t.Context(), "ops", webhook.Marks{}, later); n != 0 || err != nil {
		t.Errorf("Retry of what is being sent: %d, %v", n, err)
	}
	if got := mustList(t, b)[0]; got.Marks != marks {
		t.Errorf("the marks of a webhook that was not disabled became %+v", got.Marks)
	}
}

// forget: of what is settled, the oldest are forgotten; what is pending never is.
func forget(t *testing.T, b *bench) {
	h := added(t, b)
	all := events(h, webhook.MaxSettled+20)
	put := func(list []webhook.Event) {
		t.Helper()
		to := h.Marks
		to.Runs++
		if done, err := b.Enqueue(t.Context(), h, to, list, start); err != nil || !done {
			t.Fatal(done, err)
		}
		h.Marks = to
	}
	put(all[:len(all)-1])
	for i, d := range mustClaim(t, b, h, len(all), start) {
		if i > 0 { // the oldest stays pending
			must(t, b.Settle(t.Context(), &d, webhook.Outcome{State: webhook.Delivered, Status: 200}))
		}
	}
	put(all[len(all)-1:])
	list := mustDeliveries(t, b, h)
	count, _, err := b.Summary(t.Context(), h)
	if err != nil || count[webhook.Delivered] != webhook.MaxSettled || count[webhook.Pending] != 2 || list[len(list)-1].Subject != "run_0" {
		t.Errorf("%v, %v, oldest %s", count, err, list[len(list)-1].Subject)
	}
}

func removed(t *testing.T, b *bench) {
	h := filled(t, b, 1)
	list := mustClaim(t, b, h, 1, start)
	must(t, b.other.Remove(t.Context(), "ops"))
	must(t, b.Settle(t.Context(), &list[0], webhook.Outcome{State: webhook.Delivered, Status: 200}))
	again := hook(t, "2", "ops")
	must(t, b.Add(t.Context(), again))
	if left := mustDeliveries(t, b, again); len(left) != 0 {
		t.Errorf("a webhook that was made again has %+v", left)
	}
	if done, err := b.Enqueue(t.Context(), h, h.Marks, events(h, 1), start); err != nil || done {
		t.Errorf("Enqueue of a webhook that was removed: %t, %v", done, err)
	}
	if got := mustClaim(t, b, h, 1, start); len(got) != 0 {
		t.Errorf("claimed of a webhook that was removed: %+v", got)
	}
}
