package engine

import (
	"sync"

	"github.com/claude-force/claude-force/journal"
)

// Lists knows the names of the items of one run's foreach steps, which stay as they are
// once the journal has them, and the values of long outputs, such as the lists themselves.
// The zero value is ready; nil knows none. It is safe for concurrent use.
type Lists struct {
	mu     sync.Mutex
	known  map[journal.Unit]itemNames
	values map[journal.Unit]outputValue
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
	l := r.opts.Lists
	if l == nil || u.item != "" || len(was.Output) < longOutput { // of items there may be very many
		return u.parse(was.Output)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	known, ok := l.values[u.id()]
	if !ok || known.end != was.EndSeq {
		known = outputValue{was.EndSeq, u.parse(was.Output)}
		if l.values == nil {
			l.values = map[journal.Unit]outputValue{}
		}
		l.values[u.id()] = known
	}
	return known.value
}

// identifyItems returns the keys and the labels of the items of a foreach; see [identify].
func (r *run) identifyItems(u *unit, items []any) (keys, labels []string) {
	l := r.opts.Lists
	if was := r.opts.Past.Unit(u.path, u.item); l == nil || was == nil || was.Expanded == nil {
		return identify(items)
	}
	l.mu.Lock()
	known, ok := l.known[u.id()]
	l.mu.Unlock()
	if ok && len(known.keys) == len(items) {
		return known.keys, known.labels
	}
	keys, labels = identify(items)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known == nil {
		l.known = map[journal.Unit]itemNames{}
	}
	l.known[u.id()] = itemNames{keys, labels}
	return keys, labels
}
