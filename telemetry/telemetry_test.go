package telemetry_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/internal/citest"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/telemetry"
)

// answered makes a call that is answered, one that fails and one that is free.
func answered(ctx context.Context, tell *telemetry.Telemetry) {
	req := &llm.Request{Model: "claude-haiku-5-5", Agent: "linter", MaxTokens: 10}
	usage := llm.Usage{InputTokens: 100, CacheReadTokens: 20, CacheWrite5m: 3, OutputTokens: 7}
	resp := &llm.Response{ID: "msg_1", Model: "claude-haiku-5-5", StopReason: llm.StopEndTurn}
	_, c := tell.Call(ctx, req)
	c.End(telemetry.Ended{Response: resp, Source: llm.SourceLive, Usage: usage, Duration: 2 * time.Second, Service: 1500 * time.Millisecond, Waited: 500 * time.Millisecond, FirstToken: time.Second, CostUSD: new(0.5), SavedUSD: new(0.0)})
	_, c = tell.Call(ctx, req)
	c.End(telemetry.Ended{Code: llm.CodeOverloaded, Duration: time.Second})
	_, c = tell.Call(ctx, req)
	c.End(telemetry.Ended{Response: resp, Source: llm.SourceCache, Usage: usage, CostUSD: new(0.0), SavedUSD: new(0.5)})
}

func TestToolsStandBelowTheirAgent(t *testing.T) {
	t.Parallel()
	for _, content := range []bool{false, true} {
		spans, reader, reg, log := tracetest.NewSpanRecorder(), sdkmetric.NewManualReader(), prometheus.NewRegistry(), &bytes.Buffer{}
		tell, err := telemetry.New(telemetry.Options{
			Traces: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)), Metrics: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)),
			Counters: telemetry.NewCounters(reg), Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})), Content: content,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, end := tell.Agent(t.Context(), "linter", "1")
		for _, ended := range []telemetry.ToolEnded{{Failed: true, Result: "no such file SECRET"}, {Failed: true, Denied: true}, {}} {
			_, end := tell.Tool(ctx, telemetry.ToolCall{Agent: "linter", Name: "Grep", ID: "toolu_1", Arguments: []byte(`{"pattern":"SECRET"}`)})
			end(ended)
		}
		_, ended := tell.Tool(ctx, telemetry.ToolCall{Name: "invented", Unknown: true})
		ended(telemetry.ToolEnded{Failed: true})
		end(nil)
		all := spans.Ended()
		agent, want := all[4], []string{"failed", "denied", ""}
		for i, tool := range all[:3] {
			if tool.Name() != "execute_tool Grep" || tool.Parent().SpanID() != agent.SpanContext().SpanID() || tool.SpanKind() != trace.SpanKindInternal {
				t.Errorf("%s below %s, in %s", tool.Name(), tool.Parent().SpanID(), agent.Name())
			}
			text := fmt.Sprint(tool.Attributes(), tool.Status())
			if tool.Status().Description != want[i] || strings.Contains(text, "SECRET") != content || !strings.Contains(text, "toolu_1") {
				t.Errorf("contents %v: %s", content, text)
			}
		}
		if name := all[3].Name(); name != "execute_tool (unknown)" {
			t.Errorf("a tool that the agent has not is the span %q", name)
		}
		if strings.Contains(log.String(), "SECRET") || strings.Count(log.String(), "tool ended") != 4 || !strings.Contains(log.String(), "outcome=denied") {
			t.Errorf("log: %s", log)
		}
		var sums metricdata.ResourceMetrics
		if err := reader.Collect(t.Context(), &sums); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"claude_force.tool.calls", "claude_force.tool.duration"} {
			if !slices.ContainsFunc(sums.ScopeMetrics[0].Metrics, func(m metricdata.Metrics) bool { return m.Name == name }) {
				t.Errorf("no metric %s", name)
			}
		}
		page := httptest.NewRecorder()
		promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(page, httptest.NewRequest("GET", "/", nil))
		for _, line := range []string{
			`claude_force_tool_calls_total{agent="linter",outcome="denied",tool="Grep"} 1`,
			`claude_force_tool_calls_total{agent="linter",outcome="ok",tool="Grep"} 1`,
			`claude_force_tool_calls_total{agent="",outcome="failed",tool="(unknown)"} 1`,
			`claude_force_tool_duration_seconds_count{tool="Grep"} 3`,
		} {
			if !strings.Contains(page.Body.String(), line) {
				t.Errorf("no line %s in:\n%s", line, page.Body)
			}
		}
	}
}

