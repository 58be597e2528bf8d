package engine_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/workflow"
)

// watch checks a run of a plan while it goes on. Errors are kept, since only
// rapid's own goroutine may fail its test.
type watch struct {
	*plan
	world  *world
	person *person

	mu     sync.Mutex // guards the fields below
	ended  map[string][]engine.Status
	order  map[string]int       // when each unit was the first to end, among all that ended
	at     map[string]time.Time // and at what time
	before map[string]bool      // units that an earlier process started
	wrote  map[string]int       // how often each step's output was to be saved
	faults []string
}

func (w *watch) fault(format string, args ...any) {
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

func newWatch(p *plan, b *book) *watch {
	w := &watch{plan: p, person: newPerson(b, p.decide), ended: map[string][]engine.Status{}, order: map[string]int{}, at: map[string]time.Time{}, wrote: map[string]int{}}
	w.world = &world{takes: p.takes, answer: p.answer(nil), meet: w.meet}
	return w
}

// options returns to be made in the bubble, since a channel belongs to one.
func (w *watch) options() engine.Options {
	w.person.control = make(chan journal.Event, mostAnswers) // for each run, since a channel belongs to a bubble
	return engine.Options{
		RunID: bookID, MaxParallel: w.slots, Execute: w.world.execute, Control: w.person.control, Observe: w.observe, Save: w.save,
		Duration: func(s *workflow.Step) time.Duration {
			return w.takes(engine.Attempt{Path: s.ID, Number: 1})
		},
	}
}

// save writes a file of a step, or does not.
func (w *watch) save(ctx context.Context, f engine.File) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Millisecond + time.Duration(w.chance(1e6, "saves", f.Unit.Step))):
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrote[f.Unit.Step]++
	return w.saves(f.Unit.Step)
}

func (w *watch) observe(ctx context.Context, ev engine.Event) {
	w.person.observe(ctx, ev)
	w.mu.Lock()
	defer w.mu.Unlock()
	unit := unitName(ev.Path, ev.Item)
	switch ev.Status {
	case engine.StatusCompleted, engine.StatusFailed, engine.StatusSkipped:
		if w.ended[unit] = append(w.ended[unit], ev.Status); len(w.ended[unit]) > 1 {
			w.fault("%s ended more than once: %v", unit, w.ended[unit])
		}
		w.order[unit], w.at[unit] = len(w.order), time.Now()
	}
}

// around calls see for every step that a unit is of or within, outermost first,
// with where its frame is.
func (w *watch) around(a engine.Attempt, see func(s *planned, prefix, item string, within []string)) {
	var chain []string
	if a.Item != "" {
		chain = strings.Split(a.Item, "/")
	}
	prefix, used := "", 0
	for segment := range strings.SplitSeq(a.Path, "/") {
		id, _, _ := strings.Cut(segment, "@")
		s := w.byID[id]
		see(s, prefix, strings.Join(chain[:used], "/"), chain[used:])
		if s.each() {
			used++
		}
		prefix += segment + "/"
	}
}

// meet checks what must hold when an attempt begins.
func (w *watch) meet(a engine.Attempt, running []engine.Attempt) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(running) > w.slots {
		w.fault("%d attempts at once with %d slots", len(running), w.slots)
	}
	w.around(a, func(s *planned, prefix, item string, within []string) {
		met, open := 0, 0
		for _, id := range s.deps {
			switch w.counts(prefix, id, item) {
			case "completed", "continued":
				met++
			case "open":
				open++
			}
		}
		for _, id := range s.reads {
			if got := w.counts(prefix, id, item); got != "completed" && got != "continued" {
				w.fault("%s began within %s%s, which reads %s, when that was %s", a.Path, prefix, s.id, id, got)
			}
		}
		for _, id := range s.perhaps {
			if w.counts(prefix, id, item) == "open" {
				w.fault("%s began within %s%s, which reads %s, before that had ended", a.Path, prefix, s.id, id)
			}
		}
		if s.join < 0 && open > 0 {
			w.fault("%s began within %s%s when %d of its dependencies had not ended (join: settled)", a.Path, prefix, s.id, open)
		}
		if s.join == 0 && met < len(s.deps) || met < s.join {
			w.fault("%s began within %s%s when %d of its %d dependencies (join %d) were met", a.Path, prefix, s.id, met, len(s.deps), s.join)
		}
		most, at := s.maxParallel, map[string]int{}
		for _, b := range running {
			w.around(b, func(other *planned, p, i string, in []string) {
				if other == s && p == prefix && i == item && s.each() {
					at[in[0]]++
				}
			})
		}
		if most > 0 && len(at) > most {
			w.fault("%d items of %s%s at once, and at most %d may be", len(at), prefix, s.id, most)
		}
		if s.bodyMax > 0 {
			frame, n := w.instance(a, s), 0
			for _, b := range running {
				if w.instance(b, s) == frame {
					n++
				}
			}
			if n > s.bodyMax {
				w.fault("%d attempts at once within %s, and at most %d may be", n, frame, s.bodyMax)
			}
		}
	})
}

