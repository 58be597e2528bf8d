package coalescevalkey

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-force/claude-force/internal/seal"
	store "github.com/claude-force/claude-force/internal/valkey"
	"github.com/claude-force/claude-force/internal/valkey/valkeytest"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/coalesce"
	"github.com/claude-force/claude-force/llm/llmtest"
)

// memory keeps flights of one process, with its clock.
type memory struct {
	mu     sync.Mutex
	owners map[string]owner
	events map[string][][]byte
	serial int
}

type owner struct {
	id     string
	until  time.Time
	landed bool
}

func newMemory() *memory {
	return &memory{owners: map[string]owner{}, events: map[string][][]byte{}}
}

func (m *memory) name(key llm.Key) string { return key.String() }

func (m *memory) join(_ context.Context, name string, landed bool) (string, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if o := m.owners[name]; o.until.After(time.Now()) && (landed || !o.landed) {
		return o.id, false, nil
	}
	m.serial++
	m.owners[name] = owner{fmt.Sprint(m.serial), time.Now().Add(LeaseTime), false}
	return fmt.Sprint(m.serial), true, nil
}

func (m *memory) extend(_ context.Context, name, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if o := m.owners[name]; o.id == id && !o.landed {
		m.owners[name] = owner{id, time.Now().Add(LeaseTime), false}
	}
	return nil
}

func (m *memory) land(_ context.Context, name, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.owners[name].id == id {
		m.owners[name] = owner{id, time.Now().Add(LeaseTime), true}
	}
	return nil
}

func (m *memory) release(_ context.Context, name, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.owners[name].id == id {
		delete(m.owners, name)
	}
	return nil
}

func (m *memory) publish(_ context.Context, _, id string, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events[id] = append(m.events[id], data)
	return nil
}

func (m *memory) read(_ context.Context, name, id, after string) ([][]byte, string, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.owners[name]
	from, _ := strconv.Atoi(after)
	data := m.events[id][from:]
	return data, strconv.Itoa(from + len(data)), o.id == id && !o.landed && o.until.After(time.Now()), nil
}

func layer(t *testing.T, f flights, next llm.Model) llm.Model {
	t.Helper()
	box, err := seal.New(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	return &model{next: next, flights: f, box: box}
}

func TestSuite(t *testing.T) {
	llmtest.Suite(t, func(t *testing.T, next llm.Model) llm.Model { return layer(t, newMemory(), next) })
}

// TestSuiteFollowing has another process follow each call: it gets what the owner gets.
func TestSuiteBelowCoalesce(t *testing.T) {
	llmtest.Suite(t, func(t *testing.T, next llm.Model) llm.Model {
		return coalesce.New(layer(t, newMemory(), next), llm.Keyer{}, coalesce.Options{})
	})
}

// outcome is what a reader got.
type outcome struct {
	text   string
	source llm.Source
	code   llm.Code
}

func read(ctx context.Context, m llm.Model) (o outcome) {
	for ev, err := range m.Stream(ctx, llmtest.Request("same")) {
		if err != nil {
			o.code = llm.CodeOf(err)
			return o
		}
		o.text += ev.Text
		if ev.Response != nil {
			o.source = ev.Response.Source
		}
	}
	return o
}

// TestEightProcesses has eight processes make the same call at once, with what can become
// of it.
func TestEightProcesses(t *testing.T) {
	slow := func(steps ...llmtest.Step) []llmtest.Step {
		return append([]llmtest.Step{llmtest.Wait(time.Minute)}, steps...)
	}
	answer := slow(llmtest.Start(), llmtest.Text("a"), llmtest.Wait(time.Minute), llmtest.Text("b"), llmtest.Done(llmtest.Response("ab")))
	overloaded := llm.NewError(llm.CodeOverloaded, "busy", nil)
	invalid := llm.NewError(llm.CodeInvalid, "bad", nil)
	for name, c := range map[string]struct {
		script [][]llmtest.Step
		calls  int
		want   map[outcome]int
		leave  time.Duration // when the owner leaves; 0 for not
	}{
		"an answer":                 {[][]llmtest.Step{answer}, 1, map[outcome]int{{"ab", llm.SourceLive, 0}: 1, {"ab", llm.SourceCoalesced, 0}: 7}, 0},
		"an error":                  {[][]llmtest.Step{slow(llmtest.Fail(invalid))}, 1, map[outcome]int{{code: llm.CodeInvalid}: 8}, 0},
		"one that passes":           {[][]llmtest.Step{slow(llmtest.Fail(overloaded)), answer}, 2, map[outcome]int{{code: llm.CodeOverloaded}: 1, {"ab", llm.SourceLive, 0}: 1, {"ab", llm.SourceCoalesced, 0}: 6}, 0},
		"one that passes, twice":    {[][]llmtest.Step{slow(llmtest.Fail(overloaded))}, 2, map[outcome]int{{code: llm.CodeOverloaded}: 8}, 0},
		"an error after a part":     {[][]llmtest.Step{slow(llmtest.Start(), llmtest.Text("a"), llmtest.Fail(overloaded))}, 1, map[outcome]int{{text: "a", code: llm.CodeOverloaded}: 8}, 0},
		"the owner leaves at first": {[][]llmtest.Step{answer, answer}, 2, map[outcome]int{{code: llm.CodeCanceled}: 1, {"ab", llm.SourceLive, 0}: 1, {"ab", llm.SourceCoalesced, 0}: 6}, time.Second},
		"the owner leaves later":    {[][]llmtest.Step{answer, answer}, 1, map[outcome]int{{text: "a", code: llm.CodeCanceled}: 1, {text: "a", code: llm.CodeIncomplete}: 7}, 90 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				script, f := llmtest.NewScript(c.script...), newMemory()
				got := map[outcome]int{}
				var mu sync.Mutex
				var wg sync.WaitGroup
				for i := range 8 {
					ctx, m := t.Context(), layer(t, f, script)
					if i == 0 && c.leave > 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithCancel(ctx)
						time.AfterFunc(c.leave, cancel)
					}
					wg.Go(func() {
						o := read(ctx, m)
						mu.Lock()
						defer mu.Unlock()
						got[o]++
					})
					synctest.Wait()
				}
				wg.Wait()
				if fmt.Sprint(got) != fmt.Sprint(c.want) || script.Started() != c.calls {
					t.Errorf("%d calls, %v; want %d, %v", script.Started(), got, c.calls, c.want)
				}
			})
		})
	}
}

