package admission_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gofrs/flock"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/llm/llmtest"
	"github.com/claude-force/claude-force/sim"
)

// stateFile returns the one file of state in dir.
func stateFile(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "limits-*"))
	if err != nil {
		t.Fatal(err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return strings.HasSuffix(name, ".lock") })
	if len(names) != 1 {
		t.Fatalf("files %q, want one", names)
	}
	return names[0]
}

func TestProcessesShareWhatTheyKnow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		server := sim.New(sim.Options{Limits: &sim.Limits{RequestsPerMinute: 30}, Latency: sim.Fixed(time.Second)})
		begin := time.Now()
		var wg sync.WaitGroup
		for process := range 2 {
			limits := steady(admission.Options{Dir: dir, Namespace: "one"})
			wg.Go(func() {
				all(t.Context(), t, over(t, server, nil, limits), 50, func(i int) *llm.Request {
					return llmtest.Request(fmt.Sprint("process ", process, " number ", i))
				})
			})
		}
		wg.Wait()
		if s := server.Stats(); s.RateLimited > 1 {
			t.Errorf("%d of %d requests refused, want at most 1", s.RateLimited, s.Requests)
		}
		// 30 at once, 70 at 30 a minute.
		if d := time.Since(begin); d > 2*time.Minute+30*time.Second {
			t.Errorf("100 calls of two processes took %v, want 2m20s and the reserve", d)
		}
		// A later process begins with what was learned, and sees it without a
		// call; another credential does not.
		later := admission.NewLimiter(admission.Options{Dir: dir, Namespace: "one"})
		if got := status(t, later).Requests; got.Limit != 30 || got.Source != admission.SourceLearned || got.Remaining > 3 {
			t.Errorf("a later process knows %+v, want the learned limit of 30, used", got)
		}
		if got := admission.NewLimiter(admission.Options{Dir: dir, Namespace: "two"}).Limits(); len(got) != 0 {
			t.Errorf("another credential sees %+v", got)
		}
	})
}

func TestOutageIsSharedByProcesses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		fail := []llmtest.Step{llmtest.Fail(overload)}
		next := llmtest.NewScript(fail, fail, fail, llmtest.Answer("done"))
		one := admission.NewLimited(next, nil, steady(admission.Options{Dir: dir}))
		for range 2 {
			_, _ = llm.Collect(one.Stream(t.Context(), numbered(0))) // scripted
		}
		var wg sync.WaitGroup
		begin := time.Now()
		for range 2 {
			m := admission.NewLimited(next, nil, steady(admission.Options{Dir: dir}))
			wg.Go(func() { all(t.Context(), t, m, 1, numbered) })
			synctest.Wait()
		}
		if next.Started() != 3 {
			t.Errorf("%d calls with the breaker open, want 3", next.Started())
		}
		wg.Wait()
		if d := time.Since(begin); d < time.Second || d > 2*time.Second {
			t.Errorf("two processes were through after %v, want the pause of 1s", d)
		}
	})
}

func TestDamagedFileIsReset(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ask := func() {
		limits := admission.NewLimiter(admission.Options{Dir: dir})
		llmtest.MustCollect(t, admission.NewLimited(llmtest.Echo{}, nil, limits), llmtest.Request("hi"))
		if got := status(t, limits); got.Requests.Limit != 1000 || got.InFlight != 0 {
			t.Errorf("got %+v, want the tier's limits", got)
		}
	}
	ask()
	name := stateFile(t, dir)
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	flipped := slices.Clone(whole)
	flipped[len(whole)/2] ^= 1
	for what, data := range map[string][]byte{
		"empty": {}, "half": whole[:len(whole)/2], "a flipped bit": flipped, "header only": whole[:30],
		"something else": []byte("{}"), "zeros": make([]byte, 4096), "garbage after": append(slices.Clone(whole), "xxx"...),
	} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		ask()
		if now, err := os.ReadFile(name); err != nil || !strings.HasPrefix(string(now), "claude-force limits 1 ") {
			t.Errorf("%s: the file was not reset: %q, %v", what, now, err)
		}
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	ask()
}

