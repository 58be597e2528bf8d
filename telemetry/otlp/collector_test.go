package otlp_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/internal/citest"
	"github.com/claude-force/claude-force/sim"
	"github.com/claude-force/claude-force/telemetry"
	"github.com/claude-force/claude-force/telemetry/otlp"
)

const collectorConfig = `
receivers: {otlp: {protocols: {http: {endpoint: "%s"}}}}
exporters: {debug: {verbosity: detailed}}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    traces: {receivers: [otlp], exporters: [debug]}
    metrics: {receivers: [otlp], exporters: [debug]}
`

// collect starts a real collector and gives where it listens. stop ends it and
// gives all it wrote.
func collect(t *testing.T) (endpoint string, stop func() string) {
	t.Helper()
	binary := os.Getenv("OTELCOL")
	if binary == "" {
		citest.Missing(t, "OTELCOL does not name a collector; build one with: go build -C bench/otelcollector -o /tmp/otelcol . && export OTELCOL=/tmp/otelcol")
	}
	for {
		if endpoint, stop = tryCollect(t, binary); stop != nil {
			return endpoint, stop
		}
	}
}

// tryCollect starts a collector. It returns none if another program has taken the port
// meanwhile.
func tryCollect(t *testing.T, binary string) (endpoint string, stop func() string) {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	free.Close()
	settings := filepath.Join(t.TempDir(), "collector.yaml")
	if err := os.WriteFile(settings, fmt.Appendf(nil, collectorConfig, addr), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, "--config", settings)
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	lines := bufio.NewReader(io.TeeReader(pipe, &said))
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			_ = cmd.Wait() // what it wrote says more
			if strings.Contains(said.String(), "address already in use") {
				return "", nil
			}
			t.Fatalf("the collector ended: %v\n%s", err, &said)
		}
		if strings.Contains(line, "Everything is ready") {
			break
		}
	}
	return "http://" + addr, func() string {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, lines); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the collector: %v", err)
		}
		return said.String()
	}
}

// span is one as the collector shows it.
type span struct {
	trace, parent, id, name string
	text                    string
}

var fields = regexp.MustCompile(`(?m)^\s+(Trace ID|Parent ID|ID|Name)\s+: ?(.*)$`)

func spansOf(said string) []span {
	var spans []span
	for _, text := range strings.Split(said, "\nSpan #")[1:] {
		s := span{text: text}
		for _, m := range fields.FindAllStringSubmatch(text, 4) {
			switch m[1] {
			case "Trace ID":
				s.trace = m[2]
			case "Parent ID":
				s.parent = m[2]
			case "ID":
				s.id = m[2]
			case "Name":
				s.name = m[2]
			}
		}
		spans = append(spans, s)
	}
	return spans
}

const flow = `
name: Review
steps:
  - {id: lint, agent: linter, task: Lint PROMPTMARK}
  - {id: each, agent: linter, foreach: [a, b], task: "Look at PROMPTMARK ${{ item }}"}
  - {id: review, agent: code-reviewer, task: Judge PROMPTMARK, dependencies: [lint, each]}
`

// TestTracesArriveWhole runs a workflow twice, so that the second run is answered
// from the cache, with a real collector at the other end.
func TestTracesArriveWhole(t *testing.T) {
	endpoint, stop := collect(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "300000") // in milliseconds
	exporter, err := otlp.New(t.Context(), "test", os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cfg, err := config.Load(config.Sources{Dir: dir, Home: dir})
	if err != nil {
		t.Fatal(err)
	}
	orch, err := claudeforce.New(t.Context(), claudeforce.Options{
		Dir: dir, Config: cfg, Simulator: sim.New(sim.Options{}),
		Telemetry: telemetry.Options{Traces: exporter.Traces, Metrics: exporter.Metrics},
	})
	if err != nil {
		t.Fatal(err)
	}
	wf, err := claudeforce.ParseWorkflow(dir, "review.yaml", []byte(flow))
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"TRACEPARENT": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	ctx := telemetry.FromEnv(t.Context(), func(name string) string { return env[name] })
	for range 2 {
		if _, err := orch.RunWorkflow(ctx, wf, claudeforce.RunOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := orch.Close(); err != nil {
		t.Fatal(err)
	}
	if err := exporter.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	said := stop()
	checkTree(t, spansOf(said))
	for _, want := range []string{
		"gen_ai.operation.name: Str(chat)", "gen_ai.provider.name: Str(anthropic)", "gen_ai.request.model: Str(claude-haiku-5-5)",
		"gen_ai.usage.input_tokens: Int(", "gen_ai.usage.output_tokens: Int(", "gen_ai.response.finish_reasons: Slice([\"end_turn\"])",
		"gen_ai.workflow.name: Str(Review)", "gen_ai.agent.name: Str(linter)", "claude_force.source: Str(cache)",
		"Name: gen_ai.client.token.usage", "Name: gen_ai.client.operation.duration", "Name: claude_force.steps", "claude_force.step.status: Str(completed)", "service.name: Str(claude-force)",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("the collector did not get %s", want)
		}
	}
	if strings.Contains(said, "PROMPTMARK") {
		t.Error("the collector got a prompt")
	}
	if t.Failed() {
		t.Log(said)
	}
}

// checkTree checks that all spans of both runs are there, each below the right
// one.
func checkTree(t *testing.T, spans []span) {
	t.Helper()
	byID := map[string]span{}
	for _, s := range spans {
		byID[s.id] = s
	}
	var got []string
	for _, s := range spans {
		line, top := s.name, s
		for p, ok := byID[s.parent]; ok; p, ok = byID[p.parent] {
			line, top = p.name+" > "+line, p
		}
		if top.parent != "b7ad6b7169203331" || s.trace != "0af7651916cd43dd8448eb211c80319c" {
			t.Errorf("%s is not in the caller's trace", line)
		}
		got = append(got, line)
	}
	var want []string
	for range 2 {
		root := "invoke_workflow Review"
		want = append(want, root, root+" > step each")
		for _, unit := range [][3]string{
			{root + " > step lint", "linter", "haiku"}, {root + " > step review", "code-reviewer", "sonnet"},
			{root + " > step each > step each", "linter", "haiku"}, {root + " > step each > step each", "linter", "haiku"},
		} {
			agent := fmt.Sprintf("%s > invoke_agent %s", unit[0], unit[1])
			want = append(want, unit[0], agent, agent+" > chat claude-"+unit[2]+"-5-5")
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