// TestDeadOwner has an owner show no sign of life: another takes over when its lease ends.
func TestDeadOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newMemory()
		m := layer(t, f, llmtest.NewScript(llmtest.Answer("x"))).(*model)
		key, err := m.keyer.Key(llmtest.Request("same"))
		if err != nil {
			t.Fatal(err)
		}
		if _, owns, _ := f.join(t.Context(), f.name(key), true); !owns {
			t.Fatal("it was not first")
		}
		begin := time.Now()
		if o := read(t.Context(), m); o.text != "x" || o.source != llm.SourceLive {
			t.Errorf("got %+v", o)
		}
		if d := time.Since(begin); d < LeaseTime || d > LeaseTime+time.Second {
			t.Errorf("taken over after %v", d)
		}
	})
}

// TestLanded makes a call after an identical one has ended: only one that takes cached
// answers gets its answer, for a time, and only if a cache may keep that.
func TestLanded(t *testing.T) {
	refusal := llmtest.Response("no")
	refusal.StopReason = llm.StopRefusal
	cached := func(ctx context.Context) context.Context {
		return llm.WithCacheRecheck(ctx, func() *llm.Response { return nil })
	}
	for name, c := range map[string]struct {
		first []llmtest.Step
		after time.Duration
		takes bool
		calls int
	}{
		"an answer":              {llmtest.Answer("x"), LeaseTime - time.Second, true, 1},
		"a new answer is wanted": {llmtest.Answer("x"), 0, false, 2},
		"too late":               {llmtest.Answer("x"), LeaseTime + time.Second, true, 2},
		"a refusal":              {[]llmtest.Step{llmtest.Start(), llmtest.Done(refusal)}, 0, true, 2},
		"an error":               {[]llmtest.Step{llmtest.Fail(llm.NewError(llm.CodeInvalid, "bad", nil))}, 0, true, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				script, f := llmtest.NewScript(c.first, llmtest.Answer("y"), llmtest.Answer("z")), newMemory()
				read(cached(t.Context()), layer(t, f, script))
				time.Sleep(c.after)
				ctx := t.Context()
				if c.takes {
					ctx = cached(ctx)
				}
				o := read(ctx, layer(t, f, script))
				want := outcome{text: "y", source: llm.SourceLive}
				if c.calls == 1 {
					want = outcome{text: "x", source: llm.SourceCoalesced}
				}
				if o != want || script.Started() != c.calls {
					t.Errorf("%d calls, then %+v; want %d, %+v", script.Started(), o, c.calls, want)
				}
			})
		})
	}
}

// TestStreamsLand lets a flight land in a real server.
func TestStreamsLand(t *testing.T) {
	t.Parallel()
	client, err := store.New(valkeytest.Start(t).URL(), store.Options{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	s, ctx := &streams{client}, t.Context()
	join := func(landed bool) (string, bool) {
		t.Helper()
		id, owns, err := s.join(ctx, "n", landed)
		if err != nil {
			t.Fatal(err)
		}
		return id, owns
	}
	first, owns := join(true)
	if !owns {
		t.Fatal("it was not first")
	}
	if err := errors.Join(s.publish(ctx, "n", first, []byte("all")), s.land(ctx, "n", first), s.land(ctx, "n", first), s.release(ctx, "n", first), s.extend(ctx, "n", first)); err != nil {
		t.Fatal(err)
	}
	if id, owns := join(true); owns || id != first {
		t.Errorf("joined %s, %v; want the flight that has landed", id, owns)
	}
	if data, _, owned, err := s.read(ctx, "n", first, ""); err != nil || owned || len(data) != 1 || string(data[0]) != "all" {
		t.Errorf("read %q, %v, %v", data, owned, err)
	}
	if err := Forget(ctx, client); err != nil {
		t.Fatal(err)
	}
	forgotten, owns := join(true)
	if !owns || forgotten == first {
		t.Errorf("after Forget, joined %s, %v", forgotten, owns)
	}
	if err := errors.Join(Forget(ctx, client), s.extend(ctx, "n", forgotten)); err != nil {
		t.Fatal(err)
	}
	if id, owns := join(true); owns || id != forgotten {
		t.Errorf("Forget ended the flight in the air: joined %s, %v", id, owns)
	}
	if err := s.land(ctx, "n", forgotten); err != nil {
		t.Fatal(err)
	}
	second, owns := join(false)
	if !owns || second == first {
		t.Errorf("who wants a new answer joined %s, %v", second, owns)
	}
	for _, landed := range []bool{true, false} {
		if id, owns := join(landed); owns || id != second {
			t.Errorf("joined %s, %v; want the flight in the air", id, owns)
		}
	}
}
