// Package analytics is what is counted of calls, and what follows from the
// counts: what was paid, what was not and why, who is slow, who fails.
//
// A [Call] is one row. [Totals] add up calls and each other: totals of an hour
// and of a day give those of both, with quantiles of latency within the bound
// [Accuracy]. So a [Store] need not read its rows again to answer for a week; how
// one does is package analytics/callsdb. Money is [llm.Money], whole nano-dollars, so
// the order of additions does not change a sum.
package analytics

import (
	"time"

	"github.com/claude-force/claude-force/llm"
)

// Savings is what calls would have cost and did not, by the reason. Nothing is in
// two of them: a free answer saves what it cost when it was given, and nothing
// else; for a live one see [SavedLive].
type Savings struct {
	Cache     llm.Money // answered by the response cache
	Coalesced llm.Money // answered by an identical call in flight
	Prompt    llm.Money // prompt caching; below 0 if writing it cost more than reading it saved
	Batch     llm.Money // the batch lane
	Model     llm.Money // the model was chosen; below 0 if the choice was a more expensive one
}

// Total returns the sum over all reasons.
func (s Savings) Total() llm.Money {
	return s.Cache.Add(s.Coalesced).Add(s.Prompt).Add(s.Batch).Add(s.Model)
}

// Add returns the sum of s and t, reason by reason.
func (s Savings) Add(t Savings) Savings {
	return Savings{
		Cache: s.Cache.Add(t.Cache), Coalesced: s.Coalesced.Add(t.Coalesced), Prompt: s.Prompt.Add(t.Prompt),
		Batch: s.Batch.Add(t.Batch), Model: s.Model.Add(t.Model),
	}
}

// Call is one call as it is kept. It holds no prompt, no answer and no
// credential.
type Call struct {
	Time     time.Time // when it began
	Project  string    // absolute path of the project it was made for, or a name if only that is known
	Workflow string    // empty outside of workflows
	Run      string    // id; empty outside of workflows
	Step     string    // path in the workflow
	Item     string    // key of the item of a foreach
	Agent    string
	Asked    string     // model asked for
	Model    string     // model that answered, else that asked for
	Source   llm.Source // empty without an answer
	Usage    llm.Usage

	// Key is the name of the server's key that the call was made for, and Team the team
	// of that key. Both are empty for the owner of the data folder, and in calls that
	// earlier versions recorded.
	Key, Team string

	Cost     llm.Money // what was paid for all attempts; with Unpriced the part that is known
	Unpriced bool      // what was paid, or what was saved, is not known
	// Uncertain is what attempts that broke off, or whose process was killed, may have
	// been billed beyond Cost. It is 0 in calls that earlier versions recorded.
	Uncertain llm.Money
	Saved     Savings

	// Duration is how long the caller waited for the answer, for whatever reason.
	Duration time.Duration
	// Service is how long the service took for the attempt that answered. It is 0
	// if the service did not answer, in a batch, and in calls that earlier versions
	// recorded.
	Service time.Duration
	// Waited is how long nothing was in flight: for a slot, a rate limit, room in
	// a budget, between attempts. It is 0 if that is not known.
	Waited time.Duration
	// FirstToken is how long the service took until the first piece of the answer,
	// 0 if none came. If Service is 0 it is the time since the call began.
	FirstToken time.Duration
	// Alone is what the call would have taken if nothing had answered it but
	// the service: its duration if it was live, else an estimate. A store fills
	// it in if it is 0.
	Alone      time.Duration
	Attempts   int
	Refused    int      // of the attempts, those that a rate limit refused and that were sent again; a store counts them in Tries
	Code       llm.Code // 0 for a whole answer
	StopReason string

	// Tries are the requests that were sent, each with what it cost. It is empty
	// if none was sent, and in calls that earlier versions recorded.
	Tries []Attempt
}

// Attempt is one request that was sent to the service for a call.
type Attempt struct {
	ID         int64 // unique among the attempts of all processes; 0 in those that earlier versions recorded
	Start      time.Time
	Duration   time.Duration
	FirstToken time.Duration // 0 if none came
	Model      string        // that is billed
	Code       llm.Code      // 0 for a whole answer
	Usage      llm.Usage     // what the service reported
	Cost       llm.Money     // of Usage; with [llm.BasisPart] the least that may be billed
	Basis      llm.Basis     // how Cost is known
	Uncertain  llm.Money     // what may have been billed beyond Cost
	// WriteExtra is the part of Cost by which writing to the prompt cache exceeded
	// the plain price of the same tokens. It is 0 in attempts that earlier versions
	// recorded.
	WriteExtra llm.Money
}

// Run is a run as its calls show it.
type Run struct {
	ID       string
	Project  string
	Workflow string
	Began    time.Time // when its first call began
	Ended    time.Time // when its last call ended
	Calls    int64
	Cost     llm.Money
	Alone    time.Duration // what the service took for its calls, one after the other; see [Call.Worked]
}

// Served reports whether the service answered and its time is known: not in a
// batch, and not in calls that earlier versions recorded. Only these calls say
// how fast the service is.
func (c *Call) Served() bool { return c.Live() && c.Service > 0 && !c.Usage.Batch }

// Worked returns how long the service worked for the call: nothing for an answer
// that was free, and the attempts of a call that failed. So the work of a run with
// k slots is at most k times as long as the run, but for batches.
func (c *Call) Worked() time.Duration {
	if c.Live() {
		return c.Alone
	}
	sum := time.Duration(0)
	for i := range c.Tries {
		sum += max(c.Tries[i].Duration, 0)
	}
	return sum
}

// CountRefused returns how many of the attempts a rate limit refused, the last one, which
// has none after it, left out.
func (c *Call) CountRefused() (n int) {
	for i := range c.Tries[:max(len(c.Tries)-1, 0)] {
		if c.Tries[i].Code == llm.CodeRateLimit {
			n++
		}
	}
	return n
}

// Live reports whether the service answered.
func (c *Call) Live() bool { return c.Code == 0 && c.Source == llm.SourceLive }
