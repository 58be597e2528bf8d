// Package valkeytest starts a Valkey or Redis server of a test's own, which ends with the
// test's process however that ends.
package valkeytest

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/valkey-io/valkey-go"

	"github.com/claude-force/claude-force/internal/citest"
)

// Server is a server that listens on a Unix socket. The goroutine of the test may use it.
type Server struct {
	t        testing.TB
	binary   string
	dir      string
	settings []string
	cmd      *exec.Cmd
	in       io.Closer
	pid      int
	ended    chan struct{} // closed when its output has ended
}

// Start starts a server, with lines of its configuration file. Without one installed the test is skipped,
// or fails in CI.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	s := &Server{t: t, settings: settings}
	for _, name := range []string{"valkey-server", "redis-server"} {
		if path, err := exec.LookPath(name); err == nil && s.binary == "" {
			s.binary = path
		}
	}
	if s.binary == "" {
		citest.Missing(t, "neither valkey-server nor redis-server is installed")
	}
	dir, err := os.MkdirTemp("", "valkey") //nolint:usetesting // paths of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	s.dir = dir
	t.Cleanup(func() {
		s.Kill()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	s.Restart()
	return s
}

// URL returns the address of the server.
func (s *Server) URL() string { return "unix://" + filepath.Join(s.dir, "socket") }

// shell starts the server, prints the number of its process and kills it at the end of
// the input, which the end of the test's process is too.
const shell = `"$@" </dev/null & echo "pid $!"; cat >/dev/null; kill -9 $!`

// Restart starts the server once more, empty, and returns when it accepts connections.
func (s *Server) Restart() {
	s.t.Helper()
	settings := append([]string{
		"port 0", "unixsocket " + filepath.Join(s.dir, "socket"), `save ""`, "appendonly no", "dir " + s.dir, "daemonize no", `logfile ""`, "maxmemory 256mb",
	}, s.settings...)
	file := filepath.Join(s.dir, "server.conf")
	if err := os.WriteFile(file, []byte(strings.Join(settings, "\n")+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.CommandContext(context.WithoutCancel(s.t.Context()), "sh", "-c", shell, "sh", s.binary, file)
	in, inErr := s.cmd.StdinPipe()
	out, outErr := s.cmd.StdoutPipe()
	if inErr != nil || outErr != nil {
		s.t.Fatal(inErr, outErr)
	}
	s.in, s.ended = in, make(chan struct{})
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	var said strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		line := lines.Text()
		if pid, ok := strings.CutPrefix(line, "pid "); ok {
			s.pid, _ = strconv.Atoi(pid) // the shell printed it
		}
		if strings.Contains(strings.ToLower(line), "ready to accept connections") || strings.Contains(line, "is now ready to accept") {
			go func(ended chan<- struct{}) {
				defer close(ended)
				for lines.Scan() { // it must not wait to be read
				}
			}(s.ended)
			return
		}
		said.WriteString(line + "\n")
	}
	close(s.ended)
	s.t.Fatalf("the server did not start:\n%s", said.String())
}

// Kill kills the server as kill -9 does, and returns when it has ended.
func (s *Server) Kill() {
	if s.cmd == nil || s.pid == 0 {
		return
	}
	if p, err := os.FindProcess(s.pid); err == nil {
		_ = p.Kill() // it may have ended
	}
	_ = s.in.Close()
	<-s.ended
	_ = s.cmd.Wait() // killed
	s.pid = 0
}

// CheckKeys tests that the server has keys, that each of them expires, and that neither
// their names nor what they hold shows one of the texts.
func (s *Server) CheckKeys(texts ...string) {
	s.t.Helper()
	conn, err := valkey.NewClient(valkey.ClientOption{
		InitAddress: []string{filepath.Join(s.dir, "socket")}, DisableCache: true, ForceSingleClient: true,
		DialCtxFn: func(ctx context.Context, address string, dialer *net.Dialer, _ *tls.Config) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", address)
		},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	ctx := s.t.Context()
	names, err := conn.Do(ctx, conn.B().Keys().Pattern("*").Build()).AsStrSlice()
	if err != nil || len(names) == 0 {
		s.t.Fatalf("keys %q, %v", names, err)
	}
	for _, name := range names {
		left, err := conn.Do(ctx, conn.B().Pttl().Key(name).Build()).AsInt64()
		held, err2 := conn.Do(ctx, conn.B().Dump().Key(name).Build()).ToString()
		if err != nil || err2 != nil && left > 0 || left == -1 {
			s.t.Errorf("%s expires in %d ms; %v, %v", name, left, err, err2)
		}
		for _, text := range texts {
			if strings.Contains(name, text) || strings.Contains(held, text) {
				s.t.Errorf("%s shows %q", name, text)
			}
		}
	}
}

// Freeze stops the server from answering until Thaw: its connections stay.
func (s *Server) Freeze() { s.signal("STOP") }

// Thaw ends Freeze.
func (s *Server) Thaw() { s.signal("CONT") }

func (s *Server) signal(name string) {
	s.t.Helper()
	if err := exec.CommandContext(context.WithoutCancel(s.t.Context()), "kill", "-"+name, strconv.Itoa(s.pid)).Run(); err != nil {
		s.t.Fatal(err)
	}
}
