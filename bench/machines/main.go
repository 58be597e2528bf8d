//go:build linux

// Command machines has three machines with eight servers each share one PostgreSQL and one
// Valkey or Redis, cuts one of them off and heals it, and compares what clients and the
// service have counted:
//
//	go run ./bench/machines          # 100,000 calls
//	go run ./bench/machines -gate    # 1,800 calls, with two servers on each machine
//
// It needs root, iproute2, PostgreSQL and a Valkey or Redis server. The machines are network
// namespaces with host names, processes and data folders of their own, joined by a bridge.
// The bridge is in a namespace too, and files are in its own tmpfs, so nothing of the real
// machine is touched, and the kernel removes all of it with the last process: also if the
// program is killed.
//
// Clients on each machine call its servers, 40 % with a prompt that another call has too.
// The service is the simulator with a rate limit. It is wrapped by code that counts who has
// asked what, and what an answer costs by the public price list. The exit code is 1 if
//
//   - a call was not answered, or a prompt was paid for more than once, except by the machine
//     that was cut off, once for each of its clients at most,
//   - less than 95 % of the limit was used, or more than 0.5 % of the requests were refused,
//   - a budget was exceeded, or says another sum than the service.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/claude-force/claude-force/bench/internal/child"
)

// machines is how many machines there are. The last one is cut off.
const machines = 3

// options says what is run.
type options struct {
	Calls   int           `json:"calls"`
	Servers int           `json:"servers"` // of each machine
	Clients int           `json:"clients"` // of each server
	RPM     int           `json:"rpm"`     // requests a minute that the service allows
	Burst   int           `json:"burst"`   // requests that it allows at once in the beginning
	Cut     time.Duration `json:"cut"`     // how long a machine is cut off; 0 for never
	Seed    uint64        `json:"seed"`
	Untimed bool          `json:"untimed"` // how much of the limit is used decides nothing
}

func main() {
	opts := options{Servers: 8, Clients: 16}
	flag.IntVar(&opts.Calls, "calls", 100_000, "how many calls the clients make")
	flag.IntVar(&opts.RPM, "rpm", 6000, "requests a minute that the service allows")
	flag.DurationVar(&opts.Cut, "cut", 20*time.Second, "how long a machine is cut off; 0 for never")
	flag.Uint64Var(&opts.Seed, "seed", 1, "seed of which calls are identical")
	gate := flag.Bool("gate", false, "run small; how much of the limit is used decides nothing")
	inside := flag.String("inside", "", "be the process in which the namespaces are, as this JSON says")
	machine := flag.String("machine", "", "be a machine, as this JSON says")
	flag.Parse()
	if *gate {
		opts.Calls, opts.Servers, opts.RPM, opts.Cut, opts.Untimed = 1800, 2, 1800, 16*time.Second, true
	}
	opts.Burst = opts.RPM / 20
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	switch {
	case *machine != "":
		err = beMachine(ctx, *machine)
	case *inside != "":
		err = beInside(ctx, *inside)
	default:
		err = runIsolated(ctx, opts)
	}
	stop()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit): // it has said why
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, "machines:", err)
		os.Exit(1)
	}
}

// errUnable is the error of a machine that lacks what the program needs.
var errUnable = errors.New("skipped")

// runIsolated runs the program in namespaces of its own, or says why it cannot.
func runIsolated(ctx context.Context, opts options) error {
	if err := check(); err != nil {
		if os.Geteuid() == 0 && os.Getenv("CI") == "true" {
			return err
		}
		fmt.Println("machines:", err)
		return nil
	}
	data, err := json.Marshal(opts)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience(&opts))
	defer cancel()
	p, err := startIsolated(ctx, "-inside", string(data))
	if errors.Is(err, syscall.EPERM) {
		fmt.Println("machines: skipped: the user root may not make namespaces here:", err)
		return nil
	}
	if err != nil {
		return err
	}
	if err := p.wait(); ctx.Err() != nil {
		return fmt.Errorf("not done within %v: %w", patience(&opts), ctx.Err())
	} else if err != nil {
		return err
	}
	return nil
}

// patience returns how long the whole program may take: three times what the limits need,
// and ten minutes to build and start it.
func patience(opts *options) time.Duration {
	return 10*time.Minute + 3*time.Duration(float64(opts.Calls)/float64(opts.RPM)*float64(time.Minute))
}

// check reports what the program needs and the machine lacks.
func check() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: it needs root, to make network namespaces", errUnable)
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return fmt.Errorf("%w: install iproute2: %w", errUnable, err)
	}
	if _, err := child.RedisBinary(); err != nil {
		return fmt.Errorf("%w: %w", errUnable, err)
	}
	return nil
}
