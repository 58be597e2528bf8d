package deploy

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/claude-force/claude-force/internal/citest"
	"github.com/claude-force/claude-force/telemetry"
)

var metricName = regexp.MustCompile(`\bclaude_force_[a-z0-9_]+`)

// names returns the metrics that a program may export: those of calls and runs by their
// descriptions, those of the server by its source.
func names(t *testing.T) map[string]bool {
	t.Helper()
	described := &descriptions{names: map[string]bool{}}
	telemetry.NewCounters(described)
	source, err := filepath.Glob("../server/*.go")
	if err != nil || len(source) == 0 {
		t.Fatalf("found %d files of the server, %v", len(source), err)
	}
	for _, path := range source {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		for _, quoted := range regexp.MustCompile(`"claude_force_[a-z0-9_]+"`).FindAllString(string(text), -1) {
			described.names[strings.Trim(quoted, `"`)] = true
		}
	}
	return described.names
}

// descriptions is a registry that keeps the names of what is registered.
type descriptions struct{ names map[string]bool }

func (d *descriptions) Register(c prometheus.Collector) error {
	list := make(chan *prometheus.Desc, 16)
	c.Describe(list)
	close(list)
	for desc := range list {
		name := regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch(desc.String())
		d.names[name[1]] = true
	}
	return nil
}

func (d *descriptions) MustRegister(list ...prometheus.Collector) {
	for _, c := range list {
		_ = d.Register(c)
	}
}

func (d *descriptions) Unregister(prometheus.Collector) bool { return false }

// TestMetricsExist checks that rules and dashboard name no metric that there is not.
func TestMetricsExist(t *testing.T) {
	known := names(t)
	if !known["claude_force_calls_total"] || !known["claude_force_http_requests_total"] {
		t.Fatalf("the metrics are %v", known)
	}
	for _, path := range []string{"prometheus/rules.yaml", "prometheus/rules_test.yaml", "grafana/dashboard.json"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		found := metricName.FindAllString(string(text), -1)
		if len(found) < 8 {
			t.Errorf("%s names %d metrics", path, len(found))
		}
		for _, name := range found {
			if base := strings.TrimSuffix(name, "_bucket"); !known[name] && !known[base] {
				t.Errorf("%s names %s, which is no metric", path, name)
			}
		}
	}
}

// TestRules has promtool check the rules for Prometheus and their tests.
func TestRules(t *testing.T) {
	tool, err := exec.LookPath("promtool")
	if err != nil {
		citest.Missing(t, "promtool is not installed (Debian package prometheus)")
	}
	for _, args := range [][]string{{"check", "rules", "rules.yaml"}, {"test", "rules", "rules_test.yaml"}} {
		cmd := exec.CommandContext(t.Context(), tool, args...)
		cmd.Dir = "prometheus"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestActions checks that each alert names a section of the runbook.
func TestActions(t *testing.T) {
	rules, err := os.ReadFile("prometheus/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	runbook, err := os.ReadFile("../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^## (.+)$`).FindAllStringSubmatch(string(runbook), -1) {
		sections[strings.ReplaceAll(strings.ToLower(heading[1]), " ", "-")] = true
	}
	actions := regexp.MustCompile(`action: "docs/runbook\.md#([^"]+)"`).FindAllStringSubmatch(string(rules), -1)
	if alerts := strings.Count(string(rules), "- alert:"); len(actions) != alerts || alerts == 0 {
		t.Errorf("%d alerts have %d actions", alerts, len(actions))
	}
	for _, action := range actions {
		if !sections[action[1]] {
			t.Errorf("the runbook has no section %q", action[1])
		}
	}
}

// TestImages checks that the stages of the Dockerfile that are named are stages of it, and that
// the image without a name is that of the server.
func TestImages(t *testing.T) {
	dockerfile, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	compose, err := os.ReadFile("compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	stages, last := map[string]bool{}, ""
	for _, from := range regexp.MustCompile(`(?m)^FROM (\S+) AS (\S+)$`).FindAllStringSubmatch(string(dockerfile), -1) {
		if base := from[1]; !strings.Contains(base, ":") && !stages[base] {
			t.Errorf("stage %s begins with %s, which is no stage before it", from[2], base)
		}
		last = from[2]
		stages[last] = true
	}
	if last != "server" || strings.Count(string(dockerfile), "\nFROM ") != len(stages) {
		t.Errorf("the stages are %v, the last one %s", stages, last)
	}
	named := regexp.MustCompile(`--from=(\S+)`).FindAllStringSubmatch(string(dockerfile), -1)
	named = append(named, regexp.MustCompile(`target: (\w+)`).FindAllStringSubmatch(string(compose), -1)...)
	for _, name := range named {
		if !stages[name[1]] {
			t.Errorf("there is no stage %s", name[1])
		}
	}
	if len(named) != 3 {
		t.Errorf("%d stages are named", len(named))
	}
}

// TestDashboard checks that each panel of the dashboard asks for something and has a
// place of its own.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("grafana/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range dashboard.Panels {
		if ids[p.ID] || p.Title == "" || len(p.Targets) == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %d %q is not one that Grafana shows", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			if target.Expr == "" {
				t.Errorf("panel %q has a query that is empty", p.Title)
			}
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other, is := taken[[2]int{x, y}]; is {
					t.Fatalf("panels %q and %q overlap", other, p.Title)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}
