//go:build unix

package main

import (
	"fmt"
	"strings"
)

// graph returns a workflow of 30 steps: layers of steps that depend on those before, a
// foreach, a loop, a question to a person and a fallback.
func graph() string {
	var b strings.Builder
	b.WriteString("name: graph\nparams: {name: {type: string}}\nsteps:\n")
	task := func(id, text string) string { return fmt.Sprintf(`"[unit ${{ params.name }} %s]%s"`, id, text) }
	const width = 5
	for layer := range 4 {
		for i := range width {
			id := fmt.Sprintf("s%d%d", layer, i)
			text := ""
			if layer > 0 {
				text = fmt.Sprintf(" after ${{ steps.s%d%d.output }} and ${{ steps.s%d%d.output }}", layer-1, i, layer-1, (i+1)%width)
			}
			fmt.Fprintf(&b, "  - {id: %s, agent: worker, task: %s}\n", id, task(id, text))
		}
	}
	fmt.Fprintf(&b, `  - {id: names, value: [a, b, c, d, e, f, g, h]}
  - {id: each, foreach: "${{ steps.names.json }}", max_parallel: 3, agent: worker, task: %s}
  - id: rounds
    loop: {max: 4, until: loop.state.n >= 3, state: {n: {initial: 0, next: "${{ loop.state.n + 1 }}"}}}
    steps:
      - {id: draft, agent: worker, task: %s}
      - {id: critic, agent: worker, task: %s}
  - {id: where, approval: {message: "where to? ${{ steps.s12.output }}", choices: [left, right]}}
  - {id: way, agent: worker, task: %s}
  - {id: none, agent: worker, when: "len(steps.names.json) == 0", task: %s}
  - {id: bad, value: "${{ fromJSON(steps.way.output) }}", on_failure: {fallback: instead}}
  - {id: instead, agent: worker, task: %s}
  - {id: both, value: "${{ steps.bad.output }} ${{ steps.rounds.output }}"}
  - {id: last, join: settled, dependencies: [both, s30, s31, s32, s33, s34, none], agent: worker, task: %s}
output: ${{ steps.last.output }} ${{ steps.each.output }}
`, task("each ${{ item }}", ""), task("draft ${{ loop.index }}", " ${{ loop.previous.critic.output }}"), task("critic ${{ loop.index }}", " ${{ steps.draft.output }}"),
		task("way", " ${{ steps.where.output }}"), task("none", ""), task("instead", ""), task("last", " ${{ steps.both.output }} ${{ steps.s30.output }} ${{ steps.s34.output }} ${{ steps.none?.output ?? 'nothing' }}"))
	return b.String()
}

// wideRows and wideCells are above the number of open items from which a foreach is run apart.
const wideRows, wideCells = 201, 205

// nested returns a workflow with a wide foreach in which there are others: two of its items have
// many items of their own, and all others have one.
func nested() string {
	var b strings.Builder
	b.WriteString("name: nested\nparams: {name: {type: string}}\nsteps:\n  - id: rows\n    value:\n")
	for row := range wideRows {
		cells := 1
		if row < 2 {
			cells = wideCells
		}
		list := make([]string, cells)
		for i := range list {
			list[i] = fmt.Sprint(i)
		}
		fmt.Fprintf(&b, "      - {row: %d, cells: [%s]}\n", row, strings.Join(list, ", "))
	}
	b.WriteString(`  - id: outer
    foreach: {item: row, in: "${{ steps.rows.json }}"}
    steps:
      - {id: inner, foreach: {item: cell, in: "${{ row.cells }}"}, agent: worker, task: "[unit ${{ params.name }} row ${{ row.row }} cell ${{ cell }}]"}
      - {id: count, value: "${{ row.row }} has ${{ len(steps.inner.json) }}"}
output: ${{ steps.outer.output }}
`)
	return b.String()
}
