package schedulepg_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
	"github.com/claude-force/claude-force/schedule"
	"github.com/claude-force/claude-force/schedule/schedulepg"
	"github.com/claude-force/claude-force/schedule/scheduletest"
)

func open(t testing.TB, url string) *schedulepg.Store {
	t.Helper()
	return schedulepg.New(postgrestest.Open(t, url))
}

func TestSuite(t *testing.T) {
	scheduletest.Suite(t, func(t *testing.T) schedule.Store { return open(t, postgrestest.URL(t)) })
}

// TestServers has the servers of two machines decide the same ticks: each is decided once.
// A project and a problem may have any bytes in their names.
func TestServers(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	stores := []*schedulepg.Store{open(t, url), open(t, url+"&application_name=other")}
	dir := "/pro\xffject"
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	x := &schedule.Schedule{ID: "1", Name: "nightly", Dir: dir, Workflow: "review.yaml", Cron: "0 2 * * *", Zone: "UTC"}
	if err := x.Complete(start); err != nil {
		t.Fatal(err)
	}
	if err := stores[0].Add(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	const ticks = 10
	for tick := range ticks {
		was, err := schedule.Find(t.Context(), stores[tick%2], dir, "nightly")
		if err != nil {
			t.Fatal(err)
		}
		var decided atomic.Int64
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				at := start.Add(time.Duration(tick+1) * time.Hour)
				ok, err := stores[i%2].Decide(context.Background(), was, schedule.Outcome{Decided: at, Run: fmt.Sprintf("run_%d_%d", tick, i), Tick: at})
				if err != nil {
					t.Error(err)
				}
				if ok {
					decided.Add(1)
				}
			})
		}
		wg.Wait()
		if decided.Load() != 1 {
			t.Errorf("tick %d is decided by %d", tick, decided.Load())
		}
	}
	last, err := schedule.Find(t.Context(), stores[0], dir, "nightly")
	if err != nil {
		t.Fatal(err)
	}
	if err := stores[1].Started(t.Context(), last, "no \x00 file"); err != nil {
		t.Fatal(err)
	}
	if is, err := schedule.Find(t.Context(), stores[0], dir, "nightly"); err != nil || is.Problem != "no \x00 file" || is.Pending {
		t.Errorf("%+v, %v", is, err)
	}
	if err := stores[0].Remove(t.Context(), dir, "\x00"); !errors.Is(err, schedule.ErrNotFound) {
		t.Errorf("Remove of a name that none can have: %v", err)
	}
}

// TestServerGone: without a database the error says so, and what was stored is there when
// it is back.
func TestServerGone(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t)
	s := open(t, server.URL(t))
	x := &schedule.Schedule{ID: "1", Name: "nightly", Dir: "/a", Workflow: "review.yaml", Cron: "0 2 * * *", Zone: "UTC"}
	if err := x.Complete(time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := s.Add(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	server.Kill(t)
	if _, err := s.List(t.Context(), "/a"); err == nil || !strings.Contains(err.Error(), "the schedules at") {
		t.Errorf("without a database: %v", err)
	}
	server.Restart(t)
	if list, err := s.List(t.Context(), "/a"); err != nil || len(list) != 1 {
		t.Errorf("when it is back: %+v, %v", list, err)
	}
}
