package workflow_test

import (
	"strings"
	"testing"

	"github.com/claude-force/claude-force/workflow"
)

// TestCommentsWithinTexts checks which comments after a text without quotes are taken
// for a part of it.
func TestCommentsWithinTexts(t *testing.T) {
	for source, refused := range map[string]bool{
		"steps:\n- {id: a, agent: x, task: Fix #42 now\n  }":                                     true,
		"steps:\n- id: a\n  agent: x\n  task: Fix #42 now":                                       true,
		"steps:\n- id: a\n  agent: x\n  task: Explain C # and Java":                              true,
		"steps:\n- id: a\n  agent: x\n  task: Fix a\n    thing #42 now":                          true,
		"steps:\n- id: a\n  agent: x\n  task: Fix it  # soon":                                    false,
		"steps:\n- id: a\n  agent: x\n  task: Fix it\n  # soon":                                  false,
		"steps:\n- id: a\n  agent: x\n  task: 'Fix #42 now'":                                     false,
		"steps:\n- id: a\n  agent: x\n  task: Fix C#42":                                          false,
		"steps:\n- id: a\n  agent: x\n  task: |\n    Fix #42 now":                                false,
		"steps:\n- id: a #first\n  agent: x #cheap\n  task: t":                                   false,
		"steps:\n- id: a\n  approval: Merge #42?":                                                true,
		"steps:\n- id: a\n  approval: {message: Merge #42?\n    }":                               true,
		"steps:\n- id: a\n  agent: x\n  task: t\n  foreach:\n  - issue #1\n  - b":                true,
		"steps:\n- id: a\n  agent: x\n  task: t\n  files:\n  - notes #1.md":                      true,
		"params:\n  p: issue #42\nsteps: [{id: a, agent: x, task: t}]":                           true,
		"params:\n  p: 5 #42\nsteps: [{id: a, agent: x, task: t}]":                               true,
		"params:\n  p: {type: string, default: a #b\n    }\nsteps: [{id: a, agent: x, task: t}]": true,
		"params:\n  p: src # where to look\nsteps: [{id: a, agent: x, task: t}]":                 false,
		"description: for #42\nsteps: [{id: a, agent: x, task: t}]":                              true,
		"steps:\n- {id: a, agent: x, task: &Co is first}":                                        true,
		"steps:\n- {id: a, agent: x, task: &t do it}\n- {id: b, agent: x, task: *t}":             false,
		"output: see #${{ run.id }}\nsteps: [{id: a, agent: x, task: t}]":                        true,
	} {
		_, err := workflow.Parse("w.yaml", []byte(source+"\n"), workflow.Options{})
		if (err != nil) != refused || err != nil && !strings.Contains(err.Error(), "put the value in quotes") {
			t.Errorf("%s\n%v", source, err)
		}
	}
}
