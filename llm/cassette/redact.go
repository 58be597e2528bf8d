package cassette

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/claude-force/claude-force/internal/credential"
)

// encode returns v as indented JSON with credentials redacted.
func encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return mapStrings(buf.Bytes(), func(quoted []byte) []byte { return unescapeHTML(redactString(quoted)) }), nil
}

// mapStrings returns data, one or several JSON values, with each string,
// including its quotes, replaced by f's result. All else stays byte for byte.
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

// redactString returns a JSON string with the credentials in it redacted.
func redactString(quoted []byte) []byte {
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
		return []byte(`""`) // unreachable: a string can always be encoded
	}
	return again
}

// unescapeHTML reverts the HTML escapes of encoding/json.
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

// redactFile redacts the credentials in a file, which may be JSON, lines of
// JSON, or anything else.
func redactFile(data []byte) []byte {
	dec := json.NewDecoder(bytes.NewReader(data))
	for dec.More() {
		var value json.RawMessage
		if dec.Decode(&value) != nil {
			return []byte(credential.Redact(string(data)))
		}
	}
	return mapStrings(data, redactString)
}

// redactMeta returns a redacted copy of Meta.Recorded.
func redactMeta(recorded map[string]any) (map[string]any, error) {
	data, err := encode(recorded)
	if err != nil {
		return nil, fmt.Errorf("the metadata cannot be encoded as JSON: %w", err)
	}
	var scrubbed map[string]any
	if err := json.Unmarshal(data, &scrubbed); err != nil {
		return nil, fmt.Errorf("the metadata cannot be encoded as JSON: %w", err)
	}
	return scrubbed, nil
}
