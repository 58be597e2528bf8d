//go:build linux

package main

import (
	"fmt"
	"math"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	// windows is in how many equal parts of the time it is recorded.
	windows = 60

	maxProblems = 20 // that are printed
)

// What may differ between the last third of the time and the first.
const (
	maxMemoryGrowth     = 1.05
	maxMemoryGrowthGate = 1.25 // in seconds a process does not come to rest
	maxMedianGrowth     = 1.5
	maxTailGrowth       = 2.0 // of p99
)

// counts are what was counted.
type counts struct {
	followed  int   // runs, each by a client
	drops     int   // of connections, by clients that continued
	pages     int   // that were open to their end
	fragments int   // of pages
	missing   int64 // events
	doubled   int64
	unsent    int // requests, because too many were late
	problems  int // others
}

// record is what was seen of the server.
type record struct {
	start  time.Time
	window time.Duration

	mu       sync.Mutex // guards the fields below
	counts   counts
	problems []string
	ends     map[string]int64 // sequence number of the last event of runs, as the API lists them
	saw      map[string]int64 // the same, as clients saw it
	parts    [windows]part
}

// part is what was seen in a part of the time.
type part struct {
	requests map[string]*histogram // how long answers took, by kind
	events   histogram             // how long events took to clients
	memory   float64               // sum of the samples
	samples  int
	cpu      time.Duration // of the process so far
}

func newRecord(duration time.Duration) *record {
	return &record{start: time.Now(), window: duration / windows, ends: map[string]int64{}, saw: map[string]int64{}}
}

// now returns the part of the time that it is now; after the end it is the last. The caller
// holds r.mu.
func (r *record) now() *part {
	return &r.parts[min(int(time.Since(r.start)/r.window), windows-1)]
}

func (r *record) count(change func(*counts)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.counts)
}

// wrong counts something that must not be and notes it.
func (r *record) wrong(change func(*counts), format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.counts)
	if len(r.problems) < maxProblems {
		r.problems = append(r.problems, fmt.Sprintf(format, args...))
	}
}

func (r *record) problem(format string, args ...any) {
	r.wrong(func(n *counts) { n.problems++ }, format, args...)
}

func (r *record) delivered(took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now().events.add(took)
}

func (r *record) answered(kind string, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.now()
	if p.requests == nil {
		p.requests = map[string]*histogram{}
	}
	if p.requests[kind] == nil {
		p.requests[kind] = &histogram{}
	}
	p.requests[kind].add(took)
}

func (r *record) usage(memory float64, cpu time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.now()
	p.memory += memory
	p.samples++
	p.cpu = cpu
}

// ended notes the last event of a run, as the API lists it.
func (r *record) ended(run string, last int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ends[run] = last
}

// sawEnd notes the last event of a run that a client saw. It must be that of the others.
func (r *record) sawEnd(run string, last int64) {
	r.mu.Lock()
	saw, ok := r.saw[run]
	if !ok {
		r.saw[run] = last
	}
	r.mu.Unlock()
	if ok && saw != last {
		r.problem("run %s: a client saw %d as the last event, another %d", run, last, saw)
	}
}

// sum is what several parts add up to.
type sum struct {
	requests histogram
	byKind   map[string]*histogram
	events   histogram
	memory   float64 // mean
}

func (r *record) sum(from, to int) *sum {
	s := &sum{byKind: map[string]*histogram{}}
	samples := 0
	for i := from; i < to; i++ {
		p := &r.parts[i]
		for kind, h := range p.requests {
			if s.byKind[kind] == nil {
				s.byKind[kind] = &histogram{}
			}
			s.byKind[kind].merge(h)
			s.requests.merge(h)
		}
		s.events.merge(&p.events)
		s.memory += p.memory
		samples += p.samples
	}
	s.memory /= float64(max(samples, 1))
	return s
}

