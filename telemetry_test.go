package claudeforce_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/sim"
	"github.com/claude-force/claude-force/telemetry"
)

// traced makes an orchestrator whose spans are kept.
func traced(t *testing.T, server *sim.Server, change ...func(*claudeforce.Options)) (*claudeforce.Orchestrator, *tracetest.SpanRecorder) {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	change = append(change, func(o *claudeforce.Options) { o.Telemetry.Traces = provider })
	return open(t, server, change...), spans
}

// tree returns one line for each span, below what it is within: names from the root
// down, so that a wrong parent shows.
func tree(spans []sdktrace.ReadOnlySpan) []string {
	byID := map[string]sdktrace.ReadOnlySpan{}
	for _, s := range spans {
		byID[s.SpanContext().SpanID().String()] = s
	}
	var lines []string
	for _, s := range spans {
		line := s.Name()
		for p := byID[s.Parent().SpanID().String()]; p != nil; p = byID[p.Parent().SpanID().String()] {
			line = p.Name() + " > " + line
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

func attr(s sdktrace.ReadOnlySpan, name string) string {
	for _, a := range s.Attributes() {
		if string(a.Key) == name {
			return a.Value.String()
		}
	}
	return ""
}

func named(spans []sdktrace.ReadOnlySpan, prefix string) []sdktrace.ReadOnlySpan {
	var found []sdktrace.ReadOnlySpan
	for _, s := range spans {
		if strings.HasPrefix(s.Name(), prefix) {
			found = append(found, s)
		}
	}
	return found
}

const tracedWorkflow = `
name: nested
steps:
  - {id: lint, agent: linter, task: Lint PROMPTMARK}
  - id: each
    foreach: [api]
    steps:
      - {id: look, agent: linter, task: "Look at ${{ item }}"}
      - {id: deep, agent: linter, foreach: [x], task: "Go into ${{ item }}", dependencies: [look]}
  - id: refine
    agent: code-reviewer
    task: "Refine, round ${{ loop.index }}"
    loop: {until: "loop.index >= 2", max: 3}
    dependencies: [lint]
  - {id: never, agent: linter, task: Nothing, when: "false"}
`

func runTraced(t *testing.T, orch *claudeforce.Orchestrator, source string) *engine.Result {
	t.Helper()
	wf, err := claudeforce.ParseWorkflow("", "nested.yaml", []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	res, err := orch.RunWorkflow(t.Context(), wf, claudeforce.RunOptions{})
	if _, ended := errors.AsType[*claudeforce.RunError](err); err != nil && !ended {
		t.Fatal(err)
	}
	return res
}

func TestSpansStandBelowWhatTheyAreWithin(t *testing.T) {
	t.Parallel()
	orch, rec := traced(t, sim.New(sim.Options{}))
	if res := runTraced(t, orch, tracedWorkflow); res.Status != engine.StatusCompleted {
		t.Fatal(res.Status)
	}
	if open := len(rec.Started()) - len(rec.Ended()); open != 0 {
		t.Errorf("%d spans did not end", open)
	}
	got := tree(rec.Ended())
	var want []string
	under := func(path string, names ...string) string {
		for _, n := range names {
			path += " > " + n
			want = append(want, path)
		}
		return path
	}
	want = append(want, "invoke_workflow nested")
	const root = "invoke_workflow nested"
	under(root, "step lint", "invoke_agent linter", "chat claude-haiku-5-5")
	item := under(root, "step each", "step each")
	under(item, "step each/look", "invoke_agent linter", "chat claude-haiku-5-5")
	under(item, "step each/deep", "step each/deep", "invoke_agent linter", "chat claude-haiku-5-5")
	loop := under(root, "step refine")
	under(loop, "step refine@1", "invoke_agent code-reviewer", "chat claude-sonnet-5-5")
	under(loop, "step refine@2", "invoke_agent code-reviewer", "chat claude-sonnet-5-5")
	under(root, "step never")
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, s := range rec.Ended() {
		if id := s.SpanContext().TraceID(); id != rec.Ended()[0].SpanContext().TraceID() {
			t.Errorf("%s is of another trace", s.Name())
		}
		if text := fmt.Sprint(s.Attributes(), s.Events(), s.Status()); strings.Contains(text, "PROMPTMARK") {
			t.Errorf("%s holds a prompt: %s", s.Name(), text)
		}
	}
	if got := attr(named(rec.Ended(), "step never")[0], "claude_force.step.status"); got != "skipped" {
		t.Errorf("a step that was left out has the status %q", got)
	}
}

func TestContentIsToldOnlyIfAskedFor(t *testing.T) {
	t.Parallel()
	for _, content := range []bool{false, true} {
		orch, rec := traced(t, sim.New(sim.Options{}), func(o *claudeforce.Options) { o.Config.Telemetry.Content = content })
		res, err := orch.ExecuteAgent(t.Context(), "linter", "Check PROMPTMARK")
		if err != nil {
			t.Fatal(err)
		}
		chat := named(rec.Ended(), "chat")[0]
		in, out := attr(chat, "gen_ai.input.messages"), attr(chat, "gen_ai.output.messages")
		if (strings.Contains(in, "PROMPTMARK") && strings.Contains(out, "finish_reason")) != content {
			t.Errorf("content %v: input %q, output %q", content, in, out)
		}
		if got := attr(chat, "gen_ai.usage.input_tokens"); got != fmt.Sprint(res.Usage.PromptTokens()) {
			t.Errorf("input tokens %s; want %d", got, res.Usage.PromptTokens())
		}
	}
}

// TestTheTraceIsSentAndIsNoPartOfTheKey makes the same call in two traces.
func TestTheTraceIsSentAndIsNoPartOfTheKey(t *testing.T) {
	server := sim.New(sim.Options{})
	var mu sync.Mutex
	var parents []string
	tcp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		parents = append(parents, r.Header.Get("traceparent"))
		mu.Unlock()
		server.ServeHTTP(w, r)
	}))
	defer tcp.Close()
	t.Setenv("ANTHROPIC_API_KEY", "sk-ant-test")
	t.Setenv("ANTHROPIC_BASE_URL", tcp.URL)
	orch, rec := traced(t, nil, func(o *claudeforce.Options) { o.Simulator = nil })
	for _, trace := range []string{"0af7651916cd43dd8448eb211c80319c", "1af7651916cd43dd8448eb211c80319c"} {
		env := map[string]string{"TRACEPARENT": "00-" + trace + "-b7ad6b7169203331-01"}
		ctx := telemetry.FromEnv(t.Context(), func(n string) string { return env[n] })
		if _, err := orch.ExecuteAgent(ctx, "linter", "Check it"); err != nil {
			t.Fatal(err)
		}
	}
	chats := named(rec.Ended(), "chat")
	if len(chats) != 2 || len(parents) != 1 {
		t.Fatalf("%d calls, requests %v; want 2 and one", len(chats), parents)
	}
	live, cached := chats[0], chats[1]
	want := "00-0af7651916cd43dd8448eb211c80319c-" + live.SpanContext().SpanID().String() + "-01"
	if parents[0] != want {
		t.Errorf("the request carries %q; want %q", parents[0], want)
	}
	if id := cached.SpanContext().TraceID().String(); !strings.HasPrefix(id, "1af") {
		t.Errorf("the second call is in trace %s", id)
	}
	if source, tokens := attr(cached, "claude_force.source"), attr(cached, "gen_ai.usage.input_tokens"); source != "cache" || tokens != "" || attr(cached, "claude_force.saved_usd") == "" {
		t.Errorf("cached call: %v", cached.Attributes())
	}
	if got := attr(live, "server.address"); got != "127.0.0.1" {
		t.Errorf("server.address %q", got)
	}
}

func TestRetriesAreEventsAndCounted(t *testing.T) { synctest.Test(t, retriesAreEventsAndCounted) }

func retriesAreEventsAndCounted(t *testing.T) {
	server := sim.New(sim.Options{})
	server.Inject(sim.Fault{Kind: sim.FaultStatus, Status: 529, Times: 1})
	reg := prometheus.NewRegistry()
	orch, rec := traced(t, server, func(o *claudeforce.Options) { o.Telemetry.Counters = telemetry.NewCounters(reg) })
	for range 2 {
		if _, err := orch.ExecuteAgent(t.Context(), "linter", "Check it"); err != nil {
			t.Fatal(err)
		}
	}
	var events []string
	for _, ev := range named(rec.Ended(), "chat")[0].Events() {
		events = append(events, ev.Name)
	}
	if diff := cmp.Diff([]string{"claude_force.attempt_failed", "claude_force.retry"}, events); diff != "" {
		t.Error(diff)
	}
	text := exported(t, reg)
	for _, line := range []string{
		`claude_force_retries_total{after="529"} 1`,
		`claude_force_cache_hits_total 1`,
		`claude_force_calls_total{agent="linter",code="",model="claude-haiku-5-5",source="cache"} 1`,
		`claude_force_calls_total{agent="linter",code="",model="claude-haiku-5-5",source="live"} 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no line %s in\n%s", line, text)
		}
	}
}

// exported returns what a Prometheus server reads from a registry.
func exported(t *testing.T, reg *prometheus.Registry) string {
	t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	return w.Body.String()
}

func TestASharedAnswerIsLinkedWithItsCall(t *testing.T) { synctest.Test(t, sharedAnswersAreLinked) }

func sharedAnswersAreLinked(t *testing.T) {
	server := sim.New(sim.Options{})
	server.Inject(sim.Fault{Kind: sim.FaultDelay, Delay: time.Second})
	// Without the store of answers, as openInBubble does.
	orch, rec := traced(t, server, func(o *claudeforce.Options) { o.Config.Cache.Enabled = false })
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			if _, err := orch.ExecuteAgent(t.Context(), "linter", "Check it"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	calls := named(rec.Ended(), "chat")
	live := slices.IndexFunc(calls, func(s sdktrace.ReadOnlySpan) bool { return attr(s, "claude_force.source") == "live" })
	if len(calls) != 3 || live < 0 {
		t.Fatalf("%d calls, %v", len(calls), calls)
	}
	for i, s := range calls {
		links := s.Links()
		switch {
		case i == live && len(links) == 0:
		case i != live && attr(s, "claude_force.source") == "coalesced" && len(links) == 1 && links[0].SpanContext.Equal(calls[live].SpanContext()):
		default:
			t.Errorf("a call of source %s has the links %v", attr(s, "claude_force.source"), links)
		}
	}
}

// TestLogLinesHoldIDsAndNeitherPromptsNorKeys has the service repeat the key and
// the prompt in an error.
func TestLogLinesHoldIDsAndNeitherPromptsNorKeys(t *testing.T) {
	const key = "sk-ant-KEYMARK-0123456789abcdef"
	tcp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"type":"error","error":{"type":"invalid_request_error","message":"%s may not ask Lint PROMPTMARK"}}`, key)
	}))
	defer tcp.Close()
	t.Setenv("ANTHROPIC_API_KEY", key)
	t.Setenv("ANTHROPIC_BASE_URL", tcp.URL)
	var log lockedBuffer
	orch, rec := traced(t, nil, func(o *claudeforce.Options) {
		o.Simulator = nil
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	res := runTraced(t, orch, "name: one\nsteps: [{id: lint, agent: linter, task: Lint PROMPTMARK}]\n")
	text := log.String()
	for _, s := range rec.Ended() {
		text += fmt.Sprint(s.Name(), s.Attributes(), s.Events(), s.Status())
	}
	for _, mark := range []string{"KEYMARK", "PROMPTMARK"} {
		if strings.Contains(text, mark) {
			t.Errorf("%s is told:\n%s", mark, text)
		}
	}
	for _, line := range []string{
		`msg="call ended" run_id=` + res.RunID + " step_id=lint agent=linter .*",
		`msg="step ended" run_id=` + res.RunID + " step_id=lint status=failed .*code=invalid_request",
		`msg="run ended" run_id=` + res.RunID + " status=failed .*",
	} {
		if !regexp.MustCompile(line + "\n").MatchString(log.String()) {
			t.Errorf("no line %s in\n%s", line, log.String())
		}
	}
	if got := attr(named(rec.Ended(), "chat")[0], "error.type"); got != llm.CodeInvalid.String() {
		t.Errorf("error.type %q", got)
	}
}

// TestOffIsNothing checks that no layer is put around calls.
func TestOffIsNothing(t *testing.T) {
	tell, err := telemetry.New(telemetry.Options{Logger: slog.New(slog.DiscardHandler), Content: true})
	if err != nil || tell != nil {
		t.Fatal(tell, err)
	}
	ctx := t.Context()
	allocs := testing.AllocsPerRun(100, func() {
		ctx, run := tell.Run(ctx, "run_x", "w", false)
		run.Observe(telemetry.Change{Path: "a", Status: "running"})
		ctx = telemetry.Step(ctx, "a", "")
		ctx, call := tell.Call(ctx, nil)
		call.End(telemetry.Ended{})
		tell.Waiting(0, context.Canceled)
		run.End("completed", ctx.Err())
	})
	if allocs != 0 {
		t.Errorf("%v allocations while off", allocs)
	}
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
