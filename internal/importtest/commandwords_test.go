package importtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// commandWord matches a command or a flag in a text. Names of files' formats
// ("claude-force limits") are neither: commands in texts stand in backquotes.
var commandWord = regexp.MustCompile("`claude-force [a-z]|(^|[\\s(`])--[a-z][a-z-]+|\\b(agents lint|cache (list|clear)|config show|models list|runs (resume|watch|cancel|list|output|approve))\\b")

// TestLibrariesKnowNoCommands fails if a string in a package outside cmd names a
// command or a flag: a program that uses the library has neither.
func TestLibrariesKnowNoCommands(t *testing.T) {
	root := filepath.Join("..", "..")
	files := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch rel = filepath.ToSlash(rel); {
			case rel == "cmd", rel == "bench", rel == "examples",
				rel == "temporal/cmd", rel == "temporal/relaykill", rel == "temporal/relaybench",
				rel == "worktree",        // it calls git with its options
				rel == "tool/permission", // it knows the options of other commands
				rel == "plugin",          // it runs Git
				rel == "internal/citest", // it runs npm
				rel == "claudecode",      // it runs Claude Code with its options
				d.Name() == "testdata", rel != "." && strings.HasPrefix(d.Name(), "."):
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") || strings.HasSuffix(rel, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for node := range ast.Preorder(file) {
			lit, ok := node.(*ast.BasicLit)
			if ok && lit.Kind == token.STRING && commandWord.MatchString(strings.Trim(lit.Value, "\"")) {
				t.Errorf("%s: a library names a command: %s", files.Position(lit.Pos()), lit.Value)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
