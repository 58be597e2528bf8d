package processtest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/internal/processtest"
)

func TestMain(m *testing.M) {
	os.Exit(processtest.Main(m, map[string]processtest.Job{"echo": echo}))
}

// echo prints its arguments, then what it reads, and fails at a line "fail".
func echo(args []string) error {
	for _, arg := range args {
		fmt.Println(arg)
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println(lines.Text())
	}
	if slices.Contains(args, "fail") {
		return errors.New("told to fail")
	}
	return nil
}

func TestProcess(t *testing.T) {
	t.Parallel()
	p := processtest.Start(t.Context(), "echo", "a", 2)
	if line, ok := p.Line(); line != "a" || !ok || p.PID() == os.Getpid() {
		t.Errorf("%q, %v, of process %d", line, ok, p.PID())
	}
	p.EndInput()
	if rest := slices.Collect(p.Lines()); !slices.Equal(rest, []string{"2"}) {
		t.Errorf("then %q", rest)
	}
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
}

func TestProcessThatEndsBadly(t *testing.T) {
	t.Parallel()
	killed := processtest.Start(t.Context(), "echo", "before")
	killed.Line()
	killed.Kill()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tt := range map[string]struct {
		p    *processtest.Process
		want string
	}{
		"fails":       {processtest.Start(t.Context(), "echo", "fail"), "told to fail"},
		"no such job": {processtest.Start(t.Context(), "dance"), `there is no job "dance"`},
		"killed":      {killed, ""}, // systems say it differently
		"not started": {processtest.Start(ended, "echo"), "context canceled"},
	} {
		if err := tt.p.Wait(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %q", name, err, tt.want)
		}
		tt.p.Kill()
		if line, ok := tt.p.Line(); ok {
			t.Errorf("%s: then it printed %q", name, line)
		}
	}
}

func TestKillAfter(t *testing.T) {
	t.Parallel()
	lines, err := processtest.Start(t.Context(), "echo", "a", "b", "c").KillAfter(2)
	if err != nil || len(lines) < 2 || !slices.Equal(lines, []string{"a", "b", "c"}[:len(lines)]) {
		t.Errorf("%q, %v", lines, err)
	}
	p := processtest.Start(t.Context(), "echo", "a", "fail")
	p.EndInput()
	if lines, err := p.KillAfter(3); err == nil || len(lines) != 2 || !strings.Contains(err.Error(), "told to fail") {
		t.Errorf("%q, %v", lines, err)
	}
}