// instance names the frame of s that an attempt is made in; empty for none.
func (w *watch) instance(a engine.Attempt, s *planned) (name string) {
	segments, i := strings.Split(a.Path, "/"), 0
	w.around(a, func(other *planned, prefix, item string, within []string) {
		if other == s {
			if s.each() {
				item = under(item, within[0])
			}
			name = unitName(prefix+segments[i], item)
		}
		i++
	})
	return name
}

// counts returns what a step that ended is to those who wait for it.
func (w *watch) counts(prefix, id, item string) string {
	s, ended := w.byID[id], w.ended[unitName(prefix+id, item)]
	switch {
	case len(ended) == 0:
		return "open"
	case ended[0] != engine.StatusFailed:
		return string(ended[0])
	case s.fallback != "":
		return w.counts(prefix, s.fallback, item)
	case s.onFailure == "continue" && s.each() && (s.listOf == "" || w.gaveList(prefix, s.listOf, item)):
		return "failed" // too few of its items succeeded
	case s.onFailure == "continue" && !s.spare:
		return "continued"
	}
	return "failed"
}

// gaveList reports whether a step gave its list itself: that of a fallback is a text.
func (w *watch) gaveList(prefix, id, item string) bool {
	ended := w.ended[unitName(prefix+id, item)]
	return len(ended) > 0 && ended[0] == engine.StatusCompleted
}

// startIfReady says what is wrong, in rapid's own goroutine.
func (w *watch) check(t *rapid.T) {
	if len(w.faults) > 0 {
		t.Fatalf("%s\n%s\n%v", strings.Join(w.faults, "\n"), w.source, w.files)
	}
}

// checks makes a test try so many examples, unless -rapid.checks says how many.
func checks(t *testing.T, n int) {
	const name, usual = "rapid.checks", "100"
	set := func(value string) {
		if err := flag.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	if f := flag.Lookup(name); f.Value.String() == usual {
		set(strconv.Itoa(n))
		t.Cleanup(func() { set(usual) })
	}
}

// TestAnyWorkflow runs random workflows to their end: each step and item ends
// once, as a model without time says, whatever the slots and durations, and is asked
// what the model says; never does a step begin too early, or more be under way than may;
// and the same run again is the same to the byte.
//
//	go test ./engine -run TestAnyWorkflow -rapid.checks 100000
func TestAnyWorkflow(t *testing.T) {
	checks(t, 2000)
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPlan(rt, 8, "exit")
		p.plain = true
		var before []byte
		for range 2 {
			w := newWatch(p, nil)
			synctest.Test(t, func(t *testing.T) {
				res := run(t.Context(), p.workflow(t), w.options())
				w.compare(res, nil)
				data, err := json.Marshal(res)
				if err != nil {
					w.fault("%v", err)
				}
				if before != nil && string(before) != string(data) {
					w.fault("the second time differs:\n%s", cmp.Diff(string(before), string(data)))
				}
				before = data
			})
			w.check(rt)
		}
	})
}

// compare checks a result, and what was asked in this process, against the model. dead are
// the units with effects: once that began in a process that died.
func (w *watch) compare(res *engine.Result, dead map[string]bool) (m *model) {
	m = newModel(w.plan)
	m.dead = dead
	if want := m.run(); len(m.exits) > 0 {
		w.compareExited(res, m)
	} else {
		if string(res.Status) != want || res.Exited != nil {
			w.fault("the run is %s, exited by %v; want %s", res.Status, res.Exited, want)
		}
		if diff := cmp.Diff(m.want, ends(res, endOf), cmp.AllowUnexported(ending{})); diff != "" {
			w.fault("%s", diff)
		}
	}
	for _, c := range w.world.calls {
		if want, ok := m.asked[c.unit]; !ok {
			w.fault("%s was asked", c.unit)
		} else if c.given != want {
			w.fault("%s was asked %q; want %q", c.unit, c.given, want)
		}
	}
	return m
}

