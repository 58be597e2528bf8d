//go:build linux

package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/claude-force/claude-force/bench/capacity/des"
)

// Resource is something that the load can use up.
type Resource struct {
	Name     string  `json:"name"`
	Capacity string  `json:"capacity"`
	Mean     float64 `json:"mean"` // share in use over the day
	Peak     float64 `json:"peak"` // in the busiest hour
	P50      float64 `json:"wait_p50_s"`
	P99      float64 `json:"wait_p99_s"`
	Bends    float64 `json:"bends_at"` // multiple of the load at which the busiest hour uses all of it; 0 if it has no limit
	Shared   bool    `json:"shared"`   // a store: more machines do not add to it
	Next     string  `json:"next"`     // what to do then
}

// PartResult is what a part costs.
type PartResult struct {
	Name       string  `json:"name"`
	Server     string  `json:"server"`
	OpsPerCall float64 `json:"ops_per_call"`
	Rows       float64 `json:"rows_per_day"`
	Bytes      float64 `json:"bytes_per_day"`
	WAL        float64 `json:"wal_bytes_per_day"`
	CPUHours   float64 `json:"cpu_hours_per_million_calls"`
	GBMonths   float64 `json:"gb_months_per_million_calls"`
	USD        float64 `json:"usd_per_million_calls"`
	P50        float64 `json:"wait_p50_s"`
	P99        float64 `json:"wait_p99_s"`
}

// Result is what a simulation found.
type Result struct {
	Workload  Workload     `json:"workload"`
	Seed      uint64       `json:"seed"`
	Constants constants    `json:"constants"`
	Resources []Resource   `json:"resources"`
	Parts     []PartResult `json:"parts"`

	Arrived     int     `json:"arrived"`
	Done        int     `json:"done"`
	InSystem    int     `json:"in_system"`
	Hits        int     `json:"hits"`
	Coalesced   int     `json:"coalesced"`
	Paid        int     `json:"paid"`
	Retries     int     `json:"retries"`
	Failed      int     `json:"failed"`
	Events      uint64  `json:"simulated_events"`
	AtOnce      int     `json:"most_at_once"`
	OverheadP50 float64 `json:"overhead_p50_s"` // of a call in the busiest hour
	OverheadP99 float64 `json:"overhead_p99_s"`
	Connections int     `json:"client_connections"` // a pool of one and one for changes, per process
	PgBatch     float64 `json:"commits_per_flush"`  // over the day
	Kept        float64 `json:"kept_bytes"`         // in Postgres, once as much is removed as is added

	ConnectionBytes float64 `json:"client_connection_bytes"` // of Postgres's memory, if each has its own
	First           string  `json:"bends_first"`
	FirstStore      string  `json:"store_bends_first"`
	Knee            []Knee  `json:"busiest_moment,omitempty"`
}

// result sums up a day.
func (m *model) result(seed uint64) *Result {
	r := &Result{
		Workload: m.Workload, Seed: seed, Constants: m.c, Arrived: m.arrived, Done: m.done, InSystem: m.slots.InSystem(),
		Hits: m.hits, Coalesced: m.shared, Paid: m.paid, Retries: m.retries, Failed: m.failed, Events: m.sim.Fired(), AtOnce: m.slots.Most,
		OverheadP50: m.overhead.Quantile(0.5).Seconds(), OverheadP99: m.overhead.Quantile(0.99).Seconds(),
	}
	r.Resources = m.resources()
	slices.SortStableFunc(r.Resources, func(a, b Resource) int {
		return cmp.Compare(bend(a), bend(b))
	})
	for _, res := range r.Resources {
		if r.First == "" && res.Bends > 0 {
			r.First = fmt.Sprintf("%.3gx: %s", res.Bends, res.Name)
		}
		if r.FirstStore == "" && res.Bends > 0 && res.Shared {
			r.FirstStore = fmt.Sprintf("%.3gx: %s", res.Bends, res.Name)
		}
	}
	if m.Store == "postgres" {
		r.Connections = 2 * m.Workers
		r.ConnectionBytes = float64(r.Connections) * m.c.get("pg_connection_bytes")
		if m.pgLog.Batches > 0 {
			r.PgBatch = float64(m.pgLog.All.Served) / float64(m.pgLog.Batches)
		}
	}
	millions := max(float64(m.done), 1) / 1e6
	for _, p := range []*Part{&m.worker, &m.journal, &m.calls, &m.budget, &m.answers, &m.limits, &m.flights, &m.polls, &m.history} {
		if p.Ops == 0 && p.Bytes == 0 {
			continue
		}
		pr := PartResult{
			Name: p.Name, Server: p.Server, OpsPerCall: float64(p.Ops) / max(float64(m.done), 1), Rows: p.Rows, Bytes: p.Bytes, WAL: p.WAL,
			CPUHours: p.CPU.Hours() / millions, GBMonths: p.Bytes / 1e9 * p.Days / 30 / millions,
			P50: p.Delay.Quantile(0.5).Seconds(), P99: p.Delay.Quantile(0.99).Seconds(),
		}
		pr.USD = pr.CPUHours*m.CPUHour + pr.GBMonths*m.GBMonth
		r.Parts = append(r.Parts, pr)
		if m.Store == "postgres" {
			r.Kept += p.Bytes * p.Days
		}
	}
	return r
}

