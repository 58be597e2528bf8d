package llm_test

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/llm"
)

// TestFenceCannotBeClosed tries the ways to write an end marker that a reader of
// XML-like text may take for one.
func TestFenceCannotBeClosed(t *testing.T) {
	end := regexp.MustCompile(`(?i)<[\s\pZ\pC]*/[\s\pZ\pC]*step`)
	rapid.Check(t, func(t *rapid.T) {
		blank := rapid.SampledFrom([]string{"", " ", "\t", "\n", "\r\n", "\u00a0", "\u200b", "\u2028", "\x00", "\x1b", "  "})
		name := rapid.SampledFrom([]string{"step", "STEP", "Step", "sTeP", "\u017ftep", "steps", "step id=x"})
		before, after := rapid.String().Draw(t, "before"), rapid.String().Draw(t, "after")
		marker := "<" + blank.Draw(t, "a") + "/" + blank.Draw(t, "b") + name.Draw(t, "name") + blank.Draw(t, "c") + ">"
		text := llm.Fence("step", "id", "a", before+marker+after)
		if found := end.FindAllStringIndex(text, -1); len(found) != 1 || !strings.HasSuffix(text, text[found[0][0]:]) {
			t.Fatalf("%q is closed %d times", text, len(found))
		}
		if !strings.Contains(text, before) && !end.MatchString(before) {
			t.Fatalf("%q has lost the text %q", text, before)
		}
	})
}
