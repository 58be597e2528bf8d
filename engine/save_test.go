package engine_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/workflow"
)

// disk is where files are saved: it remembers what was written, and how often.
type disk struct {
	mu    sync.Mutex
	files map[string]string
	wrote map[string]int
	fails map[string]error
	takes time.Duration
}

func newDisk(files map[string]string) *disk {
	d := &disk{files: map[string]string{}, wrote: map[string]int{}, fails: map[string]error{}}
	maps.Copy(d.files, files)
	return d
}

func (d *disk) save(ctx context.Context, f engine.File) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d.takes):
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.fails[f.Path]; err != nil {
		return err
	}
	d.wrote[f.Path]++
	d.files[f.Path] = f.Content
	return nil
}

// savedBy returns the files that events say are saved, with their digests.
func savedBy(t *testing.T, events []journal.Event) map[string]string {
	t.Helper()
	got := map[string]string{}
	for _, ev := range events {
		if ev.Type == journal.FileSaved {
			var s journal.Saved
			if err := ev.Decode(&s); err != nil {
				t.Fatal(err)
			}
			got[s.Path] = s.SHA256
		}
	}
	return got
}

func sha256Of(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

const everyKindSaves = `
steps:
- {id: one, agent: x, task: t, save: out/one.md}
- {id: each, agent: x, task: "${{ page }} ${{ steps.one.output }}", foreach: {item: page, in: [a, b]}, save: "out/each-${{ page }}.md"}
- id: outer
  foreach: [p, q]
  save: "out/outer-${{ item }}.md"
  steps:
  - {id: inner, agent: x, task: "${{ item }}", save: "out/inner-${{ item }}.md"}
- {id: again, agent: x, task: "${{ loop.index }}", loop: {max: 2}, save: again.md}
- id: rounds
  loop: {max: 2}
  steps:
  - {id: draft, agent: x, task: t, save: "draft-${{ loop.index }}.md"}
- {id: made, value: "${{ {'of': steps.one.output} }}", save: made.json}
- {id: ask, approval: {message: where, choices: [x, y]}, save: ask.txt}
- {id: bad, agent: x, task: bad, on_failure: {fallback: instead}, save: bad.md}
- {id: instead, agent: x, task: t, save: bad.md}
- {id: use, agent: x, task: "${{ steps.each.output }} ${{ steps.again.output }} ${{ steps.outer.output }} ${{ steps.ask.output }} ${{ steps.rounds.output }} ${{ steps.made.output }}"}
output: "${{ steps.use.output }}"
save: out/all.md
`

// saving is a run of a workflow whose files are on a disk.
type saving struct {
	world  *world
	disk   *disk
	res    *engine.Result
	events []journal.Event
}

func saveRun(t *testing.T, source string, events []journal.Event, d *disk, set ...func(*engine.Options)) *saving {
	var s *saving
	synctest.Test(t, func(t *testing.T) {
		b := newBook(t, events...)
		w := &world{answer: func(a engine.Attempt) (string, error) {
			if a.Step.ID == "bad" {
				return "", errBad
			}
			return "result of " + unitName(a.Path, a.Item), nil
		}}
		p := newPerson(b, func(string, string) (time.Duration, journal.Decision, bool) {
			return time.Second, journal.Decision{Approved: true, Value: []byte(`"y"`)}, true
		})
		opts := engine.Options{RunID: bookID, Execute: w.execute, Log: b.log, Control: p.control, Observe: p.observe, Save: d.save}
		if events != nil {
			opts.Past = past(t, events)
		}
		for _, f := range set {
			f(&opts)
		}
		res := run(t.Context(), parse(t, source), opts)
		s = &saving{w, d, res, b.events(t)}
	})
	return s
}

// TestSavedFilesAfterAnyEvent stops a run after each event of its journal, with and
// without the file that was being written, and resumes it, twice: the files are those of
// the undisturbed run, what the journal has is not written again, and what has finished
// is not asked again.
func TestSavedFilesAfterAnyEvent(t *testing.T) {
	whole := saveRun(t, everyKindSaves, nil, newDisk(nil))
	if whole.res.Status != engine.StatusCompleted || len(whole.disk.files) != 14 || len(whole.res.Files) != 14 {
		t.Fatalf("%s, files %v, listed %v", whole.res.Status, whole.disk.files, whole.res.Files)
	}
	for path, n := range whole.disk.wrote {
		if n != 1 {
			t.Errorf("%s was written %d times", path, n)
		}
	}
	for _, f := range whole.res.Files {
		if content := whole.disk.files[f.Path]; f.Bytes != len(content) || f.SHA256 != sha256Of(content) {
			t.Errorf("%v is not %q", f, content)
		}
	}
	check := func(prefix []journal.Event, before map[string]string) *saving {
		t.Helper()
		d := newDisk(before)
		got := saveRun(t, everyKindSaves, prefix, d)
		if diff := cmp.Diff(whole.disk.files, d.files); diff != "" || got.res.Status != engine.StatusCompleted {
			t.Errorf("after %d events: %s: %s", len(prefix), got.res.Status, diff)
		}
		if diff := cmp.Diff(whole.res.Files, got.res.Files); diff != "" {
			t.Errorf("after %d events the result lists: %s", len(prefix), diff)
		}
		for path := range savedBy(t, prefix) {
			if d.wrote[path] > 0 {
				t.Errorf("after %d events: %s was saved, and was written again", len(prefix), path)
			}
		}
		done := finished(prefix)
		for _, name := range got.world.units() {
			if done[name] {
				t.Errorf("after %d events: %s was asked again", len(prefix), name)
			}
		}
		if diff := cmp.Diff(savedBy(t, whole.events), savedBy(t, got.events)); diff != "" {
			t.Errorf("after %d events the journal says: %s", len(prefix), diff)
		}
		return got
	}
	for n := 1; n <= len(whole.events); n++ {
		prefix, onDisk := whole.events[:n], map[string]string{}
		for path := range savedBy(t, prefix) {
			onDisk[path] = whole.disk.files[path]
		}
		second := check(prefix, onDisk)
		if n < len(whole.events) && whole.events[n].Type == journal.FileSaved { // it died behind the write
			for path := range savedBy(t, whole.events[n:n+1]) {
				onDisk[path] = whole.disk.files[path]
			}
			check(prefix, onDisk)
		}
		for _, at := range []int{n + 1, (n + len(second.events)) / 2} {
			cut := second.events[:min(at, len(second.events))]
			onDisk := map[string]string{}
			for path := range savedBy(t, cut) {
				onDisk[path] = whole.disk.files[path]
			}
			check(cut, onDisk)
		}
	}
}

// TestSaveFails lets files not be written: the step fails and keeps its answer, which is
// not asked for and not paid again when the run resumes. A result that is made from the
// journal says the same.
func TestSaveFails(t *testing.T) {
	full := errors.New("no space left on device")
	whole := saveRun(t, everyKindSaves, nil, newDisk(nil))
	for path := range whole.disk.files {
		if path == "bad.md" {
			continue // of the fallback, which fails then
		}
		t.Run(path, func(t *testing.T) {
			d := newDisk(nil)
			d.fails[path] = full
			first := saveRun(t, everyKindSaves, nil, d)
			said := ""
			for _, n := range first.res.NotDone {
				said += n.Reason
			}
			if first.res.Error != nil {
				said += *first.res.Error
			}
			if first.res.Status != engine.StatusFailed || !strings.Contains(said, full.Error()) {
				t.Fatalf("%s: %s", first.res.Status, said)
			}
			rebuilt := saveRun(t, everyKindSaves, first.events, newDisk(nil), func(o *engine.Options) { o.Rebuild, o.Log = true, nil })
			if diff := cmp.Diff(statuses(first.res), statuses(rebuilt.res)); diff != "" || rebuilt.res.Status != engine.StatusFailed {
				t.Errorf("the rebuilt result is %s: %s", rebuilt.res.Status, diff)
			}
			if diff := cmp.Diff(first.res.Files, rebuilt.res.Files); diff != "" {
				t.Errorf("the rebuilt result lists: %s", diff)
			}
			if a, b := first.res.CostUSD, rebuilt.res.CostUSD; a == nil || b == nil || math.Abs(*a-*b) > 1e-9 {
				t.Errorf("it cost %v, and rebuilt %v", a, b)
			}
			d = newDisk(d.files)
			second := saveRun(t, everyKindSaves, first.events, d)
			if diff := cmp.Diff(whole.disk.files, d.files); diff != "" || second.res.Status != engine.StatusCompleted {
				t.Errorf("resumed: %s: %s", second.res.Status, diff)
			}
			done := finished(first.events)
			for _, name := range second.world.units() {
				if done[name] {
					t.Errorf("%s was asked again", name)
				}
			}
			if a, b := whole.res.CostUSD, second.res.CostUSD; a == nil || b == nil || math.Abs(*a-*b) > 1e-9 {
				t.Errorf("it cost %v, and resumed %v", *a, *b)
			}
			count := func(events []journal.Event) (run journal.Run) {
				for _, ev := range events {
					if err := run.Count(&ev); err != nil {
						t.Fatal(err)
					}
				}
				return run
			}
			if a, b := count(whole.events), count(second.events); math.Abs(a.CostUSD-b.CostUSD) > 1e-9 || a.Tokens != b.Tokens {
				t.Errorf("the journal counts %v and %d tokens; want %v and %d", b.CostUSD, b.Tokens, a.CostUSD, a.Tokens)
			}
		})
	}
}

// TestSavePathsInARun lets values of paths clash and lead elsewhere: the unit fails, and
// no file is written that another has.
func TestSavePathsInARun(t *testing.T) {
	for name, tt := range map[string]struct{ steps, want string }{
		"items":       {`{id: a, agent: x, task: t, foreach: [x.md, X.md], max_parallel: 1, save: "${{ item }}"}`, "step a[x.md] saves in x.md, which some systems take for the same file"},
		"equal items": {`{id: a, agent: x, task: t, foreach: [{n: 1}, {n: 1}], max_parallel: 1, save: "${{ item.n }}.md"}`, `saves in this file too`},
		"steps":       {`{id: a, agent: x, task: t, save: r.md}, {id: b, agent: x, task: t, dependencies: [a], when: "true", save: r.md}`, "r.md: step a saves in this file too"},
		"up":          {`{id: a, agent: x, task: t, foreach: ["../../x"], save: "out/${{ item }}.md"}`, "leads out of it"},
		"root":        {`{id: a, agent: x, task: t, foreach: ["/../../etc/x"], save: "out/${{ item }}"}`, "leads out of it"},
		"NUL":         {`{id: a, agent: x, task: t, foreach: ["a\0b"], save: "out/${{ item }}"}`, "characters that names of files cannot have"},
		"a line":      {`{id: a, agent: x, task: t, foreach: ["a\nb"], save: "out/${{ item }}"}`, "characters that names of files cannot have"},
		"long":        {`{id: a, agent: x, task: t, foreach: ["` + strings.Repeat("x", 256) + `"], save: "out/${{ item }}"}`, "longer than 255 bytes"},
		"folder":      {`{id: a, agent: x, task: t, foreach: ["b/"], save: "out/${{ item }}"}`, "a folder, not of a file"},
		"itself":      {`{id: a, agent: x, task: t, foreach: ["."], save: "out/${{ item }}"}`, "leads out of it"},
		"no JSON":     {`{id: a, agent: x, task: t, save: r.json}`, "the output is not JSON; the extension of"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDisk(nil)
			res := saveRun(t, "steps: ["+tt.steps+"]", nil, d).res
			said := ""
			for _, n := range res.NotDone {
				said += n.Reason + "\n"
			}
			if res.Status != engine.StatusFailed || !strings.Contains(said, tt.want) {
				t.Errorf("%s: %s", res.Status, said)
			}
			for path, n := range d.wrote {
				if n > 1 || strings.Contains(path, "..") || strings.HasPrefix(path, "/") {
					t.Errorf("%s was written %d times", path, n)
				}
			}
		})
	}
}

