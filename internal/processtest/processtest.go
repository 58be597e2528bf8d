// Package processtest lets a test be several processes: its binary starts itself
// again, to do a job instead of running tests.
//
//	func TestMain(m *testing.M) {
//		os.Exit(processtest.Main(m, map[string]processtest.Job{"write": write}))
//	}
//
//	p := processtest.Start(t.Context(), "write", path, 100)
//	for line := range p.Lines() { … }
//	err := p.Wait()
package processtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Job is what another process does. Its error is written to the standard error
// and makes the process fail.
type Job func(args []string) error

// env names the job of a process.
const env = "PROCESSTEST_JOB"

// Main does the job that this process was started for, or runs the tests, and
// gives the code to exit with. It is for TestMain.
func Main(m *testing.M, jobs map[string]Job) (code int) {
	name := os.Getenv(env)
	if name == "" {
		return m.Run()
	}
	err := fmt.Errorf("there is no job %q", name)
	if job := jobs[name]; job != nil {
		err = job(os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// Process is another process. One goroutine may use it, and any may kill it.
type Process struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Scanner
	stderr strings.Builder
	failed error // to start
}

// Start starts a job, which ends with ctx if not before. That it cannot be
// started is the error of Wait.
func Start(ctx context.Context, job string, args ...any) *Process {
	p := &Process{out: bufio.NewScanner(strings.NewReader(""))}
	self, err := os.Executable()
	if err != nil {
		p.failed = err
		return p
	}
	words := make([]string, len(args))
	for i, arg := range args {
		words[i] = fmt.Sprint(arg)
	}
	p.cmd = exec.CommandContext(ctx, self, words...)
	p.cmd.Env = append(os.Environ(), env+"="+job)
	p.cmd.Stderr = &p.stderr
	in, inErr := p.cmd.StdinPipe()
	out, outErr := p.cmd.StdoutPipe()
	if p.failed = errors.Join(inErr, outErr); p.failed == nil {
		p.in, p.out = in, bufio.NewScanner(out)
		p.failed = p.cmd.Start()
	}
	return p
}

// PID returns the number of the process, which must have started.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Line waits for the next line that the process prints; there is none after its
// end.
func (p *Process) Line() (line string, ok bool) {
	ok = p.out.Scan()
	return p.out.Text(), ok
}

// Lines yields the lines that the process prints from here on.
func (p *Process) Lines() iter.Seq[string] {
	return func(yield func(string) bool) {
		for p.out.Scan() {
			if !yield(p.out.Text()) {
				return
			}
		}
	}
}

// WriteLine gives the process a line to read.
func (p *Process) WriteLine(line string) {
	if p.failed == nil {
		_, _ = fmt.Fprintln(p.in, line) // the process may have ended
	}
}

// EndInput ends what the process reads.
func (p *Process) EndInput() {
	if p.failed == nil {
		_ = p.in.Close() // the process may have ended
	}
}

// Kill kills the process. What it printed before can still be read.
func (p *Process) Kill() {
	if p.failed == nil {
		_ = p.cmd.Process.Kill() // it may have ended
	}
}

// KillAfter kills the process once it has printed n lines, and gives all that it
// printed until its end. It fails if the process ended before.
func (p *Process) KillAfter(n int) (lines []string, err error) {
	for range n {
		line, ok := p.Line()
		if !ok {
			return lines, errors.Join(fmt.Errorf("the process ended after %d lines of %d", len(lines), n), p.Wait())
		}
		lines = append(lines, line)
	}
	p.Kill()
	lines = slices.AppendSeq(lines, p.Lines()) // before it died
	_ = p.Wait()                               // killed
	return lines, nil
}

// Wait ends the process's input, reads all it prints and waits for its end. The
// error says what it wrote to its standard error.
func (p *Process) Wait() error {
	if p.failed != nil {
		return p.failed
	}
	p.EndInput()
	for range p.Lines() {
	}
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(p.stderr.String()))
	}
	return nil
}
