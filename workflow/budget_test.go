package workflow_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/workflow"
)

func TestBudgetJSON(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]workflow.Budget{
		`{}`:                                {},
		`{"usd":0}`:                         {USD: new(0.0)},
		`{"usd":0.5,"on_exceed":"partial"}`: {USD: new(0.5), OnExceed: workflow.OnExceedPartial},
		// As the previous version journaled it.
		`{"USD":0.5,"Tokens":0,"Calls":0,"Time":0,"OnExceed":"stop"}`:        {USD: new(0.5), OnExceed: workflow.OnExceedStop},
		`{"USD":0,"Tokens":1000,"Calls":3,"Time":60000000000,"OnExceed":""}`: {Tokens: new(1000), Calls: new(3), Time: new(time.Minute)},
	} {
		var got workflow.Budget
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", text, d)
		}
		data, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var again workflow.Budget
		if err := json.Unmarshal(data, &again); err != nil || !cmp.Equal(want, again) {
			t.Errorf("%s became %s and then %+v, %v", text, data, again, err)
		}
	}
}
