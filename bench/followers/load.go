//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	workers = 64  // that send requests
	hits    = 20  // different calls of the proxy, each answered from the cache
	queue   = 500 // requests that may be late
)

// mixture is the requests in the order in which they are sent, again and again.
var mixture = []string{"hit", "list", "hit", "page", "hit", "events", "hit", "run", "list", "run page"}

// warmCache has the answers of the calls stored that are sent later.
func (b *bench) warmCache(ctx context.Context) error {
	var calls sync.WaitGroup
	failed := make([]error, hits)
	for n := range hits {
		calls.Go(func() {
			req, err := b.hit(ctx, n)
			if err == nil {
				_, _, err = b.server.send(req)
			}
			failed[n] = err
		})
	}
	calls.Wait()
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("calling the proxy: %w", err)
	}
	return nil
}

func (b *bench) hit(ctx context.Context, n int) (*http.Request, error) {
	body := fmt.Sprintf(`{"model":"claude-haiku-4-5","max_tokens":100,"temperature":0,"messages":[{"role":"user","content":"What is %d?"}]}`, n%hits)
	req, err := b.server.request(ctx, http.MethodPost, "/v1/messages", []byte(body))
	if err == nil {
		req.Header.Set("Anthropic-Version", "2023-06-01")
	}
	return req, err
}

// sendRequests sends requests at fixed moments until it is enough. The time of each
// counts from its moment.
func (b *bench) sendRequests(ctx, enough context.Context) {
	type due struct {
		n  int
		at time.Time
	}
	jobs := make(chan due, queue)
	var working sync.WaitGroup
	defer working.Wait()
	defer close(jobs)
	for range workers {
		working.Go(func() {
			for job := range jobs {
				kind := mixture[job.n%len(mixture)]
				if err := b.sendOne(ctx, kind, job.n); err != nil && ctx.Err() == nil {
					b.record.problem("%s: %v", kind, err)
				}
				b.record.answered(kind, time.Since(job.at))
			}
		})
	}
	gap := time.Second / time.Duration(b.opts.rate)
	for n, at := 0, time.Now(); ; n, at = n+1, at.Add(gap) {
		select {
		case <-time.After(time.Until(at)):
		case <-enough.Done():
			return
		}
		select {
		case jobs <- due{n, at}:
		default:
			b.record.count(func(n *counts) { n.unsent++ })
		}
	}
}

func (b *bench) sendOne(ctx context.Context, kind string, n int) error {
	id := b.slots[n/len(mixture)%slots].last()
	path := map[string]string{
		"list": "/api/v1/runs?limit=50", "run": "/api/v1/runs/" + id, "events": "/api/v1/runs/" + id + "/events?limit=200",
		"page": "/", "run page": "/runs/" + id,
	}[kind]
	if id == "" {
		path = "/api/v1/runs?limit=50" // there is no run yet
	}
	req, err := b.server.request(ctx, http.MethodGet, path, nil)
	if kind == "hit" {
		req, err = b.hit(ctx, n)
	}
	if err != nil {
		return err
	}
	_, header, err := b.server.send(req)
	if source := header.Get("X-Claude-Force-Cache"); err == nil && kind == "hit" && source != "hit" {
		return fmt.Errorf("it is a %q", source)
	}
	return err
}
