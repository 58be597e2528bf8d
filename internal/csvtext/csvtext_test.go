package csvtext

import (
	"encoding/csv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestCSVHoldsNoFormulas writes any texts and reads them back: each is as it was,
// or has an apostrophe before it if a spreadsheet would run it.
func TestCSVHoldsNoFormulas(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOfN(rapid.OneOf(rapid.String(), rapid.StringMatching(`[ \t\n]?[-=+@＝]?[a-z";,\n ]*`)), 2, 5).Draw(t, "texts")
		var sb strings.Builder
		out := New(&sb)
		row := make([]any, len(texts))
		for i, s := range texts {
			row[i] = s
		}
		out.Row(row...)
		if err := out.Flush(); err != nil {
			t.Fatal(err)
		}
		read, err := csv.NewReader(strings.NewReader(sb.String())).Read()
		if err != nil {
			t.Fatalf("%v in %q", err, sb.String())
		}
		for i, got := range read {
			want := strings.ReplaceAll(texts[i], "\r\n", "\n") // as the reader has it
			if got != want && got != "'"+want {
				t.Errorf("%q is read as %q", texts[i], got)
			}
			if start := strings.TrimLeft(got, " \t\r\n"); start != "" && strings.ContainsAny(start[:1], "=+-@") {
				t.Errorf("%q is written as %q", texts[i], got)
			}
		}
	})
}
