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
// their own. Requests go to them in turn, in short blocks, so that a busy moment hits
// all of them. Each figure is a ratio to the bare proxy with the same clients and
// bodies:
//
//   - the median time of a miss: each body differs, is looked for in the response cache,
//     sent to the service, recorded and kept. Added is the time beyond that of the
//     service without a proxy. The target is 1.3 times the bare proxy's time.
//   - hits per second: all bodies are the same, and the answer is in the response cache.
//     The target is the requests per second of the bare proxy.
//   - memory of the process that has answered only misses, which leave more behind than
//     hits do.
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
		err = serve(ctx, *part)
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
	service string  // address of the service
	sent    int     // requests so far, each of which differs
	direct  *target // the service itself
	bare    *target // through the bare proxy
	ours    *target // through claude-force
	process *ourServer
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
	bare, err := child.Serve(ctx, self, "-serve", service.URL)
	if err != nil {
		return false, err
	}
	defer bare.Stop()
	b.service, b.direct, b.bare = service.URL, newTarget(service.URL, ""), newTarget(bare.URL, "")
	ours, err := b.startServer(ctx, "latency")
	if err != nil {
		return false, err
	}
	defer ours.stop()
	b.ours, b.process = ours.target, ours
	if err := errors.Join(b.latency(ctx), b.hits(ctx)); err != nil {
		return false, err
	}
	if err := b.memory(ctx); err != nil {
		return false, err
	}
	return b.report(), nil
}

// latency measures misses: by one client, and by several at once.
func (b *bench) latency(ctx context.Context) error {
	fmt.Printf("%-8s %7s %12s %12s %12s %12s %12s %8s\n", "miss", "clients", "direct", "bare", "claude-force", "bare adds", "ours adds", "ratio")
	for _, size := range sizes {
		for _, clients := range []int{1, b.clients} {
			var times [3][]time.Duration
			for round := range b.rounds + 1 {
				for i, t := range []*target{b.direct, b.bare, b.ours} {
					took, err := t.send(ctx, clients, b.differing(size.bytes, 25*clients), "miss")
					if err != nil {
						return err
					}
					if round > 0 { // the first opens connections
						times[i] = append(times[i], took...)
					}
				}
			}
			if err := b.profile(ctx, fmt.Sprintf("miss-%d-%d", size.bytes, clients), func() error {
				_, err := b.ours.send(ctx, clients, b.differing(size.bytes, 25*clients), "miss")
				return err
			}); err != nil {
				return err
			}
			direct, bare, ours := median(times[0]), median(times[1]), median(times[2])
			ratio := float64(ours) / float64(bare)
			us := time.Microsecond
			fmt.Printf("%-8s %7d %12s %12s %12s %12s %12s %7.2fx\n", size.name, clients, direct.Round(us), bare.Round(us), ours.Round(us), (bare - direct).Round(us), (ours - direct).Round(us), ratio)
			limit := maxAlone
			if clients > 1 {
				limit = maxTogether
			}
			b.results = append(b.results, result{fmt.Sprintf("time of a miss, %s, %d clients", size.name, clients), ratio, limit, targetMiss, true})
		}
	}
	return nil
}

// hits measures how many identical requests are answered in a second.
func (b *bench) hits(ctx context.Context) error {
	fmt.Printf("\n%-8s %7s %12s %12s %8s\n", "hit", "clients", "bare/s", "ours/s", "ratio")
	for _, size := range sizes {
		bodies := repeated(b.differing(size.bytes, 1)[0], 50*b.clients)
		if _, err := b.ours.send(ctx, 1, bodies[:1], "miss"); err != nil {
			return err
		}
		var rates [2][]float64
		for round := range b.rounds + 1 {
			for i, t := range []*target{b.bare, b.ours} {
				start := time.Now()
				if _, err := t.send(ctx, b.clients, bodies, "hit"); err != nil {
					return err
				}
				if round > 0 {
					rates[i] = append(rates[i], float64(len(bodies))/time.Since(start).Seconds())
				}
			}
		}
		if err := b.profile(ctx, fmt.Sprintf("hit-%d", size.bytes), func() error {
			_, err := b.ours.send(ctx, b.clients, bodies, "hit")
			return err
		}); err != nil {
			return err
		}
		bare, ours := median(rates[0]), median(rates[1])
		fmt.Printf("%-8s %7d %12.0f %12.0f %7.2fx\n", size.name, b.clients, bare, ours, ours/bare)
		limit := minSmallHits
		if size.bytes > 1000 {
			limit = minLargeHits
		}
		b.results = append(b.results, result{"hits per second, " + size.name, ours / bare, limit, targetHits, false})
	}
	return nil
}

// memory measures the memory of a new process after more and more misses.
func (b *bench) memory(ctx context.Context) error {
	ours, err := b.startServer(ctx, "memory")
	if err != nil {
		return err
	}
	defer ours.stop()
	before, err := ours.memory()
	if err != nil {
		return err
	}
	fmt.Printf("\n%-20s %8s %12s\n%-20d %8.1f\n", "requests (misses)", "RSS MB", "requests/s", 0, before)
	sent, last := 0, before
	for _, mark := range append(marksBelow(b.requests), b.requests) {
		start, from := time.Now(), sent
		for sent < mark {
			n := min(1000, mark-sent)
			if _, err := ours.target.send(ctx, b.clients, b.differing(sizes[0].bytes, n), "miss"); err != nil {
				return err
			}
			sent += n
		}
		rate := float64(sent-from) / time.Since(start).Seconds()
		if last, err = ours.memory(); err != nil {
			return err
		}
		fmt.Printf("%-20d %8.1f %12.0f\n", sent, last, rate)
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
