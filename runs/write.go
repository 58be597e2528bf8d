package runs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/internal/csvtext"
	"github.com/claude-force/claude-force/workflow"
)

// WriteOutputs writes what the run is for: the outputs of steps that no other
// step uses, or of all.
func WriteOutputs(w io.Writer, wf *workflow.Workflow, res *engine.Result, all bool) error {
	if OutputAlone(wf, res) && !all {
		return writeTexts(w, strings.TrimRight(res.Output, "\n"), "\n")
	}
	ids := LastSteps(wf, res)
	if all {
		ids = nil
		for _, s := range wf.Steps {
			if res.Steps[s.ID].Output != "" {
				ids = append(ids, s.ID)
			}
		}
	}
	for _, id := range ids {
		heading := ""
		if len(ids) > 1 {
			heading = "--- " + id
			if agent := res.Steps[id].Agent; agent != "" {
				heading += " · " + agent
			}
			heading += "\n"
		}
		if err := writeTexts(w, heading, strings.TrimRight(res.Steps[id].Output, "\n"), "\n"); err != nil {
			return err
		}
	}
	return nil
}

// writeTexts writes texts one after the other, piece by piece: an output may be long, and a
// writer that takes no strings has each piece copied.
func writeTexts(w io.Writer, texts ...string) error {
	const piece = 64 << 10
	for _, text := range texts {
		for len(text) > 0 {
			n := min(len(text), piece)
			if _, err := io.WriteString(w, text[:n]); err != nil {
				return fmt.Errorf("writing outputs: %w", err)
			}
			text = text[n:]
		}
	}
	return nil
}

// WriteLines writes the rows as JSON, one a line, with the fields in the order of the
// columns.
func (t *Table) WriteLines(w io.Writer) error {
	for _, row := range t.Rows {
		var line bytes.Buffer
		enc := json.NewEncoder(&line)
		enc.SetEscapeHTML(false)
		for _, name := range t.Columns {
			value, ok := row[name]
			if !ok {
				continue
			}
			for _, part := range []struct {
				before string
				v      any
			}{{",", name}, {":", value}} {
				line.WriteString(part.before)
				if err := enc.Encode(part.v); err != nil {
					return fmt.Errorf("writing a row: %w", err)
				}
				line.Truncate(line.Len() - 1) // the end of the line
			}
		}
		if _, err := fmt.Fprintf(w, "{%s}\n", bytes.TrimPrefix(line.Bytes(), []byte(","))); err != nil {
			return fmt.Errorf("writing rows: %w", err)
		}
	}
	return nil
}

// WriteCSV writes the rows as CSV.
func (t *Table) WriteCSV(w io.Writer) error {
	out := csvtext.New(w)
	cells := make([]any, len(t.Columns))
	for i, name := range t.Columns {
		cells[i] = name
	}
	out.Row(cells...)
	for _, row := range t.Rows {
		for i, name := range t.Columns {
			cells[i] = row[name]
			switch v := cells[i].(type) {
			case workflow.Object, []any, map[string]any:
				text, err := workflow.Encode(v)
				if err != nil {
					return fmt.Errorf("writing a row: %w", err)
				}
				cells[i] = text
			}
		}
		out.Row(cells...)
	}
	return out.Flush()
}

// FindItem returns the result of an item of a foreach, by its name or the start of its
// key. The error is a [fault.InputError] if there is none.
func FindItem(path string, res *engine.StepResult, item string) (*engine.StepResult, error) {
	i := slices.IndexFunc(res.Items, func(it *engine.ItemResult) bool { return it.Item == item || strings.HasPrefix(it.Key, item) })
	if i < 0 {
		return nil, inputf("step %s has no item %q", path, item)
	}
	return res.Items[i].StepResult, nil
}
