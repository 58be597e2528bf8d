package workflow

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Decode returns the value that a text is as an output of a kind: of [OutputText] the
// text itself.
func Decode(kind RunOutput, text string) (any, error) {
	text = strings.TrimPrefix(text, "\ufeff")
	switch kind {
	case OutputJSON:
		return ParseJSON(text)
	case OutputLines, OutputJSONLines:
		list, number := []any{}, 0
		for line := range strings.Lines(text) {
			line = strings.TrimRight(line, "\r\n")
			if number++; kind == OutputLines {
				list = append(list, line)
				continue
			}
			if strings.TrimSpace(line) == "" {
				continue
			}
			v, err := ParseJSON(line)
			if err != nil {
				return nil, fmt.Errorf("line %d is no JSON: %w", number, err)
			}
			list = append(list, v)
		}
		return list, nil
	case OutputCSV:
		return decodeCSV(text)
	}
	return text, nil
}

// decodeCSV returns the rows below a header, each an object with the header's names.
// Numbers, true and false are values as they are written; all else is text.
func decodeCSV(text string) (any, error) {
	r := csv.NewReader(strings.NewReader(text))
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("there is no header")
	}
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, name := range header {
		if name == "" || seen[name] {
			return nil, fmt.Errorf("the header must name each column once, not %s", quote(strings.Join(header, ",")))
		}
		seen[name] = true
	}
	rows := []any{}
	for {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		values := make(map[string]any, len(header))
		for i, cell := range cells {
			switch {
			case cell == "true" || cell == "false":
				values[header[i]] = cell == "true"
			case isNumber(cell):
				values[header[i]] = number(cell)
			default:
				values[header[i]] = cell
			}
		}
		rows = append(rows, Object{header, values})
	}
}
