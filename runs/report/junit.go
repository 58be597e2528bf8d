package report

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/workflow"
)

type (
	testSuites struct {
		XMLName  xml.Name    `xml:"testsuites"`
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Time     string      `xml:"time,attr"`
		Suites   []testSuite `xml:"testsuite"`
	}
	testSuite struct {
		Name       string     `xml:"name,attr"`
		Tests      int        `xml:"tests,attr"`
		Failures   int        `xml:"failures,attr"`
		Errors     int        `xml:"errors,attr"`
		Skipped    int        `xml:"skipped,attr"`
		Time       string     `xml:"time,attr"`
		Timestamp  string     `xml:"timestamp,attr,omitempty"`
		Properties []property `xml:"properties>property"`
		Cases      []testCase `xml:"testcase"`
	}
	property struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	testCase struct {
		Class   string       `xml:"classname,attr"`
		Name    string       `xml:"name,attr"`
		Time    string       `xml:"time,attr"`
		Failure *testOutcome `xml:"failure"`
		Error   *testOutcome `xml:"error"`
		Skipped *testOutcome `xml:"skipped"`
	}
	testOutcome struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
)

// writeJUnit writes a run as a test suite with a case for each step and each item. What
// failed without the run failing for it is skipped, so that a suite has failures only if
// the run has. A failure of the run as a whole is a case named "run".
func writeJUnit(w io.Writer, wf *workflow.Workflow, res *engine.Result) error {
	suite := testSuite{
		Name: title(wf), Time: junitSeconds(res.TotalTimeSeconds),
		Properties: []property{{"run", res.RunID}, {"status", string(res.Status)}},
	}
	if res.CostUSD != nil {
		suite.Properties = append(suite.Properties, property{"cost_usd", strconv.FormatFloat(*res.CostUSD, 'f', -1, 64)})
	}
	var first time.Time
	for _, step := range res.Steps {
		if at := step.StartedAt; at != nil && (first.IsZero() || at.Before(first)) {
			first = *at
		}
	}
	if !first.IsZero() {
		suite.Timestamp = first.UTC().Format("2006-01-02T15:04:05")
	}
	for p := range parts(wf, res) {
		suite.add(p)
	}
	if res.Error != nil {
		suite.count(testCase{Class: title(wf), Name: "run", Time: junitSeconds(0), Failure: &testOutcome{Message: *res.Error, Type: string(res.Status), Text: *res.Error}})
	}
	all := testSuites{
		Name: "claude-force", Tests: suite.Tests, Failures: suite.Failures, Errors: suite.Errors, Skipped: suite.Skipped,
		Time: suite.Time, Suites: []testSuite{suite},
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return fmt.Errorf("writing JUnit XML: %w", err)
	}
	enc := xml.NewEncoder(w) // writes characters that XML has no place for as U+FFFD
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return fmt.Errorf("writing JUnit XML: %w", err)
	}
	if _, err := io.WriteString(w, "\n"); err != nil {
		return fmt.Errorf("writing JUnit XML: %w", err)
	}
	return nil
}

// add adds the case of a part.
func (s *testSuite) add(p part) {
	c := testCase{Class: s.Name + "." + p.path, Name: cmp.Or(p.item, p.path), Time: junitSeconds(p.res.DurationSeconds)}
	reason := why(p.res)
	switch status := p.res.Status; {
	case status == engine.StatusCompleted:
	case status == engine.StatusFailed && p.tolerated:
		c.Skipped = &testOutcome{Message: "failed, and the run went on without it: " + reason}
	case status == engine.StatusFailed:
		c.Failure = &testOutcome{Message: reason, Type: cmp.Or(p.res.Code(), string(status)), Text: reason}
	case status == engine.StatusSkipped:
		c.Skipped = &testOutcome{Message: reason}
	case p.res.StartedAt == nil:
		c.Skipped = &testOutcome{Message: "not started"}
	default:
		reason = cmp.Or(reason, "the run ended before it did")
		c.Error = &testOutcome{Message: reason, Type: string(status), Text: reason}
	}
	s.count(c)
}

func (s *testSuite) count(c testCase) {
	s.Tests++
	switch {
	case c.Failure != nil:
		s.Failures++
	case c.Error != nil:
		s.Errors++
	case c.Skipped != nil:
		s.Skipped++
	}
	s.Cases = append(s.Cases, c)
}

func junitSeconds(s float64) string { return strconv.FormatFloat(s, 'f', 3, 64) }
