//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/claude-force/claude-force/temporal/temporaltest"
)

// stand is what the rounds are played on: a PostgreSQL server, a Temporal server, the service
// and workers.
type stand struct {
	dir      string // with the project and the home of all processes
	programs string // folder
	service  *service
	temporal *temporaltest.Server
	store    string // URL

	closers []func() error

	mu      sync.Mutex // guards the fields below
	workers []*process
	started int
}

// patience is the longest that one command may take.
const patience = 2 * time.Minute

func newStand(ctx context.Context, opts options) (s *stand, err error) {
	s = &stand{programs: opts.programs}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.dir, err = os.MkdirTemp("", "relaykill-"); err != nil {
		return s, err
	}
	s.closers = append(s.closers, func() error { return os.RemoveAll(s.dir) })
	for path, text := range map[string]string{
		"project/.claude/agents/worker.md": "---\nname: worker\ndescription: works\nmodel: haiku\n---\nYou work.\n",
		"project/graph.yaml":               graph(),
	} {
		path = filepath.Join(s.dir, path)
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
	if s.service, err = newService(opts.delay); err != nil {
		return s, err
	}
	s.closers = append(s.closers, s.service.server.Close)
	if err := s.startPostgres(root); err != nil {
		return s, err
	}
	if _, err := s.command(ctx, "store", "migrate"); err != nil {
		return s, err
	}
	if s.temporal, err = temporaltest.Launch(); err != nil {
		return s, fmt.Errorf("starting a Temporal server: %w", err)
	}
	s.closers = append(s.closers, s.temporal.Stop)
	for range opts.workers {
		if err := s.addWorker(); err != nil {
			return s, err
		}
	}
	s.closers = append(s.closers, s.killWorkers)
	return s, nil
}

// build builds the programs.
func (s *stand) build(ctx context.Context, root string) error {
	for name, pkg := range map[string]string{"claude-force": root + "/cmd/claude-force", "claude-force-worker": root + "/temporal/cmd/claude-force-worker"} {
		build := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(s.programs, name), ".")
		build.Dir = pkg
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w\n%s", name, err, out)
		}
	}
	return nil
}

// close ends all, the last started first.
func (s *stand) close() (err error) {
	for i := len(s.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, s.closers[i]())
	}
	s.closers = nil
	return err
}

func rootOfModule(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/claude-force/claude-force").Output()
	return strings.TrimSpace(string(out)), err
}

// startPostgres starts a server that ends with its input.
func (s *stand) startPostgres(root string) error {
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
func (s *stand) program(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.programs, name), args...)
	cmd.Dir = filepath.Join(s.dir, "project")
	cmd.Env = append(os.Environ(), "HOME="+s.dir, "XDG_DATA_HOME=", "XDG_CONFIG_HOME=", "XDG_CACHE_HOME=",
		"CLAUDE_FORCE_HOME="+filepath.Join(s.dir, "data"), "CLAUDE_FORCE_STORE="+s.store,
		"ANTHROPIC_BASE_URL="+s.service.url, "ANTHROPIC_API_KEY=key", "ANTHROPIC_AUTH_TOKEN=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

// command runs claude-force and returns what it prints.
func (s *stand) command(ctx context.Context, args ...string) ([]byte, error) {
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

// read runs claude-force and decodes the JSON that it prints.
func (s *stand) read(ctx context.Context, v any, args ...string) error {
	out, err := s.command(ctx, args...)
	if err != nil {
		return err
	}
	return json.Unmarshal(out, v)
}

// process is a worker.
type process struct {
	cmd  *exec.Cmd
	in   io.Closer
	done chan struct{}
	log  *bytes.Buffer
}

// addWorker starts a worker.
func (s *stand) addWorker() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &process{done: make(chan struct{}), log: &bytes.Buffer{}}
	p.cmd = s.program(context.Background(), "claude-force-worker", "-temporal", s.temporal.Address, "-heartbeat", "3s", "-stop-timeout", "1s") //nolint:forbidigo // it is killed
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = p.cmd.Wait() // it is killed
		close(p.done)
	}()
	s.workers = append(s.workers, p)
	s.started++
	return nil
}

// killWorker kills the n-th worker, and returns the log of one that had ended by itself.
func (s *stand) killWorker(n int) (ended string) {
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

func (s *stand) killWorkers() error {
	for len(s.workers) > 0 {
		s.killWorker(0)
	}
	return nil
}
