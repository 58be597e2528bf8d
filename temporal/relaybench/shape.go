//go:build unix

package main

import (
	"fmt"
	"strings"
)

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
				before = fmt.Sprintf(" after ${{ steps.c%ds%d.output }}", i, j-1)
			}
			fmt.Fprintf(&b, "  - {id: c%ds%d, agent: worker, task: \"[unit ${{ params.name }} c%ds%d]%s\"}\n", i, j, i, j, before)
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
  - {id: each, foreach: "${{ steps.list.json }}", agent: worker, task: "[unit ${{ params.name }} ${{ item }}]"}
`, strings.Join(list, ", "))
}
