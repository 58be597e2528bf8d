package engine_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
)

const release = `
steps:
- {id: build, agent: x, task: build}
- {id: ok, approval: {message: 'Ship ${{ steps.build.output }}?', timeout: 1h}}
- {id: ship, agent: x, task: 'ship: ${{ steps.ok.json.comment }}', dependencies: [ok]}
`

// answers returns a person who says the same to everything.
func answers(after time.Duration, d journal.Decision) func(string, string) (time.Duration, journal.Decision, bool) {
	return func(string, string) (time.Duration, journal.Decision, bool) { return after, d, true }
}

func TestApproval(t *testing.T) {
	no := func(string, string) (time.Duration, journal.Decision, bool) { return 0, journal.Decision{}, false }
	tests := map[string]struct {
		decide  func(string, string) (time.Duration, journal.Decision, bool)
		ok      engine.Status
		say     string
		seconds float64
	}{
		"given":    {answers(time.Minute, journal.Decision{Approved: true, By: "kim", Comment: "go"}), engine.StatusCompleted, "", 62},
		"denied":   {answers(time.Minute, journal.Decision{By: "kim", Comment: "not yet"}), engine.StatusFailed, "not approved by kim: not yet", 61},
		"timeout":  {no, engine.StatusFailed, "not approved: there was no answer within 1h", 3601},
		"too late": {answers(2*time.Hour, journal.Decision{Approved: true}), engine.StatusFailed, "not approved: there was no answer within 1h", 3601},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, p := &world{}, newPerson(nil, tt.decide)
				var asked []string
				res := run(t.Context(), parse(t, release), engine.Options{Execute: w.execute, Control: p.control, Observe: func(ctx context.Context, ev engine.Event) {
					if ev.Asked != nil && ev.Status == engine.StatusWaiting {
						asked = append(asked, ev.Asked.Message)
					}
					p.observe(ctx, ev)
				}})
				ok, ship := res.Steps["ok"], res.Steps["ship"]
				if ok.Status != tt.ok || res.TotalTimeSeconds != tt.seconds || len(asked) != 1 || asked[0] != "Ship result of build?" {
					t.Errorf("%s after %v s; asked %q", ok.Status, res.TotalTimeSeconds, asked)
				}
				switch {
				case tt.say == "":
					if w.prompt("ship") != "ship: go" || res.Status != engine.StatusCompleted {
						t.Errorf("the run is %s; ship was asked %q", res.Status, w.prompt("ship"))
					}
				case ship.Status != engine.StatusSkipped || res.Status != engine.StatusFailed || !strings.HasPrefix(*ok.Error, tt.say):
					t.Errorf("the run is %s, ship is %s: %s", res.Status, ship.Status, *ok.Error)
				}
			})
		})
	}
}

// interrupted returns the journal of the release up to its question, which waited
// for ten minutes when the run was stopped.
func interrupted(t *testing.T) []journal.Event {
	b, w := newBook(t), &world{}
	drain := make(chan struct{})
	time.AfterFunc(10*time.Minute, func() { close(drain) })
	res := run(t.Context(), parse(t, release), engine.Options{Execute: w.execute, Log: b.log, Drain: drain})
	if res.Status != engine.StatusInterrupted || res.Steps["ok"].Status != engine.StatusInterrupted {
		t.Fatalf("%s, the question %s", res.Status, res.Steps["ok"].Status)
	}
	return b.events(t)
}

func TestApprovalAnsweredBetween(t *testing.T) {
	for name, tt := range map[string]struct {
		d    journal.Decision
		want engine.Status
	}{
		"given":  {journal.Decision{Approved: true, Comment: "go"}, engine.StatusCompleted},
		"denied": {journal.Decision{}, engine.StatusFailed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBook(t, interrupted(t)...)
				if err := b.store.Signal(t.Context(), journal.Event{Run: bookID, Type: journal.ApprovalGiven, Step: "ok", Detail: journal.Detail(tt.d)}); err != nil {
					t.Fatal(err)
				}
				<-time.After(24 * time.Hour) // long past the deadline, which the answer kept
				w := &world{}
				res := run(t.Context(), parse(t, release), engine.Options{Execute: w.execute, Log: b.log, Past: past(t, b.events(t))})
				if res.Status != tt.want || res.Steps["ok"].Status != tt.want || w.times("build") != 0 {
					t.Errorf("%s, the question %s, calls %v", res.Status, res.Steps["ok"].Status, w.units())
				}
			})
		})
	}
}

func TestApprovalKeepsItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(t, interrupted(t)...)
		<-time.After(20 * time.Minute)
		w := &world{}
		res := run(t.Context(), parse(t, release), engine.Options{Execute: w.execute, Log: b.log, Past: past(t, b.events(t))})
		// Asked after a second, and half an hour of the hour had gone.
		if res.Status != engine.StatusFailed || res.TotalTimeSeconds != 30*60+1 {
			t.Errorf("%s after %v s", res.Status, res.TotalTimeSeconds)
		}
		events := b.events(t)
		asked := 0
		for _, ev := range events {
			if ev.Type == journal.ApprovalAsked {
				asked++
			}
		}
		if asked != 1 {
			t.Errorf("asked %d times", asked)
		}
	})
}

// TestDecisionsInTimeHold brings a decision to the run after its deadline: what
// counts is whether the journal took it in time.
func TestDecisionsInTimeHold(t *testing.T) {
	for name, tt := range map[string]struct {
		at    time.Duration // of the decision, after the request
		taken bool
		want  engine.Status
	}{
		"in time": {time.Hour - time.Millisecond, true, engine.StatusCompleted},
		"late":    {time.Hour, false, engine.StatusFailed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, w := newBook(t), &world{}
				control := make(chan journal.Event) // brings nothing
				opts := engine.Options{Execute: w.execute, Log: b.log, Control: control}
				opts.Decided = func(_ context.Context, unit journal.Unit) (*journal.Decision, error) {
					return past(t, b.events(t)).Unit(unit.Step, unit.Item).Decision, nil
				}
				opts.Observe = func(ctx context.Context, ev engine.Event) {
					if ev.Asked == nil {
						return
					}
					time.AfterFunc(tt.at, func() {
						err := b.store.Signal(context.Background(), journal.Event{Run: bookID, Type: journal.ApprovalGiven, Step: ev.Path, Detail: journal.Detail(journal.Decision{Approved: true})})
						if (err == nil) != tt.taken {
							t.Errorf("the decision: %v", err)
						}
					})
				}
				res := run(t.Context(), parse(t, release), opts)
				synctest.Wait()
				if res.Status != tt.want || res.Steps["ok"].Status != tt.want {
					t.Errorf("%s, the approval %s", res.Status, res.Steps["ok"].Status)
				}
			})
		})
	}
}

// A question that is asked again after it was answered is a new one: the old
// answer is not its own.
func TestApprovalAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wf := parse(t, release)
		b := newBook(t)
		p := newPerson(b, answers(time.Minute, journal.Decision{}))
		if res := run(t.Context(), wf, engine.Options{Execute: (&world{}).execute, Log: b.log, Control: p.control, Observe: p.observe}); res.Status != engine.StatusFailed {
			t.Fatal(res.Status)
		}
		// The run goes on, asks again, and is stopped before there is an answer.
		drain := make(chan struct{})
		time.AfterFunc(time.Minute, func() { close(drain) })
		res := run(t.Context(), wf, engine.Options{Execute: (&world{}).execute, Log: b.log, Past: past(t, b.events(t)), Drain: drain})
		if res.Status != engine.StatusInterrupted {
			t.Fatal(res.Status)
		}
		p = newPerson(b, answers(time.Minute, journal.Decision{Approved: true}))
		res = run(t.Context(), wf, engine.Options{Execute: (&world{}).execute, Log: b.log, Past: past(t, b.events(t)), Control: p.control, Observe: p.observe})
		if res.Status != engine.StatusCompleted {
			t.Errorf("%s: %v", res.Status, statuses(res))
		}
	})
}

