package cassette

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/claude-force/claude-force/internal/credential"
)

// encode is v as JSON for people to read, every credential in it blotted out.
func encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return mapStrings(buf.Bytes(), func(quoted []byte) []byte { return unescapeHTML(scrubString(quoted)) }), nil
}

// mapStrings is JSON, one value or several, with each string, quotes included,
// replaced by what f makes of it. All else stays byte for byte.
func mapStrings(data []byte, f func(quoted []byte) []byte) []byte {
	out := make([]byte, 0, len(data))
	for {
		quote := bytes.IndexByte(data, '"')
		if quote < 0 {
			return append(out, data...)
		}
		end := quote + 1
		for end < len(data) && data[end] != '"' {
			if data[end] == '\\' {
				end++
			}
			end++
		}
		end = min(end+1, len(data))
		out = append(append(out, data[:quote]...), f(data[quote:end])...)
		data = data[end:]
	}
}

// scrubString is a JSON string with the credentials in it blotted out.
func scrubString(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return []byte(credential.Redact(string(quoted)))
	}
	var text string
	if json.Unmarshal(quoted, &text) != nil {
		return quoted
	}
	scrubbed := credential.Redact(text)
	if scrubbed == text {
		return quoted
	}
	again, err := json.Marshal(scrubbed)
	if err != nil {
		return []byte(`""`) // a string can always be written
	}
	return again
}

// unescapeHTML undoes what encoding/json does to strings for the sake of web
// pages.
func unescapeHTML(quoted []byte) []byte {
	out := quoted[:0:0]
	for i := 0; i < len(quoted); i++ {
		if quoted[i] != '\\' || i+1 == len(quoted) {
			out = append(out, quoted[i])
			continue
		}
		switch escape := string(quoted[i:min(i+6, len(quoted))]); escape {
		case `\u003c`, `\u003e`, `\u0026`:
			out = append(out, map[string]byte{`\u003c`: '<', `\u003e`: '>', `\u0026`: '&'}[escape])
			i += 5
		default:
			out = append(out, quoted[i], quoted[i+1])
			i++
		}
	}
	return out
}

// scrubFile blots out the credentials in a file that may be JSON, lines of
// JSON, or anything else.
func scrubFile(data []byte) []byte {
	dec := json.NewDecoder(bytes.NewReader(data))
	for dec.More() {
		var value json.RawMessage
		if dec.Decode(&value) != nil {
			return []byte(credential.Redact(string(data)))
		}
	}
	return mapStrings(data, scrubString)
}

// scrubMeta is a copy of what the caller says of the recording.
func scrubMeta(recorded map[string]any) (map[string]any, error) {
	data, err := encode(recorded)
	if err != nil {
		return nil, fmt.Errorf("what was recorded cannot be written as JSON: %w", err)
	}
	var scrubbed map[string]any
	if err := json.Unmarshal(data, &scrubbed); err != nil {
		return nil, fmt.Errorf("what was recorded cannot be written as JSON: %w", err)
	}
	return scrubbed, nil
}
