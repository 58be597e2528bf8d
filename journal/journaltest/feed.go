package journaltest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/journal"
)

// mustFeed returns a store as the [journal.Feed] that it is.
func mustFeed(t *testing.T, s journal.Store) journal.Feed {
	t.Helper()
	feed, ok := s.(journal.Feed)
	if !ok {
		t.Fatalf("a %T is no journal.Feed", s)
	}
	return feed
}

func mustNotices(t *testing.T, feed journal.Feed, after int64, limit int) []journal.Notice {
	t.Helper()
	notices, err := feed.Notices(t.Context(), after, limit)
	if err != nil {
		t.Fatalf("reading notices: %v", err)
	}
	return notices
}

func mustLast(t *testing.T, feed journal.Feed) int64 {
	t.Helper()
	last, err := feed.LastNotice(t.Context())
	if err != nil {
		t.Fatalf("reading the last notice: %v", err)
	}
	return last
}

// notices: the ends and the questions of all runs are in one order, that in which they
// were written, whichever run was created first.
func notices(t *testing.T, h Harness) {
	s := h.Open(t)
	feed, other := mustFeed(t, s), mustFeed(t, h.Other(t, s))
	if got := mustNotices(t, feed, 0, 10); len(got) != 0 || mustLast(t, feed) != 0 {
		t.Errorf("a new store has the notices %+v, the last of which is %d", got, mustLast(t, feed))
	}
	first := mustCreate(t, s, journal.Run{ID: "first"})
	second := mustCreate(t, s, journal.Run{ID: "second"})
	mustAppend(t, first, started("a"))
	mustAppend(t, second, ask("ok", "k")...)
	mustAppend(t, second, ended(journal.StatusFailed))
	mustAppend(t, first, finished("a", "b"), ended(journal.StatusCompleted))
	mustRelease(t, first)
	mustRelease(t, second)

	type line struct {
		Run, Step string
		Seq       int64
	}
	want := []line{{"second", "ok", 3}, {"second", "", 4}, {"first", "", 4}}
	all := mustNotices(t, other, 0, 10)
	var got []line
	for i, n := range all {
		got = append(got, line{n.Event.Run, n.Event.Step, n.Event.Seq})
		if diff := cmp.Diff(mustEvents(t, s, n.Event.Run, n.Event.Seq-1)[0], n.Event); diff != "" {
			t.Errorf("a notice is not its event:\n%s", diff)
		}
		if rest := mustNotices(t, feed, n.N, 10); len(rest) != len(all)-i-1 {
			t.Errorf("%d notices after the %d. of %d", len(rest), i+1, len(all))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("notices:\n%s", diff)
	}
	if few := mustNotices(t, feed, 0, 2); len(few) != 2 || few[1].N != all[1].N {
		t.Errorf("the first two notices are %+v", few)
	}
	if last := mustLast(t, feed); last != all[2].N {
		t.Errorf("the last notice is %d; want %d", last, all[2].N)
	}

	// Numbers are not used again, also if the run of the last is removed.
	for _, id := range []string{"first", "second"} {
		if n, err := s.Remove(t.Context(), id); n != 1 || err != nil {
			t.Fatalf("removing: %d, %v", n, err)
		}
	}
	if got := mustNotices(t, feed, 0, 10); len(got) != 0 {
		t.Errorf("removed runs have notices: %+v", got)
	}
	third := mustCreate(t, s, journal.Run{ID: "third"})
	mustAppend(t, third, ended(journal.StatusCompleted))
	mustRelease(t, third)
	if got := mustNotices(t, other, all[2].N, 10); len(got) != 1 || got[0].Event.Run != "third" {
		t.Errorf("after the notices of runs that were removed: %+v", got)
	}
}

// noticesWhileWriting: who reads after the last number it has seen misses nothing of what
// others write meanwhile.
func noticesWhileWriting(t *testing.T, h Harness) {
	s := h.Open(t)
	other := h.Other(t, s)
	feed := mustFeed(t, other)
	const writers, each = 4, 25
	var wg sync.WaitGroup
	for w := range writers {
		store := s
		if w%2 == 1 {
			store = other
		}
		wg.Go(func() {
			for i := range each {
				log, err := store.Create(t.Context(), journal.Run{ID: fmt.Sprintf("%d-%d", w, i)})
				if err != nil {
					t.Error(err)
					return
				}
				if err := log.Append(ended(journal.StatusCompleted))(); err != nil {
					t.Error(err)
				}
				if err := log.Release(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	written := make(chan struct{})
	go func() {
		wg.Wait()
		close(written)
	}()
	seen := map[string]int{}
	after, done := int64(0), false
	for !done {
		select {
		case <-written:
			done = true // this look sees the rest
		default:
		}
		for more := true; more; {
			found := mustNotices(t, feed, after, 7)
			for _, n := range found {
				if n.N <= after {
					t.Fatalf("notice %d comes after %d", n.N, after)
				}
				after = n.N
				seen[n.Event.Run]++
			}
			more = len(found) == 7
		}
	}
	if len(seen) != writers*each {
		t.Errorf("%d of %d notices were seen", len(seen), writers*each)
	}
	for run, n := range seen {
		if n != 1 {
			t.Errorf("the end of run %s was seen %d times", run, n)
		}
	}
}
