//go:build linux

package main

import (
	"time"
)

// call is a call of a step on its way through the system.
type call struct {
	m              *model
	process        int
	asked, started time.Duration
	elsewhere      time.Duration // with the model, or waiting for its limits
	output         float64       // tokens
	attempts       int
	row            int // of the budget
	peak           bool
	then           func()
}

// call has a call made: a worker takes it as soon as it has a slot, and holds the slot
// until the answer is in the journal. then, which may be nil, is called at the end.
func (m *model) call(then func()) {
	m.arrived++
	c := &call{m: m, asked: m.sim.Now(), peak: m.atPeak(), then: then}
	m.slots.Acquire(c.start)
}

func (c *call) start() {
	m := c.m
	c.started, c.process = m.sim.Now(), m.rng.IntN(m.Workers)
	c.output = draw(m.rng, m.Output, m.Spread)
	kind := m.rng.Float64()
	switch {
	case kind >= m.Identical:
		c.compute("worker_miss_cpu", 0.4, func() { c.event(0, func() { c.look(c.reserve) }) })
	case kind >= m.Identical*m.InFlight:
		m.hits++
		c.compute("worker_hit_cpu", 0.5, func() { c.event(0, func() { c.look(c.read) }) })
	default:
		m.shared++
		c.compute("worker_hit_cpu", 0.5, func() { c.event(0, func() { c.look(c.follow) }) })
	}
}

// compute takes a share of the processor time of a call, on the machine of its process.
func (c *call) compute(constant string, share float64, then func()) {
	m := c.m
	cpu := time.Duration(m.c.get(constant) * share * 1e9)
	m.worker.count(m, cpu, 0, 0, 0)
	asked := m.sim.Now()
	m.machines[c.process%m.Machines].Serve(cpu, func() {
		if c.peak {
			m.worker.Delay.Add(m.sim.Now() - asked - cpu)
		}
		then()
	})
}

// event writes half of the events of a call to the journal, with so many bytes of text, and
// waits until they are durable.
func (c *call) event(text float64, then func()) {
	m := c.m
	n := float64(m.Events) / 2
	m.journal.Bytes += text
	m.texts[c.process] += text
	if m.Temporal {
		c.temporal(func() { m.journals[c.process%len(m.journals)].Join(n, then) })
		return
	}
	m.journals[c.process%len(m.journals)].Join(n, then)
}

// temporal has half of a step's history written: its server computes, and its
// transactions follow each other.
func (c *call) temporal(then func()) {
	m := c.m
	m.temporal.Serve(m.seconds("temporal_server_cpu")/2, func() {
		n := max(1, int(m.c.get("temporal_tx"))/2)
		bytes := m.c.get("temporal_history") / 2 / float64(n)
		var next func()
		next = func() {
			if n--; n < 0 {
				then()
				return
			}
			m.transaction(&m.history, m.seconds("pg_journal_tx_cpu"), 1, bytes, bytes+m.c.get("pg_event_wal"), next)
		}
		next()
	})
}

// look looks for the answer in Valkey.
func (c *call) look(then func()) {
	if c.m.Store == "sqlite" { // worker_*_cpu has the store in the process
		then()
		return
	}
	c.m.command(&c.m.flights, "valkey_get_cpu", 1, then)
}

// read reads the answer of an identical call, from Postgres unless Valkey had it.
func (c *call) read() {
	m := c.m
	if m.Store == "sqlite" || m.rng.Float64() < m.Hot {
		c.finish("worker_hit_cpu", 0.5)
		return
	}
	m.transaction(&m.answers, m.seconds("pg_answer_get_cpu"), 0, 0, 0, func() { c.finish("worker_hit_cpu", 0.5) })
}

// follow waits for an answer that is in flight: for a part of its time.
func (c *call) follow() {
	m := c.m
	wait := time.Duration(m.rng.Float64() * float64(c.duration()))
	c.elsewhere += wait
	if m.Store == "sqlite" {
		m.sim.After(wait, func() { c.finish("worker_hit_cpu", 0.5) })
		return
	}
	m.command(&m.flights, "valkey_lease_cpu", 1, func() {
		m.sim.After(wait, func() {
			m.command(&m.flights, "valkey_stream_cpu", m.StreamParts, func() { c.finish("worker_hit_cpu", 0.5) })
		})
	})
}

