package promptcache

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// never is a size that no prefix has, for calls that wait for none.
const never = math.MaxInt

// maxEntries bounds the prefixes that are remembered.
const maxEntries = 20_000

// memory is what is known of prefixes, by their hashes.
type memory struct {
	mu      sync.Mutex // guards the field below, and those of entries and calls
	entries map[uint64]*entry
}

// entry is what is known of one prefix. Times are zero for never.
type entry struct {
	active int       // calls with it that have neither started nor failed
	seen   time.Time // when the last such call began
	until  time.Time // how long the service keeps it
	ttl    ttl       // of the breakpoint that wrote it
	leader *leader   // who is writing it now; nil if none
}

func (e *entry) warm(now time.Time) bool { return now.Before(e.until) }

// leader is a call that fills the cache for others.
type leader struct {
	done     chan struct{} // closed when its answer has started, or it failed
	hopeless bool          // it failed in a way that would repeat; final when done
}

// call is one call with a prompt that can be cached.
type call struct {
	memory  *memory
	points  []point
	entries []*entry // of points
	group   *group   // nil if the call was not announced
	own     *leader  // set if the call leads
	marks   []ttl    // of points: the breakpoints it makes
	failed  llm.Code
	over    bool // its answer has started, or it failed
}

func (m *memory) call(ctx context.Context, p prompt) *call {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep(time.Now())
	c := &call{memory: m, points: p.points, entries: make([]*entry, len(p.points)), marks: make([]ttl, len(p.points))}
	c.group, _ = ctx.Value(groupKey{}).(*group)
	for i, point := range p.points {
		e := m.entries[point.hash]
		if e == nil {
			e = &entry{}
			m.entries[point.hash] = e
		}
		e.active++
		c.entries[i] = e
	}
	return c
}

// plan decides on the call's breakpoints. It gives the leader to wait for, or
// nil if the call may start. It does not wait for a writer of less than
// patience tokens.
func (c *call) plan(now time.Time, patience int) *leader {
	c.memory.mu.Lock()
	defer c.memory.mu.Unlock()
	target := -1
	for i := range c.points {
		if c.marks[i] = c.worth(i, now); c.marks[i] != none {
			target = i
		}
	}
	if target < 0 {
		return nil
	}
	if e := c.entries[target]; e.leader != nil && !e.warm(now) {
		if c.points[target].tokens >= patience {
			return e.leader
		}
		for i, e := range c.entries {
			if !e.warm(now) {
				c.marks[i] = none // another call pays for the write
			}
		}
		return nil
	}
	for i, e := range c.entries {
		if c.marks[i] == none || e.warm(now) || e.leader != nil {
			continue
		}
		if c.own == nil {
			c.own = &leader{done: make(chan struct{})}
		}
		e.leader = c.own
	}
	return nil
}

// worth returns the breakpoint that pays after a point, or none.
func (c *call) worth(i int, now time.Time) ttl {
	e, p := c.entries[i], c.points[i]
	switch {
	case p.set != none:
		return p.set
	case e.warm(now):
		return e.ttl
	case p.stable && c.group.ttl() != none:
		return c.group.ttl()
	case p.next, e.active > 1 || now.Sub(e.seen) < minutes.lifetime():
		return minutes
	}
	return none
}

// answerStarted records that the call's answer has started: what it wrote can be read. The
// service counts from when the request came, which was earlier by a time that
// is not known here; so a part of the lifetime is left out.
func (c *call) answerStarted() {
	c.memory.mu.Lock()
	defer c.memory.mu.Unlock()
	now := time.Now()
	for i, e := range c.entries {
		e.seen = now
		if life := c.marks[i].lifetime(); life > 0 {
			if until := now.Add(life - life/20); until.After(e.until) {
				e.until, e.ttl = until, c.marks[i]
			}
		}
	}
	if c.group != nil {
		c.group.started.Add(1)
	}
	c.finish()
}

// end records that the call is over, and passes its lead on if no answer has started.
func (c *call) end() {
	c.memory.mu.Lock()
	defer c.memory.mu.Unlock()
	if c.over {
		return
	}
	if c.own != nil {
		switch c.failed {
		case 0, llm.CodeTimeout, llm.CodeCanceled: // that was its own affair
		default:
			c.own.hopeless = !c.failed.Transient()
		}
	}
	c.finish()
}

// finish makes an end of the call's part in its entries.
func (c *call) finish() {
	c.over = true
	for _, e := range c.entries {
		e.active--
		if c.own != nil && e.leader == c.own {
			e.leader = nil
		}
	}
	if c.own != nil {
		close(c.own.done)
	}
}

// sweep forgets, when there is too much, first what no longer matters and then
// what matters least. What calls in flight use stays.
func (m *memory) sweep(now time.Time) {
	recent := func(e *entry) bool { return e.warm(now) || now.Sub(e.seen) < minutes.lifetime() }
	warm := func(e *entry) bool { return e.warm(now) }
	nothing := func(*entry) bool { return false }
	limit := maxEntries
	for _, spare := range []func(*entry) bool{recent, warm, nothing} {
		if len(m.entries) < limit {
			return
		}
		limit = maxEntries / 2
		for hash, e := range m.entries {
			if e.active == 0 && !spare(e) {
				delete(m.entries, hash)
			}
		}
	}
}
