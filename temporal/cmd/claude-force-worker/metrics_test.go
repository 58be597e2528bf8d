package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/internal/citest"
)

// served returns what is served at /metrics once each metric of Temporal's SDK has a value.
func served(t *testing.T) string {
	t.Helper()
	var said bytes.Buffer
	m, stop, err := serveMetrics(t.Context(), "127.0.0.1:0", slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for name, kind := range sdkMetrics(t) {
		tagged := m.sdk.WithTags(map[string]string{"task_queue": "claude-force", "worker_type": "ActivityWorker"})
		switch kind {
		case "latency":
			tagged.Timer(name).Record(3 * time.Second)
		case "gauge":
			tagged.Gauge(name).Update(1)
		default:
			tagged.Counter(name).Inc(1)
		}
	}
	url := regexp.MustCompile(`http://\S+/metrics`).FindString(said.String())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v", res.Status, err)
	}
	return string(text)
}

// sdkMetrics returns the names of the metrics of Temporal's SDK with their kinds, from its source.
func sdkMetrics(t *testing.T) map[string]string {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "go.temporal.io/sdk").Output()
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "internal/common/metrics/constants.go"))
	if err != nil {
		t.Fatal(err)
	}
	values, kinds := map[string]string{}, map[string]string{}
	for _, c := range regexp.MustCompile(`(?m)^\t(\w+) += (\w+ \+ )?"(\w+)"`).FindAllStringSubmatch(string(source), -1) {
		name := values[strings.TrimSuffix(c[2], " + ")] + c[3]
		values[c[1]] = name
		switch {
		case !strings.HasPrefix(name, "temporal_") || name == "temporal_" || strings.HasSuffix(c[1], "Tag") || strings.HasSuffix(c[1], "Value"):
		case strings.HasSuffix(name, "_latency"):
			kinds[name] = "latency"
		case strings.HasPrefix(c[1], "WorkerTaskSlots"), c[1] == "NumPoller", c[1] == "StickyCacheSize", c[1] == "WorkflowActiveThreadCount":
			kinds[name] = "gauge"
		default:
			kinds[name] = "counter"
		}
	}
	if len(kinds) < 30 {
		t.Fatalf("found the metrics %v", kinds)
	}
	return kinds
}

// TestMetrics has Prometheus's own tool check what a worker serves, and checks that the rules
// for Prometheus name no metric of Temporal's SDK that there is not.
func TestMetrics(t *testing.T) {
	text := served(t)
	rules, err := os.ReadFile("../../../deploy/prometheus/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`\btemporal_\w+`).FindAllString(string(rules), -1)
	if len(named) < 3 {
		t.Errorf("the rules name %v", named)
	}
	for _, name := range named {
		if !strings.Contains(text, "\n"+name+"{") {
			t.Errorf("the rules name %s, which is no metric of a worker:\n%s", name, text)
		}
	}
	if !strings.Contains(text, "claude_force_cache_hits_total 0") {
		t.Errorf("there are no metrics of calls:\n%s", text)
	}
	tool, err := exec.LookPath("promtool")
	if err != nil {
		citest.Missing(t, "promtool is not installed (Debian package prometheus)")
	}
	cmd := exec.CommandContext(t.Context(), tool, "check", "metrics")
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "temporal_") {
			continue // the style of the SDK's names; what cannot be read begins otherwise
		}
		t.Errorf("promtool check metrics: %v\n%s", err, line)
	}
}

func TestMetricsAddress(t *testing.T) {
	if _, _, err := serveMetrics(context.Background(), "127.0.0.1:many", slog.New(slog.DiscardHandler)); !fault.Has(err, fault.KindInput) {
		t.Errorf("a port that is none: %v", err)
	}
}