func bend(r Resource) float64 {
	if r.Bends == 0 {
		return math.Inf(1)
	}
	return r.Bends
}

// resources returns how much of each resource the load uses.
func (m *model) resources() []Resource {
	all := []Resource{
		m.resource("worker slots", fmt.Sprintf("%d processes of %d calls", m.Workers, m.Jobs), float64(m.Workers*m.Jobs), false, "more processes", &m.slots.Station),
		m.resource("worker CPU", fmt.Sprintf("%d machines of %d cores", m.Machines, m.Cores), float64(m.Machines*m.Cores), false, "more machines", stationsOf(m.machines)...),
	}
	for i, l := range []struct {
		name string
		rate float64
	}{{"requests", m.Requests}, {"input tokens", m.InputMin}, {"output tokens", m.OutputMin}} {
		if l.rate > 0 {
			all = append(all, m.limit(l.name, l.rate, i))
		}
	}
	if m.Store == "sqlite" {
		return append(all, m.resource("SQLite commits", fmt.Sprintf("a file on each of %d machines", m.Machines), float64(m.Machines), true, "Postgres", stationsOf(m.journals)...))
	}
	all = append(all,
		m.resource("Postgres CPU", fmt.Sprintf("%d cores", m.PgCores), float64(m.PgCores), true, "calls and answers to a Postgres of their own", &m.pgCPU.Station),
		m.flushes(),
		m.resource("Postgres connections", fmt.Sprintf("%d behind a pooler", m.PgConns), float64(m.PgConns), true, "a larger pool, once CPU is free", &m.pgConns.Station),
		m.resource("budget rows", fmt.Sprintf("the budget of all in %d rows", m.BudgetRows), float64(m.BudgetRows), true, "split the budget into more rows", stationsOf(m.budgets)...),
		m.resource("Valkey", fmt.Sprintf("%d threads", m.ValkeyShards), float64(m.ValkeyShards), true, "shard by pool and by key of the answer", stationsOf(m.valkey)...),
	)
	if m.Temporal {
		all = append(all, m.resource("Temporal CPU", fmt.Sprintf("%d cores", m.TemporalCPUs), float64(m.TemporalCPUs), false, "more history shards' servers", &m.temporal.Station))
	}
	return all
}

// stationsOf returns what stations of one kind have counted.
func stationsOf[S interface{ Base() *des.Station }](list []S) []*des.Station {
	var all []*des.Station
	for _, s := range list {
		all = append(all, s.Base())
	}
	return all
}

// resource returns a resource of equal servers, of which stations have so many together.
func (m *model) resource(name, capacity string, servers float64, shared bool, next string, stations ...*des.Station) Resource {
	r := Resource{Name: name, Capacity: capacity, Shared: shared, Next: next}
	var waits des.Histogram
	for _, st := range stations {
		r.Mean += st.All.Busy.Seconds() / day.Seconds() / servers
		r.Peak += st.Window.Busy.Seconds() / (m.to - m.from).Seconds() / servers
		waits.Merge(&st.Window.Waits)
	}
	r.P50, r.P99 = waits.Quantile(0.5).Seconds(), waits.Quantile(0.99).Seconds()
	if r.Peak > 0 {
		r.Bends = 1 / r.Peak
	}
	return r
}

// limit returns how much of a limit of the service, of all pools, is used.
func (m *model) limit(name string, rate float64, i int) Resource {
	r := Resource{Name: "limit of " + name, Capacity: fmt.Sprintf("%d pools of %.3g a minute", m.Pools, rate), Next: "a higher tier, or more pools"}
	var waits des.Histogram
	for _, l := range m.pools {
		r.Mean += l.Used[i] / (rate * day.Minutes())
		r.Peak += l.Used[i] / max(float64(l.All.Served), 1) * float64(l.Window.Served) / (rate * (m.to - m.from).Minutes())
		waits.Merge(&l.Window.Waits)
	}
	r.Mean /= float64(m.Pools)
	r.Peak /= float64(m.Pools)
	r.P50, r.P99 = waits.Quantile(0.5).Seconds(), waits.Quantile(0.99).Seconds()
	if r.Peak > 0 {
		r.Bends = 1 / r.Peak
	}
	return r
}

// flushes returns how much of Postgres's log is used: of the commits that it takes when
// every connection has one in each flush.
func (m *model) flushes() Resource {
	most := float64(m.PgConns)
	wal := 0.0
	for _, p := range []*Part{&m.journal, &m.calls, &m.budget, &m.answers, &m.history} {
		wal += p.WAL
	}
	wal /= max(float64(m.pgLog.All.Served), 1)
	rate := most / (m.c.get("pg_flush") + most*wal*m.c.get("pg_flush_byte"))
	r := Resource{
		Name: "Postgres commits", Capacity: fmt.Sprintf("%.3g a second, %d in a flush", rate, m.PgConns), Shared: true, Next: "calls, answers or budgets to a Postgres of their own",
		Mean: float64(m.pgLog.All.Served) / day.Seconds() / rate, Peak: float64(m.pgLog.Window.Served) / (m.to - m.from).Seconds() / rate,
		P50: m.pgLog.Window.Waits.Quantile(0.5).Seconds(), P99: m.pgLog.Window.Waits.Quantile(0.99).Seconds(),
	}
	if r.Peak > 0 {
		r.Bends = 1 / r.Peak
	}
	return r
}

