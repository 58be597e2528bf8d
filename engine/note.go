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
	if r.noted[n.step.ID] || len(r.notes) >= maxNotes {
		return
	}
	missed := n.missed()
	cause := missed
	for cause != nil && cause.res.Status == StatusSkipped && (cause.res.Error == nil || *cause.res.Error != conditionFalse) {
		cause = cause.missed()
	}
	if cause == nil || cause.res.Status != StatusSkipped {
		return
	}
	before := missed.ancestors()
	for _, d := range n.required() {
		if d == cause || before[d] || d.ancestors()[cause] {
			continue
		}
		r.noted[n.step.ID] = true
		r.notes = append(r.notes, fmt.Sprintf("step %s was skipped because the condition of step %s is false, though it also waits for step %s; if it should run all the same, let it read steps.%s?.output ?? DEFAULT and remove %[4]s from its dependencies, or give it join: settled",
			n.path, cause.step.ID, d.step.ID, missed.step.ID))
		return
	}
}

// ancestors returns all steps of the frame that n waits for, directly or not.
func (n *node) ancestors() map[*node]bool {
	all := map[*node]bool{}
	for next := []*node{n}; len(next) > 0; {
		at := next[len(next)-1]
		next = next[:len(next)-1]
		for _, id := range at.step.Dependencies {
			if d := at.frame.nodes[id]; d != nil && !all[d] {
				all[d] = true
				next = append(next, d)
			}
		}
	}
	return all
}
