package callsql

import (
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/llm"
)

// The lengths of what is summed over, in seconds.
const (
	hour = 3600
	day  = 86400

	// Hour and Day are they for stores.
	Hour, Day = hour, day
)

// Kinds of rollups: what their value is.
const (
	kindSource   = "source" // the value is empty
	kindAgent    = "agent"
	kindModel    = "model"
	kindWorkflow = "workflow"
	kindKey      = "key"
	kindTeam     = "team"
	kindRun      = "run" // the value is the workflow
)

// Key is the primary key of call_rollups.
type Key struct {
	Seconds        int64
	Kind           string
	Start          int64
	Project, Value string
	Source         llm.Source
}

// Floor returns the last multiple of step at or before a time in nanoseconds, in
// seconds.
func Floor(nanos, step int64) int64 {
	at := nanos / int64(time.Second)
	if nanos%int64(time.Second) < 0 {
		at--
	}
	rest := at % step
	if rest < 0 {
		rest += step
	}
	return at - rest
}

// Rollups are what a batch of calls adds to the sums.
type Rollups map[Key]*analytics.Totals

// sum returns the totals of a key within the batch.
func (r Rollups) sum(k Key) *analytics.Totals {
	t := r[k]
	if t == nil {
		t = &analytics.Totals{}
		r[k] = t
	}
	return t
}

// AddCall adds a call to the sums.
func (r Rollups) AddCall(c *analytics.Call) {
	at := c.Time.UnixNano()
	for _, seconds := range [...]int64{hour, day} {
		k := Key{Seconds: seconds, Kind: kindSource, Start: Floor(at, seconds), Project: c.Project, Source: c.Source}
		r.sum(k).AddCall(c)
		k.Kind, k.Value = kindAgent, c.Agent
		r.sum(k).AddCall(c)
		k.Kind, k.Value = kindModel, c.Model
		r.sum(k).AddCall(c)
		k.Kind, k.Value = kindWorkflow, c.Workflow
		r.sum(k).AddCall(c)
		k.Kind, k.Value = kindKey, c.Key
		r.sum(k).AddCall(c)
		k.Kind, k.Value = kindTeam, c.Team
		r.sum(k).AddCall(c)
	}
}

// AddRun adds a run to the sums, or takes it out with a sign of -1.
func (r Rollups) AddRun(project, workflow string, f RunFigures, sign int64) {
	for _, seconds := range [...]int64{hour, day} {
		t := r.sum(Key{Seconds: seconds, Kind: kindRun, Start: Floor(f.Began, seconds), Project: project, Value: workflow})
		t.Runs += sign
		t.RunWall += time.Duration(sign * (f.Ended - f.Began))
		t.RunAlone += time.Duration(sign * f.Alone)
	}
}

// Sums are the columns of call_rollups that add up, in the order of [SumValues].
var Sums = [...]string{
	"calls", "failed", "live", "cached", "coalesced", "unpriced", "retries",
	"input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "searches",
	"cost", "saved_cache", "saved_coalesced", "saved_prompt", "saved_batch", "saved_model",
	"duration", "alone", "first_token", "first_tokens", "runs", "run_wall", "run_alone", "outside_run",
	"served", "service", "waited", "refused", "uncertain",
}

// sumColumns are they in a statement. It is made when it is first needed: most processes
// never do.
var sumColumns = sync.OnceValue(func() string { return strings.Join(Sums[:], ", ") })

// readTotals reads sums from column i on, without latency.
func readTotals(row Row, i int) analytics.Totals {
	next := func() int64 {
		i++
		return row.ColumnInt64(i - 1)
	}
	var t analytics.Totals
	for _, p := range []*int64{&t.Calls, &t.Failed, &t.Live, &t.Cached, &t.Coalesced, &t.Unpriced, &t.Retries} {
		*p = next()
	}
	u := &t.Usage
	for _, p := range []*int{&u.InputTokens, &u.OutputTokens, &u.CacheReadTokens, &u.CacheWrite5m, &u.CacheWrite1h, &u.WebSearches} {
		*p = int(next())
	}
	for _, p := range []*llm.Money{&t.Cost, &t.Saved.Cache, &t.Saved.Coalesced, &t.Saved.Prompt, &t.Saved.Batch, &t.Saved.Model} {
		*p = llm.Money(next())
	}
	t.Duration, t.Alone, t.FirstToken = time.Duration(next()), time.Duration(next()), time.Duration(next())
	t.FirstTokens, t.Runs = next(), next()
	t.RunWall, t.RunAlone, t.OutsideRun = time.Duration(next()), time.Duration(next()), time.Duration(next())
	t.Served, t.Service, t.Waited, t.Refused = next(), time.Duration(next()), time.Duration(next()), next()
	t.Uncertain = llm.Money(next())
	return t
}

