package citest_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var skips = regexp.MustCompile(`\bt\.Skip(f|Now)?\(`)

// TestNothingIsSkippedInCI checks that every test which skips does so by Missing, or
// right after it has asked for the platform or for -short.
func TestNothingIsSkippedInCI(t *testing.T) {
	t.Parallel()
	root, seen := filepath.Join("..", ".."), 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && d.Name() != ".."):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		seen++
		lines := bytes.Split(text, []byte("\n"))
		for i, line := range lines[1:] {
			before := string(lines[i])
			if skips.Match(line) && !strings.Contains(before, "runtime.GOOS") && !strings.Contains(before, "testing.Short()") {
				t.Errorf("%s:%d: skips in CI too; call citest.Missing", path, i+2)
			}
		}
		return nil
	})
	if err != nil || seen < 100 {
		t.Fatalf("read %d files: %v", seen, err)
	}
}
