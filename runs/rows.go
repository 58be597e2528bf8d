package runs

import (
	"encoding/json"
	"strings"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/workflow"
)

// Table is the results of a run as rows.
type Table struct {
	Columns []string // the same for the same results: what all rows have, then fields of outputs
	Rows    []Row
}

// Row is the values of a row by column. What a row has no value for is missing.
type Row map[string]any

// columnOutput is the column of outputs that are no JSON objects.
const columnOutput = "output"

// ItemTable returns the results of a foreach, one row per item: its key, what people
// call it, its status, its error if it failed, and the fields of its output if that is a
// JSON object, else the output. Fields that the step's schema names come first, in its
// order, the others in the order in which they first appear.
func ItemTable(s *workflow.Step, items []*engine.ItemResult) *Table {
	b := newTableBuilder("key", "item", "status", "error")
	b.declare(s.Schema)
	for _, item := range items {
		row := Row{"key": item.Key, "item": item.Item}
		b.addResult(row, s, item.StepResult)
	}
	return b.table()
}

// StepTable returns the result of a step that is no foreach, as [ItemTable] does: one row
// per element if its output is a JSON list.
func StepTable(s *workflow.Step, res *engine.StepResult) *Table {
	b := newTableBuilder("step", "status", "error")
	b.declare(s.Schema)
	list, isList := engine.ParseOutput(s, res.Output).([]any)
	if !isList || res.Error != nil {
		b.addResult(Row{"step": s.ID}, s, res)
		return b.table()
	}
	for _, v := range list {
		row := Row{"step": s.ID, "status": string(res.Status)}
		b.addValue(row, v)
	}
	return b.table()
}

// StepsTable returns the results of a workflow's steps, one row each, in file order.
func StepsTable(wf *workflow.Workflow, res *engine.Result) *Table {
	b := newTableBuilder("step", "agent", "status", "error")
	for _, s := range wf.Steps {
		if step := res.Steps[s.ID]; step != nil {
			b.addResult(Row{"step": s.ID, "agent": step.Agent}, s, step)
		}
	}
	return b.table()
}

// TaskTable returns the results of the tasks of a run, one row each, in the order of the
// list.
func TaskTable(wf *workflow.Workflow, res *engine.Result, refs TaskRefs) *Table {
	type task struct {
		step *workflow.Step
		id   string
		res  *engine.StepResult
	}
	tasks := make([]task, refs.Count())
	for id, list := range refs {
		step := res.Steps[id]
		if step == nil {
			continue
		}
		for i, item := range step.Items {
			if i < len(list) {
				tasks[list[i].Number] = task{wf.Step(id), list[i].ID, item.StepResult}
			}
		}
	}
	b := newTableBuilder("id", "agent", "status", "error")
	for _, t := range tasks {
		if t.res != nil {
			b.addResult(Row{"id": t.id, "agent": t.res.Agent}, t.step, t.res)
		}
	}
	return b.table()
}

// tableBuilder collects rows and the columns of their outputs.
type tableBuilder struct {
	fixed  []string          // columns of all rows
	fields []string          // columns of outputs
	column map[string]string // of a field
	taken  map[string]bool   // names of columns
	rows   []Row
}

func newTableBuilder(fixed ...string) *tableBuilder {
	b := &tableBuilder{fixed: fixed, column: map[string]string{}, taken: map[string]bool{}}
	for _, name := range fixed {
		b.taken[name] = true
	}
	return b
}

// declare adds the fields that a schema names, which may be nil.
func (b *tableBuilder) declare(schema json.RawMessage) {
	if schema == nil {
		return
	}
	v, err := workflow.ParseJSON(string(schema))
	if err != nil {
		return // it was checked when the workflow was read
	}
	if items, ok := workflow.Field(v, "items"); ok {
		v = items
	}
	if properties, ok := workflow.Field(v, "properties"); ok {
		for name := range workflow.Fields(properties) {
			b.columnOf(name)
		}
	}
}

// columnOf returns the column of a field, and adds it if there is none. A field that is
// called as a column of all rows gets another name.
func (b *tableBuilder) columnOf(field string) string {
	name, ok := b.column[field]
	if ok {
		return name
	}
	for name = field; b.taken[name]; {
		name = columnOutput + "_" + name
	}
	b.column[field], b.taken[name] = name, true
	b.fields = append(b.fields, name)
	return name
}

// addResult adds a row with the status, the error and the output of a result.
func (b *tableBuilder) addResult(row Row, s *workflow.Step, res *engine.StepResult) {
	row["status"] = string(res.Status)
	if res.Error != nil {
		row["error"] = *res.Error
	}
	if res.Output == "" {
		b.rows = append(b.rows, row)
		return
	}
	v := engine.ParseOutput(s, res.Output)
	if v == nil {
		v = res.Output
	}
	b.addValue(row, v)
}

// addValue adds a row with the fields of a value.
func (b *tableBuilder) addValue(row Row, v any) {
	fields := 0
	for name, value := range workflow.Fields(v) {
		row[b.columnOf(name)] = value
		fields++
	}
	if fields == 0 {
		row[b.columnOf(columnOutput)] = v
	}
	b.rows = append(b.rows, row)
}

func (b *tableBuilder) table() *Table {
	return &Table{Columns: append(b.fixed, b.fields...), Rows: b.rows}
}

// Table returns the results of a step as rows, by its path, or of the run as a whole if
// that is empty: its tasks if it has a list of them, the items of its foreach if it has
// one, else its steps.
func (d *Detail) Table(path string) (*Table, error) {
	refs, err := d.Spec.TaskRefs()
	if err != nil {
		return nil, err
	}
	if path != "" {
		s, res, err := d.Step(path)
		switch {
		case err != nil:
			return nil, err
		case s.Foreach != nil:
			return ItemTable(s, res.Items), nil
		}
		return StepTable(s, res), nil
	}
	if refs != nil {
		return TaskTable(d.Workflow, d.Result, refs), nil
	}
	return ResultTable(d.Workflow, d.Result)
}

// ResultTable returns the result of a workflow as rows: the items of its foreach if it has
// one, else its steps. Several are a [fault.InputError].
func ResultTable(wf *workflow.Workflow, res *engine.Result) (*Table, error) {
	var each []*workflow.Step
	for _, s := range wf.Steps {
		if s.Foreach != nil {
			each = append(each, s)
		}
	}
	switch len(each) {
	case 0:
		return StepsTable(wf, res), nil
	case 1:
		return ItemTable(each[0], res.Steps[each[0].ID].Items), nil
	}
	ids := make([]string, len(each))
	for i, s := range each {
		ids[i] = s.ID
	}
	return nil, inputf("the steps %s have items; name the one whose items are to be rows", strings.Join(ids, ", "))
}
