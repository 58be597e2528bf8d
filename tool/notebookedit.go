package tool

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/claude-force/claude-force/llm"
)

// NotebookEdit returns the tool that changes a cell of a Jupyter notebook.
func NotebookEdit() Tool { return notebookTool{} }

type notebookTool struct{}

func (notebookTool) Definition() llm.Tool {
	return llm.Tool{Name: "NotebookEdit", Description: `Replaces, inserts or deletes a cell of a Jupyter notebook.

- The notebook must have been read before. cell_id is the id that Read shows.
- edit_mode insert puts a new cell of cell_type behind the cell cell_id, or first without one.
- A code cell that is replaced loses its outputs.`, InputSchema: schema(`{
	"type": "object", "additionalProperties": false, "required": ["notebook_path", "new_source"],
	"properties": {
		"notebook_path": {"type": "string", "description": "the notebook"},
		"cell_id": {"type": "string", "description": "the cell"},
		"new_source": {"type": "string", "description": "the whole new source of the cell"},
		"cell_type": {"type": "string", "enum": ["code", "markdown"]},
		"edit_mode": {"type": "string", "enum": ["replace", "insert", "delete"], "description": "replace is the default"}
	}}`)}
}

func (notebookTool) Concurrent(json.RawMessage) bool { return false }

// Sight says that each call notes what it saw.
func (notebookTool) Sight(json.RawMessage) Sight { return SightNoted }

type notebookInput struct {
	Path   string `json:"notebook_path"`
	Cell   string `json:"cell_id"`
	Source string `json:"new_source"`
	Type   string `json:"cell_type"`
	Mode   string `json:"edit_mode"`
}

func (notebookTool) Call(_ context.Context, env *Env, input json.RawMessage) (Result, error) {
	in, err := parse[notebookInput](input)
	if err != nil {
		return Result{}, err
	}
	path := env.Abs(in.Path)
	if !strings.EqualFold(filepath.Ext(path), ".ipynb") {
		return Failed(invalid(fmt.Sprintf("%s is no Jupyter notebook (.ipynb). Use Edit.", path))), nil
	}
	f, err := env.read(path, maxFile)
	if err != nil {
		return Failed(invalid(env.readError(path, err).Error())), nil
	}
	switch before, ok := env.known(f.path); {
	case !ok:
		return Failed(invalid(fmt.Sprintf("%s has not been read yet. Read it before you change it.", path))), nil
	case before.digest != sha256.Sum256(f.data):
		return Failed(invalid(fmt.Sprintf("%s has changed since it was read. Read it again before you change it.", path))), nil
	}
	data, done, err := editNotebook(f.data, in)
	if err != nil {
		return Failed(invalid(fmt.Sprintf("Cannot change %s: %v.", path, err))), nil
	}
	if err := env.write(path, data); err != nil {
		return Result{}, env.writeError(path, err)
	}
	env.noteWritten(path, f.path, data)
	return Text(fmt.Sprintf("%s in %s.", done, in.Path)), nil
}

// editNotebook returns a notebook with one cell changed, everything else in it as it
// was, and what was done.
func editNotebook(data []byte, in notebookInput) (edited []byte, done string, err error) {
	var book, cell object
	if err := json.Unmarshal(data, &book); err != nil {
		return nil, "", fmt.Errorf("it is no notebook: %w", err)
	}
	var cells []json.RawMessage
	if err := json.Unmarshal(book.get("cells"), &cells); err != nil {
		return nil, "", errors.New("it has no list of cells")
	}
	i, err := findCell(cells, in.Cell)
	if err != nil && (in.Cell != "" || in.Mode != "insert") {
		return nil, "", err
	}
	switch in.Mode {
	case "delete":
		cells = slices.Delete(cells, i, i+1)
		done = "Deleted the cell " + in.Cell
	case "insert":
		if in.Type == "" {
			return nil, "", errors.New("a new cell needs a cell_type")
		}
		at := 0
		if in.Cell != "" {
			at = i + 1
		}
		id := strings.ToLower(rand.Text()[:8])
		cell.set("cell_type", encoded(in.Type))
		if book.number("nbformat") > 4 || book.number("nbformat") == 4 && book.number("nbformat_minor") >= 5 {
			cell.set("id", encoded(id))
			done = "Inserted the cell " + id
		} else {
			done = "Inserted the cell cell-" + strconv.Itoa(at)
		}
		cell.set("metadata", json.RawMessage(`{}`))
		cell.source(in)
		cells = slices.Insert(cells, at, cell.json())
	default:
		if err := json.Unmarshal(cells[i], &cell); err != nil {
			return nil, "", fmt.Errorf("its cell is no object: %w", err)
		}
		if in.Type != "" {
			cell.set("cell_type", encoded(in.Type))
		}
		cell.source(in)
		cells[i] = cell.json()
		done = "Replaced the cell " + in.Cell
	}
	book.set("cells", listJSON(cells))
	var out bytes.Buffer
	err = json.Indent(&out, book.json(), "", " ")
	return out.Bytes(), done, err
}

