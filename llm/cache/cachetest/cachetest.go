// Package cachetest tests that a [cache.Backend] keeps its contract.
package cachetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/cache"
)

// Suite checks a backend. newBackend returns an empty one, of at most maxBytes, or without a
// bound that matters if that is 0; the suite calls it several times.
func Suite(t *testing.T, newBackend func(t *testing.T, maxBytes int64) cache.Backend) {
	t.Helper()
	open := func(t *testing.T, maxBytes int64) cache.Backend {
		b := newBackend(t, maxBytes)
		t.Cleanup(func() {
			if err := b.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
		return b
	}
	for _, test := range []struct {
		name string
		run  func(*testing.T, cache.Backend)
	}{
		{"Found", found},
		{"Expiry", expiry},
		{"NotBefore", notBefore},
		{"Replace", replace},
		{"Stats", statistics},
		{"Blocks", blocks},
		{"Large", large},
		{"List", list},
		{"Show", show},
		{"Clear", clearing},
		{"AtOnce", atOnce},
		{"Canceled", canceled},
		{"Closed", closed},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t, 0)) })
	}
	t.Run("LeastUsed", func(t *testing.T) { leastUsed(t, open) })
	t.Run("TooLarge", func(t *testing.T) { tooLarge(t, open(t, 10_000)) })
}

// SharedSuite checks a backend that several processes share. newBackend returns a function
// that opens an empty one, again and again the same.
func SharedSuite(t *testing.T, newBackend func(t *testing.T) (open func(t *testing.T) cache.Backend)) {
	t.Helper()
	t.Run("Reopened", func(t *testing.T) { reopened(t, newBackend(t)) })
	t.Run("SeveralAtOnce", func(t *testing.T) { severalAtOnce(t, newBackend(t)) })
}

// Entry returns the answer "answer n" under the n-th key.
func Entry(n int) *cache.Entry {
	var key llm.Key
	copy(key[:], fmt.Sprintf("%032d", n))
	now := time.Now().UTC().Truncate(time.Microsecond)
	return &cache.Entry{
		Key: key, Agent: fmt.Sprintf("agent%d", n%2), Model: "claude-haiku-5-5", Prompt: "prompt " + fmt.Sprint(n),
		Response: &llm.Response{
			ID: "msg", Model: "claude-haiku-5-5", StopReason: "end_turn",
			Content: []llm.Block{llm.TextBlock("answer " + fmt.Sprint(n))}, Usage: llm.Usage{InputTokens: 10, OutputTokens: 5},
		},
		CreatedAt: now, ExpiresAt: now.Add(time.Hour), CostUSD: new(0.5),
	}
}

// Put stores entries.
func Put(tb testing.TB, b cache.Backend, entries ...*cache.Entry) {
	tb.Helper()
	for _, e := range entries {
		if err := b.Put(tb.Context(), e); err != nil {
			tb.Fatalf("Put: %v", err)
		}
	}
}

// Has reports whether the n-th entry is found, which counts as a use or a miss.
func Has(tb testing.TB, b cache.Backend, n int) bool {
	tb.Helper()
	_, err := b.Get(tb.Context(), Entry(n).Key, time.Time{})
	if err != nil && !errors.Is(err, cache.ErrMiss) {
		tb.Fatalf("Get: %v", err)
	}
	return err == nil
}

// Stats returns what the backend says of itself.
func Stats(tb testing.TB, b cache.Backend) cache.Stats {
	tb.Helper()
	st, err := b.Stats(tb.Context())
	if err != nil {
		tb.Fatalf("Stats: %v", err)
	}
	return st
}

