package cassette

import "slices"

// folder writes the files of one history's outcomes.
type folder interface {
	// write writes the outcome that has just ended, and returns the name of its file.
	write() (name string, err error)
	// repeat writes a copy of the outcome in a file for the nth repetition.
	repeat(name string, nth int) (string, error)
	remove(name string) error
}

// history holds the outcomes of all repetitions of one call.
type history struct {
	started  int        // repetitions started so far
	outcomes []*outcome // by nth
}

// outcome is the result of the nth repetition.
type outcome struct {
	nth    int
	failed bool
	digest [32]byte
	file   string // empty if the player would use another file with the same content
}

// add adds an outcome to the history and updates the folder to match: it keeps
// a failure only if no later call succeeded, and writes a file for a call only
// if the player would otherwise give another answer.
func (h *history) add(o *outcome, files folder) error {
	if o.failed && slices.ContainsFunc(h.outcomes, func(p *outcome) bool { return !p.failed && p.nth > o.nth }) {
		return nil
	}
	var removed []*outcome
	if !o.failed {
		h.outcomes = slices.DeleteFunc(h.outcomes, func(p *outcome) bool {
			overtaken := p.failed && p.nth < o.nth
			if overtaken {
				removed = append(removed, p)
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
	if o.file != "" || len(removed) > 0 {
		if err := h.addMissing(slices.Concat(h.outcomes, removed), files); err != nil {
			return err
		}
	}
	for _, p := range removed {
		if p.file == "" {
			continue
		}
		if err := files.remove(p.file); err != nil {
			return err
		}
	}
	return nil
}

// addMissing writes files for the outcomes that used a file which the player
// would no longer use for them. Such a file is a copy of one with the same
// content.
func (h *history) addMissing(known []*outcome, files folder) error {
	for i, o := range h.outcomes {
		if played := h.played(i); played != nil && played.digest == o.digest {
			continue
		}
		same := slices.IndexFunc(known, func(p *outcome) bool { return p.file != "" && p.digest == o.digest })
		if same < 0 {
			continue // its own file could not be written; that error was returned
		}
		var err error
		if o.file, err = files.repeat(known[same].file, o.nth); err != nil {
			return err
		}
	}
	return nil
}

// played returns the outcome whose file the player uses for the i-th outcome,
// or nil.
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
