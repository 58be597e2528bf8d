//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync"
	"time"

	"github.com/claude-force/claude-force/sim"
)

// web is the server that steps send requests to, and the one that agents ask. It counts
// both.
type web struct {
	*httptest.Server

	mu   sync.Mutex // guards the fields below
	seen map[string]int
	open map[net.Conn]bool
}

// takes is how long a request to the server takes, as a command does.
const takes = 20 * time.Millisecond

var unitOf = regexp.MustCompile(`\[unit [^\]]*\]`)

func newWeb() *web {
	w := &web{seen: map[string]int{}, open: map[net.Conn]bool{}}
	model := sim.New(sim.Options{Seed: 1})
	w.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // whoever asked was killed
		}
		name := r.URL.Path
		ask := unitOf.Find(body)
		if ask != nil {
			name = string(ask)
		}
		w.mu.Lock()
		w.seen[name]++
		w.mu.Unlock()
		time.Sleep(takes)
		if ask != nil {
			r.Body = io.NopCloser(bytes.NewReader(body))
			model.ServeHTTP(rw, r)
			return
		}
		fmt.Fprintf(rw, "%s %s %s", r.Method, r.URL.Path, body)
	}))
	w.Config.ConnState = func(c net.Conn, state http.ConnState) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if state == http.StateClosed || state == http.StateHijacked {
			delete(w.open, c)
		} else {
			w.open[c] = true
		}
	}
	w.Start()
	return w
}

// counted returns how often each request was made. It waits until no connection is
// open: what a process sent before it was killed can arrive after its end.
func (w *web) counted(ctx context.Context) (map[string]int, error) {
	for {
		w.mu.Lock()
		open, seen := len(w.open), maps.Clone(w.seen)
		w.mu.Unlock()
		if open == 0 {
			return seen, nil
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
