package hedge

import (
	"math"
	"slices"
	"sync"
	"time"
)

const (
	enough = 20  // times that must be known of a model
	kept   = 200 // times that are kept of a model
	margin = 20  // a call is late by this part of the quantile: where all take the same time, none is
)

// times are the recent times to the first event, by model.
type times struct {
	quantile float64

	mu     sync.Mutex // guards the field below
	models map[string]*recent
}

// recent is a ring of a model's last times, with what is known of them.
type recent struct {
	ring  []time.Duration
	next  int
	late  time.Duration // the quantile when it was last computed
	stale int           // times added since
}

func (t *times) add(model string, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.models[model]
	if r == nil {
		r = &recent{}
		t.models[model] = r
	}
	if len(r.ring) < kept {
		r.ring = append(r.ring, d)
	} else {
		r.ring[r.next] = d
		r.next = (r.next + 1) % kept
	}
	r.stale++
}

// late returns the time from which a call of a model is late; it reports false if
// too little is known.
func (t *times) late(model string) (time.Duration, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.models[model]
	if r == nil || len(r.ring) < enough {
		return 0, false
	}
	if r.late == 0 || r.stale >= enough/2 {
		sorted := slices.Sorted(slices.Values(r.ring))
		at := int(math.Ceil(t.quantile*float64(len(sorted)))) - 1
		quantile := sorted[min(max(at, 0), len(sorted)-1)]
		r.late, r.stale = quantile+quantile/margin, 0
	}
	return r.late, r.late > 0 // what takes no time is not made faster
}
