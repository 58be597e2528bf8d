package report_test

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/runs/report"
	"github.com/claude-force/claude-force/workflow"
)

// knownProperties are the properties that SARIF 2.1.0 has for the objects that a log of
// ours may hold, as far as they are used; all objects but property bags are closed.
var knownProperties = map[string][]string{
	"log":              {"$schema", "version", "runs"},
	"run":              {"tool", "automationDetails", "invocations", "results"},
	"tool":             {"driver"},
	"driver":           {"name", "rules"},
	"rule":             {"id"},
	"details":          {"id"},
	"invocation":       {"executionSuccessful"},
	"result":           {"ruleId", "ruleIndex", "level", "message", "locations", "properties"},
	"message":          {"text"},
	"location":         {"physicalLocation"},
	"physicalLocation": {"artifactLocation", "region"},
	"artifactLocation": {"uri", "uriBaseId"},
	"region":           {"startLine", "endLine"},
}

type object = map[string]any

// checker checks a log by the rules of SARIF 2.1.0 (OASIS, sections 3.13 to 3.58).
type checker struct {
	t interface{ Errorf(string, ...any) }
}

func (c checker) object(kind string, v any) object {
	o, ok := v.(object)
	if !ok {
		c.t.Errorf("%s is %T", kind, v)
	}
	for name := range o {
		if !slices.Contains(knownProperties[kind], name) {
			c.t.Errorf("%s has %s", kind, name)
		}
	}
	return o
}

func (c checker) text(kind string, v any) string {
	s, _ := v.(string)
	if s == "" {
		c.t.Errorf("%s is %v, no text", kind, v)
	}
	return s
}

func (c checker) list(kind string, v any) []any {
	l, ok := v.([]any)
	if !ok { // an empty list means that there are none, a missing one that nothing was looked for
		c.t.Errorf("%s is %T, no list", kind, v)
	}
	return l
}

func (c checker) log(v any) (results []object) {
	log := c.object("log", v)
	if log["version"] != "2.1.0" {
		c.t.Errorf("version %v", log["version"])
	}
	for _, v := range c.list("runs", log["runs"]) {
		run := c.object("run", v)
		driver := c.object("driver", c.object("tool", run["tool"])["driver"])
		c.text("name", driver["name"])
		var ids []string
		for _, v := range c.list("rules", driver["rules"]) {
			id := c.text("rule", c.object("rule", v)["id"])
			if slices.Contains(ids, id) {
				c.t.Errorf("rule %q is there twice", id)
			}
			ids = append(ids, id)
		}
		if id := c.text("details", c.object("details", run["automationDetails"])["id"]); strings.Count(id, "/") != 1 {
			c.t.Errorf("the id of the run is %q", id)
		}
		for _, v := range c.list("invocations", run["invocations"]) {
			if _, ok := c.object("invocation", v)["executionSuccessful"].(bool); !ok {
				c.t.Errorf("invocation %v", v)
			}
		}
		for _, v := range c.list("results", run["results"]) {
			result := c.object("result", v)
			results = append(results, result)
			c.result(result, ids)
		}
	}
	return results
}

func (c checker) result(result object, ids []string) {
	c.text("message", c.object("message", result["message"])["text"])
	if i, ok := result["ruleIndex"].(float64); !ok || int(i) >= len(ids) || ids[int(i)] != result["ruleId"] {
		c.t.Errorf("rule %v is not number %v of %v", result["ruleId"], result["ruleIndex"], ids)
	}
	if !slices.Contains([]any{"none", "note", "warning", "error"}, result["level"]) {
		c.t.Errorf("level %v", result["level"])
	}
	if result["locations"] == nil {
		return
	}
	for _, v := range c.list("locations", result["locations"]) {
		place := c.object("physicalLocation", c.object("location", v)["physicalLocation"])
		file := c.object("artifactLocation", place["artifactLocation"])
		uri, err := url.Parse(c.text("uri", file["uri"]))
		if err != nil || uri.IsAbs() != (file["uriBaseId"] == nil) || uri.Fragment != "" || uri.RawQuery != "" {
			c.t.Errorf("uri %v of base %v: %v", file["uri"], file["uriBaseId"], err)
		}
		if place["region"] == nil {
			continue
		}
		region := c.object("region", place["region"])
		start, _ := region["startLine"].(float64)
		end, ok := region["endLine"].(float64)
		if start < 1 || ok && end < start {
			c.t.Errorf("region %v", region)
		}
	}
}

func sarif(t interface {
	Errorf(string, ...any)
	Fatal(...any)
}, wf *workflow.Workflow, res *engine.Result,
) []object {
	var b strings.Builder
	if err := report.Write(&b, report.SARIF, wf, res); err != nil {
		t.Fatal(err)
	}
	var log any
	if err := json.Unmarshal([]byte(b.String()), &log); err != nil {
		t.Fatal(err)
	}
	return checker{t}.log(log)
}

const found = `
name: a/b
steps: [{id: a, agent: a, task: fine}]
findings: ${{ [] }}
`

// TestSARIFIsValid writes any findings as SARIF, which must be valid and have them all.
func TestSARIFIsValid(t *testing.T) {
	t.Parallel()
	wf, res := run(t, found, "")
	if results := sarif(t, wf, res); len(results) != 0 {
		t.Errorf("%d results of none", len(results))
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"a.go", "/abs/a b.go", "C:/x.go", "a:b.go", "../x", "ä/%20?#.go", "\x00", "//host/x"}))
		res.Findings = rapid.SliceOf(rapid.Custom(func(t *rapid.T) workflow.Finding {
			f := workflow.Finding{
				File: text.Draw(t, "file"), Line: rapid.IntRange(0, 5).Draw(t, "line"), Rule: text.Draw(t, "rule"),
				Severity: rapid.SampledFrom(workflow.Severities()).Draw(t, "severity"), Message: "m" + text.Draw(t, "message"),
			}
			if f.Line > 0 && rapid.Bool().Draw(t, "more") {
				f.EndLine = f.Line + 2
			}
			return f
		})).Draw(t, "findings")
		if results := sarif(t, wf, res); len(results) != len(res.Findings) {
			t.Errorf("%d results of %d findings", len(results), len(res.Findings))
		}
	})
}

func TestSARIFOfOneFinding(t *testing.T) {
	t.Parallel()
	wf, res := run(t, found, "")
	res.Findings = []workflow.Finding{{File: "src/a b.go", Line: 3, EndLine: 5, Severity: workflow.SeverityMedium, Rule: "leak", Message: "it <leaks>"}}
	var b strings.Builder
	if err := report.Write(&b, report.SARIF, wf, res); err != nil {
		t.Fatal(err)
	}
	flat := strings.Join(strings.Fields(b.String()), " ")
	for _, want := range []string{
		`"ruleId": "leak", "ruleIndex": 0, "level": "warning"`, `"uri": "src/a%20b.go", "uriBaseId": "%SRCROOT%"`,
		`"region": { "startLine": 3, "endLine": 5 }`, `"automationDetails": { "id": "a-b/run_1" }`, `"executionSuccessful": true`,
	} {
		if !strings.Contains(flat, want) {
			t.Errorf("no %s in:\n%s", want, b.String())
		}
	}
	wf, res = run(t, "steps: [{id: a, agent: a, task: fine}]", "")
	if err := report.Write(&b, report.SARIF, wf, res); err == nil || !strings.Contains(err.Error(), "declares no findings") {
		t.Errorf("a workflow without findings: %v", err)
	}
}
