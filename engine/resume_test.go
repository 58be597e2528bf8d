package engine_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
)

// lived is a run of a plan with its journal.
type lived struct {
	*watch
	res    *engine.Result
	events []journal.Event
}

// live runs a plan behind events that are in its journal already, in a bubble of
// its own: it is then when the run began, so that no question is too old.
func (p *plan) live(t *testing.T, events []journal.Event, whose map[string]string, changed bool) (l *lived) {
	synctest.Test(t, func(t *testing.T) { l = p.goOn(t, events, whose, changed) })
	return l
}

func (p *plan) goOn(t *testing.T, events []journal.Event, whose map[string]string, changed bool, set ...func(*engine.Options)) *lived {
	b := newBook(t, events...)
	w := newWatch(p, b)
	w.world.answer = p.answer(whose)
	w.world.meet = nil // another process may have ended what a step needs
	opts := w.options()
	opts.Log, opts.Identify, opts.Changed = b.log, identityOf(whose), changed
	opts.Again = map[string]bool{}
	for id := range p.byID {
		opts.Again[id] = true
	}
	if events != nil {
		opts.Past = past(t, events)
	}
	for _, f := range set {
		f(&opts)
	}
	res := run(t.Context(), p.workflow(t), opts)
	return &lived{watch: w, res: res, events: b.events(t)}
}

// outcomes are what must be the same however often a run was stopped.
func (l *lived) outcomes() map[string]string {
	got := ends(l.res, func(s *engine.StepResult) string { return string(s.Status) + ": " + s.Output })
	got[""] = string(l.res.Status)
	return got
}

// finished are the units with an answer in a journal.
func finished(events []journal.Event) map[string]bool {
	done := map[string]bool{}
	for _, ev := range events {
		if ev.Type == journal.StepFinished {
			done[unitName(ev.Step, ev.Item)] = true
		}
	}
	return done
}

// compare checks a resumed run against the undisturbed one.
func (l *lived) compare(whole *lived, prefix []journal.Event) {
	if diff := cmp.Diff(whole.outcomes(), l.outcomes()); diff != "" {
		l.fault("after %d of %d events: %s", len(prefix), len(whole.events), diff)
	}
	done, known := finished(prefix), map[string]bool{}
	for _, name := range whole.world.units() {
		known[name] = true
	}
	for _, name := range l.world.units() {
		if done[name] {
			l.fault("after %d events: %s was finished, and was asked again", len(prefix), name)
		}
		if !known[name] {
			l.fault("after %d events: %s was asked, as it never was undisturbed", len(prefix), name)
		}
	}
	if t := l.events[len(l.events)-1].Type; t != journal.RunFinished {
		l.fault("the journal ends with %s", t)
	}
}

// TestResumeAfterAnyEvent lets runs die after every event of their journals,
// go on, and die and go on again: what comes out is what the undisturbed run
// gave, and nothing that had finished is asked again.
func TestResumeAfterAnyEvent(t *testing.T) {
	prefixes := 0
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPlan(rt, 5)
		cut := rapid.IntRange(0, 1<<20)
		again, third := cut.Draw(rt, "again"), cut.Draw(rt, "third")
		whole := p.live(t, nil, nil, false)
		for n := 1; n <= len(whole.events); n++ {
			prefix := whole.events[:n]
			second := p.live(t, prefix, nil, false)
			second.compare(whole, prefix)
			second.check(rt)
			prefixes++
			if n%4 != again%4 {
				continue
			}
			for _, at := range []int{again, third} { // resumes of resumes
				prefix = second.events[:1+at%len(second.events)]
				second = p.live(t, prefix, nil, false)
				second.compare(whole, prefix)
				second.check(rt)
			}
		}
	})
	t.Logf("%d prefixes", prefixes)
}

// TestResumeWithAChange changes whom one step asks and accepts that: exactly
// what is now asked otherwise than before is asked, and the outcome is that of
// a new run.
func TestResumeWithAChange(t *testing.T) {
	asked, kept := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPlan(rt, 8)
		if p.joins { // what was asked depends on time then
			rt.SkipNow()
		}
		var ids []string
		for id, s := range p.byID {
			if s.kind == "agent" && !s.lists() {
				ids = append(ids, id)
			}
		}
		if len(ids) == 0 {
			rt.SkipNow()
		}
		slices.Sort(ids)
		whose := map[string]string{rapid.SampledFrom(ids).Draw(rt, "changed"): "new"}
		first, fresh := p.live(t, nil, nil, false), p.live(t, nil, whose, false)
		second := p.live(t, first.events, whose, true)
		if diff := cmp.Diff(fresh.outcomes(), second.outcomes()); diff != "" {
			second.fault("other than a new run: %s", diff)
		}
		done := finished(first.events)
		want := map[string]bool{}
		for _, name := range fresh.world.units() {
			id := p.stepOf(name).id
			if !done[name] || whose[id] != "" || first.world.prompt(name) != fresh.world.prompt(name) {
				want[name] = true
			} else {
				kept++
			}
		}
		got := map[string]bool{}
		for _, name := range second.world.units() {
			got[name] = true
		}
		if diff := cmp.Diff(want, got); diff != "" {
			second.fault("asked again with %v changed: %s", whose, diff)
		}
		asked += len(got)
		second.check(rt)
	})
	if t.Logf("%d units asked, %d kept", asked, kept); asked == 0 || kept == 0 {
		t.Error("the plans change nothing, or keep nothing")
	}
}

// stepOf is the step that a unit is of.
func (p *plan) stepOf(unit string) *planned {
	var last *planned
	path, item := unit, ""
	for i, r := range unit {
		if r == ' ' {
			path, item = unit[:i], unit[i+1:]
			break
		}
	}
	(&watch{plan: p}).around(engine.Attempt{Path: path, Item: item}, func(s *planned, _, _ string, _ []string) { last = s })
	return last
}

// TestWhatFailedRunsAgain runs again what failed, as often as it was acted on: nothing
// that has finished is asked again, all else that failed is, and since it fails again
// the outcome is the same.
func TestWhatFailedRunsAgain(t *testing.T) {
	asked := 0
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPlan(rt, 6)
		whole := p.live(t, nil, nil, false)
		var second *lived
		synctest.Test(t, func(t *testing.T) {
			second = p.goOn(t, whole.events, nil, false, func(o *engine.Options) { o.Failed = true })
		})
		second.compare(whole, whole.events)
		got := map[string]bool{}
		for _, name := range second.world.units() {
			got[name] = true
		}
		for _, u := range past(t, whole.events).Order {
			if u.Type == journal.StepFailed && whole.world.times(unitName(u.Step, u.Item)) > 0 && !got[unitName(u.Step, u.Item)] {
				second.fault("%s failed, and was not asked again", u.Unit)
			}
		}
		asked += len(got)
		second.check(rt)
	})
	if asked == 0 {
		t.Error("nothing failed in the plans")
	}
}
