package journal

import (
	"iter"
	"strconv"
	"strings"
)

// Unit names one piece of work of a run: a step, an iteration of a loop, or one
// item of either. Paths and keys of items are put together and taken apart by
// the methods of Unit alone:
//
//	review              a step of the workflow
//	refine@2            the second iteration of a loop
//	refine@2/critic     a step within it
//	review/call:3fa9    a call of a tool that waits for approval
//
// The keys of nested items are joined by "/", the outermost first.
type Unit struct {
	Step string // path
	Item string // key of the item; empty outside of foreach
}

// Part is one step of a path.
type Part struct {
	ID        string // of the step
	Iteration int    // of its loop, from 1; 0 for the step itself
}

// String returns the unit's path, followed by the key of its item: review/a3f1.
func (u Unit) String() string {
	if u.Item == "" {
		return u.Step
	}
	return u.Step + "/" + u.Item
}

// Inner returns the unit of a step in the body of u. The zero Unit stands for
// the workflow itself.
func (u Unit) Inner(id string) Unit {
	if u.Step != "" {
		id = u.Step + "/" + id
	}
	return Unit{id, u.Item}
}

// Iteration returns the n-th iteration of the loop u.
func (u Unit) Iteration(n int) Unit {
	return Unit{u.Step + "@" + strconv.Itoa(n), u.Item}
}

// WithItem returns the item with the given key of the foreach u.
func (u Unit) WithItem(key string) Unit {
	if u.Item != "" {
		key = u.Item + "/" + key
	}
	return Unit{u.Step, key}
}

// callPrefix begins the last part of the path of a call. No step's id has a colon.
const callPrefix = "call:"

// Call returns the call of a tool, within the step u, of which a person is asked.
// The name tells it from all other calls.
func (u Unit) Call(name string) Unit { return u.Inner(callPrefix + name) }

// Caller returns the step that a call is within, and reports whether u is a call.
func (u Unit) Caller() (Unit, bool) {
	i := strings.LastIndexByte(u.Step, '/')
	if !strings.HasPrefix(u.Step[i+1:], callPrefix) {
		return u, false
	}
	return Unit{u.Step[:max(i, 0)], u.Item}, true
}

// Top returns the id of the workflow's own step that u is, or is within.
func (u Unit) Top() string {
	if i := strings.IndexAny(u.Step, "/@"); i >= 0 {
		return u.Step[:i]
	}
	return u.Step
}

// Plain returns the unit's path without the numbers of iterations: refine@2/critic
// becomes refine/critic.
func (u Unit) Plain() string {
	if !strings.Contains(u.Step, "@") {
		return u.Step
	}
	var path Unit
	for p := range u.Parts() {
		path = path.Inner(p.ID)
	}
	return path.Step
}

// Parts yields the steps of the unit's path, the outermost first.
func (u Unit) Parts() iter.Seq[Part] {
	return func(yield func(Part) bool) {
		for part := range strings.SplitSeq(u.Step, "/") {
			id, number, _ := strings.Cut(part, "@")
			n, err := strconv.Atoi(number)
			if err != nil {
				n = 0
			}
			if !yield(Part{id, n}) {
				return
			}
		}
	}
}

// Paths yields the unit's path and those of the steps around it, the innermost
// first: for refine@2/critic that path and refine@2.
func (u Unit) Paths() iter.Seq[string] {
	return func(yield func(string) bool) {
		for path := u.Step; ; {
			i := strings.LastIndexByte(path, '/')
			if !yield(path) || i < 0 {
				return
			}
			path = path[:i]
		}
	}
}

// Items yields the key of the unit's item and those of the items around it, the
// innermost first. The last is empty: outside of every foreach.
func (u Unit) Items() iter.Seq[string] {
	return func(yield func(string) bool) {
		for item := u.Item; yield(item) && item != ""; {
			item = item[:max(strings.LastIndexByte(item, '/'), 0)]
		}
	}
}

// KeyIn returns the key that the item of the foreach each has which u is, or is within. It
// reports whether u is within an item of it.
func (u Unit) KeyIn(each Unit) (string, bool) {
	if !u.In(each.Step) {
		return "", false
	}
	inner := u.Item
	if each.Item != "" {
		var within bool
		if inner, within = strings.CutPrefix(u.Item, each.Item+"/"); !within {
			return "", false
		}
	}
	key, _, _ := strings.Cut(inner, "/")
	return key, key != ""
}

// Loop returns the loop that u is an iteration of, and the iteration's number.
// If u is no iteration, Loop returns u and 0.
func (u Unit) Loop() (Unit, int) {
	i := strings.LastIndexByte(u.Step, '@')
	if i < 0 {
		return u, 0
	}
	n, err := strconv.Atoi(u.Step[i+1:])
	if err != nil {
		return u, 0
	}
	return Unit{u.Step[:i], u.Item}, n
}

// Outer yields the units that u can be within, the innermost first. Not all of
// them need to exist: a path does not show which steps have items.
func (u Unit) Outer() iter.Seq[Unit] {
	return func(yield func(Unit) bool) {
		for path := u.Step; ; {
			for item := range (Unit{Item: u.Item}).Items() {
				if outer := (Unit{path, item}); outer != u && !yield(outer) {
					return
				}
			}
			cut := strings.LastIndexAny(path, "/@")
			if cut < 0 {
				return
			}
			path = path[:cut]
		}
	}
}

// In reports whether u is the step with a path, an iteration of it, or within
// either.
func (u Unit) In(path string) bool {
	rest, ok := strings.CutPrefix(u.Step, path)
	return ok && (rest == "" || rest[0] == '/' || rest[0] == '@')
}
