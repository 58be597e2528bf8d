package runs_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/workflow"
)

// TestColumnsAreThoseOfTheSchemaFirst checks that columns do not depend on which item
// ended how, or wrote its fields in which order.
func TestColumnsAreThoseOfTheSchemaFirst(t *testing.T) {
	t.Parallel()
	s := &workflow.Step{ID: "a", Schema: json.RawMessage(`{"type": "object", "properties": {"title": {}, "key": {}, "done": {}}}`)}
	item := func(key, output, failed string) *engine.ItemResult {
		res := &engine.StepResult{Status: engine.StatusCompleted, Outcome: llm.Outcome{Output: output}}
		if failed != "" {
			res.Status, res.Error = engine.StatusFailed, &failed
		}
		return &engine.ItemResult{Key: key, Item: "item " + key, StepResult: res}
	}
	table := runs.ItemTable(s, []*engine.ItemResult{
		item("1", `{"more": 1.10, "output": "x", "done": true}`, ""),
		item("2", "", "it broke"),
		item("3", "no JSON", ""),
		item("4", "```json\n{\"output_key\": 1, \"title\": \"t\", \"key\": \"k\"}\n```", ""),
		item("5", "{}", ""),
	})
	want := []string{"key", "item", "status", "error", "title", "output_key", "done", "more", "output", "output_output_key"}
	if !reflect.DeepEqual(table.Columns, want) {
		t.Errorf("columns %q; want %q", table.Columns, want)
	}
	rows := []runs.Row{
		{"key": "1", "item": "item 1", "status": "completed", "more": json.Number("1.10"), "output": "x", "done": true},
		{"key": "2", "item": "item 2", "status": "failed", "error": "it broke"},
		{"key": "3", "item": "item 3", "status": "completed", "output": "no JSON"},
		{"key": "4", "item": "item 4", "status": "completed", "title": "t", "output_key": "k", "output_output_key": 1},
	}
	for i, want := range rows {
		if !reflect.DeepEqual(table.Rows[i], want) {
			t.Errorf("row %d: %v; want %v", i+1, table.Rows[i], want)
		}
	}
}
