package compare

import (
	"maps"
	"slices"
	"time"
)

// Rates are how many calls began for each hour of work. A sample is an hour by
// the clock in which a call began: how many did, to how long work was under way
// within it. Work that goes on at the same time counts as often. The zero value
// is ready.
type Rates struct {
	hours map[int64]*workHour // by hours since 1970
}

type workHour struct {
	calls int
	work  time.Duration
}

func (r *Rates) hour(at time.Time) *workHour {
	if r.hours == nil {
		r.hours = map[int64]*workHour{}
	}
	n := at.Truncate(time.Hour).Unix()
	if r.hours[n] == nil {
		r.hours[n] = &workHour{}
	}
	return r.hours[n]
}

// Call adds a call that began at a time.
func (r *Rates) Call(at time.Time) { r.hour(at).calls++ }

// Work adds work from one time to another.
func (r *Rates) Work(from, to time.Time) {
	for from.Before(to) {
		end := from.Truncate(time.Hour).Add(time.Hour)
		if to.Before(end) {
			end = to
		}
		r.hour(from).work += end.Sub(from)
		from = end
	}
}

// Samples returns calls an hour, in the order of time.
func (r *Rates) Samples() []float64 {
	var samples []float64
	for _, n := range slices.Sorted(maps.Keys(r.hours)) {
		if h := r.hours[n]; h.calls > 0 && h.work > 0 {
			samples = append(samples, float64(h.calls)/h.work.Hours())
		}
	}
	return samples
}
