//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func testConstants(t *testing.T) constants {
	t.Helper()
	c, err := readConstants(embedded)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// free returns constants of which nothing takes any time.
func free(t *testing.T) constants {
	c := testConstants(t)
	for i := range c {
		c[i].Value = 0
		if strings.HasPrefix(c[i].Name, "sqlite_") {
			c[i].Value = 1e12 // events a second
		}
	}
	return c
}

func small() Workload {
	w := standard()
	w.Calls, w.Workers, w.Machines, w.Refused, w.Poll = 10_000, 10, 2, 0.05, 20*time.Minute
	return w
}

// TestEveryConstantHasItsCommand: the package, the benchmark, the flags and the printed name of
// each are in the project.
func TestEveryConstantHasItsCommand(t *testing.T) {
	t.Parallel()
	c := testConstants(t)
	if err := c.check(filepath.Join("..", "..")); err != nil {
		t.Error(err)
	}
	for _, wrong := range []Constant{
		{Name: "x", Command: "go run ./bench/nothing", Read: "(.)"},
		{Name: "x", Command: "go run ./bench/capacity/measure -part mysql", Read: "(.)"},
		{Name: "x", Command: "go run ./bench/capacity/measure -fast -part worker", Read: "(.)"},
		{Name: "unknown_cpu", Command: "go run ./bench/capacity/measure -part worker", Read: "(.)"}, // it prints none
		{Name: "x", Command: "go test ./journal/journaldb -run ^$ -bench Appendix", Read: "(.)"},
		{Name: "x", Command: "make bench", Read: "(.)"},
		{Name: "worker_miss_cpu", Command: "go run ./bench/capacity/measure -part worker"},
	} {
		if err := (constants{wrong}).check(filepath.Join("..", "..")); err == nil {
			t.Errorf("%q, read by %q, passes", wrong.Command, wrong.Read)
		}
	}
}

