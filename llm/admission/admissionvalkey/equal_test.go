package admissionvalkey_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/internal/valkey/valkeytest"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/llm/admission/admissionvalkey"
)

// TestScriptDoesWhatMemoryDoes has both do the same operations: they decide alike.
func TestScriptDoesWhatMemoryDoes(t *testing.T) {
	server, trials := valkeytest.Start(t), 0
	client := open(t, server.URL(), "").Client()
	const minute = 1e5 * time.Hour // next to nothing comes in meanwhile
	rapid.Check(t, func(t *rapid.T) {
		trials++
		script, memory := admissionvalkey.New(client, fmt.Sprint("trial ", trials)), admission.NewLocal("", "")
		amount := rapid.SampledFrom([]float64{0, 1, 2, 7, 100, 999.25, 5000, 90_000})
		amounts := func(name string) admission.Amounts {
			return admission.Amounts{amount.Draw(t, name), amount.Draw(t, name), amount.Draw(t, name)}
		}
		var tickets [2][]admission.Ticket
		for step := range rapid.IntRange(1, 30).Draw(t, "steps") {
			known := admission.Known{
				Member: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "member"), Minute: minute,
				Assumed: rapid.SampledFrom([]admission.Amounts{{50, 20_000, 5000}, {1000, 0, 400_000}}).Draw(t, "assumed"), Source: admission.SourceTier,
				Learned: rapid.SampledFrom([]admission.Amounts{{}, {70, 0, 9000}}).Draw(t, "learned"), Used: amounts("used"), Apart: rapid.Bool().Draw(t, "apart"),
			}
			op := admission.Op{
				Kind: rapid.SampledFrom([]admission.OpKind{admission.OpTake, admission.OpTake, admission.OpTake, admission.OpUntake, admission.OpSettle, admission.OpLearn, admission.OpRefuse, admission.OpLook}).Draw(t, "kind"),
				Cost: amounts("cost"), InFlight: rapid.IntRange(0, 50).Draw(t, "in flight"),
				Outstanding: amounts("outstanding"), Ago: time.Duration(rapid.IntRange(0, 3).Draw(t, "ago")) * minute / 100,
				Counted: rapid.Bool().Draw(t, "counted"), Freeze: time.Duration(rapid.IntRange(0, 2).Draw(t, "freeze")) * time.Hour, By: rapid.SampledFrom([]string{"", "ramp"}).Draw(t, "by"),
			}
			if op.Kind == admission.OpSettle && rapid.Bool().Draw(t, "more") {
				op.Cost = admission.Amounts{-op.Cost[0], op.Cost[1], -op.Cost[2]}
			}
			for i := range op.Said {
				op.Said[i] = admission.Quota{Limit: amount.Draw(t, "limit"), Remaining: amount.Draw(t, "remaining"), Counted: rapid.Bool().Draw(t, "said")}
				op.Said[i].Counted = op.Said[i].Counted && op.Said[i].Limit > 0
			}
			n := rapid.IntRange(-1, len(tickets[0])-1).Draw(t, "ticket")
			var views [2]admission.View
			for i, s := range []admission.Shared{script, memory} {
				if op.Ticket = (admission.Ticket{}); n >= 0 {
					op.Ticket = tickets[i][n]
				}
				v, err := s.Apply(t.Context(), "pool", known, op)
				if err != nil {
					t.Fatal(err)
				}
				if op.Kind == admission.OpTake {
					tickets[i] = append(tickets[i], v.Ticket)
				}
				views[i] = v
			}
			compare(t, step, op, views[0], views[1])
		}
	})
}

func compare(t *rapid.T, step int, op admission.Op, got, want admission.View) {
	t.Helper()
	near := func(a, b float64) bool { return math.Abs(a-b) <= 0.001*(1+math.Abs(a)+math.Abs(b)) }
	const wrap = 1 << 50 / 1e6 // up to which the script counts what was taken
	same := got.Members == want.Members && got.By == want.By && near(got.Frozen.Hours(), want.Frozen.Hours()) && near(got.Wait.Hours(), want.Wait.Hours())
	for i, b := range got.Buckets {
		w := want.Buckets[i]
		same = same && near(b.Limit, w.Limit) && near(b.Level, w.Level) && b.Source == w.Source && b.Learned.IsZero() == w.Learned.IsZero()
		same = same && near(got.Ticket.Cost[i], want.Ticket.Cost[i]) && near(got.Ticket.Marks[i], math.Mod(want.Ticket.Marks[i]+wrap, wrap))
	}
	if !same {
		t.Fatalf("step %d, %+v:\nthe script gave %+v\nwant            %+v", step, op, got, want)
	}
}
