package admission

import "time"

// Source says where a limit comes from.
type Source string

// Sources of a limit.
const (
	SourceTier       Source = "tier default"
	SourceConfigured Source = "configured"
	SourceLearned    Source = "learned" // from the service's headers
)

// reserve is the share of a limit that is left in its bucket. It absorbs what
// estimates are wrong by and limits that have just become lower. It costs no
// throughput, since a bucket that is nearly empty refills as fast as a full
// one.
const reserve = 0.05

// bucket is one limit and what is left of it. It may be in debt: calls take
// what they are expected to cost before they are made, and wait until what
// was there before them has come in.
type bucket struct {
	Limit   float64 `json:"limit"` // for each minute; 0 means none is known
	Level   float64 `json:"level"` // what is left; negative is debt
	Taken   float64 `json:"taken"` // all that was ever taken, so that a call knows what was taken after it
	Source  Source  `json:"source"`
	Learned int64   `json:"learned,omitzero"` // when, in Unix nanoseconds
}

func (b *bucket) refill(minutes float64) {
	if b.Limit > 0 {
		b.Level = min(b.Limit, b.Level+minutes*b.Limit)
	}
}

// take debits cost and returns the mark by which wait tells what was taken
// afterwards.
func (b *bucket) take(cost float64) (mark float64) {
	b.Level -= cost
	b.Taken += cost
	return b.Taken
}

// untake undoes a take that came to nothing.
func (b *bucket) untake(cost float64) {
	b.give(cost)
	b.Taken -= cost
}

// give puts back what was not used after all, or takes what was used beyond it
// if it is negative.
func (b *bucket) give(tokens float64) {
	b.Level += tokens
	b.refill(0)
}

// wait returns how many minutes it is until what was taken up to mark is covered,
// with the reserve or spare left over. A call that costs more than the bucket
// holds passes when it is full.
func (b *bucket) wait(cost, mark, spare float64) float64 {
	if b.Limit <= 0 {
		return 0
	}
	before := b.Level + b.Taken - mark + cost
	need := min(cost+max(spare, reserve*b.Limit), b.Limit)
	return max(0, (need-before)/b.Limit)
}

// assume sets a limit that was not learned.
func (b *bucket) assume(l float64, source Source) {
	b.Source = source
	switch {
	case l == b.Limit:
		return
	case b.Limit == 0: // what is used was not counted
		b.Level = l
	default:
		b.Level = l - max(0, b.Limit-b.Level) // what is used stays used
	}
	b.Limit = l
}

// learn takes in what the service says. A limit sets the rate. What remains
// only lowers our view, since the service does not know of calls that are on
// their way; it was counted up to ago minutes ago, and counts in steps of
// twice slack.
func (b *bucket) learn(said Quota, slack, ago float64, now time.Time) {
	if said.Limit > 0 {
		switch {
		case b.Limit == 0:
			b.Level = said.Limit
		case b.Source != SourceLearned:
			// The assumed limit may have been a small part of it: to begin with what
			// that left would be to wait for the reserve.
			b.Level = said.Limit - max(0, b.Limit-b.Level) // what is used stays used
		}
		b.Limit, b.Source, b.Learned = said.Limit, SourceLearned, now.UnixNano()
		b.Level = min(b.Level, b.Limit)
	}
	if said.Counted && b.Limit > 0 {
		b.Level = min(b.Level, said.Remaining+slack+ago*b.Limit)
	}
}
