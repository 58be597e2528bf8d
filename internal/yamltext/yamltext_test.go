package yamltext_test

import (
	"strings"
	"testing"

	yaml "go.yaml.in/yaml/v4"

	"github.com/claude-force/claude-force/internal/yamltext"
)

func TestExplain(t *testing.T) {
	for text, want := range map[string]string{
		"steps:\n\t- a\n":      "2: indent with blanks",
		"a:\n  b: 1\n\tc: 2\n": "3: indent with blanks",
		"a: \"C:\\Users\"\n":   "1: in single quotes",
		"a: \"\\d+\"\n":        "1: in single quotes",
		"a: \"\\x1\"\n":        "1: in single quotes",
		"task: Check: x\n":     "1: in quotes",
		"- task: a: b\n":       "1: in quotes",
		"a: @file\n":           "1: in quotes",
		"a: `x`\n":             "1: in quotes",
		"a: %d\n":              "1: in quotes",
		"a: *bold*\n":          "1: in quotes",
		"a: - b\n":             "1: in quotes",
		"a: \"open\nb: 1\n":    "close it",
		"a: 'it's'\n":          "in quotes",
		"a: \"say\" hi\n":      "in quotes",
		"a: [x] do\n":          "in quotes",
		"a: {{ x }}\n":         "in quotes",
		"a: {b\nc: 1\n":        "in quotes",
	} {
		var doc yaml.Node
		for name, load := range map[string]func() error{
			"Load":      func() error { return yaml.Load([]byte(text), &doc) },
			"Unmarshal": func() error { return yaml.Unmarshal([]byte(text), &doc) },
			"Decode": func() error {
				var v map[string]any
				return yaml.NewDecoder(strings.NewReader(text)).Decode(&v)
			},
		} {
			err := load()
			if err == nil {
				if text != "a: {{ x }}\n" { // valid, and not a text
					t.Errorf("%s: %q is valid", name, text)
				}
				continue
			}
			p := yamltext.Explain(text, err)
			line, advice, ok := strings.Cut(want, ": ")
			if !ok {
				line, advice = "", want
			}
			if !strings.Contains(p.Hint, advice) || line != "" && line != string(rune('0'+p.Line)) {
				t.Errorf("%s: %q: line %d: %s (%s); want line %s with %q", name, text, p.Line, p.Message, p.Hint, line, advice)
			}
		}
	}
}
