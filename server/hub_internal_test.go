package server

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/memory"
)

// countedStore counts how often events are read.
type countedStore struct {
	*memory.Store
	reads atomic.Int64
}

func (s *countedStore) Events(ctx context.Context, id string, after int64) iter.Seq2[journal.Event, error] {
	s.reads.Add(1)
	return s.Store.Events(ctx, id, after)
}

// client is a response that takes everything at once.
type client struct {
	*httptest.ResponseRecorder
	flushes int
}

func (*client) SetWriteDeadline(time.Time) error { return nil }

func (c *client) FlushError() error {
	c.flushes++
	return nil
}

var eventID = regexp.MustCompile(`(?m)^id: (\d+)$`)

// TestManyFollowers has clients follow a run from different events on, and leave at
// different times. Each gets each event once, in order, those of one moment in few parts, and
// the store is read as often as for one of them.
func TestManyFollowers(t *testing.T) {
	const clients, before, rounds, each = 50, 10, 40, 100 // more events than are kept
	synctest.Test(t, func(t *testing.T) {
		store := &countedStore{Store: memory.New()}
		log, err := store.Create(t.Context(), journal.Run{ID: "run_a"}) // appends event 1
		if err != nil {
			t.Fatal(err)
		}
		appendEvents := func(n int) {
			for range n {
				if err := log.Append(journal.Event{Type: journal.StepStarted, Step: "s"})(); err != nil {
					t.Error(err)
				}
			}
		}
		appendEvents(before - 1)
		h := newHub(store)
		var wg sync.WaitGroup
		for i := range clients {
			wg.Go(func() {
				ctx := t.Context()
				stays := i%5 > 0
				if !stays { // it goes in the middle
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, time.Duration(i+1)*100*time.Millisecond)
					defer cancel()
				}
				if i%7 == 3 { // it comes late, far behind
					time.Sleep(rounds * time.Second / 2)
				}
				w := &client{ResponseRecorder: httptest.NewRecorder()}
				st := &stream{w: w, control: http.NewResponseController(w)}
				after := int64(i % before)
				err := st.follow(ctx, h, "run_a", after)
				if stays != (err == nil) {
					t.Errorf("client %d: %v", i, err)
				}
				got := eventID.FindAllSubmatch(w.Body.Bytes(), -1)
				for n, m := range got {
					if want := fmt.Sprint(after + 1 + int64(n)); string(m[1]) != want {
						t.Errorf("client %d got event %s in the place of %s", i, m[1], want)
						return
					}
				}
				if want := before + rounds*each + 1 - int(after); stays && len(got) != want {
					t.Errorf("client %d got %d events; want %d", i, len(got), want)
				}
				if w.flushes > len(got)/20+10 {
					t.Errorf("client %d got %d events in %d parts", i, len(got), w.flushes)
				}
				if stays && !bytes.Contains(w.Body.Bytes(), []byte("event: end\n")) {
					t.Errorf("client %d got no end", i)
				}
			})
		}
		for range rounds {
			time.Sleep(time.Second)
			appendEvents(each)
		}
		if err := log.Append(journal.Event{Type: journal.RunFinished, Detail: journal.Detail(journal.RunEnd{Status: journal.StatusCompleted})})(); err != nil {
			t.Fatal(err)
		}
		if err := log.Release(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		// Five looks a second, and one more for each client that is far behind.
		if n, most := store.reads.Load(), int64(5*(rounds+5)+clients); n > most {
			t.Errorf("the store was read %d times; want at most %d", n, most)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.topics) > 0 {
			t.Errorf("%d topics are left", len(h.topics))
		}
	})
}

// TestFollowersComeAndGo has the last follower leave before another comes: each gets
// what it lacks.
func TestFollowersComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		log, err := store.Create(t.Context(), journal.Run{ID: "run_a"})
		if err != nil {
			t.Fatal(err)
		}
		h := newHub(store)
		var seen []string
		for range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			w := &client{ResponseRecorder: httptest.NewRecorder()}
			st := &stream{w: w, control: http.NewResponseController(w)}
			if err := log.Append(journal.Event{Type: journal.StepStarted, Step: "s"})(); err != nil {
				t.Fatal(err)
			}
			_ = st.follow(ctx, h, "run_a", int64(len(seen))) // ends with its time
			for _, m := range eventID.FindAllSubmatch(w.Body.Bytes(), -1) {
				seen = append(seen, string(m[1]))
			}
			cancel()
		}
		var want []string
		for i := range 11 {
			want = append(want, fmt.Sprint(i+1))
		}
		if !slices.Equal(seen, want) {
			t.Errorf("seen %v", seen)
		}
		if err := log.Release(); err != nil {
			t.Fatal(err)
		}
	})
}
