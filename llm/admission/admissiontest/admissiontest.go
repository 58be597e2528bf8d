// Package admissiontest is the suite that implementations of [admission.Shared] pass.
package admissiontest

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/claude-force/claude-force/llm/admission"
)

// long is a minute in which next to nothing comes in during a test.
const long = 1000 * time.Hour

// Suite tests a store. open makes an empty one and returns what gives each process its
// own way to it.
func Suite(t *testing.T, open func(t *testing.T) (process func() admission.Shared)) {
	for name, test := range map[string]func(t *testing.T, s *store){
		"a limit is shared":                    testLimit,
		"a large call is not starved":          testOrder,
		"what was taken is corrected":          testSettle,
		"a call that is not made":              testUntake,
		"another epoch gives nothing back":     testEpoch,
		"headers":                              testLearn,
		"a refusal closes the pool for all":    testRefuse,
		"members":                              testMembers,
		"who acted apart says what it used":    testApart,
		"a new store learns from its members":  testLearned,
		"looking changes nothing":              testLook,
		"reset":                                testReset,
		"pools have their own limits":          testPools,
		"buckets refill":                       testRefill,
		"many at once":                         testMany,
		"limits that are assumed may change":   testAssumed,
		"without limits nothing waits":         testNone,
		"a call larger than the limit goes":    testLarge,
		"amounts that are out of range":        testRange,
		"an untaken place before does no harm": testUntakeBefore,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			process := open(t)
			test(t, &store{t: t, Shared: process(), process: process, known: Known("one", 30, 100_000, 10_000)})
		})
	}
}

// Known returns what a process knows that was given limits by its configuration.
func Known(member string, requests, input, output float64) admission.Known {
	return admission.Known{Member: member, Minute: long, Assumed: admission.Amounts{requests, input, output}, Source: admission.SourceConfigured}
}

// store is one as a process sees it.
type store struct {
	admission.Shared
	t       *testing.T
	process func() admission.Shared
	known   admission.Known
}

// another returns the store as another process sees it.
func (s *store) another(member string) *store {
	other := *s
	other.Shared, other.known.Member = s.process(), member
	return &other
}

func (s *store) do(op admission.Op) admission.View { return s.on("pool", op) }

func (s *store) on(pool string, op admission.Op) admission.View {
	s.t.Helper()
	v, err := s.Apply(s.t.Context(), pool, s.known, op)
	if err != nil {
		s.t.Fatal(err)
	}
	s.known.Apart = false
	return v
}

func (s *store) take(requests, input, output float64) admission.View {
	s.t.Helper()
	return s.do(admission.Op{Kind: admission.OpTake, Cost: admission.Amounts{requests, input, output}})
}

func (s *store) look() admission.View {
	s.t.Helper()
	return s.do(admission.Op{Kind: admission.OpLook})
}

// wantLevels compares what is left, up to what comes in meanwhile.
func (s *store) wantLevels(v admission.View, levels ...float64) {
	s.t.Helper()
	for i, want := range levels {
		if got := v.Buckets[i].Level; math.Abs(got-want) > 0.001*math.Max(1, v.Buckets[i].Limit) {
			s.t.Errorf("%v of the %d. limit are left, want %v", got, i+1, want)
		}
	}
}

func testLimit(t *testing.T, s *store) {
	processes, granted := []*store{s, s.another("two")}, 0
	for i := range 40 {
		if processes[i%2].take(1, 10, 10).Wait == 0 {
			granted++
		}
	}
	// A twentieth of a limit is left in its bucket.
	if granted != 28 {
		t.Errorf("%d calls may go, want 28 of 30", granted)
	}
	s.wantLevels(s.look(), -10, 99_600, 9600)
}

