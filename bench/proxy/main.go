//go:build linux

// Command proxy measures what the proxy of `claude-force serve` costs, beside a bare
// httputil.ReverseProxy that does nothing but pass requests on, in the same run:
//
//	go run ./bench/proxy                    # latency, hits, and memory over 10,000 requests
//	go run ./bench/proxy -requests 100000   # memory over more requests
//	go run ./bench/proxy -gate              # fails if a figure exceeds its budget
//	go run ./bench/proxy -profiles DIR      # writes CPU profiles of the process under each load
//
// The service that answers at once, the bare proxy and claude-force are processes of
// their own, and each proxy uses one core. Requests go to them in turn, in short blocks, so that a busy moment hits
// all of them. Each figure is a ratio to the bare proxy with the same clients and
// bodies:
//
//   - the time of a miss: each body differs, is looked for in the response cache, sent to
//     the service, recorded and kept. "Added" compares what the two proxies add to the
//     median time of the service without a proxy, for which the target is 1.3; "whole"
//     compares the medians themselves. The processor time of a request is less
//     disturbed by what else the machine does.
//   - hits per second: all bodies are the same, and the answer is in the response cache.
//     The target is the requests per second of the bare proxy.
//   - memory of the process that has answered only misses, which leave more behind than
//     hits do.
//
// Two more are measured to compare with: nginx, if it is installed, and a bare proxy that
// stores each answer as a row of an SQLite file before the client gets its end. The time
// of the latter is what keeping answers costs at least.
//
// Budgets hold what was reached, which is not the targets.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/claude-force/claude-force/bench/internal/child"
)

// sizes are the bodies of requests: a question, and what an agent sends whose prompt has
// tools and files.
var sizes = []struct {
	name  string
	bytes int
}{{"small", 200}, {"113 kB", 113_000}}

func main() {
	var b bench
	part := flag.String("serve", "", "serve a part of the benchmark: the service, or the address that the bare proxy asks")
	store := flag.String("store", "", "with -serve: folder in which the bare proxy stores answers")
	flag.IntVar(&b.clients, "clients", 8, "clients at once, beside the figures of one client")
	flag.IntVar(&b.rounds, "rounds", 20, "blocks of requests to each process for a figure of latency or hits")
	flag.IntVar(&b.requests, "requests", 10_000, "requests after which memory is measured last, 1,000,000 at most")
	flag.StringVar(&b.profiles, "profiles", "", "folder for CPU profiles of claude-force under each load")
	gate := flag.Bool("gate", false, "exit with 1 if a figure exceeds its budget")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	ok := true
	err := b.check()
	switch {
	case *part != "":
		err = serve(ctx, *part, *store)
	case err == nil:
		ok, err = b.run(ctx)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "proxy:", err)
		os.Exit(1)
	}
	if *gate && !ok {
		os.Exit(1)
	}
}

// bench is one run of the benchmark.
type bench struct {
	clients  int
	rounds   int
	requests int
	profiles string // folder to write CPU profiles to; empty for none

	dir     string
	service string   // address of the service
	sent    int      // requests so far, each of which differs
	direct  *process // the service itself
	bare    *process // the bare proxy
	storing *process // one that stores answers
	nginx   *process // nil if it is not installed
	ours    *process // claude-force
	results []result // held to their budgets
}

func (b *bench) check() error {
	if b.clients < 1 || b.rounds < 1 || b.requests < 1 || b.requests > 1_000_000 {
		return errors.New("-clients and -rounds are at least 1, -requests is from 1 to 1000000")
	}
	return nil
}

