package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"

	"github.com/claude-force/claude-force/internal/terminal"
)

// errNoTerminal is the error of a question that was not asked, because the
// standard input or the standard error is no terminal.
var errNoTerminal = errors.New("there is no terminal to ask on")

// prompter asks the user questions, one at a time and in order. It is the only
// reader of the terminal, so a line answers the question on the screen and no
// other. It reads only while a question is open, and drops what was typed before.
type prompter struct {
	in      io.Reader
	out     io.Writer
	discard func() // drops input that was typed but not read yet; nil if there is no way to

	mu   sync.Mutex
	last chan struct{} // closed when the question that was queued last is done; nil before the first

	// pending receives the line that is being read; nil if no read is under way.
	// It belongs to the open question. A read of a terminal cannot be canceled:
	// that of a canceled question serves the next one.
	pending chan typedLine
}

// blankLines are those that would move the start of a question off the screen.
var blankLines = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\n[ \t]*\n\s*\n`) })

type typedLine struct {
	text string
	err  error
}

func newPrompter(in io.Reader, out io.Writer) *prompter {
	p := &prompter{in: in, out: out}
	if f, ok := in.(*os.File); ok {
		p.discard = func() { discardTyped(f) }
	}
	return p
}

// question is a place in the prompter's queue. Whoever queues it must call
// answer.
type question struct {
	p      *prompter
	text   string
	before chan struct{} // closed when the question before this one is done
	done   chan struct{}

	// stopping is closed by an interrupt, after which the question is not shown. That
	// its context has ended is seen later than that of the question before it.
	stopping <-chan struct{}
}

// queue reserves the next place for a question.
func (p *prompter) queue(text string) *question {
	p.mu.Lock()
	defer p.mu.Unlock()
	// A question is shown as it is, wherever it is shown: the answer may allow
	// something that cannot be undone.
	q := &question{p: p, text: blankLines().ReplaceAllString(terminal.Clean(text), "\n\n"), before: p.last, done: make(chan struct{})}
	if q.before == nil {
		q.before = make(chan struct{})
		close(q.before)
	}
	p.last = q.done
	return q
}

// answer waits for the question's turn, shows it and returns the line that the
// user types, without surrounding space. It returns io.EOF at the end of the
// input, the context's error if ctx ends first, and errInterrupted if there was an
// interrupt before the question was shown.
func (q *question) answer(ctx context.Context) (string, error) {
	select {
	case <-q.before:
	case <-ctx.Done():
		go func() { // ends with the question before this one
			<-q.before
			close(q.done)
		}()
		return "", ctx.Err()
	}
	defer close(q.done)
	if err := ctx.Err(); err != nil {
		return "", err
	}
	select {
	case <-q.stopping:
		return "", errInterrupted
	default:
	}
	p := q.p
	p.dropTyped()
	fmt.Fprint(p.out, q.text)
	if p.pending == nil {
		p.pending = make(chan typedLine, 1)
		go func() { p.pending <- readLine(p.in) }() // ends with the line, the input or the process
	}
	select {
	case line := <-p.pending:
		p.pending = nil
		return line.text, line.err
	case <-ctx.Done():
		fmt.Fprintln(p.out)
		return "", ctx.Err()
	}
}

// dropTyped drops what was typed before a question is shown.
func (p *prompter) dropTyped() {
	if p.discard != nil {
		p.discard()
	}
	select {
	case <-p.pending: // read for a question that was canceled
		p.pending = nil
	default:
	}
}

// readLine reads a line, byte by byte: what follows it is left to others.
func readLine(r io.Reader) typedLine {
	var text strings.Builder
	one := make([]byte, 1)
	for {
		n, err := r.Read(one)
		if n > 0 && one[0] == '\n' || err != nil && text.Len() > 0 {
			return typedLine{text: strings.TrimSpace(text.String())}
		}
		if err != nil {
			return typedLine{err: err}
		}
		text.Write(one[:n])
	}
}

// canAsk reports whether there is a user to ask: the standard input and the
// standard error are terminals.
func (a *app) canAsk() bool { return a.terminal && a.typed }

// prompter returns the command's only prompter.
func (a *app) prompter() *prompter {
	a.promptOnce.Do(func() { a.prompts = newPrompter(a.stdin, a.stderr) })
	return a.prompts
}

// ask asks the user for a line. It returns errInterrupted if ctx ends, or the
// user interrupts the command, before there is an answer.
func (a *app) ask(ctx context.Context, text string) (string, error) {
	if !a.canAsk() {
		return "", errNoTerminal
	}
	return a.answer(ctx, a.prompter().queue(text))
}

// answer waits for a queued question's answer, as ask does.
func (a *app) answer(ctx context.Context, q *question) (string, error) {
	ctx, cancel := a.soft(ctx)
	defer cancel()
	q.stopping = a.stopping
	line, err := q.answer(ctx)
	if err != nil && ctx.Err() != nil {
		err = errInterrupted
	}
	return line, err
}

// confirm asks the user a question and reports whether the answer is yes. The
// end of the input means no.
func (a *app) confirm(ctx context.Context, text string) (bool, error) {
	line, err := a.ask(ctx, text+" [y/N] ")
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	return isYes(line), err
}

func isYes(line string) bool {
	return strings.EqualFold(line, "y") || strings.EqualFold(line, "yes")
}
