package workflow

import "iter"

// Uses yields the names that the template's expressions use, each as its root
// ("params", "vars", "steps", "item", "loop", "env", "run") and the name below it, which
// is empty for a root without a name. A name may occur more than once.
func (t *Template) Uses() iter.Seq2[string, string] { return uses(t.refs) }

// Knows reports whether a name that [Template.Uses] yields has its value before the first
// step runs.
func (env Env) Knows(root, name string) bool {
	switch root {
	case "params":
		_, ok := env.Params[name]
		return ok
	case "vars":
		_, ok := env.Vars[name]
		return ok
	}
	return root == "env"
}

func uses(refs func(func(ref) bool)) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for r := range refs {
			if r.root == previous {
				r.root, r.name = "loop", "previous"
			}
			if r.root == loopState {
				r.root, r.name = "loop", "state"
			}
			if !yield(r.root, r.name) {
				return
			}
		}
	}
}
