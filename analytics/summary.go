package analytics

import (
	"context"
	"time"
)

// Filter says which calls are meant. The zero value means all.
type Filter struct {
	Since   time.Time // began at or after; zero for no bound
	Until   time.Time // began before; zero for no bound
	Project string    // as in [Call]; empty for all
	// Zone is the time zone of days, weeks and months; nil for UTC.
	Zone *time.Location
}

// Dimension is what calls are grouped by.
type Dimension string

// Dimensions.
const (
	ByAgent    Dimension = "agent"
	ByModel    Dimension = "model"
	ByWorkflow Dimension = "workflow"
	BySource   Dimension = "source"
	ByProject  Dimension = "project"
	ByKey      Dimension = "key"
	ByTeam     Dimension = "team"
	ByDay      Dimension = "day" // of the filter's time zone
	ByWeek     Dimension = "week"
	ByMonth    Dimension = "month"
	ByHour     Dimension = "hour"
)

// Group is the totals of the calls that have something in common.
type Group struct {
	Name   string    // the agent, model, day, ...; empty if the calls have none, or by several dimensions
	Names  []string  // what Name is, for each dimension
	Start  time.Time // of the first day, week, month or hour among them; else zero
	Totals           // of all of them
}

// Period is what figures are about: the filter, as far as the store can tell.
// Bounds that lie where rows were dropped already are moved out to the whole
// hour, or day, of UTC.
type Period struct {
	Since       *time.Time `json:"since"` // nil for no bound
	Until       *time.Time `json:"until"`
	Project     string     `json:"project,omitempty"` // its short name
	ProjectPath string     `json:"project_path,omitempty"`
	Zone        string     `json:"zone"`              // time zone of the days
	Rounded     bool       `json:"rounded,omitempty"` // whether a bound was moved
	// UTCDaysBefore is set if hours of the period were dropped and the zone is not
	// UTC: days before it are those of UTC.
	UTCDaysBefore *time.Time `json:"utc_days_before,omitempty"`
}

// SavingsUSD are savings in dollars.
type SavingsUSD struct {
	Cache     float64 `json:"exact_cache"`
	Coalesced float64 `json:"coalescing"`
	Prompt    float64 `json:"prompt_cache"`
	Batch     float64 `json:"batch"`
	Model     float64 `json:"model_choice"`
	Total     float64 `json:"total"`
}

// USD returns the savings in dollars.
func (s Savings) USD() SavingsUSD {
	return SavingsUSD{s.Cache.USD(), s.Coalesced.USD(), s.Prompt.USD(), s.Batch.USD(), s.Model.USD(), s.Total().USD()}
}

// Latency are quantiles in seconds; each is within the relative bound Error of
// the exact one.
type Latency struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
	Error float64 `json:"relative_error"`
}

// LatencyOf returns a sketch's quantiles.
func LatencyOf(s *Sketch) Latency {
	return Latency{s.Count(), s.Quantile(0.5).Seconds(), s.Quantile(0.95).Seconds(), s.Quantile(0.99).Seconds(), Accuracy}
}

// Summary is the figures of a period. "Before" is for times what the service took
// for what it answered, one call after the other (free answers take no time, before
// or after), for throughput the same with an estimate for what was free, and for
// costs what was paid with all that was saved; see [Savings]. Pointers are nil where
// there is nothing to divide by.
type Summary struct {
	Period Period `json:"period"`

	Calls        int64        `json:"calls"`
	Live         int64        `json:"live"`
	Cached       int64        `json:"cached"`
	Coalesced    int64        `json:"coalesced"`
	Failed       int64        `json:"failed"`
	Retries      int64        `json:"retries"` // attempts beyond the first
	Refused      int64        `json:"refused"` // of these, after a refusal for a rate limit
	Unpriced     int64        `json:"unpriced"`
	FailureRate  float64      `json:"failure_rate"`
	InputTokens  int64        `json:"input_tokens"` // whole prompts, cached parts included
	OutputTokens int64        `json:"output_tokens"`
	CostUSD      float64      `json:"cost_usd"`
	UncertainUSD float64      `json:"uncertain_usd"` // what may have been billed beyond it, by attempts that broke off or whose process was killed
	SavedUSD     SavingsUSD   `json:"saved_usd"`
	Latency      Latency      `json:"latency_seconds"` // of answers of the service: its own time, without waiting
	HitLatency   Latency      `json:"hit_latency_seconds"`
	FirstToken   *float64     `json:"first_token_seconds"` // mean
	Waited       *float64     `json:"waited_seconds"`      // mean of the same answers: for a slot, a limit or a budget, between attempts
	Runs         int64        `json:"runs"`
	CacheHitRate float64      `json:"cache_hit_rate"`
	Throughput   *float64     `json:"throughput"` // calls an hour while work was under way
	TimeBefore   *float64     `json:"workflow_time_before"`
	TimeAfter    *float64     `json:"workflow_time_after"`
	Speedup      *float64     `json:"speedup"`
	CostBefore   *float64     `json:"cost_before"` // per call
	CostAfter    *float64     `json:"cost_after"`
	CostSavings  *float64     `json:"cost_savings"` // share of the cost before
	RateBefore   *float64     `json:"throughput_before"`
	RateAfter    *float64     `json:"throughput_after"`
	Tools        *ToolTotals  `json:"tools,omitempty"` // nil if no agent had tools
	Daily        []DaySummary `json:"daily"`
	Groups       []CostRow    `json:"groups,omitzero"` // nil unless [SummaryBy] made it
}

