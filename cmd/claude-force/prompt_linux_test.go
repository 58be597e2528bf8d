package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/claude-force/claude-force/internal/citest"
)

// openPTY returns both ends of a pseudo-terminal.
func openPTY(t *testing.T) (user, program *os.File) {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		citest.Missing(t, "no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { user.Close() })
	if err := unix.IoctlSetPointerInt(int(user.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(user.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return user, program
}

// TestTypeaheadOnATerminalAnswersNothing types a line, and the start of another,
// before each question is shown.
func TestTypeaheadOnATerminalAnswersNothing(t *testing.T) {
	t.Parallel()
	user, program := openPTY(t)
	a := &app{stdin: program, stderr: program, terminal: true, typed: true}
	screen := bufio.NewReader(user)
	shown := func(text string) {
		t.Helper()
		var got strings.Builder
		for !strings.HasSuffix(got.String(), text) {
			b, err := screen.ReadByte()
			if err != nil {
				t.Fatalf("the terminal shows %q; want %q: %v", &got, text, err)
			}
			got.WriteByte(b)
		}
	}
	fmt.Fprint(user, "y\nye")
	shown("y\r\nye") // the terminal's echo: the line is in its buffer

	more := make(chan float64, 1)
	go func() { // ends with the answer below
		usd, _ := a.askBudget(t.Context(), "The budget is spent.")
		more <- usd
	}()
	shown("[none] ")
	fmt.Fprint(user, "5\ny\n")
	if got := <-more; got != 5 {
		t.Errorf("%g dollars more; want 5", got)
	}
	shown("5\r\ny\r\n")

	confirmed := make(chan bool, 1)
	go func() { // ends with the answer below
		yes, err := a.confirm(t.Context(), "Deploy?")
		confirmed <- yes && err == nil
	}()
	shown("Deploy? [y/N] ")
	fmt.Fprint(user, "n\n")
	if <-confirmed {
		t.Error("a line typed before the question approved it")
	}
}
