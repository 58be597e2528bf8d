package importtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// modelID matches a model's id, or the part of one that names a version.
var modelID = regexp.MustCompile(`^[a-z.]*-?(claude-)?((haiku|sonnet|opus|fable|mythos)-[0-9][-0-9]*|[0-9][-0-9]*-(haiku|sonnet|opus|fable|mythos)(-[0-9]*)?)$|^-[0-9](-[0-9]+)?-?$`)

// TestOneTableOfModelFacts checks that what is known of models is in
// llm/prices.json alone: no other code lists the ids of several models. The
// simulator is on purpose apart, and the import of old records has prices of
// models that no table has.
func TestOneTableOfModelFacts(t *testing.T) {
	if !modelID.MatchString("claude-opus-4-7") || !modelID.MatchString("opus-5") || !modelID.MatchString("-4-5") || !modelID.MatchString("3-5-haiku") || modelID.MatchString("claude") {
		t.Fatal("the pattern does not match the parts of ids that a table is made of")
	}
	root := filepath.Join("..", "..")
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && (name == "sim" || name == "bench" || name == "examples" || strings.HasPrefix(d.Name(), ".") && name != "."):
			return filepath.SkipDir
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		case name == filepath.Join("analytics", "upstream.go"):
			return nil
		}
		files++
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		if ids := modelIDs(parsed); len(ids) > 1 {
			t.Errorf("%s knows the models %v; facts of models belong in llm/prices.json", name, ids)
		}
		return nil
	})
	if err != nil || files < 300 {
		t.Errorf("read %d files: %v", files, err)
	}
}

// modelIDs returns the different literals of a file that are ids of models.
func modelIDs(file *ast.File) (ids []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			text, err := strconv.Unquote(lit.Value)
			if err == nil && modelID.MatchString(text) && !slices.Contains(ids, text) {
				ids = append(ids, text)
			}
		}
		return true
	})
	return ids
}
