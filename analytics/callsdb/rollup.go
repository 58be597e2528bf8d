package callsdb

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

// rollupKey is the primary key of call_rollups.
type rollupKey struct {
	seconds        int64
	kind           string
	start          int64
	project, value string
	source         llm.Source
}

// floor returns the last multiple of step at or before a time in nanoseconds, in
// seconds.
func floor(nanos, step int64) int64 {
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

// sum returns the totals of a key within the batch.
func (b *batch) sum(k rollupKey) *analytics.Totals {
	t := b.rollups[k]
	if t == nil {
		t = &analytics.Totals{}
		b.rollups[k] = t
	}
	return t
}

// roll adds a call to the sums.
func (b *batch) roll(c *analytics.Call) {
	at := c.Time.UnixNano()
	for _, seconds := range [...]int64{hour, day} {
		k := rollupKey{seconds: seconds, kind: kindSource, start: floor(at, seconds), project: c.Project, source: c.Source}
		b.sum(k).AddCall(c)
		k.kind, k.value = kindAgent, c.Agent
		b.sum(k).AddCall(c)
		k.kind, k.value = kindModel, c.Model
		b.sum(k).AddCall(c)
		k.kind, k.value = kindWorkflow, c.Workflow
		b.sum(k).AddCall(c)
		k.kind, k.value = kindKey, c.Key
		b.sum(k).AddCall(c)
		k.kind, k.value = kindTeam, c.Team
		b.sum(k).AddCall(c)
	}
}

// rollRun adds a run to the sums, or takes it out.
func (b *batch) rollRun(project, workflow string, f runFigures, sign int64) {
	for _, seconds := range [...]int64{hour, day} {
		t := b.sum(rollupKey{seconds: seconds, kind: kindRun, start: floor(f.began, seconds), project: project, value: workflow})
		t.Runs += sign
		t.RunWall += time.Duration(sign * (f.ended - f.began))
		t.RunAlone += time.Duration(sign * f.alone)
	}
}

// sums are the columns of call_rollups that add up.
var sums = [...]string{
	"calls", "failed", "live", "cached", "coalesced", "unpriced", "retries",
	"input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "searches",
	"cost", "saved_cache", "saved_coalesced", "saved_prompt", "saved_batch", "saved_model",
	"duration", "alone", "first_token", "first_tokens", "runs", "run_wall", "run_alone", "outside_run",
	"served", "service", "waited", "refused", "uncertain",
}

// sumColumns are they in a statement. Like upsert, it is made when it is first
// needed: most processes never do.
var sumColumns = sync.OnceValue(func() string { return strings.Join(sums[:], ", ") })

// upsert adds to the sums of a key.
var upsert = sync.OnceValue(func() string {
	var sb strings.Builder
	sb.WriteString(`INSERT INTO call_rollups (seconds, kind, start, project, value, source, latency, service_latency, longest, ` + sumColumns() + `) VALUES (?` +
		strings.Repeat(`, ?`, len(sums)+8) + `) ON CONFLICT DO UPDATE SET latency = excluded.latency, service_latency = excluded.service_latency, longest = max(longest, excluded.longest)`)
	for _, c := range sums {
		sb.WriteString(`, ` + c + ` = ` + c + ` + excluded.` + c)
	}
	return sb.String()
})

// flushRollups adds the batch's sums to those of the file.
func (b *batch) flushRollups() error {
	for k, t := range b.rollups {
		key := []any{k.seconds, k.kind, k.start, k.project, k.value, string(k.source)}
		err := b.write.Query(`SELECT latency, service_latency FROM call_rollups WHERE seconds = ? AND kind = ? AND start = ? AND project = ? AND value = ? AND source = ?`, func(row *stmt) error {
			return errors.Join(t.Latency.MergeBinary(row.ColumnRawBlob(0)), t.ServiceLatency.MergeBinary(row.ColumnRawBlob(1)))
		}, key...)
		if err != nil {
			return err
		}
		latency, err := t.Latency.AppendBinary(make([]byte, 0, 256))
		if err != nil {
			return err
		}
		service, err := t.ServiceLatency.AppendBinary(make([]byte, 0, 256))
		if err != nil {
			return err
		}
		u := t.Usage
		err = b.write.Run(upsert(), append(key, latency, service, int64(t.Longest),
			t.Calls, t.Failed, t.Live, t.Cached, t.Coalesced, t.Unpriced, t.Retries,
			u.InputTokens, u.OutputTokens, u.CacheReadTokens, u.CacheWrite5m, u.CacheWrite1h, u.WebSearches,
			int64(t.Cost), int64(t.Saved.Cache), int64(t.Saved.Coalesced), int64(t.Saved.Prompt), int64(t.Saved.Batch), int64(t.Saved.Model),
			int64(t.Duration), int64(t.Alone), int64(t.FirstToken), t.FirstTokens, t.Runs, int64(t.RunWall), int64(t.RunAlone), int64(t.OutsideRun),
			t.Served, int64(t.Service), int64(t.Waited), t.Refused, int64(t.Uncertain))...)
		if err != nil {
			return err
		}
	}
	return nil
}

// readTotals reads sums from column i on, without latency.
func readTotals(row *stmt, i int) analytics.Totals {
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
