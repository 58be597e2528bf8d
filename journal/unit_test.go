package journal_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/journal"
)

func TestUnitPaths(t *testing.T) {
	for _, test := range []struct {
		unit       journal.Unit
		top, plain string
		paths      []string
		items      []string
		outer      []journal.Unit
	}{
		{journal.Unit{Step: "review"}, "review", "review", []string{"review"}, []string{""}, nil},
		{
			journal.Unit{Step: "refine@2/critic@11"}, "refine", "refine/critic",
			[]string{"refine@2/critic@11", "refine@2"},
			[]string{""},
			[]journal.Unit{{Step: "refine@2/critic"}, {Step: "refine@2"}, {Step: "refine"}},
		},
		{
			journal.Unit{Step: "each/in", Item: "a/b"}, "each", "each/in",
			[]string{"each/in", "each"},
			[]string{"a/b", "a", ""},
			[]journal.Unit{{Step: "each/in", Item: "a"}, {Step: "each/in"}, {Step: "each", Item: "a/b"}, {Step: "each", Item: "a"}, {Step: "each"}},
		},
	} {
		if got := test.unit.Top(); got != test.top {
			t.Errorf("%v: Top is %q, want %q", test.unit, got, test.top)
		}
		if got := test.unit.Plain(); got != test.plain {
			t.Errorf("%v: Plain is %q, want %q", test.unit, got, test.plain)
		}
		if got := slices.Collect(test.unit.Paths()); !slices.Equal(got, test.paths) {
			t.Errorf("%v: Paths are %q, want %q", test.unit, got, test.paths)
		}
		if got := slices.Collect(test.unit.Items()); !slices.Equal(got, test.items) {
			t.Errorf("%v: Items are %q, want %q", test.unit, got, test.items)
		}
		if got := slices.Collect(test.unit.Outer()); !slices.Equal(got, test.outer) {
			t.Errorf("%v: Outer are %v, want %v", test.unit, got, test.outer)
		}
	}
}

func TestUnitIsTakenApartAsItIsPutTogether(t *testing.T) {
	loop := journal.Unit{}.Inner("each").WithItem("a").Inner("refine").WithItem("b")
	third := loop.Iteration(3)
	if want := (journal.Unit{Step: "each/refine@3", Item: "a/b"}); third != want {
		t.Fatalf("built %v, want %v", third, want)
	}
	if got := third.String(); got != "each/refine@3/a/b" {
		t.Errorf("String is %q", got)
	}
	if of, n := third.Loop(); of != loop || n != 3 {
		t.Errorf("Loop is %v, %d, want %v, 3", of, n, loop)
	}
	if of, n := loop.Loop(); of != loop || n != 0 {
		t.Errorf("Loop of a step is %v, %d, want %v, 0", of, n, loop)
	}
	want := []journal.Part{{ID: "each"}, {ID: "refine", Iteration: 3}}
	if got := slices.Collect(third.Parts()); !slices.Equal(got, want) {
		t.Errorf("Parts are %v, want %v", got, want)
	}
	for path, in := range map[string]bool{"each": true, "each/refine": true, "each/refine@3": true, "eac": false, "each/refine@3/x": false} {
		if got := third.In(path); got != in {
			t.Errorf("In(%q) is %v", path, got)
		}
	}
}

func TestUnitKeyIn(t *testing.T) {
	each := journal.Unit{}.Inner("each")
	within := each.WithItem("a")
	for _, test := range []struct {
		unit, each journal.Unit
		want       string
	}{
		{each, each, ""},
		{within, each, "a"},
		{within.Inner("x").WithItem("b"), each, "a"},
		{within.Inner("x").WithItem("b"), within.Inner("x"), "b"},
		{within.Inner("x"), within.Inner("x"), ""},
		{each.WithItem("ab").Inner("x").WithItem("b"), within.Inner("x"), ""},
		{within.Iteration(2).Inner("x"), each, "a"},
		{journal.Unit{}.Inner("eacher").WithItem("a"), each, ""},
	} {
		if got, ok := test.unit.KeyIn(test.each); got != test.want || ok != (test.want != "") {
			t.Errorf("%v: KeyIn(%v) is %q, %v, want %q", test.unit, test.each, got, ok, test.want)
		}
	}
}

// TestPathsAreParsedHereOnly finds code that takes the paths of steps apart
// without Unit.
func TestPathsAreParsedHereOnly(t *testing.T) {
	parses := regexp.MustCompile(`strings\.\w+\([^)]*(["'` + "`" + `][/@]+["'` + "`" + `]|\+ ?"[/@]")|(?i:path|step|prefix|item)\w* ?\+ ?["'][/@]["']`)
	var files []string
	for _, dir := range []string{".", "..", "../engine", "../plan", "../runs", "../telemetry", "../cmd/claude-force"} {
		found, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		if file == "unit.go" || strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if parses.MatchString(line) {
				t.Errorf("%s:%d parses a path: %s\nuse the methods of journal.Unit", file, i+1, strings.TrimSpace(line))
			}
		}
	}
}
