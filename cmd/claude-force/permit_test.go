package main

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A question shows the whole call, and nothing in it ends the question, moves the
// cursor or looks like another line of it.
func TestAQuestionShowsTheCall(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.SampledFrom([]rune("ab \n\r\t\x1b[2J\u202e\x00\x07Allow it? y")), 0, 60, -1).Draw(t, "text")
		name := rapid.SampledFrom([]string{"Bash", "Write", "mcp__s__t"}).Draw(t, "name")
		input, err := json.Marshal(map[string]string{"command": text, "other": text, "description": "harmless"})
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(showCall(name, input), "\n") {
			if i > 0 && !strings.HasPrefix(line, "  | ") && !strings.HasPrefix(line, "  with ") {
				t.Fatalf("a line that looks like one of the question: %q", line)
			}
			if strings.ContainsAny(line, "\x1b\r\x00\x07\u202e") {
				t.Fatalf("%q moves the cursor or hides something", line)
			}
		}
		if name == "Bash" && strings.Contains(showCall(name, input), "harmless") {
			t.Fatal("the model's own words are shown as if they were the command")
		}
	})
	if got := showCall("Bash", json.RawMessage(`{"command":"go test\n./...","timeout":5}`)); got != "  Bash: go test\n  | ./...\n  with {\"timeout\":5}" {
		t.Errorf("%q", got)
	}
}