func TestReadConstants(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Constant){
		"no name":            func(c *Constant) { c.Name = "" },
		"a name twice":       func(c *Constant) { c.Name = "worker_hit_cpu" },
		"negative":           func(c *Constant) { c.Value = -1 },
		"no command":         func(c *Constant) { c.Command = "" },
		"assumed with a one": func(c *Constant) { c.Assumed = "so" },
		"no unit":            func(c *Constant) { c.Unit = "" },
		"missing":            func(c *Constant) { c.Name = "another" },
	} {
		c := testConstants(t)
		change(&c[0])
		data, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readConstants(data); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestFind: a constant is found in what its command prints.
func TestFind(t *testing.T) {
	t.Parallel()
	const bench = `BenchmarkAppend/appenders=1-2         	       3	 242384367 ns/op	      7372 events/s	      9895 grouped-events/s	         1.342 x-grouped-commit
BenchmarkAppend/appenders=256-2       	       3	 303514526 ns/op	     44477 events/s	     68651 grouped-events/s	         1.544 x-grouped-commit
`
	c := testConstants(t)
	for name, want := range map[string]float64{"sqlite_events_1": 7372, "sqlite_events_256": 44477} {
		i := slices.IndexFunc(c, func(c Constant) bool { return c.Name == name })
		if got, err := c[i].find(bench); err != nil || got != want {
			t.Errorf("%s = %v, %v; want %v", name, got, err, want)
		}
	}
	i := slices.IndexFunc(c, func(c Constant) bool { return c.Name == "pg_flush" })
	if got, err := c[i].find("pg_flush_byte            1e-09 s\npg_flush                 0.0002 s\n"); err != nil || got != 0.0002 {
		t.Errorf("pg_flush = %v, %v", got, err)
	}
	if _, err := c[i].find("nothing"); err == nil {
		t.Error("a figure is found in nothing")
	}
	const agents = "a slot each                              12.02s    12.30s  1.024  50 calls in 50 slots, 50 tools\na slot for two, tools like calls         20.06s    20.64s  1.029  25 calls in 25 slots, 45 tools\n"
	if found := took.FindAllStringSubmatch(agents, -1); len(found) != 2 || found[0][2] != "12.30" || found[1][2] != "20.64" {
		t.Errorf("found %q", found)
	}
}

// TestPollaczekKhinchine: with one slot, Poisson arrivals and nothing but the model's time,
// the mean wait is that of the formula for M/G/1, within 6 %.
func TestPollaczekKhinchine(t *testing.T) {
	t.Parallel()
	w := standard()
	w.Calls, w.PeakFactor, w.Identical, w.Refused = 600_000, 1, 0, 0
	w.Requests, w.InputMin, w.OutputMin = 0, 0, 0
	w.Workers, w.Machines, w.Jobs, w.Store = 1, 1, 1, "sqlite"
	w.FirstToken, w.Output, w.Spread = 0, 9, 0.5 // 0.1 s in the mean
	m := newModel(w, free(t), 3)
	m.day()
	mean, rate := 0.1, w.Calls/86400
	square := mean * mean * math.Exp(w.Spread*w.Spread)
	want := rate * square / (2 * (1 - rate*mean))
	if got := m.slots.All.Waits.Mean().Seconds(); math.Abs(got/want-1) > 0.06 {
		t.Errorf("mean wait %.4f s, the formula says %.4f s", got, want)
	}
}

// TestConservation: at any moment what has arrived is done or inside, and at the end it
// is done; rows and operations follow from the calls.
func TestConservation(t *testing.T) {
	t.Parallel()
	for _, store := range []string{"postgres", "sqlite"} {
		for _, temporal := range []bool{false, true} {
			w := small()
			w.Store, w.Temporal = store, temporal
			m := newModel(w, testConstants(t), 5)
			m.arrive(m.curve(), day)
			for hour := range 24 {
				m.sim.Run(time.Duration(hour) * time.Hour)
				if m.arrived != m.done+m.slots.InSystem() {
					t.Fatalf("%s: at %d h %d arrived, %d done, %d inside", store, hour, m.arrived, m.done, m.slots.InSystem())
				}
			}
			m.sim.Drain()
			if m.arrived != m.done || m.arrived != m.hits+m.shared+m.paid || m.arrived < 9_500 {
				t.Errorf("%s: %d arrived, %d done: %d hits, %d shared, %d paid", store, m.arrived, m.done, m.hits, m.shared, m.paid)
			}
			for _, st := range m.stations() {
				if st.InSystem() != 0 {
					t.Errorf("%s: %d stay in a station", store, st.InSystem())
				}
			}
			admitted := 0
			for _, p := range m.pools {
				admitted += p.All.Served
			}
			if admitted != m.paid+m.retries {
				t.Errorf("%s: %d were admitted, %d paid and %d retries", store, admitted, m.paid, m.retries)
			}
			if store == "postgres" && (m.journal.Rows != float64(2*m.done) || m.calls.Rows != float64(m.done) || m.budget.Ops != 2*m.paid || m.answers.Rows != float64(m.paid)) {
				t.Errorf("%d calls, %d paid: %v events, %v calls, %v transactions of the budget, %v answers", m.done, m.paid, m.journal.Rows, m.calls.Rows, m.budget.Ops, m.answers.Rows)
			}
		}
	}
}

// TestSeed: the same seed gives the same result, another one another.
func TestSeed(t *testing.T) {
	t.Parallel()
	var got []string
	for _, seed := range []uint64{1, 1, 2} {
		data, err := json.Marshal(simulate(small(), testConstants(t), seed).Resources)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(data))
	}
	if got[0] != got[1] || got[0] == got[2] {
		t.Error("the seed does not decide the result")
	}
}

// TestBends: four times the load bends at a quarter of the multiple, in every resource.
func TestBends(t *testing.T) {
	t.Parallel()
	w := small()
	one := simulate(w, testConstants(t), 1)
	w.Calls *= 4
	four := simulate(w, testConstants(t), 1)
	if len(one.Resources) != len(four.Resources) || len(one.Resources) < 10 {
		t.Fatalf("%d and %d resources", len(one.Resources), len(four.Resources))
	}
	for _, a := range one.Resources {
		i := slices.IndexFunc(four.Resources, func(b Resource) bool { return a.Name == b.Name })
		if b := four.Resources[i]; math.Abs(a.Bends/b.Bends/4-1) > 0.1 {
			t.Errorf("%s bends at %.3gx, with four times the load at %.3gx", a.Name, a.Bends, b.Bends)
		}
	}
}

