package runs

import (
	"fmt"
	"strings"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
)

// Changes returns what a step changed in its worktree, and false if the run has no
// changes of a step of this path. Of a loop it is what the last iteration has. An item
// of a foreach is named by its text or its key, and one within another also by the text
// of either alone; it must be given if several have changes.
func (d *Detail) Changes(step, item string) (*llm.Changes, bool, error) {
	var found *journal.UnitState
	var items []string
	for _, u := range d.State.Order {
		if u.Finished.Changes == nil || u.Step != step && u.Plain() != step {
			continue
		}
		label := ItemLabel(u)
		if item != "" && item != label && item != u.Item && !strings.HasSuffix(label, ", "+item) && !strings.HasPrefix(label, item+", ") {
			continue
		}
		if found == nil || found.Item != u.Item {
			items = append(items, label)
		}
		found = u
	}
	switch {
	case found == nil:
		return nil, false, nil
	case len(items) > 1:
		return nil, true, fault.Input(fmt.Errorf("several items of step %s have changes; name one of them: %s", step, strings.Join(items, ", ")))
	}
	return found.Finished.Changes, true, nil
}
