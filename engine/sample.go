package engine

import (
	"fmt"
	"slices"
	"sync"

	"github.com/claude-force/claude-force/llm"
)

// samples counts what iterations of loops asked. An iteration that asks the same as one
// before wants another answer, or a loop that repeats until the answer is good would
// get the bad one for ever. Safe for concurrent use.
type samples struct {
	mu    sync.Mutex
	asked map[sampleKey][]string // the units that asked, in the order of the iterations
}

type sampleKey struct {
	repeated string // see [unit.repeated]
	asked    llm.Key
}

// number returns how many other units asked the same before the one with the path did.
func (s *samples) number(repeated, path string, asked llm.Key) int {
	if repeated == "" {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := sampleKey{repeated, asked}
	if n := slices.Index(s.asked[key], path); n >= 0 {
		return n
	}
	if s.asked == nil {
		s.asked = map[sampleKey][]string{}
	}
	s.asked[key] = append(s.asked[key], path)
	return len(s.asked[key]) - 1
}

// repeated returns a name that the unit shares with those of other iterations which are
// to have answers of their own, or "" if there are none.
func (u *unit) repeated() string {
	name, repeats := " "+u.item, false
	for u != nil {
		if u.loop != nil {
			if u.step.Loop.Cache {
				name = fmt.Sprint("@", u.index, name)
			} else {
				repeats = true
			}
		}
		name = "/" + u.step.ID + name
		u = u.frame.owner
	}
	if !repeats {
		return ""
	}
	return name
}

// sample returns which one the unit is of those that are asked the same, from 0, and how
// many there are: by the samples of the step and of those around it.
func (u *unit) sample() (number, of int) {
	of = 1
	for u != nil {
		if u.parent != nil && u.parent.fan != nil && u.step.Foreach.Samples > 1 {
			number += of * (u.index % u.step.Foreach.Samples)
			of *= u.step.Foreach.Samples
		}
		u = u.frame.owner
	}
	return number, of
}
