package engine_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
)

// TestAResumedRunTellsOneStory lets runs with failures die after every event, and
// resumes them where nothing fails any more. What a step was given is what the
// result says of its dependencies, and a fallback that completed is used.
func TestAResumedRunTellsOneStory(t *testing.T) {
	t.Parallel()
	const bad = "steps:\n- {id: bad, agent: x, task: Go, %s}\n"
	each := strings.Replace(bad, "task: Go", "task: \"Go ${{ item }}\", foreach: [x, broken, y]", 1)
	inner := "steps:\n- {id: sub, agent: x, task: Go, on_failure: continue}\n- {id: in, agent: x, task: Go, dependencies: [sub]}\n"
	tail := "- {id: w, agent: x, task: Go, dependencies: [bad]}\n- {id: v, agent: x, task: Go, dependencies: [w]}\n"
	spare := "- {id: good, agent: x, task: Go}\n"
	for name, text := range map[string]string{
		"fallback":          fmt.Sprintf(bad, "on_failure: {fallback: good}") + spare + tail,
		"continue":          fmt.Sprintf(bad, "on_failure: continue") + tail,
		"skip":              fmt.Sprintf(bad, "on_failure: skip_dependents") + tail + "- {id: j, agent: x, task: Go, dependencies: [v, o], join: any}\n- {id: o, agent: x, task: Go}\n",
		"fail":              fmt.Sprintf(bad, "on_failure: fail") + tail + spare,
		"foreach, continue": fmt.Sprintf(each, "on_failure: continue") + tail,
		"foreach, fallback": fmt.Sprintf(each, "on_failure: {fallback: good}") + spare + tail,
		"group":             "steps:\n- id: bad\n  " + strings.ReplaceAll(strings.TrimSpace(inner), "\n", "\n  ") + "\n" + tail,
		"loop":              "steps:\n- id: bad\n  loop: {max: 2}\n  " + strings.ReplaceAll(strings.TrimSpace(inner), "\n", "\n  ") + "\n" + tail,
		"foreach of groups": "steps:\n- id: bad\n  foreach: [x, y]\n  " + strings.ReplaceAll(strings.TrimSpace(inner), "\n", "\n  ") + "\n" + tail,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				live := func(events []journal.Event, fails bool) (*engine.Result, []journal.Event) {
					b, w := newBook(t, events...), &world{}
					w.answer = func(a engine.Attempt) (string, error) {
						if fails && (a.Step.ID == "sub" || a.Step.ID == "bad" && (a.Item == "" || strings.Contains(a.Prompt(), "broken"))) {
							return "", errBad
						}
						return fmt.Sprintf("out of %s %s, failing: %t", a.Path, a.Item, fails), nil
					}
					opts := engine.Options{RunID: bookID, Log: b.log, Execute: w.execute}
					if events != nil {
						opts.Past = past(t, events)
					}
					return run(t.Context(), parseFiles(t, text, nil), opts), b.events(t)
				}
				_, whole := live(nil, true)
				for n := 1; n < len(whole); n++ { // not when it is over
					res, _ := live(whole[:n], false)
					used := map[string]bool{}
					for id, s := range res.Steps {
						used[s.Fallback] = true
						if id == "j" { // it need not wait for all
							continue
						}
						for part, sum := range s.Inputs {
							dep, ok := strings.CutPrefix(part, "step ")
							if ok && len(s.Items) == 0 && sum != digestOf(res.Steps[dep].Output) {
								t.Errorf("after %d events (%s %s): %s was given another output than that of %s: %q", n, whole[n-1].Type, whole[n-1].Step, id, dep, res.Steps[dep].Output)
							}
						}
					}
					if good := res.Steps["good"]; good != nil && name != "fail" && good.Status == engine.StatusCompleted && !used["good"] {
						t.Errorf("after %d events: the fallback completed and is not used", n)
					}
				}
			})
		})
	}
}

func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}
