//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// idleQueue is the task queue of the workers whose activities do nothing.
const idleQueue = "idle"

// idleWorkflow has activities do nothing, in the shape of a run.
func idleWorkflow(ctx workflow.Context, s [2]int) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	ends := workflow.NewWaitGroup(ctx)
	var failed error
	for i := range s[0] {
		ends.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer ends.Done()
			for j := range s[1] {
				if err := workflow.ExecuteActivity(ctx, "nothing", fmt.Sprintf("c%ds%d", i, j)).Get(ctx, nil); err != nil {
					failed = err
				}
			}
		})
	}
	ends.Wait(ctx)
	return failed
}

// work is a worker whose activities do nothing, until the input ends.
func work(address string, in io.Reader) error {
	c, err := dial(context.Background(), address)
	if err != nil {
		return err
	}
	defer c.Close()
	w := worker.New(c, idleQueue, worker.Options{MaxConcurrentActivityExecutionSize: 200})
	w.RegisterWorkflowWithOptions(idleWorkflow, workflow.RegisterOptions{Name: "idle"})
	w.RegisterActivityWithOptions(func(context.Context, string) error { return nil }, activity.RegisterOptions{Name: "nothing"})
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()
	_, err = io.Copy(io.Discard, in)
	return err
}

// startIdle starts such workers in processes of their own.
func startIdle(address string, workers int) (stop func() error, err error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var stops []func() error
	stop = func() (err error) {
		for _, s := range stops {
			err = errors.Join(err, s())
		}
		return err
	}
	for range workers {
		cmd := exec.Command(program, "-idle", address) //nolint:noctx // it ends with its input
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			return nil, errors.Join(err, stop())
		}
		if err := cmd.Start(); err != nil {
			return nil, errors.Join(err, stop())
		}
		stops = append(stops, func() error { return errors.Join(in.Close(), cmd.Wait()) })
	}
	return stop, nil
}

// runIdle runs a workflow whose activities do nothing.
func (b *bench) runIdle(ctx context.Context, id string) error {
	run, err := b.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: idleQueue}, "idle", [2]int{b.chains, b.length})
	if err != nil {
		return err
	}
	return run.Get(ctx, nil)
}
