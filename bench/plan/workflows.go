package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// sample is one workflow that is planned.
type sample struct {
	name  string
	steps string
	files int // given to it, in docs/
}

var workflows = []*sample{
	{name: "single", steps: `
  - {id: a, agent: python-expert, task: "Explain ${{ params.topic }}"}
`},
	{name: "chain", steps: `
  - {id: a, agent: python-expert, task: "Collect facts about ${{ params.topic }}"}
  - {id: b, agent: code-reviewer, task: "Judge them", dependencies: [a]}
  - {id: c, agent: linter, task: "Shorten it: ${{ steps.b.output }}"}
  - {id: d, agent: doc-writer, task: "Write it up for ${{ params.topic }}", dependencies: [a, c]}
`},
	{name: "fan", steps: `
  - {id: a, agent: linter, task: "Style of ${{ params.topic }}"}
  - {id: b, agent: type-checker, task: "Types of ${{ params.topic }}"}
  - {id: c, agent: security-specialist, task: "Risks of ${{ params.topic }}"}
  - {id: d, agent: python-expert, task: "Speed of ${{ params.topic }}"}
  - {id: e, agent: code-reviewer, task: "Final review of ${{ params.topic }}", dependencies: [a, b, c, d]}
`},
	{name: "diamond", steps: `
  - {id: a, agent: linter, task: "Look at ${{ params.topic }}", schema: {type: object, properties: {title: {type: string}, points: {type: array, items: {type: string}}}, required: [title, points]}}
  - {id: b, agent: python-expert, task: "First view of ${{ steps.a.json.title }}"}
  - {id: c, agent: code-reviewer, task: "Second view of ${{ steps.a.json.title }}"}
  - {id: d, agent: doc-writer, task: "Join", dependencies: [b, c]}
`},
	{name: "list", steps: `
  - id: each
    agent: python-expert
    foreach: '${{ ["goals", "risks", "costs", "people", "dates", "tools"] }}'
    task: "Write of ${{ item }} in ${{ params.topic }}"
  - {id: sum, agent: doc-writer, task: "Sum up ${{ params.topic }}", dependencies: [each]}
`},
	{name: "files", files: 12, steps: `
  - id: each
    agent: code-reviewer
    foreach: {glob: "docs/*.txt"}
    max_parallel: 4
    files: ["${{ item }}"]
    task: "Review it for ${{ params.topic }}"
  - {id: sum, agent: doc-writer, task: "Sum up", dependencies: [each]}
`},
	{name: "found", steps: `
  - {id: find, agent: linter, task: "Parts of ${{ params.topic }}", schema: {type: object, properties: {parts: {type: array, minItems: 1, items: {type: string}}}, required: [parts]}}
  - id: each
    agent: python-expert
    foreach: ${{ steps.find.json.parts }}
    task: "Explain ${{ item }} of ${{ params.topic }}"
`},
	{name: "loop", steps: `
  - id: refine
    loop: {max: 3}
    steps:
      - {id: draft, agent: doc-writer, task: "Draft ${{ loop.index }} about ${{ params.topic }}"}
      - {id: critic, agent: code-reviewer, task: "Find what is weak", dependencies: [draft]}
`},
	{name: "conditional", steps: `
  - {id: a, agent: linter, task: "Is ${{ params.topic }} hard?"}
  - {id: b, agent: python-expert, when: '${{ steps.a.output contains "simulated" }}', task: "Explain ${{ params.topic }} slowly", dependencies: [a]}
  - {id: c, agent: python-expert, when: '${{ steps.a.output contains "certainly not said" }}', task: "Explain ${{ params.topic }} fast", dependencies: [a]}
  - {id: d, agent: code-reviewer, task: "Review what there is on ${{ params.topic }}", join: any, dependencies: [b, c]}
`},
	{name: "shared", files: 3, steps: `
  - id: each
    agent: python-expert
    foreach: '${{ ["names", "errors", "tests", "speed", "style", "docs", "types", "layout"] }}'
    files: ["docs/*.txt"]
    task: "Look at ${{ item }} with ${{ params.topic }} in mind"
`},
}

// write puts the workflow and its files into a folder.
func (w *sample) write(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "docs"), 0o700); err != nil {
		return err
	}
	for i := range w.files {
		text := strings.Repeat(fmt.Sprintf("Line of document %d. ", i), 200+60*i)
		if err := os.WriteFile(filepath.Join(dir, "docs", fmt.Sprintf("%02d.txt", i)), []byte(text), 0o600); err != nil {
			return err
		}
	}
	text := "name: " + w.name + "\nparams: {topic: {type: string}}\nsteps:" + w.steps
	return os.WriteFile(filepath.Join(dir, "workflow.yaml"), []byte(text), 0o600)
}