// compareExited checks the result of a run that a step must end: one of those that the
// model says does. What has ended before is as in the model, and all else is skipped. Once
// the run has exited nothing begins, and nothing completes or fails but the saving of files.
func (w *watch) compareExited(res *engine.Result, m *model) {
	if res.Exited == nil {
		w.fault("the run did not exit; it could by %v", m.exits)
		return
	}
	by := unitName(res.Exited.Step, res.Exited.Item)
	if want, ok := m.exits[by]; !ok || res.Exited.Exit != want || string(res.Status) != string(want.Status) || res.Output != want.Message {
		w.fault("the run is %s with the output %q, exited by %s as %v; it could by %v", res.Status, res.Output, by, res.Exited.Exit, m.exits)
	}
	last, ended := w.order[by]
	if !ended {
		w.fault("%s ended the run, and has not ended", by)
	}
	at := w.at[by]
	for unit, got := range ends(res, endOf) {
		want, known := m.want[unit]
		if !known {
			want = m.past[unit]
		}
		n, ended := w.order[unit]
		switch {
		case ended && n <= last && got != want:
			w.fault("%s is %v, and ended before the run exited; want %v", unit, got, want)
		case got != want && got != (ending{status: "skipped"}):
			w.fault("%s is %v where the run exited; want %v, or that it was skipped", unit, got, want)
		}
		if ended && w.at[unit].After(at) && !w.stepOf(unit).saved && !w.before[unit] && got.status != "skipped" {
			w.fault("%s ended %v after the run exited", unit, w.at[unit].Sub(at))
		}
	}
	for _, c := range w.world.calls {
		if c.from.After(at) {
			w.fault("%s was asked %v after the run exited", c.unit, c.from.Sub(at))
		}
	}
}

// TestAnyStop stops random workflows at a random time, in each of the ways
// there are: nothing begins after that, nothing goes on once Run has returned,
// and every step has a final state.
func TestAnyStop(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPlan(rt, 8)
		at := time.Duration(rapid.Int64Range(0, 4_000_000_000).Draw(rt, "at"))
		how := rapid.SampledFrom([]string{"drain", "cancel", "deadline", "cancel asked"}).Draw(rt, "how")
		w := newWatch(p, nil)
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			opts, drain := w.options(), make(chan struct{})
			opts.Drain = drain
			stop := time.Now().Add(at)
			switch how {
			case "drain":
				time.AfterFunc(at, func() { close(drain) })
			case "cancel":
				time.AfterFunc(at, cancel)
			case "deadline":
				var done context.CancelFunc
				ctx, done = context.WithDeadline(ctx, stop)
				defer done()
			default:
				time.AfterFunc(at, func() { w.person.control <- journal.Event{Type: journal.CancelAsked} })
			}
			res := run(ctx, p.workflow(t), opts)
			if len(w.world.running) > 0 {
				w.fault("%d attempts go on after the end", len(w.world.running))
			}
			if how != "drain" && time.Now().After(stop) && len(w.world.calls) > 0 {
				w.fault("stopped at %v, ended at %v", stop, time.Now())
			}
			for _, c := range w.world.calls {
				if c.from.After(stop) {
					w.fault("%s began %v after the stop", c.unit, c.from.Sub(stop))
				}
			}
			m := newModel(p)
			m.run()
			left := 0
			for unit, status := range ends(res, statusOf) {
				switch status {
				case "interrupted":
					left++
				case "completed", "failed", "skipped":
					if want, ok := m.want[unit]; ok && want.status != status && w.inReserve(unit, status) {
						w.fault("%s is %s; undisturbed it would be %s", unit, status, want.status)
					}
				default:
					w.fault("%s ended as %s", unit, status)
				}
			}
			if (res.Status == engine.StatusInterrupted || res.Status == engine.StatusCancelled) == (left == 0) && how != "cancel asked" {
				w.fault("the run is %s with %d units left", res.Status, left)
			}
		})
		w.check(rt)
	})
}

// inReserve reports whether a status must be the model's: a step that would
// have run in place of another is skipped when the run is stopped before.
func (w *watch) inReserve(unit, status string) bool {
	path, _, _ := strings.Cut(unit, " ")
	return status != "skipped" || !slices.ContainsFunc(strings.Split(path, "/"), func(segment string) bool {
		id, _, _ := strings.Cut(segment, "@")
		return w.byID[id].spare
	})
}
