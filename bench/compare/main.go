// Command compare counts how often package compare finds a change between two
// runs of one build, where there is none, and how often it finds a slow-down of
// a fifth.
//
//	go run ./bench/compare            # 100 comparisons of each kind, in a few minutes
//	go run ./bench/compare -gate      # exits with 1 if a target is missed
//
// The runs are real ones of the benchmark suite: calls through the whole pipeline
// that miss the cache and hit it, lookups in the store, costs, lists of runs. For
// the slow-down the service takes a fifth longer. What the machine does beside it
// is part of the test.
package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/claude-force/claude-force/bench/suite"
	"github.com/claude-force/claude-force/compare"
)

// The targets, of 100 comparisons.
const (
	leastUnchanged = 95
	leastFound     = 95
)

// latency is that of a call to the service, long enough to be most of a miss.
const latency = 20 * time.Millisecond

// slowed is the metric that shows the slow-down. It is compared without its
// floor, which the service slows too.
const slowed = "cache.miss"

func main() {
	repetitions := flag.Int("repetitions", 100, "comparisons of each kind")
	samples := flag.Int("samples", 20, "samples of each metric")
	gate := flag.Bool("gate", false, "exit with 1 if a target is missed")
	flag.Parse()
	ok, err := measure(context.Background(), *repetitions, *samples)
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
	if *gate && !ok {
		os.Exit(1)
	}
}

func measure(ctx context.Context, repetitions, samples int) (ok bool, err error) {
	unchanged, found, metrics := 0, 0, 0
	alarms := map[string][]string{} // by how much metrics seemed changed
	before, err := run(ctx, samples, latency)
	if err != nil {
		return false, err
	}
	for range repetitions {
		after, err := run(ctx, samples, latency)
		if err != nil {
			return false, err
		}
		report, err := compare.Compare(before, after, compare.Options{})
		if err != nil {
			return false, err
		}
		metrics = len(report.Rows)
		if len(report.Changed()) == 0 {
			unchanged++
		}
		for _, row := range report.Changed() {
			alarms[row.Metric] = append(alarms[row.Metric], fmt.Sprintf("%+.0f%%", 100*row.Change()))
		}
		slower, err := run(ctx, samples, latency*6/5)
		if err != nil {
			return false, err
		}
		if report, err = compare.Compare(withoutFloor(before), withoutFloor(slower), compare.Options{}); err != nil {
			return false, err
		}
		if report.Row(slowed).Verdict == compare.Worse {
			found++
		}
		before = after
	}
	fmt.Printf("%d metrics, %d samples each, level %g%% for all together\n", metrics, samples, 100*compare.DefaultAlpha)
	fmt.Printf("two runs of one build: no change in %d of %d comparisons; target %d%%\n", unchanged, repetitions, leastUnchanged)
	for _, metric := range slices.Sorted(maps.Keys(alarms)) {
		fmt.Printf("  %s seemed changed %d times: %s\n", metric, len(alarms[metric]), strings.Join(alarms[metric], " "))
	}
	fmt.Printf("a service that is 20%% slower: found in %d of %d comparisons; target %d%%\n", found, repetitions, leastFound)
	return 100*unchanged >= leastUnchanged*repetitions && 100*found >= leastFound*repetitions, nil
}

func run(ctx context.Context, samples int, latency time.Duration) (compare.Set, error) {
	set := compare.Set{Name: "run", Noise: compare.DefaultNoise}
	for _, measure := range []func(context.Context, suite.Options) (*suite.Result, error){suite.Cache, suite.Query} {
		res, err := measure(ctx, suite.Options{Samples: samples, Latency: latency, Small: true})
		if err != nil {
			return set, err
		}
		set.Metrics = append(set.Metrics, res.Metrics...)
	}
	return set, nil
}

func withoutFloor(set compare.Set) compare.Set {
	bare := compare.Set{Name: set.Name, Noise: set.Noise}
	for _, m := range set.Metrics {
		if m.Name == slowed {
			m.Floor = nil
		}
		bare.Metrics = append(bare.Metrics, m)
	}
	return bare
}
