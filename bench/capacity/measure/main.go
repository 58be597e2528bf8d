//go:build linux

// Command measure measures the constants of the capacity model on this machine and prints
// one per line, as a name, a value and a unit:
//
//	go run ./bench/capacity/measure -part postgres  # Debian's postgresql
//	go run ./bench/capacity/measure -part valkey    # redis-server or valkey-server
//	go run ./bench/capacity/measure -part worker
//
// Postgres and Valkey are started by it, in a folder of their own, and driven by pgbench and
// redis-benchmark. Tables and scripts have the size and the form of the project's; they
// are not the project's own. Processor time is what /proc, INFO and getrusage count, which other
// work on the machine changes little. Times by the clock are the best of several
// rounds, since other work can only add to them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"time"
)

// patience is the longest a part may take.
const patience = 10 * time.Minute

func main() {
	part := flag.String("part", "", "postgres, valkey or worker")
	n := flag.Int("n", 3000, "transactions, or calls, of each figure")
	serve := flag.Bool("serve", false, "serve the simulator for the part worker, until the input ends")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	ctx, cancel := context.WithTimeout(ctx, patience)
	err := run(ctx, *part, *n, *serve)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "measure:", err)
		if errors.Is(err, errUsage) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

var errUsage = errors.New("wrong use")

func run(ctx context.Context, part string, n int, serve bool) error {
	if n < 100 || n > 1_000_000 {
		return fmt.Errorf("%w: -n is from 100 to 1000000", errUsage)
	}
	switch {
	case serve:
		return serveSimulator(ctx)
	case part == "postgres":
		return measurePostgres(ctx, n)
	case part == "valkey":
		return measureValkey(ctx, n)
	case part == "worker":
		return measureWorker(ctx, n)
	}
	return fmt.Errorf("%w: -part is postgres, valkey or worker", errUsage)
}

// report prints a constant.
func report(name string, value float64, unit string) {
	fmt.Printf("%-24s %.6g %s\n", name, value, unit)
}

// output returns what a command prints; its error has what it says.
func output(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("running %s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

// fit returns a and b of a + b*n through the costs of one row and of a batch.
func fit(one, many float64) (a, b float64) {
	b = max(0, (many-one)/(rows-1))
	return max(0, one-b), b
}

// number returns the first number of a text after a mark.
func number(text, mark string) (float64, error) {
	_, rest, found := strings.Cut(text, mark)
	fields := strings.Fields(strings.NewReplacer(",", " ", `"`, " ").Replace(rest))
	if !found || len(fields) == 0 {
		return 0, fmt.Errorf("no %q in what was printed: %s", mark, text)
	}
	v, err := strconv.ParseFloat(fields[0], 64)
	if err != nil {
		return 0, fmt.Errorf("reading what follows %q: %w", mark, err)
	}
	return v, nil
}