// TestStopWhileSaving cancels a run while a file is being written: the step is
// interrupted, its answer is kept, and what it cost counts once.
func TestStopWhileSaving(t *testing.T) {
	const source = `steps: [{id: a, agent: x, task: t, save: a.md}]`
	d := newDisk(nil)
	d.takes = time.Minute
	first := saveRun(t, source, nil, d, func(o *engine.Options) {
		drain := make(chan struct{})
		o.Drain = drain
		time.AfterFunc(2*time.Second, func() { close(drain) })
	})
	if first.res.Status != engine.StatusCompleted || d.files["a.md"] == "" {
		t.Errorf("a run that was drained is %s, and saved %v", first.res.Status, d.files)
	}
	d = newDisk(nil)
	d.takes = time.Minute
	var stopped *engine.Result
	var events []journal.Event
	synctest.Test(t, func(t *testing.T) {
		w, b := &world{}, newBook(t)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		stopped = run(ctx, parse(t, source), engine.Options{RunID: bookID, Execute: w.execute, Log: b.log, Save: d.save})
		events = b.events(t)
	})
	if stopped.Status != engine.StatusInterrupted || len(d.files) > 0 {
		t.Errorf("a run that was cancelled is %s, and saved %v", stopped.Status, d.files)
	}
	var end journal.RunEnd
	if err := events[len(events)-1].Decode(&end); err != nil || *end.UncountedUSD != 0 {
		t.Errorf("%v is not counted, %v", *end.UncountedUSD, err)
	}
	d.takes = 0
	second := saveRun(t, source, events, d)
	if second.res.Status != engine.StatusCompleted || len(second.world.calls) > 0 || d.files["a.md"] != "result of a" {
		t.Errorf("resumed it is %s, asked %v and saved %v", second.res.Status, second.world.units(), slices.Collect(maps.Keys(d.files)))
	}
}

// TestReusedOutputsAreSaved runs a step whose answer is that of the run before: its file
// is saved all the same, and nothing is without a way to save.
func TestReusedOutputsAreSaved(t *testing.T) {
	const source = `steps: [{id: a, agent: x, task: t, save: a.md}]`
	first := saveRun(t, source, nil, newDisk(nil))
	d := newDisk(nil)
	second := saveRun(t, source, nil, d, func(o *engine.Options) {
		o.Earlier = past(t, first.events)
		o.Choose = func(*workflow.Step) engine.Choice { return engine.ChooseReuse }
	})
	if len(second.world.calls) > 0 || d.files["a.md"] != "result of a" || len(second.res.Files) != 1 {
		t.Errorf("asked %v, saved %v, listed %v", second.world.units(), d.files, second.res.Files)
	}
	none := saveRun(t, source, nil, newDisk(nil), func(o *engine.Options) { o.Save = nil })
	if none.res.Status != engine.StatusCompleted || len(none.res.Files) > 0 || len(savedBy(t, none.events)) > 0 {
		t.Errorf("without a way to save it is %s and lists %v", none.res.Status, none.res.Files)
	}
}
