package mcpclient

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/claude-force/claude-force/internal/tailtext"
	"github.com/claude-force/claude-force/sandbox"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// passed are variables that servers get beside the harmless ones: how to reach the
// network, and where the user keeps settings.
var passed = []string{
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
	"NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "TMPDIR",
	"XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR",
	"APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "PROGRAMFILES",
}

// grace is how long a server may take to end by itself after its input has ended,
// and again after a signal.
const grace = 2 * time.Second

// writeLimit is how long a server may not read its input.
const writeLimit = time.Minute

// process is a server that runs beside this program.
type process struct {
	cmd    *exec.Cmd
	end    func()
	in     *os.File
	out    *os.File
	stderr *tailtext.Buffer
	done   chan struct{} // closed when the process has ended
	status error
}

// startProcess starts the command of a server.
func startProcess(x expanded) (*process, error) {
	path, err := lookCommand(x)
	if err != nil {
		return nil, err
	}
	p := &process{stderr: &tailtext.Buffer{}, done: make(chan struct{})}
	p.cmd = &exec.Cmd{Path: path, Args: append([]string{x.Command}, x.Args...), Dir: x.Project, Stderr: p.stderr, WaitDelay: time.Second}
	var set []string
	for name, value := range x.Env {
		set = append(set, name+"="+value)
	}
	p.cmd.Env = sandbox.Environ(passed, set...)
	serverIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer serverIn.Close()
	out, serverOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	defer serverOut.Close()
	p.in, p.out, p.cmd.Stdin, p.cmd.Stdout = in, out, serverIn, serverOut
	p.end, err = sandbox.Supervise(p.cmd)
	if err == nil {
		if err = p.cmd.Start(); err != nil {
			p.end()
		}
	}
	if err != nil {
		return nil, errors.Join(err, in.Close(), out.Close())
	}
	go func() {
		p.status = p.cmd.Wait()
		p.end()
		// A process that left the group may hold the pipe for ever.
		_ = out.SetReadDeadline(time.Now().Add(time.Second))
		close(p.done)
	}()
	return p, nil
}

// lookCommand returns the path of a server's program. A relative path starts from
// the project's folder, which is the server's working folder.
func lookCommand(x expanded) (string, error) {
	if strings.ContainsAny(x.Command, `/`+string(filepath.Separator)) && !filepath.IsAbs(x.Command) {
		return filepath.Join(x.Project, x.Command), nil
	}
	path, err := exec.LookPath(x.Command)
	if err != nil {
		if e, ok := errors.AsType[*exec.Error](err); ok {
			err = e.Err
		}
		return "", fmt.Errorf("its command %s cannot be run: %w", x.Command, err)
	}
	return path, nil
}

// transport returns the transport over the process's standard streams.
func (p *process) transport() mcp.Transport {
	return &mcp.IOTransport{Reader: newLineReader(p.out, stdoutLine), Writer: (*stdin)(p), MaxLineLength: 2 * maxMessage}
}

// stdin is a process's standard input.
type stdin process

func (p *stdin) Write(data []byte) (int, error) {
	_ = p.in.SetWriteDeadline(time.Now().Add(writeLimit))
	return p.in.Write(data)
}

func (p *stdin) Close() error { return p.in.Close() }

// close ends the process and waits for its end: first by the end of its input, then
// with a signal, then by force, with all that it started.
func (p *process) close() {
	_ = p.in.Close()
	if !p.over(grace) {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		p.over(grace)
	}
	p.end()
	<-p.done
	_ = p.out.Close()
}

// over waits for the end of the process, for at most the given time.
func (p *process) over(limit time.Duration) bool {
	select {
	case <-p.done:
		return true
	case <-time.After(limit):
		return false
	}
}