func testOrder(t *testing.T, s *store) {
	if v := s.take(1, 90_000, 10); v.Wait != 0 {
		t.Fatalf("the first waits %v", v.Wait)
	}
	large := s.take(1, 40_000, 10)
	small := s.another("two").take(1, 100, 10)
	if large.Wait < long/4 || small.Wait < large.Wait-long/3 || small.Wait == 0 {
		t.Errorf("the large call waits %v, the small one after it %v", large.Wait, small.Wait)
	}
	again := s.do(admission.Op{Kind: admission.OpTake, Ticket: large.Ticket, Cost: admission.Amounts{1, 1, 1}})
	if again.Ticket != large.Ticket || math.Abs(float64(again.Wait-large.Wait)) > float64(long)/1000 {
		t.Errorf("a second time it has %+v and waits %v; want %+v, %v", again.Ticket, again.Wait, large.Ticket, large.Wait)
	}
	s.wantLevels(again, 27, -30_100, 9970)
	// What others took afterwards does not count against it.
	s.do(admission.Op{Kind: admission.OpSettle, Ticket: large.Ticket, Cost: admission.Amounts{0, 80_000, 0}})
	if v := s.do(admission.Op{Kind: admission.OpTake, Ticket: large.Ticket}); v.Wait != 0 {
		t.Errorf("with room it waits %v", v.Wait)
	}
}

func testSettle(t *testing.T, s *store) {
	v := s.take(1, 5000, 600)
	s.wantLevels(v, 29, 95_000, 9400)
	s.wantLevels(s.another("two").do(admission.Op{Kind: admission.OpSettle, Ticket: v.Ticket, Cost: admission.Amounts{0, 4000, -1000}}), 29, 99_000, 8400)
	s.wantLevels(s.do(admission.Op{Kind: admission.OpSettle, Ticket: v.Ticket, Cost: admission.Amounts{5, 9000, 0}}), 30, 100_000, 8400)
}

func testUntake(t *testing.T, s *store) {
	v := s.take(1, 50_000, 600)
	s.wantLevels(s.do(admission.Op{Kind: admission.OpUntake, Ticket: v.Ticket}), 30, 100_000, 10_000)
}

func testUntakeBefore(t *testing.T, s *store) {
	before := s.take(1, 50_000, 10)
	after := s.take(1, 1000, 10)
	s.do(admission.Op{Kind: admission.OpUntake, Ticket: before.Ticket})
	if v := s.do(admission.Op{Kind: admission.OpTake, Ticket: after.Ticket}); v.Wait != 0 {
		t.Errorf("waits %v with %+v", v.Wait, v.Buckets[1])
	}
}

func testEpoch(t *testing.T, s *store) {
	s.take(1, 50_000, 600)
	old := admission.Ticket{Epoch: "another", Cost: admission.Amounts{1, 5000, 600}, Marks: admission.Amounts{1, 5000, 600}}
	s.wantLevels(s.do(admission.Op{Kind: admission.OpUntake, Ticket: old}), 29, 50_000, 9400)
	s.wantLevels(s.do(admission.Op{Kind: admission.OpSettle, Ticket: old, Cost: admission.Amounts{0, 5000, -400}}), 29, 50_000, 9000)
	if v := s.do(admission.Op{Kind: admission.OpTake, Ticket: old, Cost: admission.Amounts{1, 100, 0}}); v.Ticket.Epoch == old.Epoch || v.Ticket.Cost != (admission.Amounts{1, 100, 0}) {
		t.Errorf("a place of another epoch is %+v", v.Ticket)
	}
}

