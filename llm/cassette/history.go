package cassette

import "slices"

// history is all that came of one call, whenever it was made.
type history struct {
	asked    int        // times that the call was begun
	outcomes []*outcome // by nth
}

// outcome is how the nth call ended.
type outcome struct {
	nth    int
	failed bool
	digest [32]byte
	file   string // empty if the file that a player would take says the same
}

// add puts the outcome of the call that has just ended into the history, and
// the folder in the state that the history asks for: a failure is only kept if
// no later call was answered, and a call has a file only where a player would
// otherwise give another answer.
func (h *history) add(o *outcome, files folder) error {
	if o.failed && slices.ContainsFunc(h.outcomes, func(p *outcome) bool { return !p.failed && p.nth > o.nth }) {
		return nil
	}
	var gone []*outcome
	if !o.failed {
		h.outcomes = slices.DeleteFunc(h.outcomes, func(p *outcome) bool {
			overtaken := p.failed && p.nth < o.nth
			if overtaken {
				gone = append(gone, p)
			}
			return overtaken
		})
	}
	at, _ := slices.BinarySearchFunc(h.outcomes, o, func(a, b *outcome) int { return a.nth - b.nth })
	h.outcomes = slices.Insert(h.outcomes, at, o)
	if played := h.played(at); played == nil || played.digest != o.digest {
		var err error
		if o.file, err = files.write(); err != nil {
			return err
		}
	}
	if o.file != "" || len(gone) > 0 {
		if err := h.settle(slices.Concat(h.outcomes, gone), files); err != nil {
			return err
		}
	}
	for _, p := range gone {
		if p.file == "" {
			continue
		}
		if err := files.remove(p.file); err != nil {
			return err
		}
	}
	return nil
}

// settle gives a file to those that relied on one which a player would now not
// take for them. It is a copy of another file that says the same.
func (h *history) settle(known []*outcome, files folder) error {
	for i, o := range h.outcomes {
		if played := h.played(i); played != nil && played.digest == o.digest {
			continue
		}
		same := slices.IndexFunc(known, func(p *outcome) bool { return p.file != "" && p.digest == o.digest })
		if same < 0 {
			continue // its own file could not be written, which has been said
		}
		var err error
		if o.file, err = files.repeat(known[same].file, o.nth); err != nil {
			return err
		}
	}
	return nil
}

// played is the outcome whose file a player takes for the i-th outcome.
func (h *history) played(i int) *outcome {
	withFile := func(o *outcome) bool { return o.file != "" }
	for _, o := range slices.Backward(h.outcomes[:i+1]) {
		if withFile(o) {
			return o
		}
	}
	if first := slices.IndexFunc(h.outcomes, withFile); first >= 0 {
		return h.outcomes[first]
	}
	return nil
}