func TestCurve(t *testing.T) {
	t.Parallel()
	for _, peak := range []float64{1, 1.5, 3, 10} {
		w := standard()
		w.PeakFactor = peak
		curve := w.curve()
		sum := 0.0
		for m := range 24 * 60 {
			sum += curve(time.Duration(m) * time.Minute)
		}
		if mean := sum / (24 * 60); math.Abs(mean-1) > 0.001 {
			t.Errorf("peak factor %v: mean %v", peak, mean)
		}
		if top := curve(14 * time.Hour); math.Abs(top-peak) > 1e-9 {
			t.Errorf("peak factor %v: the highest rate is %v", peak, top)
		}
	}
}

func TestWrongFlags(t *testing.T) {
	t.Parallel()
	for _, args := range []string{
		"-calls 5", "-calls NaN", "-peak-factor 0.5", "-peak-hour 25", "-identical 2", "-workers 0", "-machines 2000", "-store mysql", "-events 0",
		"-poll 0s", "-usd-cpu-hour -1", "-spread 9", "-output -1", "now", "-rpm -1", "-refused 1.5",
	} {
		err := run(t.Context(), strings.Fields(args), io.Discard)
		if !errors.Is(err, errUsage) {
			t.Errorf("%s: %v", args, err)
		}
	}
}

// TestLoops: agents with a slot each take as long as their own calls and tools; with a
// slot for two, as long as all calls on the slots. What the process adds is free here.
func TestLoops(t *testing.T) {
	t.Parallel()
	c := free(t)
	if got := loops(c, 50, 10, 50, time.Second, 200*time.Millisecond); got.Round(time.Millisecond) != 11800*time.Millisecond {
		t.Errorf("a slot each: %v", got)
	}
	if got := loops(c, 50, 10, 25, time.Second, time.Second); got.Round(time.Millisecond) != 20*time.Second {
		t.Errorf("a slot for two: %v", got)
	}
}

// TestFormulas: what the simulation uses of each resource over a day is what the formulas of
// docs/capacity.md say, within 5 %.
func TestFormulas(t *testing.T) {
	t.Parallel()
	w, c := small(), testConstants(t)
	w.Calls, w.Refused, w.Spread = 30_000, 0, 0
	r := simulate(w, c, 7)
	rate := w.Calls / 86400
	miss, flight := 1-w.Identical, w.Identical*w.InFlight
	cached := w.Identical - flight
	d := w.FirstToken.Seconds() + w.Output/w.TokenRate
	stream := float64(w.StreamParts) * c.get("valkey_stream_cpu")
	for name, want := range map[string]float64{
		"worker slots":           rate * (miss*d + flight*d/2 + 0.011) / float64(w.Workers*w.Jobs),
		"worker CPU":             rate * (miss*c.get("worker_miss_cpu") + w.Identical*c.get("worker_hit_cpu")) / float64(w.Machines*w.Cores),
		"limit of requests":      rate * miss * 60 / (float64(w.Pools) * w.Requests),
		"limit of input tokens":  rate * miss * w.Input * 60 / (float64(w.Pools) * w.InputMin),
		"limit of output tokens": rate * miss * w.Output * 60 / (float64(w.Pools) * w.OutputMin),
		"Postgres CPU": (rate*(2*c.get("pg_journal_tx_cpu")+2*c.get("pg_event_cpu")+c.get("pg_call_tx_cpu")+c.get("pg_call_cpu")+
			miss*(2*c.get("pg_budget_tx_cpu")+c.get("pg_answer_put_cpu"))+cached*(1-w.Hot)*c.get("pg_answer_get_cpu")) +
			float64(w.Pollers)/w.Poll.Seconds()*c.get("pg_poll_cpu")) / float64(w.PgCores),
		"budget rows": rate * miss * 2 * (c.get("pg_budget_tx_cpu") + c.get("pg_flush") + c.get("pg_budget_tx_wal")*c.get("pg_flush_byte") + c.get("network_round_trip")) / float64(w.BudgetRows),
		"Valkey": rate * (c.get("valkey_get_cpu") + miss*(c.get("valkey_lease_cpu")+2*c.get("valkey_admit_cpu")+c.get("valkey_set_cpu")+stream) +
			flight*(c.get("valkey_lease_cpu")+stream)) / float64(w.ValkeyShards),
	} {
		i := slices.IndexFunc(r.Resources, func(res Resource) bool { return res.Name == name })
		if got := r.Resources[i].Mean; math.Abs(got/want-1) > 0.05 {
			t.Errorf("%s: %.4g of it is used in the mean, the formula says %.4g", name, got, want)
		}
	}
}