func testLearn(t *testing.T, s *store) {
	s.known.Assumed, s.known.Source = admission.Amounts{1000, 2_000_000, 400_000}, admission.SourceTier
	said := func(limit, remaining float64) admission.Quota {
		return admission.Quota{Limit: limit, Remaining: remaining, Counted: remaining >= 0}
	}
	for _, c := range []struct {
		what       string
		quotas     [3]admission.Quota
		limits     admission.Amounts
		levels     []float64
		sources    [3]admission.Source
		ago        time.Duration
		inFlight   admission.Amounts
		anotherOne bool
	}{
		{what: "nothing", limits: admission.Amounts{1000, 2_000_000, 400_000}, levels: []float64{1000, 2_000_000, 400_000}, sources: [3]admission.Source{"tier default", "tier default", "tier default"}},
		{what: "lower", quotas: [3]admission.Quota{said(50, 40)}, limits: admission.Amounts{50, 2_000_000, 400_000}, levels: []float64{40, 2_000_000, 400_000}, sources: [3]admission.Source{"learned", "tier default", "tier default"}},
		{what: "what remains does not raise", quotas: [3]admission.Quota{said(50, 49)}, anotherOne: true, limits: admission.Amounts{50, 2_000_000, 400_000}, levels: []float64{40, 2_000_000, 400_000}, sources: [3]admission.Source{"learned", "tier default", "tier default"}},
		{what: "a higher rate gives nothing back", quotas: [3]admission.Quota{said(100, 99)}, limits: admission.Amounts{100, 2_000_000, 400_000}, levels: []float64{40, 2_000_000, 400_000}, sources: [3]admission.Source{"learned", "tier default", "tier default"}},
		{what: "thousands are rounded", quotas: [3]admission.Quota{{}, said(80_000, 7000)}, limits: admission.Amounts{100, 80_000, 400_000}, levels: []float64{40, 7500, 400_000}, sources: [3]admission.Source{"learned", "learned", "tier default"}},
		{what: "only the limit", quotas: [3]admission.Quota{{}, {}, said(9000, -1)}, limits: admission.Amounts{100, 80_000, 9000}, levels: []float64{40, 7500, 9000}, sources: [3]admission.Source{"learned", "learned", "learned"}},
		{what: "counted long ago", quotas: [3]admission.Quota{said(100, 20)}, ago: long / 10, limits: admission.Amounts{100, 80_000, 9000}, levels: []float64{30, 7500, 9000}, sources: [3]admission.Source{"learned", "learned", "learned"}},
	} {
		by := s
		if c.anotherOne {
			by = s.another("two")
		}
		v := by.do(admission.Op{Kind: admission.OpLearn, Said: c.quotas, Ago: c.ago, Outstanding: c.inFlight})
		for i, b := range v.Buckets {
			if b.Limit != c.limits[i] || b.Source != c.sources[i] || b.Learned.IsZero() != (b.Source != admission.SourceLearned) {
				t.Errorf("%s: the %d. limit is %+v; want %v, %s", c.what, i+1, b, c.limits[i], c.sources[i])
			}
		}
		s.wantLevels(v, c.levels...)
	}
	fresh := s.another("three")
	v := fresh.on("another pool", admission.Op{Kind: admission.OpLearn, Said: [3]admission.Quota{said(100, -1)}, Outstanding: admission.Amounts{30, 0, 0}})
	s.wantLevels(v, 70)
}

func testRefuse(t *testing.T, s *store) {
	v := s.take(1, 100, 10)
	v = s.do(admission.Op{Kind: admission.OpRefuse, Ticket: v.Ticket, Cost: v.Ticket.Cost, Freeze: time.Hour, By: "ramp_limit_exceeded"})
	s.wantLevels(v, 0, 0, 0)
	other := s.another("two").take(1, 10, 10)
	if other.Frozen < 50*time.Minute || other.Frozen > time.Hour || other.By != "ramp_limit_exceeded" || other.Wait == 0 {
		t.Errorf("the other process sees %+v", other)
	}
	// A shorter refusal does not shorten it.
	if v := s.do(admission.Op{Kind: admission.OpRefuse, Freeze: time.Minute, By: "x"}); v.Frozen < 50*time.Minute || v.By != "ramp_limit_exceeded" {
		t.Errorf("after a shorter one: %+v", v)
	}
	// The service counts and has room: it lets requests through more evenly than that.
	counted := s.another("three")
	ticket := counted.on("another pool", admission.Op{Kind: admission.OpTake, Cost: admission.Amounts{1, 100, 10}}).Ticket
	s.wantLevels(counted.on("another pool", admission.Op{Kind: admission.OpRefuse, Ticket: ticket, Cost: ticket.Cost, Counted: true}), 0, 100_000, 10_000)
	// It was foreseen: the buckets were empty.
	ticket = counted.on("third pool", admission.Op{Kind: admission.OpTake, Cost: admission.Amounts{29.5, 100, 10}}).Ticket
	s.wantLevels(counted.on("third pool", admission.Op{Kind: admission.OpRefuse, Cost: admission.Amounts{1, 100, 10}}), 0.5, 99_900, 9990)
}

