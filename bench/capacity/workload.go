//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Workload is what is asked of a system, and what the system is made of.
type Workload struct {
	Calls      float64 `json:"calls_per_day"`
	PeakFactor float64 `json:"peak_factor"` // rate of the busiest moment, to the mean of the day
	PeakHour   float64 `json:"peak_hour"`
	Identical  float64 `json:"identical"` // share of calls whose answer is in the cache or in flight
	InFlight   float64 `json:"in_flight"` // share of the identical ones whose answer is in flight
	Hot        float64 `json:"hot"`       // share of the cached answers that Valkey has

	Input      float64       `json:"input_tokens"` // that count for the limits, in the mean
	Output     float64       `json:"output_tokens"`
	Spread     float64       `json:"spread"` // sigma of the log-normal tokens and times
	FirstToken time.Duration `json:"first_token_ns"`
	TokenRate  float64       `json:"tokens_per_second"`
	Refused    float64       `json:"refused"` // share of attempts that end in 429 or 529
	Attempts   int           `json:"attempts"`

	Pools     int     `json:"pools"` // credentials and models with limits of their own
	Requests  float64 `json:"requests_per_minute"`
	InputMin  float64 `json:"input_tokens_per_minute"`
	OutputMin float64 `json:"output_tokens_per_minute"`

	Workers  int `json:"workers"` // processes
	Jobs     int `json:"jobs"`    // calls at once of each
	Machines int `json:"machines"`
	Cores    int `json:"cores"` // of each machine

	Store        string        `json:"store"`
	PgCores      int           `json:"pg_cores"`
	PgConns      int           `json:"pg_connections"` // of the server, behind a pooler
	BudgetRows   int           `json:"budget_rows"`    // among which the budget of all is split
	Events       int           `json:"events"`         // of the journal for a call
	StreamParts  int           `json:"stream_parts"`   // written for those who share an answer
	ValkeyShards int           `json:"valkey_shards"`
	Pollers      int           `json:"pollers"`
	Poll         time.Duration `json:"poll_ns"`
	Temporal     bool          `json:"temporal"`
	TemporalCPUs int           `json:"temporal_cores"`

	KeepDays    float64 `json:"keep_days"`    // of events and calls
	AnswersDays float64 `json:"answers_days"` // of answers
	CPUHour     float64 `json:"usd_cpu_hour"`
	GBMonth     float64 `json:"usd_gb_month"`
}

// standard returns the workload of the documentation: 1,000 processes, 10 million calls a day.
func standard() Workload {
	return Workload{
		Calls: 10e6, PeakFactor: 3, PeakHour: 14, Identical: 0.4, InFlight: 0.1, Hot: 0.5,
		Input: 1500, Output: 400, Spread: 0.7, FirstToken: 800 * time.Millisecond, TokenRate: 90, Refused: 0.002, Attempts: 5,
		Pools: 8, Requests: 4000, InputMin: 4e6, OutputMin: 1e6,
		Workers: 1000, Jobs: 10, Machines: 20, Cores: 8,
		Store: "postgres", PgCores: 16, PgConns: 200, BudgetRows: 8, Events: 2, StreamParts: 10, ValkeyShards: 1,
		Pollers: 20, Poll: time.Second, TemporalCPUs: 16,
		KeepDays: 90, AnswersDays: 1,
	}
}

func (w *Workload) addFlags(f *flag.FlagSet) {
	f.Float64Var(&w.Calls, "calls", w.Calls, "calls a day")
	f.Float64Var(&w.PeakFactor, "peak-factor", w.PeakFactor, "rate of the busiest moment, to the mean of the day")
	f.Float64Var(&w.PeakHour, "peak-hour", w.PeakHour, "hour of the busiest moment")
	f.Float64Var(&w.Identical, "identical", w.Identical, "share of calls whose answer is there or in flight")
	f.Float64Var(&w.InFlight, "in-flight", w.InFlight, "share of the identical calls whose answer is in flight")
	f.Float64Var(&w.Hot, "hot", w.Hot, "share of cached answers that Valkey has")
	f.Float64Var(&w.Input, "input", w.Input, "mean input tokens that count for the limits")
	f.Float64Var(&w.Output, "output", w.Output, "mean output tokens")
	f.Float64Var(&w.Spread, "spread", w.Spread, "sigma of the log-normal distribution of tokens")
	f.DurationVar(&w.FirstToken, "first-token", w.FirstToken, "time to the first token")
	f.Float64Var(&w.TokenRate, "token-rate", w.TokenRate, "output tokens a second; 0 for no time")
	f.Float64Var(&w.Refused, "refused", w.Refused, "share of attempts that end in 429 or 529")
	f.IntVar(&w.Attempts, "attempts", w.Attempts, "attempts of a call at most")
	f.IntVar(&w.Pools, "pools", w.Pools, "credentials and models with limits of their own")
	f.Float64Var(&w.Requests, "rpm", w.Requests, "requests a minute of a pool; 0 for no limit")
	f.Float64Var(&w.InputMin, "itpm", w.InputMin, "input tokens a minute of a pool; 0 for no limit")
	f.Float64Var(&w.OutputMin, "otpm", w.OutputMin, "output tokens a minute of a pool; 0 for no limit")
	f.IntVar(&w.Workers, "workers", w.Workers, "processes")
	f.IntVar(&w.Jobs, "jobs", w.Jobs, "calls at once of a process")
	f.IntVar(&w.Machines, "machines", w.Machines, "machines of the processes")
	f.IntVar(&w.Cores, "cores", w.Cores, "cores of such a machine")
	f.StringVar(&w.Store, "store", w.Store, "postgres, or sqlite for a store on each machine without Valkey")
	f.IntVar(&w.PgCores, "pg-cores", w.PgCores, "cores of Postgres")
	f.IntVar(&w.PgConns, "pg-connections", w.PgConns, "connections of Postgres, behind a pooler")
	f.IntVar(&w.BudgetRows, "budget-rows", w.BudgetRows, "rows among which the budget of all calls is split")
	f.IntVar(&w.Events, "events", w.Events, "events of the journal for a call")
	f.IntVar(&w.StreamParts, "stream-parts", w.StreamParts, "parts of an answer in flight, for those who share it")
	f.IntVar(&w.ValkeyShards, "valkey-shards", w.ValkeyShards, "servers of Valkey")
	f.IntVar(&w.Pollers, "pollers", w.Pollers, "processes that poll Postgres for changes")
	f.DurationVar(&w.Poll, "poll", w.Poll, "time between two polls")
	f.BoolVar(&w.Temporal, "temporal", w.Temporal, "steps go through Temporal on the same Postgres")
	f.IntVar(&w.TemporalCPUs, "temporal-cores", w.TemporalCPUs, "cores of Temporal's servers")
	f.Float64Var(&w.KeepDays, "keep-days", w.KeepDays, "days for which events and calls are kept")
	f.Float64Var(&w.AnswersDays, "answers-days", w.AnswersDays, "days for which answers are kept")
	f.Float64Var(&w.CPUHour, "usd-cpu-hour", w.CPUHour, "your price of an hour of a core, in dollars")
	f.Float64Var(&w.GBMonth, "usd-gb-month", w.GBMonth, "your price of a GB of disk for a month, in dollars")
}

