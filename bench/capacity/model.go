//go:build linux

package main

import (
	"math/rand/v2"
	"time"

	"github.com/claude-force/claude-force/bench/capacity/des"
)

// bytesPerToken is how much text a token is, in the mean.
const bytesPerToken = 4

// Part is what one part of the project does: its transactions and commands, and what
// they cost.
type Part struct {
	Name         string
	Ops, PeakOps int           // transactions or commands
	Rows         float64       // written
	Bytes        float64       // kept, with indexes
	WAL          float64       // bytes of Postgres's log
	CPU          time.Duration // of the server that it asks
	Days         float64       // for which rows and bytes are kept
	Delay        des.Histogram // in the busiest hour: waiting, without its own service
	Server       string        // whose processor it uses
}

// model is a system under a workload.
type model struct {
	Workload
	c        constants
	rng      *rand.Rand
	sim      des.Sim
	from, to time.Duration // the busiest hour

	slots    *des.Slots
	machines []*des.Servers
	journals []*des.Group // of each process; with SQLite of each machine
	texts    []float64    // bytes of output that wait in the journals of processes
	records  []*des.Group // of calls, of each process
	pgCPU    *des.Servers
	pgLog    *des.Group
	pgConns  *des.Slots
	budgets  []*des.Slots
	valkey   []*des.Servers
	pools    []*des.Limits
	temporal *des.Servers

	worker, journal, calls, budget, answers, limits, flights, polls, history Part

	arrived, done      int
	hits, shared, paid int
	retries, failed    int
	overhead           des.Histogram // of a call in the busiest hour: all but the model, the limits and the wait for a slot
	modelTime          time.Duration

	next func() // arrivals
	rtt  time.Duration
}

// newModel returns a system at midnight, without calls.
func newModel(w Workload, c constants, seed uint64) *model {
	m := &model{Workload: w, c: c, rng: rand.New(rand.NewPCG(seed, 1))}
	m.from, m.to = w.peak()
	m.rtt = m.seconds("network_round_trip")
	for _, p := range []struct {
		part         *Part
		name, server string
		days         float64
	}{
		{&m.worker, "calls and steps", "workers", 0}, {&m.journal, "journal", "postgres", w.KeepDays}, {&m.calls, "calls", "postgres", w.KeepDays},
		{&m.budget, "budgets", "postgres", 0}, {&m.answers, "answers", "postgres", w.AnswersDays}, {&m.limits, "limits", "valkey", 0},
		{&m.flights, "coalescing, hot answers", "valkey", 0}, {&m.polls, "polls", "postgres", 0}, {&m.history, "Temporal history", "postgres", w.KeepDays},
	} {
		p.part.Name, p.part.Server, p.part.Days = p.name, p.server, p.days
	}
	m.slots = des.NewSlots(&m.sim, w.Workers*w.Jobs)
	m.pgCPU, m.pgConns = des.NewServers(&m.sim, w.PgCores), des.NewSlots(&m.sim, w.PgConns)
	m.pgLog = des.NewGroup(&m.sim, m.seconds("pg_flush"), m.seconds("pg_flush_byte"), w.PgConns)
	m.temporal = des.NewServers(&m.sim, w.TemporalCPUs)
	for range w.Machines {
		m.machines = append(m.machines, des.NewServers(&m.sim, w.Cores))
	}
	for range w.BudgetRows {
		m.budgets = append(m.budgets, des.NewSlots(&m.sim, 1))
	}
	for range w.ValkeyShards {
		m.valkey = append(m.valkey, des.NewServers(&m.sim, 1))
	}
	for range w.Pools {
		m.pools = append(m.pools, des.NewLimits(&m.sim, time.Minute/4, w.Requests/60, w.InputMin/60, w.OutputMin/60))
	}
	m.texts = make([]float64, w.Workers)
	if w.Store == "sqlite" {
		first, each := m.sqliteCommit()
		for range w.Machines {
			m.journals = append(m.journals, des.NewGroup(&m.sim, first, each, 256))
		}
	} else {
		for i := range w.Workers {
			m.journals = append(m.journals, m.writer(&m.journal, &m.texts[i], "pg_journal_tx_cpu", "pg_event_cpu", "pg_event_wal", "pg_event_bytes"))
			m.records = append(m.records, m.writer(&m.calls, new(float64), "pg_call_tx_cpu", "pg_call_cpu", "pg_call_wal", "pg_call_bytes"))
		}
	}
	for _, st := range m.stations() {
		st.SetWindow(m.from, m.to)
	}
	return m
}