func found(t *testing.T, b cache.Backend) {
	want := Entry(1)
	want.Truncated = true
	forever := Entry(2)
	forever.ExpiresAt, forever.CostUSD, forever.Agent = time.Time{}, nil, ""
	Put(t, b, want, forever)
	for _, e := range []*cache.Entry{want, forever} {
		for range 2 { // what is returned belongs to the caller
			got, err := b.Get(t.Context(), e.Key, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(e, got); diff != "" {
				t.Fatalf("-stored +found:\n%s", diff)
			}
			got.Response.Content[0].Text, got.Agent = "changed", "changed"
		}
	}
	if Has(t, b, 3) {
		t.Error("an answer that was not stored was found")
	}
}

func expiry(t *testing.T, b cache.Backend) {
	old, forever := Entry(1), Entry(2)
	old.ExpiresAt = time.Now().Add(-time.Second)
	forever.ExpiresAt = time.Time{}
	Put(t, b, old, forever)
	if Has(t, b, 1) || !Has(t, b, 2) {
		t.Error("an expired answer was found, or one that never expires was not")
	}
	Put(t, b, Entry(3)) // removes what has expired
	if st := Stats(t, b); st.Entries != 2 {
		t.Errorf("%d entries; want 2", st.Entries)
	}
}

func notBefore(t *testing.T, b cache.Backend) {
	e := Entry(1)
	Put(t, b, e)
	for after, want := range map[time.Duration]bool{-time.Hour: true, 0: true, time.Microsecond: false, time.Hour: false} {
		_, err := b.Get(t.Context(), e.Key, e.CreatedAt.Add(after))
		if (err == nil) != want || err != nil && !errors.Is(err, cache.ErrMiss) {
			t.Errorf("an answer not before %v after it was stored: %v; want %v", after, err, want)
		}
	}
}

func replace(t *testing.T, b cache.Backend) {
	Put(t, b, Entry(1))
	before := Stats(t, b)
	again := Entry(1)
	again.Response.Content[0].Text = "another"
	Put(t, b, again)
	got, err := b.Get(t.Context(), again.Key, time.Time{})
	if err != nil || got.Response.Text() != "another" {
		t.Errorf("got %v, %v", got, err)
	}
	if after := Stats(t, b); after.Entries != before.Entries {
		t.Errorf("%d entries, then %d", before.Entries, after.Entries)
	}
}

func statistics(t *testing.T, b cache.Backend) {
	if st := Stats(t, b); st.USDSaved == nil || *st.USDSaved != 0 {
		t.Error("a new backend does not know that it saved nothing")
	}
	unpriced := Entry(2)
	unpriced.CostUSD = nil
	Put(t, b, unpriced)
	Has(t, b, 2)
	if st := Stats(t, b); st.USDSaved != nil {
		t.Errorf("hits without a price saved %v", *st.USDSaved)
	}
	Put(t, b, Entry(1))
	for range 3 {
		Has(t, b, 1)
	}
	Has(t, b, 9)
	got := Stats(t, b)
	want := cache.Stats{Entries: 2, Bytes: got.Bytes, Hits: 4, Misses: 1, HitRate: 0.8, TokensSaved: 60, USDSaved: new(1.5)}
	if diff := cmp.Diff(want, got); diff != "" || got.Bytes < 500 {
		t.Errorf("%s; %d bytes", diff, got.Bytes)
	}
}

// blocks: of JSON, characters may come back escaped.
func blocks(t *testing.T, b cache.Backend) {
	e := Entry(1)
	e.Prompt, e.Agent = "名前 'x' \"y\" \\ %", "a'b"
	e.Response.Content = []llm.Block{
		{Type: llm.BlockToolUse, ID: "t", Name: "n", Input: []byte(`{"a": "<b>&"}`)},
		{Type: "redacted_thinking", Raw: []byte(`{"type":"redacted_thinking","data":"zz"}`)},
		llm.TextBlock("a \x00 in a text"),
	}
	Put(t, b, e)
	got, err := b.Get(t.Context(), e.Key, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	var input struct{ A string }
	if err := json.Unmarshal(got.Response.Content[0].Input, &input); err != nil || input.A != "<b>&" {
		t.Errorf("input %s: %v", got.Response.Content[0].Input, err)
	}
	if raw := string(got.Response.Content[1].Raw); !strings.Contains(raw, `"zz"`) {
		t.Errorf("raw block %s", raw)
	}
	if text := got.Response.Content[2].Text; text != "a \x00 in a text" || got.Prompt != e.Prompt || got.Agent != e.Agent {
		t.Errorf("text %q, prompt %q, agent %q", text, got.Prompt, got.Agent)
	}
}

func large(t *testing.T, b cache.Backend) {
	e := Entry(1)
	e.Response.Content[0].Text = strings.Repeat("0123456789abcde\n", 1<<18) // 4 MB
	Put(t, b, e, Entry(2))
	got, err := b.Get(t.Context(), e.Key, time.Time{})
	if err != nil || got.Response.Text() != e.Response.Text() {
		t.Errorf("an answer of 4 MB: %v", err)
	}
	if st := Stats(t, b); st.Bytes < 4<<20 || !Has(t, b, 2) {
		t.Errorf("%d bytes", st.Bytes)
	}
}

func leastUsed(t *testing.T, open func(*testing.T, int64) cache.Backend) {
	first := open(t, 0)
	Put(t, first, Entry(0))
	size := Stats(t, first).Bytes
	most := 10*size + size/2
	b := open(t, most)
	for n := range 10 {
		Put(t, b, Entry(n))
	}
	Has(t, b, 0) // used, so it stays
	for n := 10; n < 15; n++ {
		Put(t, b, Entry(n))
	}
	var left []int
	for n := range 15 {
		if Has(t, b, n) {
			left = append(left, n)
		}
	}
	if diff := cmp.Diff([]int{0, 6, 7, 8, 9, 10, 11, 12, 13, 14}, left); diff != "" {
		t.Error(diff)
	}
	if st := Stats(t, b); st.Entries != 10 || st.Bytes > most {
		t.Errorf("%+v", st)
	}
}

func tooLarge(t *testing.T, b cache.Backend) {
	for n := range 5 {
		Put(t, b, Entry(n))
	}
	e := Entry(9)
	e.Response.Content[0].Text = strings.Repeat("x", 20_000)
	if err := b.Put(t.Context(), e); err == nil {
		t.Error("an answer larger than the whole was stored")
	}
	if st := Stats(t, b); st.Entries != 5 {
		t.Errorf("%d entries left; want 5", st.Entries)
	}
}

// fill stores 250 entries, the n-th created 300-n hours ago.
func fill(t *testing.T, b cache.Backend) {
	for n := range 250 {
		e := Entry(n)
		e.CreatedAt = e.CreatedAt.Add(time.Duration(n-300) * time.Hour)
		Put(t, b, e)
	}
}

func list(t *testing.T, b cache.Backend) {
	fill(t, b)
	last, count := time.Now(), 0
	for e, err := range b.List(t.Context(), cache.Filter{Agent: "agent1"}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.CreatedAt.After(last) || e.Agent != "agent1" {
			t.Fatalf("%s of %s after %s", e.CreatedAt, e.Agent, last)
		}
		last = e.CreatedAt
		count++
		if count == 3 && !Has(t, b, 1) {
			t.Error("the backend cannot be used while it is listed")
		}
	}
	if count != 125 {
		t.Errorf("listed %d; want 125", count)
	}
	count = 0
	for _, err := range b.List(t.Context(), cache.Filter{OlderThan: 201 * time.Hour}) {
		if err != nil {
			t.Fatal(err)
		}
		count++
	}
	if count != 100 { // 300, 299, … 201 hours ago, and the moment that has passed since
		t.Errorf("%d are older than 201 hours; want 100", count)
	}
}

func show(t *testing.T, b cache.Backend) {
	e := Entry(7)
	Put(t, b, Entry(8), e)
	before := Stats(t, b)
	key := e.Key.String()
	for _, prefix := range []string{key, strings.ToUpper(key)} {
		if e, err := b.Show(t.Context(), prefix); err != nil || e.Prompt != "prompt 7" {
			t.Errorf("Show(%q) = %v, %v", prefix, e, err)
		}
	}
	for prefix, want := range map[string]string{"30": "several keys", "ff": "no answer", "": "not the beginning", "xyz": "not the beginning", key + "0": "not the beginning"} {
		_, err := b.Show(t.Context(), prefix)
		if _, ok := errors.AsType[*cache.KeyError](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("Show(%q): %v; want %s", prefix, err, want)
		}
	}
	if after := Stats(t, b); after.Hits != before.Hits || after.Misses != before.Misses {
		t.Errorf("what is shown counts as a use: %+v, then %+v", before, after)
	}
}

func clearing(t *testing.T, b cache.Backend) {
	fill(t, b)
	n, freed, err := b.Clear(t.Context(), cache.Filter{Agent: "agent0", OlderThan: 201 * time.Hour})
	if err != nil || n != 50 || freed < 50*300 { // created 300, 298, … 202 hours ago
		t.Errorf("cleared %d, %d bytes, %v; want 50", n, freed, err)
	}
	if st := Stats(t, b); st.Entries != 200 {
		t.Errorf("%d entries left; want 200", st.Entries)
	}
	if n, _, err := b.Clear(t.Context(), cache.Filter{}); err != nil || n != 200 {
		t.Errorf("cleared %d, %v; want 200", n, err)
	}
	if st := Stats(t, b); st.Entries != 0 || st.Bytes != 0 {
		t.Errorf("after clearing: %+v", st)
	}
}

func atOnce(t *testing.T, b cache.Backend) {
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for n := range 20 {
				if err := b.Put(t.Context(), Entry(n)); err != nil {
					t.Error(err)
				}
				if _, err := b.Get(t.Context(), Entry(n).Key, time.Time{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if st := Stats(t, b); st.Entries != 20 || st.Hits != 160 {
		t.Errorf("%d entries, %d hits; want 20, 160", st.Entries, st.Hits)
	}
}

func canceled(t *testing.T, b cache.Backend) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Put(ctx, Entry(1)); llm.CodeOf(err) != llm.CodeCanceled {
		t.Errorf("Put: %v", err)
	}
	if _, err := b.Get(ctx, Entry(1).Key, time.Time{}); llm.CodeOf(err) != llm.CodeCanceled {
		t.Errorf("Get: %v", err)
	}
}

func closed(t *testing.T, b cache.Backend) {
	if err := errors.Join(b.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Get(t.Context(), llm.Key{}, time.Time{}); err == nil || errors.Is(err, cache.ErrMiss) {
		t.Errorf("Get: %v", err)
	}
	if err := b.Put(t.Context(), Entry(1)); err == nil {
		t.Error("Put: no error")
	}
	if _, err := b.Stats(t.Context()); err == nil {
		t.Error("Stats: no error")
	}
}

func reopened(t *testing.T, open func(*testing.T) cache.Backend) {
	b := open(t)
	want := Entry(1)
	Put(t, b, want)
	for range 3 {
		Has(t, b, 1)
	}
	Has(t, b, 2)
	if err := b.Close(); err != nil { // writes the uses
		t.Fatal(err)
	}
	b = open(t)
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	if st := Stats(t, b); st.Hits != 3 || st.Misses != 1 || st.Entries != 1 {
		t.Errorf("what another has written: %+v", st)
	}
	got, err := b.Get(t.Context(), want.Key, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-stored +found:\n%s", diff)
	}
}

func severalAtOnce(t *testing.T, open func(*testing.T) cache.Backend) {
	backends := []cache.Backend{open(t), open(t)}
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			b := backends[g%2]
			for n := range 20 {
				if err := b.Put(t.Context(), Entry(n)); err != nil {
					t.Error(err)
				}
				if _, err := b.Get(t.Context(), Entry(n).Key, time.Time{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if err := backends[0].Close(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := backends[1].Close(); err != nil {
			t.Error(err)
		}
	}()
	if st := Stats(t, backends[1]); st.Entries != 20 || st.Hits != 160 {
		t.Errorf("%d entries, %d hits; want 20, 160", st.Entries, st.Hits)
	}
}
