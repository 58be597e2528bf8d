//go:build linux

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestPlan counts the calls whose prompt another has too.
func TestPlan(t *testing.T) {
	t.Parallel()
	opts := options{Calls: 10_000, Seed: 3}
	prompts := map[int]int{}
	for i, prompt := range opts.plan() {
		if prompts[prompt]++; prompts[prompt] == 1 && prompt != len(prompts)-1 {
			t.Fatalf("call %d has prompt %d, the %d. new one", i, prompt, len(prompts))
		}
	}
	if len(prompts) != 6000 || opts.prompts() != 6000 {
		t.Errorf("%d prompts", len(prompts))
	}
}

// TestQueue has several readers take each prompt once.
func TestQueue(t *testing.T) {
	t.Parallel()
	q, err := newQueue()
	if err != nil {
		t.Fatal(err)
	}
	const prompts, readers = 50_000, 4
	took := make([][]int, readers)
	var all sync.WaitGroup
	for i := range took {
		all.Go(func() {
			for {
				prompt, err := take(q.from)
				if err != nil {
					if err != io.EOF {
						t.Error(err)
					}
					return
				}
				took[i] = append(took[i], prompt)
			}
		})
	}
	for prompt := range prompts {
		if err := put(q.to, prompt); err != nil {
			t.Fatal(err)
		}
	}
	_ = q.to.Close()
	all.Wait()
	list := slices.Concat(took...)
	slices.Sort(list)
	if len(list) != prompts || list[0] != 0 || list[prompts-1] != prompts-1 || len(slices.Compact(list)) != prompts {
		t.Errorf("%d prompts were taken", len(list))
	}
}

// TestServiceCounts has the service count and bill a call, and refuse what is over the burst.
func TestServiceCounts(t *testing.T) {
	t.Parallel()
	s, cost := newService(t.Context(), 60, 1)
	reached := s.reach(2)
	for range 2 {
		req := httptest.NewRequest(http.MethodPost, "/v1/messages", strings.NewReader(body(text(7))))
		req.RemoteAddr = addressOf(1) + ":1234"
		req.Header.Set("X-Api-Key", account)
		req.Header.Set("Anthropic-Version", "2023-06-01")
		s.ServeHTTP(httptest.NewRecorder(), req)
	}
	<-reached
	got := s.counted()
	if a := got[0]; a.prompt != 7 || a.key != keyOps || a.machine != 1 || a.status != http.StatusOK || a.cost < cost/2 || a.cost > 2*cost || cost == 0 {
		t.Errorf("counted %+v; an answer costs %d", a, cost)
	}
	if b := got[1]; b.status != http.StatusTooManyRequests || b.cost != 0 {
		t.Errorf("counted %+v", b)
	}
}