func testMembers(t *testing.T, s *store) {
	for i := range 5 {
		if v := s.another(fmt.Sprint("process ", i)).take(1, 1, 1); v.Members != i+1 {
			t.Errorf("%d members, want %d", v.Members, i+1)
		}
	}
	if v := s.take(1, 1, 1); v.Members != 6 {
		t.Errorf("%d members, want 6", v.Members)
	}
	if v := s.another("a stranger").look(); v.Members != 6 {
		t.Errorf("%d members with one that only looks, want 6", v.Members)
	}
}

func testApart(t *testing.T, s *store) {
	s.take(1, 1000, 0)
	newcomer := s.another("two")
	newcomer.known.Used = admission.Amounts{20, 30_000, 0}
	s.wantLevels(newcomer.take(1, 1000, 0), 9, 69_000)
	s.wantLevels(newcomer.take(1, 1000, 0), 8, 68_000) // it has said so
	newcomer.known.Apart = true
	newcomer.known.Used = admission.Amounts{25, 10_000, 0}
	s.wantLevels(newcomer.take(1, 1000, 0), 4, 67_000)
	newcomer.known.Apart = false
	newcomer.known.Used = admission.Amounts{30, 100_000, 10_000}
	s.wantLevels(newcomer.take(1, 1000, 0), 3, 66_000)
}

func testLearned(t *testing.T, s *store) {
	s.known.Learned, s.known.Used = admission.Amounts{50, 0, 2000}, admission.Amounts{45, 0, 500}
	v := s.take(1, 0, 0)
	s.wantLevels(v, 4, 100_000, 1500)
	if v.Buckets[0].Limit != 50 || v.Buckets[0].Source != admission.SourceLearned || v.Buckets[1].Source != admission.SourceConfigured {
		t.Errorf("%+v", v.Buckets)
	}
	other := s.another("two")
	other.known.Learned = admission.Amounts{7, 7, 7} // the store knows better
	if v := other.take(1, 0, 0); v.Buckets[0].Limit != 50 || v.Buckets[1].Limit != 100_000 {
		t.Errorf("%+v", v.Buckets)
	}
}

func testLook(t *testing.T, s *store) {
	if v := s.look(); v != (admission.View{}) {
		t.Errorf("of a pool that is not there: %+v", v)
	}
	if names, err := s.Pools(t.Context()); err != nil || len(names) != 0 {
		t.Errorf("pools %q, %v", names, err)
	}
	s.take(1, 10, 10)
	stranger := s.another("two")
	stranger.known = admission.Known{Minute: long}
	for range 2 {
		v := stranger.look()
		s.wantLevels(v, 29, 99_990, 9990)
		if v.Buckets[0].Limit != 30 || v.Members != 1 {
			t.Errorf("%+v", v)
		}
	}
}

