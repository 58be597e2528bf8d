package engine_test

import (
	"context"
	"fmt"
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
)

func TestForeachGivesEachItemItsTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wf := parse(t, `
steps:
- {id: each, agent: x, task: 'look at ${{ item }}', foreach: [b, a, b]}
- {id: after, agent: x, task: 'sum up'}
- {id: next, agent: x, task: 'sum up', dependencies: [each]}
`)
		w := &world{answer: func(a engine.Attempt) (string, error) { return strings.ToUpper(a.Prompt()), nil }}
		res := run(t.Context(), wf, engine.Options{Execute: w.execute})
		var keys, labels []string
		for _, item := range res.Steps["each"].Items {
			keys, labels = append(keys, item.Key), append(labels, item.Item)
			if item.Status != engine.StatusCompleted || item.Output != "LOOK AT "+strings.ToUpper(item.Item) {
				t.Errorf("item %s is %s: %q", item.Item, item.Status, item.Output)
			}
		}
		if diff := cmp.Diff([]string{"b", "a", "b"}, labels); diff != "" {
			t.Error(diff)
		}
		if keys[0] == keys[1] || keys[2] != keys[0]+"~2" {
			t.Errorf("keys %v; want equal items told apart by how often they came", keys)
		}
		want := "<item name=\"b\">\nLOOK AT B\n</item>\n\n<item name=\"a\">\nLOOK AT A\n</item>\n\n<item name=\"b\">\nLOOK AT B\n</item>"
		if diff := cmp.Diff(want, res.Steps["each"].Output); diff != "" {
			t.Error(diff)
		}
		if !strings.Contains(w.prompt("next"), want) {
			t.Errorf("next was asked %q", w.prompt("next"))
		}
		if res.TotalTimeSeconds != 2 || math.Abs(*res.Steps["each"].CostUSD-0.3) > 1e-9 || res.Usage.InputTokens != 15 {
			t.Errorf("took %v s, each cost %v, used %+v", res.TotalTimeSeconds, *res.Steps["each"].CostUSD, res.Usage)
		}
	})
}

func TestForeachKeysFollowContent(t *testing.T) {
	keys := func(items string) (keys []string) {
		synctest.Test(t, func(t *testing.T) {
			w := &world{}
			res := run(t.Context(), parse(t, "steps:\n- {id: e, agent: x, task: '${{ item }}', foreach: "+items+"}\n"), engine.Options{Execute: w.execute})
			for _, item := range res.Steps["e"].Items {
				keys = append(keys, item.Key)
			}
		})
		return keys
	}
	one, two := keys("[{id: 1, t: a}, {id: 2}, 3]"), keys("[3, new, {t: a, id: 1}]")
	if one[0] != two[2] || one[2] != two[0] || slices.Contains(one, two[1]) {
		t.Errorf("keys %v and %v", one, two)
	}
}

func TestForeachTakesLists(t *testing.T) {
	tests := map[string]struct {
		output string
		items  int
		want   engine.Status
	}{
		"array":        {`["a", {"id": 1}, 3]`, 3, engine.StatusCompleted},
		"fenced":       {"```json\n[\"a\"]\n```", 1, engine.StatusCompleted},
		"empty":        {`[]`, 0, engine.StatusCompleted},
		"no JSON":      {`a, b`, 0, engine.StatusFailed},
		"not an array": {`{"a": 1}`, 0, engine.StatusFailed},
		"null":         {`null`, 0, engine.StatusFailed},
	}
	for name, tt := range tests {
		for _, field := range []string{"json", "output"} {
			t.Run(name+"/"+field, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					wf := parse(t, "steps:\n- {id: list, agent: x, task: t}\n- {id: each, agent: x, task: '${{ item }}', foreach: '${{ steps.list."+field+" }}'}\n"+
						"- {id: after, agent: x, task: t, dependencies: [each]}\n")
					w := &world{answer: func(a engine.Attempt) (string, error) { return tt.output, nil }}
					res := run(t.Context(), wf, engine.Options{Execute: w.execute})
					each := res.Steps["each"]
					if each.Status != tt.want || len(each.Items) != tt.items {
						t.Errorf("%s with %d items: %v", each.Status, len(each.Items), each.Error)
					}
					if after := res.Steps["after"].Status; (after == engine.StatusCompleted) != (tt.want == engine.StatusCompleted) {
						t.Errorf("after is %s", after)
					}
				})
			})
		}
	}
}

