//go:build linux

// Command capacity simulates a day of many processes that share Postgres, Valkey and the
// limits of the service, and says what is used up first, at which multiple of the load:
//
//	go run ./bench/capacity                                  # 1,000 processes, 10 million calls a day
//	go run ./bench/capacity -calls 1e6 -workers 100 -machines 4
//	go run ./bench/capacity -usd-cpu-hour 0.05 -usd-gb-month 0.1   # with your prices
//	go run ./bench/capacity -measure                         # measures the constants, and writes their file
//	go run ./bench/capacity -validate                        # predicts ./bench/agents, and runs it
//	go run ./bench/capacity -gate -calls 1e5 -workers 10 -machines 2
//
// Every constant is a flag, and stands in constants.json with the command that measures it.
// docs/capacity.md describes the model. The clock is virtual and the seed decides
// everything: the same flags print the same tables on any machine.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
)

var errUsage = errors.New("wrong use")

func main() {
	debug.SetGCPercent(1000) // little lives long, and much is made
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, "capacity:", err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "capacity:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	c, err := readConstants(embedded)
	if err != nil {
		return err
	}
	w := standard()
	flags := flag.NewFlagSet("capacity", flag.ContinueOnError)
	w.addFlags(flags)
	c.addFlags(flags)
	seed := flags.Uint64("seed", 1, "seed of all that is drawn")
	asJSON := flags.Bool("json", false, "print the result as JSON")
	bends := flags.Bool("bends", true, "simulate the busiest moment below and above the load at which the first store bends")
	gate := flags.Bool("gate", false, "check the model itself, and exit with 1 if something is wrong")
	measure := flags.Bool("measure", false, "measure the constants on this machine and write "+constantsFile)
	validate := flags.Bool("validate", false, "predict ./bench/agents, run it, and print the ratio")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%w: %q is no flag", errUsage, flags.Arg(0))
	}
	if err := w.check(); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	switch {
	case *measure:
		return c.measure(ctx, constantsFile, stdout)
	case *validate:
		return compareWithAgents(ctx, c, stdout)
	}
	r := simulate(w, c, *seed)
	if *bends && r.FirstStore != "" && w.Store == "postgres" {
		r.Knee = knees(w, c, *seed, r)
	}
	if *asJSON {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		err = enc.Encode(r)
	} else {
		err = r.print(stdout)
	}
	if err == nil && *gate {
		err = checkModel(w, c, *seed, r, stdout)
	}
	return err
}

// simulate simulates a day.
func simulate(w Workload, c constants, seed uint64) *Result {
	m := newModel(w, c, seed)
	m.day()
	return m.result(seed)
}
