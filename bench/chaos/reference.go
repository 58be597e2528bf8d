//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"time"

	"github.com/claude-force/claude-force/sim"
)

// reference is an undisturbed run of a workload.
type reference struct {
	took     time.Duration
	outputs  map[string]string // by step, and "step[key]" of a foreach's items
	requests map[string]string // the sum of each unit's call
	units    map[string]string // the other way
}

// runReference runs a workload undisturbed, on a simulator and a store of its
// own, and notes what it asks.
func runReference(ctx context.Context, cmd command, w *workload, scale float64) (*reference, error) {
	ref := &reference{requests: map[string]string{}, units: map[string]string{}}
	server := sim.New(sim.Options{Seed: 1, Latency: sim.Realistic(), TimeScale: scale})
	var mu sync.Mutex // guards ref and err
	var failed error
	tcp := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		unit, unknown := askedFor(body)
		sum := sim.Sum(body)
		mu.Lock()
		switch was, known := ref.requests[unit]; {
		case err != nil || unknown != nil:
			failed = errors.Join(err, unknown)
		case known:
			failed = fmt.Errorf("undisturbed, %s was asked twice: %s", unit, was)
		}
		ref.requests[unit], ref.units[sum] = sum, unit
		mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		server.ServeHTTP(rw, r)
	}))
	defer tcp.Close()
	cmd.url, cmd.home = tcp.URL, filepath.Join(w.dir, "undisturbed")
	start := time.Now()
	d, err := cmd.suffer(ctx, nil, nil, "run", w.file, "--no-cache", "--json")
	ref.took = time.Since(start)
	if err != nil {
		return nil, err
	}
	if d.code != 0 {
		return nil, fmt.Errorf("the undisturbed run ended with exit code %d: %s", d.code, d.stderr)
	}
	var res result
	if err := json.Unmarshal(d.stdout, &res); err != nil {
		return nil, fmt.Errorf("reading the result of the undisturbed run: %w", err)
	}
	ref.outputs = res.outputs()
	return ref, failed
}

// result is that of a run, as far as it is needed here.
type result struct {
	Status string                `json:"status"`
	Steps  map[string]stepResult `json:"steps"`
}

type stepResult struct {
	Status string       `json:"status"`
	Output string       `json:"output"`
	Items  []itemResult `json:"items"`
}

type itemResult struct {
	Key string `json:"key"`
	stepResult
}

// outputs returns those of all steps and items that completed.
func (r *result) outputs() map[string]string {
	all := map[string]string{}
	for id, s := range r.Steps {
		if s.Status == "completed" {
			all[id] = s.Output
		}
		for _, item := range s.Items {
			if item.Status == "completed" {
				all[id+"["+item.Key+"]"] = item.Output
			}
		}
	}
	return all
}