// report prints what was seen and reports whether it is as it must be.
func (r *record) report(opts options) bool {
	for run, last := range r.saw {
		if end, ok := r.ends[run]; !ok || end != last {
			r.problem("run %s: clients saw %d as the last event, the API lists %d", run, last, end)
		}
	}
	lines := min(10, windows) // of the table
	fmt.Printf("%8s %8s %6s %9s %8s %8s %8s %8s %9s %8s %8s\n", "until", "RSS MB", "CPU", "requests", "p50 ms", "p99 ms", "hit p50", "hit p99", "events", "p50 ms", "p99 ms")
	var cpu time.Duration
	for i := range lines {
		from, to := i*windows/lines, (i+1)*windows/lines
		s := r.sum(from, to)
		hit := s.byKind["hit"]
		if hit == nil {
			hit = &histogram{}
		}
		took := time.Duration(to-from) * r.window
		at := cpu // the last part may be shorter than the time between two samples
		for _, p := range r.parts[from:to] {
			at = max(at, p.cpu)
		}
		fmt.Printf("%8s %8.1f %5.0f%% %9d %8.1f %8.1f %8.1f %8.1f %9d %8.0f %8.0f\n", (time.Duration(to) * r.window).Round(time.Second), s.memory, 100*(at-cpu).Seconds()/took.Seconds(),
			s.requests.n, ms(s.requests.quantile(0.5)), ms(s.requests.quantile(0.99)), ms(hit.quantile(0.5)), ms(hit.quantile(0.99)), s.events.n, ms(s.events.quantile(0.5)), ms(s.events.quantile(0.99)))
		cpu = at
	}
	load, _ := os.ReadFile("/proc/loadavg") // only to be shown
	n := &r.counts
	fmt.Printf("\n%d runs; %d clients followed %d of them to their ends, %d times after they had dropped a connection; %d pages were open to their ends and got %d parts; load of the machine %s\n",
		len(r.ends), opts.clients, n.followed, n.drops, n.pages, n.fragments, strings.Join(strings.Fields(string(load))[:3], " "))
	fmt.Printf("events missing %d, doubled %d; requests not sent in time %d; other problems %d\n", n.missing, n.doubled, n.unsent, n.problems)
	for _, p := range r.problems {
		fmt.Println(p)
	}
	return r.verdict(opts) && n.missing+n.doubled == 0 && n.problems == 0 && (n.unsent == 0 || !opts.timed) && n.followed > 0 && n.pages > 0
}

// verdict compares the last third of the time with the first.
func (r *record) verdict(opts options) bool {
	begin := int((opts.warmUp + r.window - 1) / r.window)
	third := (windows - begin) / 3
	first, last := r.sum(begin, begin+third), r.sum(windows-third, windows)
	ok := true
	check := func(name string, was, is, limit float64, decides bool) {
		verdict := "within"
		switch {
		case is > was*limit && decides:
			verdict, ok = "OVER", false
		case is > was*limit:
			verdict = "over, which decides nothing here,"
		}
		fmt.Printf("%-20s %8.1f in the first third after %s, %8.1f in the last: %.2fx, %s the bound of %.2fx\n", name, was, opts.warmUp, is, is/was, verdict, limit)
	}
	memory := maxMemoryGrowth
	if !opts.timed {
		memory = maxMemoryGrowthGate
	}
	check("RSS in MB", first.memory, last.memory, memory, !opts.brief)
	check("requests, p50 in ms", ms(first.requests.quantile(0.5)), ms(last.requests.quantile(0.5)), maxMedianGrowth, opts.timed)
	check("requests, p99 in ms", ms(first.requests.quantile(0.99)), ms(last.requests.quantile(0.99)), maxTailGrowth, opts.timed)
	check("events, p50 in ms", ms(first.events.quantile(0.5)), ms(last.events.quantile(0.5)), maxMedianGrowth, opts.timed)
	check("events, p99 in ms", ms(first.events.quantile(0.99)), ms(last.events.quantile(0.99)), maxTailGrowth, opts.timed)
	return ok
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// histogram counts durations in steps of 2 %.
type histogram struct {
	n       int
	buckets [buckets]uint32
}

const (
	buckets = 1000
	step    = 1.02
	least   = 10 * time.Microsecond
)

func (h *histogram) add(d time.Duration) {
	i := int(math.Log(float64(max(d, least))/float64(least)) / math.Log(step))
	h.buckets[min(i, buckets-1)]++
	h.n++
}

func (h *histogram) merge(other *histogram) {
	h.n += other.n
	for i, n := range other.buckets {
		h.buckets[i] += n
	}
}

// quantile returns the duration that a part of all does not exceed; 0 if there are none.
func (h *histogram) quantile(q float64) time.Duration {
	left := int(math.Ceil(q * float64(h.n)))
	for i, n := range h.buckets {
		if left -= int(n); left <= 0 && n > 0 {
			return time.Duration(float64(least) * math.Pow(step, float64(i)+0.5))
		}
	}
	return 0
}
