package pipeline

import "sync"

// maxBackground is how much is done in the background at once; who comes with more does
// it himself, so that it never piles up.
const maxBackground = 64

// background runs functions that no one waits for but Close.
type background struct {
	mu      sync.Mutex // guards the fields below
	ended   sync.WaitGroup
	running int
	closed  bool
}

// run runs f in the background, or at once if much runs there or nothing may any more.
func (b *background) run(f func()) {
	b.mu.Lock()
	if b.closed || b.running == maxBackground {
		b.mu.Unlock()
		f()
		return
	}
	b.running++
	b.ended.Go(func() {
		defer b.leave()
		f()
	})
	b.mu.Unlock()
}

func (b *background) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running--
}

// wait waits until nothing runs. Nothing is started afterwards.
func (b *background) wait() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.ended.Wait()
}
