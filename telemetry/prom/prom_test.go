package prom_test

import (
	"bytes"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/telemetry/prom"
)

func filled() *prom.Registry {
	reg := prom.NewRegistry()
	calls := reg.Counter("x_calls_total", "Calls\nwith a \\.", "agent", "source")
	calls.Add(2, "b", "live")
	calls.Add(1.5, `a"\`+"\n", "cache")
	calls.Add(-1, "b", "live")
	reg.Counter("x_nothing_total", "Nothing yet.")
	reg.Counter("x_unseen_total", "Never counted.", "kind")
	reg.Gauge("x_level", "A level.").Set(-3)
	took := reg.Histogram("x_seconds", "Times.", []float64{0.1, 1}, "agent")
	for _, v := range []float64{0.05, 0.1, 0.5, 7} {
		took.Observe(v, "b")
	}
	return reg
}

func TestTextFormat(t *testing.T) {
	t.Parallel()
	want := `# HELP x_calls_total Calls\nwith a \\.
# TYPE x_calls_total counter
x_calls_total{agent="a\"\\\n",source="cache"} 1.5
x_calls_total{agent="b",source="live"} 2
# HELP x_nothing_total Nothing yet.
# TYPE x_nothing_total counter
x_nothing_total 0
# HELP x_level A level.
# TYPE x_level gauge
x_level -3
# HELP x_seconds Times.
# TYPE x_seconds histogram
x_seconds_bucket{agent="b",le="0.1"} 2
x_seconds_bucket{agent="b",le="1"} 3
x_seconds_bucket{agent="b",le="+Inf"} 4
x_seconds_sum{agent="b"} 7.65
x_seconds_count{agent="b"} 4
`
	w := httptest.NewRecorder()
	filled().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	if diff := cmp.Diff(want, w.Body.String()); diff != "" {
		t.Error(diff)
	}
	if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4") {
		t.Errorf("content type %q", got)
	}
}

// TestPromtool has Prometheus's own tool read what is written.
func TestPromtool(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("promtool is missing; .ci/run installs it (Debian package prometheus)")
		}
		t.Skip("promtool is not installed (Debian package prometheus)")
	}
	var text bytes.Buffer
	if _, err := filled().WriteTo(&text); err != nil {
		t.Fatal(err)
	}
	check := exec.CommandContext(t.Context(), tool, "check", "metrics")
	check.Stdin = &text
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}