// What was approved is what the question said: with changes accepted, another
// question has no answer yet.
func TestApprovalOfWhatChanged(t *testing.T) {
	for name, tt := range map[string]struct {
		output string
		asked  int
	}{
		"same":  {"v1", 0},
		"other": {"v2", 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, output := newBook(t), "v1"
				w := &world{answer: func(a engine.Attempt) (string, error) {
					if a.Step.ID == "ship" {
						return "", errBad
					}
					return output, nil
				}}
				p := newPerson(b, answers(time.Minute, journal.Decision{Approved: true}))
				identity := func(sum string) engine.Options {
					return engine.Options{Execute: w.execute, Log: b.log, Control: p.control, Observe: p.observe,
						Identify: identityOf(map[string]string{"build": sum})}
				}
				run(t.Context(), parse(t, release), identity("one"))
				asked := 0
				output = tt.output
				opts := identity("two")
				opts.Past, opts.Changed = past(t, b.events(t)), true
				opts.Observe = func(ctx context.Context, ev engine.Event) {
					if ev.Asked != nil && ev.Status == engine.StatusWaiting {
						asked++
					}
					p.observe(ctx, ev)
				}
				res := run(t.Context(), parse(t, release), opts)
				if res.Steps["ok"].Status != engine.StatusCompleted || asked != tt.asked || w.times("build") != 2 {
					t.Errorf("%s, asked %d times; want %d; %v", res.Steps["ok"].Status, asked, tt.asked, w.units())
				}
			})
		})
	}
}

// slowLog is a log on a disk that takes its time: what is appended is durable
// when the gate is opened.
type slowLog struct {
	journal.Log
	gate chan struct{}
}

func (l slowLog) Append(events ...journal.Event) func() error {
	return func() error {
		<-l.gate
		return l.Log.Append(events...)()
	}
}

// A question is shown when whoever sees it can answer it; other steps do not
// wait for that.
func TestApprovalIsShownOnceDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wf := parse(t, "steps:\n- {id: ok, approval: Go?}\n- {id: beside, agent: x, task: t}\n")
		b := newBook(t)
		var shown atomic.Int32
		log := slowLog{b.log, make(chan struct{})}
		w := &world{answer: func(engine.Attempt) (string, error) {
			if n := shown.Load(); n != 0 {
				t.Errorf("with nothing durable, %d questions were shown", n)
			}
			close(log.gate)
			return "", nil
		}}
		p := newPerson(b, answers(0, journal.Decision{Approved: true}))
		asked := func() (n int) {
			for _, ev := range b.events(t) {
				if ev.Type == journal.ApprovalAsked {
					n++
				}
			}
			return n
		}
		res := run(t.Context(), wf, engine.Options{Execute: w.execute, Log: log, Control: p.control, Observe: func(ctx context.Context, ev engine.Event) {
			if ev.Asked != nil {
				shown.Add(1)
				if asked() != 1 {
					t.Errorf("shown with %d questions in the journal", asked())
				}
			}
			p.observe(ctx, ev)
		}})
		if n := shown.Load(); res.Status != engine.StatusCompleted || n != 1 {
			t.Errorf("%s, shown %d times", res.Status, n)
		}
	})
}

// A question that cannot be written down is shown to nobody.
func TestApprovalThatIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(t)
		if err := b.log.Release(); err != nil {
			t.Fatal(err)
		}
		wf := parse(t, "steps:\n- {id: ok, approval: Go?}\n")
		_, err := engine.Run(t.Context(), wf, engine.Options{Log: b.log, Observe: func(ctx context.Context, ev engine.Event) {
			if ev.Asked != nil {
				t.Error("it was shown")
			}
		}})
		if err == nil {
			t.Error("the run did not say that its journal cannot be written")
		}
	})
}