// DaySummary is a day, of the period's time zone.
type DaySummary struct {
	Day      string  `json:"day"`
	Calls    int64   `json:"calls"`
	CostUSD  float64 `json:"cost_usd"`
	SavedUSD float64 `json:"saved_usd"`
}

// Summarize works out the figures of the calls of a period, given by source,
// and by day.
func Summarize(p Period, sources, days []Group) *Summary {
	var t Totals
	var hits Sketch
	for i := range sources {
		t.Add(&sources[i].Totals)
		if sources[i].Name != "" && sources[i].Live == 0 {
			hits.Merge(&sources[i].Latency)
		}
	}
	s := &Summary{
		Period: p, Calls: t.Calls, Live: t.Live, Cached: t.Cached, Coalesced: t.Coalesced, Failed: t.Failed,
		Retries: t.Retries, Refused: t.Refused, Unpriced: t.Unpriced, FailureRate: t.FailureRate(),
		InputTokens: int64(t.Usage.PromptTokens()), OutputTokens: int64(t.Usage.OutputTokens),
		CostUSD: t.Cost.USD(), UncertainUSD: t.Uncertain.USD(), SavedUSD: t.Saved.USD(), Latency: LatencyOf(&t.ServiceLatency), HitLatency: LatencyOf(&hits),
		FirstToken: ratio(t.FirstToken.Seconds(), float64(t.FirstTokens)),
		Waited:     ratio(t.Waited.Seconds(), float64(t.Served)),
		Runs:       t.Runs, CacheHitRate: t.HitRate(),
		TimeBefore:  ratio(t.RunAlone.Seconds(), float64(t.Runs)),
		TimeAfter:   ratio(t.RunWall.Seconds(), float64(t.Runs)),
		CostBefore:  ratio(t.Cost.Add(t.Saved.Total()).USD(), float64(t.Calls)),
		CostAfter:   ratio(t.Cost.USD(), float64(t.Calls)),
		CostSavings: ratio(t.Saved.Total().USD(), t.Cost.Add(t.Saved.Total()).USD()),
		RateBefore:  ratio(float64(t.Calls)*3600, t.Alone.Seconds()),
		RateAfter:   ratio(float64(t.Calls)*3600, (t.RunWall + t.OutsideRun).Seconds()),
		Daily:       []DaySummary{},
	}
	s.Throughput = s.RateAfter
	if t.RunAlone > 0 { // else all was free, and nothing was done at once
		s.Speedup = ratio(t.RunAlone.Seconds(), t.RunWall.Seconds())
	}
	for _, d := range days {
		if d.Calls > 0 {
			s.Daily = append(s.Daily, DaySummary{d.Start.Format(time.DateOnly), d.Calls, d.Cost.USD(), d.Saved.Total().USD()})
		}
	}
	return s
}

// SummaryBy returns the figures of a period, and those of the calls that have one of day,
// agent, key and the like in common, of which the store keeps sums. Groups have the names
// that people know them by, and are in the summary too.
func SummaryBy(ctx context.Context, s interface {
	Sums
	ProjectLister
}, f Filter, by Dimension,
) (*Summary, []Group, error) {
	if err := CheckCostDimensions([]Dimension{by}); err != nil {
		return nil, nil, err
	}
	all, err := s.Summary(ctx, f)
	if err != nil {
		return nil, nil, err
	}
	groups, paths, err := CostGroups(ctx, s, f, by)
	if err != nil {
		return nil, nil, err
	}
	sum := *all
	sum.Groups = CostRows([]Dimension{by}, groups, paths)
	return &sum, groups, nil
}

func ratio(part, whole float64) *float64 {
	if whole <= 0 {
		return nil
	}
	return new(part / whole)
}
