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
	return mapStrings(buf.Bytes(), func(name, quoted []byte) []byte { return unescapeHTML(redactString(name, quoted)) }), nil
}

// mapStrings returns data, one or several JSON values, with each string,
// including its quotes, replaced by f's result. All else stays byte for byte. f is given
// the name too, with its quotes, of a string that is the value of a member.
func mapStrings(data []byte, f func(name, quoted []byte) []byte) []byte {
	out := make([]byte, 0, len(data))
	var last []byte // the string before
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
		name := last
		if string(bytes.TrimSpace(data[:quote])) != ":" {
			name = nil
		}
		last = data[quote:end]
		out = append(append(out, data[:quote]...), f(name, last)...)
		data = data[end:]
	}
}

// redactString returns a JSON string with the credentials in it redacted. Its name, a
// JSON string or nil, may say that it is one.
func redactString(name, quoted []byte) []byte {
	if len(name) > 1 && len(quoted) > 1 {
		if kind := credential.FindPair(string(name[1:len(name)-1]), string(quoted[1:len(quoted)-1])); kind != "" {
			return []byte(`"[` + kind + `]"`)
		}
	}
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