// check reports the first value that makes no sense.
func (w *Workload) check() error {
	share := func(v float64) bool { return v >= 0 && v <= 1 }
	switch {
	case !(w.Calls >= 100 && w.Calls <= 1e10):
		return errors.New("-calls is from 100 to 1e10")
	case !(w.PeakFactor >= 1 && w.PeakFactor <= 20):
		return errors.New("-peak-factor is from 1 to 20")
	case !(w.PeakHour >= 1 && w.PeakHour <= 23):
		return errors.New("-peak-hour is from 1 to 23")
	case !share(w.Identical) || !share(w.InFlight) || !share(w.Hot) || !share(w.Refused):
		return errors.New("-identical, -in-flight, -hot and -refused are from 0 to 1")
	case !(w.Input >= 0 && w.Output >= 0 && w.TokenRate >= 0 && w.FirstToken >= 0 && w.Spread >= 0 && w.Spread <= 3):
		return errors.New("-input, -output, -token-rate and -first-token are not negative, -spread is from 0 to 3")
	case !(w.Requests >= 0 && w.InputMin >= 0 && w.OutputMin >= 0):
		return errors.New("-rpm, -itpm and -otpm are not negative")
	case min(w.Attempts, w.Pools, w.Workers, w.Jobs, w.Machines, w.Cores, w.PgCores, w.PgConns, w.BudgetRows, w.ValkeyShards, w.TemporalCPUs) < 1:
		return errors.New("-attempts, -pools, -workers, -jobs, -machines, -cores, -pg-cores, -pg-connections, -budget-rows, -valkey-shards and -temporal-cores are at least 1")
	case max(w.Pools, w.Workers, w.Machines, w.Cores, w.PgCores, w.ValkeyShards, w.BudgetRows) > 1_000_000:
		return errors.New("-pools, -workers, -machines, -cores, -pg-cores, -budget-rows and -valkey-shards are at most 1000000")
	case w.Machines > w.Workers:
		return errors.New("-machines is at most -workers: each has a process")
	case w.Events < 1 || w.Pollers < 0 || w.StreamParts < 0 || w.Poll < time.Millisecond:
		return errors.New("-events is at least 1, -pollers and -stream-parts are not negative, -poll is at least 1ms")
	case w.Store != "postgres" && w.Store != "sqlite":
		return fmt.Errorf("-store is postgres or sqlite, not %q", w.Store)
	case !(w.KeepDays >= 0 && w.AnswersDays >= 0 && w.CPUHour >= 0 && w.GBMonth >= 0):
		return errors.New("-keep-days, -answers-days, -usd-cpu-hour and -usd-gb-month are not negative")
	}
	return nil
}

const day = 24 * time.Hour

// curve returns how the rate of calls goes over a day, with mean 1: a power of a raised
// cosine, whose highest value is the peak factor.
func (w *Workload) curve() func(at time.Duration) float64 {
	power := peakPower(w.PeakFactor)
	return func(at time.Duration) float64 {
		angle := 2 * math.Pi * (at.Hours() - w.PeakHour) / 24
		return w.PeakFactor * math.Pow((1+math.Cos(angle))/2, power)
	}
}

// peakPower returns the power k for which ((1+cos)/2)^k has the mean 1/peak. That mean is
// Γ(k+1/2) / (√π Γ(k+1)).
func peakPower(peak float64) float64 {
	low, high := 0.0, 1000.0
	for range 100 {
		k := (low + high) / 2
		a, _ := math.Lgamma(k + 0.5)
		b, _ := math.Lgamma(k + 1)
		if math.Exp(a-b)/math.Sqrt(math.Pi) > 1/peak {
			low = k
		} else {
			high = k
		}
	}
	return (low + high) / 2
}

// draw returns a log-normal number with the given mean.
func draw(rng *rand.Rand, mean, sigma float64) float64 {
	if sigma == 0 {
		return mean
	}
	return mean * math.Exp(sigma*rng.NormFloat64()-sigma*sigma/2)
}

// peak returns the busiest hour of the day.
func (w *Workload) peak() (from, to time.Duration) {
	middle := time.Duration(w.PeakHour * float64(time.Hour))
	return middle - 30*time.Minute, middle + 30*time.Minute
}