func TestMetricsCountWhatWasAskedOfTheService(t *testing.T) {
	t.Parallel()
	reader := sdkmetric.NewManualReader()
	tell, err := telemetry.New(telemetry.Options{Metrics: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))})
	if err != nil {
		t.Fatal(err)
	}
	answered(t.Context(), tell)
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	counts, sums := map[string]uint64{}, map[string]float64{}
	for _, m := range all.ScopeMetrics[0].Metrics {
		switch data := m.Data.(type) {
		case metricdata.Histogram[float64]:
			for _, p := range data.DataPoints {
				kind, _ := p.Attributes.Value("gen_ai.token.type")
				counts[m.Name+kind.AsString()] += p.Count
				sums[m.Name+kind.AsString()] += p.Sum
			}
		case metricdata.Sum[int64]:
			for _, p := range data.DataPoints {
				counts[m.Name] += uint64(p.Value)
			}
		case metricdata.Sum[float64]:
			for _, p := range data.DataPoints {
				sums[m.Name] += p.Value
			}
		}
	}
	for name, want := range map[string]uint64{
		"claude_force.calls": 3, "gen_ai.client.operation.duration": 2, "gen_ai.client.operation.time_to_first_chunk": 1,
		"claude_force.call.service_time": 1, "claude_force.call.waiting_time": 1,
		"gen_ai.client.token.usageinput": 1, "gen_ai.client.token.usageoutput": 1,
	} {
		if counts[name] != want {
			t.Errorf("%s: %d; want %d", name, counts[name], want)
		}
	}
	for name, want := range map[string]float64{
		"gen_ai.client.token.usageinput": 123, "gen_ai.client.token.usageoutput": 7, "claude_force.cost": 0.5, "claude_force.saved": 0.5,
		"claude_force.call.service_time": 1.5, "claude_force.call.waiting_time": 0.5,
	} {
		if sums[name] != want {
			t.Errorf("%s: sum %v; want %v", name, sums[name], want)
		}
	}
}

