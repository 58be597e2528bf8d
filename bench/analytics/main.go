//go:build unix

// Command analytics measures what questions about calls cost as the number of
// calls grows, beside raw SQL and a scan of JSON lines over the same calls, how
// far percentiles from the sums are from exact ones, and what recording costs
// the pipeline.
//
//	go run ./bench/analytics                      # up to a million calls
//	go run ./bench/analytics -n 10000,10000000    # 2.5 GB, and some minutes to fill
//	go run ./bench/analytics -lines 10000000      # read as many JSON lines too: 2 GB more
//	go run ./bench/analytics -gate                # fails if a target is missed
//
//	go run ./bench/analytics -parts growth -n 100000,100000000 -stores postgres
//
// The part growth asks for the summary of stores in files and in PostgreSQL, of few and many
// calls in turn. Their calls are those of one day, which the store itself has added and summed
// up, again for 60 days: a hundred million take minutes instead of hours.
//
// Each other store holds calls of 90 days. The questions are the command's own, as
// processes of their own: `analytics summary --days 7`, with its largest memory,
// `analytics agents` and `analytics costs --by day`.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Targets: the same question at 1,000 times as
// many calls, and calls a second without recording to those with it.
const (
	growthMost = 2.0
	recording  = 1.05
)

// options say what to measure.
type options struct {
	counts []int
	runs   int
	lines  int // most JSON lines to write and read
	stores []string
	zone   string // of the command, for the part growth
	dir    string
	parts  []string
}

func main() {
	sizes := flag.String("n", "10000,100000,1000000", "numbers of calls, ascending")
	runs := flag.Int("runs", 15, "how often each is measured")
	lines := flag.Int("lines", 1_000_000, "most calls to write as JSON lines and read; ten million are 2 GB")
	gate := flag.Bool("gate", false, "exit with 1 if a target is missed")
	dir := flag.String("dir", "", "folder for the stores, kept; a temporary one if not given")
	parts := flag.String("parts", "summary,percentiles,recording", "what to measure, of these and growth")
	stores := flag.String("stores", "files,postgres", "where the calls of the part growth are")
	zone := flag.String("tz", "UTC", "time zone of who asks, for the part growth")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ok, err := run(ctx, *sizes, &options{runs: *runs, lines: *lines, dir: *dir, parts: strings.Split(*parts, ","), stores: strings.Split(*stores, ","), zone: *zone})
	if err != nil {
		fmt.Fprintln(os.Stderr, "analytics:", err)
		os.Exit(1)
	}
	if *gate && !ok {
		os.Exit(1)
	}
}

func run(ctx context.Context, sizes string, o *options) (ok bool, err error) {
	for s := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return false, fmt.Errorf("-n %q is no number of calls", s)
		}
		o.counts = append(o.counts, n)
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "analytics-"); err != nil {
			return false, fmt.Errorf("making a folder: %w", err)
		}
		defer os.RemoveAll(o.dir)
	}
	ok = true
	for _, part := range []struct {
		name string
		do   func() (bool, error)
	}{
		{"summary", func() (bool, error) { return summaries(ctx, o) }},
		{"percentiles", func() (bool, error) { return percentiles(), nil }},
		{"recording", func() (bool, error) { return recordings(ctx, o.dir, o.runs) }},
		{"growth", func() (bool, error) { return growths(ctx, o) }},
	} {
		if !slices.Contains(o.parts, part.name) {
			continue
		}
		good, err := part.do()
		if err != nil {
			return false, err
		}
		ok = ok && good
		fmt.Println()
	}
	return ok, nil
}

func median(values []time.Duration) time.Duration {
	slices.Sort(values)
	return values[len(values)/2]
}

func verdict(ok bool) string {
	if ok {
		return "within"
	}
	return "OVER"
}
