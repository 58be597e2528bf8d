package pipeline

import (
	"sync/atomic"
	"testing"
)

func TestBackground(t *testing.T) {
	t.Parallel()
	var b background
	var ran atomic.Int64
	goOn := make(chan struct{})
	for range maxBackground {
		b.run(func() {
			<-goOn
			ran.Add(1)
		})
	}
	b.run(func() { ran.Add(1) }) // one too many
	if n := ran.Load(); n != 1 {
		t.Errorf("%d ran", n)
	}
	close(goOn)
	b.wait()
	b.run(func() { ran.Add(1) }) // too late
	if n := ran.Load(); n != maxBackground+2 {
		t.Errorf("%d ran", n)
	}
	b.wait()
}
