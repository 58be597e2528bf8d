package analytics_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/llm"
)

func TestReadUpstream(t *testing.T) {
	t.Parallel()
	f, err := os.Open("testdata/executions.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zone := time.FixedZone("", 3600)
	var calls []analytics.Call
	var bad []int
	for got, err := range analytics.ReadUpstream("executions.jsonl", f, analytics.UpstreamOptions{Project: "p", Location: zone}) {
		if line, ok := errors.AsType[*analytics.LineError](err); ok {
			bad = append(bad, line.Line)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		calls = append(calls, got.Call)
	}
	if want := []int{3, 4, 6}; !slices.Equal(bad, want) {
		t.Errorf("skipped lines %v; want %v", bad, want)
	}
	if len(calls) != 3 {
		t.Fatalf("%d calls; want 3", len(calls))
	}
	c := calls[0]
	if want := time.Date(2026, 11, 6, 11, 0, 0, 0, time.UTC); !c.Time.Equal(want) {
		t.Errorf("time %v; want %v", c.Time, want)
	}
	// $3 and $15 for a million tokens, not the thousandth that the file says.
	if c.Cost != 34_443_000 || c.Duration != 5194232*time.Microsecond || c.Usage.OutputTokens != 1991 || c.Project != "p" {
		t.Errorf("first call: %+v", c)
	}
	if c := calls[1]; c.Workflow != "full-stack-feature" || c.Step != "1" {
		t.Errorf("second call: %+v", c)
	}
	if got := calls[1].Cost; got != 2_741_600 { // at $0.80 and $4, which the file did not know
		t.Errorf("second call cost %d", got)
	}
	if c := calls[2]; c.Code != llm.CodeTimeout || c.Source != "" {
		t.Errorf("failed call: %+v", c)
	}
}

func TestAModelWithoutPriceIsUnpriced(t *testing.T) {
	t.Parallel()
	const line = `{"timestamp": "2026-11-06T12:00:00", "agent_name": "a", "model": "m", "input_tokens": 5, "estimated_cost": 1}`
	for got, err := range analytics.ReadUpstream("f", strings.NewReader(line), analytics.UpstreamOptions{}) {
		if err != nil || !got.Call.Unpriced || got.Call.Cost != 0 {
			t.Errorf("%+v, %v", got.Call, err)
		}
	}
}

func TestEqualLinesAreToldApart(t *testing.T) {
	t.Parallel()
	const line = `{"timestamp": "2026-11-06T12:00:00", "agent_name": "a", "model": "m"}` + "\n"
	hashes := func(text string) (list [][16]byte) {
		for got, err := range analytics.ReadUpstream("f", strings.NewReader(text), analytics.UpstreamOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, got.Hash)
		}
		return list
	}
	two := hashes(line + line)
	if two[0] == two[1] {
		t.Error("equal lines have one hash")
	}
	if three := hashes(line + line + line); !slices.Equal(three[:2], two) {
		t.Error("a longer file gives its beginning other hashes")
	}
}