// TestReplacedFile has another file take the place of the one that a limiter has open, or
// none: it shares the new one.
func TestReplacedFile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, how := range []string{"removed", "replaced", "folder removed"} {
			dir := filepath.Join(t.TempDir(), "data")
			limits := admission.NewLimiter(admission.Options{Dir: dir})
			m := admission.NewLimited(llmtest.Echo{}, nil, limits)
			llmtest.MustCollect(t, m, llmtest.Request("one"))
			name := stateFile(t, dir)
			var err error
			switch how {
			case "removed":
				err = os.Remove(name)
			case "replaced":
				var data []byte
				if data, err = os.ReadFile(name); err == nil {
					err = os.WriteFile(name+".new", data, 0o600)
				}
				if err == nil {
					err = os.Rename(name+".new", name)
				}
			case "folder removed":
				err = os.RemoveAll(dir)
			}
			if err != nil {
				t.Fatal(err)
			}
			other := admission.NewLimiter(admission.Options{Dir: dir})
			llmtest.MustCollect(t, admission.NewLimited(llmtest.Echo{}, nil, other), llmtest.Request("two"))
			llmtest.MustCollect(t, m, llmtest.Request("three"))
			if one, two := status(t, limits).Requests, status(t, other).Requests; one.Remaining != two.Remaining {
				t.Errorf("%s: the limiters know %+v and %+v", how, one, two)
			}
		}
	})
}

func TestStoppedProcessIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := admission.NewLimited(llmtest.Echo{}, nil, admission.NewLimiter(admission.Options{Dir: dir}))
	llmtest.MustCollect(t, m, llmtest.Request("hi"))
	lock := flock.New(stateFile(t, dir) + ".lock")
	if err := lock.Lock(); err != nil {
		t.Fatal(err)
	}
	llmtest.MustCollect(t, m, llmtest.Request("hi")) // hangs if it waits
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
}

func TestManyPoolsAreForgotten(t *testing.T) {
	t.Parallel()
	limits := admission.NewLimiter(admission.Options{Dir: t.TempDir()})
	for i := range 200 {
		req := llmtest.Request("hi")
		req.Model = fmt.Sprint("no-such-model-", i)
		llmtest.MustCollect(t, admission.NewLimited(llmtest.Echo{}, nil, limits), req)
	}
	if n := len(limits.Limits()); n != 64 {
		t.Errorf("%d pools are remembered, want 64", n)
	}
}

func TestUnusableFolderIsNotAnError(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	synctest.Test(t, func(t *testing.T) {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		limits := admission.NewLimiter(admission.Options{Dir: filepath.Join(file, "below")})
		m := admission.NewLimited(llmtest.Echo{}, nil, limits)
		for range 2 {
			llmtest.MustCollect(t, m, llmtest.Request("hi"))
		}
		if got := status(t, limits); got.Requests.Remaining > 999 {
			t.Errorf("%d requests left, want 998 and what has come in", got.Requests.Remaining)
		}
	})
}

// BenchmarkShared measures what a call costs when its state is in a file: to take,
// to observe headers and to settle.
func BenchmarkShared(b *testing.B) {
	limits := admission.NewLimiter(admission.Options{
		Dir: b.TempDir(), Limits: map[string]admission.Limits{"": {Requests: 1e9, InputTokens: math.MaxInt >> 20, OutputTokens: math.MaxInt >> 20}},
	})
	m := admission.NewLimited(llmtest.NewScript(llmtest.Answer("done")), nil, limits)
	for _, model := range []string{"claude-opus-5-5", "claude-opus-5", "claude-sonnet-5", "claude-sonnet-5-5", "claude-haiku-4-5"} {
		req := llmtest.Request("hi")
		req.Model = model
		llmtest.MustCollect(b, m, req)
	}
	req := llmtest.Request("hi")
	for b.Loop() {
		llmtest.MustCollect(b, m, req)
	}
}

func BenchmarkOwn(b *testing.B) {
	limits := admission.NewLimiter(admission.Options{
		Limits: map[string]admission.Limits{"": {Requests: 1e9, InputTokens: math.MaxInt >> 20, OutputTokens: math.MaxInt >> 20}},
	})
	m := admission.NewLimited(llmtest.NewScript(llmtest.Answer("done")), nil, limits)
	req := llmtest.Request("hi")
	for b.Loop() {
		llmtest.MustCollect(b, m, req)
	}
}
