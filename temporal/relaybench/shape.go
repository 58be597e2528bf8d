//go:build unix

package main

import (
	"fmt"
	"regexp"
	"strings"
)

// stepID matches the ids of steps.
var stepID = regexp.MustCompile(`chain[0-9]+step[0-9]+|everyitem`)

// shape is that of a run: chains of steps, each of which waits for the one before.
type shape struct {
	chains, length int
}

// workflow returns a workflow file of the shape.
func (s shape) workflow() string {
	var b strings.Builder
	b.WriteString("name: chains\nparams: {name: {type: string}}\nsteps:\n")
	for i := range s.chains {
		for j := range s.length {
			before := ""
			if j > 0 {
				before = fmt.Sprintf(" after ${{ steps.chain%dstep%d.output }}", i, j-1)
			}
			fmt.Fprintf(&b, "  - {id: chain%dstep%d, agent: worker, task: \"[unit ${{ params.name }} c%ds%d]%s\"}\n", i, j, i, j, before)
		}
	}
	return b.String()
}

// wide returns a workflow file with a foreach of so many items.
func wide(items int) string {
	list := make([]string, max(items, 1))
	for i := range list {
		list[i] = fmt.Sprint(i)
	}
	return fmt.Sprintf(`name: wide
params: {name: {type: string}}
steps:
  - {id: list, value: [%s]}
  - {id: everyitem, foreach: "${{ steps.list.json }}", agent: worker, task: "[unit ${{ params.name }} ${{ item }}]"}
`, strings.Join(list, ", "))
}
