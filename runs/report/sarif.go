package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path"
	"regexp"
	"strings"
	"sync"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/workflow"
)

// The part of SARIF 2.1.0 that is written.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool        sarifTool         `json:"tool"`
		Details     sarifDetails      `json:"automationDetails"`
		Invocations []sarifInvocation `json:"invocations"`
		Results     []sarifResult     `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name  string      `json:"name"`
		Rules []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID string `json:"id"`
	}
	sarifDetails struct {
		ID string `json:"id"`
	}
	sarifInvocation struct {
		Successful bool `json:"executionSuccessful"`
	}
	sarifResult struct {
		RuleID     string          `json:"ruleId"`
		RuleIndex  int             `json:"ruleIndex"`
		Level      string          `json:"level"`
		Message    sarifMessage    `json:"message"`
		Locations  []sarifLocation `json:"locations,omitempty"`
		Properties sarifProperties `json:"properties"`
	}
	sarifMessage struct {
		Text string `json:"text"`
	}
	sarifLocation struct {
		Physical sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct {
		URI    string `json:"uri"`
		BaseID string `json:"uriBaseId,omitempty"`
	}
	sarifRegion struct {
		StartLine int `json:"startLine"`
		EndLine   int `json:"endLine,omitempty"`
	}
	sarifProperties struct {
		Severity workflow.Severity `json:"severity"`
	}
)

// sourceRoot is what paths are relative to; who reads the log knows where that is.
const sourceRoot = "%SRCROOT%"

// noRule is the rule of findings that name none.
const noRule = "finding"

// writeSARIF writes the findings of a run.
func writeSARIF(w io.Writer, wf *workflow.Workflow, res *engine.Result) error {
	if err := Check(SARIF, wf); err != nil {
		return err
	}
	run := sarifRun{
		Tool: sarifTool{sarifDriver{Name: "claude-force", Rules: []sarifRule{}}},
		// A name with slashes would be taken for several levels.
		Details:     sarifDetails{ID: strings.ReplaceAll(title(wf), "/", "-") + "/" + res.RunID},
		Invocations: []sarifInvocation{{res.Status == engine.StatusCompleted || res.FailWhen && len(res.NotDone) == 0}},
		Results:     []sarifResult{},
	}
	index := map[string]int{}
	for _, f := range res.Findings {
		rule := cmp.Or(f.Rule, noRule)
		i, ok := index[rule]
		if !ok {
			i = len(index)
			index[rule] = i
			run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{rule})
		}
		run.Results = append(run.Results, sarifResult{
			RuleID: rule, RuleIndex: i, Level: sarifLevel(f.Severity), Message: sarifMessage{f.Message},
			Locations: sarifLocations(f), Properties: sarifProperties{f.Severity},
		})
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	err := enc.Encode(sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}})
	if err != nil {
		return fmt.Errorf("writing SARIF: %w", err)
	}
	return nil
}

func sarifLevel(s workflow.Severity) string {
	switch s {
	case workflow.SeverityCritical, workflow.SeverityHigh:
		return "error"
	case workflow.SeverityMedium:
		return "warning"
	}
	return "note"
}

// drive matches the beginning of an absolute path on Windows.
var drive = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z]:/`) })

func sarifLocations(f workflow.Finding) []sarifLocation {
	if f.File == "" {
		return nil
	}
	artifact := sarifArtifact{URI: (&url.URL{Path: f.File}).String(), BaseID: sourceRoot}
	switch {
	case path.IsAbs(f.File):
		artifact = sarifArtifact{URI: (&url.URL{Scheme: "file", Path: f.File}).String()}
	case drive().MatchString(f.File):
		artifact = sarifArtifact{URI: (&url.URL{Scheme: "file", Path: "/" + f.File}).String()}
	}
	place := sarifPhysical{Artifact: artifact}
	if f.Line > 0 {
		place.Region = &sarifRegion{f.Line, f.EndLine}
	}
	return []sarifLocation{{place}}
}