func (b *bench) run(ctx context.Context) (ok bool, err error) {
	if b.dir, err = os.MkdirTemp("", "claude-force-proxy"); err != nil {
		return false, fmt.Errorf("making a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if err := child.Build(ctx, b.dir, map[string]string{"claude-force": "cmd/claude-force"}); err != nil {
		return false, err
	}
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	service, err := child.Serve(ctx, self, "-serve", "service")
	if err != nil {
		return false, err
	}
	defer service.Stop()
	b.service, b.direct = service.URL, started(service)
	bare, err := child.Serve(ctx, self, "-serve", service.URL)
	if err != nil {
		return false, err
	}
	defer bare.Stop()
	storing, err := child.Serve(ctx, self, "-serve", service.URL, "-store", b.dir)
	if err != nil {
		return false, err
	}
	defer storing.Stop()
	b.bare, b.storing = started(bare), started(storing)
	if b.nginx, err = b.startNginx(ctx); err != nil {
		return false, err
	}
	if b.nginx != nil {
		defer b.nginx.stop()
	}
	if b.ours, err = b.startServer(ctx, "latency"); err != nil {
		return false, err
	}
	defer b.ours.stop()
	if err := errors.Join(b.latency(ctx), b.hits(ctx)); err != nil {
		return false, err
	}
	if err := b.memory(ctx); err != nil {
		return false, err
	}
	return b.report(), nil
}

// started returns a service as a process that answers requests.
func started(s *child.Service) *process {
	return &process{target: newTarget(s.URL, ""), pid: s.PID, stop: s.Stop}
}

// asked is what is asked in turn, with what was measured of it.
type asked struct {
	name string
	*process
	times []time.Duration
	cpu   time.Duration
}

// latency measures misses: by one client, and by several at once.
func (b *bench) latency(ctx context.Context) error {
	fmt.Printf("%-8s %7s %12s %12s %12s %12s %14s %9s %9s %9s %12s %12s\n", "miss", "clients", "direct", "nginx", "bare", "bare + row", "claude-force", "added", "whole", "to row", "CPU of bare", "CPU of ours")
	for _, size := range sizes {
		for _, clients := range []int{1, b.clients} {
			direct, nginx := &asked{"direct", b.direct, nil, 0}, &asked{"nginx", b.nginx, nil, 0}
			bare, storing, ours := &asked{"bare", b.bare, nil, 0}, &asked{"bare + row", b.storing, nil, 0}, &asked{"claude-force", b.ours, nil, 0}
			all := []*asked{direct, nginx, bare, storing, ours}
			for round := range b.rounds + 1 {
				for _, a := range all {
					if a.process == nil {
						continue
					}
					if err := b.block(ctx, a, size.bytes, clients, round > 0); err != nil { // the first opens connections
						return err
					}
				}
			}
			if err := b.profile(ctx, fmt.Sprintf("miss-%d-%d", size.bytes, clients), func() error {
				_, err := b.ours.target.send(ctx, clients, b.differing(size.bytes, 25*clients), "miss")
				return err
			}); err != nil {
				return err
			}
			fmt.Printf("%-8s %7d", size.name, clients)
			for i, a := range all {
				text := "none"
				if a.process != nil {
					text = a.median().Round(time.Microsecond).String()
				}
				fmt.Printf(" %*s", []int{12, 12, 12, 12, 14}[i], text)
			}
			added := float64(ours.median()-direct.median()) / max(float64(bare.median()-direct.median()), 1)
			whole, cpu := float64(ours.median())/float64(bare.median()), ours.each()/max(bare.each(), 1)
			fmt.Printf(" %8.2fx %8.2fx %8.2fx %9.0f us %9.0f us\n", added, whole, float64(ours.median())/float64(storing.median()), bare.each(), ours.each())
			limit := maxAlone
			if clients > 1 {
				limit = maxTogether
			}
			of := fmt.Sprintf(" of a miss, %s, %d clients", size.name, clients)
			b.results = append(b.results, result{"added time" + of, added, limit, targetMiss, true}, result{"processor time" + of, cpu, maxCPU, targetMiss, true})
		}
	}
	return nil
}

// block sends a block of requests, and notes what they took if that counts.
func (b *bench) block(ctx context.Context, a *asked, size, clients int, counts bool) error {
	before, err := child.CPU(a.pid)
	if err != nil {
		return err
	}
	took, err := a.target.send(ctx, clients, b.differing(size, 25*clients), "miss")
	if err != nil {
		return err
	}
	after, err := child.CPU(a.pid)
	if counts {
		a.times, a.cpu = append(a.times, took...), a.cpu+after-before
	}
	return err
}

// median returns the median time of a request.
func (a *asked) median() time.Duration { return median(a.times) }

// each returns the processor time of a request, in microseconds.
func (a *asked) each() float64 {
	return float64(a.cpu) / float64(time.Microsecond) / float64(len(a.times))
}

// hits measures how many identical requests are answered in a second.
func (b *bench) hits(ctx context.Context) error {
	fmt.Printf("\n%-8s %7s %12s %12s %12s %8s\n", "hit", "clients", "nginx/s", "bare/s", "ours/s", "to bare")
	for _, size := range sizes {
		bodies := repeated(b.differing(size.bytes, 1)[0], 50*b.clients)
		if _, err := b.ours.target.send(ctx, 1, bodies[:1], "miss"); err != nil {
			return err
		}
		processes := []*process{b.nginx, b.bare, b.ours}
		rates := make([][]float64, len(processes))
		for round := range b.rounds + 1 {
			for i, p := range processes {
				if p == nil {
					continue
				}
				start := time.Now()
				if _, err := p.target.send(ctx, b.clients, bodies, "hit"); err != nil {
					return err
				}
				if round > 0 {
					rates[i] = append(rates[i], float64(len(bodies))/time.Since(start).Seconds())
				}
			}
		}
		if err := b.profile(ctx, fmt.Sprintf("hit-%d", size.bytes), func() error {
			_, err := b.ours.target.send(ctx, b.clients, bodies, "hit")
			return err
		}); err != nil {
			return err
		}
		nginx := "none"
		if b.nginx != nil {
			nginx = fmt.Sprintf("%.0f", median(rates[0]))
		}
		bare, ours := median(rates[1]), median(rates[2])
		fmt.Printf("%-8s %7d %12s %12.0f %12.0f %7.2fx\n", size.name, b.clients, nginx, bare, ours, ours/bare)
		limit := minSmallHits
		if size.bytes > 1000 {
			limit = minLargeHits
		}
		b.results = append(b.results, result{"hits per second, " + size.name, ours / bare, limit, targetHits, false})
	}
	return nil
}

// memory measures the memory of a new process after more and more misses, and that of
// nginx and the bare proxy after as many requests.
func (b *bench) memory(ctx context.Context) error {
	ours, err := b.startServer(ctx, "memory")
	if err != nil {
		return err
	}
	defer ours.stop()
	fmt.Printf("\n%-20s %12s %12s %12s %12s\n", "requests (misses)", "nginx MB", "bare MB", "ours MB", "ours/s")
	sent, last, rate := 0, 0.0, 0.0
	for _, mark := range append([]int{0}, append(marksBelow(b.requests), b.requests)...) {
		var took time.Duration
		from := sent
		for sent < mark {
			n := min(1000, mark-sent)
			for _, p := range []*process{b.nginx, b.bare, ours} {
				if p == nil {
					continue
				}
				start := time.Now()
				if _, err := p.target.send(ctx, b.clients, b.differing(sizes[0].bytes, n), "miss"); err != nil {
					return err
				}
				if p == ours {
					took += time.Since(start)
				}
			}
			sent += n
		}
		if took > 0 {
			rate = float64(sent-from) / took.Seconds()
		}
		fmt.Printf("%-20d", sent)
		for _, p := range []*process{b.nginx, b.bare, ours} {
			if p == nil {
				fmt.Printf(" %12s", "none")
				continue
			}
			if last, err = memory(p.pid); err != nil {
				return err
			}
			fmt.Printf(" %12.1f", last)
		}
		fmt.Printf(" %12.0f\n", rate)
	}
	b.results = append(b.results, result{fmt.Sprintf("RSS in MB after %d requests", sent), last, maxMemory, targetMemory, true})
	return nil
}

// marksBelow returns the powers of ten from 1000 that are below a number.
func marksBelow(n int) (marks []int) {
	for mark := 1000; mark < n; mark *= 10 {
		marks = append(marks, mark)
	}
	return marks
}

// binary returns the path of a program that was built.
func (b *bench) binary() string { return filepath.Join(b.dir, "claude-force") }