func TestForeachGlob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wf := parse(t, "params: {dir: src}\nsteps:\n- {id: each, agent: x, task: 'read ${{ item }}', foreach: {glob: ['${{ params.dir }}/*.go', '*.md']}}\n")
		files := []string{"README.md", "src/a.go"}
		glob := func(_ context.Context, patterns []string) ([]string, error) {
			if !slices.Equal(patterns, []string{"src/*.go", "*.md"}) {
				return nil, fmt.Errorf("asked for %q", patterns)
			}
			return files, nil
		}
		b, w := newBook(t), &world{}
		opts := engine.Options{Params: bound(t, wf), Execute: w.execute, Glob: glob, Log: b.log}
		res := run(t.Context(), wf, opts)
		if got := res.Steps["each"]; got.Status != engine.StatusCompleted || len(got.Items) != 2 || res.TotalTimeSeconds != 1 {
			t.Fatalf("%s with %d items after %v s", got.Status, len(got.Items), res.TotalTimeSeconds)
		}
		// A run that goes on has the files it began with.
		files = []string{"README.md", "new.md", "src/a.go"}
		events := until(t, b.events(t), journal.StepExpanded, "each")
		again := &world{}
		opts.Execute, opts.Log, opts.Past = again.execute, newBook(t, events...).log, past(t, events)
		if res := run(t.Context(), wf, opts); len(res.Steps["each"].Items) != 2 || len(again.calls) != 2 {
			t.Errorf("%d items, %d calls after the resume", len(res.Steps["each"].Items), len(again.calls))
		}
		// One whose changes were accepted has those there are now.
		opts.Log, opts.Changed = newBook(t, events...).log, true
		if res := run(t.Context(), wf, opts); len(res.Steps["each"].Items) != 3 {
			t.Errorf("%d items after the resume with changes", len(res.Steps["each"].Items))
		}
		opts.Glob, opts.Past = func(context.Context, []string) ([]string, error) { return nil, errBad }, nil
		if res := run(t.Context(), wf, opts); res.Steps["each"].Status != engine.StatusFailed {
			t.Errorf("%s without a list of files", res.Steps["each"].Status)
		}
		opts.Glob = nil
		if res := run(t.Context(), wf, opts); res.Steps["each"].Status != engine.StatusFailed {
			t.Errorf("%s with no way to list files", res.Steps["each"].Status)
		}
	})
}

func TestForeachMaxParallel(t *testing.T) {
	for name, step := range map[string]string{
		"items":  "{id: each, agent: x, task: '${{ item }}', foreach: [1, 2, 3, 4, 5], max_parallel: 2}",
		"bodies": "{id: each, foreach: [1, 2, 3, 4, 5], max_parallel: 2, steps: [{id: in, agent: x, task: '${{ item }}'}]}",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{}
				res := run(t.Context(), parse(t, "steps:\n- "+step+"\n- {id: beside, agent: x, task: t}\n"), engine.Options{Execute: w.execute})
				if res.TotalTimeSeconds != 3 || w.most != 3 {
					t.Errorf("took %v s with %d at once", res.TotalTimeSeconds, w.most)
				}
			})
		})
	}
}

func TestForeachItemFails(t *testing.T) {
	for onFailure, want := range map[string]map[string]string{
		"fail":            {"run": "failed", "each": "failed", "next": "skipped", "beside": "completed"},
		"skip_dependents": {"run": "completed", "each": "failed", "next": "skipped", "beside": "completed"},
		"continue":        {"run": "completed", "each": "completed", "next": "completed", "beside": "completed"},
		"fallback: spare": {"run": "completed", "each": "failed", "next": "completed", "beside": "completed"},
	} {
		t.Run(onFailure, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wf := parse(t, `
steps:
- {id: each, agent: x, task: '${{ item }}', foreach: [a, b, c], max_parallel: 1, on_failure: '`+onFailure+`'}
- {id: next, agent: x, task: 'then: ${{ steps.each.output }} ${{ steps.each.status }}'}
- {id: beside, agent: x, task: t}
- {id: spare, agent: x, task: instead}
`)
				w := &world{answer: func(a engine.Attempt) (string, error) {
					if a.Prompt() == "b" {
						return "", errBad
					}
					return "did " + a.Prompt(), nil
				}}
				res := run(t.Context(), wf, engine.Options{Execute: w.execute})
				got := map[string]string{"run": string(res.Status)}
				for _, id := range []string{"each", "next", "beside"} {
					got[id] = string(res.Steps[id].Status)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
				each := res.Steps["each"]
				for i, want := range []string{"completed", "failed", "completed"} { // the third is not lost
					if got := string(each.Items[i].Status); got != want {
						t.Errorf("item %d is %s; want %s", i, got, want)
					}
				}
				outputs := "<item name=\"a\">\ndid a\n</item>\n\n<item name=\"c\">\ndid c\n</item>"
				switch {
				case onFailure == "continue":
					if each.Degraded != "1 of 3 items failed" || w.prompt("next") != "then: "+outputs+" completed" {
						t.Errorf("degraded %q; next was asked %q", each.Degraded, w.prompt("next"))
					}
				case strings.HasPrefix(onFailure, "fallback"):
					if each.Fallback != "spare" || w.prompt("next") != "then: did instead completed" {
						t.Errorf("fallback %q; next was asked %q", each.Fallback, w.prompt("next"))
					}
				default:
					if each.Output != outputs || !strings.Contains(*each.Error, "1 of 3 items failed, the first: b: ") {
						t.Errorf("output %q, error %s", each.Output, *each.Error)
					}
				}
			})
		})
	}
}

func TestForeachItemThatWaitsFreesItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wf := parse(t, "steps:\n- {id: each, agent: x, task: '${{ item }}', foreach: [a, b], max_parallel: 1, retries: {max: 1, backoff: 20s}}\n")
		w := &world{answer: func(a engine.Attempt) (string, error) {
			if a.Prompt() == "a" && a.Number == 1 {
				return "", errBusy
			}
			return "ok", nil
		}}
		res := run(t.Context(), wf, engine.Options{Execute: w.execute})
		var order []string
		for _, c := range w.calls {
			order = append(order, fmt.Sprint(c.prompt, c.number))
		}
		if diff := cmp.Diff([]string{"a1", "b1", "a2"}, order); diff != "" {
			t.Error(diff)
		}
		if from := w.calls[1].from.Sub(w.calls[0].from); from != time.Second || w.most != 1 || res.Steps["each"].Items[0].Attempts != 2 {
			t.Errorf("b began after %v, %d at once", from, w.most)
		}
	})
}

func TestForeachInGroupInForeach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wf := parse(t, `
steps:
- {id: first, agent: x, task: t}
- id: outer
  foreach: [a, b]
  dependencies: [first]
  steps:
  - {id: list, agent: x, task: 'list ${{ item }}'}
  - {id: inner, agent: x, task: '${{ item }} of ${{ steps.first.output }}', foreach: '${{ steps.list.json }}'}
  - {id: last, agent: x, task: '${{ item }}: ${{ steps.inner.output }}'}
`)
		w := &world{answer: func(a engine.Attempt) (string, error) {
			if item, ok := strings.CutPrefix(a.Prompt(), "list "); ok {
				item, _, _ = strings.Cut(item, "\n")
				return `["` + item + `1", "` + item + `2"]`, nil
			}
			return "(" + a.Step.ID + ")", nil
		}}
		b := newBook(t)
		res := run(t.Context(), wf, engine.Options{Execute: w.execute, Log: b.log})
		outer := res.Steps["outer"]
		if res.Status != engine.StatusCompleted || res.TotalTimeSeconds != 4 || len(outer.Items) != 2 {
			t.Fatalf("%s after %v s with %d items", res.Status, res.TotalTimeSeconds, len(outer.Items))
		}
		for i, of := range []string{"a", "b"} {
			o := outer.Items[i]
			for j, item := range o.Steps["inner"].Items {
				unit := "outer/inner " + o.Key + "/" + item.Key
				if want := fmt.Sprintf("%s%d of (first)", of, j+1); w.prompt(unit) != want {
					t.Errorf("%s was asked %q; want %q", unit, w.prompt(unit), want)
				}
			}
			if got := w.prompt("outer/last " + o.Key); !strings.HasPrefix(got, of+": <item name=\""+of+"1\">\n(inner)") {
				t.Errorf("last of %s was asked %q", of, got)
			}
			if o.Output != "(last)" {
				t.Errorf("item %s amounts to %q", of, o.Output)
			}
		}
	})
}

func TestNamedItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{answer: func(a engine.Attempt) (string, error) { return strings.ToUpper(a.Task), nil }}
		res := run(t.Context(), parse(t, `
steps:
- {id: list, agent: x, task: '["q"]'}
- id: outer
  foreach: {item: kind, in: [{name: a}, {name: b}]}
  output: ${{ kind.name }} ${{ steps.inner.output }}
  steps:
  - {id: inner, foreach: {item: part, in: '${{ steps.list.json }}'}, agent: x, task: "${{ kind.name + part }} ${{ item }} ${{ part }}"}
`), engine.Options{Execute: w.execute})
		var got []string
		for _, c := range w.calls {
			got = append(got, bare(c.prompt))
		}
		slices.Sort(got)
		want := []string{`["q"]`, "aQ Q Q", "bQ Q Q"}
		if !slices.Equal(got, want) || res.Status != engine.StatusCompleted {
			t.Errorf("%s: asked %q, want %q", res.Status, got, want)
		}
	})
}

func TestNamesOfItemsWithinItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{answer: func(engine.Attempt) (string, error) { return "x", nil }}
		b := newBook(t)
		var mu sync.Mutex
		names := map[string]bool{}
		run(t.Context(), parse(t, `
steps:
- id: outer
  foreach: [a, b]
  steps:
  - {id: inner, foreach: [c, d], agent: x, task: "${{ item }}"}
  - {id: last, loop: {max: 2}, agent: x, task: t}
`), engine.Options{Execute: w.execute, Log: b.log, Observe: func(_ context.Context, ev engine.Event) {
			mu.Lock()
			defer mu.Unlock()
			names[ev.Name()] = true
		}})
		mu.Lock()
		defer mu.Unlock()
		for _, name := range []string{"outer[a]", "outer/inner[a]", "outer/inner[a, c]", "outer/inner[b, d]", "outer/last[b]", "outer/last@2[a]"} {
			if !names[name] {
				t.Errorf("%s is missing in %q", name, slices.Sorted(maps.Keys(names)))
			}
		}
		for _, ev := range b.events(t) {
			if ev.Type == journal.StepStarted && ev.Step == "outer/inner" && strings.Count(ev.Item, "/") > 0 && !strings.Contains(string(ev.Detail), ", ") {
				t.Errorf("the journal says of %s only %s", ev.Item, ev.Detail)
			}
		}
	})
}
