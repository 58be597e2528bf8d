package workflow

import "slices"

// written is a step that writes a file whose path is known.
type written struct {
	*Step
	path string // as [saved.key] has it
}

// sharedWrites notes steps with write that may write the same file at the same time, so
// that the last one wins by chance. It returns those of w and of the groups within it.
func (p *reader) sharedWrites(w *Workflow) []written {
	within := make([][]written, len(w.Steps))
	var all []written
	for i, s := range w.Steps {
		switch {
		case s.Body != nil && s.Workflow == "":
			within[i] = p.sharedWrites(s.Body)
		case s.Write != nil && s.Write.Path != nil:
			if path, known := (saved{save: &Save{Path: s.Write.Path}}).key(); known {
				within[i] = []written{{s, path}}
			}
		}
		if each := s.Foreach; each != nil && each.MaxParallel != 1 {
			for _, one := range within[i] {
				p.noteWrite(one, "several items may write the same file at the same time", "put the item into the path, or write max_parallel: 1")
			}
		}
		all = append(all, within[i]...)
	}
	if len(all) < 2 || len(all) > maxCompared {
		return all
	}
	parallel := w.parallel(func(i int) bool { return len(within[i]) > 0 })
	for i := range w.Steps {
		for j := range i {
			for _, one := range within[i] {
				same := func(two written) bool { return two.path == one.path && two.When == nil && one.When == nil }
				if k := slices.IndexFunc(within[j], same); k >= 0 && parallel(i, j) && !standIn(w.Steps[i], w.Steps[j]) {
					p.noteWrite(one, "step "+quote(one.ID)+" may write the same file at the same time as step "+quote(within[j][k].ID), "let one depend on the other")
				}
			}
		}
	}
	return all
}

// standIn reports whether one of the steps runs only if the other has failed.
func standIn(a, b *Step) bool { return a.Fallback == b.ID || b.Fallback == a.ID }

func (p *reader) noteWrite(w written, message, hint string) {
	if len(p.notes) < maxErrors {
		p.notes = append(p.notes, &Error{File: p.file, Line: w.Line, Column: w.Column, Message: message, Hint: hint})
	}
}
