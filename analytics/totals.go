package analytics

import (
	"time"

	"github.com/claude-force/claude-force/llm"
)

// Totals are sums over calls. They can be added in any order and grouping. The
// zero value is that of no calls.
type Totals struct {
	Calls     int64
	Failed    int64 // not answered
	Live      int64 // answered by the service
	Cached    int64 // answered by the response cache
	Coalesced int64 // answered by an identical call in flight
	Unpriced  int64 // calls of unknown cost
	Retries   int64 // attempts beyond the first
	Refused   int64 // of these, attempts after a refusal for a rate limit, which waited for it: no failure of the service
	Usage     llm.Usage
	Cost      llm.Money
	Uncertain llm.Money // what may have been billed beyond Cost
	Saved     Savings

	Duration    time.Duration // of all calls, one after the other
	Alone       time.Duration // the same, had the service answered all
	FirstToken  time.Duration // of the service, summed over the calls that had a first token
	FirstTokens int64         // how many had
	Longest     time.Duration
	Latency     Sketch // durations of answers, from wherever

	// Of live answers whose service time is known: not of batches, nor of those
	// that earlier versions recorded.
	Served         int64
	Service        time.Duration
	ServiceLatency Sketch
	// Waited is how long the same calls waited with nothing in flight.
	Waited time.Duration

	// Of runs that began within.
	Runs       int64
	RunWall    time.Duration // from the beginning of their first call to the end of their last
	RunAlone   time.Duration // what the service took for their calls, one after the other; see [Call.Worked]
	OutsideRun time.Duration // duration of the calls that belong to no run
}

// AddCall adds a call.
func (t *Totals) AddCall(c *Call) {
	t.Calls++
	switch {
	case c.Code != 0:
		t.Failed++
	case c.Source == llm.SourceCache:
		t.Cached++
	case c.Source == llm.SourceCoalesced:
		t.Coalesced++
	default:
		t.Live++
	}
	if c.Unpriced {
		t.Unpriced++
	}
	t.Retries += int64(max(c.Attempts-1, 0))
	t.Refused += int64(c.Refused)
	t.Usage = t.Usage.Add(c.Usage)
	t.Cost = t.Cost.Add(c.Cost)
	t.Uncertain = t.Uncertain.Add(c.Uncertain)
	t.Saved = t.Saved.Add(c.Saved)
	t.Duration += c.Duration
	t.Alone += c.Alone
	if c.FirstToken > 0 {
		t.FirstToken += c.FirstToken
		t.FirstTokens++
	}
	t.Longest = max(t.Longest, c.Duration)
	if c.Code == 0 && !c.Usage.Batch {
		t.Latency.Add(c.Duration)
	}
	if c.Served() {
		t.Served++
		t.Service += c.Service
		t.ServiceLatency.Add(c.Service)
		t.Waited += c.Waited
	}
	if c.Run == "" {
		t.OutsideRun += c.Duration
	}
}

// Add adds the totals of other calls.
func (t *Totals) Add(u *Totals) {
	t.Calls += u.Calls
	t.Failed += u.Failed
	t.Live += u.Live
	t.Cached += u.Cached
	t.Coalesced += u.Coalesced
	t.Unpriced += u.Unpriced
	t.Retries += u.Retries
	t.Refused += u.Refused
	t.Usage = t.Usage.Add(u.Usage)
	t.Cost = t.Cost.Add(u.Cost)
	t.Uncertain = t.Uncertain.Add(u.Uncertain)
	t.Saved = t.Saved.Add(u.Saved)
	t.Duration += u.Duration
	t.Alone += u.Alone
	t.FirstToken += u.FirstToken
	t.FirstTokens += u.FirstTokens
	t.Longest = max(t.Longest, u.Longest)
	t.Latency.Merge(&u.Latency)
	t.Served += u.Served
	t.Service += u.Service
	t.ServiceLatency.Merge(&u.ServiceLatency)
	t.Waited += u.Waited
	t.Runs += u.Runs
	t.RunWall += u.RunWall
	t.RunAlone += u.RunAlone
	t.OutsideRun += u.OutsideRun
}

// Answered returns how many calls were answered.
func (t *Totals) Answered() int64 { return t.Calls - t.Failed }

// HitRate returns the share of answers that came from the response cache, from 0 to
// 1; 0 without answers.
func (t *Totals) HitRate() float64 { return share(t.Cached, t.Answered()) }

// FailureRate returns the share of calls that failed, from 0 to 1.
func (t *Totals) FailureRate() float64 { return share(t.Failed, t.Calls) }

func share(part, whole int64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}
