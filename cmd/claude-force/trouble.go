package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/pipeline"
)

// sayEvery is how long the program is silent at most while a service fails.
const sayEvery = 5 * time.Second

// trouble says what is happening while a service fails or refuses calls.
type trouble struct {
	say func(format string, args ...any)

	mu    sync.Mutex // guards the fields below
	pools map[string]admission.Pause
	timer *time.Timer // of the next sentence; nil while all is well
}

// retrying says why an attempt is followed by another, and when.
func (t *trouble) retrying(r pipeline.Retry) {
	t.say("attempt %d failed (%s); trying again in %s", r.Attempt, withHint(r.Err), llm.ShortDuration(r.Wait))
}

// paused says that the calls of a pool wait, and goes on saying so until the pool
// answers or nothing waits any more.
func (t *trouble) paused(p admission.Pause) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.say("%s", describePause(p))
	if p.GivesUp.IsZero() {
		return
	}
	if t.pools == nil {
		t.pools = map[string]admission.Pause{}
	}
	t.pools[p.Pool] = p
	if t.timer == nil {
		t.timer = time.AfterFunc(sayEvery, t.again)
		return
	}
	t.timer.Reset(sayEvery)
}

// answers notes that a pool answers again.
func (t *trouble) answers(pool string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.pools[pool]; ok {
		t.say("%s answers again", pool)
	}
	delete(t.pools, pool)
}

// again says once more what is waited for.
func (t *trouble) again() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, p := range t.pools {
		if time.Now().After(p.GivesUp) {
			delete(t.pools, name) // what waited has failed
			continue
		}
		t.say("%s", describePause(p))
	}
	if len(t.pools) > 0 {
		t.timer.Reset(sayEvery)
	}
}

func describePause(p admission.Pause) string {
	text := fmt.Sprintf("calls to %s wait ", p.Pool)
	if left := time.Until(p.Until); left > 0 {
		text += llm.ShortDuration(left)
	} else {
		text += "for the answer to one of them"
	}
	text += ": " + p.Why
	if !p.GivesUp.IsZero() {
		text += "; giving up in " + llm.ShortDuration(time.Until(p.GivesUp)) + " unless one succeeds"
	}
	return text
}
