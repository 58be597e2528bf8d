package claudeforce_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/workflow"
)

// clockedService answers over HTTP and counts how long it takes by itself. It is
// independent of the simulator.
type clockedService struct {
	takes  func(n int) time.Duration // the n-th request that is answered
	refuse int                       // every so many-th request is refused; 0 for none

	mu       sync.Mutex // guards the fields below
	requests int
	flying   int
	most     int
	served   []float64 // seconds of each answer
}

// RoundTrip answers one request. The answer's first piece comes after a third of
// its time.
func (s *clockedService) RoundTrip(req *http.Request) (*http.Response, error) {
	resp := &http.Response{StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Request: req}
	if !strings.HasSuffix(req.URL.Path, "/messages") {
		resp.StatusCode, resp.Body = http.StatusNotFound, io.NopCloser(strings.NewReader(`{"type":"error","error":{"type":"not_found_error","message":"no"}}`))
		return resp, nil
	}
	start := time.Now()
	s.mu.Lock()
	s.requests++
	number := s.requests
	s.flying++
	s.most = max(s.most, s.flying)
	s.mu.Unlock()
	land := func() {
		s.mu.Lock()
		s.flying--
		s.mu.Unlock()
	}
	if s.refuse > 0 && number%s.refuse == 0 {
		time.Sleep(5 * time.Millisecond)
		land()
		resp.StatusCode, resp.Header = http.StatusTooManyRequests, http.Header{"Retry-After": {"2"}, "Content-Type": {"application/json"}}
		resp.Body = io.NopCloser(strings.NewReader(`{"type":"error","error":{"type":"rate_limit_error","message":"slower"}}`))
		return resp, nil
	}
	resp.Header.Set("Content-Type", "text/event-stream")
	reader, writer := io.Pipe()
	resp.Body = reader
	takes := s.takes(number)
	go func() {
		defer writer.Close()
		event := func(kind string, v map[string]any) {
			v["type"] = kind
			data, _ := json.Marshal(v) // of maps and strings
			fmt.Fprintf(writer, "event: %s\ndata: %s\n\n", kind, data)
		}
		time.Sleep(takes / 3)
		event("message_start", map[string]any{"message": map[string]any{"id": fmt.Sprint("msg_", number), "type": "message", "role": "assistant", "model": "claude-haiku-5-5",
			"content": []any{}, "usage": map[string]any{"input_tokens": 10, "output_tokens": 1}}})
		event("content_block_start", map[string]any{"index": 0, "content_block": map[string]any{"type": "text", "text": ""}})
		event("content_block_delta", map[string]any{"index": 0, "delta": map[string]any{"type": "text_delta", "text": fmt.Sprint("answer ", number)}})
		time.Sleep(takes - takes/3)
		s.mu.Lock()
		s.served = append(s.served, time.Since(start).Seconds())
		s.flying--
		s.mu.Unlock()
		event("content_block_stop", map[string]any{"index": 0})
		event("message_delta", map[string]any{"delta": map[string]any{"stop_reason": "end_turn"}, "usage": map[string]any{"output_tokens": 5}})
		event("message_stop", map[string]any{})
	}()
	return resp, nil
}

// timed is a workflow and the limits that it runs under.
type timed struct {
	items, slots, parallel, refuse int
	base                           time.Duration
	steps                          string
}

func (c timed) String() string {
	return fmt.Sprintf("%d items, %d slots, %d in parallel, refusing every %d., %v:\n%s", c.items, c.slots, c.parallel, c.refuse, c.base, c.steps)
}