func testReset(t *testing.T, s *store) {
	old := s.take(1, 50_000, 0)
	s.do(admission.Op{Kind: admission.OpLearn, Said: [3]admission.Quota{{Limit: 50}}})
	s.do(admission.Op{Kind: admission.OpRefuse, Freeze: time.Hour})
	s.on("another", admission.Op{Kind: admission.OpTake})
	if names, err := s.another("two").Reset(t.Context(), "pool"); err != nil || !slices.Equal(names, []string{"pool"}) {
		t.Fatalf("reset %q, %v", names, err)
	}
	s.known.Learned, s.known.Used = admission.Amounts{50, 0, 0}, admission.Amounts{50, 50, 50} // it does not know yet
	v := s.do(admission.Op{Kind: admission.OpSettle, Ticket: old.Ticket, Cost: admission.Amounts{0, 5000, 0}})
	s.wantLevels(v, 30, 100_000, 10_000)
	if v.Frozen != 0 || v.Buckets[0].Limit != 30 {
		t.Errorf("%+v", v)
	}
	if v := s.do(admission.Op{Kind: admission.OpTake, Ticket: old.Ticket}); v.Ticket.Epoch == old.Ticket.Epoch {
		t.Error("the epoch is the same")
	}
	names, err := s.Reset(t.Context(), "")
	if slices.Sort(names); err != nil || !slices.Equal(names, []string{"another", "pool"}) {
		t.Errorf("reset %q, %v", names, err)
	}
}

func testPools(t *testing.T, s *store) {
	s.on("a", admission.Op{Kind: admission.OpTake, Cost: admission.Amounts{20, 0, 0}})
	v := s.on("b", admission.Op{Kind: admission.OpTake, Cost: admission.Amounts{1, 0, 0}})
	s.wantLevels(v, 29)
	names, err := s.another("two").Pools(t.Context())
	if slices.Sort(names); err != nil || !slices.Equal(names, []string{"a", "b"}) {
		t.Errorf("pools %q, %v", names, err)
	}
}

func testRefill(t *testing.T, s *store) {
	s.known.Minute = 100 * time.Millisecond
	for range 40 {
		v := s.take(1, 10, 10)
		for first := v; v.Wait > 0; {
			v = s.do(admission.Op{Kind: admission.OpTake, Ticket: v.Ticket})
			if v.Ticket != first.Ticket || v.Wait > first.Wait {
				t.Fatalf("first %+v, then %+v", first, v)
			}
		}
	}
	if v := s.look(); v.Buckets[0].Level > 30 {
		t.Errorf("%v are left of 30", v.Buckets[0].Level)
	}
}

func testMany(t *testing.T, s *store) {
	s.known = Known("", 1e6, 1e9, 1e9)
	var wg sync.WaitGroup
	for i := range 8 {
		process := s.another(fmt.Sprint("process ", i))
		wg.Go(func() {
			for range 25 {
				v, err := process.Apply(t.Context(), "pool", process.known, admission.Op{Kind: admission.OpTake, Cost: admission.Amounts{1000, 1_000_000, 1_000_000}})
				if err == nil {
					_, err = process.Apply(t.Context(), "pool", process.known, admission.Op{Kind: admission.OpSettle, Ticket: v.Ticket, Cost: admission.Amounts{0, 500_000, -500_000}})
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	s.wantLevels(s.look(), 800_000, 900_000_000, 700_000_000)
}

func testAssumed(t *testing.T, s *store) {
	s.take(10, 0, 0)
	s.known.Assumed = admission.Amounts{60, 0, 10_000}
	v := s.take(1, 50, 0)
	s.wantLevels(v, 49)
	if v.Buckets[0].Limit != 60 || v.Buckets[1].Limit != 0 || v.Wait != 0 {
		t.Errorf("%+v", v)
	}
}

func testNone(t *testing.T, s *store) {
	s.known.Assumed = admission.Amounts{}
	for range 100 {
		if v := s.take(1, 1e6, 1e6); v.Wait != 0 {
			t.Fatalf("waits %v without limits", v.Wait)
		}
	}
}

func testLarge(t *testing.T, s *store) {
	if v := s.take(1, 300_000, 0); v.Wait != 0 {
		t.Errorf("a full bucket does not let it go: %+v", v)
	}
	if v := s.take(1, 10, 0); v.Wait < 2*long {
		t.Errorf("the next waits %v", v.Wait)
	}
}

func testRange(t *testing.T, s *store) {
	s.known.Assumed = admission.Amounts{1e15, 1e15, 0}
	v := s.take(1, 1e3, -5)
	if v.Wait != 0 || v.Buckets[0].Limit < 1e9 {
		t.Errorf("%+v", v)
	}
}
