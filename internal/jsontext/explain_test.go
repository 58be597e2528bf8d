package jsontext_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/internal/jsontext"
)

// TestExplain decodes a value of each kind into a field of each other kind: what is said
// names the line, the field and both kinds, and no type of this program.
func TestExplain(t *testing.T) {
	t.Parallel()
	var file struct {
		Text   string          `json:"text"`
		Flag   *bool           `json:"flag"`
		Count  int             `json:"count"`
		Small  uint8           `json:"small"`
		Price  float64         `json:"price"`
		List   []string        `json:"list"`
		Object struct{ A int } `json:"object"`
		Named  map[string]int  `json:"named"`
	}
	wanted := map[string]string{
		"text": "a text", "flag": "true or false", "count": "a whole number", "small": "a whole number", "price": "a number",
		"list": "a list", "object": "an object", "named": "an object",
	}
	values := map[string]string{`"x"`: "a text", "true": "true or false", "7": "a number", "1.5": "a number", "1e3": "a number", "[]": "a list", "{}": "an object"}
	for field, want := range wanted {
		for value, is := range values {
			data := []byte("{\n\n\"" + field + "\": " + value + "\n}")
			err := json.Unmarshal(data, &file)
			if want == is || want == "a whole number" && value == "7" {
				if err != nil {
					t.Errorf("%s: %s: %v", field, value, err)
				}
				continue
			}
			if is == "a number" && want == "a whole number" {
				is = value + ": a whole number has no exponent, and none may be too large"
			}
			if got := jsontext.ExplainLine(data, err); got == nil || got.Error() != "line 3: "+field+" must be "+want+", and is "+is {
				t.Errorf("%s: %s: %v", field, value, got)
			}
		}
	}
	var whole string
	for text, want := range map[string]string{
		"[]":    "line 1: the value must be a text, and is a list",
		"\n{,}": "line 2: invalid character",
		"\n":    "line 2: unexpected end of JSON input",
	} {
		if got := jsontext.ExplainLine([]byte(text), json.Unmarshal([]byte(text), &whole)); got == nil || !strings.HasPrefix(got.Error(), want) {
			t.Errorf("%q: %v; want %s", text, got, want)
		}
	}
}
