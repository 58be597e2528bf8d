// Command ratelimit measures how well calls fill the service's rate limits,
// and how many of them are refused: the admission layer beside a client of
// fixed concurrency with the official SDK's own retries, doing the same work.
//
//	go run ./bench/ratelimit              # all scenarios, both clients
//	go run ./bench/ratelimit -gate        # a small run; fails if a target is missed
//
// The service is the simulator, over TCP, with a minute that lasts as long as
// -minute says. Clients are processes of their own. The share of the limit that
// is used is measured over the steady part: after the minute's worth that is
// there at the beginning, before the last calls.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"
)

// The targets of the admission layer.
const (
	leastUsed  = 0.95  // of the limit, over the steady part
	maxRefused = 0.005 // of all requests
)

func main() {
	tasks := flag.Int("tasks", 500, "tasks of each run")
	minute := flag.Duration("minute", 1500*time.Millisecond, "how long the simulator's minute lasts")
	gate := flag.Bool("gate", false, "run small, without the other client, and exit with 1 if a target is missed")
	worker := flag.String("worker", "", "be a client, as this JSON says")
	flag.Parse()
	ctx := context.Background()
	if *worker != "" {
		if err := work(ctx, *worker, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "ratelimit:", err)
			os.Exit(1)
		}
		return
	}
	b := bench{tasks: *tasks, minutes: 10, minute: *minute, clients: []string{clientLearning, clientFixed}}
	if *gate {
		b = bench{tasks: 300, minutes: 5, minute: time.Second, clients: []string{clientLearning}}
	}
	ok, err := b.run(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "ratelimit:", err)
		os.Exit(1)
	}
	if *gate && !ok {
		os.Exit(1)
	}
}

// bench is one run of the program.
type bench struct {
	tasks   int
	minutes int // of limits that the tasks need
	minute  time.Duration
	clients []string
}

// run runs and prints all scenarios. It reports whether the admission layer met
// the targets in all.
func (b *bench) run(ctx context.Context) (bool, error) {
	fmt.Printf("%d tasks each; a minute lasts %v; times are in the simulator's minutes\n\n", b.tasks, b.minute)
	fmt.Printf("%-28s %-10s %8s %9s %9s %10s %6s\n", "scenario", "client", "used", "refused", "requests", "makespan", "lost")
	ok := true
	for _, s := range scenarios(b.tasks, b.minutes) {
		for _, client := range b.clients {
			r, err := b.measure(ctx, s, client)
			if err != nil {
				return false, fmt.Errorf("%s, %s: %w", s.name, client, err)
			}
			fmt.Printf("%-28s %-10s %7.1f%% %8.2f%% %9d %9.1fm %6d\n", s.name, client, 100*r.used, 100*r.refused(), r.requests, r.makespan, r.lost)
			if client == clientLearning && (r.used < leastUsed || r.refused() > maxRefused || r.lost > 0) {
				ok = false
			}
		}
	}
	verdict := "met"
	if !ok {
		verdict = "MISSED"
	}
	fmt.Printf("\ntargets of the learning client (used >= %.0f%%, refused <= %.1f%%, none lost): %s\n", 100*leastUsed, 100*maxRefused, verdict)
	return ok, nil
}
