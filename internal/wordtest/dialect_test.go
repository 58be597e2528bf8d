package wordtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// dialect lists words that readers do not search for, each with the term of the
// field. New text uses the term.
var dialect = map[string]string{
	"anew":                 "again, re-run",
	"begun":                "started",
	"dearer":               "more expensive",
	"heed":                 "check, obey",
	"heeds":                "checks, obeys",
	"mended":               "fixed, repaired",
	"mends":                "fixes, repairs",
	"nobody":               "no one, no process, no caller",
	"somebody":             "a user, another process",
	"told":                 "called with, notified, known",
	"whom":                 "which agent, which process",
	"go on with a run":     "resume a run",
	"go on with runs":      "resume runs",
	"goes on with a run":   "resumes a run",
	"goes on with the run": "resumes the run",
	"gone on":              "resumed",
	"lets go":              "releases",
	"is worked on":         "has an owner, is in progress",
	"are worked on":        "have an owner, are in progress",
	"worked on by":         "owned by",
}

// scripted lists the words that are kept where users' scripts may read them.
var scripted = map[string][]string{
	"cmd/claude-force/runs_control.go": {"told"}, // a key of `runs cancel --json`
}

var dialectPattern = func() *regexp.Regexp {
	var words []string
	for w := range dialect {
		words = append(words, strings.ReplaceAll(w, " ", `\s+`))
	}
	slices.Sort(words)
	return regexp.MustCompile(`(?i)\b(` + strings.Join(words, "|") + `)\b`)
}()

// TestCodeIsInPlainWords searches comments, messages and names for the dialect.
func TestCodeIsInPlainWords(t *testing.T) {
	t.Parallel()
	for path, file := range sources(t) {
		if strings.HasPrefix(path, "internal/wordtest/") {
			continue
		}
		for _, group := range file.Comments {
			checkWords(t, path, group.Text())
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Field:
				n.Tag = nil // keys of JSON, which scripts may read
			case *ast.BasicLit:
				if n.Kind == token.STRING {
					checkWords(t, path, n.Value)
				}
			case *ast.Ident:
				if n.Name == strings.ToLower(n.Name) { // NoBody is another word
					checkWords(t, path, n.Name)
				}
			}
			return true
		})
	}
}

// TestDocsAreInPlainWords searches the pages for the dialect.
func TestDocsAreInPlainWords(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(pages) < 5 {
		t.Fatalf("found %v, %v", pages, err)
	}
	for _, page := range append(pages, filepath.Join(root, "README.md"), filepath.Join(root, "CONTRIBUTING.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range bytes.Split(text, []byte("\n")) {
			checkWords(t, fmt.Sprintf("%s:%d", page, i+1), string(line))
		}
	}
}

func checkWords(t *testing.T, where, text string) {
	t.Helper()
	for _, found := range dialectPattern.FindAllString(text, -1) {
		word := strings.Join(strings.Fields(strings.ToLower(found)), " ")
		if slices.Contains(scripted[where], word) {
			continue
		}
		t.Errorf("%s: %q in %q: write %q", where, word, shorten(text), dialect[word])
	}
}

// shorten returns the start of a text on one line.
func shorten(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 100 {
		return text[:100] + "…"
	}
	return text
}
