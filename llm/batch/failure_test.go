package batch_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/llmtest"
	"github.com/claude-force/claude-force/sim"
)

func TestCallFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{})
		m := w.start().Model()
		want := func(code llm.Code, text string, change func(*llm.Request)) {
			t.Helper()
			req := llmtest.Request("A long sentence that nobody wants to see in an error.")
			change(req)
			_, err := llm.Collect(m.Stream(t.Context(), req))
			if llm.CodeOf(err) != code || !strings.Contains(fmt.Sprint(err), text) {
				t.Errorf("%v, want code %v and %q", err, code, text)
			}
			if err != nil && strings.Contains(err.Error(), "nobody wants") {
				t.Errorf("the error quotes the prompt: %v", err)
			}
		}
		want(llm.CodeNotFound, "claude-none", func(r *llm.Request) { r.Model = "claude-none" })
		want(llm.CodeInvalid, "maximum allowed", func(r *llm.Request) { r.MaxTokens = 1e9 })
		want(llm.CodeInvalid, "at least 1", func(r *llm.Request) { r.MaxTokens = 0 })
		want(llm.CodeInvalid, `"speed"`, func(r *llm.Request) { r.Extra = map[string]jsonRaw{"speed": jsonRaw(`"fast"`)} })
		w.wantBatches(2, 2)
	})
}

func TestExpiredCallIsResubmitted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{BatchLatency: sim.Fixed(time.Hour)})
		w.server.Inject(sim.Fault{Kind: sim.FaultExpireBatch, On: sim.OnBatchCreate, Match: "number 1.", Times: 1})
		ask(t.Context(), w.start().Model(), numbered(3)...).wait(t)
		w.wantBatches(2, 4)
	})
	synctest.Test(t, func(t *testing.T) { // but not forever
		w := newWorld(t, sim.Options{})
		w.server.Inject(sim.Fault{Kind: sim.FaultExpireBatch, On: sim.OnBatchCreate})
		a := ask(t.Context(), w.start().Model(), "never")
		a.wg.Wait()
		if a.got["never"] != llm.CodeServer.String() {
			t.Errorf("answered %q", a.got["never"])
		}
		w.wantBatches(3, 3)
	})
}

func TestTransientCallFailure(t *testing.T) {
	t.Parallel()
	for _, once := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sim.Options{})
			w.server.Inject(sim.Fault{Kind: sim.FaultErrorBatch, On: sim.OnBatchCreate, ErrorType: "overloaded_error", Times: 1})
			req := llmtest.Request("x")
			req.Once = once
			resp, err := llm.Collect(w.start().Model().Stream(t.Context(), req))
			if once {
				if llm.CodeOf(err) != llm.CodeOverloaded {
					t.Errorf("a call that may have effects: %v", err)
				}
				w.wantBatches(1, 1)
				return
			}
			if err != nil || resp.Attempts != 2 {
				t.Errorf("answered %+v, %v", resp, err)
			}
			w.wantBatches(2, 2)
		})
	}
}

func TestTransientFaultsAreRetried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{BatchLatency: sim.Fixed(5 * time.Minute)})
		w.server.Inject(
			sim.Fault{Kind: sim.FaultStatus, On: sim.OnBatchCreate, Status: 429, RetryAfter: "90", Times: 2},
			sim.Fault{Kind: sim.FaultStatus, On: sim.OnBatchCreate, Status: 529, Times: 2},
			sim.Fault{Kind: sim.FaultStatus, On: sim.OnBatchGet, Status: 500, Times: 2},
			sim.Fault{Kind: sim.FaultDrop, On: sim.OnBatchGet, Times: 2},
			sim.Fault{Kind: sim.FaultStatus, On: sim.OnBatchResults, Status: 500, Times: 1},
			sim.Fault{Kind: sim.FaultCutBody, On: sim.OnBatchResults, Times: 1},
			sim.Fault{Kind: sim.FaultHTML, On: sim.OnBatchResults, Times: 1})
		began := time.Now()
		ask(t.Context(), w.start().Model(), numbered(20)...).wait(t)
		if took := time.Since(began); took < 8*time.Minute {
			t.Errorf("took %v, which ignores retry-after", took)
		}
		w.wantBatches(1, 20)
	})
}

func TestRejectedBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{})
		w.server.Inject(sim.Fault{Kind: sim.FaultStatus, On: sim.OnBatchCreate, Status: 401, Times: 1})
		p := w.start()
		a := ask(t.Context(), p.Model(), "x", "y")
		a.wg.Wait()
		if a.got["x"] != llm.CodeAuth.String() || a.got["y"] != llm.CodeAuth.String() {
			t.Errorf("answered %v", a.got)
		}
		p.close()
		w.wantEmpty()
	})
}

// A failed poll says nothing about the calls.
func TestFailedPoll(t *testing.T) {
	t.Parallel()
	for _, on := range []sim.FaultTarget{sim.OnBatchGet, sim.OnBatchResults} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sim.Options{})
			w.server.Inject(sim.Fault{Kind: sim.FaultStatus, On: on, Status: 401, Times: 1})
			p := w.start()
			a := ask(t.Context(), p.Model(), "x")
			a.wg.Wait()
			if a.got["x"] != llm.CodeAuth.String() {
				t.Errorf("answered %q", a.got["x"])
			}
			ask(t.Context(), p.Model(), "x").wait(t)
			w.wantBatches(1, 1)
		})
	}
}

func TestDeletedBatchOfPreviousProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{BatchLatency: sim.Fixed(time.Hour)})
		p := w.start()
		a := ask(t.Context(), p.Model(), "x")
		time.Sleep(time.Minute)
		p.crash()
		a.wg.Wait()
		w.server.Inject(sim.Fault{Kind: sim.FaultStatus, On: sim.OnBatchGet, Status: 404, Times: 1})
		ask(t.Context(), w.start().Model(), "x").wait(t)
		w.wantBatches(2, 2)
	})
}

// A batch that was certainly not created delays no other call.
func TestRejectedBatchDelaysNoCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{})
		w.server.Inject(sim.Fault{Kind: sim.FaultStatus, On: sim.OnBatchCreate, Status: 429})
		p := w.start()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		ask(ctx, p.Model(), "left alone").wg.Wait()
		time.Sleep(2 * time.Minute)
		w.wantEmpty()
		a := ask(t.Context(), p.Model(), "waits when the batcher is closed")
		time.Sleep(time.Minute)
		p.close()
		a.wg.Wait()
		w.wantEmpty()
	})
}

func TestDamagedRecord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sim.Options{})
		if err := os.WriteFile(filepath.Join(w.dir, "AAAAAAAAAAAAAAAA.batch.json"), []byte(`{"non`), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := llm.Collect(w.start().Model().Stream(t.Context(), llmtest.Request("x")))
		if llm.CodeOf(err) != llm.CodeInternal || !strings.Contains(err.Error(), "AAAAAAAAAAAAAAAA.batch.json is damaged") {
			t.Errorf("got %v", err)
		}
		w.wantBatches(0, 0)
	})
}
