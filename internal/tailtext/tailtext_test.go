package tailtext_test

import (
	"strings"
	"testing"

	"github.com/claude-force/claude-force/internal/tailtext"
)

func TestBuffer(t *testing.T) {
	t.Parallel()
	var b tailtext.Buffer
	for _, text := range []string{"lost", strings.Repeat("é", 3000), "\n", "end \n"} {
		if n, err := b.Write([]byte(text)); n != len(text) || err != nil {
			t.Fatal(n, err)
		}
	}
	got := b.String()
	if len(got) > 2000 || !strings.HasSuffix(got, "é\nend") || strings.Contains(got, "lost") || strings.ToValidUTF8(got, "") != got {
		t.Errorf("%q", got)
	}
}
