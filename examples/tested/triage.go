// Package tested is a program's own code that asks agents, and its unit tests,
// which need no key and no network.
package tested

import (
	"context"
	"errors"
	"fmt"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/agent"
)

// Agents are the agents that [Triage] asks.
var Agents = []*agent.Agent{{Name: "triager", Prompt: "You sort reports of bugs by how urgent they are.", NoCache: true}}

// Verdict is an agent's judgement of a report.
type Verdict struct {
	Urgent bool   `json:"urgent"`
	Reason string `json:"reason" jsonschema:"one sentence"`
}

// ErrEmpty reports a report without a text.
var ErrEmpty = errors.New("the report is empty")

// Triage returns an agent's judgement of a bug report. The orchestrator must
// have [Agents].
func Triage(ctx context.Context, orch *claudeforce.Orchestrator, report string) (Verdict, error) {
	if report == "" {
		return Verdict{}, ErrEmpty
	}
	verdict, _, err := claudeforce.Execute[Verdict](ctx, orch, claudeforce.Task{
		Agent: "triager", Prompt: "Is this urgent?", SharedContext: []string{report},
	})
	if err != nil {
		return Verdict{}, fmt.Errorf("sorting a report: %w", err)
	}
	return verdict, nil
}
