package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-force/claude-force/llm/admission"
)

// TestTroubleIsNotSilent: while calls wait, something is said every few seconds; once
// the pool answers, or what waited has given up, no more.
func TestTroubleIsNotSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // guards said
		var said []string
		tr := trouble{say: func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			said = append(said, fmt.Sprintf(format, args...))
		}}
		count := func(after time.Duration) int {
			<-time.After(after)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			n := len(said)
			said = nil
			return n
		}
		pause := func(d time.Duration) {
			tr.paused(admission.Pause{Pool: "haiku", Why: "down", Until: time.Now().Add(d), GivesUp: time.Now().Add(time.Minute)})
		}
		pause(20 * time.Second)
		if n := count(21 * time.Second); n != 5 {
			t.Errorf("%d sentences in 21 s", n)
		}
		pause(time.Second)
		tr.answers("haiku")
		if n := count(time.Minute); n != 2 {
			t.Errorf("%d sentences after it answered", n)
		}
		pause(time.Second)
		if n := count(time.Hour); n < 10 || n > 13 {
			t.Errorf("%d sentences about a service that never answers", n)
		}
		p := admission.Pause{Pool: "haiku", Why: "slow down", Until: time.Now().Add(31566 * time.Millisecond)}
		if got := describePause(p); !strings.Contains(got, "wait 32 s: slow down") {
			t.Errorf("got %q", got)
		}
	})
}
