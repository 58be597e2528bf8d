package workflow

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// Severity says how much a finding matters.
type Severity string

// Severities, the worst first.
const (
	SeverityCritical Severity = "critical"
	SeverityHigh     Severity = "high"
	SeverityMedium   Severity = "medium"
	SeverityLow      Severity = "low"
	SeverityInfo     Severity = "info"
)

// Severities lists all severities, the worst first.
func Severities() []Severity {
	return []Severity{SeverityCritical, SeverityHigh, SeverityMedium, SeverityLow, SeverityInfo}
}

// otherSeverities are words of other tools and of models for severities.
var otherSeverities = map[string]Severity{
	"blocker": SeverityCritical, "error": SeverityHigh, "major": SeverityHigh, "warning": SeverityMedium, "moderate": SeverityMedium,
	"minor": SeverityLow, "note": SeverityLow, "informational": SeverityInfo, "none": SeverityInfo,
}

// Reaches reports whether a severity is at least as bad as another.
func (s Severity) Reaches(threshold Severity) bool {
	all := Severities()
	return slices.Index(all, s) <= slices.Index(all, threshold)
}

// Finding is something that a run found in a file.
type Finding struct {
	File     string   `json:"file,omitempty"`     // path with slashes; empty if it is in no file
	Line     int      `json:"line,omitempty"`     // from 1; 0: of no line
	EndLine  int      `json:"end_line,omitempty"` // 0: the same
	Severity Severity `json:"severity"`
	Rule     string   `json:"rule,omitempty"` // what kind of finding it is
	Message  string   `json:"message"`
}

// FailWhen says when a run fails although its steps have done what they were to do. At
// least one of When and Severity is set; either makes the run fail.
type FailWhen struct {
	When     *Value    // a boolean
	Severity Severity  // a finding that reaches it
	Message  *Template // why the run failed; nil: what was true
}

// findings reads the expression of the findings of a workflow.
func (p *reader) findings(v view, n *yaml.Node) *Value {
	const hint = "write findings: ${{ steps.ID.json.findings }}"
	if n.Kind != yaml.ScalarNode {
		p.fail(n, nil, hint, "findings must be an expression, not %s", kindOf(n))
		return nil
	}
	before := p.failures
	val := p.valueOf(nil, v, n, "findings")
	if p.failures > before || val == nil {
		return val
	}
	switch typ := val.typ(); {
	case val.constant():
		p.fail(n, nil, hint, "findings must be an expression, not a text")
	case typ != "" && typ != "array":
		p.fail(n, ErrExpression, hint, "findings must be a list, not of type %s", typ)
	}
	return val
}

// failWhen reads a condition, or a mapping with a threshold.
func (p *reader) failWhen(w *Workflow, v view, n *yaml.Node) *FailWhen {
	out := &FailWhen{}
	if n.Kind != yaml.MappingNode {
		out.When = p.condition(nil, v, n, "fail_when")
		return out
	}
	f, ok := p.fields(n, "fail_when", failWhenKeys)
	if !ok {
		return nil
	}
	if c := f.given("when"); c != nil {
		out.When = p.condition(nil, v, c, "when")
	}
	if c := f.given("severity"); c != nil {
		known := make([]string, 0, len(Severities()))
		for _, s := range Severities() {
			known = append(known, string(s))
		}
		out.Severity = Severity(p.oneOf(c, "severity", known))
		if w.Findings == nil {
			p.fail(c, nil, "add findings: ${{ steps.ID.json.findings }}", "a severity in fail_when needs findings of the workflow")
		}
	}
	if c := f.given("message"); c != nil {
		out.Message = p.template(nil, v, c, "message")
	}
	if f.given("when") == nil && f.given("severity") == nil {
		p.fail(n, nil, "write fail_when: {severity: high}", "fail_when says no when and no severity")
	}
	return out
}

// EvalFindings returns the findings of a workflow; nil if it declares none.
func (w *Workflow) EvalFindings(env Env) ([]Finding, error) {
	if w.Findings == nil {
		return nil, nil
	}
	v, err := w.Findings.Eval(env)
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok {
		return nil, errors.New("the findings are no list")
	}
	findings := make([]Finding, len(list))
	for i, e := range list {
		if findings[i], err = finding(Plain(e)); err != nil {
			return nil, fmt.Errorf("finding %d %w", i+1, err)
		}
	}
	return findings, nil
}

