package engine

import (
	"sync"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/workflow"
)

// Memo keeps what is computed for one run and stays as it is: the names of the items of its
// foreach steps, once the journal has them, the values of long outputs, such as the lists
// themselves, and the longest paths to its end. The zero value is ready. It is safe for
// concurrent use.
type Memo struct {
	mu     sync.Mutex
	known  map[journal.Unit]itemNames
	values map[journal.Unit]outputValue
	paths  map[*workflow.Workflow]map[string]time.Duration
}

// remaining returns the longest path from each step of a graph to its end. To attempt one
// unit, none is needed.
func (r *run) remaining(wf *workflow.Workflow) map[string]time.Duration {
	if r.parts != nil && r.parts.attempts {
		return nil
	}
	m := r.opts.Memo
	m.mu.Lock()
	defer m.mu.Unlock()
	paths := m.paths[wf]
	if paths == nil {
		if paths = wf.RemainingPath(r.opts.Duration); m.paths == nil {
			m.paths = map[*workflow.Workflow]map[string]time.Duration{}
		}
		m.paths[wf] = paths
	}
	return paths
}

type itemNames struct{ keys, labels []string }

type outputValue struct {
	end   int64 // the number of the event that has the output
	value any
}

// longOutput is the number of bytes from which the value of an output is kept.
const longOutput = 1 << 10

// parsePast returns the value of the output that a unit has in the journal; see
// [ParseOutput].
func (r *run) parsePast(u *unit, was *journal.UnitState) any {
	m := r.opts.Memo
	if u.item != "" || len(was.Output) < longOutput { // of items there may be very many
		return u.parse(was.Output)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	known, ok := m.values[u.id()]
	if !ok || known.end != was.EndSeq {
		known = outputValue{was.EndSeq, u.parse(was.Output)}
		if m.values == nil {
			m.values = map[journal.Unit]outputValue{}
		}
		m.values[u.id()] = known
	}
	return known.value
}

// identifyItems returns the keys and the labels of the items of a foreach; see [identify].
func (r *run) identifyItems(u *unit, items []any) (keys, labels []string) {
	m := r.opts.Memo
	if was := r.opts.Past.Unit(u.path, u.item); was == nil || was.Expanded == nil {
		return identify(items)
	}
	m.mu.Lock()
	known, ok := m.known[u.id()]
	m.mu.Unlock()
	if ok && len(known.keys) == len(items) {
		return known.keys, known.labels
	}
	keys, labels = identify(items)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = map[journal.Unit]itemNames{}
	}
	m.known[u.id()] = itemNames{keys, labels}
	return keys, labels
}
