package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPageAndSectionsAgree checks that each section has its place in the page,
// and each place its section.
func TestPageAndSectionsAgree(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "performance.md"))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, s := range sections {
		known[s.name] = true
		begin, end := strings.Index(string(page), "<!-- "+s.name+" -->\n"), strings.Index(string(page), "<!-- /"+s.name+" -->")
		if begin < 0 || end < begin {
			t.Errorf("the page has no place for section %s", s.name)
		}
	}
	for _, m := range regexp.MustCompile(`<!-- (\w+) -->`).FindAllStringSubmatch(string(page), -1) {
		if !known[m[1]] {
			t.Errorf("the page has a place for section %s, which there is not", m[1])
		}
	}
}

func TestOnlyTheSectionIsReplaced(t *testing.T) {
	t.Parallel()
	page := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte("a\n<!-- x -->\nold\n<!-- /x -->\nb\n<!-- y -->\n<!-- /y -->\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := replace(page, "x", "new $1\n"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(page)
	if want := "a\n<!-- x -->\nnew $1\n<!-- /x -->\nb\n<!-- y -->\n<!-- /y -->\n"; err != nil || string(got) != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	if err := replace(page, "z", ""); err == nil {
		t.Error("a section without a place is replaced")
	}
	if _, err := choose("async,nonsense"); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("an unknown section: %v", err)
	}
}