// finding returns a finding from JSON. The error continues "finding N".
func finding(v any) (Finding, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return Finding{}, errors.New("is no mapping with a message")
	}
	var f Finding
	for _, text := range []struct {
		name string
		to   *string
	}{{"file", &f.File}, {"rule", &f.Rule}, {"message", &f.Message}} {
		switch v := m[text.name].(type) {
		case nil:
		case string:
			*text.to = strings.TrimSpace(v)
		default:
			return f, fmt.Errorf("has a %s that is no text", text.name)
		}
	}
	if f.Message == "" {
		return f, errors.New("has no message")
	}
	if f.File != "" {
		f.File = path.Clean(strings.ReplaceAll(f.File, `\`, "/"))
	}
	for _, number := range []struct {
		name string
		to   *int
	}{{"line", &f.Line}, {"end_line", &f.EndLine}} {
		switch n := operand(m[number.name]).(type) {
		case nil:
		case int:
			*number.to = max(n, 0)
		case float64:
			if n != float64(int32(n)) {
				return f, fmt.Errorf("has a %s that is no whole number", number.name)
			}
			*number.to = max(int(n), 0)
		default:
			return f, fmt.Errorf("has a %s that is no whole number", number.name)
		}
	}
	if f.Line == 0 || f.EndLine < f.Line {
		f.EndLine = 0
	}
	word, _ := m["severity"].(string)
	switch s := Severity(strings.ToLower(strings.TrimSpace(word))); {
	case m["severity"] == nil:
		f.Severity = SeverityMedium
	case slices.Contains(Severities(), s):
		f.Severity = s
	case otherSeverities[string(s)] != "":
		f.Severity = otherSeverities[string(s)]
	default:
		return f, fmt.Errorf("has an unknown severity; known are %v", Severities())
	}
	return f, nil
}

// mostNamed is how many findings the reason of a failed run names.
const mostNamed = 3

// Fails returns why a run with these findings fails; empty if it does not.
func (f *FailWhen) Fails(env Env, findings []Finding) (string, error) {
	if f == nil {
		return "", nil
	}
	why := ""
	var worst []Finding
	if f.Severity != "" {
		for _, one := range findings {
			if one.Severity.Reaches(f.Severity) {
				worst = append(worst, one)
			}
		}
	}
	if f.When != nil {
		v, err := f.When.Eval(env)
		if err != nil {
			return "", err
		}
		met, ok := v.(bool)
		if !ok {
			return "", errors.New("it is neither true nor false")
		}
		if met {
			why = strings.TrimSpace(f.When.Source())
		}
	}
	if len(worst) > 0 {
		why = describe(worst, f.Severity)
	}
	if why == "" || f.Message == nil {
		return why, nil
	}
	return f.Message.Render(env)
}

// describe returns the number of findings that reach a severity, and the first of them.
func describe(worst []Finding, threshold Severity) string {
	noun := "finding reaches"
	if len(worst) > 1 {
		noun = "findings reach"
	}
	var named []string
	for _, f := range worst[:min(len(worst), mostNamed)] {
		named = append(named, f.String())
	}
	if len(worst) > mostNamed {
		named = append(named, "and more")
	}
	return fmt.Sprintf("%d %s severity %s: %s", len(worst), noun, threshold, strings.Join(named, "; "))
}

// longestShown is how many characters of a message [Finding.String] shows.
const longestShown = 200

// String returns a finding as one line, such as "a.go:3: the error is lost".
func (f Finding) String() string {
	text := strings.Join(strings.Fields(f.Message), " ")
	if runes := []rune(text); len(runes) > longestShown {
		text = string(runes[:longestShown-1]) + "…"
	}
	if f.File != "" && f.Line > 0 {
		return fmt.Sprintf("%s:%d: %s", f.File, f.Line, text)
	}
	if f.File != "" {
		return f.File + ": " + text
	}
	return text
}
