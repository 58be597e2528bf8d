package claudeforce_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/sim"
	"github.com/claude-force/claude-force/workflow"
)

// TestPlansNameWhatWillStopARun plans workflows of which something is known to fail,
// and some that look alike and run.
func TestPlansNameWhatWillStopARun(t *testing.T) {
	huge := strings.Repeat("many words for one prompt ", 150_000) // 3.9 MB, over a million tokens
	for name, tt := range map[string]struct {
		steps     string
		usd       *float64
		want      []string // a part of each problem's message
		tolerated bool
	}{
		"fine":                     {steps: `{id: a, agent: linter, task: t, files: [text.txt]}`},
		"a prompt over the window": {steps: `{id: a, agent: linter, task: t, files: [h1.txt, h2.txt]}`, want: []string{"tokens, and claude-"}},
		"binary item":              {steps: `{id: a, agent: linter, foreach: {glob: "*.bin"}, files: ["${{ item }}"], task: t}`, want: []string{"not"}},
		"binary item after an answer": {
			steps: `{id: b, agent: linter, task: t}, {id: a, agent: linter, foreach: {glob: "*.bin"}, files: ["${{ item }}"], task: t, dependencies: [b]}`,
			want:  []string{"x.bin"},
		},
		"tolerated": {
			steps: `{id: a, agent: linter, foreach: {glob: "*.bin"}, files: ["${{ item }}"], task: t, on_failure: continue}`,
			want:  []string{"x.bin"}, tolerated: true,
		},
		"an item that only an answer names": {
			steps: `{id: b, agent: linter, task: t, schema: {type: array, items: {type: string}}}, {id: a, agent: linter, foreach: "${{ steps.b.json }}", files: ["${{ item }}"], task: t}`,
		},
		"a file to read":                   {steps: `{id: a, read: text.txt}`},
		"a file to read that is not there": {steps: `{id: a, read: missing.txt}`, want: []string{"missing.txt in"}},
		"no match":                         {steps: `{id: a, read: ["*.none"]}`, want: []string{"*.none"}},
		"several for one":                  {steps: `{id: a, read: "${{ ['h1.txt', 'text.txt'] }}"}`, want: []string{"names 2 files"}},
		"not what it is read as":           {steps: `{id: a, read: {files: text.txt, output: json}}`, want: []string{"text.txt is not json"}},
		"a missing file, tolerated":        {steps: `{id: a, read: missing.txt, on_failure: continue}`, want: []string{"missing.txt"}, tolerated: true},
		"a missing file that an answer names": {
			steps: `{id: b, agent: linter, task: t}, {id: a, read: "${{ steps.b.output }}"}`,
		},
		"a missing file after an answer": {
			steps: `{id: b, agent: linter, task: t}, {id: a, read: missing.txt, dependencies: [b]}`,
			want:  []string{"missing.txt"},
		},
		"a missing file of an item of an answer": {
			steps: `{id: b, agent: linter, task: t, schema: {type: array, items: {type: string}}}, {id: a, foreach: "${{ steps.b.json }}", read: "${{ item }}"}`,
		},
		"a missing file of a known item":             {steps: `{id: a, foreach: [text.txt, missing.txt], read: "${{ item }}"}`, want: []string{"missing.txt"}},
		"a missing file within a step":               {steps: `{id: o, steps: [{id: a, read: missing.txt}]}`, want: []string{"missing.txt"}},
		"a missing file of a step that does not run": {steps: `{id: a, when: false, read: missing.txt}`},
		"a budget without room":                      {steps: `{id: a, agent: linter, task: t}`, usd: new(0.000001), want: []string{"no room for the first call"}},
		"a budget of nothing":                        {steps: `{id: a, agent: linter, task: t}`, usd: new(0.0), want: []string{"no room for the first call"}},
		"a budget with room":                         {steps: `{id: a, agent: linter, task: t}`, usd: new(1.0)},
	} {
		t.Run(name, func(t *testing.T) {
			server := sim.New(sim.Options{})
			var file string
			orch := open(t, server, func(o *claudeforce.Options) {
				file = filepath.Join(o.Dir, "w.yaml")
				for path, content := range map[string]string{
					"w.yaml": "name: W\nsteps: [" + tt.steps + "]\n", "text.txt": "text", "x.bin": "\x00\x01\xff", "h1.txt": huge, "h2.txt": huge[:1<<20],
				} {
					if err := os.WriteFile(filepath.Join(o.Dir, path), []byte(content), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			})
			wf, err := claudeforce.LoadWorkflow("", file)
			if err != nil {
				t.Fatal(err)
			}
			p, err := orch.Plan(t.Context(), wf, claudeforce.RunOptions{File: file, Budget: workflow.Budget{USD: tt.usd}})
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Problems) != len(tt.want) || p.Blocked() != (len(tt.want) > 0 && !tt.tolerated) {
				t.Fatalf("problems: %+v", p.Problems)
			}
			for _, problem := range p.Problems {
				if problem.Step != "" && (problem.File != file || problem.Line != 2) {
					t.Errorf("the problem is at %s:%d", problem.File, problem.Line)
				}
			}
			for i, want := range tt.want {
				if !strings.Contains(p.Problems[i].Message, want) {
					t.Errorf("%q does not say %q", p.Problems[i].Message, want)
				}
			}
			if n := server.Stats().Requests; n != 0 {
				t.Errorf("a plan made %d requests", n)
			}
		})
	}
}

// TestNoFileThatCannotBeSentStartsARun runs workflows whose files are known from the
// start: nothing is paid before the bad one is found.
func TestNoFileThatCannotBeSentStartsARun(t *testing.T) {
	server := sim.New(sim.Options{})
	var file string
	orch := open(t, server, func(o *claudeforce.Options) {
		file = filepath.Join(o.Dir, "w.yaml")
		for path, content := range map[string]string{
			"w.yaml": "name: W\nsteps: [{id: a, agent: linter, task: t}, {id: b, agent: linter, task: t, files: [x.bin], dependencies: [a]}]\n",
			"x.bin":  "\x00\x01\xff",
		} {
			if err := os.WriteFile(filepath.Join(o.Dir, path), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
	wf, err := claudeforce.LoadWorkflow("", file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := orch.RunWorkflow(t.Context(), wf, claudeforce.RunOptions{File: file}); err == nil || !strings.Contains(err.Error(), "x.bin") {
		t.Errorf("the error is %v", err)
	}
	if n := server.Stats().Requests; n != 0 {
		t.Errorf("%d requests were made", n)
	}
}