// source sets the source of a cell; the outputs of code are of its old source.
func (o *object) source(in notebookInput) {
	var kind string
	// A type that is no text is none that has outputs.
	_ = json.Unmarshal(o.get("cell_type"), &kind)
	if kind == "code" {
		o.set("execution_count", json.RawMessage(`null`))
	} else {
		o.remove("execution_count")
		o.remove("outputs")
	}
	o.set("source", encoded(in.Source))
	if kind == "code" {
		o.set("outputs", json.RawMessage(`[]`))
	}
}

// findCell returns the index of the cell with an id, or of cell-N.
func findCell(cells []json.RawMessage, id string) (int, error) {
	if id == "" {
		return 0, errors.New("cell_id is missing")
	}
	for i, raw := range cells {
		var cell struct {
			ID string `json:"id"`
		}
		if json.Unmarshal(raw, &cell) == nil && cell.ID == id {
			return i, nil
		}
	}
	if number, ok := strings.CutPrefix(id, "cell-"); ok {
		if i, err := strconv.Atoi(number); err == nil && i >= 0 && i < len(cells) {
			return i, nil
		}
	}
	return 0, fmt.Errorf("it has no cell %q", id)
}

// object is a JSON object that keeps the order of its keys.
type object struct {
	keys   []string
	values map[string]json.RawMessage
}

func (o *object) get(key string) json.RawMessage { return o.values[key] }

func (o *object) number(key string) int {
	n, _ := strconv.Atoi(string(o.values[key]))
	return n
}

func (o *object) set(key string, value json.RawMessage) {
	if o.values == nil {
		o.values = map[string]json.RawMessage{}
	}
	if _, ok := o.values[key]; !ok {
		o.keys = append(o.keys, key)
	}
	o.values[key] = value
}

func (o *object) remove(key string) {
	delete(o.values, key)
	o.keys = slices.DeleteFunc(o.keys, func(k string) bool { return k == key })
}

// UnmarshalJSON reads an object.
func (o *object) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	start, err := dec.Token()
	if err != nil {
		return err
	}
	if start != json.Delim('{') {
		return errors.New("it is no object")
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return err
		}
		name, ok := key.(string)
		if !ok {
			return errors.New("a key is no text")
		}
		o.set(name, value)
	}
	return nil
}

// json returns the object in the order of its keys, values as they were written.
// The encoder of Go would escape < and & in them.
func (o *object) json() json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, key := range o.keys {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(encoded(key))
		b.WriteByte(':')
		b.Write(o.values[key])
	}
	b.WriteByte('}')
	return b.Bytes()
}

// listJSON returns a list of values as they were written.
func listJSON(values []json.RawMessage) json.RawMessage {
	list := []byte{'['}
	for i, v := range values {
		if i > 0 {
			list = append(list, ',')
		}
		list = append(list, v...)
	}
	return append(list, ']')
}

// encoded returns a text as JSON, with < and & as they are.
func encoded(text string) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(text) // a string
	return bytes.TrimSpace(b.Bytes())
}
