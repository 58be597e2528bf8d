package batch_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/sim"
)

func TestCancel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{BatchLatency: sim.Fixed(time.Hour)})
		p := w.start()
		a := ask(t.Context(), p.Model(), numbered(4)...)
		time.Sleep(32 * time.Minute)
		waiting := ask(t.Context(), p.Model(), "not yet in a batch")
		synctest.Wait()
		if err := p.Cancel(t.Context()); err != nil {
			t.Fatal(err)
		}
		waiting.wg.Wait()
		a.wg.Wait()
		answered, canceled := 0, 0
		for _, got := range a.got {
			switch {
			case strings.Contains(got, "Task number"):
				answered++
			case got == llm.CodeCanceled.String():
				canceled++
			}
		}
		if answered != 2 || canceled != 2 || waiting.got["not yet in a batch"] != llm.CodeCanceled.String() {
			t.Errorf("%d answered, %d canceled of %v; and %v", answered, canceled, a.got, waiting.got)
		}
		w.wantBatches(1, 4)
		ask(t.Context(), p.Model(), "after that").wait(t)
	})
}

func TestCancelDuringFaults(t *testing.T) {
	t.Parallel()
	faults := map[string]sim.Fault{
		"a batch nobody heard of": {Kind: sim.FaultLostAnswer, On: sim.OnBatchCreate, Times: 1},
		"a cancellation fails":    {Kind: sim.FaultStatus, On: sim.OnBatchCancel, Status: 500, Times: 1},
		"no batch":                {Kind: sim.FaultDrop, On: sim.OnBatchCreate, Times: 1},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sim.Options{BatchLatency: sim.Fixed(20 * time.Hour)})
				w.server.Inject(fault)
				p := w.start()
				a := ask(t.Context(), p.Model(), "x")
				time.Sleep(time.Minute)
				if err := p.Cancel(t.Context()); (err != nil) != (fault.On == sim.OnBatchCancel) {
					t.Errorf("Cancel: %v", err)
				}
				a.wg.Wait()
				// The batch is recognized once it has ended, with its answer.
				found := fault.Kind == sim.FaultLostAnswer
				if got := a.got["x"]; found != strings.Contains(got, "simulated") || found == (got == llm.CodeCanceled.String()) {
					t.Errorf("answered %q", got)
				}
				p.close()
				w.wantEmpty()
			})
		})
	}
}

func TestCanceledByOtherClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{BatchLatency: sim.Fixed(time.Hour)})
		w.server.Inject(sim.Fault{Kind: sim.FaultCancelBatch, On: sim.OnBatchCreate, Times: 1})
		a := ask(t.Context(), w.start().Model(), "x")
		a.wg.Wait()
		if a.got["x"] != llm.CodeCanceled.String() {
			t.Errorf("answered %q", a.got["x"])
		}
	})
}
