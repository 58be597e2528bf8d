package tested

import (
	"errors"
	"testing"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/claudeforcetest"
	"github.com/claude-force/claude-force/llm"
)

func TestTriage(t *testing.T) {
	model := claudeforcetest.NewModel(t,
		claudeforcetest.Answer{Contains: "data loss", JSON: Verdict{Urgent: true, Reason: "data is lost"}},
		claudeforcetest.Answer{Contains: "typo", JSON: Verdict{Reason: "only a word"}},
	)
	orch := claudeforcetest.New(t, claudeforce.Options{Model: model, Agents: Agents})
	for report, urgent := range map[string]bool{"data loss on save": true, "a typo in the help": false} {
		verdict, err := Triage(t.Context(), orch, report)
		if err != nil || verdict.Urgent != urgent || verdict.Reason == "" {
			t.Errorf("%s: %+v, %v", report, verdict, err)
		}
	}
	if _, err := Triage(t.Context(), orch, ""); !errors.Is(err, ErrEmpty) {
		t.Errorf("an empty report: %v", err)
	}
	if n := len(model.Calls()); n != 2 {
		t.Errorf("%d calls; want 2, none of them for the empty report", n)
	}
}

func TestTriageReportsAFailure(t *testing.T) {
	model := claudeforcetest.NewModel(t, claudeforcetest.Answer{Err: llm.NewError(llm.CodeAuth, "the key was revoked", nil)})
	orch := claudeforcetest.New(t, claudeforce.Options{Model: model, Agents: Agents})
	if _, err := Triage(t.Context(), orch, "data loss"); llm.CodeOf(err) != llm.CodeAuth {
		t.Errorf("%v", err)
	}
}