// SumValues returns the values of [Sums] of totals.
func SumValues(t *analytics.Totals) []int64 {
	u := t.Usage
	return []int64{
		t.Calls, t.Failed, t.Live, t.Cached, t.Coalesced, t.Unpriced, t.Retries,
		int64(u.InputTokens), int64(u.OutputTokens), int64(u.CacheReadTokens), int64(u.CacheWrite5m), int64(u.CacheWrite1h), int64(u.WebSearches),
		int64(t.Cost), int64(t.Saved.Cache), int64(t.Saved.Coalesced), int64(t.Saved.Prompt), int64(t.Saved.Batch), int64(t.Saved.Model),
		int64(t.Duration), int64(t.Alone), int64(t.FirstToken), t.FirstTokens, t.Runs, int64(t.RunWall), int64(t.RunAlone), int64(t.OutsideRun),
		t.Served, int64(t.Service), int64(t.Waited), t.Refused, int64(t.Uncertain),
	}
}

// Latencies returns the sketches of totals as call_rollups holds them.
func Latencies(t *analytics.Totals) (latency, service []byte, err error) {
	if latency, err = t.Latency.AppendBinary(make([]byte, 0, 256)); err != nil {
		return nil, nil, err
	}
	service, err = t.ServiceLatency.AppendBinary(make([]byte, 0, 256))
	return latency, service, err
}

// MergeLatencies adds sketches that [Latencies] returned to those of totals.
func MergeLatencies(t *analytics.Totals, latency, service []byte) error {
	return errors.Join(t.Latency.MergeBinary(latency), t.ServiceLatency.MergeBinary(service))
}

// RunFigures are what the calls of a run show of it. Times are in nanoseconds.
type RunFigures struct{ Began, Ended, Calls, Cost, Alone int64 }

// Add adds a call to its run.
func (f *RunFigures) Add(c *analytics.Call) {
	began, ended := c.Time.UnixNano(), c.Time.Add(c.Duration).UnixNano()
	if f.Calls == 0 {
		f.Began, f.Ended = began, ended
	}
	f.Began, f.Ended = min(f.Began, began), max(f.Ended, ended)
	f.Calls++
	f.Cost += int64(c.Cost)
	f.Alone += int64(c.Worked())
}

// Normalize fills in what follows from the rest of a call, but for its estimate.
func Normalize(c *analytics.Call) {
	if c.Model == "" {
		c.Model = c.Asked
	}
	for _, d := range [...]*time.Duration{&c.Duration, &c.Service, &c.Waited, &c.FirstToken} {
		*d = max(*d, 0) // a clock was set back
	}
	c.Refused = max(c.Refused, c.CountRefused())
	if len(c.Tries) == 0 {
		return
	}
	c.Uncertain = 0
	for i := range c.Tries {
		c.Uncertain = c.Uncertain.Add(c.Tries[i].Uncertain)
	}
}

// Pace is how long the service takes to answer an agent's model.
type Pace struct {
	Calls, Duration int64
	Changed         bool // since it was read
}

// Estimate fills in how long the service would have taken by itself: as long as it took,
// without waiting, and where it did not answer at once, as long as it takes this agent on
// average. In a batch it is 0 if that average is unknown. pace returns what is known of the
// call's agent and model, to which the call is added.
func Estimate(c *analytics.Call, pace func(agent, model string) (*Pace, error)) error {
	if c.Alone != 0 {
		return nil
	}
	switch {
	case c.Served():
		c.Alone = c.Service
	case c.Usage.Batch:
	default:
		c.Alone = max(c.Duration-c.Waited, 0)
	}
	if !c.Live() && (c.Code != 0 || c.Source == "") {
		return nil
	}
	p, err := pace(c.Agent, c.Model)
	if err != nil {
		return err
	}
	if c.Live() && !c.Usage.Batch {
		p.Calls++
		p.Duration += int64(c.Alone)
		p.Changed = true
	} else if p.Calls > 0 && (!c.Live() || c.Usage.Batch) {
		c.Alone = time.Duration(p.Duration / p.Calls)
	}
	return nil
}