// duration returns how long the model takes for the answer.
func (c *call) duration() time.Duration {
	m := c.m
	d := m.FirstToken
	if m.TokenRate > 0 {
		d += time.Duration(c.output / m.TokenRate * 1e9)
	}
	return d
}

// reserve takes the lease on the answer and reserves its cost.
func (c *call) reserve() {
	m := c.m
	m.paid++
	if m.Store == "sqlite" {
		c.admit()
		return
	}
	c.row = m.rng.IntN(len(m.budgets))
	m.command(&m.flights, "valkey_lease_cpu", 1, func() { c.account(1, c.admit) })
}

// account updates a row of the budget, whose lock is held until the commit is durable.
func (c *call) account(holds float64, then func()) {
	m := c.m
	row := m.budgets[c.row]
	row.Acquire(func() {
		since := m.sim.Now()
		m.transaction(&m.budget, m.seconds("pg_budget_tx_cpu"), holds, 0, m.c.get("pg_budget_tx_wal"), func() {
			row.Release(m.sim.Now() - since)
			then()
		})
	})
}

// admit waits for the limits of a pool.
func (c *call) admit() {
	m := c.m
	ask := func() {
		asked := m.sim.Now()
		pool := m.pools[m.rng.IntN(len(m.pools))]
		pool.Admit([]float64{1, draw(m.rng, m.Input, m.Spread), c.output}, func() {
			c.elsewhere += m.sim.Now() - asked
			c.send()
		})
	}
	if m.Store == "sqlite" {
		ask()
		return
	}
	m.command(&m.limits, "valkey_admit_cpu", 1, ask)
}

// send makes an attempt. One that is refused waits, twice as long each time, and is
// admitted again.
func (c *call) send() {
	m := c.m
	c.attempts++
	if m.Refused > 0 && m.rng.Float64() < m.Refused {
		if c.attempts >= m.Attempts {
			m.failed++
			c.settle()
			return
		}
		m.retries++
		wait := time.Second << min(c.attempts-1, 5)
		c.elsewhere += wait
		m.sim.After(wait, c.admit)
		return
	}
	d := c.duration()
	c.elsewhere += d
	m.modelTime += d
	if m.Store == "postgres" {
		m.sim.After(d/2, func() { m.command(&m.flights, "valkey_stream_cpu", m.StreamParts, func() {}) })
	}
	m.sim.After(d, c.keep)
}

// keep stores the answer.
func (c *call) keep() {
	m := c.m
	if m.Store == "sqlite" {
		c.settle()
		return
	}
	body := c.output * bytesPerToken
	m.transaction(&m.answers, m.seconds("pg_answer_put_cpu"), 1, m.c.get("pg_answer_bytes")+body, m.c.get("pg_answer_put_wal")+body, func() {
		m.command(&m.flights, "valkey_set_cpu", 1, c.settle)
	})
}

// settle corrects the budget and the limits.
func (c *call) settle() {
	m := c.m
	if m.Store == "sqlite" {
		c.finish("worker_miss_cpu", 0.6)
		return
	}
	m.command(&m.limits, "valkey_admit_cpu", 1, func() {
		c.account(0, func() { c.finish("worker_miss_cpu", 0.6) })
	})
}

// finish records the call, writes the answer to the journal, and gives the slot back.
func (c *call) finish(constant string, share float64) {
	m := c.m
	c.compute(constant, share, func() {
		end := func() {
			m.done++
			if c.peak {
				m.overhead.Add(m.sim.Now() - c.started - c.elsewhere)
			}
			m.slots.Release(m.sim.Now() - c.started)
			if c.then != nil {
				c.then()
			}
		}
		write := func() { c.event(c.output*bytesPerToken, end) }
		if m.Store == "sqlite" {
			write()
			return
		}
		m.records[c.process].Join(1, write)
	})
}
