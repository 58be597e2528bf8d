package callsdb_test

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/analyticstest"
	"github.com/claude-force/claude-force/analytics/callsdb"
	"github.com/claude-force/claude-force/llm"
)

func TestAProcessOfFewCallsOpensNoStore(t *testing.T) {
	t.Parallel()
	path := file(t)
	calls := analyticstest.RandomCalls(1, 60)
	calls[0].Source = llm.SourceCache
	for part := range 3 {
		r := callsdb.NewRecorder(path, analytics.Retention{}, nil)
		for _, c := range calls[part*20 : part*20+20] {
			r.Record(c)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("there is a store: %v", err)
	}
	s := open(t, path)
	for range 2 { // taken once
		if err := s.Take(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := len(analyticstest.Stored(t, s)); got != 60 {
			t.Errorf("%d calls; want 60", got)
		}
	}
	analyticstest.Check(t, s, analytics.Filter{})
}

func TestNothingIsLostByClose(t *testing.T) {
	t.Parallel()
	path := file(t)
	r := callsdb.NewRecorder(path, analytics.Retention{}, nil)
	const callers, each = 8, 1250 // more than wait in memory
	var all sync.WaitGroup
	for p := range callers {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(p), 1))
			for range each {
				r.Record(analyticstest.RandomCall(rng))
			}
		})
	}
	all.Wait()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r.Record(analytics.Call{}) // too late, and no harm
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	if got := len(analyticstest.Stored(t, s)); got != callers*each {
		t.Errorf("%d calls; want %d", got, callers*each)
	}
	analyticstest.Check(t, s, analytics.Filter{})
}

// TestBrokenSpool: what is whole in the file is taken, whatever is between.
func TestBrokenSpool(t *testing.T) {
	t.Parallel()
	path := file(t)
	spool := path + "-calls"
	record := func(n int) {
		t.Helper()
		r := callsdb.NewRecorder(path, analytics.Retention{}, nil)
		for range n {
			r.Record(analytics.Call{Time: epoch, Agent: "a", Source: llm.SourceCache})
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	damage := func(do func(data []byte) []byte) {
		t.Helper()
		data, err := os.ReadFile(spool)
		if err == nil {
			err = os.WriteFile(spool, do(data), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	record(1)
	damage(func(data []byte) []byte { return append(data, 0xCF, 0xCF, 40, 1, 2, 3) })
	record(2)
	damage(func(data []byte) []byte { return append(data, data[16:30]...) }) // torn
	record(1)
	damage(func(data []byte) []byte { data[len(data)-1]++; return data })
	s := open(t, path)
	if err := s.Take(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(analyticstest.Stored(t, s)); got != 3 {
		t.Errorf("%d calls; want 3", got)
	}
	if err := os.WriteFile(spool, []byte("torn id"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Take(t.Context()); err != nil {
		t.Fatal(err)
	}
	record(2)
	if err := s.Take(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(analyticstest.Stored(t, s)); got != 5 {
		t.Errorf("%d calls; want 5", got)
	}
}

// TestRecordersDropWhatIsTooOld: by their settings, once a day.
func TestRecordersDropWhatIsTooOld(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for name, tt := range map[string]struct {
		keep []analytics.Retention
		want int
	}{
		"everything is kept": {[]analytics.Retention{{}}, 101},
		"rows go":            {[]analytics.Retention{{Rows: 5 * day, Hours: 20 * day}}, 100},
		"once a day":         {[]analytics.Retention{{}, {Rows: 5 * day, Hours: 20 * day}}, 201},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := file(t)
			s := open(t, path)
			if err := s.Add(t.Context(), analytics.Call{Time: time.Now().AddDate(0, 0, -10), Agent: "old", Source: llm.SourceLive}); err != nil {
				t.Fatal(err)
			}
			for _, keep := range tt.keep {
				r := callsdb.NewRecorder(path, keep, nil)
				for range 100 { // more than wait in a file
					r.Record(analytics.Call{Time: time.Now(), Agent: "new", Source: llm.SourceLive})
				}
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if got := len(analyticstest.Stored(t, s)); got != tt.want {
				t.Errorf("%d calls; want %d", got, tt.want)
			}
		})
	}
}

// TestAStoreThatCannotBeOpened: the calls wait in the spool file.
func TestAStoreThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	path := file(t)
	if err := os.MkdirAll(path, 0o700); err != nil { // a folder in its place
		t.Fatal(err)
	}
	var said error
	r := callsdb.NewRecorder(path, analytics.Retention{}, func(err error) { said = err })
	for _, c := range analyticstest.RandomCalls(1, 500) {
		r.Record(c)
	}
	if err := r.Close(); err != nil || said != nil {
		t.Fatalf("Close: %v, said %v", err, said)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	if err := s.Take(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(analyticstest.Stored(t, s)); got != 500 {
		t.Errorf("%d calls; want 500", got)
	}
}

func TestCallsThatCannotBeWrittenAreReported(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a file")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	said := 0
	r := callsdb.NewRecorder(filepath.Join(dir, "history.db"), analytics.Retention{}, func(error) { said++ })
	for range 20_000 { // more than wait in memory: whoever calls is not held for good
		r.Record(analytics.Call{Time: epoch, Source: llm.SourceLive})
	}
	if err := r.Close(); err == nil || said != 1 {
		t.Errorf("Close gave %v, and said %d times", err, said)
	}
}

// BenchmarkRecord measures what a call costs whoever makes it, in bursts that fit into
// memory.
func BenchmarkRecord(b *testing.B) {
	const burst = 8000
	c := analytics.Call{Time: time.Now(), Project: "p", Agent: "a", Asked: "m", Model: "m", Source: llm.SourceLive, Duration: time.Second}
	for b.Loop() {
		b.StopTimer()
		r := callsdb.NewRecorder(file(b), analytics.Retention{}, nil)
		b.StartTimer()
		for range burst {
			r.Record(c)
		}
		b.StopTimer()
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/burst, "ns/call")
}

// BenchmarkAdd writes the calls of an hour in groups of a thousand, with their
// sums.
func BenchmarkAdd(b *testing.B) {
	s := open(b, file(b))
	calls := analyticstest.RandomCalls(1, 1000)
	for i := range calls {
		calls[i].Time = epoch.Add(time.Duration(i) * time.Second)
	}
	for b.Loop() {
		if err := s.Add(b.Context(), calls...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/call")
}
