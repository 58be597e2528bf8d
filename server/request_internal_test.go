package server

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// TestAccepts chooses the form of an output by what a header asks for.
func TestAccepts(t *testing.T) {
	for header, want := range map[string]string{
		"": "application/json", "*/*": "application/json", "image/png": "application/json", "text/csv": "text/csv", "TEXT/CSV": "text/csv",
		"text/plain;q=0, text/csv;q=0.1": "text/csv", "text/plain;q=0.2, text/csv;q=0.8": "text/csv", "text/*": "text/plain",
		"text/csv;header=present;q=0.5, text/plain;q=0.4": "text/csv", "application/x-ndjson": "application/x-ndjson", "application/*": "application/json",
		"a;q,": "application/json", ";,;;,q=": "application/json", "text/csv;q=x": "application/json", "text/csv;q=NaN, text/plain": "text/plain", "text/plain;q=9": "application/json",
		"ü;q=1,ü": "application/json",
	} {
		if got := accepts(header); got != want {
			t.Errorf("accepts(%q) = %s, want %s", header, got, want)
		}
	}
}

// TestMatches compares entity tags as a cache sends them.
func TestMatches(t *testing.T) {
	const tag = `"run_a-1"`
	for header, want := range map[string]bool{
		"": false, tag: true, "W/" + tag: true, "*": true, `"x", ` + tag: true, `"x",W/` + tag + `,"y"`: true, `"x"`: false, "run_a-1": false,
	} {
		if got := matches(header, tag); got != want {
			t.Errorf("matches(%q) = %v", header, got)
		}
	}
	if matches("*", "") || matches("", "") {
		t.Error("a run that has not ended has no tag")
	}
}

// TestBodyOfNothing reads bodies of operations that take none.
func TestBodyOfNothing(t *testing.T) {
	for body, want := range map[string]bool{"": true, " \n": true, "null": true, "{}": true, " {} ": true, "[]": false, "0": false, `{"by": "me"}`: false, "null null": false} {
		p := readBody(httptest.NewRequest("POST", "/", strings.NewReader(body)), false)
		if (p == nil) != want {
			t.Errorf("%q: %v", body, p)
		}
	}
}
