package workflow_test

import (
	"strings"
	"testing"

	"github.com/claude-force/claude-force/workflow"
)

// TestWhatCannotBeThere checks what validation knows of values that a run may not have.
// An empty message means that the file is valid.
func TestWhatCannotBeThere(t *testing.T) {
	const (
		a       = "- {id: a, agent: x, task: t}\n"
		perhaps = "- {id: a, agent: x, task: t, when: run.id == 'x'}\n"
		tries   = "- {id: a, agent: x, task: t, on_failure: continue}\n"
		typed   = "- {id: a, agent: x, task: t, schema: {type: object, required: [id], properties: {id: {type: integer}, sub: {type: object, properties: {name: {type: string}}}}}}\n"
		b       = "- {id: b, agent: x, task: t}\n"
	)
	for source, want := range map[string]string{
		a + "- {id: c, agent: x, task: t, when: steps.a.json.x > 3}":                                                                              "",
		perhaps + "- {id: c, agent: x, task: t, when: steps.a.json.x > 3}":                                                                        "", // skipped too
		perhaps + b + "- {id: c, agent: x, task: t, join: any, dependencies: [a, b], when: steps.a.json.x > 3}":                                   "may not have ended",
		perhaps + b + "- {id: c, agent: x, task: t, join: any, dependencies: [a, b], when: steps.a.status == 'completed' && steps.a.json.x > 3}":  "",
		perhaps + b + "- {id: c, agent: x, task: t, join: any, dependencies: [a, b], when: (steps.a.json?.x ?? 0) > 3}":                           "",
		perhaps + b + "- {id: c, agent: x, task: t, join: any, dependencies: [a, b], when: (steps.a.json.x ?? 0) > 3}":                            "",
		perhaps + b + "- {id: c, agent: x, task: t, join: any, dependencies: [a, b], when: steps.a.json != nil && steps.a.json.x > 3}":            "",
		tries + "- {id: c, agent: x, task: t, when: steps.a.json.x > 3}":                                                                          "may fail",
		tries + "- {id: c, agent: x, task: \"${{ steps.a.json.list[0] }}\"}":                                                                      "may fail",
		tries + "- {id: c, agent: x, task: \"${{ steps.a.output }}\", dependencies: [a]}":                                                         "",
		"- id: g\n  loop: {max: 3, until: steps.a.json.ok == true}\n  steps:\n  " + strings.ReplaceAll(a, "\n", "\n  "):                           "",
		"- id: g\n  loop: {max: 3, until: steps.a.json.ok == true}\n  steps:\n  " + strings.ReplaceAll(perhaps, "\n", "\n  "):                     "may be skipped",
		"- id: g\n  loop: {max: 3, until: steps.c.json.ok == true}\n  steps:\n  " + perhaps + "  - {id: c, agent: x, task: t, dependencies: [a]}": "may be skipped",
		"- id: g\n  output: \"${{ steps.a.json.ok }}\"\n  steps:\n  " + strings.ReplaceAll(perhaps, "\n", "\n  "):                                 "may be skipped",
		"- {id: a, agent: x, task: t, loop: {max: 3, until: steps.a.json.ok == true}}":                                                            "",
		"- {id: a, agent: x, loop: {max: 3}, task: \"${{ loop.previous.a.json.ok }}\"}":                                                           "in the first iteration",
		"- {id: a, agent: x, loop: {max: 3}, task: \"${{ loop.previous.a.json?.ok ?? 'no' }}\"}":                                                  "",
		"- {id: a, agent: x, loop: {max: 3}, task: \"${{ loop.index > 1 ? loop.previous.a.json.ok : 'no' }}\"}":                                   "",
		typed + "- {id: c, agent: x, task: t, when: steps.a.json.id % 2 == 0}":                                                                    "",
		typed + "- {id: c, agent: x, task: t, when: steps.a.json.idd == 0}":                                                                       `did you mean "id"?`,
		typed + "- {id: c, agent: x, task: \"${{ steps.a.json.sub.nam }}\"}":                                                                      `did you mean "name"?`,
		typed + "- {id: c, agent: x, task: \"${{ steps.a.json?.other ?? 1 }}\"}":                                                                  "",
		a + "- {id: c, agent: x, task: t, files: [\"a/${{ params.list }}\"]}":                                                                     "needs a text",
		a + "- {id: c, agent: x, task: t, files: [\"${{ params.list[0] }}\"]}":                                                                    "",
		a + "- {id: c, agent: x, task: t, files: [\"{${{ join(params.list, ',') }}}\"]}":                                                          "",
		"- {id: c, agent: x, task: \"${{ item }}\", foreach: [a, ~]}":                                                                             "an item of foreach is empty",
		"- {id: c, agent: x, task: \"${{ item }}\", foreach: [a, '~']}":                                                                           "",
		a + "- {id: c, agent: x, task: t, foreach: {glob: \"src/${{ params.list }}\"}}":                                                           "needs a text",
	} {
		_, err := workflow.Parse("w.yaml", []byte("params: {list: {default: [a, b]}}\nsteps:\n"+source+"\n"), workflow.Options{})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n%v; want %q", source, err, want)
		}
	}
}

// TestDefaultsOfParts reads parts of answers that are not what was expected.
func TestDefaultsOfParts(t *testing.T) {
	for _, output := range []string{"plain text", "42", "1.10", `"text"`, "[1]", "true", "null", `{"findings": null}`, `{"findings": 5}`, `{"findings": []}`, `{"findings": ["x"]}`} {
		json, _ := workflow.ParseJSON(output)
		for _, expr := range []string{"steps.s.json?.findings[0] ?? 'd'", "steps.s.json.findings[0] ?? 'd'", "steps.s.json?.findings?[0] ?? 'd'",
			"(steps.s.json?.findings ?? [])[0] ?? 'd'", "steps.s.json?.['findings'][0] ?? 'd'"} {
			w, err := workflow.Parse("w.yaml", []byte("steps:\n- {id: s, agent: x, task: t}\n- id: a\n  agent: x\n  task: |-\n    ${{ "+expr+" }}\n"), workflow.Options{})
			if err != nil {
				continue // not in the language
			}
			want := "d"
			if strings.Contains(output, `["x"]`) {
				want = "x"
			}
			got, err := w.Step("a").Task.Render(workflow.Env{Steps: map[string]workflow.StepResult{"s": {JSON: json, Output: output}}})
			if got != want || err != nil {
				t.Errorf("%s of %s = %q, %v; want %q", expr, output, got, err, want)
			}
		}
	}
}
