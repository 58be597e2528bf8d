//go:build linux

package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/claude-force/claude-force/bench/internal/child"
	"github.com/claude-force/claude-force/internal/citest"
	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
)

func TestKilledServers(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]func(*testing.T) options{
		"one with files": func(*testing.T) options { return options{kills: 3, seed: 2} },
		"two on databases": func(t *testing.T) options {
			if _, err := child.RedisBinary(); err != nil {
				citest.Missing(t, "%v", err)
			}
			return options{kills: 3, seed: 2, shared: true, store: postgrestest.EmptyURL(t)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rep, err := measure(t.Context(), opts(t))
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range rep.Problems {
				t.Error(p)
			}
			if rep.broken() > 0 || rep.Kills < 3 || rep.Runs == 0 || rep.Events == 0 || rep.Calls == 0 {
				t.Errorf("%d promises not kept: %+v", rep.broken(), rep)
			}
		})
	}
}

// TestBrokenPromisesAreNoticed compares what clients saw, of a run with the events 1 to 8,
// with a server and a service that did not keep a promise.
func TestBrokenPromisesAreNoticed(t *testing.T) {
	t.Parallel()
	const events = 8
	var list []string
	for seq := range events {
		list = append(list, fmt.Sprintf(`{"seq": %d}`, seq+1))
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"events": [%s]}`, strings.Join(list, ","))
	}))
	defer server.Close()
	at := time.Unix(1000, 0)
	asked := func(after time.Duration) []request {
		return []request{{Started: at.Add(-time.Second).UnixNano(), Sent: true}, {Started: at.Add(after).UnixNano(), Sent: true}}
	}
	for name, test := range map[string]struct {
		seqs []int64
		jobs map[string][]request
		want func(*report) int // what is to be 1
	}{
		"all is well":   {[]int64{1, 2, 3, 4, 5, 6, 7, 8}, map[string][]request{"job-run_1-0": asked(-time.Millisecond), "proxy": asked(-time.Millisecond)}, nil},
		"event missing": {[]int64{1, 2, 3, 5, 6, 7, 8}, nil, func(r *report) int { return r.Missing }},
		"event doubled": {[]int64{1, 2, 3, 3, 4, 5, 6, 7, 8}, nil, func(r *report) int { return r.Doubled }},
		"out of order":  {[]int64{2, 1, 3, 4, 5, 6, 7, 8}, nil, func(r *report) int { return r.Wrong }},
		"step paid again": {[]int64{1, 2, 3, 4, 5, 6, 7, 8}, map[string][]request{"job-run_1-0": asked(time.Millisecond)},
			func(r *report) int { return r.Again }},
		"call paid again": {[]int64{1, 2, 3, 4, 5, 6, 7, 8}, map[string][]request{"proxy": asked(time.Millisecond)},
			func(r *report) int { return r.Repaid }},
	} {
		t.Run(name, func(t *testing.T) {
			l := &loop{hosts: []*host{{addr: strings.TrimPrefix(server.URL, "http://")}}, answered: map[string]time.Time{"proxy": at}}
			f := &followed{id: "run_1", seqs: test.seqs, finished: map[string]time.Time{}}
			for item := range items {
				f.finished[fmt.Sprint(item)] = at
			}
			l.compareCalls(test.jobs)
			if err := l.compareRun(t.Context(), f, test.jobs); err != nil {
				t.Fatal(err)
			}
			want := 0
			if test.want != nil {
				want = 1
				if n := test.want(&l.rep); n != 1 {
					t.Errorf("it is counted %d times: %v", n, l.rep.Problems)
				}
			}
			if l.rep.broken() != want {
				t.Errorf("%d promises are broken, want %d: %v", l.rep.broken(), want, l.rep.Problems)
			}
		})
	}
}
