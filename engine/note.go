package engine

import "fmt"

// conditionFalse is why a step is skipped whose condition is false.
const conditionFalse = "its condition is false"

// maxNotes bounds the notes of a run.
const maxNotes = 20

// noteSkip adds a note if n is skipped because the condition of another step was false,
// although n waits for a step of another branch too. What follows a branch that is not
// taken is to be skipped with it; what brings branches together seldom is.
func (r *run) noteSkip(n *node) {
	missed := n.missed()
	n.cause = missed.notTaken()
	if n.cause == nil || r.noted[n.step.ID] || len(r.notes) >= maxNotes {
		return
	}
	for _, d := range n.required() {
		if d == n.cause || d.cause == n.cause || missed.follows(d) || d.follows(n.cause) {
			continue
		}
		r.noted[n.step.ID] = true
		r.notes = append(r.notes, fmt.Sprintf("step %s was skipped because the condition of step %s is false, though it also waits for step %s; if it should run all the same, let it read steps.%s?.output ?? DEFAULT and remove %[4]s from its dependencies, or give it join: settled",
			n.path, n.cause.step.ID, d.step.ID, missed.step.ID))
		return
	}
}

// notTaken returns the step whose false condition is why n was skipped: n itself, or
// one that it waits for. It returns nil if n ended otherwise, and for nil.
func (n *node) notTaken() *node {
	switch {
	case n == nil || n.res.Status != StatusSkipped:
		return nil
	case n.why() == conditionFalse:
		return n
	}
	return n.cause
}

// follows reports whether n waits for a step of its frame, directly or not. The nearest
// are looked at first.
func (n *node) follows(other *node) bool {
	seen := map[*node]bool{n: true}
	for next := []*node{n}; len(next) > 0; next = next[1:] {
		for _, id := range next[0].step.Dependencies {
			d := n.frame.nodes[id]
			if d == other {
				return true
			}
			if d != nil && !seen[d] {
				seen[d] = true
				next = append(next, d)
			}
		}
	}
	return false
}