// TestBrokenPromisesAreNoticed compares a run in which everything is as it should be, and such
// in which a promise was not kept.
func TestBrokenPromisesAreNoticed(t *testing.T) {
	t.Parallel()
	const each = 1000
	start := time.Unix(1_000_000, 0)
	opts := options{Calls: 200, Servers: 1, Clients: 2, RPM: 60, Burst: 10, Cut: 20 * time.Second}
	second := func(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }
	whole := func() *seen {
		s := &seen{began: start, ended: second(120), outcomes: make([]outcome, machines), budgets: map[string]budget{}}
		billed := map[string]int64{}
		for prompt := range opts.prompts() {
			s.requests = append(s.requests, request{prompt: prompt, key: keyOf(prompt), machine: prompt % 2, began: second(prompt), ended: second(prompt + 1), status: http.StatusOK, cost: each})
			billed[keyOf(prompt)] += each
			billed[""] += each
		}
		for name, spent := range billed {
			s.budgets[name] = budget{limit: spent * 100 / 99, spent: spent}
		}
		for prompt := range opts.Calls {
			s.outcomes[0].Answered++
			s.outcomes[0].Prompts = append(s.outcomes[0].Prompts, prompt%opts.prompts())
		}
		return s
	}
	again := func(s *seen, machine int, at time.Time) {
		s.requests = append(s.requests, request{prompt: 5, key: keyOf(5), machine: machine, began: at, ended: at.Add(time.Second), status: http.StatusOK})
	}
	change := func(s *seen, name string, do func(*budget)) {
		b := s.budgets[name]
		do(&b)
		s.budgets[name] = b
	}
	cut := func(s *seen) { s.cut, s.healed = second(30), second(50) }
	for name, c := range map[string]struct {
		change  func(*seen)
		problem string // a part of it; empty for none
	}{
		"all is well":                         {func(*seen) {}, ""},
		"paid twice":                          {func(s *seen) { again(s, 0, second(31)) }, "prompt 5 was paid for 2 times"},
		"paid twice by others than those cut": {func(s *seen) { cut(s); again(s, 0, second(31)) }, "prompt 5 was paid for 2 times"},
		"paid twice since it was cut off":     {func(s *seen) { cut(s); again(s, machines-1, second(29)) }, ""},
		"paid twice by it long after":         {func(s *seen) { cut(s); again(s, machines-1, second(90)) }, "prompt 5 was paid for 2 times"},
		"paid three times since it was cut off": {func(s *seen) {
			cut(s)
			again(s, machines-1, second(29))
			again(s, machines-1, second(31))
		}, "prompt 5 was paid for 3 times"},
		"paid once more by each of two servers": {func(s *seen) {
			cut(s)
			again(s, machines-1, second(29))
			again(s, machines-1, second(31))
		}, ""},
		"paid three times, once by two servers": {func(s *seen) {
			cut(s)
			again(s, 0, second(29))
			again(s, machines-1, second(31))
		}, "prompt 5 was paid for 3 times"},
		"a call is lost":                  {func(s *seen) { s.outcomes[0].Answered--; s.outcomes[0].Lost++ }, "of 200 calls 199"},
		"an answer from nowhere":          {func(s *seen) { s.requests[3].status = http.StatusTooManyRequests; s.requests[3].cost = 0 }, "the service was not asked"},
		"repeated":                        {func(s *seen) { cut(s); s.outcomes[0].Repeated++ }, "1 repeated"},
		"repeated by the machine cut off": {func(s *seen) { cut(s); s.outcomes[machines-1].Repeated++ }, ""},
		"broke off, since it was cut off": {func(s *seen) { cut(s); s.outcomes[0].Repeated++; s.outcomes[0].Broken++ }, ""},
		"refused": {func(s *seen) {
			s.requests = append(s.requests, request{prompt: 1, status: http.StatusTooManyRequests})
		}, "were refused"},
		"the limit is not used": {func(s *seen) {
			for i := range s.requests {
				s.requests[i].began = second(2 * i)
			}
		}, "only 50.0 % of the limit"},
		"the limit is not used on a slow machine": {func(s *seen) {
			for i := range s.requests {
				s.requests[i].began = second(2 * i)
			}
		}, ""},
		"the ledger says more":                {func(s *seen) { change(s, keyWeb, func(b *budget) { b.spent++ }) }, `"web": the ledger says`},
		"the ledger says more of those cut":   {func(s *seen) { cut(s); change(s, keyWeb, func(b *budget) { b.spent++ }) }, ""},
		"the ledger says more of the others":  {func(s *seen) { cut(s); change(s, keyStill, func(b *budget) { b.spent++ }) }, `"still": the ledger says`},
		"the ledger says less":                {func(s *seen) { cut(s); change(s, keyWeb, func(b *budget) { b.spent-- }) }, `"web": the ledger says`},
		"a budget is exceeded":                {func(s *seen) { change(s, keyOps, func(b *budget) { b.limit = b.spent - 1 }) }, "of a budget of"},
		"something is reserved":               {func(s *seen) { change(s, "", func(b *budget) { b.reserved = 1 }) }, "is reserved"},
		"the small budget is not used up":     {func(s *seen) { change(s, keySmall, func(b *budget) { b.limit *= 2 }) }, "only 12000 of a budget"},
		"a budget is missing":                 {func(s *seen) { delete(s.budgets, keyOps) }, "there are 4 budgets"},
		"too much is charged for what is cut": {func(s *seen) { cut(s); change(s, "", func(b *budget) { b.spent += 3 * worstCase; b.limit *= 100 }) }, "that was not billed"},
	} {
		t.Run(name, func(t *testing.T) {
			s := whole()
			c.change(s)
			opts := opts
			opts.Untimed = strings.HasSuffix(name, "on a slow machine")
			if strings.HasSuffix(name, "two servers") {
				opts.Servers = 2
			}
			r := compare(&opts, s)
			text := strings.Join(r.problems, "\n")
			if c.problem == "" && text != "" || !strings.Contains(text, c.problem) {
				t.Errorf("problems %q, want %q", r.problems, c.problem)
			}
		})
	}
}