// check runs the workflow against a service of its own and compares the times
// with those that the service counted.
func (c timed) check(t *testing.T) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	synctest.Test(t, func(t *testing.T) {
		service := &clockedService{refuse: c.refuse, takes: func(n int) time.Duration { return c.base + time.Duration(n%7)*c.base/10 }}
		cfg, err := config.Load(config.Sources{Dir: t.TempDir(), Home: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		cfg.Jobs, cfg.DataDir, cfg.Cache.Enabled = c.slots, "", false
		orch, err := claudeforce.New(t.Context(), claudeforce.Options{Config: cfg, Dir: t.TempDir(), HTTPClient: &http.Client{Transport: service}})
		if err != nil {
			t.Fatal(err)
		}
		defer orch.Close()
		wf, err := workflow.Parse("w.yaml", []byte(c.steps), workflow.Options{})
		if err != nil {
			t.Fatal(err)
		}
		res, err := orch.RunWorkflow(t.Context(), wf, claudeforce.RunOptions{MaxParallel: c.parallel})
		if err != nil {
			fault("the run: %v", err)
			return
		}
		var latencies []float64
		for _, step := range res.Steps {
			for _, part := range append([]*engine.StepResult{step}, itemsOf(step)...) {
				if len(part.Items) > 0 {
					continue
				}
				latencies = append(latencies, part.ServiceSeconds)
				working := 0.0
				for _, s := range part.InFlight {
					working += s.Seconds
				}
				if gap := part.DurationSeconds - part.WaitedSeconds - working; math.Abs(gap) > 0.001 {
					fault("a step of %v s waited %v s and worked %v s", part.DurationSeconds, part.WaitedSeconds, working)
				}
				if first := part.FirstTokenSeconds; first < 0.3*part.ServiceSeconds || first > 0.36*part.ServiceSeconds {
					fault("the first token came after %v s of %v s", first, part.ServiceSeconds)
				}
			}
		}
		if len(latencies) != len(service.served) {
			fault("%d answers, and the service gave %d", len(latencies), len(service.served))
			return
		}
		slices.Sort(latencies)
		slices.Sort(service.served)
		for _, q := range []float64{0.5, 0.95} {
			at := int(q * float64(len(latencies)-1))
			if got, want := latencies[at], service.served[at]; math.Abs(got-want) > 0.05*want {
				fault("the p%.0f is %v s; the service took %v s", 100*q, got, want)
			}
		}
		store, err := orch.History(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		detail, err := runs.Load(t.Context(), store, res.RunID)
		if err != nil {
			t.Fatal(err)
		}
		if speedup := detail.Speedup(); speedup <= 0 || speedup > float64(c.slots)*(1+1e-9) {
			fault("the speed-up is %v with %d slots", speedup, c.slots)
		}
		if service.most > c.slots {
			fault("%d requests at once with %d slots", service.most, c.slots)
		}
	})
	return faults
}

func itemsOf(step *engine.StepResult) []*engine.StepResult {
	var list []*engine.StepResult
	for _, item := range step.Items {
		list = append(list, item.StepResult)
	}
	return list
}

// each returns a foreach of n items.
func each(id string, n, most int, after string) string {
	items := make([]string, n)
	for i := range items {
		items[i] = fmt.Sprintf("%s%d", id, i)
	}
	text := fmt.Sprintf("- {id: %s, agent: python-expert, task: 'Check ${{ item }}', retries: 5, foreach: [%s]", id, strings.Join(items, ", "))
	if most > 0 {
		text += fmt.Sprintf(", max_parallel: %d", most)
	}
	if after != "" {
		text += ", dependencies: [" + after + "]"
	}
	return text + "}\n"
}

// TestTimesAreThoseOfTheService runs random workflows under random limits against
// a service that counts its own time: the percentiles are the service's, whatever
// waited and however many items there were, and the speed-up is at most the
// number of slots.
func TestTimesAreThoseOfTheService(t *testing.T) {
	t.Setenv("ANTHROPIC_API_KEY", "sk-ant-test")
	checks := 0
	rapid.Check(t, func(rt *rapid.T) {
		c := timed{
			items:    rapid.IntRange(1, 40).Draw(rt, "items"),
			slots:    rapid.IntRange(1, 12).Draw(rt, "slots"),
			parallel: rapid.IntRange(1, 40).Draw(rt, "parallel"),
			refuse:   rapid.SampledFrom([]int{0, 0, 3, 10}).Draw(rt, "refuse"),
			base:     time.Duration(rapid.IntRange(50, 3000).Draw(rt, "base")) * time.Millisecond,
		}
		if checks++; checks > 40 {
			return
		}
		c.steps = "steps:\n" + each("a", c.items, rapid.IntRange(0, 5).Draw(rt, "most"), "")
		if rapid.Bool().Draw(rt, "second") {
			c.steps += each("b", rapid.IntRange(1, 10).Draw(rt, "others"), 0, rapid.SampledFrom([]string{"", "a"}).Draw(rt, "after"))
		}
		if faults := c.check(t); len(faults) > 0 {
			rt.Fatalf("%v%s", c, strings.Join(faults, "\n"))
		}
	})
	for _, n := range []int{1, 30, 90, 500} {
		c := timed{items: n, slots: 10, parallel: 256, base: 300 * time.Millisecond, steps: "steps:\n" + each("a", n, 0, "")}
		if faults := c.check(t); len(faults) > 0 {
			t.Errorf("%d items: %s", n, strings.Join(faults, "\n"))
		}
	}
}