// TestStepsAreCountedByStatus: whatever it is called, there are no more series than
// there are statuses.
func TestStepsAreCountedByStatus(t *testing.T) {
	t.Parallel()
	reader, reg := sdkmetric.NewManualReader(), prometheus.NewRegistry()
	tell, err := telemetry.New(telemetry.Options{Metrics: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)), Counters: telemetry.NewCounters(reg)})
	if err != nil {
		t.Fatal(err)
	}
	_, run := tell.Run(t.Context(), "run_x", "review", false)
	for i, status := range []string{"completed", "completed", "failed", "skipped", "partial", "cancelled", "interrupted", "strange", "stranger", "running", "waiting"} {
		run.Observe(telemetry.Change{Path: fmt.Sprint("step", i), Status: status}) // the last two go on
	}
	run.End("interrupted", nil)
	want := map[string]int64{"completed": 2, "failed": 1, "skipped": 1, "partial": 1, "cancelled": 1, "interrupted": 3, "other": 2}

	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, m := range all.ScopeMetrics[0].Metrics {
		if sum, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == "claude_force.steps" {
			for _, p := range sum.DataPoints {
				status, _ := p.Attributes.Value("claude_force.step.status")
				got[status.AsString()] = p.Value
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("OpenTelemetry: %s", diff)
	}
	text := exported(t, reg)
	got = map[string]int64{}
	for line := range strings.Lines(text) {
		var status string
		var n int64
		if _, err := fmt.Sscanf(line, "claude_force_steps_total{status=%q} %d", &status, &n); err == nil {
			got[status] = n
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Prometheus: %s", diff)
	}
}

// TestPromtoolReadsTheCounters has Prometheus's own tool check names and texts.
func TestPromtoolReadsTheCounters(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("promtool")
	if err != nil {
		citest.Missing(t, "promtool is not installed (Debian package prometheus)")
	}
	reg := prometheus.NewRegistry()
	tell, err := telemetry.New(telemetry.Options{Counters: telemetry.NewCounters(reg)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, run := tell.Run(t.Context(), "run_x", "review", false)
	run.Observe(telemetry.Change{Path: "lint", Status: "running", Attempt: 1})
	answered(ctx, tell)
	tell.Paused("haiku", 2*time.Second)
	tell.Hedged(ctx, "claude-haiku-5-5", "second", time.Second)
	tell.Waiting(time.Second, llm.NewError(llm.CodeRateLimit, "wait", nil))
	run.Observe(telemetry.Change{Path: "lint", Status: "completed", Attempt: 1})
	run.End("completed", nil)
	text := exported(t, reg)
	for _, want := range []string{
		`claude_force_tokens_total{kind="cache_read",model="claude-haiku-5-5"} 20`,
		`claude_force_steps_total{status="completed"} 1`, `claude_force_runs_total{status="completed"} 1`,
		`claude_force_hedged_calls_total{model="claude-haiku-5-5",winner="second"} 1`, `claude_force_pool_pause_seconds_total{pool="haiku"} 2`, `claude_force_rate_limit_wait_seconds_total 1`, `claude_force_saved_usd_total{agent="linter",model="claude-haiku-5-5",source="cache"} 0.5`,
		`claude_force_calls_total{agent="linter",code="overloaded",model="claude-haiku-5-5",source="none"} 1`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	check := exec.CommandContext(t.Context(), tool, "check", "metrics")
	check.Stdin = strings.NewReader(text)
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}

// TestCountersAcceptEveryValue checks that no label and no amount of a call ends a
// program, and that orchestrators can share a registry.
func TestCountersAcceptEveryValue(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	rapid.Check(t, func(t *rapid.T) {
		counters := telemetry.NewCounters(reg)
		tell, err := telemetry.New(telemetry.Options{Counters: counters})
		if err != nil {
			t.Fatal(err)
		}
		name := rapid.Custom(func(t *rapid.T) string { return string(rapid.SliceOfN(rapid.Byte(), 0, 4).Draw(t, "bytes")) })
		ctx, run := tell.Run(context.Background(), "run_x", "review", false)
		_, call := tell.Call(ctx, &llm.Request{Model: name.Draw(t, "model"), Agent: name.Draw(t, "agent")})
		usd := rapid.Float64().Draw(t, "usd")
		call.End(telemetry.Ended{Source: llm.SourceCache, Response: &llm.Response{}, CostUSD: &usd, SavedUSD: &usd, Duration: time.Duration(rapid.Int64().Draw(t, "duration"))})
		tell.Paused(name.Draw(t, "pool"), time.Duration(rapid.Int64().Draw(t, "pause")))
		run.End(name.Draw(t, "status"), nil)
	})
	if text := exported(t, reg); !strings.Contains(text, "claude_force_cache_hits_total ") {
		t.Error(text)
	}
}

// exported returns what a Prometheus server reads from a registry.
func exported(t *testing.T, reg *prometheus.Registry) string {
	t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	return w.Body.String()
}

// TestKeyCounters checks that calls are counted for the key and the team that they are for,
// that those of the owner have no series, and that however many keys call, the series are
// as few as is said and what they have counted stays in them.
func TestKeyCounters(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	counters := telemetry.NewCounters(reg)
	tell, err := telemetry.New(telemetry.Options{Counters: counters})
	if err != nil {
		t.Fatal(err)
	}
	if text := exported(t, reg); strings.Contains(text, "claude_force_key_") {
		t.Errorf("series before any key has called:\n%s", text)
	}
	end := func(tags llm.Tags, usd float64) {
		_, call := tell.Call(llm.WithTags(t.Context(), tags), &llm.Request{Model: "m", Agent: "a"})
		call.End(telemetry.Ended{Source: llm.SourceLive, Response: &llm.Response{}, CostUSD: &usd, SavedUSD: new(2 * usd)})
	}
	end(llm.Tags{}, 100)
	const n = telemetry.MaxKeys + 7
	for round := range 2 {
		for i := range n {
			end(llm.Tags{Key: fmt.Sprint("key-", i), Team: "web"}, float64(1+round))
		}
	}
	again, err := telemetry.New(telemetry.Options{Counters: telemetry.NewCounters(reg)})
	if err != nil {
		t.Fatal(err)
	}
	_, call := again.Call(llm.WithTags(t.Context(), llm.Tags{Key: "late"}), &llm.Request{})
	call.End(telemetry.Ended{Code: llm.CodeServer})

	text := exported(t, reg)
	for want, is := range map[string]bool{
		`claude_force_key_cost_usd_total{key="key-0",team="web"} 3`:                                    true,
		fmt.Sprintf(`claude_force_key_cost_usd_total{key="key-%d",team="web"} 3`, telemetry.MaxKeys-1): true,
		fmt.Sprintf(`claude_force_key_cost_usd_total{key="key-%d",team="web"}`, telemetry.MaxKeys):     false,
		`claude_force_key_cost_usd_total{key="(other)",team="(other)"} 21`:                             true,
		`claude_force_key_saved_usd_total{key="(other)",team="(other)"} 42`:                            true,
		`claude_force_key_calls_total{key="(other)",team="(other)"} 15`:                                true,
		`claude_force_key_calls_total{key="late"`:                                                      false,
		`key=""`: false,
	} {
		if strings.Contains(text, want) != is {
			t.Errorf("%s: want it there: %t", want, is)
		}
	}
	if got := strings.Count(text, "claude_force_key_cost_usd_total{"); got != telemetry.MaxKeys+1 {
		t.Errorf("%d series, want %d", got, telemetry.MaxKeys+1)
	}
}
