package engine_test

import (
	"maps"
	"slices"
	"strings"
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
func (p *plan) live(t *testing.T, events []journal.Event, whose map[string]string, changed bool, set ...func(*engine.Options)) (l *lived) {
	synctest.Test(t, func(t *testing.T) { l = p.goOn(t, events, whose, changed, set...) })
	return l
}

func (p *plan) goOn(t *testing.T, events []journal.Event, whose map[string]string, changed bool, set ...func(*engine.Options)) *lived {
	b := newBook(t, events...)
	w := newWatch(p, b)
	w.world.answer = p.answer(whose)
	w.world.meet = nil // another process may have ended what a step needs
	w.before = begun(events)
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

// outcomes returns what must be the same however often a run was stopped.
func (l *lived) outcomes() map[string]string {
	got := ends(l.res, func(s *engine.StepResult) string { return string(s.Status) + ": " + s.Output })
	got[""] = string(l.res.Status)
	return got
}

// finished returns the units with an answer in a journal.
func finished(events []journal.Event) map[string]bool {
	done := map[string]bool{}
	for _, ev := range events {
		if ev.Type == journal.StepFinished {
			done[unitName(ev.Step, ev.Item)] = true
		}
	}
	return done
}

// begun returns the units that have started in a journal.
func begun(events []journal.Event) map[string]bool {
	started := map[string]bool{}
	for _, ev := range events {
		if ev.Type == journal.StepStarted || ev.Type == journal.StepFinished {
			started[unitName(ev.Step, ev.Item)] = true
		}
	}
	return started
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

// dead returns the units with effects: once that have begun in a journal and are not known to
// have finished: they may have had their effects, and must not run again.
func (p *plan) dead(events []journal.Event) map[string]bool {
	dead, done := map[string]bool{}, finished(events)
	for _, ev := range events {
		unit := unitName(ev.Step, ev.Item)
		if ev.Step != "" && ev.Type == journal.StepStarted && p.stepOf(unit).once && !done[unit] && !p.holds(unit) {
			dead[unit] = true
		}
	}
	return dead
}

// holds reports whether a unit has others within it, its items or iterations.
func (p *plan) holds(unit string) bool {
	s, path, item := p.stepOf(unit), unit, ""
	if before, after, ok := strings.Cut(unit, " "); ok {
		path, item = before, after
	}
	_, last, _ := cutLast(path, "/")
	lists, keys := 0, 0
	if item != "" {
		keys = 1 + strings.Count(item, "/")
	}
	for segment := range strings.SplitSeq(path, "/") {
		if id, _, _ := strings.Cut(segment, "@"); p.byID[id].each() {
			lists++
		}
	}
	return s.loop > 0 && !strings.Contains(last, "@") || keys < lists
}

// actedOn returns the units that failed in a journal, and whose fallback or dependents began
// for that: what they did would be contradicted if the unit ran again.
func (p *plan) actedOn(events []journal.Event) map[string]bool {
	failed, acted := map[string]bool{}, map[string]bool{}
	for _, ev := range events {
		if ev.Step == "" {
			continue
		}
		unit := unitName(ev.Step, ev.Item)
		s, prefix := p.stepOf(unit), strings.TrimSuffix(ev.Step, p.stepOf(unit).id)
		if ev.Type == journal.StepFailed && !s.each() && s.loop == 0 {
			failed[unit] = true
		}
		if ev.Type != journal.StepStarted {
			continue
		}
		waits := slices.Concat(s.reads, s.perhaps, p.standIn[s.id])
		if !s.hurries() {
			waits = append(waits, s.deps...)
		}
		for _, id := range waits {
			if before := unitName(prefix+id, ev.Item); failed[before] {
				acted[before] = true
			}
		}
	}
	return acted
}

// exitedIn returns the step that has ended the run in a journal; nil if none has.
func exitedIn(events []journal.Event) *journal.Exited {
	for _, ev := range events {
		var end journal.Finished
		if ev.Type == journal.StepFinished && ev.Decode(&end) == nil && end.Exit != nil {
			return &journal.Exited{Step: ev.Step, Item: ev.Item, Exit: *end.Exit}
		}
	}
	return nil
}

// keeps checks a run that was resumed behind a part of the journal of the run cut, in which
// a step has ended the run: what has ended by then is as it was, and nothing else is but
// what ended with it.
func (l *lived) keeps(cut *lived, prefix []journal.Event) {
	last, began := map[string]journal.EventType{}, map[string]bool{} // began again, if it had ended
	for _, ev := range prefix {
		switch unit := unitName(ev.Step, ev.Item); ev.Type {
		case journal.StepStarted:
			began[unit] = true
		case journal.StepFinished, journal.StepFailed, journal.StepSkipped:
			last[unit], began[unit] = ev.Type, false
		}
	}
	got, want := l.outcomes(), cut.outcomes()
	skipped := func(outcome string) bool { return strings.HasPrefix(outcome, "skipped") }
	kept := map[string]bool{} // failures of units that cut was to run again, by step
	for unit := range want {
		if skipped(want[unit]) && last[unit] == journal.StepFailed && strings.HasPrefix(got[unit], "failed") {
			step, _, _ := strings.Cut(unit, " ")
			kept[step] = true
		}
	}
	for unit := range want {
		step, _, _ := strings.Cut(unit, " ")
		switch {
		case got[unit] == want[unit]:
		case skipped(got[unit]) && (last[unit] == "" || began[unit]):
		case skipped(want[unit]) && slices.ContainsFunc(slices.Collect(maps.Keys(kept)), func(s string) bool {
			return s == step || strings.HasPrefix(s, step+"/") || strings.HasPrefix(s, step+"@")
		}): // or what is within it
		default:
			l.fault("after %d events, of which one ended the run: %s is %q; it was %q", len(prefix), unit, got[unit], want[unit])
		}
	}
}

// agree checks a run that was resumed behind a part of the journal of the run cut: each
// unit ends as the model says and is asked what it says, nothing that has finished is asked
// or saved again, and what must not happen twice has not begun again. whole is the
// undisturbed run.
func (l *lived) agree(whole, cut *lived, prefix []journal.Event) {
	dead := l.dead(prefix)
	m := l.watch.compare(l.res, dead)
	exits := len(m.exits) > 0 // by which depends on time
	switch was := exitedIn(prefix); {
	case was != nil:
		if len(l.world.calls) > 0 {
			l.fault("after %d events, of which one ended the run: %d attempts were made", len(prefix), len(l.world.calls))
		}
		if diff := cmp.Diff(was, l.res.Exited); diff != "" {
			l.fault("after %d events: %s", len(prefix), diff)
		}
		l.keeps(cut, prefix)
	case len(dead) == 0 && !exits:
		l.compare(whole, prefix)
	}
	done, acted := finished(prefix), l.actedOn(prefix)
	for _, c := range l.world.calls {
		switch {
		case acted[c.unit]:
			l.fault("after %d events: %s had failed, the run went on for that, and it was asked again", len(prefix), c.unit)
		case done[c.unit]:
			l.fault("after %d events: %s was finished, and was asked again", len(prefix), c.unit)
		case dead[c.unit]:
			l.fault("after %d events: %s has effects that must not happen twice, and was asked again", len(prefix), c.unit)
		case len(dead) == 0 && !l.joins && !exits && c.prompt != whole.world.whole(c.unit):
			l.fault("after %d events: %s was asked %q; undisturbed it was %q", len(prefix), c.unit, c.prompt, whole.world.whole(c.unit))
		}
	}
	for _, ev := range prefix {
		if ev.Type == journal.FileSaved && l.wrote[ev.Step] > 0 {
			l.fault("after %d events: the file of %s was saved, and was saved again", len(prefix), ev.Step)
		}
	}
	for id, n := range l.wrote {
		if n > 1 {
			l.fault("after %d events: the file of %s was saved %d times", len(prefix), id, n)
		}
	}
}

// TestResumeAfterAnyEvent lets runs die after every event of their journals, go on, and
// die and go on again: each step ends as a model says that knows no journal, and nothing
// that has finished is repeated.
//
//	go test ./engine -run TestResumeAfterAnyEvent -rapid.checks 100000 -timeout 3h
func TestResumeAfterAnyEvent(t *testing.T) {
	checks(t, 600)
	prefixes := 0
	never := func(o *engine.Options) { o.Again = nil } // what may have had its effects does not run again
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPlan(rt, 5, "exit")
		p.plain = true
		cut := rapid.IntRange(0, 1<<20)
		again, later := cut.Draw(rt, "again"), cut.Draw(rt, "later")
		whole := p.live(t, nil, nil, false, never)
		whole.watch.compare(whole.res, nil)
		whole.check(rt)
		for n := 1; n <= len(whole.events); n++ {
			prefix := whole.events[:n]
			second := p.live(t, prefix, nil, false, never)
			second.agree(whole, whole, prefix)
			second.check(rt)
			prefixes++
			if n%8 != again%8 {
				continue
			}
			for _, at := range []int{again, later} { // resumes of resumes
				prefix = second.events[:1+at%len(second.events)]
				third := p.live(t, prefix, nil, false, never)
				third.agree(whole, second, prefix)
				third.check(rt)
				second = third
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

// stepOf returns the step that a unit is of.
func (p *plan) stepOf(unit string) *planned {
	path, _, _ := strings.Cut(unit, " ")
	_, last, _ := cutLast(path, "/")
	id, _, _ := strings.Cut(last, "@")
	return p.byID[id]
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
			switch {
			case u.Type != journal.StepFailed:
			case u.Answered():
				if second.wrote[u.Step] == 0 {
					second.fault("%s was not saved, and that was not tried again", u.Unit)
				}
			case whole.world.times(unitName(u.Step, u.Item)) > 0 && !got[unitName(u.Step, u.Item)]:
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
