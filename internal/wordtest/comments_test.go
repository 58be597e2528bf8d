package wordtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// maxShare is the largest share of function comments that may say what a function
// is, in hundredths. Those of eight Go projects that were taken as models lie
// between 1 and 8.
const maxShare = 1

// TestFunctionCommentsSayWhatAFunctionDoes counts the function comments that
// begin "Name is" or "Name are".
func TestFunctionCommentsSayWhatAFunctionDoes(t *testing.T) {
	t.Parallel()
	all := 0
	var found []string
	for path, file := range sources(t) {
		for _, d := range file.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Doc == nil {
				continue
			}
			all++
			words := strings.Fields(fn.Doc.Text())
			if len(words) > 1 && words[0] == fn.Name.Name && (words[1] == "is" || words[1] == "are") {
				found = append(found, path+": "+strings.Join(words[:min(len(words), 8)], " "))
			}
		}
	}
	if all < 1000 {
		t.Fatalf("found %d commented functions; want the whole module's", all)
	}
	if len(found)*100 > all*maxShare {
		t.Errorf("%d of %d function comments say what a function is; at most %d %% may:\n%s", len(found), all, maxShare, strings.Join(found, "\n"))
	}
	t.Logf("%d of %d function comments say what a function is", len(found), all)
}

// sources parses the Go files of the module that are not tests, by path.
func sources(t *testing.T) map[string]*ast.File {
	t.Helper()
	files := map[string]*ast.File{}
	fset := token.NewFileSet()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && d.Name() != ".."):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		files[filepath.ToSlash(rel)] = file
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
