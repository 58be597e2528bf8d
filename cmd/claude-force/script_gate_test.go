package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// gate is in front of a script's simulator. It holds calls back, so that a script does
// something while they are in flight, however long that takes.
type gate struct {
	next http.Handler

	mu       sync.Mutex    // guards the fields below
	passes   chan struct{} // closed once calls pass again; nil while none is held back
	held     int           // calls that are held back
	inFlight int
	most     int // highest inFlight
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/v1/messages") {
		g.next.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has gone
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	g.count(1)
	defer g.count(-1)
	g.wait(r)
	g.next.ServeHTTP(w, r)
}

// count adds to the calls in flight.
func (g *gate) count(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inFlight += n
	g.most = max(g.most, g.inFlight)
}

// wait holds a call back until calls pass, or its client has gone.
func (g *gate) wait(r *http.Request) {
	g.mu.Lock()
	passes := g.passes
	if passes != nil {
		g.held++
	}
	g.mu.Unlock()
	if passes == nil {
		return
	}
	select {
	case <-passes:
	case <-r.Context().Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held--
}

// open lets the calls pass that are held back, and those that come.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.passes != nil {
		close(g.passes)
		g.passes = nil
	}
}

// figures returns how many calls are held back, and how many were in flight at most.
func (g *gate) figures() (held, most int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.held, g.most
}

// hold keeps calls from the script's simulator from here on.
func hold(ts *testscript.TestScript, _ bool, _ []string) {
	g := ts.Value("gate").(*gate)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.passes == nil {
		g.passes = make(chan struct{})
	}
}

// held waits until a number of calls are held back: held N.
func held(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: held N")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	g := ts.Value("gate").(*gate)
	var n int
	eventually(ts, func() bool {
		n, _ = g.figures()
		return n >= want
	}, func() string { return fmt.Sprintf("%d calls are held back; want %d", n, want) })
}

// release lets calls pass that hold keeps.
func release(ts *testscript.TestScript, _ bool, _ []string) { ts.Value("gate").(*gate).open() }

// peak checks how many calls were in flight at once at most: peak N.
func peak(ts *testscript.TestScript, _ bool, args []string) {
	if _, most := ts.Value("gate").(*gate).figures(); fmt.Sprint(most) != args[0] {
		ts.Fatalf("at most %d calls were in flight; want %s", most, args[0])
	}
}
