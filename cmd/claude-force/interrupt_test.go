package main

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestInterrupts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		waits bool
		why   []string
		want  []string
	}{
		"a command without work under way": {why: []string{"interrupted"}, want: []string{"ask", "cancel", "exit 3s"}},
		"a command that hangs":             {why: []string{"interrupted", "interrupted"}, want: []string{"ask", "cancel", "exit 3s", "ask", "cancel", "exit 900ms"}},
		"work under way": {
			waits: true, why: []string{"interrupted"},
			want: []string{"ask", "claude-force: interrupted: starting nothing more, waiting for 2 calls; interrupt again to stop at once"},
		},
		"work under way, twice": {
			waits: true, why: []string{outputClosed, "interrupted", "interrupted"},
			want: []string{
				"ask", "claude-force: the standard output was closed: starting nothing more, waiting for 2 calls; interrupt again to stop at once",
				"ask", "cancel", "exit 900ms", "ask",
			},
		},
	} {
		var got []string
		i := &interrupts{
			say:    func(format string, args ...any) { got = append(got, fmt.Sprintf(format, args...)) },
			ask:    func() { got = append(got, "ask") },
			cancel: func() { got = append(got, "cancel") },
			exit:   func(after time.Duration) { got = append(got, "exit "+after.String()) },
		}
		if test.waits {
			i.waitFor(func() string { return "2 calls" })
		}
		for _, why := range test.why {
			i.interrupt(why)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %q; want %q", name, got, test.want)
		}
	}
}
