package main

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/claude-force/claude-force/config"
)

// registerNothing registers a workflow that does nothing.
func registerNothing(w worker.Worker) {
	w.RegisterWorkflowWithOptions(func(workflow.Context) error { return nil }, workflow.RegisterOptions{Name: "nothing"})
}

// refusing is a server on which a worker starts, and whose namespace is then removed.
type refusing struct {
	workflowservice.UnimplementedWorkflowServiceServer
}

func (refusing) GetSystemInfo(context.Context, *workflowservice.GetSystemInfoRequest) (*workflowservice.GetSystemInfoResponse, error) {
	return &workflowservice.GetSystemInfoResponse{}, nil
}

func (refusing) DescribeNamespace(context.Context, *workflowservice.DescribeNamespaceRequest) (*workflowservice.DescribeNamespaceResponse, error) {
	return &workflowservice.DescribeNamespaceResponse{}, nil
}

func (refusing) PollWorkflowTaskQueue(context.Context, *workflowservice.PollWorkflowTaskQueueRequest) (*workflowservice.PollWorkflowTaskQueueResponse, error) {
	return nil, serviceerror.ToStatus(serviceerror.NewNamespaceNotFound("default")).Err()
}

func (refusing) PollActivityTaskQueue(context.Context, *workflowservice.PollActivityTaskQueueRequest) (*workflowservice.PollActivityTaskQueueResponse, error) {
	return nil, serviceerror.ToStatus(serviceerror.NewNamespaceNotFound("default")).Err()
}

// TestRefusedForGood: a worker whose polls the server refuses until the SDK gives up ends with an
// error of one line, and does not stay without work.
func TestRefusedForGood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		listener := bufconn.Listen(1 << 20)
		server := grpc.NewServer()
		workflowservice.RegisterWorkflowServiceServer(server, refusing{})
		go func() { _ = server.Serve(listener) }() // until Stop
		defer server.Stop()
		quietLog := slog.New(slog.DiscardHandler)
		c, err := client.DialContext(t.Context(), client.Options{
			HostPort: "passthrough:///memory", Logger: log.NewStructuredLogger(quietLog), WorkerHeartbeatInterval: -1,
			ConnectionOptions: client.ConnectionOptions{TLSDisabled: true, DialOptions: []grpc.DialOption{
				grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		o, err := parse(nil)
		if err != nil {
			t.Fatal(err)
		}
		err = o.work(t.Context(), c, quietLog, registerNothing, func(ctx context.Context) { <-ctx.Done() })
		if err == nil || !strings.Contains(err.Error(), "refuses this worker's polls") || strings.Contains(err.Error(), "\n") {
			t.Errorf("the worker ended with: %v", err)
		}
	})
}

// TestStoppedWhileItWaits stops a worker that waits for a server that is away: that is no failure.
func TestStoppedWhileItWaits(t *testing.T) {
	t.Parallel()
	o, err := parse([]string{"-temporal", closed})
	if err != nil {
		t.Fatal(err)
	}
	for name, wait := range map[string]func(context.Context, *slog.Logger) error{
		"connecting": func(ctx context.Context, logger *slog.Logger) error {
			_, err := o.connect(ctx, &config.Config{}, logger, nil)
			return err
		},
		"starting": func(ctx context.Context, logger *slog.Logger) error {
			c, err := client.NewLazyClient(client.Options{HostPort: o.address, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))})
			if err != nil {
				return err
			}
			defer c.Close()
			return o.work(ctx, c, logger, registerNothing, func(context.Context) { t.Error("it works without a server") })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			err := wait(ctx, slog.New(slog.NewTextHandler(stopper(stop), nil)))
			if code := exitCode(ctx, err); code != 0 {
				t.Errorf("exit code %d: %v", code, err)
			}
		})
	}
	if code := exitCode(t.Context(), context.Canceled); code != 1 {
		t.Errorf("exit code %d without a signal", code)
	}
}

// stopper stops a worker once it says that it waits.
type stopper func()

func (s stopper) Write(text []byte) (int, error) {
	if strings.Contains(string(text), "waiting for Temporal") {
		s()
	}
	return len(text), nil
}
