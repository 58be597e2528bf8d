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
			line = withoutBreak(line)
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

// Encode returns the text of a value: of a text itself, else its JSON. It is what
// [Decode] reads, and what templates insert.
func Encode(v any) (string, error) { return render(v) }

// encodeAs returns what a file of a format holds: of [OutputText] a text as it is, else
// the value v that it is, which must not be nil.
func encodeAs(format RunOutput, text string, v any) (string, error) {
	switch {
	case format == OutputText:
		return text, nil
	case v == nil:
		return "", errors.New("the output is not JSON")
	case format == OutputJSON:
		return encodeLines([]any{v})
	}
	list, ok := v.([]any)
	switch {
	case !ok:
		return "", fmt.Errorf("the output is not a list, which %s needs", format)
	case format == OutputCSV:
		return encodeCSV(list)
	}
	return encodeLines(list)
}

// encodeLines returns the values as JSON, each on a line.
func encodeLines(list []any) (string, error) {
	var b strings.Builder
	for _, v := range list {
		line, err := jsonText(v)
		if err != nil {
			return "", err
		}
		b.WriteString(line)
		b.WriteByte('\n')
	}
	return b.String(), nil
}

// jsonText returns the JSON of a value, also of a text.
func jsonText(v any) (string, error) {
	text, ok := v.(string)
	if !ok && v != nil {
		return Encode(v)
	}
	if v == nil {
		return "null", nil
	}
	list, err := Encode([]any{text})
	return strings.TrimSuffix(strings.TrimPrefix(list, "["), "]"), err
}

// encodeCSV returns objects as rows below a header of all their keys, in the order in
// which they occur: texts as they are, null as nothing and anything else as JSON.
func encodeCSV(list []any) (string, error) {
	var header []string
	column := map[string]int{}
	rows := make([]map[string]any, len(list))
	for i, v := range list {
		var keys []string
		switch v := v.(type) {
		case Object:
			keys, rows[i] = v.keys, v.values
		case map[string]any:
			keys, rows[i] = sortedKeys(v), v
		default:
			return "", fmt.Errorf("element %d of the output is not an object, which csv needs", i+1)
		}
		for _, key := range keys {
			if _, known := column[key]; !known {
				column[key] = len(header)
				header = append(header, key)
			}
		}
	}
	if len(header) == 0 {
		return "", nil
	}
	var b strings.Builder
	w := csv.NewWriter(&b)
	if err := w.Write(header); err != nil {
		return "", err
	}
	for _, row := range rows {
		cells := make([]string, len(header))
		for key, v := range row {
			if v == nil {
				continue
			}
			var err error
			if cells[column[key]], err = Encode(v); err != nil {
				return "", err
			}
		}
		if err := w.Write(cells); err != nil {
			return "", err
		}
	}
	w.Flush()
	return b.String(), w.Error()
}

// decodeCSV returns the rows below a header, each an object with the header's names.
func decodeCSV(text string) (any, error) {
	r := csv.NewReader(strings.NewReader(keepBreaks(text)))
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("there is no header, since it is empty")
	}
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, name := range header {
		if name == "" || seen[name] {
			return nil, fmt.Errorf("a header names each column once, and %s does not", quote(strings.Join(header, ",")))
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
			values[header[i]] = cellValue(cell)
		}
		rows = append(rows, Object{header, values})
	}
}

// keepBreaks returns a CSV text of which [csv.Reader], which drops a carriage return
// before a line break, reads cells with their own line breaks.
func keepBreaks(text string) string {
	if !strings.Contains(text, "\r\n") {
		return text
	}
	var kept strings.Builder
	for i, part := range strings.Split(text, `"`) {
		if i > 0 {
			kept.WriteByte('"')
		}
		if i%2 == 1 { // within quotes
			part = strings.ReplaceAll(part, "\r\n", "\r\r\n")
		}
		kept.WriteString(part)
	}
	return kept.String()
}

// withoutBreak returns a line without the line break at its end.
func withoutBreak(line string) string {
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
}

// cellValue returns the value of a cell: a number, which keeps its digits, if it is
// written as a JSON number; true and false are truth values, and all else is text.
func cellValue(cell string) any {
	switch {
	case cell == "true" || cell == "false":
		return cell == "true"
	case isNumber(cell):
		return number(cell)
	}
	return cell
}
