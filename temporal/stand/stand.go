//go:build unix

// Package stand starts what runs on Temporal are tried on: a PostgreSQL server, a Temporal
// server, a service that stands for the Messages API, and workers. Programs that measure
// or record such runs use it.
package stand

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/claude-force/claude-force/temporal/temporaltest"
)

// Options say what is started.
type Options struct {
	Files    map[string]string // workflows of the project, by name; it has the agent "worker"
	Programs string            // folder with the programs; they are built if it is empty
	Delay    time.Duration     // of the service's answers
	Workers  int
	Worker   []string // flags of the workers, besides those that say where the server is
	Env      []string // variables of all processes
}

// Stand has what was started. All of it ends with Close.
type Stand struct {
	Service  *Service
	Temporal *temporaltest.Server

	opts     Options
	dir      string // with the project and the home of all processes
	programs string // folder
	store    string // URL

	closers []func() error

	mu      sync.Mutex // guards the fields below
	workers []*process
}

// patience is the longest that one command may take.
const patience = 2 * time.Minute

// New starts all of it.
func New(ctx context.Context, opts Options) (s *Stand, err error) {
	s = &Stand{opts: opts, programs: opts.Programs}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.dir, err = os.MkdirTemp("", "stand-"); err != nil {
		return s, err
	}
	s.closers = append(s.closers, func() error { return os.RemoveAll(s.dir) })
	files := map[string]string{".claude/agents/worker.md": "---\nname: worker\ndescription: works\nmodel: haiku\n---\nYou work.\n"}
	maps.Copy(files, opts.Files)
	for path, text := range files {
		path = filepath.Join(s.dir, "project", path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			return s, err
		}
	}
	root, err := rootOfModule(ctx)
	if err != nil {
		return s, err
	}
	if s.programs == "" {
		s.programs = s.dir
		if err := s.build(ctx, root); err != nil {
			return s, err
		}
	}
	if s.Service, err = newService(opts.Delay); err != nil {
		return s, err
	}
	s.closers = append(s.closers, s.Service.server.Close)
	if err := s.startPostgres(root); err != nil {
		return s, err
	}
	if _, err := s.Command(ctx, "store", "migrate"); err != nil {
		return s, err
	}
	if s.Temporal, err = temporaltest.Launch(); err != nil {
		return s, fmt.Errorf("starting a Temporal server: %w", err)
	}
	s.closers = append(s.closers, s.Temporal.Stop)
	s.closers = append(s.closers, s.killWorkers)
	for range opts.Workers {
		if err := s.AddWorker(); err != nil {
			return s, err
		}
	}
	return s, nil
}

// build builds the programs.
func (s *Stand) build(ctx context.Context, root string) error {
	for name, pkg := range map[string]string{"claude-force": root + "/cmd/claude-force", "claude-force-worker": root + "/temporal/cmd/claude-force-worker"} {
		build := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(s.programs, name), ".")
		build.Dir = pkg
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w\n%s", name, err, out)
		}
	}
	return nil
}

// Close ends all, the last started first.
func (s *Stand) Close() (err error) {
	for _, closer := range slices.Backward(s.closers) {
		err = errors.Join(err, closer())
	}
	s.closers = nil
	return err
}

func rootOfModule(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/claude-force/claude-force").Output()
	return strings.TrimSpace(string(out)), err
}

// startPostgres starts a server that ends with its input.
func (s *Stand) startPostgres(root string) error {
	cmd := exec.Command("bash", filepath.Join(root, "internal/postgres/postgrestest/postgres.sh"), "-durable") //nolint:noctx // it ends with its input
	in, inErr := cmd.StdinPipe()
	out, outErr := cmd.StdoutPipe()
	if err := errors.Join(inErr, outErr); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.closers = append(s.closers, func() error { return errors.Join(in.Close(), cmd.Wait()) })
	line, err := bufio.NewReader(out).ReadString('\n')
	s.store = strings.TrimSpace(line)
	if err != nil {
		return fmt.Errorf("starting PostgreSQL: %w", err)
	}
	return nil
}

// program returns a run of a program in the project.
func (s *Stand) program(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.programs, name), args...)
	cmd.Dir = filepath.Join(s.dir, "project")
	cmd.Env = append(os.Environ(), "HOME="+s.dir, "XDG_DATA_HOME=", "XDG_CONFIG_HOME=", "XDG_CACHE_HOME=",
		"CLAUDE_FORCE_HOME="+filepath.Join(s.dir, "data"), "CLAUDE_FORCE_STORE="+s.store,
		"ANTHROPIC_BASE_URL="+s.Service.url, "ANTHROPIC_API_KEY=key", "ANTHROPIC_AUTH_TOKEN=")
	cmd.Env = append(cmd.Env, s.opts.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

// Command runs claude-force and returns what it prints.
func (s *Stand) Command(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := s.program(ctx, "claude-force", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("claude-force %s: %w: %s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out, err
}

// Read runs claude-force and decodes the JSON that it prints.
func (s *Stand) Read(ctx context.Context, v any, args ...string) error {
	out, err := s.Command(ctx, args...)
	if err != nil {
		return err
	}
	return json.Unmarshal(out, v)
}

// process is a worker.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	log  *bytes.Buffer
}

// AddWorker starts a worker, with more flags than those of all workers.
func (s *Stand) AddWorker(flags ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &process{done: make(chan struct{}), log: &bytes.Buffer{}}
	args := slices.Concat([]string{"-temporal", s.Temporal.Address}, s.opts.Worker, flags)
	p.cmd = s.program(context.Background(), "claude-force-worker", args...) //nolint:forbidigo // it is killed
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = p.cmd.Wait() // it is killed
		close(p.done)
	}()
	s.workers = append(s.workers, p)
	return nil
}

// KillWorker kills the n-th worker, and returns the log of one that had ended by itself.
func (s *Stand) KillWorker(n int) (ended string) {
	s.mu.Lock()
	p := s.workers[n]
	s.workers = append(s.workers[:n:n], s.workers[n+1:]...)
	s.mu.Unlock()
	select {
	case <-p.done:
		ended = p.log.String()
	default:
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // it may just have ended
	<-p.done
	return ended
}

// StopWorker sends the n-th worker SIGTERM. The function that it returns waits until the worker
// has ended, and returns its log and exit code.
func (s *Stand) StopWorker(n int) (wait func(context.Context) (log string, code int, err error)) {
	s.mu.Lock()
	p := s.workers[n]
	s.workers = append(s.workers[:n:n], s.workers[n+1:]...)
	s.mu.Unlock()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	return func(ctx context.Context) (string, int, error) {
		select {
		case <-p.done:
			return p.log.String(), p.cmd.ProcessState.ExitCode(), nil
		case <-ctx.Done():
			_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // it may just have ended
			<-p.done
			return p.log.String(), -1, fmt.Errorf("waiting for the end of a worker: %w", context.Cause(ctx))
		}
	}
}

// Workers returns how many workers there are.
func (s *Stand) Workers() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.workers)
}

func (s *Stand) killWorkers() error {
	for s.Workers() > 0 {
		s.KillWorker(0)
	}
	return nil
}
