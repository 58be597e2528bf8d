// Package temporaltest gives tests a real Temporal server.
//
//	server := temporaltest.Start(t) // ends with the test
//	server.Kill(); server.Restart() // as a crash would
package temporaltest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/internal/citest"
)

// Server is a Temporal server in processes of its own.
type Server struct {
	Address string

	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// Start starts a server, which ends with the test. Without one the test is skipped, or fails in
// CI.
func Start(tb testing.TB) *Server {
	tb.Helper()
	s, err := Launch()
	if err != nil {
		citest.Missing(tb, "starting a Temporal server: %v", err)
	}
	tb.Cleanup(func() {
		if err := s.Stop(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// Launch starts a server for a program. Stop it when done; it ends with the process too.
func Launch() (*Server, error) {
	_, file, _, _ := runtime.Caller(0)
	cmd := exec.Command("bash", filepath.Join(filepath.Dir(file), "temporal.sh")) //nolint:noctx // it ends with its input
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &Server{cmd: cmd, in: in, out: bufio.NewReader(out)}
	if s.Address, err = s.line(); err != nil {
		err = errors.Join(err, s.Stop())
		return nil, fmt.Errorf("%w: %s", err, strings.TrimSpace(said.String()))
	}
	return s, nil
}

func (s *Server) line() (string, error) {
	line, err := s.out.ReadString('\n')
	return strings.TrimSpace(line), err
}

// Stop ends the server.
func (s *Server) Stop() error {
	return errors.Join(s.in.Close(), s.cmd.Wait())
}

// Kill ends the server as a crash would.
func (s *Server) Kill() error { return s.order("kill", "killed") }

// Restart starts a server that was killed, with its state, and returns once it takes
// requests.
func (s *Server) Restart() error { return s.order("start", "started") }

// State returns the name of the SQLite file with the server's state.
func (s *Server) State() (string, error) { return s.ask("state") }

func (s *Server) ask(word string) (answer string, err error) {
	if _, err := fmt.Fprintln(s.in, word); err != nil {
		return "", err
	}
	return s.line()
}

func (s *Server) order(word, answer string) error {
	line, err := s.ask(word)
	if err == nil && line != answer {
		err = fmt.Errorf("the server answered %q", line)
	}
	return err
}