// print writes the result as tables.
func (r *Result) print(w io.Writer) error {
	wl := r.Workload
	p := func(format string, args ...any) { fmt.Fprintf(w, format, args...) }
	p("%s calls a day by %d processes on %d machines, %.3g times the mean at %.3gh, %.0f %% identical, store %s, seed %d\n",
		count(wl.Calls), wl.Workers, wl.Machines, wl.PeakFactor, wl.PeakHour, 100*wl.Identical, wl.Store, r.Seed)
	p("%d calls arrived, %d done, %d inside: %d paid, %d from the cache, %d shared in flight; %d retries, %d failed\n",
		r.Arrived, r.Done, r.InSystem, r.Paid, r.Hits, r.Coalesced, r.Retries, r.Failed)
	p("at most %d at once; what is added to a call in the busiest hour: p50 %s, p99 %s\n", r.AtOnce, short(r.OverheadP50), short(r.OverheadP99))
	if wl.Store == "postgres" {
		p("%d connections of clients (%s of Postgres's memory without a pooler); %.2f commits in a flush in the mean of the day; %s on its disk in the end\n",
			r.Connections, size(r.ConnectionBytes), r.PgBatch, size(r.Kept))
	}
	p("\n")
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "RESOURCE\tOF\tMEAN\tPEAK\tWAIT P50\tP99\tBENDS AT\tTHEN")
	for _, s := range r.Resources {
		bends := "-"
		if s.Bends > 0 {
			bends = fmt.Sprintf("%.3gx", s.Bends)
		}
		fmt.Fprintf(tw, "%s\t%s\t%.2f %%\t%.2f %%\t%s\t%s\t%s\t%s\n", s.Name, s.Capacity, 100*s.Mean, 100*s.Peak, short(s.P50), short(s.P99), bends, s.Next)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	p("\n")
	tw = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "PART\tSERVER\tOPS A CALL\tROWS/DAY\tBYTES/DAY\tLOG/DAY\tCPU H/M CALLS\tGB-MONTHS/M CALLS\tUSD/M CALLS\tWAIT P50\tP99")
	var cpu, gb, usd float64
	money := func(v float64) string {
		if wl.CPUHour == 0 && wl.GBMonth == 0 {
			return "-"
		}
		return fmt.Sprintf("%.4g", v)
	}
	for _, s := range r.Parts {
		fmt.Fprintf(tw, "%s\t%s\t%.2f\t%s\t%s\t%s\t%.3f\t%.3f\t%s\t%s\t%s\n", s.Name, s.Server, s.OpsPerCall,
			count(s.Rows), size(s.Bytes), size(s.WAL), s.CPUHours, s.GBMonths, money(s.USD), short(s.P50), short(s.P99))
		cpu, gb, usd = cpu+s.CPUHours, gb+s.GBMonths, usd+s.USD
	}
	fmt.Fprintf(tw, "all\t\t\t\t\t\t%.3f\t%.3f\t%s\t\t\n", cpu, gb, money(usd))
	if err := tw.Flush(); err != nil {
		return err
	}
	p("\nbends first at %s; of the stores at %s\n", r.First, r.FirstStore)
	if len(r.Knee) > 0 {
		p("the busiest moment, with processes, machines and limits that grow with the load:\n")
		for _, k := range r.Knee {
			p("  %6.3gx  %6.0f calls a second  added p50 %s, p99 %s  %d transactions under way at its end\n", k.Multiple, k.Calls, short(k.OverheadP50), short(k.OverheadP99), k.Backlog)
		}
	}
	return nil
}

// short writes a time with three digits.
func short(seconds float64) string {
	d := time.Duration(seconds * 1e9)
	switch {
	case d == 0:
		return "0"
	case d < time.Microsecond:
		return d.String()
	}
	unit := time.Nanosecond
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit).String()
}

func count(n float64) string {
	switch {
	case n == 0:
		return "-"
	case n < 1e4:
		return fmt.Sprintf("%.0f", n)
	case n < 1e6:
		return fmt.Sprintf("%.0fk", n/1e3)
	}
	return fmt.Sprintf("%.3gM", n/1e6)
}

func size(n float64) string {
	switch {
	case n == 0:
		return "-"
	case n < 1e6:
		return fmt.Sprintf("%.0f kB", n/1e3)
	case n < 1e9:
		return fmt.Sprintf("%.0f MB", n/1e6)
	case n < 1e12:
		return fmt.Sprintf("%.3g GB", n/1e9)
	}
	return fmt.Sprintf("%.3g TB", n/1e12)
}