// stations returns all stations.
func (m *model) stations() []*des.Station {
	all := []*des.Station{&m.slots.Station, &m.pgCPU.Station, &m.pgConns.Station, &m.pgLog.Station, &m.temporal.Station}
	all = append(all, stationsOf(m.machines)...)
	all = append(all, stationsOf(m.journals)...)
	all = append(all, stationsOf(m.records)...)
	all = append(all, stationsOf(m.budgets)...)
	all = append(all, stationsOf(m.valkey)...)
	return append(all, stationsOf(m.pools)...)
}

func (m *model) seconds(constant string) time.Duration {
	return time.Duration(m.c.get(constant) * float64(time.Second))
}

// sqliteCommit returns what a group commit of SQLite takes, and each event of it: the line
// through commits of one step and of 256, with two events each.
func (m *model) sqliteCommit() (first, each time.Duration) {
	one, all := 2/m.c.get("sqlite_events_1"), 512/m.c.get("sqlite_events_256")
	b := (all - one) / 510
	return time.Duration(max(0, one-2*b) * 1e9), time.Duration(b * 1e9)
}

func (m *model) atPeak() bool { return m.sim.Now() >= m.from && m.sim.Now() < m.to }

func (p *Part) count(m *model, cpu time.Duration, rows, bytes, wal float64) {
	p.Ops++
	if m.atPeak() {
		p.PeakOps++
	}
	p.CPU += cpu
	p.Rows += rows
	p.Bytes += bytes
	p.WAL += wal
}

// writer returns the writer of a process: its rows, and the text that they have, wait while
// a transaction is on its way, and then share the next one.
func (m *model) writer(p *Part, text *float64, tx, row, wal, bytes string) *des.Group {
	txCPU, rowCPU, rowWAL, rowBytes := m.seconds(tx), m.c.get(row), m.c.get(wal), m.c.get(bytes)
	g := des.NewGroup(&m.sim, 0, 0, 500)
	g.Work = func(_ int, rows float64, done func()) {
		cpu := txCPU + time.Duration(rows*rowCPU*1e9)
		bytes := rows*rowWAL + *text
		*text = 0
		m.transaction(p, cpu, rows, rows*rowBytes, bytes, done)
	}
	return g
}

// transaction runs a transaction of Postgres: on a connection, on a core, and then in the
// next flush of the log, unless it only reads.
func (m *model) transaction(p *Part, cpu time.Duration, rows, bytes, wal float64, done func()) {
	p.count(m, cpu, rows, bytes, wal)
	peak, asked := m.atPeak(), m.sim.Now()
	m.pgConns.Acquire(func() {
		held := m.sim.Now()
		end := func() {
			m.pgConns.Release(m.sim.Now() - held + m.rtt)
			if peak {
				least := cpu
				if wal > 0 {
					least += m.pgLog.First + time.Duration(wal*float64(m.pgLog.Each))
				}
				p.Delay.Add(m.sim.Now() - asked - least)
			}
			m.sim.After(m.rtt, done)
		}
		m.pgCPU.Serve(cpu, func() {
			if wal == 0 {
				end()
				return
			}
			m.pgLog.Join(wal, end)
		})
	})
}

// command runs commands of Valkey, one after the other on its only thread.
func (m *model) command(p *Part, constant string, n int, done func()) {
	cpu := m.seconds(constant) * time.Duration(n)
	p.count(m, cpu, 0, 0, 0)
	peak, asked := m.atPeak(), m.sim.Now()
	m.valkey[m.rng.IntN(len(m.valkey))].Serve(cpu, func() {
		if peak {
			p.Delay.Add(m.sim.Now() - asked - cpu)
		}
		m.sim.After(m.rtt, done)
	})
}

// arrive schedules calls whose rate follows the curve, until a time: a Poisson process,
// thinned.
func (m *model) arrive(curve func(time.Duration) float64, until time.Duration) {
	most := m.Calls / day.Seconds() * m.PeakFactor
	m.next = func() {
		if m.sim.Now() >= until {
			return
		}
		if m.rng.Float64()*m.PeakFactor < curve(m.sim.Now()) {
			m.call(nil)
		}
		m.sim.After(time.Duration(m.rng.ExpFloat64()/most*1e9), m.next)
	}
	m.sim.After(time.Duration(m.rng.ExpFloat64()/most*1e9), m.next)
	if m.Store == "postgres" {
		for i := range m.Pollers {
			m.poll(m.Poll*time.Duration(i)/time.Duration(m.Pollers), until)
		}
	}
}

// poll has a process ask Postgres for changes, again and again.
func (m *model) poll(after, until time.Duration) {
	m.sim.After(after, func() {
		if m.sim.Now() < until {
			m.transaction(&m.polls, m.seconds("pg_poll_cpu"), 0, 0, 0, func() {})
			m.poll(m.Poll, until)
		}
	})
}

// day simulates a day and lets what is under way end.
func (m *model) day() {
	m.arrive(m.curve(), day)
	m.sim.Run(day)
	m.sim.Drain()
}
