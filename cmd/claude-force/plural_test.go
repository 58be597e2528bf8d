package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestPlural(t *testing.T) {
	t.Parallel()
	for thing, want := range map[string][3]string{
		"call":   {"0 calls", "1 call", "2 calls"},
		"retry":  {"0 retries", "1 retry", "2 retries"},
		"token":  {"0 tokens", "1 token", "2 tokens"},
		"answer": {"0 answers", "1 answer", "2 answers"},
	} {
		for n, text := range want {
			if got := plural(n, thing); got != text {
				t.Errorf("%d of %s: %q; want %q", n, thing, got, text)
			}
		}
	}
}

// counted is a count with a noun that is written as of several.
var counted = regexp.MustCompile(`%[ds] (calls|tokens|turns|answers|items|steps|runs|files|tools|tasks|retries|attempts|findings|approvals)\b`)

// TestCountsHaveTheirNouns: a text with a count says "1 call" through plural.
func TestCountsHaveTheirNouns(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	several := []string{"at most %d", "The last %d plans", "then review), on %d files", "answers again"} // never 1, or a verb
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
	lines:
		for n, line := range strings.Split(string(data), "\n") {
			for _, s := range several {
				if strings.Contains(line, s) {
					continue lines
				}
			}
			if found := counted.FindString(line); found != "" {
				t.Errorf("%s:%d: %q; plural knows one and several", file, n+1, found)
			}
		}
	}
}
