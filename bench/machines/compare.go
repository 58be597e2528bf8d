//go:build linux

package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/claude-force/claude-force/bench/internal/tally"
)

// What is promised.
const (
	leastUsed   = 0.95  // of the limit, over the steady part
	mostRefused = 0.005 // of all requests
)

// budget is what the program says of the budget of a key, in billionths of a dollar.
type budget struct{ limit, spent, reserved int64 }

// seen is what clients, the service and the ledger have counted.
type seen struct {
	began, ended time.Time
	cut, healed  time.Time // zero if no machine was cut off
	outcomes     []outcome // of machines
	requests     []request
	budgets      map[string]budget // by key; of all keys without a name
}

// report is what follows from what was seen.
type report struct {
	calls, answered, noRoom, repeated int
	sources                           map[string]int
	requests, paid, refused, twice    int
	used                              float64
	duringCut                         int // answers of the service in the meantime
	seconds                           float64
	charged                           int64 // that the service did not bill, of calls that were cut off
	billed                            int64
	problems                          []string
}

func (r *report) problem(format string, args ...any) {
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

// compare compares what was counted.
func compare(opts *options, s *seen) *report {
	r := &report{calls: opts.Calls, sources: map[string]int{}, seconds: s.ended.Sub(s.began).Seconds()}
	answered := map[int]bool{}
	for n, o := range s.outcomes {
		r.answered += o.Answered
		r.noRoom += o.NoRoom
		r.repeated += o.Repeated
		for source, n := range o.Sources {
			r.sources[source] += n
		}
		for _, prompt := range o.Prompts {
			answered[prompt] = true
		}
		// An answer that the machine that is cut off was making breaks off for the others.
		allowed := o.Broken
		if n == machines-1 {
			allowed = o.Repeated
		}
		if s.cut.IsZero() {
			allowed = 0
		}
		if o.Lost > 0 || o.Repeated > allowed {
			r.problem("machine %d: %d calls were lost, %d repeated: %q", n, o.Lost, o.Repeated, o.Errors)
		}
	}
	if r.answered+r.noRoom != r.calls {
		r.problem("of %d calls %d were answered and %d had no room", r.calls, r.answered, r.noRoom)
	}
	r.comparePaid(opts, s, answered)
	r.compareLimits(opts, s)
	r.compareBudgets(opts, s)
	return r
}

// comparePaid checks that each prompt was paid for once, and once more at most by each server of
// the machine that was cut off.
func (r *report) comparePaid(opts *options, s *seen, answered map[int]bool) {
	paid := map[int][]request{}
	for _, q := range s.requests {
		if q.status == http.StatusOK {
			paid[q.prompt] = append(paid[q.prompt], q)
			r.paid++
		}
	}
	for prompt := range answered {
		if len(paid[prompt]) == 0 {
			r.problem("prompt %d was answered, and the service was not asked", prompt)
		}
	}
	wrong := 0
	for prompt, requests := range paid {
		if prompt < 0 || prompt >= opts.prompts() {
			r.problem("the service was asked for prompt %d", prompt)
		}
		if len(requests) == 1 {
			continue
		}
		r.twice += len(requests) - 1
		// Servers of the machine that is cut off do not know of each other's calls.
		allowed := 0
		for i := range requests {
			if allowed < opts.Servers && s.cutInFlight(opts, &requests[i]) {
				allowed++
			}
		}
		if len(requests) > 1+allowed {
			if wrong++; wrong <= 10 {
				r.problem("prompt %d was paid for %d times: %s", prompt, len(requests), s.describe(requests))
			}
		}
	}
	if wrong > 10 {
		r.problem("%d prompts in all were paid for more than once", wrong)
	}
	if most := opts.Servers * opts.Clients; r.twice > most {
		r.problem("%d prompts were paid for twice, more than the %d clients of the machine that was cut off", r.twice, most)
	}
}

// describe returns when and by which machines requests were made.
func (s *seen) describe(requests []request) string {
	list := make([]string, len(requests))
	for i, q := range requests {
		list[i] = fmt.Sprintf("machine %d after %v", q.machine, q.began.Sub(s.began).Round(time.Millisecond))
	}
	return strings.Join(list, ", ")
}

// cutInFlight reports whether a request was on its way when its machine was cut off: what the
// network has kept of it may arrive as long after the machine was healed as it was cut off.
func (s *seen) cutInFlight(opts *options, q *request) bool {
	const late = 15 * time.Second // until an answer is in all stores, on a slow machine
	return !s.cut.IsZero() && q.machine == machines-1 && q.ended.After(s.cut.Add(-late)) && q.began.Before(s.healed.Add(opts.Cut+late))
}

// compareLimits checks how much of the limit was used, and how many requests were refused.
func (r *report) compareLimits(opts *options, s *seen) {
	var passed []time.Time // when requests took from the bucket
	for _, q := range s.requests {
		switch q.status {
		case http.StatusOK:
			passed = append(passed, q.began)
			if q.began.After(s.cut) && q.began.Before(s.healed) {
				r.duringCut++
			}
		case http.StatusTooManyRequests:
			r.refused++
		default:
			r.problem("the service answered %d", q.status)
		}
	}
	r.requests = len(s.requests)
	if share := float64(r.refused) / float64(max(1, r.requests)); share > mostRefused {
		r.problem("%.2f %% of the requests were refused", 100*share)
	}
	slices.SortFunc(passed, time.Time.Compare)
	// The steady part is what follows the burst, without the last calls.
	from, to := opts.Burst*6/5, len(passed)*19/20
	if from >= to {
		r.problem("only %d requests passed", len(passed))
		return
	}
	allowed := passed[to].Sub(passed[from]).Minutes() * float64(opts.RPM)
	r.used = float64(to-from) / allowed
	if r.used < leastUsed && !opts.Untimed {
		r.problem("only %.1f %% of the limit was used", 100*r.used)
	}
}

// compareBudgets compares the ledger with what the service billed. What calls cost whose
// machine was cut off may not be known to it: they are charged in full.
func (r *report) compareBudgets(opts *options, s *seen) {
	billed := map[string]int64{}
	for _, q := range s.requests {
		billed[q.key] += q.cost
		r.billed += q.cost
	}
	billed[""] = r.billed
	if len(s.budgets) != len(keyNames)+1 {
		r.problem("there are %d budgets", len(s.budgets))
	}
	for name, b := range s.budgets {
		over := b.spent - billed[name]
		switch {
		case b.spent > b.limit || billed[name] > b.limit:
			r.problem("%q: %d was billed and %d charged, of a budget of %d", name, billed[name], b.spent, b.limit)
		case b.reserved != 0:
			r.problem("%q: %d is reserved, and no call is in flight", name, b.reserved)
		case over < 0, over > 0 && (s.cut.IsZero() || name == keyStill):
			r.problem("%q: the ledger says %d, the service %d", name, b.spent, billed[name])
		case name == "":
			r.charged = over
			if most := int64(opts.Servers*opts.Clients) * worstCase; over > most {
				r.problem("%d was charged that was not billed, more than %d for calls that were cut off", over, most)
			}
		case name == keySmall && b.spent < b.limit*19/20:
			r.problem("only %d of a budget of %d was used", b.spent, b.limit)
		}
	}
}

// worstCase is the most that a call may be charged, in billionths of a dollar: 300 tokens of
// an answer, and a prompt of fewer than 1,000.
const worstCase = 300*500 + 1000*100

func (r *report) print() {
	fmt.Printf("%d machines, %.0f s: %.1f %% of the limit was used, %.2f %% of the requests were refused; the service billed $%.9f\n",
		machines, r.seconds, 100*r.used, 100*float64(r.refused)/float64(max(1, r.requests)), float64(r.billed)/1e9)
	var t tally.Table
	t.Add("calls", r.calls)
	t.Add("answered", r.answered)
	t.Add("without room in their key's budget", r.noRoom)
	t.Add("repeated by clients, since a machine was cut off", r.repeated)
	for _, source := range slices.Sorted(maps.Keys(r.sources)) {
		t.Add("answers by the server's word: "+source, r.sources[source])
	}
	t.Add("requests of the service", r.requests)
	t.Add("answered", r.paid)
	t.Add("refused", r.refused)
	t.Add("answered while a machine was cut off", r.duringCut)
	t.Add("paid twice, since the machine was cut off", r.twice)
	t.Add("billionths of a dollar charged in full for calls that were cut off", int(r.charged))
	t.Print(r.problems)
}
